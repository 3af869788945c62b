"""One table for waveforms of units, whatever they were read from, with the same checks for every source."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32, Num, Shaped
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from spiketype import reading
from spiketype.datasets.waveforms import curation
from spiketype.edge import Json, UserError

UNKNOWN = frozenset(
    {"", "undef", "undefined", "unknown", "unclassified", "unsorted", "unlabeled", "unlabelled", "nan", "na", "n/a"}
    | {"none", "-1", "?"}
)
NOT_SAID = "not said"  # the animal and session of a source that does not name them
GROUPS = ("animal", "session", "unit")
GroupWord = Literal["animal", "session", "cell model"]  # what a result generalises to: whose units go together
HIGHEST_KHZ = 1000.0  # a number above it is in Hz
LOOKED_AT = 2000  # rows of which the polarity is looked at
POSITIVE = 0.6  # share of positive rows from which on it is told
NEAREST_um = 1.0  # between contacts: no probe has them closer
PER_ROW = ("waveform", "label", "animal", "session", "unit", "autocorrelogram", "isi", "spikes")


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
        group_word: what stands in the place of an animal: itself, a session, or the cell model of a simulated unit.
        session_names: of recordings.
        unit_names: of sorted units.
        autocorrelogram: counts, or None.
        isi: counts of intervals between spikes, or None; bins are the source's own.
        spikes: how many the mean of each row is of, or None.
        level: "unit": a row is the mean of a unit; "spike": rows are spikes, and a unit has several.
        source: the file or folder.
        producer: the program that wrote it, with its version where known, or the format.
        contact_um: positions of the channels, or None.
        origin: species and regions, in the words of the source; empty where it does not say.
        left_out: rows that could not be used.
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
    group_word: GroupWord
    session_names: tuple[str, ...]
    unit_names: tuple[str, ...]
    autocorrelogram: Num[np.ndarray, "row lag"] | None
    isi: Num[np.ndarray, "row bin"] | None
    spikes: Int[np.ndarray, " row"] | None
    level: Literal["unit", "spike"]
    source: Path
    producer: str = ""
    contact_um: Float[np.ndarray, "channel dimension"] | None = None
    origin: tuple[str, ...] = ()
    left_out: int = 0

    def take(self, index: Int[np.ndarray, " taken"] | Bool[np.ndarray, " row"]) -> "WaveformTable":
        """Return the rows of an index or a mask, in its order; names stay as they are."""
        values = {name: getattr(self, name) for name in PER_ROW}
        return replace(self, **{name: v[index] for name, v in values.items() if v is not None})

    def means(self) -> tuple["WaveformTable", Int[np.ndarray, " unit"]]:
        """Return the mean waveform of each unit, in the order in which they first occur, and the number of its rows."""
        first, of_row, count = np.unique(self.unit, return_index=True, return_inverse=True, return_counts=True)[1:]
        total = np.zeros((len(first), *self.waveform.shape[1:]))
        np.add.at(total, of_row, self.waveform)
        order = np.argsort(first)
        mean = (total / count[:, None, None])[order].astype(np.float32)
        spikes = None if self.spikes is None else np.bincount(of_row, self.spikes)[order].astype(np.int64)
        return replace(self.take(first[order]), waveform=mean, level="unit", spikes=spikes), count[order]

    @property
    def positive(self) -> float:
        """Share of rows whose largest peak is positive; of very many rows, some are looked at."""
        step = -(-len(self.waveform) // LOOKED_AT)
        x = self.waveform[::step] - np.median(self.waveform[::step], axis=2, keepdims=True)
        return float(np.mean(x.max(axis=(1, 2)) > -x.min(axis=(1, 2))))

    def summary(self) -> Json:
        """Return what was read, as JSON."""
        counts = np.bincount(self.label[self.label >= 0], minlength=len(self.class_names)).tolist()
        return {
            "producer": self.producer,
            "rows": len(self.waveform),
            "level": self.level,
            "left_out": self.left_out,
            "units": len(np.unique(self.unit)),
            "animals": self._count("animal"),
            "group": self.group_word,
            "sessions": self._count("session"),
            "channels": self.waveform.shape[1],
            "times": self.waveform.shape[2],
            "rate_kHz": self.rate_kHz,
            "in_units": self.units,
            "positive_first_percent": round(100 * self.positive, 1),
            "classes": dict(zip(self.class_names, counts, strict=True)),
            "without_label": int(np.sum(self.label < 0)),
            "contacts_um": self.contact_um is not None,
            "origin": list(self.origin),
            "histograms": [name for name in ("isi", "autocorrelogram") if getattr(self, name) is not None],
        }

    def _count(self, group: str) -> int | None:
        """Return how many animals or sessions there are, None if the source does not say."""
        names = [getattr(self, f"{group}_names")[k] for k in np.unique(getattr(self, group))]
        return None if names == [NOT_SAID] else len(names)


def build(
    source: Path,
    waveform: ArrayLike,
    rate_kHz: float,
    label: ArrayLike | None = None,
    animal: ArrayLike | None = None,
    session: ArrayLike | None = None,
    unit: ArrayLike | None = None,
    units: str = "as stored",
    producer: str = "",
    contact_um: ArrayLike | None = None,
    origin: Iterable[object] = (),
    spikes: ArrayLike | None = None,
    curated: Mapping[str, np.ndarray] | None = None,
    **histograms: ArrayLike | None,
) -> WaveformTable:
    """Make a checked table from arrays with a row each; names are made of whatever values the columns hold.

    Rows that cannot be used are left out, and told in one list on stderr: waveforms that are not finite or constant,
    histograms with counts that are negative or not finite, spikes of a unit with several labels, and units with the
    very same waveform as an earlier one.

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
        producer: the program that wrote the source, or its format.
        contact_um: (channel, 2 or 3) positions; left out with a note if they do not fit the channels.
        origin: species and regions, as often as the source says them; `UNKNOWN` words are left out.
        spikes: (row,) of how many spikes each row is the mean.
        curated: (row,) words of curators, by column: what any calls noise is left out.
        histograms: ``autocorrelogram`` and ``isi`` (row, bin) counts.

    Raises:
        UserError: arrays of wrong shapes or different lengths; a sampling rate that cannot be one; fewer than three
            time samples; no row that can be used.
    """
    check_rate(source, float(rate_kHz))
    x = _waveform(source, waveform)
    rows = len(x)
    columns = {"animal": animal, "session": session, "unit": unit, "label": label, "spikes": spikes}
    given = {name: _column(source, name, v, rows) for name, v in columns.items() if v is not None}
    counts = {name: _counts(source, name, v, rows) for name, v in histograms.items() if v is not None}
    given |= _groups(given, rows)
    is_unit = len(np.unique(given["unit"])) == rows
    noise = {name: _column(source, name, values, rows) for name, values in (curated or {}).items()}
    keep = _usable(source, x, counts, given, noise, is_unit)
    if not keep.all():
        x, given, counts = x[keep], _kept(given, keep), _kept(counts, keep)
    class_names, of_row = classes(given.get("label"), len(x))
    return WaveformTable(
        waveform=x,
        rate_kHz=float(rate_kHz),
        units=units,
        label=of_row,
        class_names=class_names,
        spikes=given["spikes"].astype(np.int64) if "spikes" in given else None,
        autocorrelogram=counts.get("autocorrelogram"),
        isi=counts.get("isi"),
        level="unit" if is_unit else "spike",
        group_word="session" if animal is None and session is not None else "animal",
        source=source,
        producer=producer,
        contact_um=_contacts(source, contact_um, x.shape[1]),
        origin=_known(origin),
        left_out=int((~keep).sum()),
        **_indexed(given),
    )


def _known(words: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted({word for each in words if (word := str(each).strip()).lower() not in UNKNOWN}))


def _indexed(given: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return each group as a table has it: the index of each row, and the names."""
    found: dict[str, Any] = {}  # fields of several types, by name
    for name in GROUPS:
        names, index = np.unique(given[name], return_inverse=True)
        found |= {name: index.astype(np.int32), f"{name}_names": tuple(map(str, names))}
    return found


