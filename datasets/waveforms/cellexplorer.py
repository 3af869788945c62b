"""Cell metrics of CellExplorer, ``NAME.cell_metrics.cellinfo.mat``: mean waveforms, labels, animals, autocorrelograms.

A cell is a column of every field. ``waveforms.filt`` and ``.raw`` are the mean waveforms (uV) of a cell's best channel,
at ``waveforms.time`` (ms); ``acg.narrow`` is its autocorrelogram. ``groundTruthClassification`` holds for each class
the numbers of its cells, from 1 on; ``putativeCellType`` is CellExplorer's own guess by thresholds of waveform and
autocorrelogram (Petersen et al. 2021, 10.1016/j.neuron.2021.09.002).
"""

from collections import Counter
from pathlib import Path

import numpy as np

from spiketype import reading
from spiketype.datasets.waveforms import curation, matlab
from spiketype.datasets.waveforms.columns import LOWEST_KHZ
from spiketype.datasets.waveforms.matlab import Value
from spiketype.datasets.waveforms.table import HIGHEST_KHZ, WaveformTable, build, check_rate
from spiketype.edge import UserError

METRICS, TRUTH, PUTATIVE = "cell_metrics", "groundTruthClassification", "putativeCellType"
ORIGIN = ("species", "animal_species", "brainRegion")
KINDS = ("filt", "raw")  # the first that any cell has is read
BAD = ("Bad", "Noise")  # tags of CellExplorer for what is no unit
METHODS = ("Juxta",)  # recorded so that the cell is certain: no type of cell


def is_metrics(path: Path) -> bool:
    """Say whether a file is named as cell metrics: by CellExplorer, or of several sessions by its users."""
    return path.suffix.lower() == ".mat" and METRICS in path.name


def load(path: Path, label: str | None, rate_kHz: float | None = None) -> WaveformTable:
    """Read the mean waveform (uV) of each cell on its best channel, filtered if the file has it, else raw.

    Cells without a waveform, or with one of another length or rate than most, are left out with a message.

    Args:
        path: a file of any version of MATLAB from 5 on.
        label: ``groundTruthClassification`` (the default where the file has one), or a field with a text for each cell
            such as ``putativeCellType`` (the default otherwise, with a message), ``brainRegion``.
        rate_kHz: sampling rate, for a file whose times are not in ms.

    Raises:
        UserError: a damaged file; no cells with waveforms; no such field; times that are not in ms.
    """
    metrics = matlab.read(path).get(METRICS)
    waveforms = metrics.get("waveforms") if isinstance(metrics, dict) else None
    if not isinstance(metrics, dict) or not isinstance(waveforms, dict):
        raise UserError(f"{path} has no struct {METRICS!r} with waveforms: is it made by CellExplorer?")
    count = _count(path, metrics)
    kind = next((name for name in KINDS if any(len(w) for w in _cells(waveforms.get(name), count))), None)
    if kind is None:
        raise UserError(f"{path}: its {count} cells have no mean waveforms (waveforms.filt or waveforms.raw)")
    if kind != KINDS[0]:
        reading.note(path, "raw waveforms are read, it has no filtered ones")
    waveform, time = (_cells(waveforms.get(name), count) for name in (kind, "time"))
    rows, by_time_kHz = _alike(path, waveform, time, kind)
    columns = {
        name: _texts(metrics, field, count) for name, field in (("animal", "animal"), ("session", "sessionName"))
    }
    number, spikes = (_numbers(metrics, field, count) for field in ("cluID", "spikeCount"))
    return build(
        path,
        np.stack([waveform[row] for row in rows]),
        _rate(path, by_time_kHz, rate_kHz),
        _labels(path, metrics, label, count)[rows],
        unit=None if number is None else _unique_in_session(number, columns["session"])[rows],
        units="uV",
        producer="CellExplorer",
        autocorrelogram=_autocorrelogram(path, metrics, count, rows),
        spikes=None if spikes is None or not np.isfinite(spikes).all() else spikes[rows],
        curated={f"tags.{name}": words[rows] for name, words in _tagged(metrics, count).items()},
        origin=[word for field in ORIGIN for word in set(matlab.texts(metrics.get(field)) or ())],
        **{name: None if words is None else words[rows] for name, words in columns.items()},
    )


