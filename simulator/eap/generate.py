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
from spiketype.reading import LISTED, note, shortened
from spiketype.simulator.eap import features, recording
from spiketype.simulator.eap.blocks import BlockResult, BlockTask, variables, write_block
from spiketype.simulator.eap.chain import Chain
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.probes import Probe, probe
from spiketype.simulator.neuron import cells, membrane
from spiketype.simulator.neuron.cells import CellModel
from spiketype.simulator.neuron.membrane import Failure
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
        UserError: a cell model, probe or option is impossible, or no cell model fires as it should; `out` holds
            something else; a worker died.
    """
    if workers is not None and workers < 0:
        raise UserError(f"--workers is {workers}: it must be at least 0")
    models: Sequence[CellModel] = _models(config)
    layout = probe(config.probe)
    with _alone(out):
        if out.exists():
            _check_settings(out, config, layout)
            if store.done(out).all():
                return out
            models = _those_of(out, models)
        sources, failures = membrane.attempt(models, workers=workers or None)
        if out.exists():
            _check_sources(out, sources, failures)
        else:
            models = _able(models, failures)
            _create(out, config, models, sources, failures, layout)
        store.clean(out)
        _fill(out, config, models, sources, workers)
    return out


def _models(config: EapConfig) -> tuple[CellModel, ...]:
    models = cells.catalogue(config.cell_models, config.exclude, config.axon)
    if differing := cells.axons_differ(models):
        note("cell models", differing)
    return cells.vary(models, config.variants, config.seed, config.variant_width) if config.variants else models


def _able(models: Sequence[CellModel], failures: Mapping[str, Failure]) -> list[CellModel]:
    """Return the models that can be simulated, and say which cannot.

    Raises:
        UserError: none can.
    """
    able = [model for model in models if model.name not in failures]
    if not able:
        words = [failure.words for failure in failures.values()]
        more = f"\n\nand {len(words) - LISTED} more" if len(words) > LISTED else ""
        raise UserError("\n\n".join(["no cell model could be simulated:", *words[:LISTED]]) + more)
    for name, failure in failures.items():
        note("cell models", f"{name} is left out: {failure.reason}")
    return able


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
    failures: Mapping[str, Failure],
    layout: Probe,
) -> None:
    matrix, _ = _recorded(config, sources)
    kept = 0 if matrix is None or not config.waveform_kHz else matrix.shape[1]
    time_ms = np.arange(kept, dtype=np.float32) / np.float32(config.waveform_kHz or 1)
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
        "axon": about(by_cell, np.array([m.axon for m in models]), "1", "a stub, or the full one of the morphology"),
        "variant": about(by_cell, np.array([m.variant for m in models], np.int32), "1", "number; 0 is as published"),
        "model_name": about(by_cell, np.array([m.model_name for m in models]), "1", "published model of a variant"),
        "contact_um": about(("channel", "axis"), layout.contact_um, "um", "contact position"),
    }
    if len(time_ms):
        coordinates["time_ms"] = about(("time",), time_ms, "ms", "time from the start of the cut")
    attributes = {
        "config": _as_json(config),
        "seed": config.seed,
        "sources": json.dumps({m.name: sources[m.name].provenance for m in models}, sort_keys=True),
        "left_out": json.dumps({name: failure.reason for name, failure in failures.items()}, sort_keys=True),
        "created_with": json.dumps(versions(), sort_keys=True),
        "probe_grid": list(layout.grid) if layout.grid else [],
    }
    block = store.choose_block(config.per_cell, sum(v.row_bytes(sizes) for v in spec.values()))
    store.create(out, "eap", sizes, block, spec, coordinates, attributes)


def _recorded(config: EapConfig, sources: Mapping[str, Source]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the matrix (time, new time) to what is recorded, and what colours its noise; None for what is not needed.

    Without a recording chain, only waveforms that are kept are brought to another rate.
    """
    one = next(iter(sources.values()))  # all are cut alike
    times, dt_ms, rate_kHz = one.current_nA.shape[2], one.dt_ms, config.waveform_kHz or 1 / one.dt_ms
    if config.chain == Chain():
        return (features.resample(times, dt_ms, rate_kHz) if config.waveform_kHz else None), None
    how = times, dt_ms, rate_kHz, config.chain
    return recording.matrix(*how), recording.colouring(*how)


