"""Recordings of one channel of current, whatever file they are in: ABF, or a plain array (.npy, .npz).

The channel and its unit are given or inferred, and `Recording.notes` says how. Samples are read in pieces, in pA, so
that hours of recording need no more memory than a second.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Num

from spiketype.datasets.raphe.abf import open_abf
from spiketype.edge import UserError

PA_PER_UNIT = {"fA": 1e-3, "pA": 1.0, "nA": 1e3, "uA": 1e6, "µA": 1e6, "A": 1e12}
# The published names: day, then recording: A131024#089, F160411#014.
NAMED = re.compile(r"^(?P<day>[A-Za-z]?\d{6})[#_-]\d+")


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
    """

    path: Path
    name: str
    day: str
    rate_Hz: float
    segments: tuple[tuple[int, int], ...]
    read: Callable[[int, int], np.ndarray]
    notes: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Return the time recorded, without the gaps."""
        return sum(stop - start for start, stop in self.segments) / self.rate_Hz


def open_recording(path: Path, channel: str = "", units: str = "", rate_Hz: float = 0.0, day: str = "") -> Recording:
    """Open a recording without reading its samples.

    Args:
        path: ``.abf``; ``.npy`` with (sample,) or (sample, channel); ``.npz`` with the same under the name
            ``current`` or as its only array, and perhaps ``rate_Hz`` and ``units``.
        channel: name or number (from 0) of the channel; "" takes the first in a unit of current.
        units: unit of the samples, whatever the file says; "" takes the file's, and pA for arrays that have none.
        rate_Hz: of an array that does not say; 0 takes the file's.
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
    index = _choose(path, channel, file.names, [units] * len(file.names) if units else list(file.units))
    unit = units or file.units[index]
    factor = np.float32(PA_PER_UNIT[unit])

    def read(start: int, stop: int) -> np.ndarray:
        return file.read(index, start, stop) * factor

    said = f"channel {index} ({file.names[index]}) of {len(file.names)}, in {unit}"
    said += f" (the file says {file.units[index]})" if units and units != file.units[index] else ""
    return Recording(path, path.stem, day or day_of(path, file.day), file.rate_Hz, file.segments, read, (said,))


def _choose(path: Path, channel: str, names: tuple[str, ...], units: list[str]) -> int:
    """Return the number of the wanted channel, or of the first that is a current."""
    listed = ", ".join(f"{i} ({name}, {unit})" for i, (name, unit) in enumerate(zip(names, units, strict=True)))
    if channel:
        if channel in names:
            index = names.index(channel)
        elif channel.isdecimal() and int(channel) < len(names):
            index = int(channel)
        else:
            raise UserError(f"{path}: has no channel {channel!r}: it has {listed}")
        if units[index] not in PA_PER_UNIT:
            raise UserError(
                f"{path}: channel {listed.split(', ')[0] if len(names) == 1 else channel} is in "
                f"{units[index]}, which is no unit of current: if the file is wrong, give --units"
            )
        return index
    currents = [i for i, unit in enumerate(units) if unit in PA_PER_UNIT]
    if not currents:
        raise UserError(f"{path}: no channel is a current: it has {listed}; if the file is wrong, give --units")
    return currents[0]


def _from_array(path: Path, channel: str, units: str, rate_Hz: float, day: str) -> Recording:
    values, said_rate, said_units = _load(path)
    rate, unit = rate_Hz or said_rate, units or said_units or "pA"
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
    index = _choose(path, channel, tuple(map(str, range(n))), [unit] * n)
    factor = np.float32(PA_PER_UNIT[unit])

    def read(start: int, stop: int) -> np.ndarray:
        with np.errstate(over="ignore"):  # infinite, and so left out with NaN
            return table[start:stop, index].astype(np.float32) * factor

    notes = (f"column {index} of {n}, in {unit}, at {rate:g} Hz",)
    return Recording(path, path.stem, day or day_of(path), float(rate), ((0, len(table)),), read, notes)


def _load(path: Path) -> tuple[np.ndarray, float, str]:
    """Return the array, and the rate and unit that the file gives (0 and "" if it does not); .npy stays on disk."""
    try:
        if path.suffix.lower() == ".npy":
            return np.lib.format.open_memmap(path, mode="r"), 0.0, ""
        # np.load leaves a path that it cannot read open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            names = [n for n in archive.files if n not in ("rate_Hz", "units")]
            name = "current" if "current" in names else names[0] if len(names) == 1 else ""
            if not name:
                raise UserError(f"{path}: holds {', '.join(names) or 'nothing'}; expected an array named current")
            rate = float(archive["rate_Hz"]) if "rate_Hz" in archive.files else 0.0
            return archive[name], rate, str(archive["units"]) if "units" in archive.files else ""
    except UserError:
        raise
    except (Exception, MemoryError) as error:  # zipfile, zlib, struct, NumPy: each has its own
        raise UserError(f"{path}: cannot be read as a NumPy file ({type(error).__name__}: {error})") from error
