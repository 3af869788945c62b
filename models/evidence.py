"""From the votes of networks to the probability of a cell: what is known of it as spikes arrive, and calibration.

Plain NumPy. A *vote* is what one network says of one spike: -1 not serotonergic to 1 serotonergic. The *evidence* of a
cell is the mean vote and the shape of the mean spike: measured features tell what networks trained on few cells have
not learned.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import BSpline
from scipy.special import expit
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from spiketype.models import posterior

VOTE_PRECISION, SHAPE_PRECISION = 0.01, 10.0  # of a Gaussian prior of the weights, which keeps them finite
DEGREE, PIECES = 3, 3  # of the splines of a feature: what a measure means need not grow with it
KNOWN_SPIKES, KNOWN_VARIANCE = 2.0, 0.05  # so few spikes do not tell their spread: as if two more had this one
COUNTS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300)
ITERATIONS, CONVERGED = 50, 1e-9
CONFIDENCE = 0.95  # of the intervals
# Spikes, for each of which there is a calibration: a shape is worth less if it is measured on few.
STAGES = (1, 3, 10, 30, 100)


class Probability(NamedTuple):
    """The probability of serotonergic, with the ends of its interval."""

    value: Float[np.ndarray, " row"]
    low: Float[np.ndarray, " row"]
    high: Float[np.ndarray, " row"]


class Evidence(NamedTuple):
    """What is known of a cell after each of so many spikes, the last being all.

    Attributes:
        x: mean vote over networks and spikes, whose sign is the published call, and features of the mean spike.
        variance: of that mean vote, from spike to spike.
        spikes: their number.
    """

    x: Float[np.ndarray, "count column"]
    variance: Float[np.ndarray, " count"]
    spikes: Int[np.ndarray, " count"]


def of_cell(
    votes: Float[np.ndarray, "network spike"],
    spike_pA: Float[np.ndarray, "spike 160"],
    features: Callable[[np.ndarray], np.ndarray],
    counts: Sequence[int] = COUNTS,
) -> Evidence:
    """Return the evidence of one cell.

    Args:
        votes: of its spikes, in order.
        spike_pA: less the local baseline.
        features: mean spikes (row, 160) -> (row, feature).
        counts: numbers of spikes after which to look; those that the cell does not have are left out.
    """
    vote, total = votes.mean(axis=0), len(spike_pA)
    after = np.array([n for n in counts if n < total] + [total])
    mean_pA = np.stack([spike_pA[:n].mean(axis=0) for n in after])
    mean_vote = np.array([vote[:n].mean() for n in after])
    return Evidence(
        np.column_stack([mean_vote, features(mean_pA)]), np.array([_variance(vote[:n]) for n in after]), after
    )


def _variance(vote: np.ndarray) -> float:
    """Return the variance of the mean of votes (spike,)."""
    n = len(vote)
    spread = (n * vote.var() + KNOWN_SPIKES * KNOWN_VARIANCE) / (n - 1 + KNOWN_SPIKES)
    return float(spread / n)


class Calibration(NamedTuple):
    """Logit of serotonergic = design @ weight, and what else weight may be.

    Attributes:
        low, high: range of known cells, over which each feature becomes `DEGREE` + `PIECES` B-splines.
        centre, scale: standardise the mean vote and those splines.
        weight: the offset first.
        draws: weights that the known cells allow, drawn from the posterior.
    """

    low: Float[np.ndarray, " feature"]
    high: Float[np.ndarray, " feature"]
    centre: Float[np.ndarray, " spline"]
    scale: Float[np.ndarray, " spline"]
    weight: Float[np.ndarray, " weight"]
    draws: Float[np.ndarray, "draw weight"]

    def design(self, x: Float[np.ndarray, "cell column"]) -> Float[np.ndarray, "cell weight"]:
        """Return the rows that `weight` is multiplied with, from evidence."""
        return np.column_stack([np.ones(len(x)), (_columns(x, self.low, self.high) - self.centre) / self.scale])


def _columns(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the mean vote and B-splines of the features; beyond the known range a feature counts as at its end."""
    share = np.clip((x[:, 1:] - low) / np.maximum(high - low, 1e-6), 0, 1)
    knots = np.arange(-DEGREE, PIECES + DEGREE + 1) / PIECES
    splines = BSpline.design_matrix(share.ravel(), knots, DEGREE).toarray()
    return np.column_stack([x[:, 0], splines.reshape(len(x), -1)])


