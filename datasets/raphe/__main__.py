"""Raphe recordings from the command line: ``python -m datasets.raphe`` or ``spiketype raphe``.

extract RECORDING... --out STORE      recordings -> spikes
noisy STORE --out NOISY               spikes -> many noisy copies
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from spiketype import parsing
from spiketype.datasets.raphe.options import NoisyConfig, ReadOptions, SpikeOptions
from spiketype.edge import UserError, check_out, guard, importing, whole
from spiketype.reading import shortened

if TYPE_CHECKING:
    from spiketype.datasets.raphe.sources import Labels
    from spiketype.datasets.raphe.table import LabelledCell

DEFAULT_SPIKES, DEFAULT_READ, DEFAULT_NOISY = SpikeOptions(), ReadOptions(), NoisyConfig()


def extract_command(
    recordings: Annotated[Positional[list[Path]], arg(metavar="RECORDING...")],
    out: Path,
    spikes: SpikeOptions = DEFAULT_SPIKES,
    read: ReadOptions = DEFAULT_READ,
    labels: Path | None = None,
) -> None:
    """Cut spikes out of recordings into a store.

    Args:
        recordings: .abf, .npy, .npz, folders of published CSV spikes (one folder a cell), or folders of all these.
        out: Folder of the store.
        spikes: How spikes are found.
        read: How recordings are read.
        labels: CSV table (cell, label, and day where a name is used on several). A cell that is not in it has the label
            of the nearest folder that is called SER or NSER, of the given folders and those in them.
    """
    if not recordings:
        raise UserError("RECORDING is missing: give .abf, .npy or .npz files, or folders of them, before --out")
    if out.exists():
        raise UserError(f"{out} exists already: choose another folder or remove it")
    check_out(out)
    with importing():  # takes seconds
        from spiketype.datasets.raphe.sources import extract, read_labels
        from spiketype.datasets.raphe.table import told, write
    table = read_labels(labels)
    with whole():
        cells, left_out = extract(list(recordings), spikes, read, table)
    for cell in cells:
        print(told(cell))
    if left_out:
        print(f"left out, {len(left_out)}:")
        for file, why in left_out:
            print(f"  {file}: {why}")
    if not cells:
        raise UserError("no spike was found in any of the recordings: no store is written")
    _tell_labels(labels, table, cells)
    _tell_days(cells)
    config = {"spikes": asdict(spikes), "read": asdict(read)}
    print(write(out, cells, config, left_out))


def _tell_labels(path: Path | None, table: "Labels", cells: "Sequence[LabelledCell]") -> None:
    """Say which rows of a table of labels are of no cell, and which cells lack a label that was perhaps meant.

    Raises:
        UserError: no row of the table is of a cell; a row without a day is of cells of several days.
    """
    from spiketype.datasets.raphe.sources import labelled_above

    unmatched = table.unmatched(cells)
    if unmatched and len(unmatched) == len(table.by_day) + len(table.by_name):
        there = ", ".join(f"cell {cell.name} of day {cell.day}" for cell in cells[:3])
        raise UserError(
            f"{path}: none of its rows is of a recording that was read: it has {', '.join(unmatched[:3])}, the"
            f" recordings are {there}{', ...' if len(cells) > 3 else ''}: write cells and days as here; no store is"
            " written"
        )
    for name, days in table.of_several_days(cells).items():
        raise UserError(
            f"{path}: cell {name} is labelled without a day, and there are cells of that name on {len(days)} days,"
            f" {shortened(days)}: give a row to each, with its day; no store is written"
        )
    if unmatched:
        print(f"{path}: rows that are of no recording that was read, {len(unmatched)}:", file=sys.stderr)
        print(*(f"  {row}" for row in unmatched), sep="\n", file=sys.stderr)
    above = labelled_above(cells)
    if above:
        print(
            f"without a label, though in a folder called SER or NSER, {len(above)}; such a folder counts only if it, or"
            " one above it, is given:",
            file=sys.stderr,
        )
        print(*(f"  {source}" for source in above), sep="\n", file=sys.stderr)


def _tell_days(cells: "Sequence[LabelledCell]") -> None:
    """Say which days are perhaps one: they are held out as several."""
    from spiketype.datasets.raphe.sources import days_alike

    for days in days_alike(cells):
        print(
            f"WARNING: {', '.join(days)} are held out as {len(days)} days, though they have one date: if they are one,"
            " begin the names of its recordings with the same letter",
            file=sys.stderr,
        )


def noisy_command(
    source: Annotated[Positional[Path], arg(metavar="STORE")],
    out: Path,
    config: NoisyConfig = DEFAULT_NOISY,
) -> None:
    """Write synthetic noisy spikes: smoothed spikes plus spike-free windows.

    Args:
        source: A raphe store.
        out: Folder of the store of noisy spikes; repeat the same command to continue an unfinished one.
        config: How many of what.
    """
    check_out(out)
    with importing():  # takes seconds
        from spiketype.datasets.raphe import noisy
        from spiketype.datasets.raphe.table import load
    print(noisy.generate(load(source), config, out))


def command_line(arguments: Sequence[str] | None = None, prog: str = "python -m datasets.raphe") -> None:
    """Run the command that the arguments name, by default the program's own arguments."""
    commands: dict[str, Callable[..., None]] = {"extract": extract_command, "noisy": noisy_command}
    with guard():
        parsing.run_one_of(commands, arguments, prog)


if __name__ == "__main__":
    command_line()
