"""Mean waveforms of the units in NWB 2 files (HDF5): the table ``units`` and its column ``waveform_mean``.

By the schema ``waveform_mean`` is (unit, time) or (unit, time, channel), the channels being the unit's own
``electrodes``. Two kinds of producers do otherwise: AllenSDK writes it ragged, a row a channel, and both AllenSDK and
NeuroConv write microvolts, though files could say nothing but "volts" before version 2.11 of the schema.

h5py reads the files. pynwb, which would be one more thing to install, is the oracle of the tests.
"""

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spiketype import reading
from spiketype.damage import readable
from spiketype.datasets.waveforms import columns, contacts, curation, nwb_file
from spiketype.datasets.waveforms.columns import LABEL, MICROVOLTS, WAVEFORM, Column
from spiketype.datasets.waveforms.histograms import LATEST_MS, autocorrelogram, isi_histogram
from spiketype.datasets.waveforms.nwb_file import ALLEN_PEAK, OWN_NAME, Electrodes, File, blocks, placed, slices
from spiketype.datasets.waveforms.nwb_hdf5 import MEAN
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.edge import UserError

SUFFIX = ".nwb"
SAID_ON = (MEAN, "waveform_sd", "waveforms")  # the columns that say rate and unit; the first that does counts, as pynwb
NO_LABEL = {"id", "spike_times", "obs_intervals", "electrodes", "electrode_group", "spike_amplitudes", *SAID_ON}
SLOWEST_MS = 1e4  # between spikes, in the middle of a unit's intervals
SCRIPT = re.compile(  # "NeuroConv v0.6.4" of NeuroConv; in 0.10 a record with a line "neuroconv_version: 0.10.2"
    r"neuroconv(?:\s+provenance record.*?neuroconv_version:)?\s*(v?\d[\w.]*)?", re.IGNORECASE | re.DOTALL
)
PLAUSIBLE_uV = (1.0, 2e4)  # where the median of the units' amplitudes lies


def is_nwb(path: Path) -> bool:
    """Say whether a path is an .nwb file, a folder of such files or of their folders, or NWB in Zarr."""
    if path.is_dir():
        return _is_zarr(path) or bool(_files(path))
    return path.suffix.lower() == SUFFIX


def load(path: Path, label: str | None, rate_kHz: float | None) -> WaveformTable:
    """Read the mean waveform of each unit (uV), with the histograms of its ``spike_times``.

    ``subject_id`` is the animal, ``session_id`` the session. Units that cannot be read, and files whose waveforms have
    another shape than most, are left out and listed. Where units have electrodes of their own, a channel that is not
    among a unit's is 0 in it.

    Args:
        path: a file, or a folder with files at its top or one level below, as DANDI gives them.
        label: a column of the units, or else of the electrodes (such as ``location``): the unit's largest one counts.
        rate_kHz: sampling rate, for files that do not say it.

    Raises:
        UserError: no waveforms, no such column, damage, or what `columns.table` refuses.
    """
    files = _files(path) if path.is_dir() else [path]
    if _is_zarr(path):
        raise UserError(
            f"{path} is NWB in Zarr, which is not read (hdmf-zarr needs zarr below 3): where hdmf-zarr is installed,"
            " read it with NWBZarrIO and export it to HDF5 with pynwb's NWBHDF5IO.export"
        )
    found: list[_Units] = []
    refused: list[UserError] = []
    for file in files:
        try:
            found.append(_read(file, label))
        except UserError as error:
            refused.append(error)
    if not found:
        if len(files) == 1:
            raise refused[0]
        told = "; ".join(str(error) for error in refused[:3])
        raise UserError(f"{path}: none of its {len(files)} NWB files can be read, such as: {told}")
    for why in refused:
        reading.note(path, f"left out: {why}")
    found = _in_one_order(path, _alike(path, found, rate_kHz))
    return columns.table(path, _columns(path, found, label), None, rate_kHz, producer=found[0].producer)


