"""How good a classifier is: per cell model, over them, by class, by distance and amplitude, with intervals.

Everything counts *samples*, each once: its score is the share of its predictions (one per seed) that are
right. So every interval is about new samples, or with ``by_group`` about new cell models, for the average
network; what another training seed would change is reported apart, as a standard deviation over seeds.
"""

from typing import NamedTuple

import numpy as np

from spiketype.train.judging.intervals import (
    CONFIDENCE,
    RESAMPLES,
    Estimate,
    percentile,
    resample_means,
    resample_ratio,
    wilson,
)
from spiketype.train.tasks.eap.predictions import Predictions, Samples, samples

FEW_ERRORS = 10


class Judge(NamedTuple):
    """How intervals are made: what is resampled, how often, from which seed.

    by_group: cell models are the units, because test cell models were not trained on; else samples within
    each.
    """

    by_group: bool
    seed: int = 0
    resamples: int = RESAMPLES
    confidence: float = CONFIDENCE

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator: no number depends on which others were asked for before."""
        return np.random.default_rng(self.seed)


def group_sums(values: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums (group, ...) of values (n, ...) by group (n,), in np.unique's order, and the group sizes."""
    _, inverse, size = np.unique(group, return_inverse=True, return_counts=True)
    sums = np.zeros((len(size), *values.shape[1:]))
    np.add.at(sums, inverse, values)
    return sums, size


def pooled(values: np.ndarray, cell: np.ndarray, judge: Judge) -> Estimate:
    """Mean of values (n, ...) in 0..1 with Wilson's interval, or by group the bootstrap over cell models."""
    if not judge.by_group:
        return wilson(values.sum(axis=0), len(values), judge.confidence)
    sums, size = group_sums(values, cell)
    draws = resample_ratio(sums, size, judge.rng, judge.resamples)
    return percentile(values.mean(axis=0), draws, len(size), confidence=judge.confidence)


def per_cell(s: Samples, judge: Judge) -> tuple[np.ndarray, np.ndarray, Estimate]:
    """Table II: tested cells (cell,), their sample counts (cell,), accuracy (cell,) with Wilson's interval.

    The interval is about further placements of that very cell model, however the data were split.
    """
    sums, size = group_sums(s.score, s.cell)
    return np.unique(s.cell), size, wilson(sums, size, judge.confidence)


def _cell_draws(values: np.ndarray, cell: np.ndarray, judge: Judge) -> tuple[np.ndarray, int, int]:
    """Per-cell means (resample, cell) of resampled data; the number of units resampled, and of strata."""
    sums, size = group_sums(values, cell)
    if judge.by_group:
        drawn = judge.rng.integers(len(size), size=(judge.resamples, len(size)))
        return (sums / size)[drawn], len(size), 1
    return resample_means(values, cell, judge.rng, judge.resamples), len(values), len(size)


def _widen(estimate: Estimate, s: Samples, judge: Judge) -> Estimate:
    """Reach at least as far as Wilson's interval of all samples when hardly any is wrong (or right).

    A bootstrap of no errors has no width; below about ten errors it covers too rarely.
    """
    errors = min(np.sum(1 - s.score), np.sum(s.score))
    if judge.by_group or errors >= FEW_ERRORS:
        return estimate
    all_samples = wilson(estimate.value * len(s.score), len(s.score), judge.confidence)
    return Estimate(estimate.value, np.fmin(estimate.low, all_samples.low), np.fmax(estimate.high, all_samples.high))


def over_cells(s: Samples, judge: Judge) -> dict[str, Estimate]:
    """Table III: mean, median, sd, max and min of the accuracy over cells.

    max and min have Wilson's interval of the cell that holds them: resampling an extreme is biased. So is
    the sd (sampling noise adds to it twice), hence its reversed ("basic") interval, which takes that bias
    off.
    """
    _, _, cells = per_cell(s, judge)
    draws, units, strata = _cell_draws(s.score, s.cell, judge)

    def interval(value: float, drawn: np.ndarray) -> Estimate:
        return percentile(value, drawn, units, strata, judge.confidence)

    if len(cells.value) > 1:
        spread = np.std(cells.value, ddof=1)
        sd = interval(spread, np.std(draws, axis=1, ddof=1))
        sd = Estimate(spread, np.maximum(0, 2 * spread - sd.high), np.maximum(0, 2 * spread - sd.low))
    else:
        sd = Estimate(np.nan, np.nan, np.nan)
    best, worst = np.argmax(cells.value), np.argmin(cells.value)
    return {
        "mean": _widen(interval(np.mean(cells.value), np.mean(draws, axis=1)), s, judge),
        "median": _widen(interval(np.median(cells.value), np.median(draws, axis=1)), s, judge),
        "sd": sd,
        "max": Estimate(*(end[best] for end in cells)),
        "min": Estimate(*(end[worst] for end in cells)),
    }


