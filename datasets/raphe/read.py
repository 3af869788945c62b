"""The spikes that a user gives: a store, labelled or not, or recordings that are cut as another store's were."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from spiketype import reading
from spiketype.datasets import store
from spiketype.datasets.raphe import sources
from spiketype.datasets.raphe.options import ReadOptions, SpikeOptions
from spiketype.datasets.raphe.table import KIND, RapheTable, load, of_cells, told
from spiketype.edge import UserError

PER_SAMPLE = ("spike_pA", "label", "cell", "day", "udi_ms", "snr", "baseline_pA", "isi_ms", "time_s")


def labelled(path: Path) -> RapheTable:
    """Return the spikes of a store whose cells have a label.

    Raises:
        UserError: as `datasets.raphe.load`; a class has no cell.
    """
    table = load(path)
    return keep(table, np.flatnonzero(table.label >= 0), path, "give --labels to spiketype raphe extract")


def keep(table: RapheTable, rows: Int[np.ndarray, " kept"], path: Path, remedy: str) -> RapheTable:
    """Return some spikes of a table.

    Raises:
        UserError: none of them is of a cell of one of the classes.
    """
    for number, name in enumerate(table.class_names):
        if not (table.label[rows] == number).any():
            raise UserError(f"{path}: no cell is labelled {name}: {remedy}")
    if len(rows) == len(table.label):
        return table
    return replace(table, **{name: getattr(table, name)[rows] for name in PER_SAMPLE})


def spike_options(path: Path) -> SpikeOptions:
    """Return the options with which the spikes of a store were cut.

    Raises:
        UserError: the store does not tell them.
    """
    try:
        return SpikeOptions(**store.config(store.attributes(path, KIND))["spikes"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} does not tell how its spikes were cut ({error}): make it again") from error


def read(path: Path, options: SpikeOptions) -> RapheTable:
    """Return the spikes of a store, or of recordings and folders of CSV spikes, which are cut with the options.

    Raises:
        UserError: nothing gives a spike; it lists why.
    """
    if (path / "zarr.json").exists():
        return load(path)
    cells, left_out = sources.extract([path], options, ReadOptions(), sources.read_labels(None))
    if not cells:
        listed = "".join(f"\n  {file}: {why}" for file, why in left_out)
        raise UserError(f"{path}: nothing gave a spike:{listed}")
    for cell in cells:
        reading.note(cell.source, told(cell))
    return of_cells(cells, left_out, path)