@dataclass
class _Units:
    """The units of a file.

    Attributes:
        waveform: (unit, channel, time).
        in_units: "uV" or "as stored".
        rate_Hz: None if the file does not say it.
        contact_um: (channel, 2 or 3), or None.
        origin: species, and regions of the electrodes.
        isi: (unit, bin), or None.
        spikes: (unit,) how many, or None.
    """

    path: Path
    waveform: np.ndarray
    in_units: str
    rate_Hz: float | None
    unit: np.ndarray
    label: np.ndarray | None
    animal: str | None
    session: str
    isi: np.ndarray | None
    autocorrelogram: np.ndarray | None
    spikes: np.ndarray | None
    contact_um: np.ndarray | None
    producer: str
    origin: tuple[str, ...]


def _files(path: Path) -> list[Path]:
    found = [*path.glob(f"*{SUFFIX}"), *path.glob(f"*/*{SUFFIX}")]
    return sorted(file for file in found if file.is_file() and not file.name.startswith("."))


def _is_zarr(path: Path) -> bool:
    """Say whether a folder is NWB in Zarr, by the attribute that every NWB file has."""
    if not path.is_dir():
        return False
    texts = [(path / name).read_bytes() for name in (".zattrs", "zarr.json") if (path / name).is_file()]
    return any(b'"nwb_version"' in text for text in texts)


# --- several files


def _alike(path: Path, found: list[_Units], rate_kHz: float | None) -> list[_Units]:
    """Return the files with the commonest shape and units, and a rate; tell which are left out."""
    kinds = [(*units.waveform.shape[1:], units.in_units) for units in found]
    most = Counter({kind: sum(len(u.unit) for u, k in zip(found, kinds, strict=True) if k == kind) for kind in kinds})
    commonest = most.most_common(1)[0][0]
    rates = [units.rate_Hz for units, kind in zip(found, kinds, strict=True) if kind == commonest]
    if any(rate is None for rate in rates) and rate_kHz is not None:
        found = [replace(units, rate_Hz=units.rate_Hz or 1000 * rate_kHz) for units in found]
    needs_rate = rate_kHz is None and any(rate is not None for rate in rates)
    kept = []
    for units, kind in zip(found, kinds, strict=True):
        if kind != commonest:
            told = "{} channels x {} times, {}".format(*kind)
            reading.note(path, f"{units.path.name} left out: {told}; most units have {commonest[0]} x {commonest[1]}")
        elif needs_rate and units.rate_Hz is None:
            reading.note(path, f"{units.path.name} left out: it does not say its sampling rate")
        else:
            kept.append(units)
    return kept


def _in_one_order(path: Path, found: list[_Units]) -> list[_Units]:
    """Return the files with their channels in the order of the first's; tell where they are not the same places."""
    first = found[0].contact_um
    if len(found) == 1 or all(units.contact_um is None for units in found):
        return found
    orders = [
        None if first is None or units.contact_um is None else contacts.order(units.contact_um, first)
        for units in found
    ]
    if any(order is None for order in orders):
        reading.note(
            path,
            "its files have contacts at different places, or do not say where they are: a channel is another place in"
            " each of them, so train with --channels largest and a --window-ms, or --inputs shape",
        )
        return [replace(units, contact_um=None) for units in found]
    return [
        replace(units, waveform=units.waveform[:, order], contact_um=first)
        for units, order in zip(found, orders, strict=True)
    ]


