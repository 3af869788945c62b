"""Accepted EAPs a second of the store writer: with more workers, and as tasks of a Dask cluster."""

import contextlib
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from measuring import Results

from spiketype.edge import cores
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.generate import generate


def benchmark(per_cell: int = 1000, rounds: int = 3, workers: tuple[int, ...] = (1, 2, 4)) -> Results:
    """Write the store of the 13 cell models in 3drot, whose currents and factors are known, start of workers included.

    Args:
        per_cell: Accepted EAPs of a cell model.
        rounds: Times that each is measured, in turn.
        workers: Numbers of processes; more than there are cores show what that costs.
    """
    config = EapConfig(per_cell=per_cell)
    with tempfile.TemporaryDirectory() as folder:
        size = written(config, Path(folder) / "first.zarr", workers[-1])[1]  # finds the factors
    samples = 13 * per_cell
    print(f"{samples} accepted EAPs, {size / samples / 1e3:.1f} kB each", flush=True)
    taken: dict[str, list[float]] = {f"{n} workers": [] for n in workers} | {"Dask": []}
    with cluster(cores()) as address:
        for _ in range(rounds):
            for name, seconds in taken.items():
                with tempfile.TemporaryDirectory() as folder:
                    of_dask = name == "Dask"
                    if of_dask and address is None:
                        continue
                    how = (None, address or "") if of_dask else (int(name.split()[0]), "")
                    seconds.append(written(config, Path(folder) / "a.zarr", *how)[0])
    found = {"accepted_EAP": float(samples), "kB_per_EAP": size / samples / 1e3}
    for name, seconds in taken.items():
        if seconds:
            rate = samples / statistics.median(seconds)
            found[f"{name.replace(' ', '_')}_EAP_per_s"] = rate
            print(f"{name}: {rate:.0f} EAPs/s")
    alone = taken.get(f"{cores()} workers")
    if alone and taken["Dask"]:
        ratio = statistics.median(np.divide(taken["Dask"], alone).tolist())
        print(f"Dask, {cores()} workers already started: {ratio:.2f} times the time of {cores()} processes")
        found["time_of_Dask_over_processes"] = ratio
    elif not taken["Dask"]:
        print("Dask: left out, it is not installed")
    return found


def written(config: EapConfig, path: Path, workers: int | None, scheduler: str = "") -> tuple[float, int]:
    """Seconds that a store took, and its bytes."""
    began = time.perf_counter()
    generate(config, path, workers, scheduler=scheduler)
    seconds = time.perf_counter() - began
    return seconds, sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


@contextmanager
def cluster(workers: int) -> Iterator[str | None]:
    """A Dask cluster on this machine, of processes of one thread; None where Dask is not installed."""
    if importlib.util.find_spec("distributed") is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "scheduler.json")
        started = [dask("scheduler", "--scheduler-file", file, "--port", "0", "--no-dashboard")]
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: [process.kill() for process in started])
            one = ("--nworkers", "1", "--nthreads", "1", "--no-nanny", "--local-directory", folder)
            started += [dask("worker", "--scheduler-file", file, *one) for _ in range(workers)]
            while not Path(file).exists():
                time.sleep(0.1)
            yield file


def dask(*arguments: str) -> "subprocess.Popen[bytes]":
    """A process of Dask's own command line, whose words are dropped."""
    return subprocess.Popen([sys.executable, "-m", "dask", *arguments], stderr=subprocess.DEVNULL)
