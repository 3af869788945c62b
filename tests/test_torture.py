"""A few of the disturbances that scripts/torture.py makes by the hundred."""

import numpy as np
import pytest

from spiketype.edge import UserError
from tests.torture import disk, flips, generation, killing, training


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.long
def test_a_generation_that_was_killed_makes_the_same_bytes(tmp_path):
    made = generation.make(tmp_path)
    outcome = killing.torture(made.victim(), 3, 0, killing.kill_group)
    assert (outcome.kills, outcome.findings) == (3, [])
    assert outcome.finished


@pytest.mark.long
def test_a_training_that_was_disturbed_makes_the_same_numbers(tmp_path):
    made = training.make(tmp_path)
    outcome = killing.torture(made.victim(), 3, 0, killing.kill_group)
    assert (outcome.kills, outcome.findings) == (3, [])
    try:
        full = disk.torture("training", tmp_path / "disk", made.whole, made.start, made.wrong, 1, 0)
    except UserError as error:
        pytest.skip(str(error))
    assert full.findings == []


def test_what_differs_is_found(tmp_path):
    """The comparison itself: a byte, a file too many, one too few."""
    one, other = tmp_path / "whole.zarr", tmp_path / "s.zarr"
    for path in (one, other):
        (path / "a").mkdir(parents=True)
        (path / "a" / "0").write_bytes(b"same")
    made = generation.Generation(tmp_path, (), 0.0)
    assert made.wrong() == ""
    (other / "a" / "0").write_bytes(b"Same")
    (other / "new").touch()
    assert made.wrong() == "2 files differ: a/0, new"


def test_a_change_that_nobody_tells_is_a_finding(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    read = (tmp_path / "file").read_bytes
    seen = list(flips.changes(tmp_path, ["file"], 5, np.random.default_rng(0), lambda _: read()))
    assert all("another answer, without a word" in change.wrong(tmp_path) for change in seen)
    assert read() == b"12345"

    def crashing(_: str) -> bytes:
        if read() != b"12345":
            raise KeyError("x")
        return read()

    seen = list(flips.changes(tmp_path, ["file"], 5, np.random.default_rng(0), crashing))
    assert all("KeyError" in change.wrong(tmp_path) for change in seen)
