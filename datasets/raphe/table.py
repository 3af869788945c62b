"""Raphe spikes as a store and as a table: spikes with their cell, spike-free windows, and the cells."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from spiketype.datasets import store
from spiketype.datasets.raphe import spikes as raphe_spikes
from spiketype.datasets.raphe.extract import UNKNOWN, CellSpikes
from spiketype.edge import versions

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


def write(
    path: Path,
    cells: Sequence[LabelledCell],
    config: Mapping[str, Any],
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
        UserError: `path` exists.
    """
    spike_pA = np.concatenate([c.spikes.spike_pA for c in cells])
    counts = [len(c.spikes.spike_pA) for c in cells]
    arrays = {name: np.concatenate([getattr(c.spikes, name) for c in cells]) for name in _PER_SPIKE}
    arrays |= {"udi_ms": raphe_spikes.shape(spike_pA).udi_ms, "cell": np.repeat(np.arange(len(cells)), counts)}
    arrays["spike_pA"] = spike_pA
    spec = {name: store.Variable(("sample",), *about) for name, about in (_PER_SPIKE | _DERIVED).items()}
    spec["spike_pA"] = store.Variable(("sample", "time"), "float32", "pA", "current from the local baseline")
    sizes = {"sample": len(spike_pA), "time": raphe_spikes.POINTS}
    attributes = {
        "config": json.dumps(dict(config), sort_keys=True),
        "created_with": json.dumps(versions(), sort_keys=True),
        "left_out": json.dumps(list(left_out)),
        "seed": seed,
    }
    store.create(path, KIND, sizes, BLOCK, spec, _coordinates(cells), attributes)
    for index in range(-(-len(spike_pA) // BLOCK)):
        rows = slice(index * BLOCK, (index + 1) * BLOCK)
        store.write_block(path, BLOCK, index, {name: a[rows].astype(spec[name].dtype) for name, a in arrays.items()})
        store.mark_done(path, index)
    return path


_PER_SPIKE = {
    "time_s": ("float64", "s", "time of the spike in its recording; -1 unknown"),
    "isi_ms": ("float32", "ms", "interval since the spike before; -1 unknown"),
    "baseline_pA": ("float32", "pA", "local baseline that was subtracted"),
    "snr": ("float32", "1", "trough over the noise of the recording"),
}
_DERIVED = {
    "udi_ms": ("float32", "ms", "upstroke-downstroke interval of the spike"),
    "cell": ("int32", "1", "index of the cell"),
}
_PER_CELL = {
    "found": ("1", "spikes found, of which the first are kept"),
    "rate_Hz": ("Hz", "spikes found over the time recorded; -1 unknown"),
    "isi_cv": ("1", "coefficient of variation of the intervals; -1 unknown"),
    "noise_rms_pA": ("pA", "noise of the spike-free windows"),
    "drift_pA": ("pA", "range of the baseline, 5th to 95th percentile; -1 unknown"),
    "duration_s": ("s", "time recorded; -1 unknown"),
}


def _coordinates(cells: Sequence[LabelledCell]) -> dict[str, store.Coordinate]:
    about, by_cell = store.Coordinate, ("cell_index",)
    label = np.array([c.label for c in cells], np.int32)
    # The mean spike has a hundredth of the noise power of one spike: its interval is that of the cell.
    mean = np.stack([c.spikes.spike_pA.mean(axis=0) for c in cells])
    udi = raphe_spikes.shape(mean).udi_ms
    true = np.array([c.true_udi_ms for c in cells], np.float32)
    atypical = np.where(label < 0, -1, (label == 1) & (np.where(true > 0, true, udi) < ATYPICAL_MS)).astype(np.int32)
    noise = np.concatenate([c.spikes.noise_pA for c in cells])
    of_window = np.repeat(np.arange(len(cells), dtype=np.int32), [len(c.spikes.noise_pA) for c in cells])
    time_ms = (np.arange(raphe_spikes.POINTS) - raphe_spikes.REFERENCE) / raphe_spikes.RATE_KHZ
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
