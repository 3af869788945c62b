"""Cells unlike those that were trained on, by the shape of their mean spike: principal components and the rest."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from spiketype.datasets.raphe import RapheTable, noisy

AXES, FOLDS, USUAL = 8, 10, 0.99  # principal components of usual shapes; share of known cells that are usual


class Usual(NamedTuple):
    """Shapes of mean spikes that a network knows.

    Attributes:
        mean: z-scored mean spike.
        axes, sd: principal components of z-scored mean spikes.
        rest: rms of what they leave.
        limit: distance beyond which a cell is unusual.
    """

    mean: Float[np.ndarray, "160"]
    axes: Float[np.ndarray, "axis 160"]
    sd: Float[np.ndarray, " axis"]
    rest: float
    limit: float

    def distance(self, mean_pA: Float[np.ndarray, "cell 160"]) -> Float[np.ndarray, " cell"]:
        """Return the root mean square of standard deviations of mean spikes along the axes and beside them."""
        centred = _z(mean_pA) - self.mean
        along = centred @ self.axes.T
        beside = np.sqrt(np.mean((centred - along @ self.axes) ** 2, axis=1)) / self.rest
        return np.asarray(np.sqrt((np.sum((along / self.sd) ** 2, axis=1) + beside**2) / (len(self.sd) + 1)))


def usual(mean_pA: Float[np.ndarray, "cell 160"]) -> Usual:
    """Learn usual shapes from mean spikes; the limit is that of cells left out while learning."""
    folds = min(FOLDS, len(mean_pA))
    left = np.concatenate(
        [_shapes(np.delete(mean_pA, np.s_[k::folds], axis=0)).distance(mean_pA[k::folds]) for k in range(folds)]
    )
    return _shapes(mean_pA)._replace(limit=float(np.quantile(left, USUAL)))


def usual_of(table: RapheTable, train: Int[np.ndarray, " train"]) -> Usual:
    """Learn usual shapes from the cells of a training part (sample indices)."""
    return usual(noisy.templates(table, train)[np.unique(table.cell[train])])


def _shapes(mean_pA: np.ndarray) -> Usual:
    z = _z(mean_pA)
    centred = z - z.mean(axis=0)
    axes = min(AXES, max(1, len(z) // 3))
    _, size, rows = np.linalg.svd(centred, full_matrices=False)
    left = centred - centred @ rows[:axes].T @ rows[:axes]
    sd = np.maximum(size[:axes] / np.sqrt(max(len(z) - 1, 1)), 1e-6)
    return Usual(z.mean(axis=0), rows[:axes], sd, max(float(np.sqrt(np.mean(left**2))), 1e-6), np.inf)


def _z(mean_pA: np.ndarray) -> np.ndarray:
    centred = mean_pA - mean_pA.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-6))
