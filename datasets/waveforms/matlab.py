"""MATLAB's .mat files as plain Python: structs are dicts, cells object arrays, texts words, all else arrays.

Versions up to 7 are read by SciPy, version 7.3, which is HDF5, by h5py (`matlab_file`).
"""

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from spiketype import reading
from spiketype.damage import readable
from spiketype.datasets import piped
from spiketype.datasets.waveforms import columns, matlab_file
from spiketype.datasets.waveforms.columns import HISTOGRAMS, WAVEFORM, WAVEFORMS, Column
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.edge import UserError

Value: TypeAlias = dict[str, Any] | np.ndarray | str  # a struct has values of its own
MATRICES = {*WAVEFORMS, *(name for aliases in HISTOGRAMS.values() for name in aliases)}
ORDERS = (b"IM", b"MI")  # of bytes, in the header of versions 5 to 7


def load(path: Path, label: str | None, rate_kHz: float | None) -> WaveformTable:
    """Read the matrix ``waveform`` (row, time) or (row, channel, time) and the variables beside it.

    Args:
        path: a .mat file of any version from 5 on.
        label: the variable of classes, text or numbers; by default ``label`` where there is one.
        rate_kHz: sampling rate, for a file without ``rate_kHz`` or ``rate_Hz``.

    Raises:
        UserError: a damaged file, or what `columns.table` refuses.
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
    return columns.table(path, found, label, rate_kHz, producer="MATLAB .mat")


def read(path: Path) -> dict[str, Value]:
    """Return the variables of a file; arrays have the dimensions that MATLAB shows.

    Raises:
        UserError: a damaged file.
    """
    with readable(path, ".mat"), open(path, "rb") as file:
        start = file.read(520)
    if not (matlab_file.is_hdf5(start) or start[126:128] in ORDERS):
        raise UserError(f"{path} is no .mat file of MATLAB 5 or later: save it with -v7 in MATLAB")
    try:
        objects, found = piped.ask(Path(matlab_file.__file__), path)
    except piped.Unreadable as error:
        raise UserError(f"{path} cannot be read as .mat: {error}") from None
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
