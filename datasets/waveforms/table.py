"""One table for waveforms of units, whatever they were read from, with the same checks for every source."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, Num, Shaped
from numpy.typing import ArrayLike

from spiketype.edge import UserError

UNKNOWN = frozenset({"", "undef", "undefined", "unknown", "unclassified", "unsorted", "nan", "none", "-1", "?"})
NOT_SAID = "not said"  # the animal and session of a source that does not name them
PER_ROW = ("waveform", "label", "animal", "session", "unit", "autocorrelogram", "isi")


@dataclass(frozen=True)
class WaveformTable:
    """Waveforms, one a row: the means of units, or single spikes.

    Attributes:
        waveform: in `units`.
        rate_kHz: sampling rate.
        units: such as "uV"; "as stored" where the source does not say.
        label: index into `class_names`; -1 where unknown.
        class_names: of the label column that was read; empty where none was.
        animal: index into `animal_names`.
        session: index into `session_names`.
        unit: index into `unit_names`; a name that occurs in several sessions has the session before it.
        animal_names: those of the sessions where a source names no animals, `NOT_SAID` where it names neither.
        session_names: of recordings.
        unit_names: of sorted units.
        autocorrelogram: counts, or None.
        isi: counts of intervals between spikes, or None; bins are the source's own.
        level: "unit": a row is the mean of a unit; "spike": rows are spikes, and a unit has several.
        source: the file or folder.
    """

    waveform: Float32[np.ndarray, "row channel time"]
    rate_kHz: float
    units: str
    label: Int32[np.ndarray, " row"]
    class_names: tuple[str, ...]
    animal: Int32[np.ndarray, " row"]
    session: Int32[np.ndarray, " row"]
    unit: Int32[np.ndarray, " row"]
    animal_names: tuple[str, ...]
    session_names: tuple[str, ...]
    unit_names: tuple[str, ...]
    autocorrelogram: Num[np.ndarray, "row lag"] | None
    isi: Num[np.ndarray, "row bin"] | None
    level: Literal["unit", "spike"]
    source: Path

    def take(self, index: Int[np.ndarray, " taken"] | Bool[np.ndarray, " row"]) -> "WaveformTable":
        """Return the rows of an index or a mask, in its order; names stay as they are."""
        values = {name: getattr(self, name) for name in PER_ROW}
        return replace(self, **{name: v[index] for name, v in values.items() if v is not None})


def build(
    source: Path,
    waveform: ArrayLike,
    rate_kHz: float,
    label: ArrayLike | None = None,
    animal: ArrayLike | None = None,
    session: ArrayLike | None = None,
    unit: ArrayLike | None = None,
    units: str = "as stored",
    **histograms: ArrayLike | None,
) -> WaveformTable:
    """Make a checked table from arrays with a row each; names are made of whatever values the columns hold.

    Args:
        source: the file or folder, for messages.
        waveform: (row, time) or (row, channel, time).
        rate_kHz: sampling rate.
        label: (row,) class of each row in numbers or words; `UNKNOWN` words and NaN are no class.
        animal: (row,) names; by default the session, or one animal.
        session: (row,) names; by default one session an animal.
        unit: (row,) names, unique in their session; by default every row is a unit. Where rows share a unit, they are
            spikes.
        units: of the waveform.
        histograms: ``autocorrelogram`` and ``isi`` (row, bin) counts.

    Raises:
        UserError: arrays of wrong shapes or different lengths; what `check` refuses.
    """
    waveform = np.asarray(waveform, np.float32)
    waveform = waveform[:, None] if waveform.ndim == 2 else waveform
    if waveform.ndim != 3 or not waveform.size:
        raise UserError(f"{source}: waveforms have shape {waveform.shape}; expected (row, channel, time), none empty")
    rows, groups = len(waveform), ("animal", "session", "unit")
    columns = {"animal": animal, "session": session, "unit": unit, "label": label, **histograms}
    given = {name: np.asarray(v) for name, v in columns.items() if v is not None}
    for name, values in given.items():
        if len(values) != rows:
            raise UserError(f"{source}: {name} has {len(values)} rows, the waveforms have {rows}: give one each")
    given |= _groups(given, rows)
    names = {name: tuple(map(str, np.unique(given[name]))) for name in groups}
    index = {name: np.unique(given[name], return_inverse=True)[1].astype(np.int32) for name in groups}
    class_names, of_row = classes(given.get("label"), rows)
    table = WaveformTable(
        waveform=waveform,
        rate_kHz=float(rate_kHz),
        units=units,
        label=of_row,
        class_names=class_names,
        animal=index["animal"],
        session=index["session"],
        unit=index["unit"],
        animal_names=names["animal"],
        session_names=names["session"],
        unit_names=names["unit"],
        autocorrelogram=given.get("autocorrelogram"),
        isi=given.get("isi"),
        level="spike" if len(names["unit"]) < rows else "unit",
        source=source,
    )
    check(table)
    return table


def _groups(given: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    """Return names (row,) of the animal, session and unit of each row, from the columns there are."""
    animal = _words(given.get("animal", given.get("session")), rows)
    session = _inside(animal, _words(given.get("session", given.get("animal")), rows))
    unit = _inside(session, _words(given.get("unit", np.arange(rows)), rows))
    return {"animal": animal, "session": session, "unit": unit}


def classes(values: Shaped[np.ndarray, " row"] | None, rows: int) -> tuple[tuple[str, ...], Int32[np.ndarray, " row"]]:
    """Return class names, sorted, and the index of each value; -1 for `UNKNOWN` words and NaN."""
    if values is None:
        return (), np.full(rows, -1, np.int32)
    words = _words(values, rows)
    known = np.array([word.lower() not in UNKNOWN for word in words])
    names, index = np.unique(words[known], return_inverse=True)
    label = np.full(rows, -1, np.int32)
    label[known] = index
    return tuple(map(str, names)), label


def check(table: WaveformTable) -> None:
    """Refuse waveforms that cannot be used.

    Raises:
        UserError: NaN or infinite values; a waveform that is constant over all channels and times; two units with the
            same waveform; a unit whose spikes have several labels; a histogram with negative or infinite counts; a
            sampling rate that is not positive; fewer than three time samples. The first row is named.
    """
    if not (np.isfinite(table.rate_kHz) and table.rate_kHz > 0):
        raise UserError(f"{table.source}: {table.rate_kHz} kHz is not a sampling rate: give the file's with --rate-khz")
    flat = table.waveform.reshape(len(table.waveform), -1)
    if table.waveform.shape[2] < 3:
        raise UserError(f"{table.source}: waveforms have {table.waveform.shape[2]} time samples: at least 3 are needed")
    bad = ~np.isfinite(flat).all(axis=1)
    if bad.any():
        raise _unusable(table, bad, "is not finite (NaN or infinite)")
    constant = flat.max(axis=1) == flat.min(axis=1)
    if constant.any():
        raise _unusable(table, constant, "is constant on all channels")
    for name in ("isi", "autocorrelogram"):
        counts = getattr(table, name)
        if counts is not None and not (np.isfinite(counts) & (counts >= 0)).all():
            row = int(np.argmin((np.isfinite(counts) & (counts >= 0)).reshape(len(counts), -1).all(axis=1)))
            raise UserError(f"{table.source}: {name} of row {row} has a count that is negative or not finite")
    if table.level == "unit":
        _check_different(table)
    else:
        _check_one_label(table)


def _check_one_label(table: WaveformTable) -> None:
    pairs = np.unique(np.stack([table.unit, table.label])[:, table.label >= 0], axis=1)
    again = np.flatnonzero(np.diff(pairs[0]) == 0)
    if len(again):
        unit = pairs[0, again[0]]
        told = ", ".join(table.class_names[k] for k in pairs[1, pairs[0] == unit])
        raise UserError(
            f"{table.source}: spikes of unit {table.unit_names[unit]} have several labels ({told}): give a unit one,"
            " or name the sessions in which its number means another unit"
        )


def _check_different(table: WaveformTable) -> None:
    first: dict[bytes, int] = {}
    pairs = [(first.setdefault(w.tobytes(), row), row) for row, w in enumerate(table.waveform)]
    again = [(a, b) for a, b in pairs if a != b]
    if again:
        names = [table.unit_names[table.unit[row]] for row in again[0]]
        raise UserError(
            f"{table.source}: rows {again[0][0]} and {again[0][1]} (units {names[0]} and {names[1]}) have the very same"
            f" waveform: remove one of each such pair ({len(again)} in all), or a copy is tested on its original"
        )


def _unusable(table: WaveformTable, bad: np.ndarray, what: str) -> UserError:
    row = int(np.argmax(bad))
    more = f"; {int(bad.sum())} rows in all" if bad.sum() > 1 else ""
    unit = table.unit_names[table.unit[row]]
    return UserError(f"{table.source}: the waveform of row {row} (unit {unit}) {what}{more}: remove or repair it")


def _words(values: np.ndarray | None, rows: int) -> np.ndarray:
    """Return values as words; whole numbers without a decimal point, so that 3.0 and 3 are one group."""
    if values is None:
        return np.full(rows, NOT_SAID)
    if values.dtype.kind == "f" and np.all(np.isnan(values) | (values == np.round(values))):
        return np.array(["nan" if np.isnan(v) else str(int(v)) for v in values.tolist()])
    return np.array(values.tolist()).astype(str)  # by way of a list: text of any length (StringDType) has no cast


def _inside(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Return names (row,) of groups inside groups: `inner`, or "outer/inner" if one occurs in several of `outer`."""
    pairs = np.char.add(np.char.add(outer, "/"), inner)
    return pairs if len(np.unique(pairs)) > len(np.unique(inner)) else inner
