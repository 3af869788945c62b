"""Write a store of simulated extracellular action potentials: ``python -m simulator.eap --rotation 3drot --out DIR``.

A sample is a cell, one of its spikes and an accepted placement before a probe. The samples of a block of a cell are
the block's first candidates whose EAP reaches the amplitude threshold at some contact, so a sample depends on the seed,
the cell, the block and its number alone. The bytes of a store depend on its configuration and the program's versions
alone, not on workers, jobs or interruptions, because every worker computes in one thread.
"""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from spiketype.datasets import store
from spiketype.edge import UserError, cores, progress
from spiketype.location import Location, Remote
from spiketype.reading import LISTED, note
from spiketype.simulator.eap import engines, estimate, factored, parts, reach, shares, template
from spiketype.simulator.eap.block_range import WHOLE, Share
from spiketype.simulator.eap.blocks import BlockTask, medium_of
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.parts import Parts
from spiketype.simulator.eap.probes import Probe
from spiketype.simulator.neuron import membrane
from spiketype.simulator.neuron.cells import CellModel
from spiketype.simulator.neuron.membrane import Attempt, Failure

SAMPLES = 2  # in the names of cached stores: raised when a seed gives other samples, if only in their last digits


def generate(
    config: EapConfig,
    out: Location,
    workers: int | None = None,
    share: Share = WHOLE,
    scheduler: str = "",
    yes: bool = False,
    memory_limit_GB: float | None = None,
    made_of: Parts | None = None,
) -> Location:
    """Write the store that `config` describes to `out`, or what is missing of a share of it, and return `out`.

    Any number of processes may do so at once, on any number of machines that see `out` and the cache: whoever comes
    first makes the template, and a block that two of them write has the same bytes.

    Args:
        config: what the store holds.
        out: the store, a folder or a URL; an unfinished store of the same configuration is continued.
        workers: processes at once, by default one per core. 0: this process alone, on JAX's default device (for GPUs).
        share: the blocks to write, by default all.
        scheduler: address or file of a Dask scheduler, whose workers are to compute instead.
        yes: begin though it would not fit on the disk.
        memory_limit_GB: of each worker; it changes no sample.
        made_of: what `config` names, where it was looked up already.

    Raises:
        UserError: a cell model, probe or option is impossible, or no cell model fires as it should; `out` holds
            something else, or too little is free there; a worker died; no scheduler answers.
    """
    _check(out, workers, scheduler)
    made_of = made_of or parts.of(config)
    models, layout = made_of.models, made_of.layout
    found: Attempt | None = None
    begin = partial(_begin, config, layout, models, out, workers, scheduler, yes)
    block = store.choose_block(config.per_cell)  # refused now, not after the currents
    if not (begun := store.occupied(out)):
        begin(len(models) * config.per_cell // share.of)
        with contextlib.suppress(store.AlreadyThere):
            store.check_new(out)
            found = membrane.attempt(models, workers=workers or None)
            reach.check(config, layout, found.sources)
            template.create(out, config, _able(models, found.failures), *found, made_of)
    template.check_settings(out, config, layout)
    template.check_contents(out, made_of.contents)
    wanted = shares.missing(out, share)
    if len(wanted):
        batch = estimate.batch_within(memory_limit_GB, config, len(layout.contact_um), store.run_of(out) * block)
        if begun:
            begin(len(wanted) * block)
        models = template.models_of(out, models)
        needed = [models[cell] for cell in shares.cells_of(out, wanted)]
        found = found or membrane.attempt(needed, workers=workers or None)
        template.check_sources(out, [model.name for model in needed], *found)
        if share == WHOLE:  # a look at every file, which many jobs at once had better not take
            store.clean(out)
        tasks = shares.tasks(out, config, layout, models, found.sources, wanted)
        _fill([replace(task, batch=batch) for task in tasks], workers, share, scheduler)
    store.finish(out)
    _tell(out, share)
    return out


def cached(config: EapConfig, name: str) -> Path:
    """Return the store of a configuration in the user's cache, called so, simulated where it is missing.

    Where the files that the configuration names have another content, it is another store.

    Raises:
        UserError: as `generate`.
    """
    made_of = parts.of(config)
    path = store.cached("eap", f"{name}-{SAMPLES}", config, made_of.key)
    generate(config, path, made_of=made_of)
    return path


def _begin(
    config: EapConfig,
    layout: Probe,
    models: Sequence[CellModel],
    out: Location,
    workers: int | None,
    scheduler: str,
    yes: bool,
    samples: int,
) -> None:
    """Refuse a cluster that does not answer, and say how much is about to be made, and in what time, if it knows."""
    if scheduler:
        engines.check_cluster(scheduler)
    known = None if scheduler or workers == 0 else (workers or cores())
    new = _new(config, layout, models) if known else (0, 0)
    found = estimate.estimate(config, len(layout.contact_um), samples, *new)
    estimate.announce(out, found, known, yes)


def _new(config: EapConfig, layout: Probe, models: Sequence[CellModel]) -> tuple[int, int]:
    """Return how many of the models the cache has no currents of, and of how many it has no factors."""
    sources = [membrane.cache_path(model, membrane.PUBLISHED) for model in models]
    there, medium = [path for path in sources if path.exists()], medium_of(config, layout)
    found = sum(factored.cache_path(path, medium, True).exists() for path in there)
    return len(models) - len(there), len(models) - found


def _check(out: Location, workers: int | None, scheduler: str) -> None:
    """Refuse what cannot be written so."""
    if workers is not None and workers < 0:
        raise UserError(f"--workers is {workers}: it must be at least 0")
    if isinstance(out, Remote):
        out.check_writable()
        if out.scheme == "memory" and (workers != 0 or scheduler):
            raise UserError(f"{out} is in the memory of this process, which no other can write to: give --workers 0")


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


def _fill(tasks: Sequence[BlockTask], workers: int | None, share: Share, scheduler: str) -> None:
    """Write blocks, and show how far it is."""
    first = tasks[0]
    todo = len(tasks) * first.run
    finished = len(shares.blocks(first.path, share)) - todo
    workers = cores() if workers is None else workers
    of = "" if share == WHOLE else f", {share.number}/{share.of}"
    with progress() as bar:
        shown = bar.add_task(f"EAPs, {first.config.rotation}{of}", total=(finished + todo) * first.samples)
        bar.advance(shown, finished * first.samples)
        if scheduler:
            running = engines.cluster(tasks, scheduler)
        else:
            running = engines.processes(tasks, workers) if workers else engines.here(tasks)
        for task in running:
            bar.advance(shown, task.run * task.samples)


def _tell(out: Location, share: Share) -> None:
    """Say what other shares have still to do, where this is one of several."""
    if share != WHOLE:
        left = len(shares.missing(out))
        rest = f"{left} blocks of other shares are missing" if left else "the store is complete"
        print(f"{out}: share {share.number}/{share.of} is done; {rest}", file=sys.stderr)
