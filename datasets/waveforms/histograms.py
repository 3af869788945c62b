"""Histograms of when a unit fires: intervals between spikes, and the autocorrelogram.

Times are samples over a rate, rounded to a float: a difference of two may fall short of the edge of a bin on which it
is. Within the rounding, a time on an edge is therefore in the bin above it, as whole samples would have it.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Int, Num, Shaped

from spiketype.edge import UserError

ISI_EDGES_MS = np.r_[0, np.geomspace(1, 1000, 50)]  # 50 bins, of equal width in the logarithm from 1 ms on
LAG_MS, LAG_BINS = 100.0, 50
MOST_PAIRS = 8  # a spike that are formed: of cells that fire up to 80 times a second
ROUNDINGS = 4  # spacings of floats: of both times, their difference and the rate, with a margin
MOST_HZ, USUAL_HZ = 1000.0, 5.0  # mean rates: no neuron fires faster than the first, many about as fast as the second
SPIKES_TO_JUDGE = 100  # of a unit: fewer may be a moment's burst
YEAR_MS = 3.156e10
LATEST_MS = 100 * YEAR_MS  # that a spike may be from time zero, such as 1970: much larger floats tell no lags apart
MS_OF = {"seconds": 1000.0, "milliseconds": 1.0, "microseconds": 1e-3}


def isi_histogram(time_ms: Num[np.ndarray, " spike"]) -> Int[np.ndarray, " bin"]:
    """Count the intervals between ascending times in `ISI_EDGES_MS`; longer ones are in no bin."""
    edges_ms = ISI_EDGES_MS - _rounding_ms(time_ms)
    edges_ms[-1] = ISI_EDGES_MS[-1] + _rounding_ms(time_ms)  # the last bin has both of its edges
    return np.histogram(np.diff(time_ms), edges_ms)[0]


def autocorrelogram(time_ms: Num[np.ndarray, " spike"]) -> Int[np.ndarray, " bin"]:
    """Count pairs of ascending times by their lag, from 0 to `LAG_MS` in `LAG_BINS` equal bins.

    Pairs are formed where they are few. Else those below an edge are counted without forming them, by where each time
    plus the edge is among the times: that work grows with the spikes, not with the pairs, however dense they are.
    """
    edges_ms = np.arange(1, LAG_BINS + 1) * (LAG_MS / LAG_BINS) - _rounding_ms(time_ms)
    itself_and_earlier = np.arange(1, len(time_ms) + 1)
    later = np.searchsorted(time_ms, time_ms + edges_ms[-1]) - itself_and_earlier
    pairs = int(later.sum())
    if pairs <= MOST_PAIRS * len(time_ms):
        first = np.repeat(np.arange(len(time_ms)), later)
        second = first + 1 + np.arange(pairs) - np.repeat(np.cumsum(later) - later, later)
        of_pair = np.searchsorted(edges_ms, time_ms[second] - time_ms[first], side="right")
        return np.bincount(np.minimum(of_pair, LAG_BINS - 1), minlength=LAG_BINS)
    below = [np.sum(np.searchsorted(time_ms, time_ms + edge) - itself_and_earlier) for edge in edges_ms]
    return np.diff(np.array(below, np.int64), prepend=0)


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
    values, of_spike = np.unique(unit, return_inverse=True)
    order = np.argsort(of_spike.astype(np.min_scalar_type(len(values))), kind="stable")  # quick for a narrow type
    ends = np.cumsum(np.bincount(of_spike, minlength=len(values)))
    every = dict(zip(values.tolist(), np.split(time_ms[order], ends[:-1]), strict=True)) if len(values) else {}
    times = [np.sort(every.get(name, time_ms[:0])) for name in names.tolist()]
    empty = np.zeros((0, LAG_BINS), np.int64)
    isi, acg = (np.array([f(t) for t in times]) if times else empty for f in (isi_histogram, autocorrelogram))
    return isi, acg


def check_times(where: Path, time_ms: Num[np.ndarray, " spike"]) -> None:
    """Refuse times of spikes that no recording has.

    Raises:
        UserError: it names the file, and the years.
    """
    latest_ms = float(np.abs(time_ms).max(initial=0))
    if latest_ms > LATEST_MS:
        raise UserError(
            f"{where}: a spike is {latest_ms / YEAR_MS:.3g} years from the recording's start: it is damaged, export it"
            " again"
        )


def check_samples(
    where: Path, sample: Num[np.ndarray, " spike"], unit: Shaped[np.ndarray, " spike"], rate_Hz: float
) -> None:
    """Refuse times of spikes that cannot be numbers of samples.

    Args:
        where: the file, for the message.
        sample: of the spikes of all units, in any order.
        unit: of each spike.
        rate_Hz: of the recording.

    Raises:
        UserError: a number is negative, no whole one, or too large, or a unit fires faster than `MOST_HZ`; it says
            which unit of time the numbers are likely in.
    """
    if not len(sample):
        return
    check_times(where, sample * (1000 / rate_Hz))
    strange = sample[(sample < 0) | (sample != np.round(sample))]
    counts = np.unique(unit, return_counts=True)[1]
    span_ms = float(sample.max() - sample.min()) * (1000 / rate_Hz)
    fastest_Hz = _rate_Hz(int(counts.max()), span_ms)
    too_fast = counts.max() >= SPIKES_TO_JUDGE and fastest_Hz > MOST_HZ
    if not len(strange) and not too_fast:
        return
    what = f"one of them is {strange[0]:g}" if len(strange) else f"a unit would fire {fastest_Hz:.3g} times a second"
    remedy = "export it again, as the numbers of samples"
    if sample.min() >= 0 and span_ms:
        median = int(np.median(counts))
        rates_Hz = {name: _rate_Hz(median, span_ms * rate_Hz / 1000 * ms) for name, ms in MS_OF.items()}
        likely = min(rates_Hz, key=lambda name: abs(np.log(rates_Hz[name] / USUAL_HZ)))
        remedy = f"they are likely {likely}, so multiply them by {rate_Hz * MS_OF[likely] / 1000:g} and round"
    raise UserError(f"{where} must hold numbers of samples at {rate_Hz:g} Hz, but {what}: {remedy}")


def _rate_Hz(spikes: int, span_ms: float) -> float:
    return 1000 * spikes / span_ms if span_ms else np.inf
