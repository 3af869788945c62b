"""What a reading program of its own hands over: arrays and JSON, never pickles.

HDF5 and SciPy end their process over some damaged files, and HDF5 never comes to the end of others, so a process of its
own reads these. It runs this file, with the name of a program (`matlab_file`, `nwb_hdf5`, `sweep_file`) whose function
``read`` returns what is handed over; those of many small files import nothing of spiketype, to start quickly.
"""

import io
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

Value = Any  # None, numbers, words, lists, dicts with words as keys, and arrays, object arrays of all these too
TREE = "tree"
# Of a process: a file that needs more is damaged, or made to fill the memory. Libraries need some for themselves, and
# what a file holds is there four times until it is handed over.
LEAST_BYTES, MOST_TIMES = 1_400_000_000, 400
LEAST_S, BYTES_PER_S = 20, 10**6
STATM = "/proc/self/statm"


class Unreadable(Exception):
    """The program could not read the file; its last words."""


def ask(program: Path, path: Path) -> Value:
    """Return what the function ``read`` of a program returns of a file.

    Raises:
        Unreadable: it ended with an error, or crashed.
    """
    command = [sys.executable, "-P", __file__, str(program), str(path.absolute())]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Unreadable(said[-1] if said and done.returncode > 0 else "it is damaged, and its reader crashed over it")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as stored:
        arrays = dict(stored)
    return _value(json.loads(arrays[TREE].tobytes()), arrays)


def _hand_over(value: Value) -> None:
    """Print a value for `ask`."""
    arrays: dict[str, np.ndarray] = {}
    tree = json.dumps(_tree(value, arrays)).encode()
    buffer = io.BytesIO()
    np.savez(buffer, tree=np.frombuffer(tree, np.uint8), **arrays)  # type: ignore[arg-type]  # names are numbers
    sys.stdout.buffer.write(buffer.getvalue())


def _tree(value: Value, arrays: dict[str, np.ndarray]) -> Value:
    """Return a value as JSON, in which arrays are numbers."""
    if isinstance(value, dict):
        return {"dict": [[name, _tree(each, arrays)] for name, each in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_tree(each, arrays) for each in value]}
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return {"cells": [_tree(each, arrays) for each in value.reshape(-1)], "shape": value.shape}
    if isinstance(value, np.ndarray | np.generic):
        name = f"a{len(arrays)}"
        arrays[name] = np.asarray(value)
        return {"array": name, "scalar": isinstance(value, np.generic)}
    return {"plain": value if isinstance(value, str | int | float) else None}  # None: nothing that is needed


def _value(tree: Value, arrays: dict[str, np.ndarray]) -> Value:
    if "dict" in tree:
        return {name: _value(each, arrays) for name, each in tree["dict"]}
    if "list" in tree:
        return [_value(each, arrays) for each in tree["list"]]
    if "tuple" in tree:
        return tuple(_value(each, arrays) for each in tree["tuple"])
    if "cells" in tree:
        cells = np.empty(len(tree["cells"]), object)
        for place, each in enumerate(tree["cells"]):
            cells[place] = _value(each, arrays)
        return cells.reshape(tree["shape"])
    if "array" in tree:
        found = arrays[tree["array"]]
        return found[()] if tree["scalar"] else found
    return tree["plain"]


def main(program: str, path: str) -> None:
    """Read a file with a program, in the memory and time that its size makes likely, and print what it returns."""
    size = os.path.getsize(path)
    _limit("RLIMIT_CPU", LEAST_S + size // BYTES_PER_S)
    if os.path.exists(STATM):
        with open(STATM) as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        _limit("RLIMIT_AS", used + LEAST_BYTES + MOST_TIMES * size)
    _hand_over(runpy.run_path(program)["read"](path))


def _limit(name: str, most: int) -> None:
    """Limit this process, where the system has such limits."""
    try:
        import resource
    except ImportError:  # Windows
        return
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2])
    except Exception as error:  # in one line, the last that it says
        sys.exit(f"{error or type(error).__name__}".replace("\n", " "))
