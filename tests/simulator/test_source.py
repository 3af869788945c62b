from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spiketype.edge import UserError
from spiketype.simulator.neuron.source import Source

FIELDS = ("start_um", "end_um", "diameter_um", "current_nA", "soma_mV")


def make_source(spikes: int = 2, segments: int = 3, times: int = 5) -> Source:
    random = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    return Source(
        name="L5_X_bAC1_1",
        start_um=draw(segments, 3),
        end_um=draw(segments, 3),
        diameter_um=np.abs(draw(segments)),
        current_nA=draw(spikes, segments, times),
        soma_mV=draw(spikes, times),
        dt_ms=2**-5,
        provenance={"amplitude_nA": 0.23, "tried": [[0.23, 11]], "neuron": "9.0.2"},
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("source") / "x.npz"
    make_source().save(path)
    return path.read_bytes()


def test_what_is_saved_is_loaded_and_no_temporary_file_stays(tmp_path: Path) -> None:
    source = make_source()
    source.save(tmp_path / "x.npz")
    loaded = Source.load(tmp_path / "x.npz")
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(source, name))
    assert (loaded.name, loaded.dt_ms, loaded.provenance) == (source.name, source.dt_ms, source.provenance)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    make_source().save(path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        replace(make_source(), provenance={"bad": {1, 2}}).save(path)  # a set is not JSON
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("start_um", np.zeros((4, 3), np.float32), "along segment"),
        ("end_um", np.zeros((3, 2), np.float32), "along xyz"),
        ("soma_mV", np.zeros((2, 6), np.float32), "along time"),
        ("diameter_um", np.zeros(3), "float64"),
        ("current_nA", np.full((2, 3, 5), np.nan, np.float32), "not finite"),
        ("dt_ms", 0.0, "header"),
    ],
)
def test_disagreeing_arrays_are_refused(tmp_path: Path, name: str, value: object, message: str) -> None:
    source = replace(make_source(), **{name: value})
    source.save(tmp_path / "x.npz")
    with pytest.raises(UserError, match=rf"x\.npz.*{message}"):
        Source.load(tmp_path / "x.npz")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.npz"):
        Source.load(tmp_path / "absent.npz")


MAGIC = st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00", b"\x80\x04"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(magic=MAGIC, content=st.binary(max_size=300))
def test_random_bytes_are_refused_by_name(tmp_path: Path, magic: bytes, content: bytes) -> None:
    path = tmp_path / "random.npz"
    path.write_bytes(magic + content)
    with pytest.raises(UserError, match=r"random\.npz"):
        Source.load(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, saved: bytes, data: st.DataObject) -> None:
    path = tmp_path / "truncated.npz"
    path.write_bytes(saved[: data.draw(st.integers(0, len(saved) - 1))])
    with pytest.raises(UserError, match=r"truncated\.npz"):
        Source.load(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_changed_byte_never_changes_a_number_silently(tmp_path: Path, saved: bytes, data: st.DataObject) -> None:
    path, changed = tmp_path / "changed.npz", bytearray(saved)
    changed[data.draw(st.integers(0, len(saved) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        loaded = Source.load(path)
    except UserError:
        return
    for name in FIELDS:  # the byte was one that does not matter, such as a file time in the archive
        np.testing.assert_array_equal(getattr(loaded, name), getattr(make_source(), name))
