"""Damaged and hostile files: every reader answers or refuses, in bounds; nothing in a file is run or fills memory."""

import contextlib
import faulthandler
import io
import json
import zipfile

import numcodecs
import numpy as np
import pytest

from spiketype import damage
from spiketype.datasets import waveforms
from spiketype.datasets.raphe.recordings import open_recording
from spiketype.edge import UserError
from spiketype.simulator.neuron import netpyne
from spiketype.train import checkpoints
from tests.fuzzing import bounds, mutate
from tests.fuzzing.readers import READERS, arrays

FILES = 200  # of a reader


@pytest.fixture(autouse=True)
def _not_for_ever():
    """End everything, saying where, if a library's own code never returns: no signal interrupts that."""
    faulthandler.dump_traceback_later(bounds.WAITED_S, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(name: str) -> None:
    files, start = READERS[name].example()
    assert bounds.attempt(READERS[name], files, start) == "answer"
    outcome = bounds.run(name, 1, 1 + FILES, seed=1)
    assert not outcome.findings, "\n".join(outcome.findings.values())
    assert outcome.refusals, "nothing was damaged"


def test_a_damaged_file_is_made_again() -> None:
    files, _ = READERS["npz"].example()
    assert bounds.damaged("npz", files, 0, 7) == bounds.damaged("npz", files, 0, 7) != files


def test_the_bounds_find_what_they_are_to_find(tmp_path) -> None:
    """The judge itself: it sees an exception, code that was run, a hang and a waste of memory."""
    from tests.fuzzing.reader import Reader

    def judged(read) -> str:
        return bounds.attempt(Reader(lambda folder: folder, read), {"a": b"x"}, "a").splitlines()[0]

    def refuse(path) -> None:
        raise UserError("no")

    def waste(path) -> None:
        np.ones(30_000_000)

    def hang(path) -> None:
        while True:
            with contextlib.suppress(Exception):
                continue

    assert judged(lambda path: path.read_bytes()) == "answer"
    assert judged(refuse) == "refusal"
    assert judged(lambda path: {}[path]).startswith("KeyError in ")
    assert judged(lambda path: mutate.CANARY.touch()) == "the file's own code was run"
    assert "MB for files of" in judged(waste)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "MOST_S", 0.2)
        assert judged(hang).startswith("TookTooLong in ")


# --- sizes


