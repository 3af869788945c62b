"""Which files hold which raphe cells: recordings, folders of published CSV spikes, and the table of labels."""

import csv
import io
import os
import re
import warnings
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from spiketype.damage import readable
from spiketype.datasets.fingerprint import fingerprint
from spiketype.datasets.raphe.extract import UNKNOWN, CellSpikes
from spiketype.datasets.raphe.extract import extract as extract_cell
from spiketype.datasets.raphe.options import ReadOptions, SpikeOptions
from spiketype.datasets.raphe.recordings import DATED, NAMED, Recording, day_of, open_recording
from spiketype.datasets.raphe.spikes import POINTS, REFERENCE, shape
from spiketype.datasets.raphe.table import LabelledCell
from spiketype.edge import UserError, absent, progress

SEPARATORS = (",", ";", "\t")  # of a table of labels
LABELS = "labels.csv"  # such a table among recordings does not make their folder one of CSV spikes
RECORDINGS = (".abf", ".npy", ".npz")
BEFORE_SPIKE = REFERENCE - 15  # points that precede the spike itself, for its baseline and noise
STEPS = (0.025, 2.5e-5, 25.0, 1.0)  # of 40 kHz in ms, s, us; or samples that are counted
LEAST_PA = 5.0  # published troughs are -60 to -120 pA
WORDS = {
    0: ("0", "nser", "nsertip", "non-serotonergic", "nonserotonergic", "non_serotonergic", "other"),
    1: ("1", "ser", "sertip", "serotonergic"),
}
LABEL = {word: label for label, words in WORDS.items() for word in words}
FOLDERS = {word: label for word, label in LABEL.items() if "ser" in word}  # "other" and numbers are folders of anything


@dataclass(frozen=True)
class Labels:
    """Labels from a table: by (day, cell), and by cell alone where the table gives no day."""

    by_day: dict[tuple[str, str], int]
    by_name: dict[str, int]

    def of(self, name: str, day: str, folders: Sequence[str] = ()) -> int:
        """Return the label of a cell: the table's, else that of a folder called SER, NSER, ...; -1 if there is none.

        Args:
            name: of the cell.
            day: of its recording.
            folders: in which the recording is, from the outermost to the nearest.
        """
        found = self.by_day.get((day, name), self.by_name.get(name))
        if found is not None:
            return found
        return next((FOLDERS[folder.lower()] for folder in reversed(folders) if folder.lower() in FOLDERS), -1)

    def unmatched(self, cells: Sequence[LabelledCell]) -> list[str]:
        """Return the rows of the table that are of none of the cells, as text."""
        days, names = {(cell.day, cell.name) for cell in cells}, {cell.name for cell in cells}
        found = [f"cell {name} of day {day}" for day, name in self.by_day if (day, name) not in days]
        return found + [f"cell {name}" for name in self.by_name if name not in names]

    def of_several_days(self, cells: Sequence[LabelledCell]) -> dict[str, list[str]]:
        """Return the names that the table gives without a day and that are of cells of several days, with those."""
        days: dict[str, list[str]] = {}
        for cell in cells:
            if (cell.day, cell.name) not in self.by_day and cell.name in self.by_name:
                days.setdefault(cell.name, []).append(cell.day)
        return {name: sorted(each) for name, each in days.items() if len(each) > 1}


def read_labels(path: Path | None) -> Labels:
    """Read a CSV table with the columns ``cell``, ``label`` and perhaps ``day``, in capitals or not.

    Commas, semicolons or tabs separate them, and the text is UTF-8 or UTF-16: spreadsheets write all of these.

    Raises:
        UserError: no such table or columns, an unknown label, a cell with two labels.
    """
    if path is None:
        return Labels({}, {})
    by_day: dict[tuple[str, str], int] = {}
    by_name: dict[str, int] = {}
    with readable(path, "a table of labels"):
        content = path.read_bytes()
        text = content.decode("utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
        by_mark = [_columns(text, mark) for mark in SEPARATORS]
        mark, columns = next((each for each in by_mark if {"cell", "label"} <= set(each[1])), by_mark[0])
        rows = list(csv.DictReader(io.StringIO(text, newline=""), columns, delimiter=mark))[1:]
    if twice := [name for name in ("cell", "label", "day") if columns.count(name) > 1]:
        raise UserError(f"{path}: column {twice[0]} occurs twice: remove one")
    if not rows or not {"cell", "label"} <= set(columns):
        there = ", ".join(columns) or "nothing"
        raise UserError(
            f"{path}: expected a CSV table with the columns cell, label and perhaps day, and rows; its columns: {there}"
        )
    for number, row in enumerate(rows, start=2):
        word, name, day = (str(row.get(k) or "").strip() for k in ("label", "cell", "day"))
        if word.lower() not in LABEL:
            raise UserError(f"{path}, line {number}: unknown label {word!r}: give one of {', '.join(LABEL)}")
        label = LABEL[word.lower()]
        known = by_day.setdefault((day, name), label) if day else by_name.setdefault(name, label)
        if known != label:
            raise UserError(f"{path}, line {number}: cell {name} {day} has two labels")
    return Labels(by_day, by_name)


def find(paths: Sequence[Path]) -> tuple[dict[Path, Path], list[tuple[str, str]]]:
    """Look for recordings and folders of CSV spikes in and below the paths.

    Returns:
        What was found, each with the outermost of the paths that holds it; and (file, reason) of what is neither.
    """
    found: dict[Path, Path] = {}
    left_out: list[tuple[str, str]] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file())
            folders = sorted({p.parent for p in inside if p.suffix.lower() == ".csv" and p.name != LABELS})
            mine = [p for p in inside if p.suffix.lower() in RECORDINGS] + folders
            for source in mine:
                found[source] = min(found.get(source, path), path, key=lambda root: len(root.parts))
            left_out += [] if mine else [(str(path), "holds no .abf, .npy or .npz and no folder of .csv spikes")]
        elif not path.exists():
            left_out.append((str(path), absent(path).removeprefix(f"{path} ")))
        elif path.suffix.lower() in RECORDINGS:
            found.setdefault(path, path)
        else:
            left_out.append((str(path), f"unrecognised format: recordings are {', '.join(RECORDINGS)}, or folders"))
    return found, left_out


