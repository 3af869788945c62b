"""Raphe spikes as a store and as a table: spikes with their cell, spike-free windows, and the cells."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int32

from spiketype import reading
from spiketype.damage import readable
from spiketype.datasets import store
from spiketype.datasets.raphe import spikes
from spiketype.datasets.raphe.extract import UNKNOWN, CellSpikes
from spiketype.datasets.values import check_together
from spiketype.edge import Json, UserError, versions

KIND = "raphe"
BLOCK = 50_000
CLASSES = ("non-serotonergic", "serotonergic")  # the label is the index; -1 is unknown
ATYPICAL_MS = 0.9  # a serotonergic cell with a shorter interval is atypical


@dataclass(frozen=True)
class LabelledCell:
    """One cell of a store.

    Attributes:
        name: as the recording has it; the same name on another day is another cell.
        day: of the recording.
        label: index into `CLASSES`, or -1.
        spikes: what its recording gave.
        source: where that is.
        true_udi_ms: of a simulated cell; -1 for a recorded one.
    """

    name: str
    day: str
    label: int
    spikes: CellSpikes
    source: str
    true_udi_ms: float = UNKNOWN


SAMPLES = {
    "time_s": store.Variable(
        ("sample",), "float64", "s", "seconds since start of the recording, pauses included; -1 unknown"
    ),
    "isi_ms": store.Variable(("sample",), "float32", "ms", "interval since the spike before; -1 unknown"),
    "baseline_pA": store.Variable(("sample",), "float32", "pA", "local baseline that was subtracted"),
    "snr": store.Variable(("sample",), "float32", "1", "trough over the noise of the recording"),
    "udi_ms": store.Variable(("sample",), "float32", "ms", "upstroke-downstroke interval of the spike"),
    "cell": store.Variable(("sample",), "int32", "1", "index of the cell"),
    "spike_pA": store.Variable(("sample", "time"), "float32", "pA", "current from the local baseline"),
}
DERIVED = ("udi_ms", "cell")  # of SAMPLES, those that `CellSpikes` does not hold
_PER_CELL = {
    "found": ("1", "spikes found, of which the first are kept"),
    "rate_Hz": ("Hz", "spikes found over the time recorded; -1 unknown"),
    "isi_cv": ("1", "coefficient of variation of the intervals; -1 unknown"),
    "noise_rms_pA": ("pA", "noise of the spike-free windows"),
    "drift_pA": ("pA", "range of the baseline, 5th to 95th percentile; -1 unknown"),
    "duration_s": ("s", "time recorded; -1 unknown"),
    "clipped": ("1", "share of the spikes that stay at the largest or smallest current; -1 unknown"),
}


@dataclass(frozen=True)
class RapheTable:
    """Spikes with their cells and recordings, of a store or in memory.

    Attributes:
        store: the store, or the file or folder that the cells were read from.
        spike_pA: at 40 kHz, less the local baseline, inward negative, reference at index 40.
        label: index into `class_names`; -1 unknown.
        cell: index into `cell_names`, which are unique: "day/name" where a name is used twice.
        day: index into `day_names`: the default group, to be left out one at a time.
        udi_ms, snr, baseline_pA, isi_ms, time_s: quality of a spike; -1 where unknown.
        cell_label, cell_day: as `label` and `day`.
        atypical: 1 for a serotonergic cell with an interval below `ATYPICAL_MS`, 0 for others, -1 where the label is
            unknown.
        cell_udi_ms: of the mean spike.
        true_udi_ms: as simulated; -1 for recordings.
        found, rate_Hz, isi_cv, noise_rms_pA, drift_pA, duration_s, clipped: of the recording; -1 where unknown.
        noise_pA: spike-free windows.
        noise_cell: the cell of each window.
        left_out: (file, reason) of what was given and is not here.
    """

    store: Path
    spike_pA: Float32[np.ndarray, "sample 160"]
    label: Int32[np.ndarray, " sample"]
    cell: Int32[np.ndarray, " sample"]
    day: Int32[np.ndarray, " sample"]
    udi_ms: Float32[np.ndarray, " sample"]
    snr: Float32[np.ndarray, " sample"]
    baseline_pA: Float32[np.ndarray, " sample"]
    isi_ms: Float32[np.ndarray, " sample"]
    time_s: Float64[np.ndarray, " sample"]
    class_names: tuple[str, ...]
    cell_names: tuple[str, ...]
    day_names: tuple[str, ...]
    cell_label: Int32[np.ndarray, " cell"]
    cell_day: Int32[np.ndarray, " cell"]
    atypical: Int32[np.ndarray, " cell"]
    cell_udi_ms: Float32[np.ndarray, " cell"]
    true_udi_ms: Float32[np.ndarray, " cell"]
    found: Float32[np.ndarray, " cell"]
    rate_Hz: Float32[np.ndarray, " cell"]
    isi_cv: Float32[np.ndarray, " cell"]
    noise_rms_pA: Float32[np.ndarray, " cell"]
    drift_pA: Float32[np.ndarray, " cell"]
    duration_s: Float32[np.ndarray, " cell"]
    clipped: Float32[np.ndarray, " cell"]
    noise_pA: Float32[np.ndarray, "window 160"]
    noise_cell: Int32[np.ndarray, " window"]
    left_out: tuple[tuple[str, str], ...]


NAMED = ("label", "day", "cell_name")  # of each cell of a store; the fields below are made of them
MADE = ("store", "label", "day", "class_names", "cell_names", "day_names", "cell_label", "cell_day", "left_out")
READ = (*(f.name for f in fields(RapheTable) if f.name not in MADE), *NAMED)
LATER = ("clipped",)  # of each cell, -1 for those of stores that were written before there was such a variable
NAMES = ("cell_name", "day")
INDICES = ("cell", "noise_cell")  # of cells
MAY_BE_UNKNOWN = ("label", "atypical")  # integers of which -1 is a value


def write(
    path: Path,
    cells: Sequence[LabelledCell],
    config: Json,
    left_out: Sequence[tuple[str, str]] = (),
    seed: int | None = None,
) -> Path:
    """Write a store of cells and return its path.

    Args:
        path: the folder; must not exist.
        cells: at least one.
        config: how they were made.
        left_out: (file, reason) of what is not in it.
        seed: of a simulation.

    Raises:
        UserError: `path` exists; a value is NaN or infinite, which `load` would refuse.
    """
    samples, coordinates = _samples(cells), _coordinates(cells)
    _check(cells, samples | {name: each.values for name, each in coordinates.items()}, path)
    n_sample = len(samples["cell"])
    attributes = {
        "config": json.dumps(config, sort_keys=True),
        "created_with": json.dumps(versions(commit=False), sort_keys=True),
        "left_out": json.dumps(list(left_out)),
        "seed": seed,
    }
    sizes = {"sample": n_sample, "time": spikes.POINTS}
    store.create(path, KIND, sizes, BLOCK, SAMPLES, coordinates, attributes)
    for index in range(-(-n_sample // BLOCK)):
        rows = slice(index * BLOCK, (index + 1) * BLOCK)
        store.write_block(path, BLOCK, index, {name: values[rows] for name, values in samples.items()})
        store.mark_done(path, index)
    store.finish(path)
    return path


def load(path: Path) -> RapheTable:
    """Read a raphe store whole.

    Raises:
        UserError: not a complete raphe store, or damaged.
    """
    there = store.validate(path, KIND, [name for name in READ if name not in LATER])
    arrays = {name: store.read(path, name, unknown=name in MAY_BE_UNKNOWN) for name in READ if name in there}
    arrays |= {name: np.full(len(arrays["label"]), UNKNOWN) for name in LATER if name not in there}
    by_cell = {name: ("cell_index",) for name in READ}
    dimensions = by_cell | {name: spec.dims for name, spec in SAMPLES.items() if name in READ}
    dimensions |= {"noise_pA": ("window", "time"), "noise_cell": ("window",)}
    check_together(path, arrays, dimensions, NAMES, dict.fromkeys(INDICES, "cell_index"))
    if not np.isin(arrays["label"], range(-1, len(CLASSES))).all():
        raise UserError(f"{path}/label numbers a class that is not there: delete the store and make it again")
    arrays = {name: a if name in NAMES else a.astype(_dtype(name), copy=False) for name, a in arrays.items()}
    attributes = store.attributes(path, KIND)
    with readable(path, "a store of spikes", "make it again"):
        left_out = [(str(file), str(why)) for file, why in json.loads(attributes["left_out"])]
    return _told(_table(path, arrays, left_out), store.producer(attributes))


def _dtype(name: str) -> str:
    if name in SAMPLES:
        return SAMPLES[name].dtype
    return "int32" if name in (*MAY_BE_UNKNOWN, *INDICES) else "float32"


def of_cells(cells: Sequence[LabelledCell], left_out: Sequence[tuple[str, str]], source: Path) -> RapheTable:
    """Return the table of cells in memory: what `load` gives of the store that `write` makes of them.

    Args:
        cells: at least one.
        left_out: (file, reason) of what is not in it.
        source: the file or folder they come from: the table's `store`.

    Raises:
        UserError: a value is NaN or infinite.
    """
    arrays = _samples(cells) | {name: each.values for name, each in _coordinates(cells).items()}
    arrays = {name: arrays[name] for name in READ}
    _check(cells, arrays, source)
    return _told(_table(source, arrays, left_out), "recordings")


def told(cell: LabelledCell) -> str:
    """Return what a person is told of a cell: day, name, spikes, label, and what was inferred or is doubtful."""
    name = CLASSES[cell.label] if cell.label >= 0 else "unknown"
    return f"{cell.day}  {cell.name}  {len(cell.spikes.spike_pA)} spikes  {name}  ({'; '.join(cell.spikes.notes)})"


def _told(table: RapheTable, producer: str) -> RapheTable:
    """Say what was read."""
    counts = np.bincount(table.cell_label[table.cell_label >= 0], minlength=len(table.class_names)).tolist()
    facts: Json = {
        "producer": producer,
        "spikes": len(table.label),
        "cells": len(table.cell_names),
        "days": len(table.day_names),
        "rate_kHz": spikes.RATE_KHZ,
        "in_units": "pA, inward negative",
        "classes": dict(zip(table.class_names, counts, strict=True)),
        "without_label": int(np.sum(table.cell_label < 0)),
        "left_out": [list(each) for each in table.left_out],
    }
    classes = ", ".join(f"{name} {count}" for name, count in facts["classes"].items())
    text = (
        f"{len(table.label)} spikes of {len(table.cell_names)} cells, {len(table.day_names)} days, pA at"
        f" {spikes.RATE_KHZ:g} kHz; {classes}, {facts['without_label']} without a label"
    )
    left_out = f"; {len(table.left_out)} files left out" if table.left_out else ""
    reading.found(table.store, facts, text + left_out)
    return table


def _check(cells: Sequence[LabelledCell], arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Refuse values that are not finite, and name the recording: so that whatever is written can be loaded."""
    for name, values in arrays.items():
        if values.dtype.kind != "f" or np.isfinite(values).all():
            continue
        row = int(np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))[0])
        of = arrays["cell"] if name in SAMPLES else arrays["noise_cell"] if name == "noise_pA" else None
        cell = cells[row if of is None else int(of[row])]
        raise UserError(f"{path}: {name} of {cell.source} is not finite: leave this recording out")