def zeros(shape: tuple[int, ...]) -> bytes:
    """The file of an array of zeros, without making it in memory at once more than once."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue() + bytes(4 * int(np.prod(shape)))


@pytest.fixture(scope="module")
def bomb(tmp_path_factory) -> bytes:
    """A member of 160 MB that is stored in a thousandth of it."""
    return zeros((2_000_000, 20))


def with_member(path, name: str, content: bytes, kept: dict[str, np.ndarray]):
    np.savez(path, **kept)  # type: ignore[arg-type]
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(name, content)
    return path


def test_an_array_that_is_not_needed_is_not_inflated(tmp_path, bomb, monkeypatch) -> None:
    path = with_member(tmp_path / "a.npz", "traces.npy", bomb, arrays())
    opened = []
    inflate = zipfile.ZipFile.open

    def watched(self, member, *rest, **more):
        opened.append(getattr(member, "filename", member))
        return inflate(self, member, *rest, **more)

    monkeypatch.setattr(zipfile.ZipFile, "open", watched)
    assert len(waveforms.load(path).waveform) == 4
    assert "waveform.npy" in opened
    assert not {"traces.npy", "depth.npy"} & set(opened)


def test_a_zip_bomb_is_refused_before_it_is_inflated(tmp_path, bomb) -> None:
    kept = {name: values for name, values in arrays().items() if name != "waveform"}
    path = with_member(tmp_path / "a.npz", "waveform.npy", bomb, kept)
    with pytest.raises(
        UserError, match=r"a\.npz, array 'waveform', says that it holds 0.16 GB in 0\.\d+ MB of the file"
    ):
        waveforms.load(path)
    path = with_member(tmp_path / "b.npz", "current.npy", bomb, {})
    with pytest.raises(UserError, match=r"b\.npz, array 'current', says that it holds"):
        open_recording(path)
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("a.npy", bomb)
    with pytest.raises(UserError, match=r"c\.zip says that it holds 0.16 GB"):
        waveforms.load(tmp_path / "c.zip")
    name = f"L5_LBC_cNAC187_1{netpyne.ENDING}"
    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(name, bomb)
    with pytest.raises(UserError, match=r"d\.zip: L5_LBC.* says that it holds"):
        netpyne.read(tmp_path / "d.zip", name)


@pytest.mark.parametrize("shape", ["(5000000000000, 20)", "(-1, 20)", "(True, 20)", "(5, 20)"])
def test_a_header_that_promises_what_is_not_there_is_refused(tmp_path, shape: str) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00" + header + bytes(640))  # of (4, 20)
    with pytest.raises(UserError, match=r"a\.npy cannot be read as \.npy: its (header promises|shape is)"):
        damage.read_npy(tmp_path / "a.npy")


def test_zarr_that_promises_what_is_not_there_is_refused(tmp_path) -> None:
    files, _ = READERS["zarr"].example()
    for name, change in (
        ("waveform", {"shape": [10**9, 2, 20]}),
        (
            "isi",
            {"shape": [4, 10**12], "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 10**9]}}},
        ),
        ("waveform", {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**9, 2, 20]}}}),
    ):
        bounds.write(files, tmp_path)
        about = tmp_path / "a.zarr" / name / "zarr.json"
        about.write_text(json.dumps(json.loads(about.read_text()) | change))
        with pytest.raises(UserError, match=rf"a\.zarr, array '{name}', (says that it holds|is in chunks of)"):
            waveforms.load(tmp_path / "a.zarr")


# --- what must not be run


@pytest.fixture
def canary():
    mutate.CANARY.unlink(missing_ok=True)
    yield mutate.CANARY
    ran = mutate.CANARY.exists()
    mutate.CANARY.unlink(missing_ok=True)
    assert not ran, "a file's own code was run"


def test_pickles_are_not_run(tmp_path, canary) -> None:
    rng = np.random.default_rng(0)
    hostile = mutate.pickled(b"", rng)
    (tmp_path / "a.npy").write_bytes(hostile)
    kept = {name: values for name, values in arrays().items() if name != "label"}
    with_member(tmp_path / "a.npz", "label.npy", hostile, kept)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(UserError, match=rf"{name} .*cannot be read as .*Python objects|cannot be read as"):
            waveforms.load(tmp_path / name, rate_kHz=30.0)
    with pytest.raises(UserError, match=r"a\.npy cannot be read as"):
        open_recording(tmp_path / "a.npy", rate_Hz=20_000.0)


@pytest.mark.filterwarnings("ignore")
def test_zarr_of_pickles_is_not_run(tmp_path, canary, monkeypatch) -> None:
    """Zarr 2 may name pickle as codec; older releases of numcodecs run it, and later ones where that is allowed."""
    monkeypatch.setattr(numcodecs.pickles.Pickle, "decode", lambda self, content, out=None: canary.touch())
    files, _ = READERS["zarr-2"].example()
    bounds.write(files, tmp_path)
    about = tmp_path / "a.zarr" / "waveform" / ".zarray"
    said = json.loads(about.read_text())
    for change in (
        {"compressor": {"id": "pickle"}},
        {"filters": [{"id": "vlen-utf8"}, {"id": "pickle"}], "dtype": "|O"},
    ):
        about.write_text(json.dumps(said | {"fill_value": ""} | change))
        with pytest.raises(UserError, match=r"Python objects|No Zarr data type"):
            waveforms.load(tmp_path / "a.zarr")


def test_params_py_is_not_run(tmp_path, canary) -> None:
    files, start = READERS["phy"].example()
    bounds.write(
        {name: content + mutate.HOSTILE.encode() * name.endswith(".py") for name, content in files.items()}, tmp_path
    )
    with pytest.raises(UserError, match="sample_rate"):  # which the hostile line assigns, too
        waveforms.load(tmp_path / start)


def test_entities_of_xml_are_refused(tmp_path, canary) -> None:
    files, start = READERS["hc3"].example()
    for use in (b"&e;", b"&b11;"):
        changed = {
            name: mutate.ENTITIES + content.partition(b"?>")[2].replace(b"20000", use)
            if name.endswith("xml")
            else content
            for name, content in files.items()
        }
        bounds.write(changed, tmp_path)
        with pytest.raises(UserError, match="it defines entities"):
            waveforms.load(tmp_path / start)


def test_a_checkpoint_of_pickles_is_not_run(tmp_path, canary) -> None:
    files, start = READERS["run"].example()
    bounds.write(files, tmp_path)
    for content in (mutate.PICKLE, b"\xc7" + bytes([len(mutate.PICKLE), 1]) + mutate.PICKLE):  # as an extension, too
        (tmp_path / start / checkpoints.LAST).write_bytes(content)
        with pytest.raises(UserError, match=r"last\.msgpack is damaged"):
            checkpoints.newest(tmp_path / start)