def folders_of(source: Path, root: Path) -> list[str]:
    """Return the names of the folders that hold a source, from the given path `root` on; none above it."""
    if source == root:
        return []
    return [Path(os.path.abspath(root)).name, *source.relative_to(root).parts[:-1]]


def labelled_above(cells: Sequence[LabelledCell]) -> list[str]:
    """Return the sources of cells without a label that a folder above the given path would have labelled."""
    without = [Path(os.path.abspath(cell.source)) for cell in cells if cell.label < 0]
    return [str(path) for path in without if any(folder.lower() in FOLDERS for folder in path.parts[:-1])]


def csv_day(folder: Path) -> str:
    """Return the day of a folder of CSV spikes: from its name, else the name of the folder above."""
    named = NAMED.match(folder.name)
    return named["day"] if named else day_of(folder)


def _columns(text: str, mark: str) -> tuple[str, list[str]]:
    """Return what separates the columns of a table, and their names, which may have blanks around them."""
    return mark, [name.strip().lower() for name in next(csv.reader(io.StringIO(text, newline=""), delimiter=mark), [])]


def days_alike(cells: Sequence[LabelledCell]) -> list[list[str]]:
    """Return the days of cells that differ only by a letter before the date, those of one date together."""
    days: dict[str, set[str]] = {}
    for cell in cells:
        if dated := DATED.match(cell.day):
            days.setdefault(dated["date"], set()).add(cell.day)
    return [sorted(each) for _, each in sorted(days.items()) if len(each) > 1]


def read_csv_cell(folder: Path, options: SpikeOptions) -> tuple[CellSpikes, list[tuple[str, str]]]:
    """Read the published form of a cell: a folder of CSV files, one a spike.

    Each file has a header, then 160 rows of time and current. Of the options, those that cut spikes cannot apply.

    Returns:
        The first ``most`` spikes, in the order of the trigger in their file names, less their own baseline (median of
        the points before the spike); and (file, reason) of the files that were skipped.

    Raises:
        UserError: no file holds a spike; spikes are to be aligned otherwise than by their crossing, as they are.
    """
    if options.align != "crossing":
        raise UserError(
            f"{folder}: CSV spikes are aligned by their crossing, and cannot be by their {options.align}, as the other"
            " spikes are: give the recording"
        )
    files = sorted((p for p in folder.iterdir() if p.suffix.lower() == ".csv"), key=_trigger)
    rows, left_out = [], []
    for path in files:
        try:
            rows.append(read_csv_spike(path))
        except UserError as error:
            left_out.append((str(path), str(error).removeprefix(f"{path}: ")))
    if not rows:
        why = f"; the first: {left_out[0][1]}" if left_out else ""
        raise UserError(f"{folder}: none of {len(files)} CSV files holds a spike{why}")
    raw = np.stack(rows)
    baseline = np.median(raw[:, :BEFORE_SPIKE], axis=1)
    spike_pA = raw - baseline[:, None]
    mean = spike_pA.mean(axis=0)
    turned = options.polarity == "positive" or (options.polarity == "auto" and mean.max() > -mean.min())
    spike_pA = (-spike_pA if turned else spike_pA).astype(np.float32)
    if spike_pA.mean(axis=0).min() > -LEAST_PA:
        raise UserError(
            f"{folder}: the mean spike is {-spike_pA.mean(axis=0).min():.2g} pA deep, which no loose-seal spike is: are"
            " its files in pA?"
        )
    noise = 1.4826 * float(np.median(np.abs(spike_pA[:, :BEFORE_SPIKE])))
    notes = [f"{len(files)} CSV files, spikes {'positive' if turned else 'negative'} in them"]
    most = options.most
    notes += [f"left out {len(raw) - most} of {len(raw)} spikes: beyond the first {most}"] if len(raw) > most else []
    if options.mads or options.threshold_pA != SpikeOptions().threshold_pA:
        notes.append("the threshold given does not apply: CSV spikes are cut already")
    kept, blank = spike_pA[:most], np.full(len(spike_pA[:most]), UNKNOWN, np.float32)
    cell = CellSpikes(
        spike_pA=kept,
        time_s=blank.astype(np.float64),
        isi_ms=blank,
        baseline_pA=baseline[:most].astype(np.float32),
        snr=(-shape(kept).trough_pA / max(noise, 1e-6)).astype(np.float32),
        noise_pA=np.zeros((0, POINTS), np.float32),
        found=len(raw),
        rate_Hz=UNKNOWN,
        isi_cv=UNKNOWN,
        noise_rms_pA=noise,
        drift_pA=float(np.subtract(*np.quantile(baseline, [0.95, 0.05]))),
        duration_s=UNKNOWN,
        notes=tuple(notes),
    )
    return cell, left_out


