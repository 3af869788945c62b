"""Stores at URLs: what is read there, what is written, and what is said when it cannot be."""

import sys
from collections.abc import Iterator
from pathlib import Path

import eap_store
import numpy as np
import object_server
import pytest
import tyro

from spiketype import location
from spiketype.datasets import batches, eap, store
from spiketype.edge import UserError
from spiketype.location import Remote
from spiketype.train.config import from_json, to_json
from spiketype.train.tasks.eap.config import EapTaskConfig

CELLS = eap_store.CELLS[2:6]
UNKNOWN = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with object_server.s3() as environment:
        yield environment


@pytest.fixture(autouse=True)
def as_user(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with object_server.as_user(server, monkeypatch):
        yield


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return eap_store.write(tmp_path_factory.mktemp("web") / "s.zarr", CELLS, grid=(4, 4))


@pytest.fixture(params=["s3", "memory", "http"])
def remote(request: pytest.FixtureRequest, local: Path) -> Iterator[Remote]:
    """The same store at a URL."""
    if request.param == "http":
        with object_server.web(local.parent) as url:
            yield location.parse(f"{url}/{local.name}")
        return
    place = location.parse(f"{request.param}://{object_server.BUCKET}/{request.param}/{local.name}")
    copy(local, place)
    yield place


def copy(folder: Path, to: Remote) -> None:
    for file in (each for each in folder.rglob("*") if each.is_file()):
        (to / file.relative_to(folder).as_posix()).write_bytes(file.read_bytes())


# Reading ---------------------------------------------------------------------------------------------


def test_a_store_at_a_url_is_that_of_the_folder(local, remote):
    with store.open_dataset(local) as ours, store.open_dataset(remote) as theirs:
        assert ours.identical(theirs)
    assert store.done(remote).all()
    assert store.kind_of(remote) == "eap"
    one, other = eap.load(local), eap.load(remote)
    np.testing.assert_array_equal(one.distance_um, other.distance_um)
    assert one.cell_names == other.cell_names
    for features in ("aw", "waveform"):
        np.testing.assert_array_equal(eap.Inputs(local, features, True).whole, eap.Inputs(remote, features, True).whole)


def test_batches_come_from_a_url(local, remote):
    drawn = np.random.default_rng(0).integers(0, 80, (5, 1, 7))
    inputs = [eap.Inputs(place, "afw", True, whole=False) for place in (local, remote)]
    for (_, ours), (_, theirs) in zip(*(each.stream(iter(drawn)) for each in inputs), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    arrays = {"x": store.OnDisk(remote, "position_um")}
    pieces = [batch.arrays["x"] for batch in batches.iterate(arrays, np.arange(80), 30)]
    np.testing.assert_array_equal(np.concatenate(pieces)[:80], store.read(local, "position_um"))


@pytest.mark.parametrize("name", ["amplitude_uV/c/1/0", "cell_name/c/0", "amplitude_uV/zarr.json", "zarr.json"])
@pytest.mark.parametrize("harm", ["changed", "missing", "of another"])
def test_damage_at_a_url_is_told(local, name, harm):
    place = location.parse("memory://damaged/s.zarr")
    copy(local, place)
    good = (place / name).read_bytes()
    if harm == "missing":
        (place / name).unlink()
    else:
        (place / name).write_bytes(
            good[:-1] + b"x" if harm == "changed" else (place / "amplitude_uV/c/2/0").read_bytes()
        )
    words = "SHA-256 differs|is missing|says that a chunk of 4 has"
    with pytest.raises(UserError, match=rf"{name.split('/')[0]}.*({words})|does not exist"):
        eap.load(place)


def test_an_object_that_was_not_there_is_told(local):
    place = location.parse("memory://more/s.zarr")
    copy(local, place)
    (place / "extra/zarr.json").write_bytes((place / "cell/zarr.json").read_bytes())
    with pytest.raises(UserError, match=r"extra/zarr.json was not there when the store was finished"):
        store.read(place, "extra")


def test_an_unfinished_store_is_read_where_objects_are_listed(tmp_path):
    half = eap_store.write(tmp_path / "half", CELLS, grid=(4, 4), finished=False)
    place = location.parse("s3://bucket/half")
    copy(half, place)
    with pytest.raises(UserError, match=r"s3://bucket/half is unfinished: 1 of 4 blocks are missing \(3\)"):
        eap.load(place)
    assert len(store.read(place, "cell", 0, 60)) == 60
    with object_server.web(tmp_path) as url, pytest.raises(UserError, match=r"half has no done/manifest.json, so it"):
        eap.load(location.parse(f"{url}/half"))


def test_no_store():
    for url in ("s3://bucket/none", "s3://nobody/none", "memory://none", "http://127.0.0.1:9/none"):
        with pytest.raises(UserError, match=rf"{url}( does not exist$|.* cannot be reached)"):
            eap.load(location.parse(url))
    with object_server.web(Path(__file__).parent) as url, pytest.raises(UserError, match=r"none does not exist$"):
        eap.load(location.parse(f"{url}/none"))


def test_what_a_user_gives():
    for text, url in (("s3://b/x/", "s3://b/x"), ("S3://b/x.zarr", "s3://b/x.zarr"), ("http://h:1/x", "http://h:1/x")):
        assert location.parse(text) == Remote(url)
    for text in ("x.zarr", "/s3/x", "C:/x", "ftp://h/x", "a b"):
        assert location.parse(text) == Path(text)
    for text in ("s3://", "s3:///x", "https://"):
        with pytest.raises(UserError, match=rf"{text} names no (bucket|host): give"):
            location.parse(text)
    config = tyro.cli(EapTaskConfig, args=["--data", "s3://b/x.zarr"])
    assert config.data == Remote("s3://b/x.zarr")
    assert (config.data.name, config.data.stem) == ("x.zarr", "x")
    assert from_json(EapTaskConfig, to_json(config), Path("config.json")) == config
    assert tyro.cli(EapTaskConfig, args=["--store", "x"]).data == Path("x")


# What is said when it does not work --------------------------------------------------------------------


def test_who_may_not_read_is_told_how_and_all_may_read_what_is_public(local, server, monkeypatch):
    copy(local, location.parse("s3://bucket/private"))
    for name, value in UNKNOWN.items():
        monkeypatch.setenv(name, value)
    location.objects.cache_clear()
    with pytest.raises(UserError, match=r"s3://bucket/private.*: the server refuses access: set AWS_ACCESS_KEY_ID and"):
        eap.load(location.parse("s3://bucket/private"))
    object_server.publish(server, "private/")
    assert eap.load(location.parse("s3://bucket/private")).m_type_names == eap.load(local).m_type_names


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AWS_PROFILE", "none", r"no credentials can be had \(.*profile \(none\).*\): set AWS_ACCESS_KEY_ID and"),
        ("AWS_SECRET_ACCESS_KEY", "", r"no credentials can be had \(.*missing: AWS_SECRET_ACCESS_KEY\): set"),
        ("AWS_ENDPOINT_URL", "localhost:9000", "AWS_ENDPOINT_URL is 'localhost:9000': give http://HOST:PORT or"),
    ],
)
def test_what_the_environment_cannot_have_is_told(name, value, said, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"s3://bucket/s: {said}"):
        store.check_new(location.parse("s3://bucket/s"))


@pytest.mark.parametrize("library", ["obstore", "boto3"])
def test_a_library_that_is_missing_is_told(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=r"s3://bucket/s needs .* \(.*\): .*(--extra |spiketype\[)remote"):
        eap.load(location.parse("s3://bucket/s"))
