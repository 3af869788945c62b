"""Seconds to write and read an EAP store: with a file a block and with shards, in a folder and by S3.

Its numbers are noise: that of all arrays of the default store is written in turn by one process, checked, and read.
"""

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measuring import Results, free_port

from spiketype.datasets import store
from spiketype.edge import UserError
from spiketype.location import Location, Remote, parse
from spiketype.simulator.eap.blocks import variables
from spiketype.simulator.eap.config import EapConfig

SIZES = {"channel": 100, "time": 56, "cell_model": 1, "axis": 3, "world": 3, "local": 3}  # of the default store
SPEC = variables(EapConfig(), SIZES["time"])
SAMPLED = {name: each for name, each in SPEC.items() if each.dims[0] == "sample"}
PER_CELL = 100_000  # samples of a cell in the store that this is a part of
BLOCK = store.choose_block(PER_CELL)
STEPS = ("write", "finish", "features", "eap_uV")
BUCKET = "benchmark"
AS_USER = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
Arrays = dict[str, np.ndarray]


class Round(NamedTuple):
    """Files of a store, and the seconds of each of `STEPS`."""

    files: int
    seconds: tuple[float, ...]


def benchmark(samples: int = 20_000, rounds: int = 3, folder: Path | None = None) -> Results:
    """Write, check and read stores in turn without shards and with those of a large store; then by S3 on loopback.

    Args:
        samples: In each store: a multiple of 5000, which a shard has, or of 100 if they are fewer.
        rounds: Times that each is measured, in turn; the median counts.
        folder: Where to make those stores that are files, which are removed again; by default a temporary folder.
    """
    run = store.choose_run(PER_CELL // BLOCK, BLOCK * max(each.row_bytes(SIZES) for each in SAMPLED.values()))
    run = min(run, max(1, samples // BLOCK))
    if samples < 1 or samples % (run * BLOCK):
        raise UserError(f"--samples is {samples}: give a multiple of {run * BLOCK}")
    arrays = _noise(run * BLOCK)
    taken: dict[tuple[str, int], list[Round]] = {}
    with tempfile.TemporaryDirectory(dir=folder) as made, s3() as bucket:
        places = {"folder": made} | ({"S3": bucket} if bucket else {})
        for _ in range(rounds):
            for name, place in places.items():
                for blocks in sorted({1, run}):
                    each = taken.setdefault((name, blocks), [])
                    each.append(_round(parse(f"{place}/{len(taken)}-{len(each)}.zarr"), samples, arrays, blocks))
    return _report(samples, taken)


def _report(samples: int, taken: dict[tuple[str, int], list[Round]]) -> Results:
    print(f"{samples} samples; seconds")
    print(f"{'':>6} {'written together':>16} {'files':>6} {' '.join(f'{name:>8}' for name in STEPS)}")
    found: Results = {}
    for (name, blocks), rounds in taken.items():
        files, seconds = rounds[0].files, np.median([each.seconds for each in rounds], axis=0).tolist()
        shown = f"{blocks} block{'s' * (blocks > 1)}"
        print(f"{name:>6} {shown:>16} {files:>6} {' '.join(f'{s:8.2f}' for s in seconds)}")
        what = f"{name}_{shown.replace(' ', '_')}"
        found |= {f"{what}_files": float(files)}
        found |= {f"{what}_{step}_s": s for step, s in zip(STEPS, seconds, strict=True)}
    if not any(name == "S3" for name, _ in taken):
        print("S3: left out, moto is not installed")
    return found


@contextlib.contextmanager
def s3() -> Iterator[str | None]:
    """Run an S3 server of a process of its own, and yield the URL of its bucket; None where moto is not installed."""
    if importlib.util.find_spec("moto") is None:
        yield None
        return
    import boto3

    port, before = free_port(), dict(os.environ)
    os.environ.update(AS_USER, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # a line a request
    try:
        while server.poll() is None:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}"
    finally:
        server.kill()
        server.wait()
        os.environ.clear()
        os.environ.update(before)


def _round(path: Location, samples: int, arrays: Arrays, blocks: int) -> Round:
    """Write, check, read and remove a store."""
    seconds = (
        _timed(partial(_write, path, samples, arrays, blocks)),
        _timed(partial(store.finish, path)),
        _timed(partial(_read, path, ("amplitude_uV", "width_ms"))),
        _timed(partial(_read, path, ("eap_uV",))),
    )
    if isinstance(path, Remote):
        names = [name for name, _ in path.files()]
        for name in names:
            (path / name).unlink()
        return Round(len(names), seconds)
    files = sum(file.is_file() for file in path.rglob("*"))
    shutil.rmtree(path)
    return Round(files, seconds)


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


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
