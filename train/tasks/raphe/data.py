"""The spikes of a run: the store that it trains on, what is held out of it, and recordings that are to be called."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from spiketype.datasets import raphe, splits, store
from spiketype.datasets.fingerprint import fingerprint
from spiketype.datasets.raphe import RapheTable, sources
from spiketype.datasets.raphe.extract import SpikeOptions
from spiketype.edge import UserError, cached_store
from spiketype.train.tasks.raphe.config import RapheTaskConfig

SPLITS = {"day": "group", "leave-one-day-out": "leave-one-out", "cell": "group", "spike": "random"}
SPIKE_TEST = 0.15  # published: 70 % of the spikes train, 15 % validate, 15 % test
PER_SAMPLE = ("spike_pA", "label", "cell", "day", "udi_ms", "snr", "baseline_pA", "isi_ms", "time_s")


def find_store(config: RapheTaskConfig) -> Path:
    """Return the store that a run uses: the one given, or that of its options in the cache, simulated if missing."""
    if config.data is not None:
        return config.data
    # Imported here: training on a store that exists needs no simulator.
    from spiketype.simulator.raphe.generate import RapheConfig, generate

    wanted = RapheConfig(
        seed=config.store_seed,
        copies=config.copies,
        most_spikes=config.most_spikes,
        confound=config.confound,
        contrast=config.contrast,
    )
    path = cached_store("raphe", f"seed{config.store_seed}", wanted)
    return path if path.exists() else generate(wanted, path)


def labelled(path: Path) -> RapheTable:
    """Return the spikes of a store whose cells have a label.

    Raises:
        UserError: as `datasets.raphe.load`; a class has no cell.
    """
    table = raphe.load(path)
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
        return SpikeOptions(**store.config(store.attributes(path, raphe.KIND))["spikes"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} does not tell how its spikes were cut ({error}): make it again") from error


def read(path: Path, options: SpikeOptions) -> RapheTable:
    """Return the spikes of a store, or of recordings and folders of CSV spikes, which are cut with the options.

    Raises:
        UserError: nothing gives a spike; it lists why.
    """
    if (path / "zarr.json").exists():
        return raphe.load(path)
    cells, left_out = sources.extract([path], options, sources.ReadOptions(), sources.read_labels(None))
    if not cells:
        listed = "".join(f"\n  {file}: {why}" for file, why in left_out)
        raise UserError(f"{path}: nothing gave a spike:{listed}")
    return raphe.of_cells(cells, left_out, path)


def make_split(config: RapheTaskConfig, table: RapheTable) -> splits.Split:
    """Divide the spikes by what the configuration holds out."""
    group, names, word = (
        (table.day, table.day_names, "day") if "day" in config.split else (table.cell, table.cell_names, "cell")
    )
    kind = SPLITS[config.split]
    return splits.make(kind, table.label, group, names, config.folds, config.seed, SPIKE_TEST, by=word)
