"""A recording as the Allen Cell Types Database stores one (NWB 1), and a membrane potential with spikes."""

import h5py
import numpy as np

RATE_KHZ = 50.0


def spiking(times_ms, duration_ms=600.0, rate_kHz=RATE_KHZ, seed=0):
    """Potential (V) and current (A): at each time a rise of 1 ms by 100 mV and a fall to 10 mV below rest in 2 ms."""
    t = np.arange(int(duration_ms * rate_kHz)) / rate_kHz
    v = np.full(len(t), -70.0)
    for start in times_ms:
        since = t - start
        v += np.interp(since, [0, 0.6, 1.0, 2.0, 3.0, 8.0], [0, 15, 100, 20, -10, 0], left=0, right=0)
    current_pA = 200 + 20 * np.random.default_rng(seed).normal(size=len(t))
    return v / 1e3, current_pA / 1e12


def write(path, sweeps, rate_kHz=RATE_KHZ, conversion=1.0, scale=1.0):
    """sweeps: number -> (stimulus name, times of spikes in ms). Samples are in volts and amperes times scale."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["general/generated_by"] = np.array([b"pipeline", b"hand", b"version", b"1.2.0"])
        for number, (name, times_ms) in sweeps.items():
            v, i = spiking(times_ms, rate_kHz=rate_kHz, seed=number)
            response, stimulus = f"acquisition/timeseries/Sweep_{number}", f"stimulus/presentation/Sweep_{number}"
            for where, samples, unit in ((response, v, b"Volt"), (stimulus, i, b"Amp")):
                file[f"{where}/data"] = (samples * scale).astype(np.float32)
                file[f"{where}/data"].attrs.update(conversion=conversion, unit=np.bytes_(unit))
                file[f"{where}/starting_time"] = 0.0
                file[f"{where}/starting_time"].attrs["rate"] = rate_kHz * 1e3
            file[f"{stimulus}/aibs_stimulus_name"] = np.bytes_(name)
            for epoch, first in ((f"epochs/Sweep_{number}", 0), (f"epochs/Experiment_{number}", 1000)):
                for kind, where in (("response", response), ("stimulus", stimulus)):
                    file[f"{epoch}/{kind}/idx_start"] = first
                    file[f"{epoch}/{kind}/count"] = len(v) - first - (500 if first else 0)
                    file[f"{epoch}/{kind}/timeseries"] = h5py.SoftLink(f"/{where}")
            file[f"analysis/spike_times/Sweep_{number}"] = np.array(times_ms) / 1e3
