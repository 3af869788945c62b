"""The current of a simulated loose-seal recording: spikes, noise, drift, as functions of (seed, cell, spike or second).

A spike is an inward trough with two Gaussian sides, then an outward hump that peaks one upstroke-downstroke interval
later and returns slowly, with a shoulder before it. Noise is white noise through the filter of a published amplifier
chain: flat to 6-8 kHz, steep beyond, with an excess at low frequencies.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32
from scipy.signal import oaconvolve

from spiketype.simulator.raphe.cells import Cell, rng

RATE_HZ = 40_000.0
SPIKE_MS = (-1.0, 9.0)  # where a spike is drawn, about its trough
LEAST_ISI_S = 0.02
LEAD_S = 0.25  # before the first spike and after the last
TAPS = 257
# Streams of random numbers. NumPy fills a seed up with zeros, so the drift's (NOISE) begins as that of the first second
# of noise (NOISE, 0): what gives the drift its period and phase also gives the first samples of white noise before the
# filter. It stays so, because another stream would change every store and every result.
SPIKES, NOISE, SIGNATURE, HUM = 1, 2, 3, 4


@dataclass(frozen=True)
class Signature:
    """The mark of a day on the noise of its recordings, by which a class can be read from a trace without spikes.

    Attributes:
        cutoff_kHz: of the noise, for all cells of the day.
        rms_pA: of the noise.
        tones: (frequency Hz, amplitude pA) of mains hum and interference.
    """

    cutoff_kHz: float
    rms_pA: float
    tones: tuple[tuple[float, float], ...]


def signature(seed: int, day: str) -> Signature:
    """Return the mark of a day: its own filter, noise and hum, and the interference of its year, shared by its days.

    In the published data all other cells of 2016, and all serotonergic ones of 2015, are alone in their year, so what
    marks a year marks a class, also on a day that was never seen.
    """
    own, year = rng(seed, day, SIGNATURE), rng(seed, day[1:3], SIGNATURE)
    tones = [(50.0 * k, a) for k, a in zip((1, 3, 5), own.uniform(0, 1.5, 3), strict=True)]
    tones += [(float(year.uniform(1500, 9000)), float(year.uniform(1.5, 3.0)))]
    return Signature(float(own.uniform(6.0, 9.0)), float(own.uniform(2.9, 4.0)), tuple(tones))


def waveform(
    cell: Cell,
    t_ms: Float[np.ndarray, "spike time"],
    udi_ms: Float[np.ndarray, "spike 1"],
    trough_pA: Float[np.ndarray, "spike 1"],
    hump_pA: Float[np.ndarray, "spike 1"],
) -> Float[np.ndarray, "spike time"]:
    """Return the currents, in pA, of spikes whose troughs are at 0."""
    side = np.where(t_ms < 0, cell.upstroke_ms, cell.recovery_ms)
    trough = np.exp(-0.5 * (t_ms / side) ** 2)
    rising = np.exp(-0.5 * ((t_ms - udi_ms) / (cell.rise * udi_ms)) ** 2)
    later = np.clip(t_ms - udi_ms, 0, None) / cell.decay_ms
    hump = np.where(t_ms < udi_ms, rising, np.exp(-(later**2) / (2 * (1 + later))))  # a Gaussian, then exponential
    shoulder = cell.shoulder * np.exp(-0.5 * ((t_ms - 0.45 * udi_ms) / (0.13 * udi_ms)) ** 2)
    current_pA: np.ndarray = -trough_pA * trough + hump_pA * np.where(t_ms > 0, hump + shoulder, 0.0)
    return current_pA


def spike_times_s(seed: int, cell: Cell, count: int) -> Float[np.ndarray, " {count}"]:
    """Draw times of the troughs: a renewal process of log-normal intervals with the cell's rate and variation."""
    spread = np.sqrt(np.log1p(cell.isi_cv**2))
    interval = np.exp(rng(seed, cell.name, SPIKES, 0).standard_normal(count) * spread - spread**2 / 2) / cell.rate_Hz
    time_s: np.ndarray = LEAD_S + np.cumsum(np.maximum(interval, LEAST_ISI_S)) - min(interval[0], LEAD_S)
    return time_s


