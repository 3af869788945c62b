"""Draws from the posterior of a logistic regression with a Gaussian prior. NumPy alone.

Where classes are separate the posterior is far from a Gaussian: that a weight is large is all that is known, and an
interval about the mode (Laplace) has both signs in it, the more the better the classes are apart. Hamiltonian Monte
Carlo (Neal 2011), in the scale of the Gaussian about the mode, from as many independent chains as there are draws.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import expit

DRAWS, TRANSITIONS, LEAPS = 300, 25, 8
STEP = (0.1, 0.4)  # range of step sizes, drawn for each transition, lest a path close on itself


def draws(
    rows: Float[np.ndarray, "cell weight"],
    target: Float[np.ndarray, " cell"],
    precision: Float[np.ndarray, " weight"],
    mode: Float[np.ndarray, " weight"],
    covariance: Float[np.ndarray, "weight weight"],
    seed: int = 0,
) -> Float[np.ndarray, "draw weight"]:
    """Return weights w drawn from the posterior of target ~ Bernoulli(expit(rows @ w)), w ~ Normal(0, 1 / precision).

    Args:
        rows: inputs.
        target: 0 or 1.
        precision: of the prior.
        mode: of the posterior.
        covariance: the inverse of the curvature there.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    scale = np.linalg.cholesky(covariance)
    design, shift = rows @ scale, rows @ mode

    def energy(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return minus the logarithm of the posterior of each chain, and its slope."""
        logit, weight = u @ design.T + shift, u @ scale.T + mode
        cost = np.logaddexp(0, logit).sum(axis=1) - logit @ target + 0.5 * (weight**2 @ precision)
        return cost, (expit(logit) - target) @ design + (weight * precision) @ scale

    place = rng.normal(size=(DRAWS, len(mode)))
    known, slope = energy(place)
    for _ in range(TRANSITIONS):
        step = rng.uniform(*STEP, size=(DRAWS, 1))
        first = rng.normal(size=place.shape)
        moved, speed = place, first - 0.5 * step * slope
        for leap in range(LEAPS):
            moved = moved + step * speed
            there, ahead = energy(moved)
            speed = speed - (step if leap < LEAPS - 1 else 0.5 * step) * ahead
        gain = known + 0.5 * (first**2).sum(axis=1) - there - 0.5 * (speed**2).sum(axis=1)
        kept = np.log(rng.random(DRAWS)) < gain
        place, slope = np.where(kept[:, None], moved, place), np.where(kept[:, None], ahead, slope)
        known = np.where(kept, there, known)
    return np.asarray(place @ scale.T + mode)
