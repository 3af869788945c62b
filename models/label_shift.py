"""Alignment of two domains whose classes differ in frequency, without labels of the target. Plain NumPy.

Making the features of two domains equally distributed moves the class boundary when the classes are not equally
frequent in both (Zhao et al., ICML 2019). So the source is weighted to the target's class frequencies before its mean
and standard deviation are taken off, the target is standardised by its own, and the frequencies, unknown at first, are
estimated from what the classifier then says of the target, again and again (compare Saerens et al., Neural Comput. 14,
2002, 21, and Lipton et al., ICML 2018).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

DAMPING, ITERATIONS = 0.5, 10
# (source features, source classes, source weights, target features) -> probability (target, class)
FitPredict = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class Aligned(NamedTuple):
    """``probability`` (target, class) of the last iteration; ``prior`` (iteration + 1, class), the estimates used."""

    probability: np.ndarray
    prior: np.ndarray


def importance(label: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Weights (source,) of mean 1 that give the classes of label (source,) the frequencies prior (class,).

    Raises:
        ValueError: the prior wants a class that the source has no sample of.
    """
    have = np.bincount(label, minlength=len(prior)) / len(label)
    if np.any((have == 0) & (prior > 0)):
        raise ValueError(f"importance: no source sample of class {int(np.argmax((have == 0) & (prior > 0)))}")
    return (prior / np.maximum(have, 1e-12))[label]


def moments(x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation (feature,) of x (sample, feature); constant features have the latter 1."""
    share = weight / weight.sum()
    mean = share @ x
    sd = np.sqrt(share @ (x - mean) ** 2)
    return mean, np.where(sd > 1e-12, sd, 1.0)


def align(
    source_x: np.ndarray,
    source_y: np.ndarray,
    target_x: np.ndarray,
    fit_predict: FitPredict,
    classes: int = 2,
    damping: float = DAMPING,
    iterations: int = ITERATIONS,
) -> Aligned:
    """Name the classes of target_x (target, feature) from labelled source_x (source, feature), source_y (source,).

    The first estimate of the target's frequencies is what a classifier says of the target in the source's own scale;
    each next is the old one moved by `damping` towards the rate of its hard calls. Estimates are transductive: they
    need a batch of the target, and a single cell cannot be aligned.
    """
    even = np.ones(len(source_y))
    mean, sd = moments(source_x, even)
    said = fit_predict((source_x - mean) / sd, source_y, even, (target_x - mean) / sd)
    prior = [_rate(said, classes)]
    mean, sd = moments(target_x, np.ones(len(target_x)))
    target_z = (target_x - mean) / sd
    for _ in range(iterations):
        weight = importance(source_y, prior[-1])
        mean, sd = moments(source_x, weight)
        said = fit_predict((source_x - mean) / sd, source_y, weight, target_z)
        prior.append((1 - damping) * prior[-1] + damping * _rate(said, classes))
    return Aligned(said, np.stack(prior))


def _rate(probability: np.ndarray, classes: int) -> np.ndarray:
    """Share of hard calls (class,), of every class at least half a call."""
    count = np.maximum(np.bincount(probability.argmax(axis=1), minlength=classes), 0.5)
    return count / count.sum()