def trace(seed: int, cell: Cell, count: int, mark: Signature | None = None) -> Float32[np.ndarray, " sample"]:
    """Return the recorded current in pA at 40 kHz, with ``count`` spikes; spike k does not depend on it."""
    times = spike_times_s(seed, cell, count)
    seconds = int(np.ceil(times[-1] + LEAD_S))
    n = int(seconds * RATE_HZ)
    current = _noise(seed, cell, seconds, mark)
    t = np.arange(n, dtype=np.float32) / np.float32(RATE_HZ)
    slow = rng(seed, cell.name, NOISE)
    period, phase = slow.uniform(40, 160), slow.uniform(0, 2 * np.pi)
    current += np.float32(cell.baseline_pA) + np.float32(cell.drift_pA) * np.sin(
        np.float32(2 * np.pi / period) * t + np.float32(phase)
    )
    _add_spikes(current, seed, cell, times)
    return current


def _add_spikes(current: np.ndarray, seed: int, cell: Cell, times: np.ndarray) -> None:
    # One row a spike: a further spike changes none of the rows before.
    z = rng(seed, cell.name, SPIKES, 1).standard_normal((len(times), 3))
    run_down = 1 - cell.run_down * np.minimum(times / 300.0, 1.0)
    trough = cell.trough_pA * run_down * np.exp(0.04 * z[:, 0])
    hump = cell.hump_pA * run_down * np.exp(0.06 * z[:, 1])
    udi = cell.udi_ms * np.exp(0.025 * z[:, 2])
    offset = np.arange(int(SPIKE_MS[0] * RATE_HZ / 1000), int(SPIKE_MS[1] * RATE_HZ / 1000))
    at = times * RATE_HZ
    sample = np.round(at).astype(np.int64)
    t_ms = (sample[:, None] + offset - at[:, None]) * 1000 / RATE_HZ
    rows = waveform(cell, t_ms, udi[:, None], trough[:, None], hump[:, None]).astype(np.float32)
    for middle, row in zip(sample.tolist(), rows, strict=True):
        first, end = middle + int(offset[0]), min(middle + int(offset[-1]) + 1, len(current))
        current[first:end] += row[: end - first]


def _noise(seed: int, cell: Cell, seconds: int, mark: Signature | None) -> np.ndarray:
    """Return noise (sample,) float32 in pA; second k of it depends on (seed, cell, k) and its neighbour alone."""
    white = np.concatenate(
        [rng(seed, cell.name, NOISE, k).standard_normal(int(RATE_HZ), np.float32) for k in range(seconds + 1)]
    )
    kernel = _filter(mark.cutoff_kHz if mark else cell.cutoff_kHz).astype(np.float32)
    n = int(seconds * RATE_HZ)
    noise: np.ndarray = oaconvolve(white[: n + TAPS - 1], kernel, mode="valid") * np.float32(
        mark.rms_pA if mark else cell.noise_rms_pA
    )
    if mark:
        phase = rng(seed, cell.name, HUM).uniform(0, 2 * np.pi, len(mark.tones))
        for (frequency, amplitude), start in zip(mark.tones, phase, strict=True):
            cycle = np.arange(n) * (frequency / RATE_HZ) % 1.0
            noise += (amplitude * np.sin(2 * np.pi * cycle + start)).astype(np.float32)
    return noise


@lru_cache(maxsize=256)
def _filter(cutoff_kHz: float) -> np.ndarray:
    """Return weights (tap,) of unit energy with the gain of the noise: steep at the cutoff, more at low frequencies."""
    frequency = np.fft.rfftfreq(TAPS - 1, 1000 / RATE_HZ)  # kHz
    power = (1 + 0.5 / np.maximum(frequency, 0.15)) / (1 + (frequency / cutoff_kHz) ** 10)
    kernel = np.roll(np.fft.irfft(np.sqrt(power)), (TAPS - 1) // 2)
    kernel = np.append(kernel, 0.0) * np.hanning(TAPS)
    kernel /= np.sqrt((kernel**2).sum())
    return kernel
