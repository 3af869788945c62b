"""The model offered for subclasses: support vectors and plain networks, averaged, calibrated inside the training part.

Support vectors see a cell's neighbours, networks its directions: they err on different cells. Decision values become
probabilities by a logistic regression (Platt), the geometric mean of the two is sharpened or blunted by one exponent
(temperature scaling, Guo et al. 2017); both are fitted to out-of-fold values of inner folds, donors apart. C, gamma,
widths and weight decay were chosen on splits of other seeds (100 to 111) than those reported.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from spiketype.train.judging.nested import inner_folds
from spiketype.train.judging.scale import Scale

NETWORKS = 3
AXES, SHAPE_WEIGHT, MOST_SD = 20, 4.0, (3.0, 4.0)
FLOOR = 1e-5
ABSENT = -1.0  # the decision value of a class that a training part lacks: that of the least likely one


class View(NamedTuple):
    """What a training part says of the inputs: the scale of all, and directions of the action potentials' shape.

    ``axes`` (axis, shape) has none for cells without action potentials.
    """

    scale: Scale
    axes: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, features: int) -> "View":
        """Of training cells x (cell, input): features, then the action potential's shape.

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

    def apply(self, x: np.ndarray) -> np.ndarray:
        """What the models see of x (cell, input): (cell, feature + axis)."""
        z = self.scale.apply(x).astype(np.float64)
        features = z.shape[1] - self.axes.shape[1]
        return np.concatenate([_clip(z[:, :features], 0), _clip(z[:, features:], 1) @ self.axes.T], axis=1)


def _clip(z: np.ndarray, kind: int) -> np.ndarray:
    return np.clip(z, -MOST_SD[kind], MOST_SD[kind])


class Calibration(NamedTuple):
    """Weights (class, class) and bias (class,) from decision values to logits; the exponent of the mean."""

    weights: np.ndarray
    bias: np.ndarray
    exponent: float

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        return {"weights": self.weights.tolist(), "bias": self.bias.tolist(), "exponent": self.exponent}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Calibration":
        """What `to_json` gave."""
        return cls(np.array(values["weights"]), np.array(values["bias"]), float(values["exponent"]))

    def apply(self, decision: np.ndarray, network: np.ndarray) -> np.ndarray:
        """Probabilities (cell, class) of decision values and of the networks' mean probability."""
        return _power(_mean(_softmax(decision @ self.weights.T + self.bias), network), self.exponent)


class Ensemble(NamedTuple):
    """A fitted model."""

    view: View
    svc: SVC
    networks: Sequence[MLPClassifier]
    calibration: Calibration

    def probability(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (cell, class) of cells x (cell, input), NaN where not measured."""
        return self.calibration.apply(*_say(self.view, self.svc, self.networks, x, len(self.calibration.bias)))


def fit(x: np.ndarray, label: np.ndarray, donor: np.ndarray, features: int, classes: int, seed: int) -> Ensemble:
    """Fit to training cells x (cell, input), of which the first `features` are no shape; label and donor (cell,)."""
    decision, network = (np.zeros((len(x), classes)) for _ in range(2))
    for train, test in inner_folds(label, donor, seed):
        decision[test], network[test] = _say(*_fit(x[train], label[train], features), x[test], classes)
    return refit(x, label, features, calibrate(decision, network, label))


def calibrate(decision: np.ndarray, network: np.ndarray, label: np.ndarray) -> Calibration:
    """Of out-of-fold values (cell, class) of labelled cells; a class that none has gets the least probability."""
    platt = LogisticRegression(max_iter=500).fit(decision, label)
    weights, bias = np.zeros((decision.shape[1],) * 2), np.full(decision.shape[1], np.log(FLOOR))
    weights[platt.classes_], bias[platt.classes_] = platt.coef_, platt.intercept_
    both = _mean(_softmax(decision @ weights.T + bias), network)

    def loss(exponent: float) -> float:
        return -np.log(_power(both, exponent)[np.arange(len(label)), label]).mean()

    return Calibration(weights, bias, float(minimize_scalar(loss, bounds=(0.5, 2.0), method="bounded").x))


def refit(x: np.ndarray, label: np.ndarray, features: int, calibration: Calibration) -> Ensemble:
    """Fit to training cells with a calibration that is known."""
    return Ensemble(*_fit(x, label, features), calibration)


def _fit(x: np.ndarray, label: np.ndarray, features: int) -> tuple[View, SVC, list[MLPClassifier]]:
    view = View.of(x, features)
    z = view.apply(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is meant
        networks = [
            MLPClassifier((64, 32), alpha=3.0, learning_rate_init=3e-3, max_iter=60, random_state=k).fit(z, label)
            for k in range(NETWORKS)
        ]
    return view, SVC(C=3.0, gamma=0.02).fit(z, label), networks


def _say(
    view: View, svc: SVC, networks: Sequence[MLPClassifier], x: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Decision values and mean probability of the networks, (cell, class) each."""
    z = view.apply(x)
    values = svc.decision_function(z)
    if values.ndim == 1:  # of two classes
        values = np.stack([-values, values], axis=1)
    decision, network = np.full((len(x), classes), ABSENT), np.zeros((len(x), classes))
    decision[:, svc.classes_] = values
    network[:, svc.classes_] = np.mean([each.predict_proba(z) for each in networks], axis=0)
    return decision, network


def _softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Geometric mean of probabilities (cell, class)."""
    both = np.sqrt(np.clip(a, FLOOR, 1) * np.clip(b, FLOOR, 1))
    return both / both.sum(axis=1, keepdims=True)


def _power(p: np.ndarray, exponent: float) -> np.ndarray:
    return _softmax(exponent * np.log(p))