def _columns(path: Path, found: list[_Units], label: str | None) -> dict[str, Column]:
    """Return the arrays of all files, one after another."""
    each = [len(units.unit) for units in found]
    names = {WAVEFORM: np.concatenate([units.waveform for units in found])}
    rates = [units.rate_Hz for units in found if units.rate_Hz is not None]
    if rates:
        names["rate_Hz"] = np.array(rates)
    if any(units.animal is not None for units in found):
        names["animal"] = np.repeat([units.animal or units.session for units in found], each)
        for units in found:
            if units.animal is None:
                reading.note(path, f"{units.path.name} names no subject: its session stands for the animal")
    names["session"] = np.repeat([units.session for units in found], each)
    unit = np.concatenate([units.unit for units in found])
    inside = [f"{a}\0{s}\0{u}" for a, s, u in zip(names.get("animal", unit), names["session"], unit, strict=True)]
    if len(set(inside)) < len(inside):  # a session in several files, such as one for each probe
        unit = np.concatenate([np.char.add(f"{units.path.stem}/", units.unit) for units in found])
    names["unit"] = unit
    for field, name in {"isi": "isi", "autocorrelogram": "autocorrelogram", "spikes": columns.SPIKES[0]}.items():
        parts = [getattr(units, field) for units in found]
        if all(part is not None for part in parts):
            names[name] = np.concatenate(parts)
    if label is not None:
        labels = [units.label for units in found if units.label is not None]
        same = len({values.dtype.kind for values in labels}) == 1
        names[LABEL] = np.concatenate(labels if same else [values.astype(str) for values in labels])
    names["region"] = np.array(sorted({word for units in found for word in units.origin}))
    if found[0].contact_um is not None:
        names[columns.CONTACTS] = found[0].contact_um
    return {name: Column(values) for name, values in names.items()} | {
        WAVEFORM: Column(names[WAVEFORM], ("unit", "channel", "time")),
        columns.UNITS: Column(np.array(found[0].in_units)),
    }


# --- one file


def _read(path: Path, label: str | None) -> _Units:
    file = nwb_file.read(path)
    if file.table != "/units":
        reading.note(path, f"units are those of {file.table}")
    with readable(path, "NWB"), np.errstate(over="ignore", invalid="ignore"):
        return _units(file, label)


def _units(file: File, label: str | None) -> _Units:
    number = file.values("id")
    count = len(number)
    electrodes = Electrodes(file, count)
    stored, ragged = blocks(file, count, electrodes)
    waveform, channel = placed(file, stored, electrodes)
    times = _spike_times(file, count)
    _leave_out_noise(file, count, label)
    kept = np.array([row for row in range(count) if not file.is_left_out(row)], np.int64)
    name = _names(file, number)
    _tell(file, name)
    if not len(kept):
        raise UserError(f"{file.path}: none of its {count} units can be read ({'; '.join(file.left_out)})")
    value = _labels(file, label, count, waveform, channel, electrodes)
    whole = np.stack([waveform[row] for row in kept.tolist()])
    script = SCRIPT.search(file.texts["script"])
    in_units, whole = _in_microvolts(file, whole, writes_uV=script is not None or (ragged and ALLEN_PEAK in file.units))
    spikes = [] if times is None else [np.sort(times[row]) for row in kept.tolist()]
    in_s = times is not None and _are_seconds(file, spikes)
    return _Units(
        file.path,
        whole,
        in_units,
        _rate_Hz(file),
        name[kept],
        None if value is None else value[kept],
        file.texts["subject"] or None,
        file.texts["session"] or file.texts["identifier"] or file.path.stem,
        None if not in_s else np.array([isi_histogram(t) for t in spikes]),
        None if not in_s else np.array([autocorrelogram(t) for t in spikes]),
        np.array([len(t) for t in spikes]) if any(map(len, spikes)) else None,
        None if channel is None else electrodes.positions(channel),
        f"NWB {file.version}" + (f", NeuroConv {script[1] or ''}".rstrip() if script else ""),
        (file.texts["species"], *_regions(electrodes)),
    )


