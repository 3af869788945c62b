"""Judging: measures of class probabilities against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

from spiketype.train.judging import metrics
from spiketype.train.judging.intervals import percentile


def test_measures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, probability = rng.integers(0, 5, 200), rng.dirichlet(np.ones(5), 200)
    called = probability.argmax(axis=1)
    assert metrics.balanced_accuracy(y, probability) == pytest.approx(balanced_accuracy_score(y, called))
    assert metrics.macro_f1(y, probability) == pytest.approx(f1_score(y, called, average="macro"))
    assert metrics.nll(y, probability) == pytest.approx(log_loss(y, probability, labels=range(5)))


def test_calibration_and_selection():
    probability = np.tile([0.8, 0.2], (10, 1))
    y = np.array([0] * 8 + [1] * 2)
    assert metrics.top_calibration_error(y, probability) == pytest.approx(0)
    assert metrics.top_calibration_error(np.zeros(10, int), probability) == pytest.approx(0.2)
    sure = np.concatenate([np.tile([0.99, 0.01], (8, 1)), probability[:2]])
    assert metrics.selective(y, sure, 0.8) == 1


def test_an_interval_reaches_to_a_value_that_noise_can_but_raise():
    draws = np.linspace(0.01, 0.05, 100)
    assert percentile(0.0, draws, units=20).low == 0.0
    assert percentile(0.03, draws, units=20).low > 0.005


def test_resamples_without_a_value_are_left_out_or_too_many_to_tell():
    draws = np.linspace(0.0, 1.0, 100)[:, None] * [1, 1]
    some = np.where(np.arange(100)[:, None] < [5, 6], np.nan, draws)
    few, many = (percentile(np.array([0.5, 0.5]), some, units=20).at(k) for k in (0, 1))
    assert few == percentile(0.5, draws[5:, 0], units=20)
    assert np.isnan([many.low, many.high]).all()
    assert percentile(0.5, some[:, 1], units=20, undefined=0.5).low < 0.1
    assert np.isnan(percentile(np.nan, draws[:, 0], units=20)).all()
