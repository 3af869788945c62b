"""Recording noise of a shank: coloured in time, correlated between contacts, filtered as the spikes are."""

import numpy as np
from scipy.linalg import toeplitz
from scipy.signal import butter, sosfreqz

from simulator.shank_units import HIGHPASS_KHZ, RATE_KHZ, TIMES, Animal

FREQUENCIES = 512


def factors(of: Animal, contact_um: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Square roots of the noise's covariance between contacts (channel, channel) and times (time, time), in uV.

    White noise (channel, time) between them is the animal's noise: power 1/f^colour through the amplifier's band, as
    the background of distant spikes is, and correlation exp(-distance / reach) between contacts.
    """
    frequency = (np.arange(FREQUENCIES) + 0.5) * RATE_KHZ / 2 / FREQUENCIES
    band = butter(2, (HIGHPASS_KHZ, of.lowpass_kHz), "bandpass", fs=RATE_KHZ, output="sos")
    _, response = sosfreqz(band, frequency, fs=RATE_KHZ)
    power = np.abs(response) ** 4 * frequency**-of.colour  # forwards and backwards, as the spikes
    lag_ms = np.arange(TIMES) / RATE_KHZ
    in_time = (power[:, None] * np.cos(2 * np.pi * frequency[:, None] * lag_ms)).sum(axis=0) / power.sum()
    apart = np.linalg.norm(contact_um[:, None] - contact_um[None], axis=2)
    return of.noise_uV * _root(np.exp(-apart / of.reach_um)), _root(toeplitz(in_time))


def _root(covariance: np.ndarray) -> np.ndarray:
    """Symmetric square root; in-band noise is nearly singular in time, where a Cholesky factor fails."""
    value, vector = np.linalg.eigh(covariance)
    return (vector * np.sqrt(np.maximum(value, 0))) @ vector.T


def draw(roots: tuple[np.ndarray, np.ndarray], spikes: int, rng: np.random.Generator) -> np.ndarray:
    """Noise (spike, channel, time) in uV, independent between spikes."""
    space, time = roots
    return space @ rng.standard_normal((spikes, len(space), len(time))) @ time
