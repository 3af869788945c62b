"""Support vectors and plain networks, averaged and calibrated inside the training part. NumPy and scikit-learn.

Support vectors see a cell's neighbours, networks its directions: they err on different cells. Decision values become
probabilities by a logistic regression (Platt), the geometric mean of the two is sharpened or blunted by one exponent
(temperature scaling, Guo et al. 2017); both are fitted to out-of-fold values of inner folds, donors apart. C, gamma,
widths and weight decay were chosen on splits of other seeds (100 to 111) than those reported.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from spiketype.models.calibration import best_exponent, geometric_mean, platt, sharpen, softmax
from spiketype.models.scale import Scale

NETWORKS = 3
AXES, SHAPE_WEIGHT, MOST_SD = 20, 4.0, (3.0, 4.0)
ABSENT = -1.0  # the decision value of a class that a training part lacks: that of the least likely one

Inputs = Float[np.ndarray, "cell input"]
Labels = Int[np.ndarray, " cell"]
Probabilities = Float[np.ndarray, "cell class"]
Folds = Sequence[tuple[np.ndarray, np.ndarray]]  # rows that train, rows that test


class View(NamedTuple):
    """What a training part tells of the inputs.

    Attributes:
        scale: of all.
        axes: directions of the action potentials' shape; none for cells without action potentials.
    """

    scale: Scale
    axes: Float[np.ndarray, "axis shape"]

    @classmethod
    def of(cls, x: Inputs, features: int) -> "View":
        """Return the view of training cells, whose first inputs are features, the others the action potential's shape.

        The directions are principal components, whitened half way; together they weigh `SHAPE_WEIGHT` features.
        """
        scale = Scale.of(x)
        z = _clip(scale.apply(x)[:, features:], 1)
        if not z.shape[1]:
            return cls(scale, np.zeros((0, 0)))
        _, size, axes = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
        known = min(AXES, int((size > 1e-6 * size[0]).sum()))
        sd = size[:known] / np.sqrt(len(z))
        return cls(scale, axes[:known] / np.sqrt(sd)[:, None] * np.sqrt(SHAPE_WEIGHT / sd.sum()))

    def apply(self, x: Inputs) -> Float[np.ndarray, "cell seen"]:
        """Return what the models see: features, and the shape along the axes."""
        z = self.scale.apply(x).astype(np.float64)
        features = z.shape[1] - self.axes.shape[1]
        return np.concatenate([_clip(z[:, :features], 0), _clip(z[:, features:], 1) @ self.axes.T], axis=1)


def _clip(z: np.ndarray, kind: int) -> np.ndarray:
    return np.asarray(np.clip(z, -MOST_SD[kind], MOST_SD[kind]))


class Calibration(NamedTuple):
    """Weights and bias from decision values to logits; the exponent of the mean with the networks."""

    weights: Float[np.ndarray, "class class"]
    bias: Float[np.ndarray, " class"]
    exponent: float

    @classmethod
    def of(cls, decision: Probabilities, network: Probabilities, label: Labels) -> "Calibration":
        """Return the calibration of out-of-fold decision values and mean probabilities of the networks."""
        weights, bias = platt(decision, label, decision.shape[1])
        both = geometric_mean(softmax(decision @ weights.T + bias), network)
        return cls(weights, bias, best_exponent(both, label))

    def apply(self, decision: Probabilities, network: Probabilities) -> Probabilities:
        """Return probabilities for decision values and mean probabilities of the networks."""
        return sharpen(geometric_mean(softmax(decision @ self.weights.T + self.bias), network), self.exponent)


class Ensemble(NamedTuple):
    """Support vectors and networks fitted to training cells, not calibrated."""

    view: View
    svc: SVC
    networks: tuple[MLPClassifier, ...]

    @classmethod
    def fit(cls, x: Inputs, label: Labels, features: int) -> "Ensemble":
        """Fit to training cells, whose first inputs are features."""
        view = View.of(x, features)
        z = view.apply(x)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is meant
            networks = tuple(
                MLPClassifier((64, 32), alpha=3.0, learning_rate_init=3e-3, max_iter=60, random_state=k).fit(z, label)
                for k in range(NETWORKS)
            )
        return cls(view, SVC(C=3.0, gamma=0.02).fit(z, label), networks)

    def predict(self, x: Inputs, classes: int) -> tuple[Probabilities, Probabilities]:
        """Return decision values of the support vectors, and the mean probability of the networks."""
        z = self.view.apply(x)
        values = self.svc.decision_function(z)
        if values.ndim == 1:  # of two classes
            values = np.stack([-values, values], axis=1)
        decision, network = np.full((len(x), classes), ABSENT), np.zeros((len(x), classes))
        decision[:, self.svc.classes_] = values
        network[:, self.svc.classes_] = np.mean([each.predict_proba(z) for each in self.networks], axis=0)
        return decision, network


class Calibrated(NamedTuple):
    """An ensemble with its calibration: a model that gives probabilities."""

    ensemble: Ensemble
    calibration: Calibration

    def probability(self, x: Inputs) -> Probabilities:
        """Return class probabilities of cells, NaN where not measured."""
        return self.calibration.apply(*self.ensemble.predict(x, len(self.calibration.bias)))


def fit(x: Inputs, label: Labels, folds: Folds, features: int, classes: int) -> Calibrated:
    """Fit and calibrate an ensemble on training cells, of whose inputs the first `features` are no shape.

    folds: inner ones, donors apart.
    """
    return Calibrated(Ensemble.fit(x, label, features), calibrate(x, label, folds, features, classes))


def calibrate(x: Inputs, label: Labels, folds: Folds, features: int, classes: int) -> Calibration:
    """Return the calibration of the ensemble that `fit` fits; a class that no cell has is unlikely."""
    decision, network = (np.zeros((len(x), classes)) for _ in range(2))
    for train, test in folds:
        decision[test], network[test] = Ensemble.fit(x[train], label[train], features).predict(x[test], classes)
    return Calibration.of(decision, network, label)
