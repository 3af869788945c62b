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
from jaxtyping import Float, Int

from spiketype.models.scale import steady

DAMPING, ITERATIONS = 0.5, 10
# (source features, source classes, source weights, target features) -> probability (target, class)
FitPredict = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class Aligned(NamedTuple):
    """``probability`` of the last iteration, and ``prior``: the first estimate, and that after each iteration."""

    probability: Float[np.ndarray, "target class"]
    prior: Float[np.ndarray, "estimate class"]


def importance(label: Int[np.ndarray, " source"], prior: Float[np.ndarray, " class"]) -> Float[np.ndarray, " source"]:
    """Return weights of mean 1 that give the classes of `label` the frequencies `prior`.

    Raises:
        ValueError: the prior of a class is positive, and the source has no sample of it.
    """
    have = np.bincount(label, minlength=len(prior)) / len(label)
    if np.any((have == 0) & (prior > 0)):
        raise ValueError(f"importance: no source sample of class {int(np.argmax((have == 0) & (prior > 0)))}")
    weight: np.ndarray = (prior / np.maximum(have, 1e-12))[label]
    return weight


def moments(
    x: Float[np.ndarray, "sample feature"], weight: Float[np.ndarray, " sample"]
) -> tuple[Float[np.ndarray, " feature"], Float[np.ndarray, " feature"]]:
    """Return the weighted mean and standard deviation of x; the latter is 1 for constant features."""
    share = weight / weight.sum()
    mean = share @ x
    sd = np.sqrt(share @ (x - mean) ** 2)
    return mean, steady(sd, x)


def align(
    source_x: Float[np.ndarray, "source feature"],
    source_y: Int[np.ndarray, " source"],
    target_x: Float[np.ndarray, "target feature"],
    fit_predict: FitPredict,
    classes: int = 2,
    damping: float = DAMPING,
    iterations: int = ITERATIONS,
) -> Aligned:
    """Name the classes of `target_x` from `source_x` and its labels `source_y`.

    The first estimate of the target's class frequencies is the rate of hard calls that a classifier makes on the target
    in the source's own scale; each next one is that before, moved by `damping` towards the rate of the aligned
    classifier. Estimates are transductive: they need a batch of the target, and a single cell cannot be aligned.
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
    """Return the share of hard calls (class,), of every class at least half a call."""
    count = np.maximum(np.bincount(probability.argmax(axis=1), minlength=classes), 0.5)
    rate: np.ndarray = count / count.sum()
    return rate


def prevalence(probability: Float[np.ndarray, " sample"], iterations: int = 200) -> float:
    """Return the share of the first of two classes in a sample, by expectation maximisation.

    After Saerens et al., Neural Comput. 14, 2002, 21: the share that explains the posterior probabilities of a
    classifier best, if the two classes look as they did when it was trained.

    Args:
        probability: of the first class, both classes being equally frequent.
        iterations: of the algorithm, which converges from one half.
    """
    share = 0.5
    for _ in range(iterations):
        first, second = probability * share, (1 - probability) * (1 - share)
        share = float(np.mean(first / np.maximum(first + second, 1e-300)))
    return share
