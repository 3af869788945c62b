"""The model offered for subclasses: support vectors and plain networks, averaged, calibrated inside the training part.

Support vectors see a cell's neighbours, networks its directions: they err on different cells. Decision values become
probabilities by a logistic regression (Platt), the geometric mean of the two is sharpened or blunted by one exponent
(temperature scaling, Guo et al. 2017); both are fitted to out-of-fold values of inner folds, donors apart. C, gamma,
widths and weight decay were chosen on splits of other seeds (100 to 111) than those reported.
"""

import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from spiketype.datasets.allen.table import AllenTable
from spiketype.datasets.fingerprint import fingerprint
from spiketype.edge import Json, PyTree, UserError
from spiketype.train.judging.calibration import best_exponent, geometric_mean, inner_folds, platt, sharpen, softmax
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.figures import calls_confusion, reliability_figure
from spiketype.train.judging.scale import Scale
from spiketype.train.task import Judgement, refuse_training_data
from spiketype.train.tasks.subclass.config import SubclassConfig
from spiketype.train.tasks.subclass.data import LABEL, Cells, NewCells

NETWORKS = 3
AXES, SHAPE_WEIGHT, MOST_SD = 20, 4.0, (3.0, 4.0)
ABSENT = -1.0  # the decision value of a class that a training part lacks: that of the least likely one
OFFERED = "model offered"

Inputs = Float[np.ndarray, "cell input"]
Labels = Int[np.ndarray, " cell"]
Probabilities = Float[np.ndarray, "cell class"]


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


def fit(x: Inputs, label: Labels, donor: Labels, features: int, classes: int, seed: int) -> Calibrated:
    """Fit and calibrate an ensemble on training cells, of whose inputs the first `features` are no shape."""
    calibration = calibrate(x, label, donor, features, classes, seed)
    return Calibrated(Ensemble.fit(x, label, features), calibration)


def calibrate(x: Inputs, label: Labels, donor: Labels, features: int, classes: int, seed: int) -> Calibration:
    """Return the calibration of the ensemble that is fitted to training cells; a class that none has is unlikely."""
    decision, network = (np.zeros((len(x), classes)) for _ in range(2))
    for train, test in inner_folds(label, donor, seed):
        decision[test], network[test] = Ensemble.fit(x[train], label[train], features).predict(x[test], classes)
    return Calibration.of(decision, network, label)


