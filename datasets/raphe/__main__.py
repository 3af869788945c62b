"""Raphe recordings from the command line: ``python -m datasets.raphe`` or ``spiketype raphe``.

extract RECORDING... --out STORE      recordings -> spikes
noisy STORE --out NOISY               spikes -> many noisy copies
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from spiketype.datasets.raphe import noisy
from spiketype.datasets.raphe.extract import SpikeOptions
from spiketype.datasets.raphe.sources import ReadOptions, extract, read_labels
from spiketype.datasets.raphe.table import CLASSES, load, write
from spiketype.edge import UserError, guard

DEFAULT_SPIKES, DEFAULT_READ, DEFAULT_NOISY = SpikeOptions(), ReadOptions(), noisy.NoisyConfig()


def extract_command(
    recordings: Positional[list[Path]],
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
        labels: CSV table (cell, label, perhaps day); without it, folders named SER or NSER give the label.
    """
    if out.exists():
        raise UserError(f"{out} exists already: choose another folder or remove it")
    cells, left_out = extract(list(recordings), spikes, read, read_labels(labels))
    for cell in cells:
        name = CLASSES[cell.label] if cell.label >= 0 else "unknown"
        print(f"{cell.day}  {cell.name}  {len(cell.spikes.spike_pA)} spikes  {name}  ({'; '.join(cell.spikes.notes)})")
    if left_out:
        print(f"left out, {len(left_out)}:")
        for file, why in left_out:
            print(f"  {file}: {why}")
    if not cells:
        raise UserError("no spike was found in any of the recordings: no store is written")
    config = {"spikes": asdict(spikes), "read": asdict(read)}
    print(write(out, cells, config, left_out))


def noisy_command(
    source: Annotated[Positional[Path], arg(metavar="STORE")],
    out: Path,
    config: noisy.NoisyConfig = DEFAULT_NOISY,
) -> None:
    """Write synthetic noisy spikes: smoothed spikes plus spike-free windows.

    Args:
        source: A raphe store.
        out: Folder of the store of noisy spikes; repeat the same command to continue an unfinished one.
        config: How many of what.
    """
    print(noisy.generate(load(source), config, out))


def command_line(arguments: Sequence[str] | None = None, prog: str = "python -m datasets.raphe") -> None:
    """Run the command that the arguments name, by default the program's own arguments."""
    commands: dict[str, Callable[..., None]] = {"extract": extract_command, "noisy": noisy_command}
    with guard():
        tyro.extras.subcommand_cli_from_dict(commands, prog=prog, args=arguments, config=(tyro.conf.OmitArgPrefixes,))


if __name__ == "__main__":
    command_line()
