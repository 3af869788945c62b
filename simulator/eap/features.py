"""Images of an EAP: amplitude, width, half width, slopes, and the waveform at another rate."""

from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from spiketype.edge import UserError

THRESHOLD_UV = 5.0


class Features(NamedTuple):
    """Features of waveforms ``(..., time)``, each of shape ``(...)``."""

    amplitude_uV: Float[Array, "..."]  # height of the positive peak after the negative peak, from there
    width_ms: Float[Array, "..."]  # time from the negative to that positive peak
    fwhm_ms: Float[Array, "..."]  # width of the negative peak at half its depth below 0
    depolarising_uV_per_ms: Float[Array, "..."]  # steepest fall before the negative peak, <= 0
    repolarising_uV_per_ms: Float[Array, "..."]  # steepest rise between the two peaks, >= 0


def extract(eap_uV: Float[Array, "*shape time"], dt_ms: float, threshold_uV: float = THRESHOLD_UV) -> Features:
    """Measure all features over the last axis; inside jit, those not used are not computed.

    The negative peak is the first lowest sample, the positive peak the first highest sample from there to the
    end of the window (amplitude and width: Buccino et al. 2018). A negative peak at the last sample has
    nothing after it: amplitude 0. Where the amplitude is below the threshold, it and the slopes are 0 and
    both widths are the length of the window, time * dt_ms (7 ms for 224 samples at 32 kHz). A negative
    peak whose half level is not crossed on a side is counted from the window's edge on that side.
    """
    window = eap_uV.shape[-1] * dt_ms
    sample = _samples(eap_uV)
    trough, peak, low, high = peaks(eap_uV)
    quiet = high - low < threshold_uV
    rise = (eap_uV[..., 1:] - eap_uV[..., :-1]) / dt_ms
    before, between = sample[..., 1:] <= trough[..., None], sample[..., 1:] > trough[..., None]
    between &= sample[..., 1:] <= peak[..., None]
    return Features(
        amplitude_uV=jnp.where(quiet, 0.0, high - low),
        width_ms=jnp.where(quiet, window, (peak - trough) * dt_ms),
        fwhm_ms=jnp.where(quiet, window, _half_width(eap_uV, trough, low) * dt_ms),
        depolarising_uV_per_ms=jnp.where(quiet, 0.0, jnp.min(jnp.where(before, rise, 0.0), axis=-1)),
        repolarising_uV_per_ms=jnp.where(quiet, 0.0, jnp.max(jnp.where(between, rise, 0.0), axis=-1)),
    )


def peaks(
    eap_uV: Float[Array, "*shape time"],
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"], Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Return the sample numbers of the negative peak and of the positive peak that follows it, and their heights in uV.

    The first of equal samples counts. The numbers are floats: on a CPU, XLA finds the least of floats
    several times faster than the least of integers or `jnp.argmin`.
    """
    sample, n_time = _samples(eap_uV), eap_uV.shape[-1]
    low = jnp.min(eap_uV, axis=-1)
    trough = jnp.min(jnp.where(eap_uV == low[..., None], sample, n_time), axis=-1)
    after = jnp.where(sample >= trough[..., None], eap_uV, -jnp.inf)
    high = jnp.max(after, axis=-1)
    peak = jnp.min(jnp.where(after == high[..., None], sample, n_time), axis=-1)
    return trough, peak, low, high


def _samples(eap_uV: jax.Array) -> jax.Array:
    n_time = eap_uV.shape[-1]
    return jnp.arange(n_time, dtype=eap_uV.dtype).reshape((1,) * (eap_uV.ndim - 1) + (n_time,))


def _half_width(eap_uV: jax.Array, trough: jax.Array, low: jax.Array) -> jax.Array:
    """Return the samples between the crossings of half the depth around the negative peak, interpolated linearly."""
    sample, n_time = _samples(eap_uV), eap_uV.shape[-1]
    above, half = eap_uV > low[..., None] / 2, low / 2
    left = jnp.max(jnp.where(above & (sample < trough[..., None]), sample, -1.0), axis=-1)
    right = jnp.min(jnp.where(above & (sample > trough[..., None]), sample, n_time), axis=-1)

    def at(number: jax.Array) -> jax.Array:
        index = jnp.clip(number, 0, n_time - 1).astype(jnp.int32)
        return jnp.take_along_axis(eap_uV, index[..., None], axis=-1)[..., 0]

    def crossing(outside: jax.Array, inside: jax.Array) -> jax.Array:
        rise = at(outside) - at(inside)  # 0 at the window's edge
        fraction = jnp.where(rise > 0, (half - at(inside)) / jnp.where(rise > 0, rise, 1.0), 0.0)
        return inside + jnp.clip(fraction, 0.0, 1.0) * (outside - inside)

    return crossing(right, right - 1) - crossing(left, left + 1)


def ratio_of(dt_ms: float, rate_kHz: float) -> Fraction:
    """Return how many samples at ``rate_kHz`` there are for one every ``dt_ms``."""
    return Fraction(rate_kHz * dt_ms).limit_denominator(10_000)


def resample(n_time: int, dt_ms: float, rate_kHz: float) -> Float32[np.ndarray, "{n_time} new_time"]:
    """Return the matrix that takes waveforms to ``rate_kHz``: ``eap @ matrix``.

    It is a polyphase low-pass at the lower of the two Nyquist frequencies (`scipy.signal.resample_poly`), with the
    first and last samples held beyond the ends; sample k of the result is at k / rate_kHz. Constants are kept exactly.

    Raises:
        UserError: a rate that is not positive, or that leaves fewer than two samples of the window.
    """
    from scipy import signal  # takes two seconds: only for those who resample

    if not (np.isfinite(rate_kHz) and rate_kHz > 0):
        raise UserError(f"sampling rate {rate_kHz} kHz: give a positive number")
    ratio = ratio_of(dt_ms, rate_kHz)
    if n_time * ratio <= 1:
        raise UserError(
            f"sampling rate {rate_kHz} kHz leaves less than two samples of the {n_time * dt_ms:g} ms window:"
            f" give more than {1 / (n_time * dt_ms):g} kHz"
        )
    up, down = ratio.numerator, ratio.denominator
    matrix = signal.resample_poly(np.eye(n_time), up, down, axis=1, padtype="edge")
    resampling: np.ndarray = (matrix / matrix.sum(axis=0)).astype(np.float32)
    return resampling
