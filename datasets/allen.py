"""Cells of the Allen Cell Types Database as feature tables: what was measured, what the cells are, whose they are.

python -m datasets.allen download --out DIR            the database's files, through allensdk
python -m datasets.allen noise-features --data DIR     14 more features from the recordings
python -m datasets.allen count --data DIR              what there is, and what is left out why

A folder has the database's own two files or allensdk's cache of them, which give 27 features of 1612 mouse and 400
human cells, or the tables of Ophir, Shefi and Lindenbaum (2024), 41 features of 1424 and 299 cells. Cite the Allen
Institute for Brain Science.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import tyro

from datasets import allen_database, allen_download, allen_lines, allen_noise, allen_published
from datasets.allen_database import DETAILS as DONORS
from datasets.allen_database import NOISE
from datasets.allen_features import FEATURES as FEATURES
from datasets.allen_features import FEATURES_27, FEATURES_41
from datasets.allen_lines import DENDRITES, Lines
from datasets.allen_tables import check_units as check_units
from datasets.allen_tables import read_features as read_features
from datasets.edge import UserError, cache_dir, guard

CLASSES = ("Glutamatergic", "Htr3a+|Vip-", "Pvalb+", "Sst+", "Vip+")
SPECIES = ("mouse", "human")


@dataclass(frozen=True)
class AllenTable:
    """Cells, mouse before human, in the order of the files.

    x (cell, feature) float64 in the units of the database, NaN where not measured; subclass (cell,) counts into
    class_names, -1 unknown; spiny (cell,) 1 spiny (excitatory), 0 aspiny (inhibitory); species (cell,) counts into
    `SPECIES`; donor (cell,) counts into donor_names; specimen_id (cell,). line and layer (cell,) count into line_names
    (transgenic lines) and layer_names (cortical layers), -1 unknown, as the line of human cells is; rate_kHz (cell,)
    float64 sampling rate of the recording, 50 or 200, NaN unknown: see `allen_database.sampling_rates`. left_out: why
    cells of the files are not here, and how many.
    """

    x: np.ndarray
    subclass: np.ndarray
    spiny: np.ndarray
    species: np.ndarray
    donor: np.ndarray
    specimen_id: np.ndarray
    line: np.ndarray
    layer: np.ndarray
    rate_kHz: np.ndarray
    donor_names: tuple[str, ...]
    line_names: tuple[str, ...]
    layer_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    source: Path
    class_names: tuple[str, ...] = CLASSES
    left_out: tuple[tuple[str, int], ...] = ()

    def take(self, rows: np.ndarray) -> "AllenTable":
        """The cells of rows (indices or mask)."""
        arrays = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.type is np.ndarray}
        return replace(self, **arrays)


def find(folder: Path | None) -> Path:
    """The folder of the tables: the one given, else ``$SPIKETYPE_DATA/allen``, else ``allen`` in the cache.

    Raises:
        UserError: it does not exist.
    """
    root = os.environ.get("SPIKETYPE_DATA")
    found = folder or (Path(root) if root else cache_dir()) / "allen"
    if not found.is_dir():
        raise UserError(
            f"{found} is no folder: give --data FOLDER with mouse_ephys_data.csv and {DONORS}, or what python -m "
            "datasets.allen download has fetched"
        )
    return found


def load(folder: Path, features: int = 41, lines: Path | None = None) -> AllenTable:
    """The cells of all species in the folder, with 41 or with the database's own 27 features.

    The 41 are those of ``mouse_ephys_data.csv`` and ``human_ephys_data.csv`` where they are there, else the 27 beside
    ``noise_features.csv``. Subclasses are those named in ``mouse_ephys_data.csv``; from the database, or with a table
    of lines, they go by line and dendrites (`allen_lines`), and mouse cells without one are left out.

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
            "features of noise sweeps: use the 27 features, or see python -m datasets.allen noise-features --help"
        )
    known, why = allen_database.details(folder), Counter[str]()
    if published:
        cells = pd.concat([allen_published.cells(path, k, known.index, CLASSES) for k, path in tables])
        if cells.index.has_duplicates:
            twice = cells.index[cells.index.duplicated()][0]
            raise UserError(f"specimen {twice} is in both {' and '.join(str(path) for _, path in tables)}")
    else:
        cells = allen_database.cells(folder, known, features == 41, why)
    classes: tuple[str, ...] = CLASSES
    if lines or not published:
        cells, classes = _group(cells, known, allen_lines.read_lines(lines), why)
    if cells.empty:
        reasons = "".join(f"\n  {number}: {reason}" for reason, number in why.most_common())
        raise UserError(f"{folder}: no cell is left{reasons}")
    return _table(folder, cells, known, names, classes, tuple(why.most_common()))


