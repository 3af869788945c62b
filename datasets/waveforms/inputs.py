"""What a model sees of a table of waveforms: one rate, one window around the trough, one scale; nothing is fitted."""

from fractions import Fraction
from typing import Literal

import numpy as np
from scipy.signal import resample_poly

from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.edge import UserError

Normalise = Literal["amplitude", "zscore", "none"]


def inputs(
    table: WaveformTable,
    rate_kHz: float | None = None,
    window_ms: tuple[float, float] | None = None,
    channels: Literal["all", "largest"] = "all",
    normalise: Normalise = "amplitude",
) -> np.ndarray:
    """Waveforms (row, channel, time) float32, the same whatever other rows a table has.

    Args:
        table: the waveforms.
        rate_kHz: resample to this rate (polyphase, with an antialiasing filter); by default the table's.
        window_ms: cut from so long before the trough of the largest channel to so long after it; where a recording
            ends earlier, its last value is held. By default waveforms stay as long, and where, they are.
        channels: all, in recorded order, or the one with the largest peak-to-peak amplitude.
        normalise: ``amplitude``: over the peak-to-peak amplitude of the largest channel. ``zscore``: mean 0 and
            standard deviation 1 over the channels and times of a row. ``none``: in the table's units.

    Raises:
        UserError: a rate or a window that is none.
    """
    x = table.waveform
    if channels == "largest":
        x = x[np.arange(len(x)), np.ptp(x, axis=2).argmax(axis=1)][:, None]
    rate = table.rate_kHz if rate_kHz is None else rate_kHz
    if not rate > 0:
        raise UserError(f"{rate} kHz is no sampling rate: it must be positive")
    x = resample(x, table.rate_kHz, rate)
    if window_ms is not None:
        x = around_trough(x, round(window_ms[0] * rate), round(window_ms[1] * rate))
    return scale(x, normalise).astype(np.float32)


def resample(x: np.ndarray, from_kHz: float, to_kHz: float) -> np.ndarray:
    """Waveforms (row, channel, time) at another rate; their ends are continued by a line while filtering."""
    ratio = Fraction(to_kHz / from_kHz).limit_denominator(1000)
    if ratio == 1:
        return x
    return resample_poly(x, ratio.numerator, ratio.denominator, axis=2, padtype="line")


def around_trough(x: np.ndarray, before: int, after: int) -> np.ndarray:
    """`before` + `after` samples of all channels (row, channel, time) around the trough of the largest channel.

    Raises:
        UserError: fewer than three samples.
    """
    if before < 0 or before + after < 3:
        raise UserError(f"a window of {before} samples before and {after} after the trough is too short: 3 are least")
    largest = np.ptp(x, axis=2).argmax(axis=1)
    trough = x[np.arange(len(x)), largest].argmin(axis=1)
    time = np.clip(trough[:, None] + np.arange(-before, after), 0, x.shape[2] - 1)
    return np.take_along_axis(x, time[:, None, :], axis=2)


def scale(x: np.ndarray, normalise: Normalise) -> np.ndarray:
    """Waveforms (row, channel, time) over their own amplitude or standard deviation, or as they are."""
    if normalise == "none":
        return x
    if normalise == "amplitude":
        return x / np.ptp(x, axis=2).max(axis=1)[:, None, None]
    return (x - x.mean(axis=(1, 2), keepdims=True)) / x.std(axis=(1, 2), keepdims=True)


def histograms(table: WaveformTable) -> np.ndarray:
    """What a table's histograms say, (row, feature) float32; no features where it has none.

    Of intervals and of the autocorrelogram: the share of counts up to each bin but the last, which moves less than a
    bin's own share when a count falls into its neighbour, and ln(1 + counts).
    """
    found = [np.zeros((len(table.waveform), 0))]
    for counts in (table.isi, table.autocorrelogram):
        if counts is not None:
            total = counts.sum(axis=1, keepdims=True)
            found += [np.cumsum(counts, axis=1)[:, :-1] / np.maximum(total, 1), np.log1p(total)]
    return np.concatenate(found, axis=1).astype(np.float32)
