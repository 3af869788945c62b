"""How good calls of cells are: true rates, predictive values, ranking, calibration, each with an interval.

Cells of one day resemble each other, so days are what the bootstrap redraws; where that gives no width, because no
cell or nearly none is wrong, Wilson's interval over cells is reached at least.
"""

from typing import Any

import numpy as np
from scipy.stats import rankdata

from spiketype.train.judging.intervals import Estimate, bootstrap, wilson

RESAMPLES = 1000
BINS = 10
RATES = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "typical_sensitivity", "atypical_sensitivity")


def auc(label: np.ndarray, value: np.ndarray) -> float:
    """Area under the ROC curve: how often a serotonergic cell has the larger value; ties count half. NaN: one class."""
    positive = label == 1
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if not n1 or not n0:
        return float("nan")
    return float((rankdata(value)[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def expected_calibration_error(label: np.ndarray, probability: np.ndarray) -> float:
    """Mean over cells of |share of serotonergic - mean probability| in their bin, one of ten of equal width."""
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    size = np.bincount(place, minlength=BINS)
    gap = np.bincount(place, label - probability, minlength=BINS)
    return float(np.abs(gap).sum() / size.sum())


def _parts(label: np.ndarray, said: np.ndarray, atypical: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Right (cell,) and counted (cell,) for each of RATES."""
    right, yes = (said == label).astype(float), label == 1
    counted = (np.ones(len(label), bool), yes, ~yes, said == 1, said == 0, yes & (atypical == 0), atypical == 1)
    return [(right, part) for part in counted]


def rates(
    label: np.ndarray, probability: np.ndarray, atypical: np.ndarray, day: np.ndarray, seed: int
) -> dict[str, Any]:
    """All measures of calls; probability (cell,) above 1/2 says serotonergic. In percent, but AUC and ECE in 0..1."""
    said = (probability > 0.5).astype(int)
    parts = _parts(label, said, atypical)
    value = np.array([_ratio(right, part) for right, part in parts] + [auc(label, probability)])
    value = np.append(value, expected_calibration_error(label, probability))

    def statistic(rows: np.ndarray) -> np.ndarray:
        each = [_ratio(right[rows], part[rows]) for right, part in parts]
        drawn = label[rows], probability[rows]
        return np.array([*each, auc(*drawn), expected_calibration_error(*drawn)])

    drawn = bootstrap(statistic, day, np.random.default_rng(seed), RESAMPLES)
    result: dict[str, Any] = {"cells": len(label)}
    for k, (name, (right, part)) in enumerate(zip(RATES, parts, strict=True)):
        least = wilson((right * part).sum(), part.sum())
        low, high = np.fmin(drawn.low[k], least.low), np.fmax(drawn.high[k], least.high)
        result[f"{name}_percent"] = estimate(Estimate(value[k], low, high), 100)
    for k, name in ((-2, "auc"), (-1, "ece")):
        result[name] = estimate(Estimate(value[k], drawn.low[k], drawn.high[k]))
    result["confusion"] = [[int(((label == t) & (said == s)).sum()) for s in (0, 1)] for t in (0, 1)]
    return result


def difference(
    label: np.ndarray, ours: np.ndarray, theirs: np.ndarray, day: np.ndarray, seed: int
) -> dict[str, float | None]:
    """Accuracy of ours minus theirs (percent) on the same cells, days redrawn."""
    gap = ((ours > 0.5) == (label == 1)).astype(float) - ((theirs > 0.5) == (label == 1)).astype(float)
    found = bootstrap(lambda rows: np.asarray(gap[rows].mean()), day, np.random.default_rng(seed), RESAMPLES)
    return estimate(found, 100)


def expected_ece_if_calibrated(probability: np.ndarray, seed: int) -> float:
    """Mean ECE of that many cells if every probability were true: what finite numbers alone give."""
    rng = np.random.default_rng(seed)
    drawn = [(rng.random(len(probability)) < probability).astype(float) for _ in range(200)]
    return float(np.mean([expected_calibration_error(label, probability) for label in drawn]))


def estimate(found: Estimate, factor: float = 1.0) -> dict[str, float | None]:
    """As plain numbers; NaN as None."""
    ends = {name: float(value) * factor for name, value in found._asdict().items()}
    return {name: value if np.isfinite(value) else None for name, value in ends.items()}


def _ratio(right: np.ndarray, part: np.ndarray) -> float:
    return float(right[part].mean()) if part.any() else float("nan")