def _group(
    cells: pd.DataFrame, known: pd.DataFrame, lines: Lines, why: Counter[str]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The cells with subclasses of lines, without the mouse cells that have none, and the names of the subclasses."""
    mouse = cells.index[cells["species"] == 0]
    subclass, reasons = allen_lines.group(lines, known["line_name"][mouse], known["tag__dendrite_type"][mouse])
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
        rate_kHz=allen_database.sampling_rates(folder, ids),
        donor_names=donor_names,
        line_names=line_names,
        layer_names=layer_names,
        feature_names=names,
        source=folder,
        class_names=classes,
        left_out=left_out,
    )


def _count(values: pd.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Counts (cell,) into the sorted names, -1 where there is none, and the names."""
    codes, names = pd.factorize(values, sort=True)
    return codes.astype(np.int32), tuple(map(str, names))


def download_command(out: Path, recordings: bool = False) -> None:
    """Download the database's tables, and what it recorded, by allensdk; nothing that is there is fetched again.

    Args:
        out: Folder: a new one, or one that allensdk's CellTypesCache has begun to fill.
        recordings: Also the recording of every cell that has a class, one large NWB file each.
    """
    allen_download.tables(out)
    table = load(out, features=27)
    print(f"{out}: tables of {len(table.x)} cells with a class; python -m datasets.allen count --data {out} says more")
    if recordings:
        found, left_out = allen_download.recordings(out, [int(each) for each in table.specimen_id])
        print(f"{out}: {found} recordings")
        _say(left_out)


def noise_command(data: Path | None = None, out: Path | None = None) -> None:
    """Compute the 14 features of noise sweeps from recordings; cells that the table has already are not done again.

    Args:
        data: Folder with recordings (.nwb) at any depth, by default as for training.
        out: Table to write, by default noise_features.csv in that folder, where it makes 41 features of the 27.
    """
    folder = find(data)
    out = out or folder / NOISE
    left_out = allen_noise.of_folder(folder, out)
    _say(left_out)
    if not out.exists():
        raise UserError(f"none of the recordings in {folder} gave features: no table is written")
    print(out)


def _say(left_out: list[tuple[str, str]]) -> None:
    if left_out:
        print(f"left out, {len(left_out)}:")
        for what, why in left_out:
            print(f"  {what}: {why}")


def count_command(data: Path | None = None, features: Literal[41, 27] = 41, lines: Path | None = None) -> None:
    """Print how many cells of which class there are, how recorded, and what was left out for what reason.

    Args:
        data: Folder of the tables; by default $SPIKETYPE_DATA/allen.
        features: 41, or the database's own 27, which more cells have.
        lines: Table (line, dendrite, class) that says which lines make up a class, instead of the published grouping.
    """
    table = load(find(data), features, lines)
    print(f"{table.source}: {len(table.x)} cells, {len(table.donor_names)} donors, {features} features")
    groups = [(name, table.subclass == k) for k, name in enumerate(table.class_names)]
    groups += [(f"human, {kind}", (table.species == 1) & (table.spiny == k)) for k, kind in enumerate(DENDRITES)]
    for name, rows in groups:
        fast = int((table.rate_kHz[rows] == max(allen_database.RATES_KHZ)).sum())
        whole = int(np.isfinite(table.x[rows]).all(axis=1).sum())
        donors = len(np.unique(table.donor[rows]))
        print(f"  {name}: {rows.sum()} cells of {donors} donors, {whole} with all features, {fast} sampled at 200 kHz")
    for why, number in table.left_out:
        print(f"  left out, {number}: {why}")
    wanted = {line for (line, _), name in allen_lines.read_lines(lines).of.items() if name} if lines else set()
    for line in sorted(wanted - {table.line_names[k] for k in table.line[table.subclass >= 0]}):
        print(f"  no cell: line {line} of {lines}: misspelled?")


def main() -> None:
    """The command line."""
    commands: dict[str, Callable[..., None]] = {
        "download": download_command,
        "noise-features": noise_command,
        "count": count_command,
    }
    tyro.extras.subcommand_cli_from_dict(commands, prog="python -m datasets.allen", config=(tyro.conf.OmitArgPrefixes,))


if __name__ == "__main__":
    with guard():
        main()
