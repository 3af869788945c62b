"""Loose-seal spikes out of a trace of current: find, align, resample, measure. Pure NumPy; inward current is negative.

Corradetti et al. (J. Neurosci. Methods 2024, 110158): a spike is 160 points at 40 kHz, from 1 ms before to 3 ms after
the current crosses -50 pA. Here the reference may also be the trough or the steepest slope, any sampling rate is
resampled, and the reference is found between samples.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from spiketype.datasets.raphe.options import Alignment

RATE_KHZ, POINTS, REFERENCE = 40.0, 160, 40  # the published window; the reference is at index 40, which is 1 ms
AFTER_MS = (POINTS - REFERENCE) / RATE_KHZ
TAPS = 16  # samples on each side in the interpolation
PHASES = 4096  # positions between two samples that are told apart: at 40 kHz, 6 ns
KAISER = 8.0  # shape of the window: -80 dB
SEARCH_MS = (-0.5, 1.0)  # where the reference is sought around a crossing
FINE_KHZ = 320.0  # points a millisecond in that search
UDI_END = 10  # points before the window's end where an interval counts as cut off


def crossings(trace_pA: Float[np.ndarray, " sample"], threshold_pA: float) -> Int[np.ndarray, " crossing"]:
    """Return the first samples below the threshold, ascending; NaN never crosses."""
    below = trace_pA < threshold_pA
    return np.flatnonzero(below[1:] & ~below[:-1]) + 1


def apart(crossed: Int[np.ndarray, " crossing"], refractory: int, last: int) -> Int[np.ndarray, " kept"]:
    """Keep the crossings that come at least ``refractory`` samples after the one kept before.

    A crossing that is not kept does not restart the refractory time. ``last`` is the kept one before the first.
    """
    kept = []
    for sample in crossed.tolist():
        if sample - last >= refractory:
            kept.append(sample)
            last = sample
    return np.array(kept, np.int64)


def interpolate(
    stretch: Float[np.ndarray, "row sample"], at: Float[np.ndarray, "row point"], cutoff: float = 1.0
) -> Float[np.ndarray, "row point"]:
    """Return values between samples: windowed-sinc interpolation (Kaiser, 16 samples a side), anti-aliased.

    Args:
        stretch: samples.
        at: positions in samples; `TAPS` / ``cutoff`` samples must lie on both sides of each.
        cutoff: highest frequency kept, as a share of the Nyquist frequency; below 1 where ``at`` is coarser.
    """
    kernel = _kernel(cutoff)
    half = kernel.shape[1] // 2
    position = np.round(at * PHASES).astype(np.int64)
    first, phase = position // PHASES, position % PHASES
    rows = np.arange(len(stretch))[:, None, None]
    values = stretch[rows, first[..., None] + np.arange(1 - half, half + 1)]
    found: np.ndarray = np.einsum("npt,npt->np", values, kernel[phase])
    return found


@lru_cache(maxsize=8)
def _kernel(cutoff: float) -> np.ndarray:
    """Return weights (phase, tap); the phase is how far a point lies behind a sample, in 1 / `PHASES`."""
    half = int(np.ceil(TAPS / cutoff))
    distance = np.arange(PHASES)[:, None] / PHASES - np.arange(1 - half, half + 1)
    window = np.i0(KAISER * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, None)))
    weights: np.ndarray = np.sinc(cutoff * distance) * window
    weights /= weights.sum(axis=1, keepdims=True)  # a constant stays constant
    return weights.astype(np.float32)


def margin(rate_kHz: float) -> int:
    """Return how many samples `cut` needs on each side of a crossing."""
    cutoff = min(1.0, RATE_KHZ / rate_kHz)
    return int(np.ceil((AFTER_MS + SEARCH_MS[1]) * rate_kHz + TAPS / cutoff)) + 2


def cut(
    stretches: Float[np.ndarray, "spike sample"],
    rate_kHz: float,
    threshold_pA: float | Float[np.ndarray, " spike"],
    align: Alignment,
) -> Float32[np.ndarray, "spike 160"]:
    """Cut out spikes, resampled to 40 kHz, with their reference at index 40.

    Args:
        stretches: 2 margin + 1 samples around each crossing, which is in the middle.
        rate_kHz: of the stretches.
        threshold_pA: that was crossed, one for all or one for each.
        align: what is put at index 40: the crossing (published), the trough, the steepest inward slope.
    """
    middle = stretches.shape[1] // 2
    reference = middle + _reference(stretches, middle, rate_kHz, np.broadcast_to(threshold_pA, len(stretches)), align)
    step = rate_kHz / RATE_KHZ
    at = reference[:, None] + (np.arange(POINTS) - REFERENCE) * step
    return interpolate(stretches, at, min(1.0, 1 / step)).astype(np.float32)


def _reference(
    stretches: np.ndarray, middle: int, rate_kHz: float, threshold_pA: np.ndarray, align: Alignment
) -> np.ndarray:
    """Return where the reference lies (spike,), in samples from the middle."""
    # Steps of equal time, not of equal samples: finer ones would measure the rounding of the slope.
    step = rate_kHz / FINE_KHZ
    at = np.arange(round(SEARCH_MS[0] * FINE_KHZ), round(SEARCH_MS[1] * FINE_KHZ) + 1) * step
    # Every spike is sampled at the same places here: one matrix product, over the samples that matter.
    lo, hi = middle + int(np.floor(at[0])) - TAPS, middle + int(np.ceil(at[-1])) + TAPS + 1
    eye = np.eye(hi - lo, dtype=np.float32)
    grid = interpolate(eye, np.broadcast_to(middle - lo + at, (hi - lo, len(at))))
    fine = stretches[:, lo:hi] @ grid
    rows = np.arange(len(fine))
    # The trough is the first of the fall that crosses: the lowest point from the crossing on.
    here = int(np.searchsorted(at, 0.0))
    trough = here + np.argmin(fine[:, here:], axis=1)
    found: np.ndarray
    if align == "trough":
        found = at[trough] + _vertex(fine, rows, trough) * step
        return found
    if align == "slope":
        fall = -np.diff(fine, axis=1)
        fall = np.where(np.arange(fall.shape[1]) < trough[:, None], fall, -np.inf)
        steepest = np.argmax(fall, axis=1)
        # The slope is flat at its steepest: points far apart, or the rounding of the interpolation decides.
        found = at[steepest] + (0.5 + _vertex(fall, rows, steepest, reach=5)) * step
        return found
    above = (fine > threshold_pA[:, None]) & (np.arange(fine.shape[1]) < trough[:, None])
    last = np.where(above.any(axis=1), fine.shape[1] - 1 - np.argmax(above[:, ::-1], axis=1), here - 1)
    left, right = fine[rows, last], fine[rows, last + 1]
    drop = np.where(right < left, left - right, 1.0)
    found = at[last] + np.clip((left - threshold_pA) / drop, 0, 1) * step
    return found


def _vertex(values: np.ndarray, rows: np.ndarray, at: np.ndarray, reach: int = 1) -> np.ndarray:
    """Return the offset (row,) of the extremum of the parabola through three points, which are ``reach`` apart.

    It is at most half of ``reach``.
    """
    inner = np.clip(at, reach, values.shape[1] - 1 - reach)
    a, b, c = (values[rows, inner + k] for k in (-reach, 0, reach))
    with np.errstate(invalid="ignore", divide="ignore"):
        offset = 0.5 * (a - c) / (a - 2 * b + c)
    return np.where(np.isfinite(offset) & (inner == at), np.clip(offset, -0.5, 0.5), 0.0) * reach


class Shape(NamedTuple):
    """Measures of spikes.

    ``trough_pA`` and ``hump_pA`` are the inward and the later outward peak. ``udi_ms`` is the time between them, the
    upstroke-downstroke interval; where ``cut_off``, the peak found is at the window's end, and the true one may lie
    beyond.
    """

    trough_pA: Float32[np.ndarray, " spike"]
    hump_pA: Float32[np.ndarray, " spike"]
    udi_ms: Float32[np.ndarray, " spike"]
    cut_off: Bool[np.ndarray, " spike"]


def shape(spikes_pA: Float[np.ndarray, "spike 160"]) -> Shape:
    """Measure spikes or templates.

    The outward peak is flat, and noise hides it, so it is sought twice: in the mean over 5 points, then, near the peak
    found, in the mean over a quarter of the interval found. A short interval gets a short mean, so that the shortest
    (0.15 ms) are not drawn out.
    """
    rows = np.arange(len(spikes_pA))
    sought = spikes_pA[:, REFERENCE - 20 : REFERENCE + 50]
    trough = REFERENCE - 20 + np.argmin(sought, axis=1)
    index = np.arange(POINTS)
    first = np.argmax(np.where(index > trough[:, None] + 2, _mean(spikes_pA, np.full(len(rows), 2)), -np.inf), axis=1)
    rough = first - trough
    smooth = _mean(spikes_pA, np.clip(rough // 8, 1, None))
    near = np.abs(index - first[:, None]) <= np.maximum(rough // 3, 2)[:, None]
    peak = np.argmax(np.where(near & (index > trough[:, None] + 2), smooth, -np.inf), axis=1)
    interval = peak + _vertex(smooth, rows, peak) - trough - _vertex(spikes_pA, rows, trough)
    return Shape(
        spikes_pA[rows, trough].astype(np.float32),
        smooth[rows, peak].astype(np.float32),
        (interval / RATE_KHZ).astype(np.float32),
        peak >= POINTS - UDI_END,
    )


def _mean(values: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Return the mean over 2 half + 1 points, half (row,) differing by row; over fewer at the ends."""
    total = np.cumsum(np.pad(values.astype(np.float64), ((0, 0), (1, 0))), axis=1)
    index = np.arange(values.shape[1])
    lo = np.clip(index - half[:, None], 0, None)
    hi = np.clip(index + half[:, None] + 1, None, values.shape[1])
    found: np.ndarray = (np.take_along_axis(total, hi, 1) - np.take_along_axis(total, lo, 1)) / (hi - lo)
    return found
