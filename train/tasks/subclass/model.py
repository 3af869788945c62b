"""The model offered for subclasses, `models.ensemble`, and its use on cells that the run has not seen."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from spiketype.datasets.allen.cells import LABEL, NewCells
from spiketype.datasets.allen.columns import implausible, tell_far
from spiketype.datasets.allen.table import AllenTable
from spiketype.datasets.fingerprint import of_rows
from spiketype.datasets.splits import inner_folds, part_of_each, rows_of
from spiketype.edge import Json, PyTree, UserError, progress
from spiketype.models.classifiers import majority
from spiketype.models.ensemble import Calibrated, Calibration, Ensemble, Inputs, Labels, Probabilities, calibrate, fit
from spiketype.models.missing import MANY, MOST_FILLED, ODD, TOO_FEW, alike, far, odd, too_few
from spiketype.models.scale import Scale
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.figures import calls_confusion, reliability_figure
from spiketype.train.task import Judgement, new_rows
from spiketype.train.tasks.subclass.config import SubclassConfig

OFFERED = "model offered"


@dataclass(frozen=True)
class SubclassModel:
    """What a run offers: ensembles of features alone and, where cells have them, of action potentials too.

    A run keeps numbers, no pickles: the training cells and the calibrations, to which the ensembles are fitted again.
    Cells that lack more than a few features get one of those that they have, calibrated anew (`models.missing`).

    Attributes:
        x: the training cells, NaN where not measured: features, then the shape of the action potential.
        label: their classes.
        part: which inner part calibrates each of them.
        calibrations: number of inputs, the first ones -> calibration of the ensemble that sees so many.
        class_names: of the classes.
        features: names of the features.
        specimens: names of the training cells.
        donors: names of their donors.
        fitted: which inputs, as bytes -> the ensemble of them, once it was asked for.
    """

    x: Inputs
    label: Labels
    part: Labels
    calibrations: Mapping[int, Calibration]
    class_names: tuple[str, ...]
    features: tuple[str, ...]
    specimens: tuple[str, ...]
    donors: tuple[str, ...]
    fitted: dict[bytes, Calibrated] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def fit(cls, table: AllenTable, x: Inputs, seed: int) -> "SubclassModel":
        """Return the model of all cells of a table, with the shapes of action potentials behind their features."""
        features, folds = table.x.shape[1], inner_folds(table.subclass, table.donor, seed)
        known = (table.subclass, folds, features, len(table.class_names))
        return cls(
            x=x,
            label=table.subclass,
            part=part_of_each(folds, len(x)),
            calibrations={width: calibrate(x[:, :width], *known) for width in reversed(widths(x, features))},
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
        return cls(arrays["x"], arrays["label"], arrays["part"], calibrations, *names)

    def arrays(self) -> PyTree:
        """Return the training cells and the calibrations."""
        calibrations = {
            str(width): each._asdict() | {"exponent": np.array(each.exponent)}
            for width, each in self.calibrations.items()
        }
        return {"x": self.x, "label": self.label, "part": self.part, "calibrations": calibrations}

    def manifest(self) -> Json:
        """Return names of classes, features, training cells and donors."""
        return {
            "classes": list(self.class_names),
            "features": list(self.features),
            "specimens": list(self.specimens),
            "donors": list(self.donors),
        }

    def sees_spike(self, x: Inputs) -> Bool[np.ndarray, " cell"]:
        """Say of which cells an action potential is used: where hardly a number of its shape is missing."""
        features = len(self.features)
        if max(self.calibrations) == features:
            return np.zeros(len(x), bool)
        return np.asarray(np.isnan(x[:, features:]).mean(axis=1) <= MOST_FILLED)

    def probability(self, x: Inputs) -> Probabilities:
        """Return class probabilities of cells, NaN where not measured: features, then the action potential's shape.

        Cells of which hardly a feature is measured get the frequencies of the training cells.
        """
        features, spike = len(self.features), self.sees_spike(x)
        found = np.tile(majority(self.label, 1, len(self.class_names)), (len(x), 1))
        groups = [one for one in alike(x[:, :features]) if one.kept.any()]
        each = [(rows[spike[rows] == seen], kept, seen) for rows, kept in groups for seen in np.unique(spike[rows])]
        with progress(hidden=len(each) < MANY) as bar:
            for rows, kept, seen in bar.track(each, description="models of the features measured"):
                sees = np.concatenate([kept, np.full(self.x.shape[1] - features, seen)])
                found[rows] = self._of(sees).probability(np.compress(sees, x[rows], axis=1))
        return found

    def _of(self, sees: Bool[np.ndarray, " input"]) -> Calibrated:
        """Return the ensemble of some inputs; its calibration is the run's own where it has all features."""
        if (key := sees.tobytes()) not in self.fitted:
            x, features = np.compress(sees, self.x, axis=1), int(sees[: len(self.features)].sum())
            if features == len(self.features):
                ensemble = Ensemble.fit(x, self.label, features)
                self.fitted[key] = Calibrated(ensemble, self.calibrations[x.shape[1]])
            else:
                self.fitted[key] = fit(x, self.label, rows_of(self.part), features, len(self.class_names))
        return self.fitted[key]

    def believed(self, cells: NewCells, data: Path) -> tuple[NewCells, Bool[np.ndarray, " cell"]]:
        """Return cells without values that nobody measured, which are told, and which cells have many of them."""
        width = len(self.features)
        given = cells.x[:, :width]
        wrong = far(given, Scale.of(self.x[:, :width])) | implausible(given, self.features)
        tell_far(data, wrong, cells.x, cells.names, self.features)
        x = cells.x.copy()
        x[:, :width][wrong] = np.nan
        return cells._replace(x=x), odd(wrong, given)

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