def _leave_out_noise(file: File, count: int, label: str | None) -> None:
    """Leave out the units that were curated as noise, unless just that is the label."""
    names = [name for name in curation.COLUMNS if name in file.units and name != label]
    words = {f"the column {n}": file.values(n) for n in names if file.units[n].shape == (count,)}
    noise, told = curation.reasons(words)
    for why, rows in noise.items():
        for row in np.flatnonzero(rows).tolist():
            if not file.is_left_out(row):
                file.leave_out(row, why)
    for line in told:
        reading.note(file.path, line)


def _regions(electrodes: Electrodes) -> tuple[str, ...]:
    """Return the regions of all electrodes."""
    location = electrodes.column("location")
    return () if location is None else tuple(np.unique(location.astype(str)).tolist())


def _tell(file: File, name: np.ndarray) -> None:
    for why, rows in file.left_out.items():
        names = [str(name[row]) for row in rows]
        text = f"unit{'s' * (len(rows) > 1)} {{}} left out: {why}"
        reading.note(file.path, text.format(reading.shortened(names)), text.format(", ".join(names)))


def _names(file: File, number: np.ndarray) -> np.ndarray:
    """Return what units are called, and tell where that is not their id alone."""
    words, by_id = number.astype(str), nwb_file.names(number, None)
    found = nwb_file.names(number, file.units[OWN_NAME].values if OWN_NAME in file.units else None)
    if (row := np.flatnonzero(found != by_id)).size:
        told = f"{found[row[0]]} has the id {words[row[0]]}"
        reading.note(file.path, f"units are called by their {OWN_NAME}, as in the sorting: {told}")
    elif (row := np.flatnonzero(by_id != words)).size:
        reading.note(file.path, f"ids of units occur twice, and have the row behind them: {words[row[0]]}")
    return found


# --- units, rate and spikes


def _in_microvolts(file: File, waveform: np.ndarray, writes_uV: bool) -> tuple[str, np.ndarray]:
    """Return the units and the waveforms in them: uV where what the file says can be."""
    said = next((str(u) for name in SAID_ON if (u := _attribute(file, name, "unit")) is not None), "volts")
    factor = MICROVOLTS.get(said.strip().lower()) if said not in ("MV", "Mv") else None
    size = np.ptp(np.nan_to_num(waveform.astype(np.float64), posinf=0, neginf=0), axis=2).max(axis=1)
    amplitude = float(np.median(size[size > 0])) if (size > 0).any() else np.nan
    if factor is not None and PLAUSIBLE_uV[0] <= amplitude * factor <= PLAUSIBLE_uV[1]:
        return "uV", waveform.astype(np.float64) * factor
    if factor == MICROVOLTS["v"] and writes_uV and PLAUSIBLE_uV[0] <= amplitude <= PLAUSIBLE_uV[1]:
        counts = "" if ALLEN_PEAK in file.units else ", or counts of an analyzer made with return_in_uV=False"
        reading.note(file.path, f"says {said}, but its producer writes uV{counts} ({amplitude:.3g}): taken as uV")
        return "uV", waveform.astype(np.float64)
    what = f"a median amplitude of {amplitude:.3g} cannot be in" if factor is not None else "unknown units"
    reading.note(file.path, f"{what} {said}: waveforms are taken as stored")
    return columns.AS_STORED, waveform


def _attribute(file: File, name: str, key: str) -> Any:
    return file.units[name].attrs.get(key) if name in file.units else None


def _rate_Hz(file: File) -> float | None:
    """Return the sampling rate that the waveforms say, else the one that all probes say; None if none does."""
    for name in SAID_ON:
        said = _attribute(file, name, "sampling_rate")
        if said is not None and np.isfinite(said) and said > 0:
            return float(said)
    rates = {rate for rate in file.rates_Hz if np.isfinite(rate) and rate > 0}
    if len(rates) != 1:
        return None
    rate = next(iter(rates))
    reading.note(file.path, f"its waveforms do not say their sampling rate: {rate:g} Hz of the probes is taken")
    return rate


