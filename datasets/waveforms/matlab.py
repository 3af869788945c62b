"""MATLAB's .mat files as plain Python: structs are dicts, cells object arrays, texts words, all else arrays.

Versions up to 7 are read by SciPy, version 7.3, which is HDF5, by h5py (`matlab_hdf5`).
"""

import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from spiketype import reading
from spiketype.datasets.waveforms import columns
from spiketype.datasets.waveforms.columns import HISTOGRAMS, WAVEFORM, WAVEFORMS, Column
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.edge import UserError

Value: TypeAlias = dict[str, Any] | np.ndarray | str  # a struct has values of its own
LOADMAT = (
    "import pickle, sys, scipy.io; "
    "pickle.dump(scipy.io.loadmat(sys.argv[1], appendmat=False), sys.stdout.buffer, protocol=5)"
)
HDF5 = b"\x89HDF\r\n\x1a\n"
MATRICES = {*WAVEFORMS, *(name for aliases in HISTOGRAMS.values() for name in aliases)}
ORDERS = (b"IM", b"MI")  # of bytes, in the header of versions 5 to 7
HDF5_READER = Path(__file__).with_name("matlab_hdf5.py")


def load(path: Path, label: str | None, rate_kHz: float | None) -> WaveformTable:
    """Read the matrix ``waveform`` (row, time) or (row, channel, time) and the variables beside it.

    Args:
        path: a .mat file of any version from 5 on.
        label: the variable of classes, text or numbers; by default ``label`` where there is one.
        rate_kHz: sampling rate, for a file without ``rate_kHz`` or ``rate_Hz``.

    Raises:
        UserError: a damaged file, h5py is missing, or what `columns.table` refuses.
    """
    found: dict[str, Column] = {}
    for name, value in read(path).items():
        if isinstance(value, np.ndarray) and name in MATRICES:
            found[name] = Column(value)
        elif not isinstance(value, dict):
            found[name] = Column(_plain(value))
    numbers = [n for n, c in found.items() if c.values.ndim in (2, 3) and c.values.dtype.kind in "fiu"]
    matrices = [n for n in numbers if n not in MATRICES]
    if not found.keys() & set(WAVEFORMS) and len(matrices) == 1:
        reading.note(path, f"its only matrix, {matrices[0]!r}, is taken for the waveforms, a row a unit")
        found[WAVEFORM] = found.pop(matrices[0])
    return columns.table(path, found, label, rate_kHz)


def read(path: Path) -> dict[str, Value]:
    """Return the variables of a file; arrays have the dimensions that MATLAB shows.

    Raises:
        UserError: a damaged file, or h5py is missing.
    """
    with columns.readable(path, ".mat"):
        with open(path, "rb") as file:
            start = file.read(520)
        if start.startswith(HDF5) or start[512:].startswith(HDF5):
            return _read_hdf5(path)
        if start[126:128] not in ORDERS:
            raise UserError(f"{path} is no .mat file of MATLAB 5 or later: save it with -v7 in MATLAB")
        found = _child(path, ["-c", LOADMAT], "SciPy")
        if any(type(value).__name__ == "MatlabOpaque" for value in found.values()):
            _tell_objects(path)
        return {name: _of_scipy(value) for name, value in found.items() if not name.startswith("__")}


def _child(path: Path, command: list[str], library: str) -> Any:
    """Return what a process of its own reads: SciPy 1.17 and HDF5 end their process over some damaged files."""
    done = subprocess.run([sys.executable, *command, str(path.absolute())], capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        told = said[-1] if said and done.returncode > 0 else "it crashed"
        raise UserError(f"{path} is damaged, {library} cannot read it ({told})")
    # Written by our own child a moment ago, as multiprocessing does: nothing of the file is ever unpickled.
    return pickle.loads(done.stdout)


def _read_hdf5(path: Path) -> dict[str, Value]:
    if importlib.util.find_spec("h5py") is None:
        raise UserError(f"{path} is MATLAB 7.3 (HDF5): pip install h5py, or save it with -v7 in MATLAB")
    objects, found = _child(path, ["-P", str(HDF5_READER)], "HDF5")
    if objects:
        _tell_objects(path)
    variables: dict[str, Value] = found
    return variables


def _tell_objects(path: Path) -> None:
    reading.note(path, "strings and tables of MATLAB are not read: save cellstr(x), or a table's columns")


def texts(value: Value | None) -> list[str] | None:
    """Return the words of a cell, a text or a char matrix; None if it is none of these. An empty cell is ""."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "OU":
        return None
    items = value.reshape(-1).tolist()
    words = [item if isinstance(item, str) else "" if _empty(item) else None for item in items]
    return None if None in words else [word for word in words if word is not None]


def _empty(value: object) -> bool:
    return isinstance(value, np.ndarray) and not value.size


def _plain(value: np.ndarray | str) -> np.ndarray:
    """Return an array without what MATLAB adds: cells of texts are words, row and column vectors have one dimension."""
    if isinstance(value, str):
        return np.array(value)
    words = texts(value)
    array = value if words is None else np.array(words, dtype=str)
    if array.size == 1:
        return array.reshape(())
    return array.reshape(-1) if array.ndim == 2 and 1 in array.shape else array


def _of_scipy(value: Any) -> Value:
    """Return what `scipy.io.loadmat` gives, with structs as dicts."""
    if not isinstance(value, np.ndarray):
        return np.asarray(value)
    if value.dtype.names:
        structs = [{name: _of_scipy(element[name]) for name in value.dtype.names} for element in value.flat]
        return structs[0] if len(structs) == 1 else _cells(structs, value.shape)
    if value.dtype.kind == "U":
        return str(value.flat[0]) if value.size == 1 else value if value.size else ""
    return _cells([_of_scipy(cell) for cell in value.flat], value.shape) if value.dtype.kind == "O" else value


def _cells(values: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    cells = np.empty(len(values), object)
    cells[:] = values
    return cells.reshape(shape)
