"""EAPs a second of the store writer's forward model, of LFPykit on the same placements, and of MEArec."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import jax
import lfpykit
import numpy as np
from benchmark_device import on_device
from measuring import Results

from spiketype.edge import cores
from spiketype.simulator.eap import factored, forward, lowrank, placement
from spiketype.simulator.eap.blocks import CPU_BATCH, medium_of
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.factored import RANK_MULTIPLE
from spiketype.simulator.eap.probes import points, probe
from spiketype.simulator.neuron import cells, membrane
from spiketype.simulator.neuron.source import Source
from spiketype.simulator.workers import ONE_THREAD

SEGMENTS = 1344  # of the largest of the 13 cells, to which the store writer pads all

MEAREC = """
import json, sys, time, MEArec, yaml
folder, n = sys.argv[1], int(sys.argv[2])
params = dict(rot="3drot", probe="SqMEA-10-15", ncontacts=1, xlim=[10, 60], ylim=[-75, 75], zlim=[-75, 75],
              min_amp=30, n=n, seed=0, check_eap_shape=False)
common = dict(params=params, templates_tmp_folder=folder + "/tmp", delete_tmp=False, verbose=False)
try:
    MEArec.gen_templates(folder + "/cells", intraonly=True, **common)
except FileNotFoundError:
    pass  # MEArec 1.11 looks for templates even then
