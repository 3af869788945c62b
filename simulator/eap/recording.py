"""What an amplifier and a sorter make of a potential: filters, another sampling rate, coloured noise, means of spikes.

All of it but the noise is linear in the potential, so it is one matrix (time, new time), and so is what colours noise.
A filter sees the potential held at its first and last value for `PAD_MS` beyond the window that was simulated.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from spiketype.simulator.eap import features
from spiketype.simulator.eap.chain import Chain, check_rate
from spiketype.simulator.eap.config import EapConfig

PAD_MS = 50.0  # eight time constants of a 25 Hz high-pass
PINK_HZ = 1.0  # below it the spectrum of pink noise is flat, or its power would have no end


class Matrices(NamedTuple):
    """What a potential is multiplied by, and independent normal numbers; None for what is not needed."""

    resampling: Float32[np.ndarray, "time new_time"] | None
    colouring: Float32[np.ndarray, "new_time new_time"] | None


@lru_cache(maxsize=1)
def matrices(config: EapConfig, n_time: int, dt_ms: float) -> Matrices:
    """Return the matrices of a configuration, for potentials of `n_time` samples.

    Without a recording chain, only waveforms that are kept are brought to another rate.
    """
    rate_kHz = config.waveform_kHz or 1 / dt_ms
    if config.chain == Chain():
        return Matrices(features.resample(n_time, dt_ms, rate_kHz) if config.waveform_kHz else None, None)
    how = n_time, dt_ms, rate_kHz, config.chain
    return Matrices(matrix(*how), colouring(*how))


def filtered(x: np.ndarray, chain: Chain, rate_kHz: float) -> np.ndarray:
    """Return waveforms (..., time) as they leave the filters, their ends held for `PAD_MS` before filtering."""
    if not chain.filters:
        return x
    pad = round(PAD_MS * rate_kHz)
    wide = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(pad, pad)], mode="edge")
    rest = wide[..., :1]  # from which a filter starts settled
    found: np.ndarray = _apply(wide - rest, chain, rate_kHz)[..., pad : pad + x.shape[-1]] + _gain_at_0(chain) * rest
    return found


def _gain_at_0(chain: Chain) -> float:
    return 0.0 if chain.highpass_Hz else 1.0


def _apply(x: np.ndarray, chain: Chain, rate_kHz: float) -> np.ndarray:
    """Run the filters along the last axis, from rest."""
    from scipy import signal  # takes two seconds: only for those who filter

    for corner, kind in ((chain.highpass_Hz, "highpass"), (chain.lowpass_Hz, "lowpass")):
        if corner:
            sos = signal.butter(chain.order, corner, kind, fs=1000 * rate_kHz, output="sos")
            x = signal.sosfilt(sos, x, axis=-1)
            if chain.phase == "zero":
                x = signal.sosfilt(sos, x[..., ::-1], axis=-1)[..., ::-1]
    return x


def matrix(n_time: int, dt_ms: float, rate_kHz: float, chain: Chain) -> Float32[np.ndarray, "{n_time} new_time"]:
    """Return what takes potentials to the recorded waveform: ``eap @ matrix``.

    Args:
        n_time: samples of the potential.
        dt_ms: between them.
        rate_kHz: of the recording; its antialiasing filter is that of `features.resample`.
        chain: the filters.

    Raises:
        UserError: as `check_rate` and `features.resample`.
    """
    check_rate(chain, 1 / dt_ms)
    to_rate = features.resample(n_time, dt_ms, rate_kHz).astype(np.float64)
    found: np.ndarray = (filtered(np.eye(n_time), chain, 1 / dt_ms) @ to_rate).astype(np.float32)
    return found


def colouring(n_time: int, dt_ms: float, rate_kHz: float, chain: Chain) -> Float32[np.ndarray, "new_time new_time"]:
    """Return what takes independent normal numbers to recorded noise of standard deviation 1: ``white @ matrix``.

    The noise has the chain's spectrum and passes its filters and the change of rate, as the potential does; it is
    scaled afterwards, so that its standard deviation is what one measures in the recording. The matrix is the square
    root of the covariance of that noise in the window.
    """
    from scipy import signal

    check_rate(chain, 1 / dt_ms)
    kept, ratio = features.resample(n_time, dt_ms, rate_kHz).shape[1], features.ratio_of(dt_ms, rate_kHz)
    pad = math.ceil(PAD_MS / dt_ms / ratio.denominator) * ratio.denominator  # so that the window begins at a new sample
    white = np.eye(n_time + 2 * pad)
    if chain.noise == "pink":
        white = _pink(white, dt_ms)
    passed = _apply(white, chain, 1 / dt_ms)
    # Noise goes on beyond the window: held at its ends, it would be larger there.
    passed = signal.resample_poly(passed, ratio.numerator, ratio.denominator, axis=1)
    first = pad * ratio.numerator // ratio.denominator
    passed = passed[:, first : first + kept]
    variance, axes = np.linalg.eigh(passed.T @ passed)
    root = (axes * np.sqrt(np.maximum(variance, 0) / variance.mean())) @ axes.T
    found: np.ndarray = root.astype(np.float32)
    return found


def _pink(white: np.ndarray, dt_ms: float) -> np.ndarray:
    """Return noise (..., time) whose power is 1/f from `PINK_HZ` on."""
    f_Hz = np.fft.rfftfreq(white.shape[-1], dt_ms / 1000)
    coloured: np.ndarray = np.fft.irfft(
        np.fft.rfft(white, axis=-1) / np.sqrt(np.maximum(f_Hz, PINK_HZ)), n=white.shape[-1], axis=-1
    )
    return coloured
