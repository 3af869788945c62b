"""From votes to the probability of a cell: calibration, intervals, calls that settle."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from spiketype.models import evidence
from spiketype.train.judging.intervals import CONFIDENCE
from spiketype.train.judging.metrics import top_calibration_error


def test_calibration_finds_the_true_relation():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (1000, 2))

    def truth(x):
        return expit(0.5 + 1.5 * x[:, 0] + np.sin(2 * x[:, 1]))  # a feature's meaning may turn round

    label = (rng.random(1000) < truth(x)).astype(int)
    found = evidence.calibrate(x, label)
    assert np.sqrt(np.mean((evidence.probability(found, x, np.zeros(1000)).value - truth(x)) ** 2)) < 0.05
    assert found.weight[1] / found.scale[0] == pytest.approx(1.5, abs=0.2)
    beyond = np.array([[0.0, 2.0], [0.0, 50.0]])
    assert np.ptp(evidence.probability(found, beyond, np.zeros(2)).value) < 0.01


def test_calibration_is_the_logistic_regression_of_scikit_learn():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(150, 3))
    label = (x.sum(axis=1) + rng.normal(size=150) > 0).astype(int)
    found = evidence.calibrate(x, label)
    theirs = LogisticRegression(C=1e6, max_iter=1000).fit(x, label)
    expected = theirs.predict_proba(x)[:, 1]
    ours = evidence.probability(found, x, np.zeros(150)).value  # the same but for a weak prior
    assert np.corrcoef(ours, expected)[0, 1] > 0.99


def test_separate_classes_give_finite_probabilities():
    vote = np.array([-3.0, -2, -2.5, 2, 3, 2.5])
    found = evidence.calibrate(np.stack([vote, vote], axis=1), np.array([0, 0, 0, 1, 1, 1]))
    called = evidence.probability(found, np.array([[-3.0, -3], [0, 0], [3, 3]]), np.zeros(3))
    assert (called.value > 0).all()
    assert (called.value < 1).all()
    assert (called.low < called.value).all()
    assert (called.high > called.value).all()
    assert called.value[0] < 0.3 < 0.7 < called.value[2]
    assert evidence.CONFIDENCE == CONFIDENCE == 0.95


def test_few_spikes_mean_wider_intervals():
    x = np.stack([np.linspace(-3, 3, 100), np.zeros(100)], axis=1)  # its one feature is the same for all
    found = evidence.calibrate(x, (np.arange(100) >= 50).astype(int))
    few, many = (evidence.probability(found, np.array([[1.0, 0.0]]), np.array([v])) for v in (1.0, 0.001))
    assert few.value == many.value
    assert few.low < many.low < many.value < many.high < few.high


def test_a_shape_counts_less_where_it_is_measured_on_few_spikes():
    rng = np.random.default_rng(0)
    label = np.arange(300) % 2
    known = []
    for kind in label:  # a feature whose error falls with the spikes, and a vote that says nothing
        spikes = np.array([1, 3, 10, 30, 100])
        feature = 2.0 * kind + rng.normal(0, 0.2) + rng.normal(0, 4, 5) / np.sqrt(spikes)
        known.append(evidence.Evidence(np.stack([rng.normal(size=5), feature], axis=1), np.zeros(5), spikes))
    stages = evidence.calibrate_stages(known, label)
    found = np.array([evidence.as_spikes_arrive(each, stages).value for each in known])
    sure = np.abs(found - 0.5).mean(axis=0)
    assert (np.diff(sure) > 0.02).all()
    error = [top_calibration_error(label, np.stack([1 - row, row], axis=1)) for row in found.T]
    assert max(error) < 0.06
    late = evidence.as_spikes_arrive(known[0]._replace(spikes=np.array([2, 4, 20, 50, 900])), stages).value
    np.testing.assert_array_equal(late, found[0])  # between stages the one before counts


def test_calls_settle():
    nothing, one = np.zeros(7), np.ones(1)  # one feature of six splines, none of which counts
    stage = evidence.Calibration(0 * one, one, nothing, nothing + 1, np.eye(8)[1], np.eye(8)[[1]])
    found = (stage,) * len(evidence.STAGES)
    votes, spikes = np.array([[-2.0, 1, 1, 1, 1, 1]]), np.zeros((6, 160))
    known = evidence.of_cell(votes, spikes, lambda mean_pA: mean_pA[:, :1], (1, 3, 4, 10))
    np.testing.assert_allclose(known.x[:, 0], [-2, 0, 0.25, 0.5])  # after 1, 3, 4 and all 6
    assert list(known.spikes) == [1, 3, 4, 6]
    after = evidence.as_spikes_arrive(known, found).value
    assert after[0] < 0.5 < after[-1]
    assert evidence.settled_after(known.spikes, after) == 4
    certain = evidence.of_cell(np.ones((2, 5)), spikes[:5], lambda mean_pA: mean_pA[:, :1], (1, 3))
    assert evidence.settled_after(certain.spikes, evidence.as_spikes_arrive(certain, found).value) == 1


@pytest.mark.parametrize("apart", [0.6, 0.9])
def test_few_cells_that_are_well_apart_are_called(apart):
    """Laplace's interval has both classes in it for every cell, the surer the better they are apart."""
    rng = np.random.default_rng(0)

    def cells(count):
        label = (np.arange(count) % 3 > 0).astype(int)
        sign = 2 * label - 1
        vote = np.clip(sign * apart + rng.normal(0, 0.3, count), -1, 1)
        return np.column_stack([vote, sign + rng.normal(size=count)]), label

    (x, label), (new, truth) = cells(32), cells(400)
    found = evidence.probability(evidence.calibrate(x, label), new, np.full(400, 1e-3))
    called = (found.low > 0.5) | (found.high < 0.5)
    assert called.mean() > 0.7
    assert ((found.value > 0.5) == truth)[called].mean() > 0.97
    assert (found.low <= found.value).all()
    assert (found.value <= found.high).all()
