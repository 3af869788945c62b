"""Histograms of when a unit fires: intervals between spikes, and the autocorrelogram.

Times are samples over a rate, rounded to a float: a difference of two may fall short of the edge of a bin on which it
is. Within the rounding, a time on an edge is therefore in the bin above it, as whole samples would have it.
"""

import numpy as np
from jaxtyping import Int, Num, Shaped

ISI_EDGES_MS = np.r_[0, np.geomspace(1, 1000, 50)]  # 50 bins, of equal width in the logarithm from 1 ms on
LAG_MS, LAG_BINS = 100.0, 50
ROUNDINGS = 4  # spacings of floats: of both times, their difference and the rate, with a margin


def isi_histogram(time_ms: Num[np.ndarray, " spike"]) -> Int[np.ndarray, " bin"]:
    """Count the intervals between ascending times in `ISI_EDGES_MS`; longer ones are in no bin."""
    edges_ms = ISI_EDGES_MS - _rounding_ms(time_ms)
    edges_ms[-1] = ISI_EDGES_MS[-1] + _rounding_ms(time_ms)  # the last bin has both of its edges
    return np.histogram(np.diff(time_ms), edges_ms)[0]


def autocorrelogram(time_ms: Num[np.ndarray, " spike"]) -> Int[np.ndarray, " bin"]:
    """Count pairs of ascending times by their lag, from 0 to `LAG_MS` in `LAG_BINS` equal bins."""
    counts = np.zeros(LAG_BINS, np.int64)
    rounding_ms = _rounding_ms(time_ms)
    for apart in range(1, len(time_ms)):  # the k-th next spike of each, until all are too far away
        lag = time_ms[apart:] - time_ms[:-apart] + rounding_ms
        lag = lag[lag < LAG_MS]
        if not len(lag):
            break
        counts += np.bincount((lag * (LAG_BINS / LAG_MS)).astype(int), minlength=LAG_BINS)[:LAG_BINS]
    return counts


def _rounding_ms(time_ms: np.ndarray) -> float:
    """Return how far the rounding of times may move their differences."""
    return ROUNDINGS * float(np.spacing(np.abs(time_ms).max(initial=0)))


def histograms(
    time_ms: Num[np.ndarray, " spike"], unit: Shaped[np.ndarray, " spike"], names: Shaped[np.ndarray, " name"]
) -> tuple[Int[np.ndarray, "name bin"], Int[np.ndarray, "name bin"]]:
    """Return the histograms of intervals and of lags of the units called `names`.

    Args:
        time_ms: of the spikes of all units, in any order.
        unit: name of each spike's unit.
        names: of the units wanted.
    """
    times = [np.sort(time_ms[unit == name]) for name in names]
    empty = np.zeros((0, LAG_BINS), np.int64)
    isi, acg = (np.array([f(t) for t in times]) if times else empty for f in (isi_histogram, autocorrelogram))
    return isi, acg
