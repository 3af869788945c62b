"""How good class probabilities are: plain functions of labels (row,) and probabilities (row, class)."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

BINS = 15

Labels = Int[np.ndarray, " row"]
Probabilities = Float[np.ndarray, "row class"]
Measure = Callable[[np.ndarray, np.ndarray], float]


def accuracy(y: Labels, probability: Probabilities) -> float:
    """Return the share of rows whose likeliest class is right."""
    return float((probability.argmax(axis=1) == y).mean())


def recalls(y: Labels, probability: Probabilities) -> tuple[Float[np.ndarray, " class"], Float[np.ndarray, " class"]]:
    """Return precision and recall of each class; NaN where nothing was called so, or no row is of it."""
    called, classes = probability.argmax(axis=1), range(probability.shape[1])
    with np.errstate(invalid="ignore"):
        hits = np.array([np.sum((called == k) & (y == k)) for k in classes], float)
        precision = hits / np.array([np.sum(called == k) for k in classes])
        return precision, hits / np.array([np.sum(y == k) for k in classes])


def balanced_accuracy(y: Labels, probability: Probabilities) -> float:
    """Return the mean recall over the classes that occur."""
    return float(np.nanmean(recalls(y, probability)[1]))


def macro_f1(y: Labels, probability: Probabilities) -> float:
    """Return the mean of 2 hits / (called + there) over the classes that are called or there."""
    called, classes = probability.argmax(axis=1), range(probability.shape[1])
    hits = np.array([np.sum((called == k) & (y == k)) for k in classes], float)
    both = np.array([np.sum(called == k) + np.sum(y == k) for k in classes])
    return float(np.mean(2 * hits[both > 0] / both[both > 0]))


def nll(y: Labels, probability: Probabilities) -> float:
    """Return the mean negative logarithm (nats) of the probability of the true class."""
    return float(-np.log(np.clip(probability[np.arange(len(y)), y], 1e-12, 1)).mean())


def top_calibration_error(y: Labels, probability: Probabilities) -> float:
    """Return the expected calibration error of the likeliest class (Guo et al., ICML 2017, eq. 3).

    The rows are put into `BINS` bins of equal width by the probability of their likeliest class; the error is the mean
    over rows of |share that is right - mean probability| in their bin.
    """
    top, right = probability.max(axis=1), probability.argmax(axis=1) == y
    of_bin = np.minimum((top * BINS).astype(int), BINS - 1)
    gap = np.bincount(of_bin, top - right, BINS)
    return float(np.abs(gap).sum() / len(y))


def selective(y: Labels, probability: Probabilities, coverage: float) -> float:
    """Return the accuracy of that share of rows whose top probability is largest."""
    order = np.argsort(-probability.max(axis=1), kind="stable")[: max(1, round(coverage * len(y)))]
    return accuracy(y[order], probability[order])


def auc(y: Labels, value: Float[np.ndarray, " row"]) -> float:
    """Return the area under the ROC curve: how often a row of class 1 has the larger value; ties count half.

    NaN with one class alone.
    """
    positive = y == 1
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if not n1 or not n0:
        return float("nan")
    return float((rankdata(value)[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


OVER_CLASSES = ("balanced_accuracy_percent", "macro_f1_percent")  # of `MEASURES`, those that are means over classes
MEASURES: dict[str, Measure] = {
    "accuracy_percent": lambda y, p: 100 * accuracy(y, p),
    "balanced_accuracy_percent": lambda y, p: 100 * balanced_accuracy(y, p),
    "macro_f1_percent": lambda y, p: 100 * macro_f1(y, p),
    "nll": nll,
    "top_calibration_error": top_calibration_error,
    "accuracy_at_80_percent": lambda y, p: 100 * selective(y, p, 0.8),
    "accuracy_at_90_percent": lambda y, p: 100 * selective(y, p, 0.9),
}