def _waveform(source: Path, waveform: ArrayLike) -> np.ndarray:
    """Return waveforms (row, channel, time) in float32."""
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is left out
        x = np.asarray(waveform, np.float32)
    x = x[:, None] if x.ndim == 2 else x
    if x.ndim != 3 or not x.size:
        raise UserError(f"{source}: waveforms have shape {x.shape}; expected (row, channel, time), none empty")
    if x.shape[2] < 3:
        raise UserError(f"{source}: waveforms have {x.shape[2]} time samples: at least 3 are needed")
    return x


def check_rate(source: Path, rate_kHz: float) -> None:
    """Refuse a sampling rate that cannot be one of spikes in kHz.

    Raises:
        UserError: a rate that is not positive, or that was given in Hz.
    """
    if not (np.isfinite(rate_kHz) and rate_kHz > 0):
        raise UserError(f"{source}: {rate_kHz} kHz is not a sampling rate: give the file's with --rate-khz")
    if rate_kHz > HIGHEST_KHZ:
        raise UserError(f"{source}: {rate_kHz:g} kHz: was Hz meant? give --rate-khz {rate_kHz / 1000:g}")


def _column(source: Path, name: str, values: ArrayLike, rows: int) -> np.ndarray:
    """Return a column (row,); a single value is that of every row."""
    column = np.asarray(values)
    if column.ndim == 0:
        column = np.broadcast_to(column, rows)
    _check_rows(source, name, column, rows)
    if column.ndim != 1:
        raise UserError(f"{source}: {name} has shape {column.shape}; expected one value a row, ({rows},)")
    return column