def balanced_accuracy(s: Samples, judge: Judge) -> Estimate:
    """Mean recall of the classes present; by group no interval where a class has a single cell model."""
    classes = np.unique(s.label)
    recall = [s.score[s.label == c].mean() for c in classes]
    if not judge.by_group:
        draws = resample_means(s.score, s.label, judge.rng, judge.resamples)
        return _widen(
            percentile(np.mean(recall), draws.mean(axis=1), len(s.score), len(classes), judge.confidence),
            s,
            judge,
        )
    rng = judge.rng
    sums = [group_sums(s.score[s.label == c], s.cell[s.label == c]) for c in classes]
    if min(len(size) for _, size in sums) < 2:
        return Estimate(np.mean(recall), np.nan, np.nan)
    draws = np.stack([resample_ratio(*each, rng, judge.resamples) for each in sums])
    units = sum(len(size) for _, size in sums)
    return percentile(np.mean(recall), draws.mean(axis=0), units, len(classes), judge.confidence)


def confusion(s: Samples, judge: Judge) -> tuple[np.ndarray, Estimate]:
    """Fig. 4: samples per true class (class,), shares (true, predicted) of rows; NaN for absent classes."""
    classes = s.votes.shape[1]
    size = np.bincount(s.label, minlength=classes)
    blank = Estimate(*np.full((3, classes), np.nan))
    rows = [pooled(s.votes[s.label == c], s.cell[s.label == c], judge) if size[c] else blank for c in range(classes)]
    return size, Estimate(*(np.stack(ends) for ends in zip(*rows, strict=True)))


class Curve(NamedTuple):
    """Accuracy in bins: edges (bin + 1,), sample counts (bin,), accuracy (bin,) with intervals."""

    edges: np.ndarray
    samples: np.ndarray
    accuracy: Estimate


def accuracy_against(s: Samples, x: np.ndarray, judge: Judge, bins: int = 10) -> Curve:
    """Accuracy in bins of x (n,) that hold about equally many samples; ties in x may leave fewer bins."""
    edges = np.unique(np.quantile(x, np.linspace(0, 1, bins + 1)))
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
    count = np.bincount(place, minlength=len(edges) - 1)
    estimates = [pooled(s.score[place == b], s.cell[place == b], judge) for b in range(len(count))]
    return Curve(edges, count, Estimate(*(np.stack(ends) for ends in zip(*estimates, strict=True))))


def sd_over_seeds(predictions: Predictions) -> float:
    """Standard deviation over training seeds of the mean accuracy over cells; NaN for a single seed."""
    p = predictions
    right = np.argmax(p.probability, axis=1) == p.label

    def mean_over_cells(rows: np.ndarray) -> float:
        sums, size = group_sums(right[rows].astype(float), p.cell[rows])
        return float(np.mean(sums / size))

    each = [mean_over_cells(p.seed == seed) for seed in np.unique(p.seed)]
    return float(np.std(each, ddof=1)) if len(each) > 1 else float("nan")


def difference(ours: Predictions, theirs: Predictions, judge: Judge) -> Estimate:
    """Mean over cells of our accuracy minus theirs, paired: both are right or wrong about the same samples.

    Raises ValueError unless both hold the same samples with the same labels (any number of seeds each).
    """
    a, b = samples(ours), samples(theirs)
    if not (np.array_equal(a.index, b.index) and np.array_equal(a.label, b.label)):
        raise ValueError(f"difference: expected the same samples, got {len(a.index)} and {len(b.index)} that differ")
    draws, units, strata = _cell_draws(a.score - b.score, a.cell, judge)
    sums, size = group_sums(a.score - b.score, a.cell)
    return percentile(np.mean(sums / size), draws.mean(axis=1), units, strata, judge.confidence)
