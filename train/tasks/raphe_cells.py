"""From what networks say about spikes to a call per cell: published, calibrated, as spikes arrive; unusual cells.

Plain NumPy. A *vote* is a logit of one network for one spike: (network, spike).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from train.intervals import CONFIDENCE

PRIOR_PRECISION = 0.01  # of the calibration's slope and offset: keeps them finite where the classes are separate
ITERATIONS = 50
AXES, FOLDS, USUAL = 8, 10, 0.99  # principal components of usual shapes; share of known cells that are usual


class Score(NamedTuple):
    """What the networks say of cells, each (cell,).

    ``mean`` logit over networks and spikes; ``variance`` of that mean, from spike to spike; ``spikes``; ``share``:
    the published vote, 0..1.
    """

    mean: np.ndarray
    variance: np.ndarray
    spikes: np.ndarray
    share: np.ndarray


def score(logit: np.ndarray, share: np.ndarray, cell: np.ndarray, cells: np.ndarray) -> Score:
    """Scores of `cells` from votes and published votes (network, spike) and the cell of each spike (spike,)."""
    rows = []
    for number in cells:
        mine = logit[:, cell == number].mean(axis=0)
        # The spread of a single spike is unknown: that of logits of 1 is taken.
        variance = mine.var(ddof=1) / len(mine) if len(mine) > 1 else 1.0
        rows.append((mine.mean(), variance, len(mine), share[:, cell == number].mean()))
    return Score(*np.array(rows, float).reshape(-1, 4).T)


class Calibration(NamedTuple):
    """Logit of serotonergic = offset + slope x score, and the covariance (2, 2) of (offset, slope)."""

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
    """Logistic regression of the label (cell,) on the score (cell,), with Platt's targets and a weak prior.

    Platt 1999 (Advances in Large Margin Classifiers): targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2), so that separate
    classes do not give probabilities of 0 and 1. The covariance is Laplace's: the inverse of the Hessian.
    """
    n1 = int((label == 1).sum())
    n0 = len(label) - n1
    target = np.where(label == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
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

    Two things are uncertain: the mean logit, of which only so many spikes are known, and the calibration, fitted on
    only so many cells. Both widen the interval and move the probability towards 1/2 (MacKay 1992: a Gaussian logit
    of variance v has the mean probability sigmoid(m / sqrt(1 + pi v / 8)), nearly).
    """
    logit = calibration.offset + calibration.slope * mean
    (a, b), (_, c) = calibration.covariance
    spread = calibration.slope**2 * variance + a + 2 * b * mean + c * mean**2
    z = norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(spread)
    return Call(expit(logit / np.sqrt(1 + np.pi * spread / 8)), expit(logit - z), expit(logit + z))


def as_spikes_arrive(votes: np.ndarray, calibration: Calibration, counts: Sequence[int]) -> np.ndarray:
    """Probability after each number of spikes (count,) of one cell, votes (network, spike) in order; NaN beyond."""
    mine = votes.mean(axis=0)
    found = np.full(len(counts), np.nan)
    for i, n in enumerate(counts):
        if n <= len(mine):
            # Of few spikes the spread is not known: that of all cells' spikes, about 1, bounds it from below.
            variance = max(mine[:n].var(ddof=1) if n > 1 else 0.0, 1.0 if n < 10 else 0.0) / n
            found[i] = call(calibration, mine[:n].mean(), np.asarray(variance)).probability
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
