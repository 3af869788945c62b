"""Print, pickled, the variables of a .mat file of version 7.3 and whether it has objects: `python matlab_hdf5.py FILE`.

A program of its own, because HDF5 ends its process over some damaged files; it imports nothing of spiketype, to start
quickly. Dimensions are those that MATLAB shows, numbers of texts are letters, and references are what they point to.
"""

import pickle
import sys
from typing import Any

import h5py
import numpy as np

OWN = ("#refs#", "#subsystem#")  # groups in which MATLAB keeps the parts of cells


def main(path: str) -> None:
    """Read a file and print it."""
    with h5py.File(path, "r") as file:
        objects = any("MATLAB_object_decode" in item.attrs for item in file.values())
        found = {name: _value(file, item) for name, item in file.items() if name not in OWN}
    pickle.dump((objects, found), sys.stdout.buffer, protocol=5)


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


if __name__ == "__main__":
    main(sys.argv[1])
