"""Time an EAP store with a file a block and with shards: ``python scripts/benchmark_store.py --out FOLDER``.

Its numbers are noise: that of all arrays of the default store is written in turn by one process, checked, and read.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import tyro

from spiketype.datasets import store
from spiketype.edge import guard
from spiketype.location import Location, Place, Remote
from spiketype.simulator.eap.blocks import variables
from spiketype.simulator.eap.config import EapConfig

SIZES = {"channel": 100, "time": 56, "cell_model": 1, "axis": 3, "world": 3, "local": 3}  # of the default store
SPEC = variables(EapConfig(), SIZES["time"])
SAMPLED = {name: each for name, each in SPEC.items() if each.dims[0] == "sample"}
PER_CELL = 100_000  # samples of a cell in the store that this is a part of
BLOCK = store.choose_block(PER_CELL)
Arrays = dict[str, np.ndarray]


def main(out: Place, samples: int = 20_000) -> None:
    """Print files, and seconds for writing, checksums and reading, without shards and with those of a large store.

    Args:
        out: A folder or URL for two stores, which are removed again if it is a folder.
        samples: In each of them; a shard has 5000.
    """
    run = store.choose_run(PER_CELL // BLOCK, BLOCK * max(each.row_bytes(SIZES) for each in SAMPLED.values()))
    arrays = _noise(run * BLOCK)
    print(f"{samples} samples; seconds")
    print(f"{'written together':>16} {'files':>6} {'write':>6} {'finish':>6} {'features':>8} {'eap_uV':>6}")
    for blocks in (1, run):
        path = out / f"run{blocks}.zarr"
        seconds = (
            _timed(partial(_write, path, samples, arrays, blocks)),
            _timed(partial(store.finish, path)),
            _timed(partial(_read, path, ("amplitude_uV", "width_ms"))),
            _timed(partial(_read, path, ("eap_uV",))),
        )
        write, finish, features, eap = seconds
        shown = f"{blocks} block{'s' * (blocks > 1)}"
        print(f"{shown:>16} {_count(path):>6} {write:6.2f} {finish:6.2f} {features:8.2f} {eap:6.2f}")
        if isinstance(path, Path):
            shutil.rmtree(path)


def _noise(rows: int) -> Arrays:
    rng = np.random.default_rng(0)
    return {
        name: (100 * rng.standard_normal((rows, *(SIZES[d] for d in each.dims[1:])), np.float32)).astype(each.dtype)
        for name, each in SAMPLED.items()
    }


def _write(path: Location, samples: int, arrays: Arrays, run: int) -> None:
    store.create(path, "eap", SIZES | {"sample": samples}, BLOCK, SPEC, {}, {}, run)
    held = len(arrays["cell"]) // BLOCK
    for index in range(0, samples // BLOCK, run):
        first = index % held * BLOCK
        store.write_block(path, BLOCK, index, {name: x[first : first + run * BLOCK] for name, x in arrays.items()})
        store.mark_done(path, index, run=run)


def _read(path: Location, names: Sequence[str]) -> None:
    for array in (store.OnDisk(path, name) for name in names):
        for start in range(0, array.shape[0], array.chunks[0]):
            array[start : start + array.chunks[0]]


def _count(path: Location) -> int:
    if isinstance(path, Remote):
        return len([*path.files()])
    return sum(file.is_file() for file in path.rglob("*"))


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    with guard():
        tyro.cli(main)