def _counts(source: Path, name: str, values: ArrayLike, rows: int) -> np.ndarray:
    """Return a histogram (row, bin)."""
    counts = np.asarray(values)
    _check_rows(source, name, counts, rows)
    if counts.ndim != 2 or counts.dtype.kind not in "fiu":
        raise UserError(f"{source}: {name} has shape {counts.shape} of {counts.dtype}; expected numbers (row, bin)")
    return counts


def _check_rows(source: Path, name: str, values: np.ndarray, rows: int) -> None:
    found = len(values) if values.ndim else 0
    if found != rows:
        raise UserError(f"{source}: {name} has {found} rows, the waveforms have {rows}: give one each")


def _kept(columns: Mapping[str, np.ndarray], keep: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[keep] for name, values in columns.items()}


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


def _usable(
    source: Path,
    waveform: np.ndarray,
    counts: Mapping[str, np.ndarray],
    given: Mapping[str, np.ndarray],
    curated: Mapping[str, np.ndarray],
    is_unit: bool,
) -> np.ndarray:
    """Return a mask of the rows that can be used, and tell on stderr which are left out and why.

    Raises:
        UserError: no row is left.
    """
    flat = waveform.reshape(len(waveform), -1)
    finite = np.isfinite(flat).all(axis=1)
    constant = finite & (flat.max(axis=1) == flat.min(axis=1))
    keep: np.ndarray = finite & ~constant
    unit = given["unit"]

    def listed(bad: np.ndarray) -> list[str]:
        return [f"row {row} (unit {unit[row]})" for row in np.flatnonzero(bad)]

    reasons = {"not finite (NaN or infinite)": listed(~finite), "constant on all channels": listed(constant)}
    noise, told_of = curation.reasons(curated)
    for line in told_of:
        reading.note(source, line)
    for why, rows in noise.items():
        reasons[why] = listed(keep & rows)
        keep &= ~rows
    for name, values in counts.items():
        wrong = keep & ~(np.isfinite(values) & (values >= 0)).all(axis=1)
        reasons[f"{name} with a count that is negative or not finite"] = listed(wrong)
        keep &= ~wrong
    label = given.get("label")
    if is_unit:
        pairs = _repeated(waveform, keep)
        reasons["the very same waveform as a row that is kept, and a copy would be tested on its original"] = [
            f"row {row} (unit {unit[row]}) as row {first} (unit {unit[first]}{_other_label(label, first, row)})"
            for first, row in pairs
        ]
        keep[[row for _, row in pairs]] = False
    else:
        several = keep & _several_labels(given)
        reasons["spikes of units with several labels"] = [f"unit {name}" for name in np.unique(unit[several])]
        keep &= ~several
    there = {reason: rows for reason, rows in reasons.items() if rows}
    told = [f"  {reason}: {reading.shortened(rows)}" for reason, rows in there.items()]
    if not keep.any():
        raise UserError("\n".join([f"{source}: none of {len(keep)} rows can be used, repair them:", *told]))
    if told:
        left_out = f"{int((~keep).sum())} of {len(keep)} rows are left out:"
        every = [f"  {reason}: {', '.join(rows)}" for reason, rows in there.items()]
        reading.note(source, "\n".join([left_out, *told]), "\n".join([left_out, *every]))
    return keep


