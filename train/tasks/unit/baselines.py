"""What networks on waveforms are compared with, on the same inputs and folds, and with classes of equal weight."""

from collections.abc import Mapping, Sequence

import numpy as np

from spiketype.datasets.splits import Fold
from spiketype.edge import progress
from spiketype.train.judging import nested as allen_baselines
from spiketype.train.judging.baselines import majority_baseline
from spiketype.train.judging.nested import (
    FOREST_NAME,
    LOGISTIC_NAME,
    MAJORITY,
    SVC_NAME,
)
from spiketype.train.judging.scale import Scale

NAMES = (LOGISTIC_NAME, FOREST_NAME, SVC_NAME)
MOST_ROWS = 500  # of a table of spikes, of all units alike: the inner folds then take seconds, not hours


def out_of_fold(
    x: np.ndarray,
    label: np.ndarray,
    unit: np.ndarray,
    classes: int,
    folds: Sequence[Fold],
    scales: Sequence[Scale],
    seed: int,
    most: int | None = None,
) -> dict[str, list[np.ndarray]]:
    """Probabilities (test row, class) of each model in each fold; inner folds have units apart.

    x (row, feature); label, unit (row,); at most `most` rows train, of all units alike. Probabilities are those of
    classes that are equally frequent (`balanced`).
    """
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*NAMES, MAJORITY)}
    with progress() as bar:
        shown = bar.add_task("baselines", total=len(folds) * len(NAMES))
        for fold, scale in zip(folds, scales, strict=True):
            train = fold.train if most is None else some(fold.train, unit, most, seed)
            z, test = (scale.apply(x[rows]).astype(np.float64) for rows in (train, fold.test))
            for name in NAMES:
                said = allen_baselines.probability(name, z, label[train], unit[train], test, classes, seed)
                found[name].append(balanced(said, label[train]))
                bar.advance(shown)
            found[MAJORITY].append(majority_baseline(label[fold.train], len(fold.test), classes))
    return found


def balanced(said: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Probabilities (row, class) over the frequencies of the training labels, as if classes were equally frequent."""
    share = np.bincount(label, minlength=said.shape[1]) / len(label)
    weighed = said / np.where(share > 0, share, 1.0)
    return weighed / weighed.sum(axis=1, keepdims=True)


def some(rows: np.ndarray, unit: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many of the rows, ascending, of every unit (row of the table,) as many as of the others."""
    if len(rows) <= most:
        return rows
    shuffled = np.random.default_rng(seed).permutation(rows)
    by_unit = shuffled[np.argsort(unit[shuffled], kind="stable")]
    _, first, size = np.unique(unit[by_unit], return_index=True, return_counts=True)
    rank = np.arange(len(rows)) - np.repeat(first, size)  # of a row inside its unit
    return np.sort(by_unit[np.argsort(rank, kind="stable")[:most]])


def average(models: Mapping[str, Sequence[np.ndarray]], names: Sequence[str]) -> list[np.ndarray]:
    """Mean probabilities of several models in each fold."""
    return [np.mean(parts, axis=0) for parts in zip(*(models[name] for name in names), strict=True)]
