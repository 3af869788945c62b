"""The variables of a .mat file, read by a process of its own (`piped`): it imports nothing of spiketype.

Versions up to 7 are read by SciPy. Version 7.3 is HDF5, read by h5py, which gives arrays with their dimensions
reversed, texts as numbers and cells as references, which is undone here.
"""

from typing import Any

import numpy as np

HDF5 = b"\x89HDF\r\n\x1a\n"
OWN = ("#refs#", "#subsystem#")  # groups in which MATLAB keeps the parts of cells


def is_hdf5(start: bytes) -> bool:
    """Say whether a file that begins with these 520 bytes is HDF5, which MATLAB puts after a header of its own."""
    return start.startswith(HDF5) or start[512:].startswith(HDF5)


def read(path: str) -> tuple[bool, dict[str, Any]]:
    """Return whether a file has strings or tables of MATLAB, which are not read, and its variables.

    Structs are dicts, cells object arrays, texts words, all else arrays with the dimensions that MATLAB shows.
    """
    with open(path, "rb") as opened:
        start = opened.read(520)
    if is_hdf5(start):
        import h5py

        with h5py.File(path, "r") as file:
            objects = any("MATLAB_object_decode" in item.attrs for item in file.values())
            return objects, {name: _value(file, item) for name, item in file.items() if name not in OWN}
    import scipy.io

    found = scipy.io.loadmat(path, appendmat=False)
    objects = any(type(value).__name__ == "MatlabOpaque" for value in found.values())
    return objects, {name: _of_scipy(value) for name, value in found.items() if not name.startswith("__")}


def _value(file: Any, item: Any) -> Any:
    """Return a group as a dict, and a dataset as what MATLAB shows of it."""
    if not hasattr(item, "dtype"):
        return {name: _value(file, part) for name, part in item.items()}
    kind = bytes(item.attrs.get("MATLAB_class", b"")).decode("ascii", "replace")
    if "MATLAB_object_decode" in item.attrs:
        return {}
    if item.attrs.get("MATLAB_empty", 0):
        return {} if kind == "struct" else "" if kind == "char" else np.zeros(0)
    values = np.asarray(item[()]).T
    if kind == "char":
        lines = ["".join(map(chr, line)) for line in np.atleast_2d(values).tolist()]
        return lines[0] if len(lines) == 1 else np.array(lines, dtype=str)
    if values.dtype.kind != "O":
        return values
    cells = np.empty(values.shape, object)
    for place in np.ndindex(values.shape):
        cells[place] = _value(file, file[values[place]])
    return cells


def _of_scipy(value: Any) -> Any:
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
