"""Measures of the Allen tasks: of probabilities (repeat, cell, class), with intervals over donors."""

from collections.abc import Callable
from typing import Any

import numpy as np

from spiketype.train.judging.intervals import Estimate, bootstrap

RESAMPLES = 400
BINS = 15
OPEN = 0.5


def accuracy(y: np.ndarray, said: np.ndarray) -> float:
    """Share of cells (cell,) whose likeliest class is right."""
    return float((said.argmax(axis=1) == y).mean())


def recalls(y: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall (class,); NaN where nothing was called so, or no cell is of it."""
    called, classes = said.argmax(axis=1), range(said.shape[1])
    with np.errstate(invalid="ignore"):
        hits = np.array([np.sum((called == k) & (y == k)) for k in classes], float)
        return hits / np.array([np.sum(called == k) for k in classes]), hits / np.array(
            [np.sum(y == k) for k in classes]
        )


def balanced_accuracy(y: np.ndarray, said: np.ndarray) -> float:
    """Mean recall over the classes that occur."""
    return float(np.nanmean(recalls(y, said)[1]))


def macro_f1(y: np.ndarray, said: np.ndarray) -> float:
    """Mean over classes of 2 hits / (called + there)."""
    called, classes = said.argmax(axis=1), range(said.shape[1])
    hits = np.array([np.sum((called == k) & (y == k)) for k in classes], float)
    both = np.array([np.sum(called == k) + np.sum(y == k) for k in classes])
    return float(np.mean(2 * hits / np.maximum(both, 1)))


def nll(y: np.ndarray, said: np.ndarray) -> float:
    """Mean negative logarithm (nats) of the probability of the true class."""
    return float(-np.log(np.clip(said[np.arange(len(y)), y], 1e-12, 1)).mean())


def ece(y: np.ndarray, said: np.ndarray) -> float:
    """Expected calibration error: mean distance of accuracy and top probability in BINS equal bins of the latter."""
    top, right = said.max(axis=1), said.argmax(axis=1) == y
    of_bin = np.minimum((top * BINS).astype(int), BINS - 1)
    gap = np.bincount(of_bin, top - right, BINS)
    return float(np.abs(gap).sum() / len(y))


def selective(y: np.ndarray, said: np.ndarray, coverage: float) -> float:
    """Accuracy of that share of cells whose top probability is largest."""
    order = np.argsort(-said.max(axis=1), kind="stable")[: max(1, round(coverage * len(y)))]
    return accuracy(y[order], said[order])


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy_percent": lambda y, p: 100 * accuracy(y, p),
    "balanced_accuracy_percent": lambda y, p: 100 * balanced_accuracy(y, p),
    "macro_f1_percent": lambda y, p: 100 * macro_f1(y, p),
    "nll": nll,
    "ece": ece,
    "accuracy_at_80_percent": lambda y, p: 100 * selective(y, p, 0.8),
    "accuracy_at_90_percent": lambda y, p: 100 * selective(y, p, 0.9),
}


def rates(y: np.ndarray, said: np.ndarray, donor: np.ndarray, seed: int) -> dict[str, Any]:
    """All measures of said (repeat, cell, class), means over repeats, with bootstrap intervals over donors."""

    def every(rows: np.ndarray) -> np.ndarray:
        return np.array([[measure(y[rows], p[rows]) for measure in MEASURES.values()] for p in said]).mean(axis=0)

    found = bootstrap(every, donor, np.random.default_rng(seed), RESAMPLES)
    result: dict[str, Any] = {name: _json(found, k) for k, name in enumerate(MEASURES)}
    precision, recall = np.mean([recalls(y, p) for p in said], axis=0)
    # A class that is never called has no precision.
    result["precision"] = [None if np.isnan(v) else float(v) for v in precision]
    result["recall"] = [None if np.isnan(v) else float(v) for v in recall]
    return result


def difference(
    y: np.ndarray,
    ours: np.ndarray,
    theirs: np.ndarray,
    donor: np.ndarray,
    seed: int,
    measure: Callable[[np.ndarray, np.ndarray], float] = MEASURES["accuracy_percent"],
) -> dict[str, Any]:
    """A measure of ours minus that of theirs, (repeat, cell, class) each, paired: the same cells, donors redrawn."""

    def gap(rows: np.ndarray) -> np.ndarray:
        pairs = zip(ours, theirs, strict=True)
        return np.array([np.mean([measure(y[rows], a[rows]) - measure(y[rows], b[rows]) for a, b in pairs])])

    return _json(bootstrap(gap, donor, np.random.default_rng(seed), RESAMPLES), 0)


def _json(estimate: Estimate, k: int) -> dict[str, float]:
    return {name: float(value[k]) for name, value in estimate._asdict().items()}


def gates(opened: np.ndarray) -> dict[str, Any]:
    """How sparse and how stable gates (seed, repeat, cell, feature) are.

    ``open``: mean number above 0; ``correlation`` of the mean gates and ``jaccard`` of the gates above OPEN in each
    cell, both means over pairs of seeds; None with one seed.
    """
    seeds = len(opened)
    pairs = [(a, b) for a in range(seeds) for b in range(a)]
    mean = opened.mean(axis=(1, 2))
    on = opened > OPEN
    jaccard = [_jaccard(on[a], on[b]) for a, b in pairs]
    return {
        "open": float((opened > 0).sum(axis=-1).mean()),
        "features": opened.shape[-1],
        "correlation": float(np.mean([np.corrcoef(mean[a], mean[b])[0, 1] for a, b in pairs])) if pairs else None,
        "jaccard": float(np.mean(jaccard)) if pairs else None,
    }


def _jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over cells of shared over all open gates; 1 where neither has one."""
    either = (a | b).sum(axis=-1)
    return float(np.where(either > 0, (a & b).sum(axis=-1) / np.maximum(either, 1), 1.0).mean())
