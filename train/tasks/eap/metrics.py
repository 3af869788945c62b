"""How good a classifier of EAPs is: per cell model, over them, by class, by distance and amplitude, with intervals.

Everything counts *samples*, each once: its score is the share of its predictions (one per seed) that are
right. So every interval is about new samples, or with ``by_group`` about new cell models, for the average
network; what another training seed would change is reported apart, as a standard deviation over seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from spiketype.edge import Json
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.intervals import (
    CONFIDENCE,
    RESAMPLES,
    Estimate,
    percentile,
    plain,
    resample_means,
    resample_ratio,
    wilson,
)
from spiketype.train.judging.metrics import top_calibration_error

FEW_ERRORS = 10
DISTANCE, AMPLITUDE = "distance_um", "amplitude_uV"  # what `Calls.measured` has of EAPs


@dataclass(frozen=True)
class Samples:
    """Calls with their repeats (seeds) averaged.

    Attributes:
        label, cell: of each sample.
        votes: share of a sample's repeats that call each class.
        score: share that is right.
    """

    label: Int[np.ndarray, " row"]
    cell: Int[np.ndarray, " row"]
    votes: Float[np.ndarray, "row class"]
    score: Float[np.ndarray, " row"]


def samples(calls: Calls) -> Samples:
    """Return the calls of each sample averaged over repeats."""
    classes = np.arange(len(calls.class_names))
    votes = np.mean([p.argmax(axis=1)[:, None] == classes for p in calls.probability], axis=0)
    return Samples(calls.label, calls.group, votes, votes[np.arange(len(votes)), calls.label])


class Resampling(NamedTuple):
    """How intervals are made: what is resampled, how often, from which seed.

    by_group: cell models are the units, because test cell models were not trained on; else samples within
    each.
    """

    by_group: bool
    seed: int = 0
    resamples: int = RESAMPLES

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator: no number depends on which others were asked for before."""
        return np.random.default_rng(self.seed)


