"""From what networks say about spikes to a call per cell: published, calibrated, as spikes arrive; unusual cells.

Plain NumPy. A *vote* is what one network says of one spike: -1 not serotonergic to 1 serotonergic, (network, spike).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from train.intervals import CONFIDENCE

PRIOR_PRECISION = 0.01  # of the calibration's slope and offset: keeps them finite where the classes are separate
KNOWN_SPIKES, KNOWN_VARIANCE = 2.0, 0.05  # so few spikes do not tell their spread: as if two more had this one
ITERATIONS = 50
AXES, FOLDS, USUAL = 8, 10, 0.99  # principal components of usual shapes; share of known cells that are usual


class Score(NamedTuple):
    """What the networks say of cells, each (cell,).

    ``mean`` vote over networks and spikes, whose sign is the published call; ``variance`` of that mean, from spike to
    spike; ``spikes``.
    """

    mean: np.ndarray
    variance: np.ndarray
    spikes: np.ndarray


def score(votes: Sequence[np.ndarray]) -> Score:
    """Scores of cells from the votes (network, spike) of each."""
    mine = [vote.mean(axis=0) for vote in votes]
    spikes = np.array([len(vote) for vote in mine])
    return Score(np.array([v.mean() for v in mine]), np.array([_variance(v) for v in mine]), spikes)


def _variance(vote: np.ndarray) -> float:
    """Variance of the mean of votes (spike,)."""
    n = len(vote)
    spread = (n * vote.var() + KNOWN_SPIKES * KNOWN_VARIANCE) / (n - 1 + KNOWN_SPIKES)
    return float(spread / n)


class Calibration(NamedTuple):
    """Logit of serotonergic = offset + slope x mean vote, and the covariance (2, 2) of (offset, slope)."""

    offset: float
    slope: float
    covariance: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        return {"offset": self.offset, "slope": self.slope, "covariance": self.covariance.tolist()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Calibration":
        """What `to_json` gave."""
        return cls(values["offset"], values["slope"], np.array(values["covariance"]))


def calibrate(mean: np.ndarray, label: np.ndarray) -> Calibration:
    """Logistic regression of the label (cell,) on the mean vote (cell,), with a weak prior; covariance by Laplace.

    Votes, not logits: a network that is wrong of a cell is often very sure, and single large logits would flatten the
    slope for all others (simulated store of seed 7: calibration error 0.045 against 0.07). Platt's softened targets
    made it worse, too.
    """
    target = (label == 1).astype(float)
    x = np.stack([np.ones(len(mean)), mean], axis=1)
    weight = np.zeros(2)
    for _ in range(ITERATIONS):
        p = expit(x @ weight)
        hessian = x.T @ (x * (p * (1 - p))[:, None]) + PRIOR_PRECISION * np.eye(2)
        step = np.linalg.solve(hessian, x.T @ (p - target) + PRIOR_PRECISION * weight)
        weight = weight - step * min(1.0, 5.0 / max(np.abs(step).max(), 1e-9))
    return Calibration(float(weight[0]), float(weight[1]), np.linalg.inv(hessian))


class Call(NamedTuple):
    """Probability of serotonergic and the ends of its interval, each (...)."""

    probability: np.ndarray
    low: np.ndarray
    high: np.ndarray


def call(calibration: Calibration, mean: np.ndarray, variance: np.ndarray) -> Call:
    """Calibrated probabilities of scores.

    Two things are uncertain: the mean vote, of which only so many spikes are known, and the calibration, fitted on only
    so many cells. Both widen the interval. The first also moves the probability towards 1/2 (MacKay 1992: a Gaussian
    logit of variance v has the mean probability sigmoid(m / sqrt(1 + pi v / 8)), nearly).
    """
    logit, few = calibration.offset + calibration.slope * mean, calibration.slope**2 * variance
    (a, b), (_, c) = calibration.covariance
    z = norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(few + a + 2 * b * mean + c * mean**2)
    return Call(expit(logit / np.sqrt(1 + np.pi * few / 8)), expit(logit - z), expit(logit + z))


def as_spikes_arrive(votes: np.ndarray, calibration: Calibration, counts: Sequence[int]) -> np.ndarray:
    """Probability after each number of spikes (count,) of one cell, votes (network, spike) in order; NaN beyond."""
    mine = votes.mean(axis=0)
    found = np.full(len(counts), np.nan)
    for i, n in enumerate(counts):
        if n <= len(mine):
            found[i] = call(calibration, mine[:n].mean(), np.asarray(_variance(mine[:n]))).probability
    return found


def settled_after(votes: np.ndarray, calibration: Calibration) -> int:
    """Spikes after which the likelier class of one cell stays the same; votes (network, spike) in order."""
    mine = votes.mean(axis=0)
    logit = calibration.offset + calibration.slope * np.cumsum(mine) / np.arange(1, len(mine) + 1)
    changed = np.flatnonzero((logit[:-1] > 0) != (logit[-1] > 0))
    return int(changed[-1]) + 2 if len(changed) else 1


class Usual(NamedTuple):
    """Shapes of mean spikes that a network knows.

    ``mean`` (160,), ``axes`` (axis, 160) and ``sd`` (axis,): principal components of z-scored mean spikes; ``rest``:
    rms of what they leave; ``limit``: distance beyond which a cell is unusual.
    """

    mean: np.ndarray
    axes: np.ndarray
    sd: np.ndarray
    rest: float
    limit: float

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in self._asdict().items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Usual":
        """What `to_json` gave."""
        mean, axes, sd = (np.array(values[k]) for k in ("mean", "axes", "sd"))
        return cls(mean, axes, sd, values["rest"], values["limit"])

    def distance(self, mean_pA: np.ndarray) -> np.ndarray:
        """Of mean spikes (cell, 160): root mean square of standard deviations along the axes and beside them."""
        centred = _z(mean_pA) - self.mean
        along = centred @ self.axes.T
        beside = np.sqrt(np.mean((centred - along @ self.axes) ** 2, axis=1)) / self.rest
        return np.sqrt((np.sum((along / self.sd) ** 2, axis=1) + beside**2) / (len(self.sd) + 1))


def usual(mean_pA: np.ndarray) -> Usual:
    """Learn usual shapes from mean spikes (cell, 160); the limit is that of cells left out while learning."""
    folds = min(FOLDS, len(mean_pA))
    left = np.concatenate(
        [_shapes(np.delete(mean_pA, np.s_[k::folds], axis=0)).distance(mean_pA[k::folds]) for k in range(folds)]
    )
    return _shapes(mean_pA)._replace(limit=float(np.quantile(left, USUAL)))


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
    return centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-6)
