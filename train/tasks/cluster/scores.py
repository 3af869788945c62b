"""How good a clustering is against labels that it never saw, and how much two clusterings agree."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    homogeneity_score,
    normalized_mutual_info_score,
)

from spiketype.train.judging.intervals import CONFIDENCE, Estimate


def contingency(label: np.ndarray, cluster: np.ndarray, classes: int, clusters: int) -> np.ndarray:
    """Units of each class (row) in each cluster (column); label, cluster (unit,) integers from 0."""
    table = np.zeros((classes, clusters), int)
    np.add.at(table, (label, cluster), 1)
    return table


def match(table: np.ndarray) -> np.ndarray:
    """The class of each cluster (cluster,) in the one-to-one map that names most units (Kuhn 1955), else -1.

    table (class, cluster) counts. With more clusters than classes some have no class: their units count as errors.
    """
    of_cluster = np.full(table.shape[1], -1)
    row, column = linear_sum_assignment(table, maximize=True)
    of_cluster[column] = row
    return of_cluster


def accuracy(label: np.ndarray, cluster: np.ndarray) -> float:
    """Share of units whose cluster is matched to their class (ACC of Xie et al. 2016), in percent."""
    table = contingency(label, cluster, label.max() + 1, cluster.max() + 1)
    row, column = linear_sum_assignment(table, maximize=True)
    return float(100 * table[row, column].sum() / len(label))


def recalls(label: np.ndarray, cluster: np.ndarray, classes: int) -> np.ndarray:
    """Percent of each class (class,) in the cluster that is matched to it; 0 without one, NaN for no units."""
    table = contingency(label, cluster, classes, cluster.max() + 1)
    row, column = linear_sum_assignment(table, maximize=True)
    found = np.zeros(classes)
    found[row] = table[row, column]
    size = table.sum(axis=1)
    return 100 * found / np.where(size > 0, size, np.nan)


MEASURES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy_percent": accuracy,
    "nmi": lambda y, c: float(normalized_mutual_info_score(y, c)),
    "ami": lambda y, c: float(adjusted_mutual_info_score(y, c)),
    "ari": lambda y, c: float(adjusted_rand_score(y, c)),
    "homogeneity": lambda y, c: float(homogeneity_score(y, c)),
}
LEAST, MOST = {"ami": -1.0, "ari": -1.0}, {"accuracy_percent": 100.0}  # else 0 and 1; Student's t knows no ends


def over_seeds(values: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
    """Mean of values (seed,) with Student's t interval over seeds; NaN ends for one."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, np.nan, np.nan)
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def judge_rows(label: np.ndarray, clusters: np.ndarray, classes: int) -> dict[str, Any]:
    """All measures of clusterings (seed, unit) against label (unit,), mean and interval over seeds, as JSON."""
    row: dict[str, Any] = {}
    for name, measure in MEASURES.items():
        each = np.array([measure(label, c) for c in clusters])
        mean, *ends = over_seeds(each)
        found = Estimate(mean, *np.clip(ends, LEAST.get(name, 0.0), MOST.get(name, 1.0)))
        row[name] = to_json(found) | {"each": [round(v, 4) for v in each.tolist()]}
    each = np.stack([recalls(label, c, classes) for c in clusters])
    row["recall_percent"] = [None if np.isnan(v) else round(float(v), 2) for v in each.mean(axis=0)]
    row["clusters"] = float(np.mean([len(np.unique(c)) for c in clusters]))
    return row


def to_json(estimate: Estimate) -> dict[str, float | None]:
    """An estimate as plain numbers, None where the data cannot tell."""
    pairs = zip(("value", "low", "high"), estimate, strict=True)
    return {name: float(v) if np.isfinite(v) else None for name, v in pairs}


def agreement(clusters: Sequence[np.ndarray]) -> np.ndarray:
    """Adjusted Rand index of every two clusterings: (clustering, clustering), 1 on the diagonal."""
    n = len(clusters)
    found = np.eye(n)
    for i in range(n):
        for j in range(i):
            found[i, j] = found[j, i] = adjusted_rand_score(clusters[i], clusters[j])
    return found


def consensus(clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """One clustering of several (seed, unit), without labels: cluster and confidence (unit,), and the central seed.

    The seed that agrees best with the others names the clusters; the others' are matched to its, and each unit goes
    where most seeds have it. Confidence is their share, 1 for a single seed.
    """
    central = int(np.argmax(agreement(list(clusters)).sum(axis=0)))
    count = int(clusters.max()) + 1
    votes = np.zeros((clusters.shape[1], count))
    for one in clusters:
        of_cluster = match(contingency(clusters[central], one, count, count))
        votes[np.arange(len(one)), of_cluster[one]] += 1
    return votes.argmax(axis=1), votes.max(axis=1) / len(clusters), central
