"""What a model has to beat, on the same inputs and folds: the commonest class, and `models.classifiers`.

Hyperparameters are chosen by inner folds of each training part, groups apart.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Int

from spiketype.datasets.splits import Fold, inner_folds
from spiketype.edge import install, progress
from spiketype.models import classifiers
from spiketype.models.classifiers import MODELS, evened, majority
from spiketype.models.options import TREES_NAME
from spiketype.models.scale import Scale
from spiketype.train.judging.calls import scatter

MAJORITY = "majority"
REMEDY = install("spiketype[trees]")


def available() -> tuple[str, ...]:
    """Return the models that can be fitted here; boosted trees need an optional library."""
    if find_spec("lightgbm"):
        return tuple(MODELS)
    print(f"{TREES_NAME} are left out: they need LightGBM ({REMEDY})", file=sys.stderr)
    return tuple(name for name in MODELS if name != TREES_NAME)


def out_of_fold(
    x: Float[np.ndarray, "row feature"],
    label: Int[np.ndarray, " row"],
    group: Int[np.ndarray, " row"],
    classes: int,
    folds: Sequence[Fold],
    scales: Sequence[Scale],
    repeats: int,
    seed: int,
    names: Sequence[str],
    most: int | None = None,
    even: bool = False,
) -> dict[str, Float[np.ndarray, "repeat row class"]]:
    """Return the probabilities of `classifiers.MODELS` and of `MAJORITY` for the test rows of folds, NaN elsewhere.

    Args:
        x: as measured, NaN where not.
        label: classes, from 0 on.
        group: kept apart in inner folds.
        classes: their number.
        folds: of all repeats, as many in each.
        scales: of the folds.
        repeats: their number.
        seed: of inner folds.
        names: of the models.
        most: train on at most so many rows, of all groups alike.
        even: give the probabilities of classes that are equally frequent; not of the majority.
    """
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*names, MAJORITY)}
    with progress() as bar:
        shown = bar.add_task("baselines", total=len(folds) * len(names))
        for fold, scale in zip(folds, scales, strict=True):
            train = fold.train if most is None else thin(fold.train, group, most, seed)
            z, test = (scale.apply(x[rows]).astype(np.float64) for rows in (train, fold.test))
            inner = inner_folds(label[train], group[train], seed)
            for name in names:
                probability = classifiers.nested(name, z, label[train], inner, test, classes)
                found[name].append(evened(probability, label[train]) if even else probability)
                bar.advance(shown)
            found[MAJORITY].append(majority(label[fold.train], len(fold.test), classes))
    return {name: scatter(folds, repeats, len(x), each) for name, each in found.items()}


def thin(
    rows: Int[np.ndarray, " some"], group: Int[np.ndarray, " row"], most: int, seed: int
) -> Int[np.ndarray, " fewer"]:
    """Return at most so many of the rows, ascending, of every group as many as of the others."""
    if len(rows) <= most:
        return rows
    shuffled = np.random.default_rng(seed).permutation(rows)
    by_group = shuffled[np.argsort(group[shuffled], kind="stable")]
    _, first, size = np.unique(group[by_group], return_index=True, return_counts=True)
    rank = np.arange(len(rows)) - np.repeat(first, size)  # of a row inside its group
    return np.sort(by_group[np.argsort(rank, kind="stable")[:most]])


def average(models: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Return the mean probabilities of several models."""
    return np.asarray(np.mean([models[name] for name in names], axis=0))


def best(rates: Mapping[str, Mapping[str, dict[str, float | None]]], names: Sequence[str], measure: str) -> str:
    """Return which of the named models has the largest value of a measure."""
    return max(names, key=lambda name: rates[name][measure]["value"] or 0.0)
