"""Write a store of simulated extracellular action potentials: ``python -m simulator.eap --rotation 3drot --out DIR``.

A sample is a cell, one of its spikes and an accepted placement before a probe. The samples of a cell are the first
``per_cell`` candidates whose EAP reaches the amplitude threshold at some contact, so a sample depends on the seed,
the cell and its number alone. The bytes of a store depend on its configuration and the program's versions alone, not
on workers, blocks or interruptions, because every worker computes in one thread.
"""

import json
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from spiketype.datasets import store
from spiketype.edge import UserError, cores, progress, versions
from spiketype.simulator.eap import features
from spiketype.simulator.eap.blocks import BlockResult, BlockTask, variables, write_block
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.probes import Probe, probe
from spiketype.simulator.neuron import cells, membrane
from spiketype.simulator.neuron.cells import CellModel
from spiketype.simulator.neuron.source import Source

# One thread in each worker: the bits of a sum depend on how it is divided among threads.
ONE_THREAD = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def generate(config: EapConfig, out: Path, workers: int | None = None) -> Path:
    """Write the store that `config` describes to `out`, or what is missing of it, and return `out`.

    Args:
        config: what the store holds.
        out: the folder of the store; an unfinished store of the same configuration is continued.
        workers: processes at once, by default one per core. 0 computes in this process on JAX's default device,
            which is what a GPU or TPU wants (and rounds in its own way).

    Raises:
        UserError: a cell model, probe or option is impossible; `out` holds something else; a worker died.
    """
    if workers is not None and workers < 0:
        raise UserError(f"--workers is {workers}: it must be at least 0")
    models = cells.catalogue(config.cell_models)
    layout = probe(config.probe)
    with _alone(out):
        if out.exists():
            _check_settings(out, config, layout)
            if store.done(out).all():
                return out
        sources = membrane.simulate(models)
        if out.exists():
            _check_sources(out, sources)
        else:
            _create(out, config, models, sources, layout)
        store.clean(out)
        _fill(out, config, models, sources, workers)
    return out


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep other processes from writing the same store: they wait, and then find it done."""
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out.with_name(f".{out.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another process that writes {out}", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _create(
    out: Path,
    config: EapConfig,
    models: Sequence[CellModel],
    sources: Mapping[str, Source],
    layout: Probe,
) -> None:
    matrix = _resampling(config, sources)
    time_ms = np.arange(0 if matrix is None else matrix.shape[1], dtype=np.float32) / np.float32(
        config.waveform_kHz or 1
    )
    spec = variables(config, len(time_ms))
    sizes = {
        "sample": config.per_cell * len(models),
        "channel": len(layout.contact_um),
        "cell_model": len(models),
    }
    sizes |= {"axis": 3, "world": 3, "local": 3, "time": len(time_ms)}
    about, by_cell = store.Coordinate, ("cell_model",)
    coordinates = {
        "cell_name": about(by_cell, np.array([m.name for m in models]), "1", "cell model"),
        "m_type": about(by_cell, np.array([m.m_type for m in models]), "1", "morphological type"),
        "e_type": about(by_cell, np.array([m.e_type for m in models]), "1", "electrical type"),
        "layer": about(by_cell, np.array([m.layer for m in models]), "1", "cortical layer"),
        "excitatory": about(by_cell, np.array([m.excitatory for m in models]), "1", "excitatory, else inhibitory"),
        "contact_um": about(("channel", "axis"), layout.contact_um, "um", "contact position"),
    }
    if len(time_ms):
        coordinates["time_ms"] = about(("time",), time_ms, "ms", "time from the start of the cut")
    attributes = {
        "config": _as_json(config),
        "seed": config.seed,
        "sources": json.dumps({m.name: sources[m.name].provenance for m in models}, sort_keys=True),
        "created_with": json.dumps(versions(), sort_keys=True),
        "probe_grid": list(layout.grid) if layout.grid else [],
    }
    block = store.choose_block(config.per_cell, sum(v.row_bytes(sizes) for v in spec.values()))
    store.create(out, "eap", sizes, block, spec, coordinates, attributes)


def _resampling(config: EapConfig, sources: Mapping[str, Source]) -> np.ndarray | None:
    """Return the matrix (time, new time) to the wanted sampling rate; None where no waveforms are kept."""
    if not config.waveform_kHz:
        return None
    one = next(iter(sources.values()))  # all are cut alike
    return features.resample(one.current_nA.shape[2], one.dt_ms, config.waveform_kHz)


def _check_settings(out: Path, config: EapConfig, layout: Probe) -> None:
    theirs, ours = store.config(store.attributes(out, "eap")), json.loads(_as_json(config))
    differing = [
        f"{name} is {theirs.get(name)} there, {ours[name]} here" for name in ours if theirs.get(name) != ours[name]
    ]
    if not differing and not np.array_equal(store.read(out, "contact_um"), layout.contact_um):
        differing = [f"probe {config.probe} has other contacts there"]
    if differing:
        raise UserError(f"{out} was made with other settings ({'; '.join(differing)}): choose another --out")


def _check_sources(out: Path, sources: Mapping[str, Source]) -> None:
    recorded = json.loads(store.attributes(out, "eap")["sources"])
    changed = [name for name, s in sources.items() if recorded[name] != json.loads(json.dumps(s.provenance))]
    if changed:
        raise UserError(f"{out} was begun with other currents of {', '.join(changed)}: delete it and start again")


def _fill(
    out: Path,
    config: EapConfig,
    models: Sequence[CellModel],
    sources: Mapping[str, Source],
    workers: int | None,
) -> None:
    """Write the missing blocks.

    Those of one cell are a chain: each begins at the candidate after the last of the block before.
    """
    finished = store.done(out)
    per_cell = len(finished) // len(models)
    block = config.per_cell // per_cell
    resampling = _resampling(config, sources)
    segments = max(s.current_nA.shape[1] for s in sources.values())

    def task(cell: int, candidate: int | None = None) -> BlockTask | None:
        left = np.flatnonzero(~finished[cell * per_cell : (cell + 1) * per_cell])
        if not len(left):
            return None
        index, model = cell * per_cell + int(left[0]), models[cell]
        if candidate is None:
            before = index * block - 1
            candidate = int(store.read(out, "candidate", before, before + 1)[0]) + 1 if left[0] else 0
        return BlockTask(out, config, model, cell, sources[model.name], segments, index, block, candidate, resampling)

    # The cells with most segments take longest: they go first, so that no core is left alone with one at the end.
    order = sorted(range(len(models)), key=lambda c: -sources[models[c].name].current_nA.shape[1])
    workers = cores() if workers is None else workers
    at_once = max(1, workers)
    with progress() as bar, _pool(workers) as submit:
        shown = bar.add_task(f"EAPs, {config.rotation}", total=finished.size * block)
        bar.advance(shown, int(finished.sum()) * block)
        waiting, running = deque(t for t in map(task, order) if t), set[Future[BlockResult]]()
        while waiting or running:
            while waiting and len(running) < at_once:
                running.add(submit(waiting.popleft()))
            complete, running = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(complete, key=lambda f: f.exception() is not None):  # failures last
                result = future.result()
                small = {"rank": (result.cell, result.rank), "rank_error_uV": (result.cell, result.error_uV)}
                store.mark_done(out, result.index, small)
                finished[result.index] = True
                bar.advance(shown, block)
                if following := task(result.cell, result.next_candidate):
                    waiting.appendleft(following)  # for the worker that has just become free: it knows the cell


@contextmanager
def _pool(workers: int) -> Iterator[Callable[[BlockTask], Future[BlockResult]]]:
    """Yield what runs tasks: processes of one thread each, or, with 0 workers, this process, at once."""
    if workers == 0:
        yield _here
        return
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)  # the children start with these; this process has read its own already
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _end_when_closed, (theirs,))

    def submit(task: BlockTask) -> Future[BlockResult]:
        # Processes are started here. They inherit the mask, so Ctrl-C reaches this process alone.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return pool.submit(write_block, task)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    try:
        yield submit
        pool.shutdown()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died (out of memory?): what is finished is kept; use fewer --workers"
        ) from error
    finally:
        ours.close()
        pool.shutdown(cancel_futures=True)
        theirs.close()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _end_when_closed(connection: Connection) -> None:
    """End this worker when the other end is closed: on Ctrl-C, or on a death that would leave it writing alone."""

    def watch() -> None:
        connection.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _here(task: BlockTask) -> Future[BlockResult]:
    future: Future[BlockResult] = Future()
    future.set_result(write_block(task))
    return future


def _as_json(config: EapConfig) -> str:
    return json.dumps(asdict(config), sort_keys=True)
