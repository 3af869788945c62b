"""What a call is read from: importances by permutation, the gate matrix in a clustering's order, a map of cells."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from sklearn.manifold import TSNE

from spiketype.train.judging.scale import Scale
from spiketype.train.tasks.subclass.offered import Ensemble

SHUFFLES = 3


def drops(model: Ensemble, x: np.ndarray, label: np.ndarray, features: int, classes: int, seed: int) -> np.ndarray:
    """Mean loss of log probability (nats) of the true class when a feature is shuffled among test cells.

    (class, feature): over the cells of each class; NaN where there are none (Breiman 2001; features that tell the same
    share their importance). x (cell, input) with `features` features first, label (cell,).
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(len(x))

    def log_probability(inputs: np.ndarray) -> np.ndarray:
        return np.log(np.clip(model.probability(inputs)[rows, label], 1e-12, 1))

    whole, found = log_probability(x), np.full((classes, features), np.nan)
    for k in range(features):
        shuffled = np.zeros(len(x))
        for _ in range(SHUFFLES):
            other = x.copy()
            other[:, k] = x[rng.permutation(len(x)), k]
            shuffled += log_probability(other) / SHUFFLES
        for c in np.unique(label):
            found[c, k] = (whole - shuffled)[label == c].mean()
    return found


def mean_known(found: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over folds of what is known, 0 where nothing is."""
    known = np.isfinite(found)
    return np.where(known, found, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


class GateMap(NamedTuple):
    """Order of the cells (cell,), within classes, and of the features (feature,), and the tree of the features."""

    cells: np.ndarray
    features: np.ndarray
    tree: np.ndarray


def gate_map(gates: np.ndarray, label: np.ndarray) -> GateMap:
    """Cluster gates (cell, feature) hierarchically (Ward), features over all cells and cells within their class."""
    order = []
    for c in np.unique(label):
        rows = np.flatnonzero(label == c)
        order.append(rows[leaves_list(linkage(gates[rows], "ward"))] if len(rows) > 2 else rows)
    tree = linkage(gates.T, "ward")
    return GateMap(np.concatenate(order), leaves_list(tree), tree)


def embedding(x: np.ndarray, seed: int = 0) -> np.ndarray:
    """Cells (cell, 2) by t-SNE of their standardised features x (cell, feature): a picture, not a judgement."""
    z = np.clip(Scale.of(x).apply(x), -3, 3)
    near = min(30.0, (len(z) - 1) / 3)
    return TSNE(2, perplexity=near, init="pca", random_state=seed).fit_transform(z)
