"""A table of waveforms from named arrays, whatever file they come from: their names, units, gains and dimensions."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spiketype import reading
from spiketype.damage import readable
from spiketype.datasets.waveforms import axes, curation
from spiketype.datasets.waveforms.table import HIGHEST_KHZ, WaveformTable, build, check_rate
from spiketype.edge import UserError
from spiketype.typed import short

WAVEFORM, LABEL, UNITS, AS_STORED = "waveform", "label", "units", "as stored"
WAVEFORMS = (WAVEFORM, "waveforms")  # the first that is there counts
RATES = {"rate_kHz": 1.0, "rate_Hz": 1000.0}  # and how many of it are 1 kHz
# The names under which a column is looked for; the first that is there counts.
GROUPS = {
    "animal": ("animal", "subject", "mouse"),
    "session": ("session", "recording"),
    "unit": (
        *("unit", "cluster", "unit_id", "unit_ids", "cluster_id", "cluster_ids", "unit_name"),
        *("id", "cell_id", "neuron_id", "neuron"),
    ),
}
ORIGIN = ("species", "region", "area", "brain_region", "brain_area")
SPIKES = ("n_spikes", "num_spikes", "spike_count", "spikeCount")  # of which a row is the mean
HISTOGRAMS = {"isi": ("isi",), "autocorrelogram": ("autocorrelogram", "acg")}
GAINS = ("gain", "gain_uV", "gain_to_uV")
PRODUCER, CONTACTS = "producer", "contact_um"
ABOUT = (*RATES, UNITS, *GAINS, PRODUCER, CONTACTS)  # names that describe a whole file
# The names of dimensions; a `sample` is a time in some files and a row in others, and is what is left of the two.
DIMENSIONS = {
    "row": {"row", "unit", "units", "unit_id", "unit_ids", "cell", "cells", "neuron", "neurons", "cluster", "spike"},
    "channel": {"channel", "channels", "channel_id", "channel_ids", "chan", "contact", "electrode", "site"},
    "time": {"time", "times", "time_ms", "time_s", "time_us", "t"},
}
LOWEST_KHZ = 0.5  # spikes have no fewer samples
EITHER = {"sample", "samples"}
MICROVOLTS = {
    **dict.fromkeys(("uv", "µv", "μv", "microvolt", "microvolts"), 1.0),
    **dict.fromkeys(("mv", "millivolt", "millivolts"), 1e3),
    **dict.fromkeys(("v", "volt", "volts"), 1e6),
}
RAW = {AS_STORED, "as recorded", "int16 as recorded"}  # what our own readers say where a source has no units
MILLISECONDS = {"s": 1e3, "sec": 1e3, "second": 1e3, "seconds": 1e3, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "μs": 1e-3}


@dataclass(frozen=True)
class Column:
    """An array of a file.

    Attributes:
        values: decoded, as the file's own library gives them.
        dims: a name for each dimension; None where the format has none.
        attrs: such as ``units``.
    """

    values: np.ndarray
    dims: tuple[str, ...] | None = None
    attrs: Mapping[str, object] = field(default_factory=dict)


class Columns:
    """The columns of a file by name, each read when it is first asked for: what no table needs stays in the file.

    It is no Mapping, because those who check one look at what is in it.
    """

    def __init__(self, names: Iterable[str], read: Callable[[str], Column]) -> None:
        self._names, self._read, self._found = dict.fromkeys(names), read, dict[str, Column]()

    def __getitem__(self, name: str) -> Column:
        if name not in self._found:
            self._found[name] = self._read(name)
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)


def table(
    path: Path,
    columns: Mapping[str, Column] | Columns,
    label: str | None,
    rate_kHz: float | None,
    about: Mapping[str, object] | None = None,
    producer: str = "",
) -> WaveformTable:
    """Return the table of ``waveform`` and the columns beside it.

    Args:
        path: the file, for messages.
        columns: by name.
        label: the column of classes; by default ``label`` where there is one.
        rate_kHz: sampling rate, for a file without one; a file's own takes precedence, with a message.
        about: what the file says of itself as a whole, under names of `ABOUT`.
        producer: the format, for a file that does not name its ``producer``.

    Raises:
        UserError: no such arrays; a rate that is missing, mixed, or in Hz; a gain that does not fit; dimensions whose
            names say no order.
    """
    columns = _with_waveform(path, columns, about or {})
    waveform = columns[WAVEFORM]
    chosen = LABEL if label is None and LABEL in columns else label
    if chosen is not None and chosen not in columns:
        raise UserError(f"{path} has no column {chosen!r}; it has {_listed(columns)}")
    dims, values = _ordered(path, waveform)
    if dims is None:
        axes.check(path, values)
    values, units = _microvolts(path, columns, values)
    names = {name: next((n for n in aliases if n in columns), None) for name, aliases in (GROUPS | HISTOGRAMS).items()}
    if names["unit"] is None and dims is not None and dims[0] in columns:
        names["unit"] = dims[0]  # the coordinate of the rows
    if names["unit"] is None and UNITS in columns and columns[UNITS].values.shape == values.shape[:1]:
        names["unit"] = UNITS if columns[UNITS].values.dtype.kind in "iu" else None  # numbers are names of units
    found = {name: None if n is None else _by_row(path, n, columns[n], dims) for name, n in names.items()}
    by_curators = [name for name in curation.COLUMNS if name in columns and name != chosen]
    spikes = next((n for n in SPIKES if n in columns and _is_count(columns[n].values, len(values))), None)
    return build(
        path,
        values,
        _rate(path, columns, dims, rate_kHz),
        None if chosen is None else _by_row(path, chosen, columns[chosen], dims),
        units=units,
        producer=str(columns[PRODUCER].values) if PRODUCER in columns else producer,
        contact_um=columns[CONTACTS].values if CONTACTS in columns else None,
        origin=[word for name in ORIGIN if name in columns for word in _words(columns[name])],
        spikes=None if spikes is None else columns[spikes].values,
        curated={n: columns[n].values for n in by_curators if columns[n].values.shape == values.shape[:1]},
        **found,
    )


def _with_waveform(path: Path, own: Mapping[str, Column] | Columns, about: Mapping[str, object]) -> Columns:
    """Return the columns of a file and what it says of itself, with the waveform under its name.

    Raises:
        UserError: there is none, or it holds no numbers.
    """
    said = {name: Column(_array(path, name, value)) for name, value in about.items() if name in ABOUT}
    named = next((name for name in WAVEFORMS if name in own), None)
    if named is None:
        raise UserError(
            f"{path} has no array {WAVEFORM!r}; it has {_listed([*own, *said])}: it needs {WAVEFORM} (row, time) or"
            f" (row, channel, time) in uV and {' or '.join(RATES)}, and may have, by row,"
            f" {', '.join((LABEL, *GROUPS, *HISTOGRAMS))}"
        )
    waveform = own[named]
    if waveform.values.dtype.kind not in "fiu":
        raise UserError(f"{path}: array {WAVEFORM!r} holds {waveform.values.dtype}, not numbers")
    return Columns(
        [WAVEFORM, *own, *said],
        lambda name: waveform if name == WAVEFORM else own[name] if name in own else said[name],
    )


def _is_count(values: np.ndarray, rows: int) -> bool:
    return values.shape == (rows,) and values.dtype.kind in "fiu" and bool((np.isfinite(values) & (values >= 0)).all())


def _words(column: Column) -> list[str]:
    """Return the different words of a column; none where it holds numbers."""
    return np.unique(column.values.astype(str)).tolist() if column.values.dtype.kind in "USTO" else []


def _ordered(path: Path, waveform: Column) -> tuple[tuple[str, ...] | None, np.ndarray]:
    """Return the names and values of a waveform as (row, time) or (row, channel, time)."""
    dims, values = waveform.dims, waveform.values
    if dims is None or all(name.startswith("dim_") for name in dims):  # names that xarray makes up
        return None, values
    roles = {role: [d for d in dims if d.lower() in names] for role, names in DIMENSIONS.items()}
    for name in (d for d in dims if d.lower() in EITHER):
        free = [role for role in ("time", "row") if not roles[role]]
        roles[free[0] if len(free) == 1 else "channel"].append(name)
    unknown = [d for d in dims if all(d not in names for names in roles.values())]
    order = [name for role in ("row", "channel", "time") for name in roles[role]]
    wrong = unknown or any(len(names) > 1 for names in roles.values()) or not (roles["row"] and roles["time"])
    if wrong or any(d.lower() in EITHER for d in roles["channel"]):
        raise UserError(
            f"{path}: the dimensions of {WAVEFORM!r} are ({', '.join(map(short, dims))}), which do not say where rows,"
            " channels and times are: rename them to unit, channel and time"
        )
    return tuple(order), values.transpose([dims.index(name) for name in order])


def _by_row(path: Path, name: str, column: Column, dims: tuple[str, ...] | None) -> np.ndarray:
    """Return a column with its rows first; a single value is that of all."""
    if dims is None or column.dims is None or not column.dims:
        return column.values
    if dims[0] not in column.dims:
        raise UserError(
            f"{path}: {name} has dimensions ({', '.join(map(short, column.dims))}), none of them {short(dims[0])}"
        )
    return np.moveaxis(column.values, column.dims.index(dims[0]), 0)


def _microvolts(path: Path, columns: Columns, values: np.ndarray) -> tuple[np.ndarray, str]:
    """Return waveforms in uV and "uV" where gain or units are known, else as they are."""
    told = _units(path, columns)
    in_uV = MICROVOLTS.get(told.lower()) if told not in ("MV", "Mv") else None
    gain = next((columns[name].values for name in GAINS if name in columns), None)
    if gain is None:
        attrs = columns[WAVEFORM].attrs
        gain = next((_array(path, name, attrs[name]) for name in GAINS if name in attrs), None)
    if gain is not None:
        if in_uV is not None and not (in_uV == 1 and values.dtype.kind in "iu") and not np.all(gain == 1):
            raise UserError(
                f"{path} has a gain, but its waveforms say that they are in {told}: remove the gain if they are, or the"
                " units if they are counts"
            )
        return values * _gain(path, gain, values), "uV"
    if in_uV is None:
        if told and told not in RAW:
            reading.note(path, f"units {told!r} are unknown: its waveforms are taken as stored")
        return values, told if told in RAW else AS_STORED
    return (values if in_uV == 1 else values.astype(np.float64) * in_uV), "uV"


def _units(path: Path, columns: Columns) -> str:
    """Return the units that the waveform, or the file as a whole, says; "" where neither does."""
    said = columns[WAVEFORM].attrs.get(UNITS)
    if said is None and UNITS in columns and columns[UNITS].values.dtype.kind in "USTO":  # numbers are names of units
        words = {w.decode("utf-8", "replace") if isinstance(w, bytes) else str(w) for w in columns[UNITS].values.flat}
        if len(words) > 1:
            raise UserError(f"{path}: waveforms in {len(words)} units are mixed: bring all to uV")
        said = next(iter(words), None)
    return "" if said is None else str(said).strip()


def _gain(path: Path, gain: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the gain in uV per count so that it multiplies waveforms: one for all, for each row, or each channel."""
    if gain.dtype.kind not in "fiu" or not (np.isfinite(gain) & (gain != 0)).all():
        raise UserError(f"{path}: gain must be numbers other than 0, in uV per count")
    gain = gain.astype(np.float64)
    rows, channels = len(values) if values.ndim else 0, values.shape[1] if values.ndim == 3 else 1
    if gain.size == 1:
        return gain.reshape(())
    ends = (1,) * (values.ndim - 1)
    if gain.shape == (rows,) and rows != channels:
        return gain.reshape(rows, *ends)
    if gain.shape == (channels,) and rows != channels:
        return gain[:, None]
    raise UserError(
        f"{path}: gain has shape {gain.shape}; expected one for all, one for each of {rows} rows or of {channels}"
        " channels (which must differ in number)"
    )


