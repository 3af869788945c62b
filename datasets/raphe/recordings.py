"""Recordings of one channel of current, whatever file they are in: ABF, or a plain array (.npy, .npz).

The channel and its unit are given or inferred, and `Recording.notes` says how. Samples are read in pieces, in pA, so
that hours of recording need no more memory than a second.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Num

from spiketype.damage import Archive, read_npy
from spiketype.datasets.raphe.abf import open_abf
from spiketype.edge import UserError
from spiketype.reading import shortened

PA_PER_UNIT = {"fA": 1e-3, "pA": 1.0, "nA": 1e3, "uA": 1e6, "µA": 1e6, "A": 1e12}
# The published names: day, then recording: A131024#089, F160411#014.
NAMED = re.compile(r"^(?P<day>[A-Za-z]?\d{6})[#_-]\d+")
DATED = re.compile(r"^[A-Za-z]?(?P<date>\d{6})$")  # such a day
# Names of channels that hold what was put in (I_Com, Cmd 0, I_MTest, AO #0), not what was recorded.
COMMAND = re.compile(
    r"command|cmd|stim|m_?test|inject|(?<![a-z])([iv]?com|inj|ao|dac|out|output)(?![a-z])", re.IGNORECASE
)
ABOUT = ("rate_Hz", "rate_kHz", "units", "gain", "offset")  # what an .npz may say of its array
POTENTIAL = ("V", "mV", "uV")
UNKNOWN_S = -1.0
LEAST_SAMPLES = 100  # of which some would descend in any current


@dataclass(frozen=True)
class Recording:
    """One channel of current.

    Attributes:
        path: the file.
        name: of the cell: the file's name without its suffix.
        day: the day of recording, as the name, the header or the folder gives it.
        rate_Hz: samples a second.
        segments: (first, end) sample of each stretch without a gap.
        read: (start, stop) -> float32 samples in pA.
        notes: what was chosen or inferred.
        start_s: time of each segment since the start of the recording, pauses included; -1 unknown. Empty where there
            are no pauses: the time of a sample is its number over the rate.
    """

    path: Path
    name: str
    day: str
    rate_Hz: float
    segments: tuple[tuple[int, int], ...]
    read: Callable[[int, int], np.ndarray]
    notes: tuple[str, ...] = ()
    start_s: tuple[float, ...] = ()

    @property
    def duration_s(self) -> float:
        """Return the time recorded, without the gaps."""
        return sum(stop - start for start, stop in self.segments) / self.rate_Hz

    def time_s(
        self, sample: Int[np.ndarray, " spike"], segment: Int[np.ndarray, " spike"]
    ) -> Float[np.ndarray, " spike"]:
        """Return the time of samples since the start of the recording, given the segments they lie in; -1 unknown."""
        if not self.start_s:
            return sample / self.rate_Hz
        first, start_s = np.array(self.segments)[:, 0], np.array(self.start_s)
        since_s = (sample - first[segment]) / self.rate_Hz
        return np.where(start_s[segment] < 0, UNKNOWN_S, start_s[segment] + since_s)


def open_recording(path: Path, channel: str = "", units: str = "", rate_Hz: float = 0.0, day: str = "") -> Recording:
    """Open a recording without reading its samples.

    Args:
        path: ``.abf``; ``.npy`` with (sample,), or (sample, channel) where the channel is given; ``.npz`` with the same
            under the name ``current`` or as its only array, and perhaps ``rate_Hz`` or ``rate_kHz``, ``units``,
            ``gain`` and ``offset`` (current = stored number x gain + offset, in the units).
        channel: name or number (from 0) of the channel; "" takes the first in a unit of current.
        units: unit of the samples, whatever the file says; "" takes the file's, and pA for arrays that have none.
        rate_Hz: of an array that does not say it.
        day: of the recording; "" infers it from the name (A131024#089), the header, or the folder.

    Raises:
        UserError: a file that cannot be read, a channel that is not there, a unit that is no current, no rate.
    """
    if units and units not in PA_PER_UNIT:
        raise UserError(f"{units!r} is no unit of current: choose one of {', '.join(PA_PER_UNIT)}")
    match path.suffix.lower():
        case ".abf":
            return _from_abf(path, channel, units, day)
        case ".npy" | ".npz":
            return _from_array(path, channel, units, rate_Hz, day)
    raise UserError(f"{path}: unrecognised format: recordings are .abf, .npy or .npz")


def from_array(current_pA: Num[np.ndarray, " sample"], rate_Hz: float, path: Path, name: str, day: str) -> Recording:
    """Return the recording of a current in memory."""
    return Recording(path, name, day, rate_Hz, ((0, len(current_pA)),), lambda start, stop: current_pA[start:stop])


def day_of(path: Path, header: str = "") -> str:
    """Return the day of a recording: from its name, else its header, else the name of its folder."""
    named = NAMED.match(path.stem)
    return named["day"] if named else header or path.resolve().parent.name


def _from_abf(path: Path, channel: str, units: str, day: str) -> Recording:
    file = open_abf(path)
    index = _choose(path, channel, file.names, list(file.units), units)
    file.check(index)
    unit = units or file.units[index]
    factor = np.float32(PA_PER_UNIT[unit])

    def read(start: int, stop: int) -> np.ndarray:
        return file.read(index, start, stop) * factor

    said = f"channel {index} ({file.names[index]}) of {len(file.names)}, in {unit}"
    said += f" (the file says {file.units[index]})" if units and units != file.units[index] else ""
    notes = [said, *_doubts(index, channel, file.names, file.units)]
    if min(file.start_s) < 0:
        notes.append("WARNING: the file does not tell when its sweeps began: the times of spikes are unknown")
    header_day = day or day_of(path, file.day)
    return Recording(path, path.stem, header_day, file.rate_Hz, file.segments, read, tuple(notes), file.start_s)


def _doubts(index: int, channel: str, names: tuple[str, ...], units: tuple[str, ...]) -> list[str]:
    """Return what speaks against a channel being the recording."""
    if COMMAND.search(names[index]):
        return [f"WARNING: by its name, {names[index]} is a command and no recording"]
    if channel:
        return []
    others = [i for i, unit in enumerate(units) if unit in PA_PER_UNIT and i != index and not COMMAND.search(names[i])]
    found = []
    if others:
        told = ", ".join(f"{i} ({names[i]}, {units[i]})" for i in others)
        found.append(f"WARNING: the first of {1 + len(others)} channels of current was taken; the others are {told}")
    beside = [i for i, unit in enumerate(units) if unit in POTENTIAL and i != index and not COMMAND.search(names[i])]
    if beside:
        told = f"{beside[0]} ({names[beside[0]]}, {units[beside[0]]})"
        found.append(f"beside a potential, channel {told}: was this current recorded, or injected?")
    return found


def _choose(path: Path, channel: str, names: tuple[str, ...], units: list[str], told: str) -> int:
    """Return the number of the wanted channel, or of the first that is a current and not named as a command.

    ``told`` is the unit that the user gives, if any: for the chosen channel, and for the only one.
    """
    each = [f"{i} ({name}, {unit})" for i, (name, unit) in enumerate(zip(names, units, strict=True))]
    listed = ", ".join(each)
    if channel:
        index = _wanted(path, channel, names, listed)
        if not told and units[index] not in PA_PER_UNIT:
            raise UserError(
                f"{path}: channel {each[0] if len(names) == 1 else channel} is in "
                f"{units[index]}, which is no unit of current: if the file is wrong, give --units"
            )
        return index
    currents = [i for i, unit in enumerate(units) if unit in PA_PER_UNIT or (told and len(units) == 1)]
    if not currents:
        remedy = "--units" if len(units) == 1 else "--channel and --units"
        raise UserError(f"{path}: no channel is a current: it has {listed}; if the file is wrong, give {remedy}")
    recorded = [i for i in currents if not COMMAND.search(names[i])]
    if not recorded:
        raise UserError(
            f"{path}: by its name, channel {each[currents[0]]} is a command and no recording: it has {listed}; if a "
            f"command is the recording all the same, give --channel {currents[0]}"
        )
    return recorded[0]


def _wanted(path: Path, channel: str, names: tuple[str, ...], listed: str) -> int:
    if names.count(channel) > 1:
        raise UserError(f"{path}: {names.count(channel)} channels are named {channel!r}: give its number: {listed}")
    if channel in names:
        return names.index(channel)
    if channel.isdecimal() and int(channel) < len(names):
        return int(channel)
    raise UserError(f"{path}: has no channel {channel!r}: it has {listed}; give one of them as --channel")


def _from_array(path: Path, channel: str, units: str, rate_Hz: float, day: str) -> Recording:
    stored = _load(path)
    values, rate, unit = stored.values, stored.rate_Hz or rate_Hz, units or stored.units or "pA"
    if unit not in PA_PER_UNIT:
        raise UserError(f"{path}: {unit!r} is no unit of current: give --units")
    if not 100 <= rate <= 1e7:
        raise UserError(f"{path}: the file does not say its sampling rate: give --rate-hz (got {rate})")
    if values.ndim not in (1, 2) or values.dtype.kind not in "fiu" or not values.size:
        raise UserError(
            f"{path}: shape {values.shape} of {values.dtype}; expected numbers (sample,) or (sample, channel)"
        )
    table = values.reshape(len(values), -1)
    n = table.shape[1]
    if n > 1 and not channel:
        swapped = "is it stored (channel, sample)? else " if n > len(table) else ""
        raise UserError(
            f"{path}: shape {values.shape}, so which of {n} columns is the current? {swapped}give its number, from 0,"
            " as --channel"
        )
    index = _choose(path, channel, tuple(map(str, range(n))), [unit] * n, units)
    first = table[:LEAST_SAMPLES, index]
    if len(first) == LEAST_SAMPLES and (first[1:] > first[:-1]).all():
        raise UserError(
            f"{path}: column {index} ascends from sample to sample, as times do and no current: give another --channel,"
            " or store the current alone"
        )
    factor, offset = (np.float32(x * PA_PER_UNIT[unit]) for x in (stored.gain, stored.offset))

    def read(start: int, stop: int) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # infinite, and so left out with NaN
            found: np.ndarray = table[start:stop, index].astype(np.float32) * factor
            return found + offset if offset else found

    said = f" (the file says {stored.units})" if stored.units not in ("", unit) else ""
    notes = [f"column {index} of {n}, in {unit}{said}, at {rate:g} Hz"]
    if rate_Hz not in (0.0, rate):
        notes.append(f"the rate is the file's own: the {rate_Hz:g} Hz given are for arrays that do not say it")
    if (stored.gain, stored.offset) != (1.0, 0.0):
        notes.append(f"scaled by the file's gain {stored.gain:g} and offset {stored.offset:g}")
    return Recording(path, path.stem, day or day_of(path), float(rate), ((0, len(table)),), read, tuple(notes))


@dataclass(frozen=True)
class _Stored:
    """An array and what its file says of it: rate 0 and unit "" if it says nothing."""

    values: np.ndarray
    rate_Hz: float = 0.0
    units: str = ""
    gain: float = 1.0
    offset: float = 0.0


def _load(path: Path) -> _Stored:
    """Return the array of a file, and what it says of it; .npy stays on disk."""
    if path.suffix.lower() == ".npy":
        return _Stored(read_npy(path, on_disk=True))
    archive = Archive(path)
    names = [n for n in archive.names if n not in ABOUT]
    name = "current" if "current" in names else names[0] if len(names) == 1 else ""
    if not name:
        raise UserError(f"{path}: holds {shortened(names) or 'nothing'}; expected an array named current")
    about = {n: _number(path, n, archive.read(n)) for n in ABOUT if n in archive.names and n != "units"}
    rate_kHz = about.get("rate_kHz", 0.0)
    rate = about.get("rate_Hz", 1000 * rate_kHz)
    if rate_kHz >= 1000:
        raise UserError(f"{path}: rate_kHz is {rate_kHz:g}: Hz was probably meant; store it as rate_Hz")
    if rate_kHz and abs(rate - 1000 * rate_kHz) > 1e-6 * rate:
        raise UserError(f"{path}: rate_Hz is {rate:g}, but rate_kHz {rate_kHz:g}: store only one of them")
    if not about.get("gain", 1.0):
        raise UserError(f"{path}: gain is 0: store what a stored unit is in the array's unit")
    units = str(archive.read("units")).split("\x00")[0].strip() if "units" in archive.names else ""
    return _Stored(archive.read(name), rate, units, about.get("gain", 1.0), about.get("offset", 0.0))


def _number(path: Path, name: str, value: np.ndarray) -> float:
    if value.size != 1 or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
        raise UserError(f"{path}: {name} is {value.dtype} of shape {value.shape}: expected one finite number")
    return float(value.reshape(()))