def group_sums(values: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sums (group, ...) of values (n, ...) by group (n,), in np.unique's order, and the group sizes."""
    _, inverse, size = np.unique(group, return_inverse=True, return_counts=True)
    sums = np.zeros((len(size), *values.shape[1:]))
    np.add.at(sums, inverse, values)
    return sums, size


def group_means(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return means (group,) of values (n,) by group (n,), in np.unique's order."""
    sums, size = group_sums(values, group)
    return np.asarray(sums / size)


def pooled(values: np.ndarray, cell: np.ndarray, how: Resampling) -> Estimate:
    """Return the mean of values (n, ...) in 0..1 with Wilson's interval, or by group the bootstrap over cell models.

    No values give NaN.
    """
    if not how.by_group or not len(values):
        return wilson(values.sum(axis=0), len(values))
    sums, size = group_sums(values, cell)
    draws = resample_ratio(sums, size, how.rng, how.resamples)
    return percentile(values.mean(axis=0), draws, len(size))


def per_cell(s: Samples, how: Resampling) -> tuple[np.ndarray, np.ndarray, Estimate]:
    """Return Table II: tested cells (cell,), their sample counts (cell,), accuracy (cell,) with Wilson's interval.

    The interval is about further placements of that very cell model, however the data were split.
    """
    sums, size = group_sums(s.score, s.cell)
    return np.unique(s.cell), size, wilson(sums, size)


def _cell_draws(values: np.ndarray, cell: np.ndarray, how: Resampling) -> tuple[np.ndarray, int, int]:
    """Return per-cell means (resample, cell) of resampled data; the number of units resampled, and of strata."""
    means = group_means(values, cell)
    cells = len(means)
    if how.by_group:
        return means[how.rng.integers(cells, size=(how.resamples, cells))], cells, 1
    return resample_means(values, cell, how.rng, how.resamples), len(values), cells


def _widen(estimate: Estimate, s: Samples, how: Resampling) -> Estimate:
    """Widen to reach at least as far as Wilson's interval when hardly any sample is wrong (or right).

    A bootstrap of no errors has no width; below about ten errors it covers too rarely. Wilson's is that of as many
    units as the result generalises to: samples, or by group cell models, of which one tells nothing of others.
    """
    errors = min(np.sum(1 - s.score), np.sum(s.score))
    if errors >= FEW_ERRORS or (how.by_group and np.isnan(estimate.low)):
        return estimate
    units = len(np.unique(s.cell)) if how.by_group else len(s.score)
    least = wilson(estimate.value * units, units)
    return Estimate(estimate.value, np.fmin(estimate.low, least.low), np.fmax(estimate.high, least.high))


def over_cells(s: Samples, how: Resampling) -> dict[str, Estimate]:
    """Return Table III: mean, median, sd, max and min of the accuracy over cells.

    max and min have Wilson's interval of the cell that holds them: resampling an extreme is biased. So is
    the sd (sampling noise adds to it twice), hence its reversed ("basic") interval, which takes that bias
    off.
    """
    _, _, cells = per_cell(s, how)
    draws, units, strata = _cell_draws(s.score, s.cell, how)

    def interval(value: float, drawn: np.ndarray) -> Estimate:
        return percentile(value, drawn, units, strata)

    sd = Estimate(np.nan, np.nan, np.nan)
    if len(cells.value) > 1:
        spread, low, high = interval(np.std(cells.value, ddof=1), np.std(draws, axis=1, ddof=1))
        sd = Estimate(spread, np.maximum(0, 2 * spread - high), np.maximum(0, 2 * spread - low))
    return {
        "mean": _widen(interval(np.mean(cells.value), np.mean(draws, axis=1)), s, how),
        "median": _widen(interval(np.median(cells.value), np.median(draws, axis=1)), s, how),
        "sd": sd,
        "max": cells.at(np.argmax(cells.value)),
        "min": cells.at(np.argmin(cells.value)),
    }


def balanced_accuracy(s: Samples, how: Resampling) -> Estimate:
    """Return the mean recall of the classes present; by group no interval where a class has a single cell model."""
    classes = np.unique(s.label)
    recall = np.mean([s.score[s.label == c].mean() for c in classes])
    if not how.by_group:
        draws = resample_means(s.score, s.label, how.rng, how.resamples)
        found = percentile(recall, draws.mean(axis=1), len(s.score), len(classes))
        return _widen(found, s, how)
    rng = how.rng
    sums = [group_sums(s.score[s.label == c], s.cell[s.label == c]) for c in classes]
    if min(len(size) for _, size in sums) < 2:
        return Estimate(recall, np.nan, np.nan)
    draws = np.stack([resample_ratio(*each, rng, how.resamples) for each in sums])
    units = sum(len(size) for _, size in sums)
    return _widen(percentile(recall, draws.mean(axis=0), units, len(classes)), s, how)


def confusion(s: Samples, how: Resampling) -> tuple[np.ndarray, Estimate]:
    """Return Fig. 4: samples per true class (class,), shares (true, predicted) of rows; NaN for absent classes."""
    classes = s.votes.shape[1]
    size = np.bincount(s.label, minlength=classes)
    rows = [pooled(s.votes[s.label == c], s.cell[s.label == c], how) for c in range(classes)]
    return size, Estimate.stack(rows)


def accuracy_against(s: Samples, x: np.ndarray, how: Resampling, unit: str, bins: int = 10) -> list[Json]:
    """Return the accuracy in bins of x (n,) that hold about equally many samples.

    There are fewer bins where x has ties, or fewer values than bins: quantiles lie between samples, too.
    """
    edges = np.unique(np.quantile(x, np.linspace(0, 1, bins + 1)))
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
    return [
        {
            f"from_{unit}": float(edges[b]),
            f"to_{unit}": float(edges[b + 1]),
            "samples": int(np.sum(place == b)),
            "accuracy_percent": pooled(s.score[place == b], s.cell[place == b], how).to_json(100),
        }
        for b in np.unique(place).tolist()
    ]


def sd_over_seeds(calls: Calls) -> float:
    """Return the standard deviation over training seeds of the mean accuracy over cells; NaN for a single seed."""
    right = [(p.argmax(axis=1) == calls.label).astype(float) for p in calls.probability]
    each = [float(np.mean(group_means(r, calls.group))) for r in right]
    return float(np.std(each, ddof=1)) if len(each) > 1 else float("nan")


def difference(ours: Calls, theirs: Calls, how: Resampling) -> Estimate:
    """Return the mean over cells of our accuracy minus theirs, paired: both are right or wrong about the same samples.

    Raises:
        ValueError: they call different samples.
    """
    a, b = samples(ours), samples(theirs)
    if ours.row_names != theirs.row_names or not np.array_equal(a.label, b.label):
        raise ValueError(f"difference: expected the same samples, got {len(a.label)} and {len(b.label)} that differ")
    gap = a.score - b.score
    draws, units, strata = _cell_draws(gap, a.cell, how)
    return percentile(np.mean(group_means(gap, a.cell)), draws.mean(axis=1), units, strata)


def header(cell: Int[np.ndarray, " row"], seeds: int, folds: int, how: Resampling, split: str) -> Json:
    """Return what a summary says of the test itself."""
    return {
        "split": split,
        "optimistic": not how.by_group,
        "confidence": CONFIDENCE,
        "resampled": "cell models" if how.by_group else "samples",
        "samples": len(cell),
        "cells": len(np.unique(cell)),
        "seeds": seeds,
        "folds": folds,
    }


def summary(
    calls: Calls,
    cell_names: tuple[str, ...],
    how: Resampling,
    split: str,
    folds: int,
    baselines: Mapping[str, Calls] | None = None,
) -> Json:
    """Return everything that this module says of a classifier, as JSON.

    Args:
        calls: of the tested samples; `DISTANCE` and `AMPLITUDE` are measured.
        cell_names: of the groups.
        how: what is redrawn; where it is samples, the result is marked optimistic.
        split: its name, for titles.
        folds: their number.
        baselines: others' calls of the same samples, compared in pairs.
    """
    s = samples(calls)
    cells, sizes, accuracy = per_cell(s, how)
    statistics = {name: estimate.to_json(100) for name, estimate in over_cells(s, how).items()}
    statistics["max"]["cell"] = cell_names[cells[np.argmax(accuracy.value)]]
    statistics["min"]["cell"] = cell_names[cells[np.argmin(accuracy.value)]]
    labels = [int(s.label[s.cell == cell][0]) for cell in cells]
    size, shares = confusion(s, how)
    return header(calls.group, len(calls.probability), folds, how, split) | {
        "over_cells_percent": statistics,
        "balanced_accuracy_percent": balanced_accuracy(s, how).to_json(100),
        "sd_over_seeds_percent": plain(sd_over_seeds(calls), 100),
        "top_calibration_error": calls.value(top_calibration_error),
        "per_cell": [
            {"cell": cell_names[cell], "class": calls.class_names[label], "samples": int(n)}
            | {"accuracy_percent": accuracy.at(row).to_json(100)}
            for row, (cell, label, n) in enumerate(zip(cells, labels, sizes, strict=True))
        ],
        "confusion": {
            "rows": "true",
            "columns": "predicted",
            "class_names": list(calls.class_names),
            "samples": size.tolist(),
            "percent": shares.to_json(100),
        },
        "against_distance": accuracy_against(s, calls.measured[DISTANCE], how, "um"),
        "against_amplitude": accuracy_against(s, calls.measured[AMPLITUDE], how, "uV"),
        "baselines": {
            name: {
                "over_cells_percent": {"mean": over_cells(samples(other), how)["mean"].to_json(100)},
                "balanced_accuracy_percent": balanced_accuracy(samples(other), how).to_json(100),
                "ours_minus_this_percent": difference(calls, other, how).to_json(100),
            }
            for name, other in (baselines or {}).items()
        },
    }