def _rate(path: Path, columns: Columns, dims: tuple[str, ...] | None, given: float | None) -> float:
    """Return the sampling rate (kHz) that the file says, else `given`, else what a time with units says."""
    waveform = columns[WAVEFORM].attrs
    stored = {n: c / factor for n, factor in RATES.items() if (c := _numbers(path, n, columns, waveform)) is not None}
    if given is not None:
        check_rate(Path("--rate-khz"), given)
    by_time = _rate_of_time(columns, dims)
    if not stored:
        found = given if given is not None else by_time
        if found is None:
            raise UserError(f"{path} does not say its sampling rate ('rate_kHz'): give it with --rate-khz")
        return found
    rates = np.unique(np.concatenate(list(stored.values())))
    if not np.allclose(rates, rates[0], rtol=1e-9):
        raise UserError(
            f"{path}: {len(rates)} sampling rates are mixed ({', '.join(f'{r:g}' for r in rates[:4])} kHz): one array"
            " of waveforms has one rate; resample them, or give one file for each"
        )
    rate = float(rates[0])
    if by_time is not None and not np.isclose(by_time, rate, rtol=0.01):
        if given is None:
            raise UserError(f"{path} says {rate:g} kHz, its times {by_time:g} kHz: give the right one with --rate-khz")
        reading.note(path, f"says {rate:g} kHz, its times {by_time:g} kHz: --rate-khz {given:g} is used")
        return given
    in_kHz = "rate_Hz" in stored and 0 < rate < LOWEST_KHZ
    cannot_be = in_kHz or rate > HIGHEST_KHZ or not rate > 0
    if given is not None and cannot_be and not np.isclose(given, rate):
        reading.note(path, f"says {rate:g} kHz, which cannot be: --rate-khz {given:g} is used")
        return given
    if in_kHz:
        raise UserError(f"{path}: {1000 * rate:g} Hz: was kHz meant? give --rate-khz {1000 * rate:g}")
    return rate


