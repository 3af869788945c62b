"""How good a clustering is against labels that it never saw, and how much two clusterings agree."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    homogeneity_score,
    normalized_mutual_info_score,
)

from spiketype.edge import Json
from spiketype.train.judging.intervals import over_seeds

Labels = Int[np.ndarray, " unit"]
Clusterings = Int[np.ndarray, "seed unit"]
Counts = Int[np.ndarray, "class cluster"]


def contingency(label: Labels, cluster: Labels, classes: int, clusters: int) -> Counts:
    """Count the units of each class in each cluster; both are numbered from 0."""
    table = np.zeros((classes, clusters), int)
    np.add.at(table, (label, cluster), 1)
    return table


def match(table: Counts) -> Int[np.ndarray, " cluster"]:
    """Return the class of each cluster in the one-to-one map that names most units right (Kuhn 1955), else -1.

    With more clusters than classes some have no class: their units count as errors.
    """
    of_cluster = np.full(table.shape[1], -1)
    row, column = linear_sum_assignment(table, maximize=True)
    of_cluster[column] = row
    return of_cluster


def accuracy(label: Labels, cluster: Labels) -> float:
    """Return the percent of units whose cluster is matched to their class (ACC of Xie et al. 2016)."""
    table = contingency(label, cluster, int(label.max()) + 1, int(cluster.max()) + 1)
    row, column = linear_sum_assignment(table, maximize=True)
    return float(100 * table[row, column].sum() / len(label))


def recalls(label: Labels, cluster: Labels, classes: int) -> Float[np.ndarray, " class"]:
    """Return the percent of each class that is in the cluster matched to it; 0 without one, NaN for no units."""
    table = contingency(label, cluster, classes, int(cluster.max()) + 1)
    row, column = linear_sum_assignment(table, maximize=True)
    found = np.zeros(classes)
    found[row] = table[row, column]
    size = table.sum(axis=1)
    return np.asarray(100 * found / np.where(size > 0, size, np.nan))


MEASURES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy_percent": accuracy,
    "nmi": lambda y, c: float(normalized_mutual_info_score(y, c)),
    "ami": lambda y, c: float(adjusted_mutual_info_score(y, c)),
    "ari": lambda y, c: float(adjusted_rand_score(y, c)),
    "homogeneity": lambda y, c: float(homogeneity_score(y, c)),
}
LEAST, MOST = {"ami": -1.0, "ari": -1.0}, {"accuracy_percent": 100.0}  # else 0 and 1; Student's t knows no ends


def judge_rows(label: Labels, clusters: Clusterings, classes: int) -> Json:
    """Return all measures of clusterings against labels, mean and interval over seeds."""
    row: Json = {}
    for name, measure in MEASURES.items():
        each = np.array([measure(label, c) for c in clusters])
        found = over_seeds(each).within(LEAST.get(name, 0.0), MOST.get(name, 1.0))
        row[name] = found.to_json() | {"each": [round(v, 4) for v in each.tolist()]}
    each = np.stack([recalls(label, c, classes) for c in clusters])
    row["recall_percent"] = [None if np.isnan(v) else round(float(v), 2) for v in each.mean(axis=0)]
    row["clusters"] = float(np.mean([len(np.unique(c)) for c in clusters]))
    return row


def agreement(clusters: Clusterings) -> Float[np.ndarray, "seed seed"]:
    """Return the adjusted Rand index of every two clusterings, 1 on the diagonal."""
    n = len(clusters)
    found = np.eye(n)
    for i in range(n):
        for j in range(i):
            found[i, j] = found[j, i] = adjusted_rand_score(clusters[i], clusters[j])
    return found


class Consensus(NamedTuple):
    """One clustering of several.

    Attributes:
        cluster: of each unit, named as by the seed that agrees best with the others.
        confidence: share of the seeds that put the unit there.
        name_of: what each cluster of each seed is called in it.
    """

    cluster: Labels
    confidence: Float[np.ndarray, " unit"]
    name_of: Int[np.ndarray, "seed cluster"]


def consensus(clusters: Clusterings, count: int) -> Consensus:
    """Return one clustering of several into `count` clusters each, without labels.

    The seed that agrees best with the others names the clusters; the others' are matched to its, and each unit goes
    where most seeds have it.
    """
    central = clusters[np.argmax(agreement(clusters).sum(axis=0))]
    name_of = np.stack([match(contingency(central, one, count, count)) for one in clusters])
    votes = np.zeros((clusters.shape[1], count))
    for one, names in zip(clusters, name_of, strict=True):
        votes[np.arange(len(one)), names[one]] += 1
    return Consensus(votes.argmax(axis=1), votes.max(axis=1) / len(clusters), name_of)
