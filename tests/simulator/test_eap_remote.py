"""EAP stores that are written to a bucket: the bytes of a folder's, though writers are killed."""

import os
import signal
from collections.abc import Iterator

import object_server
import pytest
from eap_program import files, folder_of, start, wait_for
from synthetic_source import attempted

from spiketype import location
from spiketype.datasets import store
from spiketype.edge import UserError
from spiketype.location import Location, Remote
from spiketype.simulator.eap import generate, template
from spiketype.simulator.eap.block_range import Share
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.neuron import cells, membrane

NAMES = [model.name for model in cells.catalogue()[2:4]]
OPTIONS = {"per_cell": 400, "probe": "tetrode", "threshold_uV": 5.0, "error_uV": 0.1, "waveform_kHz": 4.0}
SHARDS = 2  # of each cell


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with object_server.s3() as environment:
        yield environment


@pytest.fixture(autouse=True)
def as_user(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TEST_SHARDS", str(SHARDS))
    monkeypatch.setattr(store, "SHARDS", SHARDS)
    monkeypatch.setattr(template, "versions", dict)
    with object_server.as_user(server, monkeypatch):
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> EapConfig:
    """Eight blocks, of each of two cells two runs of two."""
    return EapConfig(cell_models=(str(folder_of(tmp_path_factory.mktemp("models") / "two", NAMES)),), **OPTIONS)


@pytest.fixture(autouse=True)
def _made_up_currents(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.getbasetemp() / "currents"
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(membrane, "attempt", lambda models, workers: attempted(folder, models))


@pytest.fixture(scope="module")
def whole(config: EapConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the store in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("whole")
        patch.setattr(membrane, "attempt", lambda models, workers: attempted(folder, models))
        patch.setattr(template, "versions", dict)
        patch.setattr(store, "SHARDS", SHARDS)
        return contents(generate.generate(config, folder / "s", 0))


def contents(place: Location) -> dict[str, bytes]:
    names = [name for name, _ in place.files()] if isinstance(place, Remote) else map(str, files(place))
    return {name: (place / name).read_bytes() for name in names}


@pytest.mark.parametrize("url", ["s3://bucket/a/s.zarr", "memory://a/s"])
def test_objects_have_the_bytes_of_files(config, whole, url):
    place = location.parse(url)
    assert generate.generate(config, place, 0) == place
    assert contents(place) == whole
    assert generate.generate(config, place, 0) == place  # nothing is left to do
    with pytest.raises(UserError, match=r"s was made with other settings|s.zarr was made with other settings"):
        generate.generate(EapConfig(cell_models=config.cell_models, **{**OPTIONS, "seed": 1}), place, 0)


def test_a_killed_writer_is_continued_by_two_shares(config, whole, tmp_path, capsys):
    place = location.parse("s3://bucket/killed")
    words = [f"--{name.replace('_', '-').lower()} {value}" for name, value in OPTIONS.items()]
    options = [*" ".join(words).split(), "--cell-models", config.cell_models[0], "--workers", "0"]
    process = start(place, *options, sources=tmp_path)
    wait_for(lambda: place.exists() and store.done(place).any())
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = store.done(place)
    assert not done.all()
    for number in (2, 1):
        generate.generate(config, place, 0, Share(number, 2))
    assert "share 1/2 is done; the store is complete" in capsys.readouterr().err
    assert contents(place) == whole


def test_a_killed_template_is_written_again(config, whole):
    place = location.parse("s3://bucket/begun")
    for name in ("cell_name/c/0", "eap_uV/zarr.json", "done/zarr.json"):
        (place / name).write_bytes(whole[name][:-1])
    generate.generate(config, place, 0)
    assert contents(place) == whole


def test_two_templates_at_once_are_one(config, whole, monkeypatch):
    """And one of them has blocks already."""
    place = location.parse("s3://bucket/both")
    check = store.check_new

    def late(path):  # another process writes the store after this one has looked
        check(path)
        monkeypatch.setattr(store, "check_new", check)
        generate.generate(config, place, 0)

    monkeypatch.setattr(store, "check_new", late)
    generate.generate(config, place, 0)
    assert contents(place) == whole


def test_where_nothing_can_be_written(config, monkeypatch):
    monkeypatch.setattr(membrane, "attempt", lambda models, workers: pytest.fail("before the currents"))
    for url, words in (
        ("s3://nobody/s", r"s3://nobody/s: there is no bucket nobody: make it, or correct the name"),
        ("https://127.0.0.1/s", "can be read, not written: give s3://BUCKET/NAME"),
    ):
        with pytest.raises(UserError, match=words):
            generate.generate(config, location.parse(url), 0)
    with pytest.raises(UserError, match=r"is in the memory of this process, .*: give --workers 0"):
        generate.generate(config, location.parse("memory://s"), 1)


def test_other_objects_are_not_touched(config):
    place = location.parse("s3://bucket/mine")
    (place / "thesis.txt").write_bytes(b"x")
    with pytest.raises(UserError, match=r"s3://bucket/mine holds other objects \(thesis.txt\): give a URL at which"):
        generate.generate(config, place, 0)
    assert contents(place) == {"thesis.txt": b"x"}