def _tagged(metrics: dict[str, Value], count: int) -> dict[str, np.ndarray]:
    """Return the words of curation (cell,) by tag: noise for the cells, numbered from 1, that a tag of `BAD` lists."""
    tags, found = metrics.get("tags"), {}
    for name in BAD:
        numbers = tags.get(name) if isinstance(tags, dict) else None
        if isinstance(numbers, np.ndarray) and numbers.dtype.kind in "fiu":
            found[name] = np.where(np.isin(np.arange(1, count + 1), numbers), curation.NOISE, "")
    return found


def _rate(path: Path, by_time_kHz: float, given: float | None) -> float:
    """Return the rate (kHz) that the times say, if they can be in ms, else `given`."""
    counted = by_time_kHz == 1  # samples, not ms: no program records spikes at 1 kHz
    if LOWEST_KHZ <= by_time_kHz <= HIGHEST_KHZ and not counted:
        return by_time_kHz
    if given is None:
        raise UserError(
            f"{path}: by waveforms.time its rate is {by_time_kHz:g} kHz, so the times are not in ms: give the rate with"
            " --rate-khz"
        )
    check_rate(Path("--rate-khz"), given)
    reading.note(path, f"by waveforms.time its rate is {by_time_kHz:g} kHz: --rate-khz {given:g} is used")
    return given


def _count(path: Path, metrics: dict[str, Value]) -> int:
    """Return how many cells there are: as many as have a name of the session, a cluster or a type."""
    for field in ("UID", "cluID", "sessionName", PUTATIVE, "cellID"):
        value = metrics.get(field)
        words = matlab.texts(value) if value is not None else None
        size = len(words) if words is not None else value.size if isinstance(value, np.ndarray) else 0
        if size:
            return size
    raise UserError(f"{path}: {METRICS} has no cells (no UID, cluID, sessionName or {PUTATIVE})")


def _cells(value: Value | None, count: int) -> list[np.ndarray]:
    """Return the numbers of each cell; none for a cell, or a whole field, that is missing."""
    none = np.zeros(0)
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.ndim == 2 and value.shape[1] == count:
        return list(value.T.astype(np.float64))
    if isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.size == count:
        arrays = [cell if isinstance(cell, np.ndarray) and cell.dtype.kind in "fiu" else none for cell in value.flat]
        return [a.astype(np.float64).reshape(-1) if a.ndim < 3 and 1 in a.shape else none for a in arrays]
    return [none] * count


def _alike(path: Path, waveform: list[np.ndarray], time: list[np.ndarray], kind: str) -> tuple[np.ndarray, float]:
    """Return the cells with the commonest length and rate (kHz), and that rate."""
    found: dict[int, tuple[int, float]] = {}
    reason: dict[int, str] = {}
    for row, (w, t) in enumerate(zip(waveform, time, strict=True)):
        step = np.diff(t)
        if not len(w):
            reason[row] = "no waveform"
        elif len(w) != len(t):
            reason[row] = f"{len(w)} samples at {len(t)} times"
        elif len(t) < 3 or not (np.isfinite(step).all() and (step > 0).all() and np.allclose(step, step.mean(), 0.02)):
            reason[row] = "times that are not in even steps"
        else:
            found[row] = (len(w), round(float(1 / step.mean()), 3))
    if not found:
        told = "; ".join(f"{n} cells: {why}" for why, n in Counter(reason.values()).most_common())
        raise UserError(f"{path}: no cell has a waveforms.{kind} with its time ({told})")
    commonest = Counter(found.values()).most_common(1)[0][0]
    other = {row: f"{n} samples at {rate:g} kHz" for row, (n, rate) in found.items() if (n, rate) != commonest}
    reason |= other
    if reason:
        cells = [f"{row + 1} ({why})" for row, why in sorted(reason.items())]
        head = (
            f"{len(reason)} of {len(waveform)} cells are left out, the others have {commonest[0]} samples at"
            f" {commonest[1]:g} kHz:\n  cells "
        )
        reading.note(path, head + reading.shortened(cells), head + ", ".join(cells))
    return np.array([row for row, shape in found.items() if shape == commonest]), commonest[1]