def _spike_times(file: File, count: int) -> list[np.ndarray] | None:
    """Return the times (ms) of each unit's spikes, None if the file has none or they cannot be told apart."""
    if "spike_times" not in file.units:
        reading.note(file.path, "no spike_times: no histograms")
        return None
    try:
        parts = slices(file, "spike_times", count)
    except UserError as error:
        reading.note(file.path, f"no histograms: {str(error).removeprefix(f'{file.path}: ')}")
        return None
    times = file.values("spike_times")
    if parts is None or times.ndim != 1 or times.dtype.kind not in "fiu":
        reading.note(file.path, f"no histograms: spike_times are {times.dtype} of shape {times.shape}, without index")
        return None
    times_ms = times.astype(np.float64) * 1e3  # by the schema in seconds
    for row, part in enumerate(parts):
        if not file.is_left_out(row) and not np.isfinite(times_ms[part]).all():
            file.leave_out(row, "spike times that are not finite")
        elif np.abs(times_ms[part]).max(initial=0) > LATEST_MS and not file.is_left_out(row):
            file.leave_out(row, "spike times that no recording has")
    return [times_ms[part] for part in parts]


def _are_seconds(file: File, spikes: list[np.ndarray]) -> bool:
    """Say whether the times (ms) of the units' spikes can have been in seconds, and tell where they cannot."""
    middle_ms = [float(np.median(np.diff(t))) for t in spikes if len(t) > 1]
    if not middle_ms or np.median(middle_ms) < SLOWEST_MS:
        return True
    reading.note(
        file.path,
        f"no histograms: if its spike_times were seconds, {np.median(middle_ms) / 1000:.3g} s would lie between two"
        " spikes; they are likely milliseconds, or numbers of samples",
    )
    return False


# --- labels


def _labels(
    file: File,
    label: str | None,
    count: int,
    waveform: list[np.ndarray],
    channel: np.ndarray | None,
    electrodes: Electrodes,
) -> np.ndarray | None:
    """Return a column of the units, or of the electrodes for each unit's largest; "" where that is not known."""
    if label is None:
        return None
    own = [n for n in sorted(file.units) if n not in NO_LABEL and not n.endswith(("_index", "_elements"))]
    own = [n for n in own if file.units[n].values is not None and f"{n}_index" not in file.units]
    if label in own:
        values = file.values(label)
        words = file.units[label].attrs.get("elements")
        if words is None:
            return values.astype(str) if values.dtype.kind == "b" else values
        return np.array([str(words[v]) if 0 <= v < len(words) else "" for v in values.tolist()], dtype=str)
    column = electrodes.column(label)
    if column is None:
        told = ", ".join([*own, *(f"{name} (of electrodes)" for name in electrodes.names() if name not in own)])
        raise UserError(f"{file.path} has no column {label!r}; it has {told or 'none'}")
    peak = _peaks(file, count, waveform, channel, electrodes)
    return np.array(["" if row < 0 else str(column[row]) for row in peak], dtype=str)


def _peaks(
    file: File, count: int, waveform: list[np.ndarray], channel: np.ndarray | None, electrodes: Electrodes
) -> list[int]:
    """Return the electrode of each unit's largest waveform, -1 where it is not known."""
    numbers = electrodes.column("id")
    if ALLEN_PEAK in file.units and file.units[ALLEN_PEAK].shape == (count,) and numbers is not None:
        row = {number: k for k, number in enumerate(numbers.tolist())}
        return [row.get(number, -1) for number in file.values(ALLEN_PEAK).tolist()]
    found = []
    for unit, block in enumerate(waveform):
        own = [] if electrodes.rows is None else electrodes.rows[unit].tolist()
        places = own if channel is None else channel.tolist()
        if len(places) == 1:
            found.append(places[0])
        elif block.size and len(places) == len(block):
            found.append(places[int(np.nan_to_num(np.ptp(block, axis=1)).argmax())])
        else:
            found.append(-1)
    return found
