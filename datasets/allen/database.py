"""The Allen Cell Types Database's own files: what a cell is, its 27 features, and how its recording was sampled.

``ephys_features.csv`` with ``cell_types_specimen_details.csv``, the two files that its web page offers, or with
``cells.json``, which allensdk's CellTypesCache keeps in its folder instead of the second.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int

from spiketype.damage import readable
from spiketype.datasets.allen.columns import measured, need, numbers, read, read_features, specimens
from spiketype.datasets.allen.features import FEATURES, FEATURES_14, FEATURES_27, FEATURES_41
from spiketype.edge import UserError

DETAILS, CELLS = "cell_types_specimen_details.csv", "cells.json"
EPHYS, NOISE = "ephys_features.csv", "noise_features.csv"
SPECIES = {"mus musculus": 0, "homo sapiens": 1}
KNOWN = ("donor__id", "line_name", "structure__layer", "tag__dendrite_type", "donor__species")
RATES_KHZ = (200.0, 50.0)  # of the two recording eras; every sample at 50 kHz is one at 200 kHz, too
SAMPLE_TIMES_S = (
    "latency",
    *(f"{each}_t_long_square" for each in ("threshold", "peak", "trough", "fast_trough", "slow_trough")),
)


def details(folder: Path) -> pd.DataFrame:
    """Read what the database says of each cell: `KNOWN` as text, NaN where it says nothing, indexed by the specimen.

    Raises:
        UserError: neither file is there; it is not such a table; a cell has no donor, or occurs twice.
    """
    path = folder / DETAILS
    if not path.exists() and (folder / CELLS).exists():
        path = folder / CELLS
    if not path.exists():
        raise UserError(f"{path} is missing (or {CELLS}): it names the donors, by which cells are held out")
    table = _cells(path) if path.name == CELLS else read(path)
    need(path, table, "specimen__id", "donor__id")
    index = specimens(path, table["specimen__id"])
    if table["donor__id"].isna().any():
        row = int(np.argmax(table["donor__id"].isna()))
        raise UserError(f"{path}: cell {index[row]} has no donor__id")
    return table.reindex(columns=KNOWN).set_index(index)


def _cells(path: Path) -> pd.DataFrame:
    """Read the answer of the database's interface, a list of cells, as a table of text."""
    with readable(path, "JSON", "remove it and repeat the download"):
        found = json.loads(path.read_text(encoding="utf-8"))
    if not (isinstance(found, list) and found and all(isinstance(cell, dict) for cell in found)):
        raise UserError(f"{path} is not a list of cells: remove it and repeat the download")
    text = [{name: str(cell[name]) for name in ("specimen__id", *KNOWN) if cell.get(name)} for cell in found]
    with readable(path, "a table of cells", "remove it and repeat the download"):
        return pd.DataFrame(text)


def features(folder: Path) -> pd.DataFrame:
    """Read the 27 features of the database, NaN where it has none, indexed by the specimen.

    Raises:
        UserError: the file is missing, or is not such a table.
    """
    return _features(folder / EPHYS, FEATURES_27)


def noise_features(folder: Path) -> pd.DataFrame:
    """Read the 14 features of noise sweeps that ``python -m datasets.allen noise-features`` wrote, likewise."""
    return _features(folder / NOISE, FEATURES_14)


def _features(path: Path, names: tuple[str, ...]) -> pd.DataFrame:
    table = read(path)
    need(path, table, "specimen_id", *names)
    x = np.stack([numbers(path, name, table[name]) for name in names], axis=1)
    ids = specimens(path, table["specimen_id"])
    x = measured(path, x, [str(each) for each in ids], [FEATURES[name].usual for name in names], names)
    return pd.DataFrame(x, columns=list(names), index=ids)