def _check_settings(out: Path, config: EapConfig, layout: Probe) -> None:
    # An older store, which does not know of an option, is as the option's default has it.
    defaults, ours = json.loads(_as_json(EapConfig())), json.loads(_as_json(config))
    theirs = defaults | store.config(store.attributes(out, "eap"))
    differing = [f"{name} is {theirs[name]} there, {ours[name]} here" for name in ours if theirs[name] != ours[name]]
    if not differing and not np.array_equal(store.read(out, "contact_um"), layout.contact_um):
        differing = [f"probe {config.probe} has other contacts there"]
    if differing:
        raise UserError(f"{out} was made with other settings ({'; '.join(differing)}): choose another --out")


def _those_of(out: Path, models: Sequence[CellModel]) -> list[CellModel]:
    """Return the models that an unfinished store was begun with, in its order.

    Raises:
        UserError: it was begun with others.
    """
    by_name = {model.name: model for model in models}
    names = [str(name) for name in store.read(out, "cell_name")]
    if absent := [name for name in names if name not in by_name]:
        raise UserError(f"{out} was begun with {shortened(absent)}, which are not there now: delete it and start again")
    return [by_name[name] for name in names]


def _check_sources(out: Path, sources: Mapping[str, Source], failures: Mapping[str, Failure]) -> None:
    recorded = json.loads(store.attributes(out, "eap")["sources"])
    changed = [name for name, s in sources.items() if recorded[name] != json.loads(json.dumps(s.provenance))]
    if failures or changed:
        other = shortened([*failures, *changed])
        raise UserError(f"{out} was begun with other currents of {other}: delete it and start again")


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
    matrices = _recorded(config, sources)
    segments = {name: source.current_nA.shape[1] for name, source in sources.items()}
    most = max(segments.values())

    def task(cell: int, candidate: int | None) -> BlockTask | None:
        left = np.flatnonzero(~finished[cell * per_cell : (cell + 1) * per_cell])
        if not len(left):
            return None
        index, model = cell * per_cell + int(left[0]), models[cell]
        if candidate is None:
            before = index * block - 1
            candidate = int(store.read(out, "candidate", before, before + 1)[0]) + 1 if left[0] else 0
        return BlockTask(out, config, model, cell, sources[model.name], most, index, block, candidate, *matrices)

    # The cells with most segments take longest: they go first, so that no core is left alone with one at the end.
    order = sorted(range(len(models)), key=lambda c: -segments[models[c].name])
    workers = cores() if workers is None else workers
    at_once = max(1, workers)
    with progress() as bar, _pool(workers) as submit:
        shown = bar.add_task(f"EAPs, {config.rotation}", total=finished.size * block)
        bar.advance(shown, int(finished.sum()) * block)
        waiting = deque[tuple[int, int | None]]((cell, None) for cell in order)
        running = set[Future[BlockResult]]()
        while waiting or running:
            while waiting and len(running) < at_once:
                if wanted := task(*waiting.popleft()):  # made late, because it holds the currents of its cell
                    running.add(submit(wanted))
            complete, running = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(complete, key=lambda f: f.exception() is not None):  # failures last
                result = future.result()
                small = {"rank": (result.cell, result.rank), "rank_error_uV": (result.cell, result.error_uV)}
                store.mark_done(out, result.index, small)
                finished[result.index] = True
                bar.advance(shown, block)
                # For the worker that has just become free: it knows the cell.
                waiting.appendleft((result.cell, result.next_candidate))


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