def _texts(metrics: dict[str, Value], field: str, count: int) -> np.ndarray | None:
    words = matlab.texts(metrics.get(field))
    return np.array(words, dtype=str) if words is not None and len(words) == count else None


def _numbers(metrics: dict[str, Value], field: str, count: int) -> np.ndarray | None:
    value = metrics.get(field)
    is_number = isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.size == count
    return value.reshape(-1) if is_number and isinstance(value, np.ndarray) else None


def _unique_in_session(number: np.ndarray, session: np.ndarray | None) -> np.ndarray:
    """Return the numbers of clusters as names, with the cell's place where a session has one twice."""
    words = np.array([f"{n:g}" for n in number.tolist()])
    inside = words if session is None else np.char.add(np.char.add(session, "/"), words)
    _, index, times = np.unique(inside, return_inverse=True, return_counts=True)
    place = np.array([f"{word}.{row + 1}" for row, word in enumerate(words)])
    return np.where(times[index] > 1, place, words)


def _labels(path: Path, metrics: dict[str, Value], label: str | None, count: int) -> np.ndarray:
    """Return the class of each cell in words, "" where it has none."""
    truth = metrics.get(TRUTH)
    has_truth = isinstance(truth, dict) and any(isinstance(v, np.ndarray) and v.size for v in truth.values())
    if label is None and not has_truth:
        if PUTATIVE not in metrics:
            return np.full(count, "")
        reading.note(path, f"labels are {PUTATIVE}, CellExplorer's guess by waveform and autocorrelogram")
        label = PUTATIVE
    if label in (None, TRUTH) and isinstance(truth, dict):
        return _true_labels(path, truth, count)
    found = _texts(metrics, label or TRUTH, count)
    if found is None:
        fields = [TRUTH] * has_truth + [name for name in sorted(metrics) if _texts(metrics, name, count) is not None]
        raise UserError(f"{path} has no column {label!r}; it has {', '.join(fields) or 'none'}")
    return found


def _true_labels(path: Path, truth: dict[str, Value], count: int) -> np.ndarray:
    """Return the ground truth of each cell; "" where there is none, or several."""
    classes: list[set[str]] = [set() for _ in range(count)]
    for name, members in truth.items():
        is_number = isinstance(members, np.ndarray) and members.dtype.kind in "fiu"
        for number in members.reshape(-1).tolist() if is_number and isinstance(members, np.ndarray) else ():
            if not 1 <= number <= count or number != int(number):
                raise UserError(f"{path}: {TRUTH}.{name} has cell {number:g}, there are {count} cells")
            classes[int(number) - 1].add(name)
    types = [found - set(METHODS) or found for found in classes]
    several = [row + 1 for row, found in enumerate(types) if len(found) > 1]
    if several:
        told = reading.shortened(list(map(str, several)))
        reading.note(path, f"cells with several classes are taken as unknown: {told}")
    methods = sorted({name for found in types if len(found) == 1 for name in found & set(METHODS)})
    if methods:
        reading.note(path, f"{', '.join(methods)} is how a cell was recorded, not a type of cell")
    return np.array([next(iter(found)) if len(found) == 1 else "" for found in types], dtype=str)


def _autocorrelogram(path: Path, metrics: dict[str, Value], count: int, rows: np.ndarray) -> np.ndarray | None:
    """Return ``acg.narrow`` (row, lag) of the cells `rows`; None where the file has none of all of them."""
    acg = metrics.get("acg")
    narrow = acg.get("narrow") if isinstance(acg, dict) else None
    if not isinstance(narrow, np.ndarray) or narrow.dtype.kind not in "fiu" or narrow.ndim != 2:
        return None
    by_cell = narrow.T
    usable = len(by_cell) == count and bool((np.isfinite(by_cell[rows]) & (by_cell[rows] >= 0)).all())
    if not usable:
        reading.note(path, "acg.narrow is not used, it is not of every cell")
        return None
    return np.asarray(by_cell[rows], np.float64)
