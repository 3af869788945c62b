"""Cells of the Allen Cell Types Database as one table: what was measured, what the cells are, whose they are.

A folder has the database's own two files or allensdk's cache of them, which give 27 features of 1612 mouse and 400
human cells, or the tables of Ophir, Shefi and Lindenbaum (2024), 41 features of 1424 and 299 cells. Cite the Allen
Institute for Brain Science.
"""

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int, Int32

from spiketype import reading
from spiketype.datasets.allen import database
from spiketype.datasets.allen.columns import need, read
from spiketype.datasets.allen.database import DETAILS, NOISE
from spiketype.datasets.allen.features import FEATURES_27, FEATURES_41
from spiketype.edge import Json, UserError, cache_dir

SHIPPED = Path(__file__).with_name("lines.csv")  # the grouping of Ophir et al. 2024
DENDRITES = ("aspiny", "spiny")


class Lines(NamedTuple):
    """A table of lines: from (line, dendrite) to the name of the subclass, "" for cells that are left out."""

    path: Path
    of: dict[tuple[str, str], str]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the subclasses, sorted."""
        return tuple(sorted({name for name in self.of.values() if name}))


def read_lines(path: Path | None = None) -> Lines:
    """Read the table given, else the one that comes with the program.

    Raises:
        UserError: not a table with columns line, dendrite and class; an unknown kind of dendrite; a line that occurs
            twice with the same dendrites; no class.
    """
    path = path or SHIPPED
    table = read(path)
    need(path, table, "line", "dendrite", "class")
    of: dict[tuple[str, str], str] = {}
    for row, entry in enumerate(zip(table["line"], table["dendrite"], table["class"].fillna(""), strict=True)):
        line, dendrite, name = (str(each).strip() for each in entry)
        if dendrite not in DENDRITES:
            raise UserError(f"{path}, row {row + 2}: dendrite is {dendrite!r}, not {' or '.join(DENDRITES)}")
        if (line, dendrite) in of:
            raise UserError(f"{path}, row {row + 2}: {line} with {dendrite} dendrites occurs twice: keep one")
        of[line, dendrite] = name
    if not any(of.values()):
        raise UserError(f"{path} gives no line a class")
    return Lines(path, of)


def group(lines: Lines, line: pd.Series, dendrite: pd.Series) -> tuple[Int32[np.ndarray, " cell"], Counter[str]]:
    """Return the subclass of each cell, an index into `Lines.class_names` or -1, and why how many have none.

    Args:
        lines: which lines and dendrites make up a subclass.
        line: (cell,) names of transgenic lines, NaN without one.
        dendrite: (cell,) "spiny", "aspiny" or other.
    """
    number = {name: k for k, name in enumerate(lines.class_names)}
    found, why = np.full(len(line), -1, np.int32), Counter[str]()
    known = {name for name, _ in lines.of}
    for k, (name, kind) in enumerate(zip(line, dendrite, strict=True)):
        if pd.isna(name):
            why["no transgenic line"] += 1
        elif name not in known:
            why[f"line {name} is not in {lines.path.name}"] += 1
        elif subclass := lines.of.get((name, kind), ""):
            found[k] = number[subclass]
        else:
            why[f"line {name} with {kind} dendrites has no class in {lines.path.name}"] += 1
    return found, why


CLASSES = ("Glutamatergic", "Htr3a+|Vip-", "Pvalb+", "Sst+", "Vip+")
SPECIES = ("mouse", "human")
PER_CELL = ("x", "subclass", "spiny", "species", "donor", "specimen_id", "line", "layer", "rate_kHz")


@dataclass(frozen=True)
class AllenTable:
    """Cells, mouse before human, in the order of the files.

    Attributes:
        x: in the units of the database, NaN where not measured.
        subclass: index into class_names, -1 unknown.
        spiny: 1 spiny (excitatory), 0 aspiny (inhibitory).
        species: index into `SPECIES`.
        donor: index into donor_names.
        specimen_id: number of the cell in the database.
        line: index into line_names, the transgenic lines; -1 unknown, as in human cells.
        layer: index into layer_names, the cortical layers; -1 unknown.
        rate_kHz: sampling rate of the recording, 50 or 200, NaN unknown: see `database.sampling_rates`.
        feature_names: of the columns of x.
        source: the folder of the tables.
        left_out: (reason, number) of cells in the files that are not here.
    """

    x: Float64[np.ndarray, "cell feature"]
    subclass: Int32[np.ndarray, " cell"]
    spiny: Int32[np.ndarray, " cell"]
    species: Int32[np.ndarray, " cell"]
    donor: Int32[np.ndarray, " cell"]
    specimen_id: Int[np.ndarray, " cell"]
    line: Int32[np.ndarray, " cell"]
    layer: Int32[np.ndarray, " cell"]
    rate_kHz: Float64[np.ndarray, " cell"]
    donor_names: tuple[str, ...]
    line_names: tuple[str, ...]
    layer_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    source: Path
    class_names: tuple[str, ...] = CLASSES
    left_out: tuple[tuple[str, int], ...] = ()

    def take(self, rows: Int[np.ndarray, " taken"] | Bool[np.ndarray, " cell"]) -> "AllenTable":
        """Return the cells of an index or a mask, in its order; names stay as they are."""
        return replace(self, **{name: getattr(self, name)[rows] for name in PER_CELL})


def find(folder: Path | None) -> Path:
    """Return the folder of the tables: the one given, else ``$SPIKETYPE_DATA/allen``, else ``allen`` in the cache.

    Raises:
        UserError: it does not exist.
    """
    root = os.environ.get("SPIKETYPE_DATA")
    found = folder or (Path(root) if root else cache_dir()) / "allen"
    if not found.is_dir():
        raise UserError(
            f"{found} is not a folder: give --data FOLDER with mouse_ephys_data.csv and {DETAILS}, or the folder that "
            "spiketype allen download has filled"
        )
    return found


def load(folder: Path, features: int = 41, lines: Path | None = None) -> AllenTable:
    """Read the cells of all species in the folder, with 41 or with the database's own 27 features.

    The 41 are those of ``mouse_ephys_data.csv`` and ``human_ephys_data.csv`` where these exist, else the 27 and those
    of ``noise_features.csv``. Subclasses are those named in ``mouse_ephys_data.csv``; from the database, or with a
    table of lines, they go by line and dendrites (`read_lines`), and mouse cells without one are left out.

    Raises:
        UserError: no table; columns that are missing, empty, repeated, not numbers or in another unit; cells that occur
            twice; unknown classes or donors. The message names the file.
    """
    if features not in (27, 41):
        raise UserError(f"there are 27 or 41 features, not {features}")
    names = FEATURES_27 if features == 27 else FEATURES_41
    tables = [(k, path) for k, path in enumerate(folder / f"{s}_ephys_data.csv" for s in SPECIES) if path.exists()]
    published = features == 41 and bool(tables)
    if features == 41 and not tables and not (folder / NOISE).exists():
        raise UserError(
            f"{folder} has neither {SPECIES[0]}_ephys_data.csv nor {SPECIES[1]}_ephys_data.csv nor {NOISE}, which have "
            "features of noise sweeps: use the 27 features, or see spiketype allen noise-features --help"
        )
    known, why = database.details(folder), Counter[str]()
    if published:
        cells = pd.concat([database.published_cells(path, k, known.index, CLASSES) for k, path in tables])
        if cells.index.has_duplicates:
            twice = cells.index[cells.index.duplicated()][0]
            raise UserError(f"specimen {twice} is in both {' and '.join(str(path) for _, path in tables)}")
    else:
        cells = database.cells(folder, known, features == 41, why)
    classes: tuple[str, ...] = CLASSES
    if lines or not published:
        cells, classes = _group(cells, known, read_lines(lines), why)
    if cells.empty:
        reasons = "".join(f"\n  {number}: {reason}" for reason, number in why.most_common())
        raise UserError(f"{folder}: no cell is left{reasons}")
    table = _table(folder, cells, known, names, classes, tuple(why.most_common()))
    _tell(table, "published tables" if published else "Allen Cell Types Database")
    return table


def _tell(table: AllenTable, producer: str) -> None:
    """Say what was read."""
    labelled = table.subclass[table.subclass >= 0]
    counts = np.bincount(labelled, minlength=len(table.class_names)).tolist()
    facts: Json = {
        "producer": producer,
        "cells": {name: int(np.sum(table.species == k)) for k, name in enumerate(SPECIES)},
        "donors": len(table.donor_names),
        "features": len(table.feature_names),
        "missing_percent": round(100 * float(np.isnan(table.x).mean()), 2),
        "classes": dict(zip(table.class_names, counts, strict=True)),
        "left_out": {reason: number for reason, number in table.left_out},
    }
    cells = ", ".join(f"{number} {name}" for name, number in facts["cells"].items())
    left_out = "".join(f"; {number} left out: {reason}" for reason, number in table.left_out)
    reading.found(
        table.source,
        facts,
        f"{producer}, {cells} cells of {facts['donors']} donors, {facts['features']} features,"
        f" {facts['missing_percent']:g} % missing{left_out}",
    )


def _group(
    cells: pd.DataFrame, known: pd.DataFrame, lines: Lines, why: Counter[str]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return cells with subclasses by line, without the mouse cells that have none, and the names of the subclasses."""
    mouse = cells.index[cells["species"] == 0]
    subclass, reasons = group(lines, known["line_name"][mouse], known["tag__dendrite_type"][mouse])
    why.update(reasons)
    cells = cells.assign(subclass=pd.Series(subclass, index=mouse).reindex(cells.index, fill_value=-1))
    return cells[(cells["species"] != 0) | (cells["subclass"] >= 0)], lines.class_names


