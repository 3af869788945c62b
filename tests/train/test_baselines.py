"""Baselines: probabilities whatever a part lacks, groups apart inside, a missing library; majority and logistic."""

import logging

import numpy as np
import pytest

from spiketype.datasets.splits import Fold, inner_folds
from spiketype.models import classifiers, label_shift
from spiketype.models.scale import Scale
from spiketype.train.judging import baselines


def cells(n=90, classes=3):
    rng = np.random.default_rng(0)
    donor = np.repeat(np.arange(n // 3), 3)
    label = donor % classes
    x = rng.normal(size=(n, 4))
    x[np.arange(n), label] += 3
    return x, label, donor


@pytest.mark.slow
@pytest.mark.parametrize("name", classifiers.MODELS)
def test_every_model_gives_probabilities_and_beats_chance(name):
    x, label, donor = cells()
    inner = inner_folds(label[:60], donor[:60], 0)
    found = classifiers.nested(name, x[:60], label[:60], inner, x[60:], 4)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert (found[:, 3] == 0).all()  # a class that the training part lacks
    assert (found.argmax(axis=1) == label[60:]).mean() > 0.6


def test_a_class_of_a_single_donor_leaves_probabilities_finite():
    x, label, donor = cells()
    label = np.where(donor == 0, 3, label)
    found = classifiers.nested(classifiers.SVC_NAME, x, label, inner_folds(label, donor, 0), x, 4)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_inner_folds_keep_donors_apart_and_test_every_cell_once():
    _, label, donor = cells()
    parts = inner_folds(label, donor, 0)
    for train, test in parts:
        assert not np.isin(donor[train], donor[test]).any()
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in parts])), np.arange(len(label)))


def test_out_of_fold_probabilities_of_repeats():
    x, label, donor = cells()
    halves = [np.flatnonzero(donor % 2 == k) for k in (0, 1)]
    folds = [Fold(halves[0], halves[1], "a"), Fold(halves[1], halves[0], "b")] * 2
    scales = [Scale.of(x[fold.train]) for fold in folds]
    names = (classifiers.LOGISTIC_NAME,)
    found = baselines.out_of_fold(x, label, donor, 3, folds, scales, 2, 0, names)
    assert set(found) == {*names, baselines.MAJORITY}
    for probability in found.values():
        assert probability.shape == (2, len(x), 3)
        np.testing.assert_allclose(probability.sum(axis=2), 1)
    few = baselines.out_of_fold(x, label, donor, 3, folds[:1], scales[:1], 1, 0, names, most=30, even=True)
    assert np.isnan(few[names[0]][0, halves[0]]).all()  # not tested
    np.testing.assert_allclose(few[names[0]][0, halves[1]].sum(axis=1), 1)


def test_without_the_library_boosted_trees_are_said_to_be_left_out(monkeypatch, capsys):
    monkeypatch.setattr(baselines, "find_spec", lambda name: None)
    assert classifiers.TREES_NAME not in baselines.available()
    assert "boosted trees are left out: they need LightGBM (uv sync --extra trees" in capsys.readouterr().err


def test_a_scale_imputes_medians_and_knows_columns_that_nobody_has():
    x = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    z = Scale.of(x).apply(x)
    assert np.isfinite(z).all()
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-6)
    assert z[2, 0] == 0


def test_a_column_that_varies_by_rounding_alone_tells_nothing_of_a_row_that_differs_from_it():
    x = np.random.default_rng(0).normal(size=(37, 3)) * (1, 1e-9, 1e-9) + (0, 1, 0)
    x[:, 1] = x[:, 1].astype(np.float32)  # shares that sum to one, give or take rounding
    scale, moments = Scale.of(x), label_shift.moments(x, np.ones(len(x)))
    np.testing.assert_allclose(scale.sd, moments[1])
    np.testing.assert_allclose(scale.sd, (x[:, 0].std(), 1, x[:, 2].std()))  # the last is small, and varies
    assert np.abs(scale.apply(np.array([[0, 1.01, 0]]))).max() < 1


def test_rows_are_thinned_alike_from_all_groups():
    group = np.repeat([0, 1, 2], [100, 20, 3])
    kept = baselines.thin(np.arange(123), group, 30, 0)
    assert np.bincount(group[kept]).tolist() == [14, 13, 3]
    assert (np.diff(kept) > 0).all()
    np.testing.assert_array_equal(baselines.thin(np.arange(20), group, 30, 0), np.arange(20))


def test_evened_probabilities_are_those_of_equally_frequent_classes():
    label = np.array([0] * 90 + [1] * 10)
    np.testing.assert_allclose(classifiers.evened(np.array([[0.9, 0.1]]), label), [[0.5, 0.5]])


def test_majority():
    probability = classifiers.majority(np.array([0, 1, 1, 1]), 5, 3)
    assert probability.shape == (5, 3)
    assert (probability.argmax(axis=1) == 1).all()


def test_logistic_of_images_learns_and_pads_absent_classes():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    x = np.eye(4)[y] * [1e4, 1, 1e-3, 1] + rng.normal(size=(600, 4)) * [1e3, 0.1, 1e-4, 1]
    probability = classifiers.logistic_of_images(x[:400].reshape(-1, 2, 2), y[:400], x[400:].reshape(-1, 2, 2), 5)
    assert probability.shape == (200, 5)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert (probability[:, 3:] == 0).all()
    assert (probability.argmax(axis=1) == y[400:]).mean() > 0.97


def test_logistic_of_images_says_when_it_has_not_converged(monkeypatch, caplog):
    monkeypatch.setattr(classifiers, "MAX_ITERATIONS", 1)
    rng = np.random.default_rng(0)
    with caplog.at_level(logging.WARNING):
        classifiers.logistic_of_images(rng.normal(size=(50, 4)), rng.integers(0, 2, 50), rng.normal(size=(3, 4)), 2)
    assert "not converged" in caplog.text
