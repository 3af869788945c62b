"""What a store takes is told before anything is made; what workers may hold changes no byte of it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from eap_program import assert_same_bytes, folder_of
from synthetic_source import stand_in

from spiketype.datasets import store
from spiketype.edge import UserError
from spiketype.simulator.eap import blocks, command, estimate, generate
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.means import Means
from spiketype.simulator.eap.shares import Share
from spiketype.simulator.neuron import cells

NAMES = [model.name for model in cells.catalogue()[:2]]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EapConfig:
    (tmp_path / "sources").mkdir()
    stand_in(monkeypatch, tmp_path / "sources")
    models = str(folder_of(tmp_path / "models", NAMES))
    return EapConfig(cell_models=(models,), per_cell=40, probe="mea4x4", threshold_uV=5.0, error_uV=0.01)


def test_samples_size_and_time_are_told(config: EapConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "s"
    command.main(config, place, Means(0, "1/2"))
    assert f"{place}: 40 samples, about 135 kB (estimates)" in capsys.readouterr().err
    command.main(config, place, Means(0))  # what is left
    assert f"{place}: 40 samples, about 135 kB (estimates)" in capsys.readouterr().err
    command.main(config, place, Means(0))
    assert "samples" not in capsys.readouterr().err
    many = estimate.estimate(EapConfig(), 100, 12_700_000)
    assert many.words(2) == "12,700,000 samples, about 264 GB, about 11 h on 2 cores (estimates)"
    assert many.words(None) == "12,700,000 samples, about 264 GB (estimates)"
    few = estimate.estimate(EapConfig(probe="neuropixels1"), 384, 156, 13, 13)
    told = "156 samples, about 12.4 MB, about 63 s on 2 cores, 61 s of them for the cell models, once (estimates)"
    assert few.words(2) == told


def test_the_size_told_is_that_of_the_arrays(config: EapConfig, tmp_path: Path) -> None:
    """Before compression, and without what is not of samples."""
    path = generate.generate(config, tmp_path / "s", 0)
    with store.open_dataset(path) as dataset:
        size = sum(array.nbytes for array in dataset.variables.values() if array.dims[:1] == ("sample",))
    assert estimate.estimate(config, 16, 80).disk_bytes == pytest.approx(estimate.STORED * size)


def test_a_disk_that_is_too_small_is_refused_before_anything_is_made(
    config: EapConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    place = tmp_path / "not" / "yet" / "s"
    with pytest.raises(UserError, match=r"s is to hold about 269 kB, and 1 bytes are free there: .* give --yes"):
        generate.generate(config, place, 0)
    assert not place.parent.exists()
    generate.generate(config, place, 0, Share(1, 2), yes=True)
    with pytest.raises(UserError, match=r"is to hold about 135 kB"):  # the rest of one that was begun
        generate.generate(config, place, 0)
    assert store.done(generate.generate(config, place, 0, yes=True)).all()


def test_a_limit_of_memory_changes_no_byte(config: EapConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, candidates = [], blocks._candidates

    def watched(task, cell, contacts, block, first, batch):
        seen.append(batch)
        return candidates(task, cell, contacts, block, first, batch)

    monkeypatch.setattr(blocks, "_candidates", watched)
    config = replace(config, noise_uV=2.0)
    plain = generate.generate(config, tmp_path / "plain", 0)
    assert {*seen} == {blocks.CPU_BATCH}
    channels, run = 16, 40
    # A worker whose memory is all but that of its candidates: so that it is these that give way.
    monkeypatch.setattr(estimate, "WORKER_BYTES", 0.0)
    monkeypatch.setattr(estimate, "CHECK_COPIES", 0)
    for batch in (4,):
        seen.clear()
        limit_GB = estimate.worker_bytes(config, channels, run, batch) / estimate.GB
        found = generate.generate(config, tmp_path / f"{batch}", 0, memory_limit_GB=limit_GB)
        assert {*seen} == {batch}
        assert_same_bytes(plain, found)


def test_a_limit_that_is_too_small_is_refused_with_the_least_that_works(config: EapConfig, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--memory-limit is 0.2 GB, and a worker needs about 0.40 GB for 16 contacts"):
        generate.generate(config, tmp_path / "s", 0, memory_limit_GB=0.2)
    assert estimate.batch_within(0.41, config, 16, 40) == blocks.CPU_BATCH
    large = EapConfig(probe="neuropixels1", per_cell=40_000)
    assert estimate.worker_bytes(large, 384, 1000, 32) == pytest.approx(0.81e9, rel=0.05)  # as measured
