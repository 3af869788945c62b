"""Inputs unlike those that were trained on, by their shape: principal components and the rest. Plain NumPy."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spiketype.edge import PyTree

AXES, FOLDS, USUAL = 8, 10, 0.99  # principal components of usual shapes; share of known rows that are usual


class Usual(NamedTuple):
    """Shapes that a network knows, of rows such as mean spikes, each z-scored.

    Attributes:
        mean: z-scored mean row.
        axes, sd: principal components of z-scored rows.
        rest: rms of what they leave.
        limit: distance beyond which a row is unusual.
    """

    mean: Float[np.ndarray, " point"]
    axes: Float[np.ndarray, "axis point"]
    sd: Float[np.ndarray, " axis"]
    rest: float
    limit: float

    def arrays(self) -> PyTree:
        """Return it as arrays."""
        return {name: np.asarray(value) for name, value in self._asdict().items()}

    @classmethod
    def restore(cls, arrays: PyTree) -> "Usual":
        """Return what `arrays` took apart."""
        return cls(**(arrays | {name: float(arrays[name]) for name in ("rest", "limit")}))

    @classmethod
    def of(cls, x: Float[np.ndarray, "row point"]) -> "Usual":
        """Learn usual shapes; the limit is that of rows left out while learning."""
        folds = min(FOLDS, len(x))
        left = [_shapes(np.delete(x, np.s_[k::folds], axis=0)).distance(x[k::folds]) for k in range(folds)]
        return _shapes(x)._replace(limit=float(np.quantile(np.concatenate(left), USUAL)))

    def distance(self, x: Float[np.ndarray, "row point"]) -> Float[np.ndarray, " row"]:
        """Return the root mean square of standard deviations of rows along the axes and beside them."""
        centred = _z(x) - self.mean
        along = centred @ self.axes.T
        beside = np.sqrt(np.mean((centred - along @ self.axes) ** 2, axis=1)) / self.rest
        return np.asarray(np.sqrt((np.sum((along / self.sd) ** 2, axis=1) + beside**2) / (len(self.sd) + 1)))


def _shapes(x: np.ndarray) -> Usual:
    z = _z(x)
    centred = z - z.mean(axis=0)
    axes = min(AXES, max(1, len(z) // 3))
    _, size, rows = np.linalg.svd(centred, full_matrices=False)
    left = centred - centred @ rows[:axes].T @ rows[:axes]
    sd = np.maximum(size[:axes] / np.sqrt(max(len(z) - 1, 1)), 1e-6)
    return Usual(z.mean(axis=0), rows[:axes], sd, max(float(np.sqrt(np.mean(left**2))), 1e-6), np.inf)


def _z(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-6))
