"""The spikes that a user gives: a store, labelled or not, or recordings that are cut as another store's were."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from spiketype import reading
from spiketype.datasets import store
from spiketype.datasets.fingerprint import fingerprint
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
    for number, name in enumerate(table.class_names):
        if not (table.label == number).any():
            raise UserError(f"{path}: no cell is labelled {name}: give --labels to python -m datasets.raphe extract")
    keep = np.flatnonzero(table.label >= 0)
    if len(keep) == len(table.label):
        return table
    return replace(table, **{name: getattr(table, name)[keep] for name in PER_SAMPLE})


def content(table: RapheTable) -> str:
    """Return the fingerprint of the spikes and of the labels of their cells."""
    return fingerprint(table.spike_pA, table.cell_label)


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
