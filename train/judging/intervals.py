"""Intervals: Wilson's for a proportion, the bootstrap over samples or over groups of them for the rest.

The unit that is resampled is the unit to which a result is meant to generalise: the sample when train and
test share their cell models, the cell model when they do not. Networks trained from several seeds see the
same test samples, so they never multiply the number of units.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from spiketype.edge import Json

RESAMPLES = 2000
CONFIDENCE = 0.95
UNDEFINED = 0.05  # share of resamples without a value, up to which the others are an interval


class Estimate(NamedTuple):
    """A number, or an array of them, with the ends of its interval; NaN ends where the data cannot tell."""

    value: Any
    low: Any
    high: Any

    def to_json(self, factor: float = 1.0) -> Json:
        """Return value, low and high times a factor (100: in percent) as plain numbers; None for NaN."""
        return {end: plain(values, factor) for end, values in self._asdict().items()}

    def at(self, index: Any) -> "Estimate":
        """Return that entry, or those entries, of an array of estimates."""
        return Estimate(*(end[index] for end in self))

    @classmethod
    def stack(cls, each: "Sequence[Estimate]") -> "Estimate":
        """Return estimates as one array of them."""
        return cls(*map(np.stack, zip(*each, strict=True)))

    def within(self, least: float, most: float) -> "Estimate":
        """Return the estimate with an interval that ends where the measure ends."""
        return Estimate(self.value, *np.clip([self.low, self.high], least, most))


def plain(values: ArrayLike, factor: float = 1.0) -> Any:
    """Return a number, or an array as nested lists of numbers, times a factor; None for NaN, which JSON lacks."""
    array = np.asarray(values, float)
    if array.ndim:
        return [plain(each, factor) for each in array]
    number = float(array) * factor
    return number if np.isfinite(number) else None


def wilson(successes: ArrayLike, trials: ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    """Return Wilson's score interval of a proportion (J. Am. Stat. Assoc. 22, 1927, 209), elementwise.

    With p = successes / trials and z the normal quantile:
    (p + z^2/2n -+ z sqrt(p(1 - p)/n + z^2/4n^2)) / (1 + z^2/n).

    successes may be fractional: a sample that three networks of four name correctly counts 0.75 of one trial.
    No trials give NaN. Raises ValueError where successes are outside 0..trials.
    """
    successes, n = np.broadcast_arrays(np.asarray(successes, float), np.asarray(trials, float))
    if np.any(successes < -1e-9) or np.any(successes > n + 1e-9):
        raise ValueError("wilson: expected 0 <= successes <= trials")
    n = np.where(n > 0, n, np.nan)
    p = np.clip(successes / n, 0, 1)
    z = stats.norm.ppf((1 + confidence) / 2)
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return Estimate(p, np.clip(centre - half, 0, p), np.clip(centre + half, p, 1))


def percentile(
    value: ArrayLike,
    draws: np.ndarray,
    units: int,
    strata: int = 1,
    confidence: float = CONFIDENCE,
    undefined: float = UNDEFINED,
) -> Estimate:
    """Return the expanded percentile interval of bootstrap draws (resample, ...) around the observed value (...).

    Plain percentiles of n units are too narrow by sqrt((n - 1)/n) and ignore Student's t, which matters for
    13 cell models; the tails are widened to Phi(sqrt(n/(n - 1)) t) (Hesterberg, Am. Stat. 69, 2015, 371,
    section 3.3). The interval reaches to the value: a calibration error, which noise can but raise, may be less than
    that of nearly all resamples. Fewer than two units per stratum tell nothing of their spread: the ends are NaN. So
    they are where more than the share `undefined` of the draws are NaN: those that are left are a biased choice.
    """
    freedom = units - strata
    if freedom < 1:
        return Estimate(value, np.full_like(value, np.nan, float), np.full_like(value, np.nan, float))
    tail = stats.norm.cdf(np.sqrt(units / freedom) * stats.t.ppf((1 - confidence) / 2, freedom))
    missing = np.isnan(draws)
    if not missing.any():
        low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    else:
        enough = missing.mean(axis=0) <= undefined
        found = np.nanquantile(np.where(enough, draws, 0.0), [tail, 1 - tail], axis=0)
        low, high = np.where(enough, found, np.nan)
    return Estimate(value, np.minimum(low, value), np.maximum(high, value))


def resample_means(values: np.ndarray, stratum: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Return the means of each stratum when its samples are redrawn: (resample, stratum), strata in sorted order.

    values (n,), stratum (n,). Samples of equal value are drawn together as one multinomial count, so that
    correct or wrong over a million samples costs as much as over a hundred.
    """
    columns = []
    for name in np.unique(stratum):
        kinds, counts = np.unique(values[stratum == name], return_counts=True)
        drawn = rng.multinomial(counts.sum(), counts / counts.sum(), size=resamples)
        columns.append(drawn @ kinds / counts.sum())
    return np.stack(columns, axis=1)


def resample_ratio(
    numerator: np.ndarray, denominator: np.ndarray, rng: np.random.Generator, resamples: int
) -> np.ndarray:
    """Return ratios (resample, ...) of sums of numerator (group, ...) and denominator (group,), groups redrawn."""
    groups = len(denominator)
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    total = (drawn @ denominator).reshape(-1, *[1] * (numerator.ndim - 1))
    return np.asarray(np.tensordot(drawn, numerator, axes=1) / total)


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray | np.floating],
    unit: np.ndarray,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    undefined: float = UNDEFINED,
) -> Estimate:
    """Return any statistic of rows, resampled by unit: rows that share a unit (n,) are drawn together.

    statistic takes row numbers, with repetitions, and returns an array, NaN where it has no value; `undefined` is as of
    `percentile`.
    """
    names, inverse = np.unique(unit, return_inverse=True)
    rows = np.arange(len(unit))

    def draw() -> np.ndarray | np.floating:
        counts = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        return statistic(np.repeat(rows, counts[inverse]))

    draws = np.stack([draw() for _ in range(resamples)])
    return percentile(statistic(rows), draws, units=len(names), confidence=confidence, undefined=undefined)


def over_seeds(values: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
    """Return the mean of values (seed,) with Student's t interval over seeds; NaN ends for one."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, np.nan, np.nan)
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)