def read_csv_spike(path: Path) -> Float64[np.ndarray, "160"]:
    """Read the currents of one published CSV file.

    Raises:
        UserError: not a table of numbers, another number of rows or columns, NaN.
    """
    with readable(path, "a table of numbers"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty file is refused below
        values = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2, encoding="utf-8")
    if values.shape != (POINTS, 2):
        raise UserError(f"{path}: {values.shape[0]} rows and {values.shape[1]} columns; expected {POINTS} and 2")
    if not np.isfinite(values).all():
        raise UserError(f"{path}: NaN or infinite in row {1 + int(np.argmin(np.isfinite(values).all(axis=1)))}")
    time = values[:, 0]
    if (np.diff(time) < 0).any() or time[-1] == time[0]:
        raise UserError(f"{path}: the first column does not ascend: expected time, then current")
    step = float(time[-1] - time[0]) / (POINTS - 1)
    if not any(abs(step / known - 1) < 0.02 for known in STEPS):
        raise UserError(
            f"{path}: its times are {step:.4g} apart, where spikes have 40 kHz, 0.025 ms: resample them, or give the"
            " recording"
        )
    return values[:, 1]


def _trigger(path: Path) -> tuple[int, str]:
    number = re.search(r"(\d+)$", path.stem)
    return (int(number[1]) if number else 0, path.name)


def extract(
    paths: list[Path], options: SpikeOptions, read: ReadOptions, labels: Labels
) -> tuple[list[LabelledCell], list[tuple[str, str]]]:
    """Return the cells of recordings and folders, and (file, reason) of what was left out."""
    sources, left_out = find(paths)
    opened: list[tuple[Path, Recording | None]] = []  # None for a folder of CSV spikes
    for path in sources:
        try:
            opened.append((path, None if path.is_dir() else _open(path, read)))
        except UserError as error:
            left_out.append((str(path), str(error).removeprefix(f"{path}: ")))
    cells: dict[tuple[str, str], LabelledCell] = {}
    holds: dict[str, str] = {}  # the source of spikes by their fingerprint
    with progress() as bar:
        # A folder of CSV spikes counts as a second of recording.
        shown = bar.add_task("recording, s", total=sum(r.duration_s if r else 1.0 for _, r in opened))
        for path, recording in opened:
            ahead = bar.tasks[0].completed + (recording.duration_s if recording else 1.0)
            try:
                if recording is None:
                    name, day = path.name, read.day or csv_day(path)
                    spikes, skipped = read_csv_cell(path, options)
                    left_out += skipped
                else:
                    name, day = recording.name, recording.day
                    spikes = extract_cell(recording, options, lambda seconds: bar.advance(shown, seconds))
                if (day, name) in cells:
                    earlier = cells[day, name].source
                    raise UserError(f"{path}: cell {name} of day {day} is already there, from {earlier}")
                same = holds.setdefault(fingerprint(spikes.spike_pA, spikes.time_s), str(path))
                if same != str(path):
                    raise UserError(f"{path}: its spikes are the very ones of {same}: one cell is taken, not two")
                cells[day, name] = LabelledCell(
                    name, day, labels.of(name, day, folders_of(path, sources[path])), spikes, str(path)
                )
            except UserError as error:
                left_out.append((str(path), str(error).removeprefix(f"{path}: ")))
            bar.update(shown, completed=ahead)
    return list(cells.values()), left_out


def _open(path: Path, read: ReadOptions) -> Recording:
    return open_recording(path, read.channel, read.units, read.rate_hz, read.day)
