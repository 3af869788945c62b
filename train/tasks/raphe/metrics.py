"""How good calls of cells are: true rates, predictive values, ranking, calibration, each with an interval.

Cells of one day resemble each other, so days are what the bootstrap redraws; where that gives no width, because no
cell or nearly none is wrong, Wilson's interval over cells is reached at least. Where days tell nothing of their spread,
because there is one, or many a resample of them lacks the cells that a rate is of, no interval is given.
"""

import numpy as np
from jaxtyping import Int

from spiketype.edge import Json
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.intervals import Estimate, bootstrap, wilson
from spiketype.train.judging.metrics import auc, top_calibration_error

RESAMPLES, DRAWS = 1000, 200
RATES = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "typical_sensitivity", "atypical_sensitivity")


def rates(calls: Calls, atypical: Int[np.ndarray, " cell"], seed: int) -> Json:
    """Return all measures: `RATES` in percent, AUC and calibration error from 0 to 1, and counts (true, called).

    Args:
        calls: of cells, grouped by day; the second class is positive.
        atypical: 1 for a cell that is positive and atypical, 0 for others.
        seed: of the bootstrap.
    """
    label, probability = calls.label, calls.probability[0]
    parts = _parts(label, probability.argmax(axis=1), atypical)

    def statistic(rows: np.ndarray) -> np.ndarray:
        shares = [_ratio(right[rows], part[rows]) for right, part in parts]
        y, p = label[rows], probability[rows]
        return np.array([*shares, auc(y, p[:, 1]), top_calibration_error(y, p)])

    found = bootstrap(statistic, calls.group, np.random.default_rng(seed), RESAMPLES)
    result: Json = {"cells": len(label)}
    for k, (name, (right, part)) in enumerate(zip(RATES, parts, strict=True)):
        ours, least = found.at(k), wilson((right * part).sum(), part.sum())
        widened = Estimate(ours.value, np.minimum(ours.low, least.low), np.maximum(ours.high, least.high))
        result[f"{name}_percent"] = widened.to_json(100.0)
    return result | {
        "auc": found.at(-2).to_json(),
        "top_calibration_error": found.at(-1).to_json(),
        "confusion": calls.confusion(),
    }


def _parts(label: np.ndarray, called: np.ndarray, atypical: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return which cells are right and which of them count, both (cell,), for each of `RATES`."""
    right, yes = (called == label).astype(float), label == 1
    counted = (np.ones(len(label), bool), yes, ~yes, called == 1, called == 0, yes & (atypical == 0), atypical == 1)
    return [(right, part) for part in counted]


def _ratio(right: np.ndarray, part: np.ndarray) -> float:
    return float(right[part].mean()) if part.any() else float("nan")


def difference(ours: Calls, theirs: Calls, seed: int) -> Json:
    """Return the accuracy of ours minus theirs (percent) on the same cells, days redrawn as often as for `rates`."""
    right = [(calls.probability[0].argmax(axis=1) == calls.label).astype(float) for calls in (ours, theirs)]
    gap = right[0] - right[1]
    rng = np.random.default_rng(seed)
    return bootstrap(lambda rows: np.asarray(gap[rows].mean()), ours.group, rng, RESAMPLES).to_json(100.0)


def expected_top_calibration_error(calls: Calls, seed: int) -> float:
    """Return the mean error of that many cells if every probability were true: what finite numbers alone give."""
    rng, probability = np.random.default_rng(seed), calls.probability[0]
    drawn = [(rng.random(len(probability)) < probability[:, 1]).astype(int) for _ in range(DRAWS)]
    return float(np.mean([top_calibration_error(label, probability) for label in drawn]))