def _repeated(waveform: np.ndarray, keep: np.ndarray) -> list[tuple[int, int]]:
    """Return (first, row) of each kept row whose waveform a kept row before it has."""
    first: dict[bytes, int] = {}
    pairs = [(first.setdefault(waveform[row].tobytes(), row), row) for row in np.flatnonzero(keep).tolist()]
    return [(a, b) for a, b in pairs if a != b]


def _other_label(label: np.ndarray | None, first: int, row: int) -> str:
    if label is None or str(label[first]) == str(label[row]):
        return ""
    return f", labelled {label[first]} there and {label[row]} here"


def _several_labels(given: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return a mask of the rows of units whose spikes have several labels: which is right cannot be known."""
    _, label = classes(given.get("label"), len(given["unit"]))
    _, unit = np.unique(given["unit"], return_inverse=True)
    pairs = np.unique(np.stack([unit, label])[:, label >= 0], axis=1)
    several = np.bincount(pairs[0], minlength=unit.max(initial=0) + 1) > 1
    mask: np.ndarray = several[unit]
    return mask


def _contacts(source: Path, values: ArrayLike | None, channels: int) -> np.ndarray | None:
    """Return positions of channels (channel, 2 or 3) in um, None where there are none that fit."""
    if values is None:
        return None
    contact = np.asarray(values)
    if contact.dtype.kind not in "fiu" or contact.ndim != 2 or contact.shape[1] not in (2, 3):
        reading.note(source, f"contact positions of shape {contact.shape} are not used: expected (channel, 2 or 3)")
        return None
    if len(contact) != channels or not np.isfinite(contact).all():
        reading.note(source, f"{len(contact)} contact positions do not fit {channels} channels, and are not used")
        return None
    contact = contact.astype(np.float64)
    if channels > 1 and (apart := float(np.median(cKDTree(contact).query(contact, 2)[0][:, 1]))) < NEAREST_um:
        reading.note(source, f"contact positions are not used: they are {apart:.3g} apart, which cannot be um")
        return None
    return contact


def _words(values: np.ndarray | None, rows: int) -> np.ndarray:
    """Return values as words without blanks around them; whole numbers without a decimal point: 3.0 and 3 are one."""
    if values is None:
        return np.full(rows, NOT_SAID)
    items = values.tolist()  # by way of a list: text of any length (StringDType) has no cast
    if values.dtype.kind == "f" and np.all(np.isnan(values) | (np.isfinite(values) & (values == np.round(values)))):
        items = ["nan" if np.isnan(v) else int(v) for v in items]
    elif values.dtype.kind == "f":
        items = values.astype(str).tolist()  # 1.1 in half precision is 1.1
    words = [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in items]
    return np.array([word.strip() for word in words], dtype=str)


def _inside(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Return names (row,) of groups inside groups: `inner`, or "outer/inner" if one occurs in several of `outer`."""
    pairs = np.char.add(np.char.add(outer, "/"), inner)
    return pairs if len(np.unique(pairs)) > len(np.unique(inner)) else inner
