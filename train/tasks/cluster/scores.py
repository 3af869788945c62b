"""How good a clustering is against labels that it never saw."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    homogeneity_score,
    normalized_mutual_info_score,
)

from spiketype.edge import Json
from spiketype.models.agreement import Clusterings, Labels, contingency, match
from spiketype.train.judging.intervals import over_seeds


def right(label: Labels, cluster: Labels, classes: int) -> Bool[np.ndarray, " unit"]:
    """Say of each unit whether its cluster is matched to its class."""
    return np.asarray(match(contingency(label, cluster, classes, int(cluster.max()) + 1))[cluster] == label)


def accuracy(label: Labels, cluster: Labels) -> float:
    """Return the percent of units whose cluster is matched to their class (ACC of Xie et al. 2016)."""
    return float(100 * right(label, cluster, int(label.max()) + 1).sum() / len(label))


def recalls(label: Labels, cluster: Labels, classes: int) -> Float[np.ndarray, " class"]:
    """Return the percent of each class that is in the cluster matched to it; 0 without one, NaN for no units."""
    hits = np.bincount(label[right(label, cluster, classes)], minlength=classes)
    size = np.bincount(label, minlength=classes)
    return np.asarray(100 * hits / np.where(size > 0, size, np.nan))


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
    recall = np.mean([recalls(label, c, classes) for c in clusters], axis=0)
    row["recall_percent"] = [None if np.isnan(v) else round(float(v), 2) for v in recall]
    row["clusters"] = float(np.mean([len(np.unique(c)) for c in clusters]))
    return row
