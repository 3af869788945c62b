"""predictions.zarr of a run: one schema for every task, a store with a ``sample`` for each row that was predicted."""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spiketype.datasets import store

KIND = "predictions"
BLOCK = 100_000
UNITS = re.compile(r"_(um|ms|uV|pA|nA|Hz|kHz|s)$")


def write(
    path: Path,
    row_names: Sequence[str],
    arrays: Mapping[str, tuple[tuple[str, ...], np.ndarray]],
    names: Mapping[str, Sequence[str]],
    measured: Mapping[str, np.ndarray],
) -> None:
    """Write the store, in place of one that is there.

    Args:
        path: the folder.
        row_names: of the rows, in order.
        arrays: name -> (dimensions after ``sample``, values (row, ...)); floats are kept in float32 where that loses
            nothing, as of a network's, else as they are: whoever reads them finds the numbers of the summary.
        names: dimension -> the name of each of its entries.
        measured: name -> (row,) numbers or words; numbers that are missing are -1.
    """
    rows = len(row_names)
    numbers = {name: ((), v) for name, v in measured.items() if np.asarray(v).dtype.kind in "fiub"}
    whole, spec, sizes = {}, {}, dict[str, int]()
    for name, (dims, values) in {**arrays, **numbers}.items():
        whole[name] = _compact(np.asarray(values))
        spec[name] = store.Variable(("sample", *dims), str(whole[name].dtype), _unit(name), name.replace("_", " "))
        sizes |= dict(zip(spec[name].dims, whole[name].shape, strict=True))
    words = {name: np.asarray(v).astype(str) for name, v in measured.items() if name not in numbers}
    coordinates = {"row": store.Coordinate(("sample",), np.array(row_names), "1", "name of the row")}
    coordinates |= {name: store.Coordinate(("sample",), v, "1", name) for name, v in words.items()}
    coordinates |= {
        f"{d}_name": store.Coordinate((d,), np.array(each), "1", f"name of each {d}") for d, each in names.items()
    }
    if path.exists():
        shutil.rmtree(path)
    block = max(1, min(rows, BLOCK))
    store.create(path, KIND, sizes, block, spec, coordinates, {})
    for index in range(-(-rows // block)):
        part = slice(index * block, (index + 1) * block)
        store.write_block(path, block, index, {name: values[part] for name, values in whole.items()})
        store.mark_done(path, index)
    store.finish(path)


def _compact(values: np.ndarray) -> np.ndarray:
    """Return numbers in 32 bits where that loses nothing, -1 for those that are missing."""
    if values.dtype.kind != "f":
        return values.astype(np.int32)
    known = np.where(np.isfinite(values), values, -1)
    with np.errstate(over="ignore"):  # what is beyond float32 is not the same, either
        small = known.astype(np.float32)
    return small if np.array_equal(small, known) else known


def _unit(name: str) -> str:
    found = UNITS.search(name)
    return found[1] if found else "1"
