"""Several clusterings of the same units: matched, how far they agree, and the one that most of them say."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

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
