"""Label shift: weights, a shift that is known, and the human cells of the Allen database without a human label."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.svm import SVC

from spiketype.models import label_shift
from tests.models import published_allen


def logistic(x, y, weight, other):
    return LogisticRegression().fit(x, y, sample_weight=weight).predict_proba(other)


def svc(x, y, weight, other):
    side = SVC(C=3, gamma=0.01).fit(x, y, sample_weight=weight).decision_function(other) > 0
    return np.stack([~side, side], axis=1).astype(float)


def test_weights_give_the_wanted_frequencies():
    y = np.array([0, 0, 0, 1])
    weight = label_shift.importance(y, np.array([0.2, 0.8]))
    assert weight.mean() == pytest.approx(1)
    assert weight[y == 1].sum() / weight.sum() == pytest.approx(0.8)
    with pytest.raises(ValueError, match="no source sample of class 1"):
        label_shift.importance(np.zeros(3, int), np.array([0.5, 0.5]))


def test_weighted_moments_are_those_of_repeated_samples():
    x, times = np.random.default_rng(0).normal(size=(5, 3)), np.array([1, 2, 3, 1, 2])
    mean, sd = label_shift.moments(x, times.astype(float))
    repeated = np.repeat(x, times, axis=0)
    np.testing.assert_allclose(mean, repeated.mean(axis=0))
    np.testing.assert_allclose(sd, repeated.std(axis=0))


def test_a_shifted_prior_is_found_where_features_are_moved_and_scaled():
    rng = np.random.default_rng(1)
    y, truth = rng.random(2000) < 0.5, rng.random(1500) < 0.85
    x = rng.normal(size=(2000, 3)) + 3.0 * y[:, None]
    other = 1.2 * (rng.normal(size=(1500, 3)) + 3.0 * truth[:, None]) + 0.4
    found = label_shift.align(x, y.astype(int), other, logistic)
    said = found.probability.argmax(axis=1) == 1
    assert found.prior[-1][1] == pytest.approx(0.85, abs=0.02)
    naive = logistic((x - x.mean(0)) / x.std(0), y, None, (other - other.mean(0)) / other.std(0)).argmax(axis=1) == 1
    assert (said == truth).mean() > 0.98 > (naive == truth).mean() + 0.05


def test_human_cells_are_named_without_a_human_label():
    x, table = published_allen.read("mouse")
    whole = np.isfinite(x).all(axis=1)
    y = (table["dendrite_type"] == "spiny").to_numpy(int)[whole]
    human, human_table = published_allen.read("human")
    truth = (human_table["dendrite_type"] == "spiny").to_numpy(int)
    found = label_shift.align(x[whole], y, human, svc)
    said = found.probability.argmax(axis=1)
    assert found.prior[0][1] == pytest.approx(0.719, abs=0.01)  # what a classifier in the mouse's scale says
    assert (said == truth).mean() >= 0.963
    assert balanced_accuracy_score(truth, said) >= 0.939  # allen.md: .940
