"""The Allen Cell Types Database from the command line: ``python -m datasets.allen`` or ``spiketype allen``.

download --out DIR            the database's files, through allensdk
noise-features --data DIR     14 more features from the recordings
count --data DIR              what there is, and what is left out why
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from spiketype import parsing
from spiketype.edge import UserError, check_out, guard, importing


def download_command(out: Path, recordings: bool = False) -> None:
    """Download the database's tables, and recordings if wanted, by allensdk; nothing is fetched twice.

    Args:
        out: Folder: a new one, or one that allensdk's CellTypesCache has begun to fill.
        recordings: Also download the recording of every cell that has a class, one large NWB file each.
    """
    check_out(out)
    with importing():  # takes seconds
        from spiketype.datasets.allen import download
        from spiketype.datasets.allen.table import load
    download.tables(out)
    table = load(out, features=27)
    print(f"{out}: tables of {len(table.x)} cells with a class; spiketype allen count --data {out} says more")
    if recordings:
        found, left_out = download.recordings(out, [int(each) for each in table.specimen_id])
        print(f"{out}: {found} recordings")
        _say(left_out)


def noise_command(data: Path | None = None, out: Path | None = None) -> None:
    """Compute the 14 features of noise sweeps from recordings; cells that the table has already are not done again.

    Args:
        data: Folder with recordings (.nwb) at any depth, by default as for training.
        out: Table to write, by default noise_features.csv in that folder, where it makes 41 features of the 27.
    """
    if out is not None:
        check_out(out)
    with importing():
        from spiketype.datasets.allen import noise
        from spiketype.datasets.allen.database import NOISE
        from spiketype.datasets.allen.table import find
    folder = find(data)
    out = out or folder / NOISE
    left_out = noise.of_folder(folder, out)
    _say(left_out)
    if not out.exists():
        raise UserError(f"no features could be computed from the recordings in {folder}: no table is written")
    print(out)


def _say(left_out: list[tuple[str, str]]) -> None:
    if left_out:
        print(f"left out, {len(left_out)}:")
        for what, why in left_out:
            print(f"  {what}: {why}")


def count_command(data: Path | None = None, features: Literal[41, 27] = 41, lines: Path | None = None) -> None:
    """Print how many cells there are of each class, how they were recorded, and which were left out and why.

    Args:
        data: Folder of the tables; by default $SPIKETYPE_DATA/allen.
        features: 41, or the database's own 27, which more cells have.
        lines: Table (line, dendrite, class) that says which lines make up a class, instead of the published grouping.
    """
    with importing():
        from spiketype.datasets.allen import database
        from spiketype.datasets.allen.table import DENDRITES, find, load, read_lines
    table = load(find(data), features, lines)
    print(f"{table.source}: {len(table.x)} cells, {len(table.donor_names)} donors, {features} features")
    groups = [(name, table.subclass == k) for k, name in enumerate(table.class_names)]
    groups += [(f"human, {kind}", (table.species == 1) & (table.spiny == k)) for k, kind in enumerate(DENDRITES)]
    for name, rows in groups:
        fast = int((table.rate_kHz[rows] == max(database.RATES_KHZ)).sum())
        whole = int(np.isfinite(table.x[rows]).all(axis=1).sum())
        donors = len(np.unique(table.donor[rows]))
        print(f"  {name}: {rows.sum()} cells of {donors} donors, {whole} with all features, {fast} sampled at 200 kHz")
    for why, number in table.left_out:
        print(f"  left out, {number}: {why}")
    wanted = {line for (line, _), name in read_lines(lines).of.items() if name} if lines else set()
    for line in sorted(wanted - {table.line_names[k] for k in table.line[table.subclass >= 0]}):
        print(f"  no cell: line {line} of {lines}: misspelled?")


def command_line(arguments: Sequence[str] | None = None, prog: str = "python -m datasets.allen") -> None:
    """Run the command that the arguments name, by default the program's own arguments."""
    commands: dict[str, Callable[..., None]] = {
        "download": download_command,
        "noise-features": noise_command,
        "count": count_command,
    }
    with guard():
        parsing.run_one_of(commands, arguments, prog)


if __name__ == "__main__":
    command_line()