def widths(x: Inputs, features: int) -> tuple[int, ...]:
    """Return how many inputs the models offered see: all, where any cell has an action potential, and the features."""
    return (x.shape[1], features) if np.isfinite(x[:, features:]).any() else (features,)


def predict(config: SubclassConfig, model: SubclassModel, data: Path) -> dict[str, np.ndarray]:
    """Return the calls of the cells of a table or folder; there is none of a cell that lacks nearly all features."""
    cells, strange = model.believed(NewCells.read(data, model.features, config.lines), data)
    few = too_few(cells.x[:, : len(model.features)])
    return model.calls(cells).table(config.certain, never={ODD: strange, TOO_FEW: few})


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
        raise UserError(f"{data} has no labels: a column {LABEL} of {', '.join(classes)}; or use spiketype predict")
    cells, width = cells.take(labelled), len(model.features)
    cells = cells.take(new_rows(of_rows(model.x[:, :width]), of_rows(cells.x[:, :width]), data, "cells"))
    known = np.array([name.split("_")[0] in model.specimens for name in cells.names])
    known |= np.isin(cells.donor, model.donors)
    if known.all():
        raise UserError(f"{data}: the run was trained on these cells or their donors; the run's summary judges them")
    if known.any():
        print(f"{data}: {known.sum()} cells left out: of names or donors that were trained on", file=sys.stderr)
    cells, _ = model.believed(cells.take(~known), data)
    calls, title = model.calls(cells), f"cells of {data.name}"
    models = {OFFERED: calls}
    drawn = {"confusion": calls_confusion(models, title), "reliability": reliability_figure(models, title)}
    result = headline(title, False, models, config.seed)
    if not any(cells.donor):
        result["donors"] = None  # the table does not say
    return Judgement(result, calls, drawn, name=OFFERED)


def headline(split: str, optimistic: bool, models: Mapping[str, Calls], seed: int) -> Json:
    """Return the numbers that runs and evaluations have alike."""
    first = next(iter(models.values()))
    return {
        "task": "subclass",
        "split": split,
        "optimistic": optimistic,
        "classes": list(first.class_names),
        "cells": len(first.label),
        "donors": len(np.unique(first.group)),
        "rows": {name: calls.rates(seed) for name, calls in models.items()},
    }
