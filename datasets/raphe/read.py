"""The spikes that a user gives: a store, labelled or not, or recordings that are cut as another store's were."""

import re
from dataclasses import fields, replace
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
        UserError: as `datasets.raphe.load`; recordings, which have no labels yet; a class has no cell.
    """
    if path.exists() and not (path / "zarr.json").exists() and sources.find([path])[0]:
        raise UserError(
            f"{path} holds recordings and is no store of labelled spikes: make one of them with spiketype raphe extract"
            f" {path} --out spikes.zarr --labels labels.csv, and give that"
        )
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


def read_options(path: Path) -> ReadOptions:
    """Return how the recordings of a store were read, but for the day, which is theirs; as by default if not told."""
    told = store.config(store.attributes(path, KIND)).get("read", {})
    return ReadOptions(**{f.name: told[f.name] for f in fields(ReadOptions) if f.name in told and f.name != "day"})


def check_cut(path: Path, options: SpikeOptions) -> None:
    """Refuse a store whose spikes are aligned otherwise than with the options; say it where they cross other currents.

    Raises:
        UserError: another alignment.
    """
    try:
        theirs = spike_options(path)
    except UserError as error:
        reading.note(path, str(error).removeprefix(f"{path} "))
        return
    if theirs.align != options.align:
        raise UserError(
            f"{path}: its spikes are aligned by their {theirs.align}, those that the run was trained on by their"
            f" {options.align}: cut the recordings again with spiketype raphe extract --align {options.align}"
        )
    if _threshold(theirs) != _threshold(options):
        reading.note(
            path,
            f"its spikes cross {_threshold(theirs)}, those that the run was trained on {_threshold(options)}: smaller"
            " spikes may be among them, or missing",
        )


def _threshold(options: SpikeOptions) -> str:
    return f"{options.mads:g} deviations of the noise" if options.mads else f"{options.threshold_pA:g} pA"


def read(path: Path, options: SpikeOptions, how: ReadOptions) -> RapheTable:
    """Return the spikes of a store, or of recordings and folders of CSV spikes, which are read and cut as told.

    Raises:
        UserError: nothing gives a spike; it lists why. A store whose spikes are aligned otherwise.
    """
    if (path / "zarr.json").exists():
        table = load(path)
        check_cut(path, options)
        return table
    if given := [f"{f.name.replace('_', '-')} {value}" for f in fields(how) if (value := getattr(how, f.name))]:
        reading.note(path, f"read as the recordings that the run was trained on: {', '.join(given)}")
    cells, unread = sources.extract([path], options, how, sources.read_labels(None))
    left_out = [(file, _of_extract(why)) for file, why in unread]
    if not cells:
        listed = "".join(f"\n  {file}: {why}" for file, why in left_out)
        raise UserError(f"{path}: nothing gave a spike:{listed}")
    for cell in cells:
        reading.note(cell.source, told(cell))
    return of_cells(cells, left_out, path)


def _of_extract(why: str) -> str:
    """Return a reason with where its options are to be given: here there are none of them."""
    if not re.search(r"--[a-z]", why):
        return why
    return f"{why} (an option of spiketype raphe extract: make a store with it, and give that store)"
