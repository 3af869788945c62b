"""Baselines of the Allen tasks: probabilities whatever a part lacks, donors apart inside, a missing library."""

import numpy as np
import pytest

from spiketype.datasets.splits import Fold
from spiketype.train.judging import nested as allen_baselines
from spiketype.train.judging.scale import Scale


def cells(n=90, classes=3):
    rng = np.random.default_rng(0)
    donor = np.repeat(np.arange(n // 3), 3)
    label = donor % classes
    x = rng.normal(size=(n, 4))
    x[np.arange(n), label] += 3
    return x, label, donor


@pytest.mark.slow
@pytest.mark.parametrize("name", allen_baselines.MODELS)
def test_every_model_gives_probabilities_and_beats_chance(name):
    x, label, donor = cells()
    said = allen_baselines.probability(name, x[:60], label[:60], donor[:60], x[60:], 4, 0)
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-6)
    assert (said[:, 3] == 0).all()  # a class that the training part lacks
    assert (said.argmax(axis=1) == label[60:]).mean() > 0.6


def test_a_class_of_a_single_donor_leaves_probabilities_finite():
    x, label, donor = cells()
    label = np.where(donor == 0, 3, label)
    said = allen_baselines.probability(allen_baselines.SVC_NAME, x, label, donor, x, 4, 0)
    assert np.isfinite(said).all()
    np.testing.assert_allclose(said.sum(axis=1), 1)


def test_inner_folds_keep_donors_apart_and_test_every_cell_once():
    _, label, donor = cells()
    parts = allen_baselines.inner_folds(label, donor, 0)
    for train, test in parts:
        assert not np.isin(donor[train], donor[test]).any()
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in parts])), np.arange(len(label)))


def test_out_of_fold_probabilities_of_repeats():
    x, label, donor = cells()
    halves = [np.flatnonzero(donor % 2 == k) for k in (0, 1)]
    folds = [Fold(halves[0], halves[1], "a"), Fold(halves[1], halves[0], "b")] * 2
    scales = [Scale.of(x[fold.train]) for fold in folds]
    names = (allen_baselines.LOGISTIC_NAME,)
    found = allen_baselines.out_of_fold(x, label, donor, 3, folds, scales, 2, 0, names)
    assert set(found) == {*names, allen_baselines.MAJORITY}
    for said in found.values():
        assert said.shape == (2, len(x), 3)
        np.testing.assert_allclose(said.sum(axis=2), 1)


def test_without_the_library_boosted_trees_are_said_to_be_left_out(monkeypatch, capsys):
    monkeypatch.setattr(allen_baselines, "find_spec", lambda name: None)
    assert allen_baselines.TREES_NAME not in allen_baselines.available()
    assert "boosted trees are left out: they need LightGBM (uv sync --extra trees" in capsys.readouterr().err


def test_a_scale_imputes_medians_and_knows_columns_that_nobody_has():
    x = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    z = Scale.of(x).apply(x)
    assert np.isfinite(z).all()
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-6)
    assert z[2, 0] == 0
