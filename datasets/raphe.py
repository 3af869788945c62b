"""Raphe spikes as a table, and the command that makes it from recordings.

python -m datasets.raphe extract RECORDING... --out STORE      recordings -> spikes
python -m datasets.raphe noisy STORE --out NOISY               spikes -> many noisy copies (see raphe_noisy)
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tyro.conf import Positional, arg

from datasets import raphe_noisy, raphe_sources, raphe_store, store
from datasets.edge import UserError, guard, progress
from datasets.raphe_extract import SpikeOptions
from datasets.raphe_extract import extract as extract_cell
from datasets.raphe_store import CLASSES, KIND, LabelledCell
from datasets.recordings import Recording, open_recording


@dataclass(frozen=True)
class RapheTable:
    """Spikes of a raphe store.

    Attributes:
        store: where they are.
        spike_pA: (sample, 160) float32 at 40 kHz, less the local baseline, inward negative, reference at index 40.
        label: (sample,) int32 index into `class_names`; -1 unknown.
        cell: (sample,) int32 index into `cell_names`, which are unique: "day/name" where a name is used twice.
        day: (sample,) int32 index into `day_names`: the default group, to be left out one at a time.
        udi_ms, snr, baseline_pA, isi_ms, time_s: (sample,) quality of a spike; -1 where unknown.
        cell_label, cell_day, atypical: (cell,) int32; atypical is 1 or 0, -1 where the label is unknown.
        cell_udi_ms: (cell,) of the mean spike; true_udi_ms: (cell,) as simulated, else -1.
        found, rate_Hz, isi_cv, noise_rms_pA, drift_pA, duration_s: (cell,) of the recording; -1 where unknown.
        noise_pA: (window, 160) spike-free windows; noise_cell: (window,) their cell.
        left_out: (file, reason) of what was given and is not here.
    """

    store: Path
    spike_pA: np.ndarray
    label: np.ndarray
    cell: np.ndarray
    day: np.ndarray
    udi_ms: np.ndarray
    snr: np.ndarray
    baseline_pA: np.ndarray
    isi_ms: np.ndarray
    time_s: np.ndarray
    class_names: tuple[str, ...]
    cell_names: tuple[str, ...]
    day_names: tuple[str, ...]
    cell_label: np.ndarray
    cell_day: np.ndarray
    atypical: np.ndarray
    cell_udi_ms: np.ndarray
    true_udi_ms: np.ndarray
    found: np.ndarray
    rate_Hz: np.ndarray
    isi_cv: np.ndarray
    noise_rms_pA: np.ndarray
    drift_pA: np.ndarray
    duration_s: np.ndarray
    noise_pA: np.ndarray
    noise_cell: np.ndarray
    left_out: tuple[tuple[str, str], ...]


DERIVED = ("store", "label", "day", "class_names", "cell_names", "day_names", "cell_label", "cell_day", "left_out")
READ = tuple(f.name for f in fields(RapheTable) if f.name not in DERIVED)


def load(path: Path) -> RapheTable:
    """Read a raphe store whole.

    Raises:
        UserError: not a complete raphe store, or damaged.
    """
    store.validate(path, KIND, (*READ, "label", "day", "cell_name"))
    arrays = {name: store.read(path, name, unknown=name == "atypical") for name in READ}
    cell_label, names = store.read(path, "label", unknown=True), [str(n) for n in store.read(path, "cell_name")]
    day_names, cell_day = np.unique([str(d) for d in store.read(path, "day")], return_inverse=True)
    cell_day = cell_day.astype(np.int32)
    unique = [n if names.count(n) == 1 else f"{day_names[d]}/{n}" for n, d in zip(names, cell_day, strict=True)]
    cell = arrays["cell"]
    return RapheTable(
        store=path,
        label=cell_label[cell],
        day=cell_day[cell],
        class_names=CLASSES,
        cell_names=tuple(unique),
        day_names=tuple(map(str, day_names)),
        cell_label=cell_label,
        cell_day=cell_day,
        left_out=tuple((str(f), str(why)) for f, why in json.loads(store.attributes(path, KIND)["left_out"])),
        **arrays,
    )


@dataclass(frozen=True)
class ReadOptions:
    """How recordings are read."""

    channel: str = ""
    """Name or number (from 0) of the channel; by default the first in a unit of current."""
    units: str = ""
    """Unit of the samples (pA, nA, ...), against what the file says."""
    rate_hz: float = 0.0
    """Sampling rate of arrays that do not say."""
    day: str = ""
    """Day of all recordings; by default from the name (A131024#089), else the header, else the folder."""


def extract(
    paths: list[Path], options: SpikeOptions, read: ReadOptions, labels: raphe_sources.Labels
) -> tuple[list[LabelledCell], list[tuple[str, str]]]:
    """Cells of recordings and folders, and (file, reason) of what was left out; a bad file stops nothing."""
    sources, left_out = raphe_sources.find(paths)
    opened: list[tuple[Path, Recording | None]] = []
    for path in sources:
        try:
            opened.append((path, None if path.is_dir() else _open(path, read)))
        except UserError as error:
            left_out.append((str(path), str(error).removeprefix(f"{path}: ")))
    cells: dict[tuple[str, str], LabelledCell] = {}
    with progress() as bar:
        # A folder of CSV spikes counts as a second of recording.
        shown = bar.add_task("recording, s", total=sum(r.duration_s if r else 1.0 for _, r in opened))
        for path, recording in opened:
            ahead = bar.tasks[0].completed + (recording.duration_s if recording else 1.0)
            try:
                if recording is None:
                    name, day = path.name, read.day or raphe_sources.csv_day(path)
                    spikes, skipped = raphe_sources.read_csv_cell(path, options.most, options.polarity)
                    left_out += skipped
                else:
                    name, day = recording.name, recording.day
                    spikes = extract_cell(recording, options, lambda seconds: bar.advance(shown, seconds))
                if (day, name) in cells:
                    raise UserError(
                        f"{path}: a cell {name} of day {day} is here already, from {cells[day, name].source}"
                    )
                cells[day, name] = LabelledCell(name, day, labels.of(name, day, path), spikes, str(path))
            except UserError as error:
                left_out.append((str(path), str(error).removeprefix(f"{path}: ")))
            bar.update(shown, completed=ahead)
    return list(cells.values()), left_out


def _open(path: Path, read: ReadOptions) -> Recording:
    return open_recording(path, read.channel, read.units, read.rate_hz, read.day)


DEFAULT_SPIKES, DEFAULT_READ, DEFAULT_NOISY = SpikeOptions(), ReadOptions(), raphe_noisy.NoisyConfig()


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
        labels: CSV table (cell, label, perhaps day); else folders named SER or NSER say; else unknown.
    """
    if out.exists():
        raise UserError(f"{out} exists already: choose another folder or remove it")
    cells, left_out = extract(list(recordings), spikes, read, raphe_sources.read_labels(labels))
    for cell in cells:
        says = CLASSES[cell.label] if cell.label >= 0 else "unknown"
        print(f"{cell.day}  {cell.name}  {len(cell.spikes.spike_pA)} spikes  {says}  ({'; '.join(cell.spikes.notes)})")
    if left_out:
        print(f"left out, {len(left_out)}:")
        for file, why in left_out:
            print(f"  {file}: {why}")
    if not cells:
        raise UserError("none of the recordings gave a spike: no store is written")
    config = {"spikes": asdict(spikes), "read": asdict(read)}
    print(raphe_store.write(out, cells, config, left_out))


def noisy_command(
    source: Annotated[Positional[Path], arg(metavar="STORE")],
    out: Path,
    config: raphe_noisy.NoisyConfig = DEFAULT_NOISY,
) -> None:
    """Write synthetic noisy spikes: smoothed spikes plus spike-free windows.

    Args:
        source: A raphe store.
        out: Folder of the store of noisy spikes; repeat the same command to continue an unfinished one.
        config: How many of what.
    """
    print(raphe_noisy.generate(load(source), config, out))


def main() -> None:
    """The command line."""
    commands: dict[str, Callable[..., None]] = {"extract": extract_command, "noisy": noisy_command}
    tyro.extras.subcommand_cli_from_dict(commands, prog="python -m datasets.raphe", config=(tyro.conf.OmitArgPrefixes,))


if __name__ == "__main__":
    with guard():
        main()
