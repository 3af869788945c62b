"""Which blocks of a store are missing, and which of them one of several jobs is to write.

The blocks are divided by cells, and by the time they take, so that a job needs few cells and all end together. A share
depends on the store's template alone, so jobs that know nothing of each other agree.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from spiketype.datasets import store
from spiketype.location import Location
from spiketype.simulator.eap.block_range import WHOLE, Share
from spiketype.simulator.eap.blocks import BlockTask
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.probes import Probe
from spiketype.simulator.neuron.cells import CellModel
from spiketype.simulator.neuron.membrane import Cached


def blocks(path: Location, share: Share = WHOLE) -> Int[np.ndarray, " block"]:
    """Return the numbers of the blocks of a share, ascending.

    A block takes about as long as its cell has segments. Those that are written together are of one share.
    """
    segments, run = store.read(path, "segments").astype(np.int64), store.run_of(path)
    weight = np.repeat(segments, _per_cell(path) // run)
    middle = 2 * np.cumsum(weight) - weight  # twice that of each run, in whole numbers: every machine finds the same
    runs = np.flatnonzero(middle * share.of // (2 * weight.sum()) == share.number - 1)
    found: np.ndarray = (runs[:, None] * run + np.arange(run)).ravel()
    return found


def missing(path: Location, share: Share = WHOLE) -> Int[np.ndarray, " block"]:
    """Return the numbers of the blocks of a share that are not done, ascending."""
    of_share = blocks(path, share)
    found: np.ndarray = of_share[~store.done(path)[of_share]]
    return found


def cells_of(path: Location, wanted: Int[np.ndarray, " block"]) -> list[int]:
    """Return the positions of the cells that the wanted blocks are of, ascending."""
    return sorted(set((wanted // _per_cell(path)).tolist()))


def tasks(
    path: Location,
    config: EapConfig,
    layout: Probe,
    models: Sequence[CellModel],
    sources: Cached,
    wanted: Int[np.ndarray, " block"],
) -> list[BlockTask]:
    """Return what writes each run of the wanted blocks of a store of these models.

    The cells with most segments take longest: they go first, so that no core is left alone with one at the end.
    """
    per_cell, segments = _per_cell(path), store.read(path, "segments").astype(np.int64)
    most, run = int(segments.max()), store.run_of(path)
    first = np.unique(wanted // run) * run
    made = []
    for index in first[np.argsort(-segments[first // per_cell], kind="stable")].tolist():
        cell, number = divmod(index, per_cell)
        source, samples = sources.path(models[cell].name), config.per_cell // per_cell
        made.append(
            BlockTask(path.absolute(), config, layout, models[cell], cell, source, most, index, number, run, samples)
        )
    return made


def _per_cell(path: Location) -> int:
    """Return the number of blocks of a cell."""
    return store.OnDisk(path, "done").shape[0] // store.OnDisk(path, "segments").shape[0]
