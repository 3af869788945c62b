"""Draws from a posterior against integrals of it."""

import numpy as np
import pytest

from spiketype.models import posterior


def mode_of(rows, target, precision):
    weight = np.zeros(rows.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-rows @ weight))
        hessian = rows.T @ (rows * (p * (1 - p))[:, None]) + np.diag(precision)
        weight = weight - 0.5 * np.linalg.solve(hessian, rows.T @ (p - target) + precision * weight)
    return weight, np.linalg.inv(hessian)


@pytest.mark.parametrize("apart", [0.5, 5.0])  # a posterior like a Gaussian, and one of separate classes
def test_draws_have_the_quantiles_of_the_integrated_posterior(apart):
    rng = np.random.default_rng(0)
    target = (np.arange(24) % 2).astype(float)
    rows = np.column_stack([np.ones(24), apart * (target - 0.5) + rng.normal(0, 0.5, 24)])
    precision = np.array([0.05, 0.05])
    found = posterior.draws(rows, target, precision, *mode_of(rows, target, precision))
    axis = np.linspace(-25, 25, 1001)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    logit = grid @ rows.T
    density = (logit @ target) - np.logaddexp(0, logit).sum(axis=-1) - 0.5 * (grid**2 @ precision)
    share = np.exp(density - density.max())
    for k in range(2):
        marginal = share.sum(axis=1 - k)
        true = np.interp([0.05, 0.5, 0.95], np.cumsum(marginal) / marginal.sum(), axis)
        spread = true[2] - true[0]
        np.testing.assert_allclose(np.quantile(found[:, k], [0.05, 0.5, 0.95]), true, atol=0.12 * spread)


def test_the_seed_decides():
    rows, target = np.column_stack([np.ones(4), np.arange(4.0)]), np.array([0.0, 1, 0, 1])
    given = rows, target, np.ones(2), np.zeros(2), np.eye(2)
    first, again, other = (posterior.draws(*given, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
