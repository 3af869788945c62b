"""Noise sweeps in current clamp of NWB 2 files, as MIES and IPFX write them for the Allen Institute's data at DANDI.

A sweep is a ``CurrentClampSeries`` of ``acquisition`` with the ``CurrentClampStimulusSeries`` of ``stimulus`` that the
table of intracellular recordings pairs it with; in older files, the one of the same sweep number and electrode. IPFX
adds the times of spikes as ``processing/spikes/Sweep_NUMBER``. Values are in the base unit once they are multiplied by
``conversion`` and ``offset`` is added.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from spiketype.damage import check_size
from spiketype.datasets.allen.download import allensdk
from spiketype.edge import UserError

if TYPE_CHECKING:
    import h5py

# The stimuli that IPFX's ontology calls Noise 1 or 2; MIES adds the channel, and IPFX the repetition.
NOISE = re.compile(r"(Noise [12]|C1NSSEED(_[12]\d*)?|C1NSD[12]SHORT\d*)(_DA_\d+)?(\[\d+\])?")
RECORDINGS, SWEEPS = (f"general/intracellular_ephys/{name}" for name in ("intracellular_recordings", "sweep_table"))
RESPONSE, STIMULUS = "CurrentClampSeries", "CurrentClampStimulusSeries"
LEAST_KHZ = 20.0  # allensdk finds spikes behind a filter of 10 kHz, which a recording must be faster than twice
MILLIVOLTS = {**dict.fromkeys(("v", "volt", "volts"), 1e3), **dict.fromkeys(("mv", "millivolt", "millivolts"), 1.0)}
PICOAMPERES = {
    **dict.fromkeys(("a", "amp", "amps", "ampere", "amperes"), 1e12),
    **dict.fromkeys(("na", "nanoampere", "nanoamperes"), 1e3),
    **dict.fromkeys(("pa", "picoampere", "picoamperes"), 1.0),
}
MEDIAN_mV, LARGEST_pA = (20.0, 150.0), (1.0, 1e4)  # where the sizes of a membrane potential and of a current lie


class Sweep(NamedTuple):
    """One sweep: its number, voltage and current from the first sample, and the sampling rate."""

    number: int
    voltage_mV: Float64[np.ndarray, " sample"]
    current_pA: Float64[np.ndarray, " sample"]
    rate_kHz: float


class _Recorded(NamedTuple):
    """One series of a sweep, or the part of it that a table names; `samples` None is to its end."""

    series: Any  # h5py has no types
    start: int = 0
    samples: int | None = None


def is_nwb_2(file: "h5py.File") -> bool:
    """Say whether an open HDF5 file is NWB 2."""
    return text(file.attrs.get("nwb_version", "")).startswith("2")


def noise_sweep(path: Path, file: "h5py.File", more_spikes_than: int) -> Sweep | None:
    """Read the first noise sweep with enough spikes, None if there is none; what was not recorded at its end is cut.

    Spikes are those that the file lists, else those that allensdk's extractor finds.

    Raises:
        UserError: a noise sweep without a current, or with several; two electrodes; an unknown unit; samples at uneven
            times, that are not finite, or of a size that is in no plausible unit; too low a rate for allensdk, which is
            needed; allensdk is not installed; a damaged file.
    """
    numbered = set(_numbers(file).values())  # rows of the table of recordings are not what IPFX counts
    for number, response, stimuli in _of_recordings(path, file) if RECORDINGS in file else _by_number(path, file):
        listed = file.get(f"processing/spikes/Sweep_{number}/timestamps") if number in numbered else None
        if listed is not None and len(listed) <= more_spikes_than:
            continue
        if len(stimuli) != 1:
            raise UserError(f"{path}, sweep {number}: {len(stimuli)} currents of its electrode, expected one")
        sweep = _read(path, number, response, stimuli[0])
        if listed is None and sweep.rate_kHz <= LEAST_KHZ:
            raise UserError(
                f"{path}, sweep {number}: no spikes are listed, and {sweep.rate_kHz:g} kHz is too low a rate to find "
                f"them, which allensdk does from above {LEAST_KHZ:g} kHz on: list them in processing/spikes"
            )
        if listed is not None or _spikes(sweep) > more_spikes_than:
            return sweep
    return None


def _spikes(sweep: Sweep) -> int:
    t_s = np.arange(len(sweep.voltage_mV)) / (1e3 * sweep.rate_kHz)
    extractor = allensdk().extractor(t=t_s, v=sweep.voltage_mV, i=sweep.current_pA)
    extractor.process_spikes()
    return len(extractor.spikes())


# --- which series belong together


def _by_number(path: Path, file: "h5py.File") -> Iterator[tuple[int, _Recorded, list[_Recorded]]]:
    """Yield number, response and stimuli of the noise sweeps, by sweep number and electrode."""
    number = _numbers(file)
    noise = [series for series in _series(file, "acquisition", RESPONSE) if _is_noise(series)]
    if unknown := [series.name for series in noise if series.id not in number]:
        raise UserError(f"{path}: {unknown[0]} has no sweep number: add a table of intracellular recordings")
    for k, response in _each_once(path, [(number[series.id], _Recorded(series)) for series in noise]):
        stimuli = [s for s in _series(file, "stimulus/presentation", STIMULUS) if number.get(s.id) == k]
        yield k, response, [_Recorded(s) for s in stimuli if _electrode(s) == _electrode(response.series)]


def _of_recordings(path: Path, file: "h5py.File") -> Iterator[tuple[int, _Recorded, list[_Recorded]]]:
    """Yield the same of the table of intracellular recordings, where -1 samples are what was not recorded."""
    table, number = file[RECORDINGS], _numbers(file)
    both = [
        [_Recorded(file[reference], int(start), int(count)) for start, count, reference in whole(table[name])]
        for name in ("responses/response", "stimuli/stimulus")
    ]
    noise, stimulus_of = [], {}
    for row, response, stimulus in zip(whole(table["id"]).tolist(), *both, strict=True):
        is_series = hasattr(response.series, "keys") and _kind(response.series) == RESPONSE
        if response.samples != -1 and is_series and _is_noise(response.series):
            k = number.get(response.series.id, row)
            noise.append((k, response))
            stimulus_of[k] = stimulus
    for k, response in _each_once(path, noise):
        there = stimulus_of[k].samples != -1 and _kind(stimulus_of[k].series) == STIMULUS
        yield k, response, [stimulus_of[k]] if there else []


def _each_once(path: Path, numbered: list[tuple[int, _Recorded]]) -> list[tuple[int, _Recorded]]:
    """Return them in the order of their numbers.

    Raises:
        UserError: a number occurs twice.
    """
    seen: dict[int, _Recorded] = {}
    for k, response in numbered:
        if k in seen:
            names = f"{seen[k].series.name} and {response.series.name}"
            raise UserError(f"{path}, sweep {k}: {names} are both responses: give a file with those of one cell")
        seen[k] = response
    return sorted(seen.items())


def whole(dataset: Any) -> Any:  # h5py has no types
    """Return the values of a dataset, unless it says that it is far larger than its file.

    Raises:
        UserError: it does.
    """
    file = dataset.file
    check_size(f"{file.filename}, {dataset.name},", dataset.nbytes, file.id.get_filesize())
    return dataset[()]


def _series(file: "h5py.File", group: str, kind: str) -> list[Any]:
    found = [series for series in file.get(group, {}).values() if _kind(series) == kind]
    return [series for series in found if hasattr(series, "keys")]  # and no dataset, over which `in` would go


def _kind(series: Any) -> str:
    return text(series.attrs.get("neurodata_type", ""))


def _numbers(file: "h5py.File") -> dict[Any, int]:
    """Return the sweep number of each series, by their identity: its own, else that in the table of sweeps."""
    found = {}
    if SWEEPS in file:
        table = file[SWEEPS]
        ends = whole(table["series_index"]).tolist()
        for k, start, end in zip(whole(table["sweep_number"]).tolist(), [0, *ends[:-1]], ends, strict=True):
            found.update({file[ref].id: int(k) for ref in table["series"][start:end]})
    for group in ("acquisition", "stimulus/presentation"):
        for series in file.get(group, {}).values():
            if "sweep_number" in series.attrs:
                found[series.id] = int(series.attrs["sweep_number"])
    return found


def _electrode(series: Any) -> Any:
    return series["electrode"].id if "electrode" in series else None


def _is_noise(series: Any) -> bool:
    return NOISE.fullmatch(text(series.attrs.get("stimulus_description", "")).strip()) is not None


# --- what a series holds


def _read(path: Path, number: int, response: _Recorded, stimulus: _Recorded) -> Sweep:
    where = f"{path}, sweep {number}"
    v_mV, rate_kHz, start_s = _values(f"{where}, response", path, response, MILLIVOLTS)
    i_pA, other_kHz, other_s = _values(f"{where}, stimulus", path, stimulus, PICOAMPERES)
    if rate_kHz != other_kHz or abs(start_s - other_s) * 1e3 * rate_kHz > 0.5:
        raise UserError(
            f"{where}: the response begins at {start_s:g} s with {rate_kHz:g} kHz, the stimulus at {other_s:g} s with"
            f" {other_kHz:g} kHz"
        )
    if len(v_mV) != len(i_pA):
        raise UserError(f"{where}: {len(v_mV)} samples of the response, {len(i_pA)} of the stimulus")
    recorded = np.flatnonzero(np.nan_to_num(v_mV))  # the amplifier's zeros, or NaN, after a sweep was stopped
    end = int(recorded[-1]) + 1 if len(recorded) else 0
    v_mV, i_pA = v_mV[:end], i_pA[:end]
    for name, values, unit, usual, size in (
        ("response", v_mV, "mV", MEDIAN_mV, np.median),
        ("stimulus", i_pA, "pA", LARGEST_pA, np.max),
    ):
        found = float(size(np.abs(values))) if end and np.isfinite(values).all() else np.nan
        if not usual[0] <= found <= usual[1]:
            raise UserError(
                f"{where}, {name}: {found:.3g} where {usual[0]:g} to {usual[1]:g} {unit} is usual: damaged, or another"
                " conversion?"
            )
    return Sweep(number, v_mV, i_pA, rate_kHz)


def _values(where: str, path: Path, recorded: _Recorded, factors: dict[str, float]) -> tuple[np.ndarray, float, float]:
    """Return samples in mV or pA, their rate (kHz) and the time of the first (s)."""
    series, first = recorded.series, recorded.start
    data = series["data"]
    if data.ndim != 1 or data.dtype.kind not in "fiu":
        raise UserError(f"{where}: data is {data.dtype} of shape {data.shape}, expected numbers (sample,)")
    check_size(f"{where}: data", data.nbytes, path.stat().st_size)
    end = len(data) if recorded.samples is None else first + recorded.samples
    if not 0 <= first <= end <= len(data):
        raise UserError(f"{where}: samples {first} to {end} of {len(data)}")
    unit = text(data.attrs.get("unit", ""))
    factor = factors.get(unit.strip().lower()) if unit[:1] != "M" else None
    if factor is None:
        raise UserError(f"{where}: unit {unit!r} is unknown, not one of {', '.join(factors)}")
    conversion, offset = (float(data.attrs.get(name, default)) for name, default in (("conversion", 1), ("offset", 0)))
    if not (np.isfinite([conversion, offset]).all() and conversion):
        raise UserError(f"{where}: conversion {conversion:g} and offset {offset:g} cannot be")
    if "starting_time" not in series:
        raise UserError(f"{where}: it has timestamps and no rate, which is not read: resample it")
    rate_kHz = float(series["starting_time"].attrs["rate"]) / 1e3
    if not 0 < rate_kHz < np.inf:
        raise UserError(f"{where}: a rate of {rate_kHz:g} kHz cannot be")
    values = np.asarray(data[first:end], np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # told by the size
        found = (values * conversion + offset) * factor
    return found, rate_kHz, float(whole(series["starting_time"])) + first / (1e3 * rate_kHz)


def text(value: Any) -> str:
    """Return bytes or another value as words."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
