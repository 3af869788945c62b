"""NWB files of units as pynwb writes them, and what pynwb itself reads from them."""

import datetime
import warnings

import h5py
import numpy as np
import pytest

pynwb = pytest.importorskip("pynwb", reason="needs pynwb: uv sync --extra allen")
START = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


def spikes(shape, seed=0, scale=1e-4):
    """Waveforms (..., time, channel) with a trough, in volts by default."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape).astype(np.float32) * 0.1
    x[..., shape[-2] // 3, :] -= rng.uniform(1, 2, (*shape[:-2], shape[-1])).astype(np.float32)
    return x * np.float32(scale)


def new(groups=(4,), subject="m1", session="s1", **about):
    """A file with electrodes at 20 um from one another, in groups of so many."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = pynwb.NWBFile("a test", f"{subject} {session}", START, session_id=session, **about)
        if subject is not None:
            file.subject = pynwb.file.Subject(subject_id=subject, species="Mus musculus", age="P30D")
        probe = file.create_device("probe")
        for k, size in enumerate(groups):
            group = file.create_electrode_group(f"shank{k}", "a shank", f"area{k}", probe)
            for e in range(size):
                file.add_electrode(group=group, location=f"area{k}", rel_x=100.0 * k, rel_y=20.0 * e)
    return file


def add(file, mean, electrodes=None, times=None, rate_Hz=30_000.0, unit="volts", **columns):
    """Add units by their waveforms; columns are lists with a value each. Columns of pynwb itself are given likewise."""
    file.units = pynwb.misc.Units(name="units", waveform_rate=rate_Hz, waveform_unit=unit)
    for name in columns:
        if name not in ("id", "waveform_sd", "electrode_group"):
            file.add_unit_column(name, "of a test")
    for k, waveform in enumerate(mean):
        own = {} if electrodes is None else {"electrodes": list(electrodes[k])}
        own |= {} if times is None else {"spike_times": times[k]}
        file.add_unit(waveform_mean=waveform, **own, **{name: values[k] for name, values in columns.items()})
    return file


def write(path, file):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pynwb.NWBHDF5IO(path, "w") as io:
            io.write(file, cache_spec=False)
    return path


def read(path, table=lambda file: file.units):
    """What pynwb gives of each unit: (waveform, spike times, electrodes), and the table's rate, unit and columns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pynwb.NWBHDF5IO(path, "r") as io:
            file = io.read()
            units = table(file)
            each = [
                (
                    np.asarray(units["waveform_mean"][row]),
                    np.asarray(units["spike_times"][row]) if "spike_times" in units.colnames else None,
                    units["electrodes"][row].index.tolist() if "electrodes" in units.colnames else None,
                )
                for row in range(len(units))
            ]
            about = {"rate_Hz": units.waveform_rate, "unit": units.waveform_unit, "id": np.asarray(units.id[:])}
            about["subject"] = None if file.subject is None else file.subject.subject_id
            about["session"] = file.session_id
            about["columns"] = {
                name: np.asarray(units[name].data[:])
                for name in units.colnames
                if units[name].__class__.__name__ == "VectorData"
            }
            if file.electrodes is not None and "rel_x" in file.electrodes.colnames:
                about["position"] = file.electrodes.to_dataframe()[["rel_x", "rel_y"]].to_numpy()
    return each, about


def edit(path, change):
    """Change a written file with h5py, for what pynwb does not write."""
    with h5py.File(path, "r+") as file:
        change(file)
    return path