def calibrate(x: Float[np.ndarray, "cell column"], label: Int[np.ndarray, " cell"]) -> Calibration:
    """Return a logistic regression of the label on evidence, with a prior: the mode, and draws, of its posterior.

    Votes, not logits: a network that is wrong of a cell is often very sure, and single large logits would flatten the
    slope for all others. Platt's softened targets made the calibration worse, too.
    """
    target = (label == 1).astype(float)
    low, high = x[:, 1:].min(axis=0), x[:, 1:].max(axis=0)
    columns = _columns(x, low, high)
    size, scale = columns.shape[1], np.maximum(columns.std(axis=0), 1e-3)  # a spline that no cell reaches stays small
    fitted = Calibration(low, high, columns.mean(axis=0), scale, np.zeros(size + 1), np.zeros((0, size + 1)))
    rows, weight = fitted.design(x), fitted.weight
    precision = np.array([VOTE_PRECISION, VOTE_PRECISION, *[SHAPE_PRECISION] * (size - 1)])
    for _ in range(ITERATIONS):
        p = expit(rows @ weight)
        hessian = rows.T @ (rows * (p * (1 - p))[:, None]) + np.diag(precision)
        step = np.linalg.solve(hessian, rows.T @ (p - target) + precision * weight)
        weight = weight - step * min(1.0, 5.0 / max(np.abs(step).max(), 1e-9))
        if np.abs(step).max() < CONVERGED:
            break
    found = posterior.draws(rows, target, precision, weight, np.linalg.inv(hessian))
    return fitted._replace(weight=weight, draws=found)


Stages = tuple[Calibration, ...]  # one for each of `STAGES`


def calibrate_stages(arriving: Sequence[Evidence], label: Int[np.ndarray, " cell"]) -> Stages:
    """Return a calibration for each of `STAGES`: of what was known after so many spikes, or all where there are fewer.

    Args:
        arriving: evidence of each cell.
        label: of the cells.
    """
    at = [[max(int(np.searchsorted(known.spikes, n, "right")) - 1, 0) for known in arriving] for n in STAGES]
    rows = [np.stack([known.x[k] for known, k in zip(arriving, row, strict=True)]) for row in at]
    with threadpool_limits(1, "blas"):  # threads of so small systems do little but wait for each other
        return tuple(calibrate(x, label) for x in rows)


def probability(
    calibration: Calibration, x: Float[np.ndarray, "cell column"], variance: Float[np.ndarray, " cell"]
) -> Probability:
    """Return the calibrated probability (cell,) of serotonergic, with an interval.

    Two things are uncertain and widen the interval: the mean vote, of which only so many spikes are known, and the
    calibration, fitted on only so many cells. The value is that of the likeliest calibration.

    Args:
        calibration: which to use.
        x: evidence.
        variance: of its mean vote.
    """
    rows = calibration.design(x)
    logit, each = rows @ calibration.weight, rows @ calibration.draws.T
    slope = calibration.draws[:, 1] / calibration.scale[0]
    each = each + _spread(len(slope)) * slope * np.sqrt(variance)[:, None]
    low, high = np.quantile(each, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=1)
    return Probability(expit(logit), expit(np.minimum(low, logit)), expit(np.maximum(high, logit)))


def _spread(count: int) -> Float[np.ndarray, " draw"]:
    """Return standard normal numbers, evenly spread, in an order that has nothing to do with the draws'."""
    return np.random.default_rng(count).permutation(norm.ppf((np.arange(count) + 0.5) / count))


def as_spikes_arrive(known: Evidence, stages: Stages) -> Probability:
    """Return the probability (count,) of one cell after each number of spikes.

    Each is by the last stage that the cell has the spikes for.
    """
    stage = np.searchsorted(STAGES, known.spikes, "right") - 1
    each = [probability(stages[s], known.x[[k]], known.variance[[k]]) for k, s in enumerate(stage)]
    return Probability(*(np.concatenate(end) for end in zip(*each, strict=True)))


def settled_after(spikes: Int[np.ndarray, " count"], after: Float[np.ndarray, " count"]) -> int:
    """Return the number of spikes, of those looked at, from which on the likelier class of a cell stays the same.

    Args:
        spikes: numbers of them.
        after: probability of serotonergic after each.
    """
    serotonergic = after > 0.5
    changed = np.flatnonzero(serotonergic[:-1] != serotonergic[-1])
    return int(spikes[changed[-1] + 1 if len(changed) else 0])
