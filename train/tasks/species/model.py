"""The model that a run of the species task offers, and its use on cells that the run has not seen.

Support vectors on species brought to one scale: the mouse is weighted to the class frequencies of the human. Where
there are no human labels the frequencies are estimated, again and again (models.label_shift). They are a few arrays, so
that cells are called with NumPy alone. The networks are kept beside them, to be judged on other data.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from scipy.special import expit
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

from spiketype.datasets import allen
from spiketype.datasets.allen.table import SPECIES, AllenTable
from spiketype.edge import Json, PyTree, UserError
from spiketype.models import label_shift
from spiketype.train.judging.calibration import inner_folds, platt
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.figures import calls_confusion, reliability_figure
from spiketype.train.task import Judgement, Member, refuse_training_data
from spiketype.train.tasks.species.cells import CLASSES, HUMAN, MOUSE, TESTED, Cells, Domains, Part, fingerprint_of
from spiketype.train.tasks.species.config import METHODS, Labels, SpeciesConfig
from spiketype.train.tasks.species.networks import Networks, network

OFFERED = "aligned SVC"
C, GAMMA = 3.0, 0.01  # not tuned here: fixed for all settings before a human cell was called
INNER, STRENGTH = 5, 1e3  # of the calibration
COLUMN = "species"


class Svc(NamedTuple):
    """Support vectors of two classes.

    Attributes:
        vectors: standardised cells.
        dual: their weights in the decision value.
        offset: of the decision value.
        slope: of the logit of the probability against the decision value (Platt 1999).
        intercept: of the logit.
    """

    vectors: Float[np.ndarray, "vector feature"]
    dual: Float[np.ndarray, " vector"]
    offset: Float[np.ndarray, ""]
    slope: Float[np.ndarray, ""]
    intercept: Float[np.ndarray, ""]

    @classmethod
    def fit(
        cls,
        z: Float[np.ndarray, "cell feature"],
        y: Int[np.ndarray, " cell"],
        weight: Float[np.ndarray, " cell"],
        donor: Int[np.ndarray, " cell"],
        seed: int = 0,
    ) -> "Svc":
        """Return what is fitted to standardised cells; probabilities are calibrated by inner folds, donors apart."""
        inside = np.zeros(len(y))
        for train, test in inner_folds(y, donor, seed, INNER):
            one = SVC(C=C, gamma=GAMMA).fit(z[train], y[train], sample_weight=weight[train])
            inside[test] = one.decision_function(z[test])
        weights, bias = platt(inside[:, None], y, len(CLASSES), weight, STRENGTH)
        whole = SVC(C=C, gamma=GAMMA).fit(z, y, sample_weight=weight)
        numbers = (np.asarray(value) for value in (whole.intercept_[0], weights[1, 0], bias[1]))
        return cls(whole.support_vectors_, whole.dual_coef_[0], *numbers)

    def decision(self, z: Float[np.ndarray, "cell feature"]) -> Float[np.ndarray, " cell"]:
        """Return decision values: positive is spiny."""
        return np.asarray(rbf_kernel(z, self.vectors, gamma=GAMMA) @ self.dual + self.offset)

    def probability(self, z: Float[np.ndarray, "cell feature"]) -> Float[np.ndarray, "cell class"]:
        """Return the probabilities of standardised cells."""
        spiny = expit(self.slope * self.decision(z) + self.intercept)
        return np.stack([1 - spiny, spiny], axis=1)


class AlignedSvc(NamedTuple):
    """A fitted `Svc`, the scales it stands on, and the estimates of the class frequencies."""

    svc: Svc
    domains: Domains
    prior: Float[np.ndarray, "iteration class"]

    @classmethod
    def fit(cls, table: AllenTable, part: Part, labels: Labels, seed: int) -> "AlignedSvc":
        """Return what is fitted to the training cells of a part.

        labels: "mouse" uses no human cell, "mouse-to-human" no human label, "both" all.
        """
        domains, y = Domains.of(table, part), table.spiny[part.mouse]
        if labels == "mouse-to-human":
            return _without_labels(table, part, domains, seed)
        prior = domains.rate
        if labels == "both":
            prior = np.bincount(table.spiny[part.human], minlength=len(CLASSES)) / len(part.human)
        rows = part.fold.train
        weight = np.ones(len(rows))
        weight[: len(y)] = label_shift.importance(y, prior)
        z = domains.apply(Cells.of(table, rows), prior)
        return cls(Svc.fit(z, table.spiny[rows], weight, table.donor[rows], seed), domains, prior[None])

    def probability(self, cells: Cells) -> Float[np.ndarray, "cell class"]:
        """Return the probabilities of cells."""
        return self.svc.probability(self.domains.apply(cells, self.prior[-1]))

    def arrays(self) -> PyTree:
        """Return it as nested dicts of arrays."""
        return {"svc": self.svc._asdict(), "domains": self.domains.arrays(), "prior": self.prior}

    @classmethod
    def restore(cls, arrays: PyTree) -> "AlignedSvc":
        """Return what `arrays` took apart."""
        return cls(Svc(**arrays["svc"]), Domains.restore(arrays["domains"]), arrays["prior"])


def _without_labels(table: AllenTable, part: Part, domains: Domains, seed: int) -> AlignedSvc:
    """Return what is fitted to mouse labels alone; the last frequencies are those of the last fit."""
    donor, fitted = table.donor[part.mouse], []

    def fit_predict(z: np.ndarray, y: np.ndarray, weight: np.ndarray, target: np.ndarray) -> np.ndarray:
        fitted.append(Svc.fit(z, y, weight, donor, seed))
        return fitted[-1].probability(target)

    mouse, human = (
        np.where(np.isnan(table.x[rows]), scale.median, table.x[rows])
        for rows, scale in ((part.mouse, domains.mouse), (part.human, domains.human))
    )
    found = label_shift.align(mouse, table.spiny[part.mouse], human, fit_predict)
    return AlignedSvc(fitted[-1], domains, found.prior[:-1])


@dataclass(frozen=True)
class SpeciesModel:
    """What a run keeps.

    Attributes:
        offered: support vectors that call new cells.
        networks: of all members.
        about: the manifest: classes, features, members, fingerprint of the table, donors whose labels were trained on,
            specimens that gave the human scale (``adapted``).
    """

    offered: AlignedSvc
    networks: Networks
    about: Json

    def probability(self, cells: Cells) -> Float[np.ndarray, "cell class"]:
        """Return the probabilities of cells."""
        return self.offered.probability(cells)

    def arrays(self) -> PyTree:
        """Return all that is trained or fitted."""
        return {"offered": self.offered.arrays(), "networks": self.networks.arrays()}

    def manifest(self) -> Json:
        """Return what the run tells of itself."""
        return self.about

    @classmethod
    def restore(cls, config: SpeciesConfig, arrays: PyTree, manifest: Json) -> "SpeciesModel":
        """Return what `arrays` and `manifest` took apart."""
        members = tuple(Member(**member) for member in manifest["members"])
        networks = Networks.restore(network(config), members, arrays["networks"])
        return cls(AlignedSvc.restore(arrays["offered"]), networks, manifest)


def for_new_cells(config: SpeciesConfig, table: AllenTable, aligned: Sequence[AlignedSvc]) -> AlignedSvc:
    """Return support vectors of all cells, with the labels of the setting; aligned are those of each part."""
    if config.labels == "mouse-to-human" and config.fold_count == 1:
        return aligned[0]
    mouse, human = (np.flatnonzero(table.species == k) for k in (MOUSE, HUMAN))
    whole = Part("all cells", mouse, human, config.labels == "both", human)
    return AlignedSvc.fit(table, whole, config.labels, config.seed)


def calls_of(
    table: AllenTable, probabilities: Mapping[str, Float[np.ndarray, "repeat cell class"]]
) -> dict[str, Calls]:
    """Return what each model calls the cells of a table; intervals redraw donors."""
    names = tuple(str(number) for number in table.specimen_id)
    return {
        name: Calls(probability, table.spiny, table.donor, CLASSES, names)
        for name, probability in probabilities.items()
    }


def headline(config: SpeciesConfig, calls: Mapping[str, Calls], transductive: bool) -> Json:
    """Return the numbers that runs and evaluations have alike; transductive: tested cells gave the human scale."""
    first = calls[OFFERED]
    return {
        "task": "species",
        "labels": config.labels,
        "tested": SPECIES[TESTED[config.labels]],
        "transductive": transductive,
        "cells": len(first.label),
        "donors": len(np.unique(first.group)),
        "offered": OFFERED,
        "rows": {name: each.rates(config.seed) for name, each in calls.items()},
        "abstention": first.abstention(config.certain),
    }


def calls_figures(calls: Mapping[str, Calls], summary: Json) -> dict[str, Figure]:
    """Return pictures of what the model offered and the networks call."""
    ours = (OFFERED, *(method.title for method in METHODS.values()))
    shown = {name: each for name, each in calls.items() if name in ours}
    title = f"{summary['cells']} {summary['tested']} cells of {summary['donors']} donors, {summary['labels']}"
    return {"confusion": calls_confusion(shown, title), "reliability": reliability_figure(shown, title)}


def evaluate(config: SpeciesConfig, model: SpeciesModel, data: Path) -> Judgement:
    """Judge the models of a run on labelled cells, of the species it is tested on, in another folder of tables.

    Cells of donors whose labels the run was trained on are left out.

    Raises:
        UserError: the tables have other features, are those of the run, or no such cell is left.
    """
    about = model.about
    table = allen.load(data, len(about["features"]))
    refuse_training_data(about, fingerprint_of(table), data)
    tested = table.species == TESTED[config.labels]
    known = np.isin(np.array(table.donor_names)[table.donor], about["donors"])
    if (tested & known).any():
        print(f"{(tested & known).sum()} cells of donors whose labels were trained on are left out", file=sys.stderr)
    table = table.take(tested & ~known)
    if not len(table.x):
        kind = SPECIES[TESTED[config.labels]]
        raise UserError(f"{data} has no {kind} cell of a donor whose labels this run was not trained on")
    cells, networks = Cells(table.x, table.species), model.networks
    found = {OFFERED: model.probability(cells)}
    for method in networks.methods:
        each = [networks.probability(number, cells) for number in networks.numbers(method)]
        found[METHODS[method].title] = np.mean(each, axis=0)
    calls = calls_of(table, {name: probability[None] for name, probability in found.items()})
    summary = headline(config, calls, bool(np.isin(table.specimen_id, about["adapted"]).any()))
    figures = calls_figures(calls, summary)
    return Judgement(summary, calls.pop(OFFERED), figures, others=calls, name=OFFERED)


def predict(config: SpeciesConfig, model: SpeciesModel, data: Path) -> dict[str, np.ndarray]:
    """Return class, probability and abstention for the cells of a table; stderr tells what had to be assumed.

    Human cells are standardised by the human cells of the run, so one cell alone can be called. Cells of another
    laboratory may need a run of their own, with their tables as --data.

    Raises:
        UserError: no table of such features, in the units of the run; human cells, in a run that calls mouse cells.
    """
    names, domains = model.about["features"], model.offered.domains
    x, ids, missing = allen.read_features(data, names)
    species = _species(data, config.labels)
    if config.labels == "mouse" and (species == HUMAN).any():
        raise UserError(
            f"{data} has human cells, and this run, --labels mouse, calls mouse cells alone: use a run with --labels "
            "mouse-to-human or both"
        )
    for number, scale in enumerate((domains.mouse, domains.human)):
        if (species == number).any():
            allen.check_units(data, x[species == number], scale.median, names)
    if missing:
        print(f"not in {data}, so medians of the species' cells are used: {', '.join(missing)}", file=sys.stderr)
    probability = model.probability(Cells(x, species))
    measured = {
        COLUMN: np.array(SPECIES)[species],
        "likeliest": np.array(CLASSES)[probability.argmax(axis=1)],
        "missing_features": np.isnan(x).sum(axis=1),
    }
    unknown, each = np.full(len(x), -1), np.arange(len(x))
    return Calls(probability[None], unknown, each, CLASSES, tuple(ids), measured).table(config.certain)


def _species(data: Path, labels: Labels) -> np.ndarray:
    """Return an index (cell,) into `SPECIES`: of the column of that name, else what the run is tested on."""
    frame = pd.read_csv(data)
    if COLUMN not in frame:
        print(f"no column {COLUMN} in {data}: all cells are taken to be {SPECIES[TESTED[labels]]}", file=sys.stderr)
        return np.full(len(frame), TESTED[labels])
    given = frame[COLUMN].astype(str).str.strip().str.lower()
    unknown = ~given.isin(SPECIES)
    if unknown.any():
        row = int(np.argmax(unknown))
        raise UserError(f"{data}, row {row + 2}: {COLUMN} is {frame[COLUMN][row]!r}, not one of {', '.join(SPECIES)}")
    return np.array([SPECIES.index(name) for name in given])