def _table(
    folder: Path,
    cells: pd.DataFrame,
    known: pd.DataFrame,
    names: tuple[str, ...],
    classes: tuple[str, ...],
    left_out: tuple[tuple[str, int], ...],
) -> AllenTable:
    x, ids = cells[list(names)].to_numpy(np.float64), cells.index.to_numpy()
    if empty := [name for name, column in zip(names, x.T, strict=True) if np.isnan(column).all()]:
        raise UserError(f"{folder}: column {empty[0]} is empty in all {len(x)} cells: nothing can be learned from it")
    donor, donor_names = _count(known["donor__id"][ids])
    line, line_names = _count(known["line_name"][ids])
    layer, layer_names = _count(known["structure__layer"][ids])
    return AllenTable(
        x=x,
        subclass=cells["subclass"].to_numpy(np.int32),
        spiny=cells["spiny"].to_numpy(np.int32),
        species=cells["species"].to_numpy(np.int32),
        donor=donor,
        specimen_id=ids,
        line=line,
        layer=layer,
        rate_kHz=database.sampling_rates(folder, ids),
        donor_names=donor_names,
        line_names=line_names,
        layer_names=layer_names,
        feature_names=names,
        source=folder,
        class_names=classes,
        left_out=left_out,
    )


def _count(values: pd.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return indices (cell,) into the sorted names, -1 where there is none, and the names."""
    codes, names = pd.factorize(values, sort=True)
    return codes.astype(np.int32), tuple(map(str, names))