began = time.perf_counter()
made = MEArec.gen_templates(folder + "/cells", **common)
print(json.dumps([len(made.templates), time.perf_counter() - began]))
"""


def benchmark(
    rounds: int = 5,
    batches: int = 8,
    lfpykit_batch: int = 4,
    mearec_python: Path | None = None,
    device_batch: int = 4096,
    peak_tflops: float = 60.0,
    peak_gb_per_s: float = 3350.0,
) -> Results:
    """Potentials of all cell models at 100 contacts x 224 samples, 3drot, intracellular part excluded.

    Where JAX finds a GPU or a TPU, they are computed on it as well, and its roofline is printed beside them.

    Args:
        rounds: Times that each is measured, in turn.
        batches: Batches of each cell in a round of ours.
        lfpykit_batch: Placements of each cell, the first of ours, in a round of LFPykit.
        mearec_python: Python of an environment with MEArec[templates] and NEURON 8; left out where it is absent.
        device_batch: Placements of a cell at once on a GPU or a TPU.
        peak_tflops: What that can do at most in float32; by default an H100.
        peak_gb_per_s: What its memory can take at most.
    """
    models = cells.catalogue()
    sources = membrane.simulate(models)
    before = dict(os.environ)
    os.environ.update(ONE_THREAD)
    count = min(cores(), len(models))  # a pool starts no more than it has tasks, and all wait for each other
    context = get_context("spawn")
    order = sorted(models, key=lambda m: -sources[m.name].current_nA.shape[1])  # the heaviest first, as the writer does
    paths = [str(membrane.cache_path(model, membrane.PUBLISHED)) for model in order]
    with ProcessPoolExecutor(count, context) as pool:
        list(pool.map(find, paths))
    with ProcessPoolExecutor(count, context, prepare, (paths, context.Barrier(count))) as pool:
        list(pool.map(ours, paths, [1] * len(paths)))
        os.environ.clear()
        os.environ.update(before)
        rates = []
        for _ in range(rounds):
            began = time.perf_counter()
            done = sum(pool.map(ours, paths, [batches] * len(paths)))
            middle = time.perf_counter()
            theirs = sum(len(reference(source, lfpykit_batch)) for source in sources.values())
            rates.append((done / (middle - began), theirs / (time.perf_counter() - middle)))
    ratio = statistics.median(a / b for a, b in rates)
    rate, lfpykit_rate = (statistics.median(each) for each in zip(*rates, strict=True))
    print(f"ours, {count} processes of one thread: {rate:.0f} EAPs/s")
    print(f"LFPykit, all cores: {lfpykit_rate:.1f} EAPs/s")
    print(f"ratio to LFPykit, median of {rounds}: {ratio:.0f} (wanted: 150)", flush=True)
    difference_uV = disagreement(paths[0], 4)
    print(f"largest difference of {order[0].name}: {difference_uV:.1g} uV", flush=True)
    found = {"ours_EAP_per_s": rate, "LFPykit_EAP_per_s": lfpykit_rate, "ratio_to_LFPykit": ratio}
    found["largest_difference_uV"] = difference_uV
    if jax.default_backend() != "cpu":
        found |= on_device([factors(path) for path in paths], device_batch, rounds, peak_tflops, peak_gb_per_s)
    if mearec_python is None:
        print("MEArec: left out; --mearec-python PATH names the Python of an environment with MEArec[templates]")
        return found
    mearec_rate = mearec(mearec_python, models)
    print(f"mearec gen-templates, currents cached: {mearec_rate:.2f} EAPs/s")
    print(f"ratio to MEArec: {rate / mearec_rate:.0f} (wanted: 1000)")
    return found | {"MEArec_EAP_per_s": mearec_rate, "ratio_to_MEArec": rate / mearec_rate}


def placed(name: str, first: int, count: int) -> placement.Placement:
    """Placements of a cell by number."""
    return placement.draw(0, name, "BP", True, first, count, "3drot")


def prepare(paths: Sequence[str], barrier: Barrier) -> None:
    """Read and compile everything in this process, and wait for the others."""
    for path in paths:
        ours(path, 1)
    barrier.wait()


def find(path: str) -> None:
    """Find the factors of a cell as the store writer does, in a process of one thread, and keep them in its cache."""
    factored.cell(Path(path), medium_of(EapConfig(), probe()), SEGMENTS)


@cache
def factors(path: str) -> forward.Factors:
    """Factors of a cell that have been found, padded as in the store writer."""
    cell = factored.load(factored.cache_path(Path(path), medium_of(EapConfig(), probe()), in_one_thread=True))
    return lowrank.pad(cell.factors, SEGMENTS, -(-cell.rank // RANK_MULTIPLE) * RANK_MULTIPLE)


@cache
def source_of(path: str) -> Source:
    """Currents of a cell."""
    return Source.load(Path(path))


def ours(path: str, batches: int) -> int:
    """Compute batches of potentials of one cell; returns how many EAPs that were."""
    name, cell, contacts = source_of(path).name, factors(path), points(probe())
    for number in range(batches):
        forward.potentials(cell, contacts, *placed(name, number * CPU_BATCH, CPU_BATCH)).block_until_ready()
    return batches * CPU_BATCH


def reference(source: Source, count: int) -> np.ndarray:
    """LFPykit's potentials in uV (n, channel, time): a matrix for each placement, times the currents."""
    position, rotation, spike = map(np.asarray, placed(source.name, 0, CPU_BATCH))
    result = []
    for p, r, k in zip(position[:count], rotation[:count], spike[:count], strict=True):
        ends = [(end @ r.T + p).astype(float) for end in (source.start_um, source.end_um)]
        x, y, z = (np.stack([ends[0][:, i], ends[1][:, i]], axis=1) for i in range(3))
        geometry = lfpykit.CellGeometry(x=x, y=y, z=z, d=source.diameter_um.astype(float))
        contact = probe().contact_um.astype(float)
        model = lfpykit.LineSourcePotential(geometry, x=contact[:, 0], y=contact[:, 1], z=contact[:, 2], sigma=0.3)
        result.append(1e3 * (model.get_transformation_matrix() @ source.current_nA[k]))
    return np.stack(result)


def disagreement(path: str, count: int) -> float:
    """Largest difference (uV) between ours, on JAX's default device, and LFPykit's potentials."""
    source = source_of(path)
    got = forward.potentials(factors(path), points(probe()), *placed(source.name, 0, CPU_BATCH))[:count]
    return float(np.abs(np.asarray(got) - reference(source, count)).max())


def mearec(python: Path, models: Sequence[cells.CellModel], count: int = 2) -> float:
    """EAPs a second of ``mearec gen-templates`` with the intracellular simulations done before."""
    with tempfile.TemporaryDirectory() as folder:
        copies = Path(folder) / "cells"
        for model in models:  # copies, because MEArec compiles the mechanisms inside the folder
            shutil.copytree(model.path, copies / model.name)
        environment = {**os.environ, "PATH": f"{python.absolute().parent}{os.pathsep}{os.environ['PATH']}"}
        command = [str(python.absolute()), "-c", MEAREC, folder, str(count)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
        if done.returncode:
            sys.exit(f"MEArec failed:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
        made, seconds = json.loads(done.stdout.strip().splitlines()[-1])
        return made / seconds
