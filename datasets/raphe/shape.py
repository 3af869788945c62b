"""The shape of a cell's mean spike in numbers: what an electrophysiologist measures, between the samples; its noise.

A trough is 0.05 to 0.15 ms wide and a sample 0.025 ms, so everything is measured on a cubic spline through the samples.
"""

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from spiketype.datasets.raphe.spikes import POINTS, RATE_KHZ, REFERENCE, shape

FINE = 16  # points of the spline a sample
SOUGHT = (REFERENCE - 20, REFERENCE + 50)  # samples between which the trough lies
# Times: the interval; half the trough to the trough, and back; half the hump to its peak; from there to parts of it.
TIMES = ("udi_ms", "fall_ms", "return_ms", "rise_ms", "decay_75_ms", "decay_50_ms", "decay_25_ms")
MEASURES = (*TIMES, "hump_ratio", "half_width_ms")
FRACTIONS = np.arange(3, 20) / 20  # of the interval, where the current over the hump's peak is the *profile*
LEAST_MS, LEAST_PA = 0.01, 1.0  # shorter times and smaller humps are not told apart


def measures(
    mean_pA: Float[np.ndarray, "cell 160"],
) -> tuple[Float[np.ndarray, "cell 9"], Float[np.ndarray, "cell 17"]]:
    """Return `MEASURES`, all positive, and the profile of mean spikes.

    Times in ms, hump over trough and the profile (current over that of the hump's peak) without unit.
    """
    fine = np.arange((POINTS - 1) * FINE + 1) / FINE
    spline = CubicSpline(np.arange(POINTS), mean_pA, axis=1)(fine)
    rows = [_one(row, float(udi_ms)) for row, udi_ms in zip(spline, shape(mean_pA).udi_ms, strict=True)]
    return np.array([m for m, _ in rows]), np.array([p for _, p in rows])


def _one(current: np.ndarray, udi_ms: float) -> tuple[list[float], np.ndarray]:
    per_ms = RATE_KHZ * FINE
    first, last = SOUGHT[0] * FINE, SOUGHT[1] * FINE
    trough = first + int(np.argmin(current[first:last]))
    peak = int(np.clip(trough + udi_ms * per_ms, trough + 3 * FINE, len(current) - 2))
    depth_pA = max(-float(current[trough]), LEAST_PA)
    near = max(int((peak - trough) / 8), FINE // 2)  # the peak is flat and the noise is not
    hump_pA = max(float(current[peak - near : peak + near + 1].mean()), LEAST_PA)
    rising, falling = current[trough : peak + 1], -current[peak:]
    fall = _reaches(current[trough::-1], -0.5 * depth_pA)
    back = _reaches(rising, -0.5 * depth_pA)
    rise = peak - trough - _reaches(rising, 0.5 * hump_pA)
    decay = [_reaches(falling, -part * hump_pA) for part in (0.75, 0.5, 0.25)]
    times = [max(t, LEAST_MS) for t in (udi_ms, *(points / per_ms for points in (fall, back, rise, *decay)))]
    at = trough + np.round(FRACTIONS * (peak - trough)).astype(int)
    return [*times, hump_pA / depth_pA, times[1] + times[2]], current[at] / hump_pA


def _reaches(values: np.ndarray, level: float) -> float:
    """Return where values (point,) first come up to the level, between points; the end where they never do."""
    there = values >= level
    k = int(np.argmax(there)) if there.any() else len(values) - 1
    if k == 0 or not there[k]:
        return float(k)
    return float(k - 1 + (level - values[k - 1]) / (values[k] - values[k - 1]))


def features(mean_pA: Float[np.ndarray, "cell 160"]) -> Float[np.ndarray, "cell 25"]:
    """Return what a call is made from, of mean spikes: logarithms of times and ratio, and the profile."""
    found, profile = measures(mean_pA)
    return np.column_stack([np.log(found[:, : len(TIMES) + 1]), np.arcsinh(profile)])


def spectrum(noise_pA: Float[np.ndarray, "window 160"]) -> Float[np.ndarray, "80"]:
    """Return the mean power of spike-free windows at each frequency above 0, the mean of each window taken off."""
    centred = (noise_pA - noise_pA.mean(axis=1, keepdims=True)) * np.hanning(POINTS)
    return np.asarray((np.abs(np.fft.rfft(centred, axis=1)) ** 2).mean(axis=0)[1:] + 1e-9)
