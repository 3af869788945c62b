"""Inputs of a model, from a table of waveforms: one rate, a window around the trough, one scale; nothing is fitted."""

from fractions import Fraction
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy.signal import resample_poly

from spiketype.datasets.options import Normalise
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.edge import UserError


def inputs(
    table: WaveformTable,
    rate_kHz: float | None = None,
    window_ms: tuple[float, float] | None = None,
    channels: Literal["all", "largest"] = "all",
    normalise: Normalise = "amplitude",
    hold: bool = True,
) -> Float32[np.ndarray, "row channel time"]:
    """Return waveforms that depend on no other row of the table.

    Args:
        table: the waveforms.
        rate_kHz: resample to this rate (polyphase, with an antialiasing filter); by default the table's.
        window_ms: cut from so long before the trough of the largest channel to so long after it; by default waveforms
            are not cut or moved.
        channels: all, in recorded order, or the one with the largest peak-to-peak amplitude.
        normalise: ``amplitude``: divide by the peak-to-peak amplitude of the largest channel. ``zscore``: mean 0 and
            standard deviation 1 over the channels and times of a row. ``none``: in the table's units.
        hold: beyond the ends of a waveform, its first or last value is held; else NaN stands there.

    Raises:
        UserError: a rate that is not positive, or a window of fewer than three samples.
    """
    x = table.waveform
    if channels == "largest":
        x = x[np.arange(len(x)), np.ptp(x, axis=2).argmax(axis=1)][:, None]
    rate = table.rate_kHz if rate_kHz is None else rate_kHz
    if not rate > 0:
        raise UserError(f"{rate} kHz is not a sampling rate: it must be positive")
    x = resample(x, table.rate_kHz, rate)
    if window_ms is None:
        return scale(x, normalise).astype(np.float32)
    time = around_trough(x, round(window_ms[0] * rate), round(window_ms[1] * rate))
    inside = np.clip(time, 0, x.shape[2] - 1)
    cut = scale(np.take_along_axis(x, inside[:, None], axis=2), normalise)
    return np.where((hold | (inside == time))[:, None], cut, np.nan).astype(np.float32)


def resample(
    x: Float[np.ndarray, "row channel time"], from_kHz: float, to_kHz: float
) -> Float[np.ndarray, "row channel new_time"]:
    """Bring waveforms to another rate; their ends are continued by a line while filtering."""
    ratio = Fraction(to_kHz / from_kHz).limit_denominator(1000)
    if ratio == 1:
        return x
    found: np.ndarray = resample_poly(x, ratio.numerator, ratio.denominator, axis=2, padtype="line")
    return found


def around_trough(x: Float[np.ndarray, "row channel time"], before: int, after: int) -> Int[np.ndarray, "row window"]:
    """Return the numbers of `before` + `after` samples around the trough of the largest channel, of each row.

    Those below zero, and from the number of samples on, are beyond the waveform.

    Raises:
        UserError: fewer than three samples.
    """
    if before < 0 or before + after < 3:
        raise UserError(
            f"a window of {before} samples before and {after} after the trough is too short: at least 3 are needed"
        )
    largest = np.ptp(x, axis=2).argmax(axis=1)
    trough = x[np.arange(len(x)), largest].argmin(axis=1)
    return np.asarray(trough[:, None] + np.arange(-before, after))


def scale(x: Float[np.ndarray, "row channel time"], normalise: Normalise) -> Float[np.ndarray, "row channel time"]:
    """Divide waveforms by their own amplitude, or bring them to mean 0 and standard deviation 1, or leave them."""
    if normalise == "none":
        return x
    found: np.ndarray
    if normalise == "amplitude":
        found = x / np.ptp(x, axis=2).max(axis=1)[:, None, None]
    else:
        found = (x - x.mean(axis=(1, 2), keepdims=True)) / x.std(axis=(1, 2), keepdims=True)
    return found


def histograms(table: WaveformTable) -> Float32[np.ndarray, "row feature"]:
    """Return features of a table's histograms; no features where it has none.

    Of the intervals and of the autocorrelogram each: the share of counts up to each bin but the last, which changes
    less than a bin's own share when a count falls into the neighbouring bin, and ln(1 + the sum of counts).
    """
    found = [np.zeros((len(table.waveform), 0))]
    for counts in (table.isi, table.autocorrelogram):
        if counts is not None:
            total = counts.sum(axis=1, keepdims=True)
            found += [np.cumsum(counts, axis=1)[:, :-1] / np.maximum(total, 1), np.log1p(total)]
    return np.concatenate(found, axis=1).astype(np.float32)
