"""The ensemble offered for subclasses: calibration, what is missing, absent classes."""

import numpy as np
import pytest

from spiketype.datasets.splits import inner_folds
from spiketype.models.ensemble import Calibrated, Calibration, fit
from tests.models import three_classes


@pytest.fixture(scope="module")
def cells():
    return three_classes.cells()


def fitted_to(x, label, donor, classes=3):
    return fit(x, label, inner_folds(label, donor, 0), 5, classes)


@pytest.fixture(scope="module")
def fitted(cells):
    return fitted_to(*cells)


def test_it_learns_and_its_probabilities_are_probabilities(cells, fitted):
    x, label, _ = cells
    probability = fitted.probability(x)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert (probability.argmax(axis=1) == label).mean() > 0.85
    assert 0.5 <= fitted.calibration.exponent <= 2


def test_a_cell_without_any_value_is_a_cell_of_medians(fitted):
    nothing = np.full((1, 13), np.nan)
    np.testing.assert_allclose(fitted.probability(nothing), fitted.probability(fitted.ensemble.view.scale.median[None]))


def test_a_single_cell_gets_what_it_gets_among_others(cells, fitted):
    x, _, _ = cells
    np.testing.assert_allclose(fitted.probability(x[3:4]), fitted.probability(x)[3:4], atol=1e-9)


def test_a_class_that_the_training_part_lacks_gets_next_to_nothing(cells):
    x, label, donor = cells
    here = label != 2
    probability = fitted_to(x[here], label[here], donor[here]).probability(x)
    assert np.isfinite(probability).all()
    assert probability[:, 2].max() < 0.02


def test_of_two_classes_support_vectors_count(cells):
    """Their one column of coefficients must not move both classes alike."""
    x, label, donor = cells
    here = label < 2
    model = fitted_to(x[here], label[here], donor[here], 2)
    moved = Calibrated(model.ensemble, model.calibration._replace(weights=-model.calibration.weights))
    assert (model.probability(x[here]).argmax(axis=1) == label[here]).mean() > 0.85
    assert np.abs(model.probability(x[here]) - moved.probability(x[here])).mean() > 0.1


def test_calibration_finds_the_exponent_of_probabilities_that_are_too_sharp():
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(3), 3000)
    label = np.array([rng.choice(3, p=each) for each in p])
    sharp = p**1.6 / (p**1.6).sum(axis=1, keepdims=True)
    found = Calibration.of(np.log(p), sharp, label)
    assert 1 / 1.6 < found.exponent < 1
    probability = found.apply(np.log(p), sharp)
    assert np.abs(probability - p).mean() < 0.01