def sampling_rates(folder: Path, specimen_id: Int[np.ndarray, " cell"]) -> Float64[np.ndarray, " cell"]:
    """Return the sampling rate of each recording, 50 or 200 kHz, NaN unknown, by the times in ``ephys_features.csv``.

    Times in the response to a long square are times of samples of one sweep, 20 us apart where the amplifier ran at 50
    kHz and 5 us where it ran at 200 kHz. By chance, about one in a thousand of the latter has all its times on the
    coarse grid. For all 1811 cells whose recordings were read, the rates found are those in the recordings.

    Raises:
        UserError: the file is there, but is not such a table.
    """
    path = folder / EPHYS
    if not path.exists():
        return np.full(len(specimen_id), np.nan)
    table = read(path)
    need(path, table, "specimen_id")
    rate_kHz = pd.Series(np.nan, index=specimens(path, table["specimen_id"]))
    times_s = [numbers(path, name, table[name]) for name in SAMPLE_TIMES_S if name in table]
    if times_s:
        measured = np.isfinite(times_s)
        for rate in RATES_KHZ:
            sample = 1e3 * rate * np.stack(times_s)
            on = np.abs(sample - np.round(sample)) < 0.02
            chosen = np.asarray((on | ~measured).all(axis=0) & measured.any(axis=0))
            rate_kHz[chosen] = rate
    return np.asarray(rate_kHz.reindex(specimen_id).to_numpy())


def cells(folder: Path, known: pd.DataFrame, noise: bool, why: Counter[str]) -> pd.DataFrame:
    """Return cells with spiny or aspiny dendrites, mouse before human: species, spiny, subclass -1 and their features.

    Args:
        folder: of the tables.
        known: what the database says of each cell: `details`.
        noise: also the features of noise sweeps: 41 instead of 27.
        why: counts, by reason, the cells of `known` that are left out; it is added to.
    """
    found = features(folder)
    if noise:
        found = noise_features(folder).join(found, how="inner")
    named = pd.DataFrame(
        {
            "species": known["donor__species"].map(lambda name: SPECIES.get(str(name).lower(), np.nan)),
            "spiny": known["tag__dendrite_type"].map({"aspiny": 0, "spiny": 1}),
            "subclass": -1,
        }
    )
    why.update(f"species is {name}" for name in known["donor__species"][named["species"].isna()])
    named = named[named["species"].notna()]
    why.update(f"{known['tag__dendrite_type'][i]} dendrites" for i in named.index[named["spiny"].isna()])
    named = named[named["spiny"].notna()]
    if lacking := int((~named.index.isin(found.index)).sum()):
        why[f"not in {NOISE} and {EPHYS}" if noise else f"not in {EPHYS}"] += lacking
    return named.join(found, how="inner").sort_values("species", kind="stable")


def published_cells(path: Path, species: int, known: pd.Index, classes: Sequence[str]) -> pd.DataFrame:
    """Read the cells of one published table: species, spiny, subclass and 41 features.

    Args:
        path: the table.
        species: of its cells.
        known: the specimens whose donor the database knows.
        classes: names of the subclasses; it is -1 where the table has no ``transgenic_line``.

    Raises:
        UserError: a column is missing, empty or in another unit; dendrites, a class or a cell that is unknown; a cell
            that occurs twice.
    """
    x, names, _ = read_features(path, FEATURES_41)
    table = read(path)
    need(path, table, *FEATURES_41, "dendrite_type", "file_name")
    x = measured(path, x, names, [feature.usual for feature in FEATURES.values()], FEATURES_41)
    if (empty := np.isnan(x).all(axis=0)).any():
        raise UserError(f"{path}: column {FEATURES_41[int(np.argmax(empty))]} is empty in every cell")
    ids = specimens(path, table["file_name"])
    frame = pd.DataFrame(x, columns=list(FEATURES_41), index=ids)
    frame["species"] = species
    frame["spiny"] = _code(path, table, "dendrite_type", ("aspiny", "spiny"))
    frame["subclass"] = _code(path, table, "transgenic_line", classes) if "transgenic_line" in table else -1
    unknown = frame.index.difference(known, sort=False)
    if len(unknown):
        raise UserError(f"{path}: the database does not know {len(unknown)} of its cells, the first is {unknown[0]}")
    return frame


def _code(path: Path, table: pd.DataFrame, column: str, names: Sequence[str]) -> np.ndarray:
    codes = table[column].map({name: k for k, name in enumerate(names)})
    if codes.isna().any():
        row = int(np.argmax(codes.isna()))
        wrong = table[column][row]
        raise UserError(f"{path}, row {row + 2}: {column} {wrong!r} is unknown, not one of {', '.join(names)}")
    return np.asarray(codes.to_numpy(np.int32))