@dataclass(frozen=True)
class SubclassModel:
    """What a run offers: ensembles of features alone and, where cells have them, of action potentials too.

    A run keeps numbers, no pickles: the training cells and the calibrations, to which the ensembles are fitted again.

    Attributes:
        x: the training cells, NaN where not measured: features, then the shape of the action potential.
        label: their classes.
        calibrations: number of inputs, the first ones -> calibration of the ensemble that sees so many.
        class_names: of the classes.
        features: names of the features.
        specimens: names of the training cells.
        donors: names of their donors.
        fitted: number of inputs -> the ensemble, once it was asked for.
    """

    x: Inputs
    label: Labels
    calibrations: Mapping[int, Calibration]
    class_names: tuple[str, ...]
    features: tuple[str, ...]
    specimens: tuple[str, ...]
    donors: tuple[str, ...]
    fitted: dict[int, Calibrated] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def fit(cls, table: AllenTable, cells: Cells, seed: int) -> "SubclassModel":
        """Return the model of all cells of a table."""
        widths = [cells.features] + ([cells.x.shape[1]] if cells.spikes else [])
        known = (table.subclass, table.donor, cells.features, len(table.class_names), seed)
        return cls(
            x=cells.x,
            label=table.subclass,
            calibrations={width: calibrate(cells.x[:, :width], *known) for width in widths},
            class_names=table.class_names,
            features=table.feature_names,
            specimens=tuple(map(str, table.specimen_id)),
            donors=tuple(table.donor_names[d] for d in np.unique(table.donor)),
        )

    @classmethod
    def restore(cls, config: SubclassConfig, arrays: PyTree, manifest: Json) -> "SubclassModel":
        """Return the model that `arrays` and `manifest` took apart."""
        calibrations = {
            int(width): Calibration(each["weights"], each["bias"], float(each["exponent"]))
            for width, each in arrays["calibrations"].items()
        }
        names = (tuple(manifest[name]) for name in ("classes", "features", "specimens", "donors"))
        return cls(arrays["x"], arrays["label"], calibrations, *names)

    def arrays(self) -> PyTree:
        """Return the training cells and the calibrations."""
        calibrations = {
            str(width): each._asdict() | {"exponent": np.array(each.exponent)}
            for width, each in self.calibrations.items()
        }
        return {"x": self.x, "label": self.label, "calibrations": calibrations}

    def manifest(self) -> Json:
        """Return names of classes, features, training cells and donors, and the fingerprint of the features."""
        return {
            "classes": list(self.class_names),
            "features": list(self.features),
            "specimens": list(self.specimens),
            "donors": list(self.donors),
            "fingerprint": fingerprint(self.x[:, : len(self.features)]),
        }

    def sees_spike(self, x: Inputs) -> Bool[np.ndarray, " cell"]:
        """Say of which cells an action potential is used."""
        features = len(self.features)
        return np.asarray(np.isfinite(x[:, features:]).any(axis=1) & (max(self.calibrations) > features))

    def probability(self, x: Inputs) -> Probabilities:
        """Return class probabilities of cells, NaN where not measured: features, then the action potential's shape."""
        found, spike = np.zeros((len(x), len(self.class_names))), self.sees_spike(x)
        for width in self.calibrations:
            rows = spike == (width > len(self.features))
            if rows.any():
                found[rows] = self._of(width).probability(x[rows, :width])
        return found

    def _of(self, width: int) -> Calibrated:
        if width not in self.fitted:
            ensemble = Ensemble.fit(self.x[:, :width], self.label, len(self.features))
            self.fitted[width] = Calibrated(ensemble, self.calibrations[width])
        return self.fitted[width]

    def calls(self, cells: NewCells) -> Calls:
        """Return the calls of cells; intervals redraw donors, or cells where donors are unknown."""
        groups = [donor or name for donor, name in zip(cells.donor, cells.names, strict=True)]
        probability = self.probability(cells.x)
        measured = {
            "likeliest": np.array(self.class_names)[probability.argmax(axis=1)],
            "missing_features": np.isnan(cells.x[:, : len(self.features)]).sum(axis=1),
            "action_potential": np.where(self.sees_spike(cells.x), "used", "none"),
        }
        return Calls(
            probability[None],
            np.array([self.class_names.index(name) if name in self.class_names else -1 for name in cells.label]),
            np.unique(groups, return_inverse=True)[1],
            self.class_names,
            cells.names,
            measured,
        )


def predict(config: SubclassConfig, model: SubclassModel, data: Path) -> dict[str, np.ndarray]:
    """Return the calls of the cells of a table or folder; there is none of a cell without any feature."""
    cells = NewCells.read(data, model.features, config.lines)
    nothing = np.isnan(cells.x[:, : len(model.features)]).all(axis=1)
    return model.calls(cells).table(config.certain, never=nothing)


def evaluate(config: SubclassConfig, model: SubclassModel, data: Path) -> Judgement:
    """Judge the model on the labelled cells of a table or folder but those trained on and others of their donors.

    Raises:
        UserError: no labels, an unknown class, the training cells, or no cell that is new.
    """
    cells, classes = NewCells.read(data, model.features, config.lines), model.class_names
    if unknown := sorted(set(cells.label) - {*classes, ""}):
        raise UserError(f"{data}: class {unknown[0]!r} is unknown, not one of {', '.join(classes)}")
    labelled = np.array([name != "" for name in cells.label])
    if not labelled.any():
        raise UserError(f"{data} has no labels: a column {LABEL} of {', '.join(classes)}; or use train.predict")
    refuse_training_data(model.manifest(), fingerprint(cells.x[labelled, : len(model.features)]), data)
    known = np.array([name.split("_")[0] in model.specimens for name in cells.names])
    known |= np.isin(cells.donor, model.donors)
    if not (labelled & ~known).any():
        raise UserError(f"{data}: the run was trained on these cells or their donors; the run's summary judges them")
    if (labelled & known).any():
        print(f"{data}: {(labelled & known).sum()} cells left out: trained on, or of such donors", file=sys.stderr)
    calls = model.calls(cells.take(labelled & ~known))
    summary = {
        "task": "subclass",
        "split": f"cells of {data.name}",
        "optimistic": False,
        "classes": list(classes),
        "cells": len(calls.label),
        "donors": len(np.unique(calls.group)),
        "rows": {OFFERED: calls.rates(config.seed)},
    }
    figures = {
        "confusion": calls_confusion({OFFERED: calls}, f"cells of {data.name}"),
        "reliability": reliability_figure({OFFERED: calls}, f"cells of {data.name}"),
    }
    return Judgement(summary, calls, figures, name=OFFERED)