def _samples(cells: Sequence[LabelledCell]) -> dict[str, np.ndarray]:
    """Return the arrays of a store that have a row for each spike."""
    counts = [len(c.spikes.spike_pA) for c in cells]
    arrays = {name: np.concatenate([getattr(c.spikes, name) for c in cells]) for name in SAMPLES if name not in DERIVED}
    arrays["udi_ms"] = spikes.shape(arrays["spike_pA"]).udi_ms
    arrays["cell"] = np.repeat(np.arange(len(cells)), counts)
    return {name: arrays[name].astype(spec.dtype, copy=False) for name, spec in SAMPLES.items()}


def _coordinates(cells: Sequence[LabelledCell]) -> dict[str, store.Coordinate]:
    about, by_cell = store.Coordinate, ("cell_index",)
    label = np.array([c.label for c in cells], np.int32)
    # The mean spike has a hundredth of the noise power of one spike: its interval is that of the cell.
    mean = np.stack([c.spikes.spike_pA.mean(axis=0) for c in cells])
    udi = spikes.shape(mean).udi_ms
    true = np.array([c.true_udi_ms for c in cells], np.float32)
    atypical = np.where(label < 0, -1, (label == 1) & (np.where(true > 0, true, udi) < ATYPICAL_MS)).astype(np.int32)
    noise = np.concatenate([c.spikes.noise_pA for c in cells])
    of_window = np.repeat(np.arange(len(cells), dtype=np.int32), [len(c.spikes.noise_pA) for c in cells])
    time_ms = (np.arange(spikes.POINTS) - spikes.REFERENCE) / spikes.RATE_KHZ
    found = {
        "cell_name": about(by_cell, np.array([c.name for c in cells]), "1", "cell"),
        "day": about(by_cell, np.array([c.day for c in cells]), "1", "day of recording"),
        "source": about(by_cell, np.array([c.source for c in cells]), "1", "where the recording is"),
        "notes": about(by_cell, np.array(["; ".join(c.spikes.notes) for c in cells]), "1", "what was inferred"),
        "label": about(by_cell, label, "1", f"class: {', '.join(CLASSES)}; -1 unknown"),
        "atypical": about(by_cell, atypical, "1", f"serotonergic with UDI below {ATYPICAL_MS} ms; -1 unknown"),
        "cell_udi_ms": about(by_cell, udi, "ms", "upstroke-downstroke interval of the mean spike"),
        "true_udi_ms": about(by_cell, true, "ms", "the interval that was simulated; -1 for recordings"),
        "time_ms": about(("time",), time_ms.astype(np.float32), "ms", "time from the reference"),
        "noise_pA": about(("window", "time"), noise, "pA", "spike-free windows"),
        "noise_cell": about(("window",), of_window, "1", "index of the cell of a window"),
    }
    for name, (unit, long_name) in _PER_CELL.items():
        values = np.array([getattr(c.spikes, name) for c in cells], np.float32)
        found[name] = about(by_cell, values, unit, long_name)
    return found


def _table(source: Path, arrays: Mapping[str, np.ndarray], left_out: Sequence[Sequence[str]]) -> RapheTable:
    """Return the table of the arrays `READ`, with what follows from the names and labels of the cells."""
    names, cell, cell_label = [str(n) for n in arrays["cell_name"]], arrays["cell"], arrays["label"]
    day_names, cell_day = np.unique([str(d) for d in arrays["day"]], return_inverse=True)
    cell_day = cell_day.astype(np.int32)
    unique = [n if names.count(n) == 1 else f"{day_names[d]}/{n}" for n, d in zip(names, cell_day, strict=True)]
    return RapheTable(
        store=source,
        label=cell_label[cell],
        day=cell_day[cell],
        class_names=CLASSES,
        cell_names=tuple(unique),
        day_names=tuple(map(str, day_names)),
        cell_label=cell_label,
        cell_day=cell_day,
        left_out=tuple((str(file), str(why)) for file, why in left_out),
        **{name: values for name, values in arrays.items() if name not in NAMED},
    )
