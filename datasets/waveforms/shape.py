"""The shape of a spike on one contact: its widths, its peak, and the waveform around its trough, for any sampling rate.

Waveforms are measured between the samples, on a cubic spline at 100 kHz: half a sample at 30 kHz is 17 us, a tenth of
what separates cell types. Everything is relative to the depth of the trough, so that neither gain nor distance counts.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.interpolate import CubicSpline

FINE_KHZ = 100.0
BEFORE_MS, AFTER_MS = 0.25, 0.68  # what all the labelled sets have around the trough
WAVE_MS = np.arange(-0.25, 0.66, 0.05)  # where the waveform is seen, from the trough
NEEDED_MS = 0.5  # after the trough: with less, the peak of an excitatory cell is not seen
CLIPPED = 3  # neighbouring samples at the lowest value: an amplifier at its end
NEEDED_KHZ = 12.0  # below, the time from trough to peak is a matter of two or three samples
HELD = 3  # samples of one value at the end: filled up to a common length, not measured


class Shape(NamedTuple):
    """What is measured of each row.

    Attributes:
        trough_to_peak_ms: from the trough to the highest point in the `AFTER_MS` that follow.
        half_width_ms: of the trough at half its depth.
        peak: height of that point, over the depth of the trough.
        pre_peak: highest point in the `BEFORE_MS` before the trough, over its depth: much of it is the filter's.
        wave: at `WAVE_MS`, over the depth of the trough; where the waveform has ended, its last value.
        positive: the largest deflection is upward.
        clipped: several neighbouring samples are at the lowest value.
        after_ms: how much of the waveform there is after the trough, without a value that is held at its end.
    """

    trough_to_peak_ms: Float[np.ndarray, " row"]
    half_width_ms: Float[np.ndarray, " row"]
    peak: Float[np.ndarray, " row"]
    pre_peak: Float[np.ndarray, " row"]
    wave: Float[np.ndarray, "row point"]
    positive: Bool[np.ndarray, " row"]
    clipped: Bool[np.ndarray, " row"]
    after_ms: Float[np.ndarray, " row"]

    @property
    def three(self) -> Float[np.ndarray, "row 3"]:
        """Trough-to-peak time (ms), half width (ms) and peak: the measures whose distributions tell the time scale."""
        return np.stack([self.trough_to_peak_ms, self.half_width_ms, self.peak], axis=1)


def largest(waveform: Float[np.ndarray, "row channel time"]) -> Float[np.ndarray, "row time"]:
    """Return the waveform of the channel with the largest peak-to-peak amplitude, its median at 0."""
    of_row = np.ptp(waveform, axis=2).argmax(axis=1)
    x = waveform[np.arange(len(waveform)), of_row].astype(np.float64)
    found: np.ndarray = x - np.median(x, axis=1, keepdims=True)
    return found


def measure(x: Float[np.ndarray, "row time"], rate_kHz: float) -> Shape:
    """Measure waveforms of one contact, troughs downward; those that are upside down are measured as they are.

    Args:
        x: not constant.
        rate_kHz: of the samples.
    """
    fine = CubicSpline(np.arange(x.shape[1]) / rate_kHz, x, axis=1)
    end_ms = (x.shape[1] - 1) / rate_kHz
    y = fine(np.arange(0, end_ms + 0.5 / FINE_KHZ, 1 / FINE_KHZ))
    trough = y.argmin(axis=1)
    depth = -y[np.arange(len(y)), trough]
    depth = np.where(depth > 0, depth, np.ptp(y, axis=1))
    before, after = round(BEFORE_MS * FINE_KHZ), round(AFTER_MS * FINE_KHZ)
    index = np.clip(trough[:, None] + np.arange(-before, after + 1), 0, y.shape[1] - 1)
    z = np.take_along_axis(y, index, axis=1) / depth[:, None]
    peak = z[:, before:].argmax(axis=1)
    lowest = x.min(axis=1, keepdims=True)
    return Shape(
        trough_to_peak_ms=peak / FINE_KHZ,
        half_width_ms=_half_width(z, before) / FINE_KHZ,
        peak=z[:, before:].max(axis=1),
        pre_peak=z[:, :before].max(axis=1),
        wave=z[:, before + np.round(WAVE_MS * FINE_KHZ).astype(int)],
        positive=x.max(axis=1) > -lowest[:, 0],
        clipped=_longest(x == lowest) >= CLIPPED,
        after_ms=end_ms - _held(x) / rate_kHz - trough / FINE_KHZ,
    )


def _held(x: np.ndarray) -> np.ndarray:
    """Return how many samples at the end of each row are only the value before them again, (row,); 0 for a few."""
    other = x[:, ::-1] != x[:, -1:]
    run = np.where(other.any(axis=1), other.argmax(axis=1), x.shape[1])
    return np.where(run >= HELD, run - 1, 0)


def _longest(mask: np.ndarray) -> np.ndarray:
    """Return the length of the longest run of True in each row, (row,)."""
    length, found = np.zeros(len(mask), int), np.zeros(len(mask), int)
    for column in mask.T:
        length = np.where(column, length + 1, 0)
        found = np.maximum(found, length)
    return found


def _half_width(z: np.ndarray, trough: int) -> np.ndarray:
    """Return how many points around the trough are below half its depth, (row,)."""
    above = z > -0.5
    left = above[:, trough::-1].argmax(axis=1)  # 0 where it never comes up
    right = above[:, trough:].argmax(axis=1)
    left = np.where(above[:, : trough + 1].any(axis=1), left, trough)
    right = np.where(above[:, trough:].any(axis=1), right, z.shape[1] - trough)
    width: np.ndarray = left + right
    return width.astype(float)