def _numbers(path: Path, name: str, columns: Columns, attrs: Mapping[str, object]) -> np.ndarray | None:
    if name not in columns and name not in attrs:
        return None
    values = columns[name].values if name in columns else _array(path, name, attrs[name])
    if values.dtype.kind not in "fiu" or not values.size:
        raise UserError(f"{path}: {name} is not a number")
    found = values.astype(np.float64).reshape(-1)
    return found if np.isfinite(found).all() else None  # not said


def _rate_of_time(columns: Columns, dims: tuple[str, ...] | None) -> float | None:
    """Return the rate (kHz) of the coordinate of time, where it says its units and is in even steps."""
    time = columns[dims[-1]] if dims and dims[-1] in columns else None
    factor = MILLISECONDS.get(str(time.attrs.get(UNITS, ""))) if time is not None else None
    if time is None or factor is None or time.values.dtype.kind not in "fiu" or len(time.values) < 3:
        return None
    step = np.diff(time.values.astype(np.float64) * factor)
    even = np.isfinite(step).all() and (step > 0).all() and np.allclose(step, step.mean(), rtol=0.02)
    return round(float(1 / step.mean()), 6) if even else None


def _array(path: Path, name: str, value: object) -> np.ndarray:
    """Return what an attribute says as an array."""
    with readable(path, f"a table of waveforms: its attribute {name}"):
        return np.asarray(value)


def _listed(columns: Iterable[str]) -> str:
    return reading.shortened(sorted(columns)) or "none"
