"""Small recordings with known spikes, for the tests of the raphe reader."""

import numpy as np


def wave(t_ms):
    """Band-limited spike: trough of -80 pA at 0, hump of 14 pA at 1.2 ms."""
    return -80 * np.exp(-0.5 * (t_ms / 0.09) ** 2) + 14 * np.exp(-0.5 * ((t_ms - 1.2) / 0.4) ** 2)


def recording(times_s, duration_s, rate_Hz=40_000.0, noise_pA=3.0, seed=0):
    """Current (sample,) in pA with `wave` at the given times, in white noise."""
    t = np.arange(int(duration_s * rate_Hz)) / rate_Hz
    current = np.random.default_rng(seed).normal(0, noise_pA, len(t))
    for time in times_s:
        near = np.abs(t - time) < 0.006
        current[near] += wave((t[near] - time) * 1000)
    return current.astype(np.float32)
