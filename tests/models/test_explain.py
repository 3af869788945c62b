"""What the calls of a model rest on."""

from importlib.util import find_spec

import numpy as np
import pytest

from spiketype.models.explain import drops, mean_known, separability, shapley


def test_only_a_feature_that_is_used_costs_when_it_is_shuffled():
    x, label = np.random.default_rng(0).normal(size=(300, 3)), np.arange(300) % 2
    x[:, 1] += 3.0 * label

    def probability(x):
        yes = 1 / (1 + np.exp(-2 * (x[:, 1] - 1.5)))
        return np.stack([1 - yes, yes], axis=1)

    found = drops(probability, x, label, 2, 3, 0)  # the third input is no feature, the third class has no row
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found[:2, 0], 0, atol=1e-12)
    assert (found[:2, 1] > 0.3).all()
    assert np.isnan(found[2]).all()
    np.testing.assert_array_equal(mean_known([found, found])[2], 0)


@pytest.mark.slow
def test_shapley_values_add_up_and_leave_out_what_does_not_matter():
    if not find_spec("shap"):
        pytest.skip("shap is an optional extra")
    rng = np.random.default_rng(0)
    z, background = rng.normal(size=(20, 5)), rng.normal(size=(60, 5))
    spiny = lambda z: 1 / (1 + np.exp(-z[:, 0] - 2 * z[:, 1] * z[:, 2]))  # noqa: E731
    rows, values = shapley(spiny, z, background, 0)
    np.testing.assert_allclose(values[:, 3:], 0, atol=1e-12)
    base = spiny(z[rows]) - values.sum(axis=1)
    np.testing.assert_allclose(base, base[0], atol=1e-9)


def test_domains_that_do_not_differ_are_told_by_chance():
    """Over all folds together the same forest is far below chance: a fold with few rows of a domain trains on many."""
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        domain, group = np.repeat([0, 1], [100, 24]), np.concatenate([np.arange(100) // 2, 50 + np.arange(24) // 8])
        found.append(separability(rng.normal(size=(124, 3)), domain, np.arange(124) % 2, group, seed)["auc"])
    assert np.mean(found) == pytest.approx(0.5, abs=0.12)
