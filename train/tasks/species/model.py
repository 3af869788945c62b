"""The model that a run of the species task offers, and its use on cells that the run has not seen.

Support vectors on species brought to one scale (`models.species`). The networks are kept beside them, to be judged on
other data.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64
from matplotlib.figure import Figure

from spiketype import reading
from spiketype.datasets.allen import columns as allen_columns
from spiketype.datasets.allen import table as allen
from spiketype.datasets.allen.species import COLUMN, HUMAN, TESTED, Part, read_species, whole
from spiketype.datasets.allen.table import DENDRITES, SPECIES, AllenTable
from spiketype.datasets.fingerprint import of_rows
from spiketype.datasets.options import SpeciesLabels
from spiketype.datasets.splits import inner_folds, part_of_each, rows_of
from spiketype.edge import Json, PyTree, UserError, progress
from spiketype.models.missing import MANY, ODD, TOO_FEW, alike, far, odd, too_few
from spiketype.models.species import SPINY, AlignedSvc, Cells
from spiketype.train.config import Member
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.figures import calls_confusion, reliability_figure
from spiketype.train.task import Judgement, new_rows
from spiketype.train.tasks.species.config import METHODS, SpeciesConfig
from spiketype.train.tasks.species.networks import Networks, network

OFFERED = "aligned SVC"
INNER = 5  # parts of the calibration
MOST_OF_A_CLASS = 0.95  # share of human cells that are estimated to be of one class, beyond which that is doubtful
STILL = 0.01  # by which the last iteration may move the estimate


class TrainingCells(NamedTuple):
    """What support vectors are fitted to; features are NaN where not measured.

    Attributes:
        mouse: features of the mouse cells.
        human: features of the human cells.
        spiny: of the cells whose labels are used: all mouse cells, then the human cells or none.
        part: which inner part calibrates each of these.
    """

    mouse: Float[np.ndarray, "mouse feature"]
    human: Float[np.ndarray, "human feature"]
    spiny: Int[np.ndarray, " labelled"]
    part: Int[np.ndarray, " labelled"]

    @classmethod
    def of(cls, table: AllenTable, part: Part, labels: SpeciesLabels, seed: int) -> "TrainingCells":
        """Return the training cells of a part.

        Raises:
            UserError: they are of too few donors to hold some out for calibration.
        """
        rows = np.concatenate([part.mouse, part.human]) if labels == "both" else part.mouse
        donors = len(np.unique(table.donor[rows]))
        if donors < INNER:
            raise UserError(
                f"{table.source}, {part.name}: the labelled cells to train on are of {donors} donors, and calibration"
                f" needs {INNER}: give cells of more donors"
            )
        folds = inner_folds(table.spiny[rows], table.donor[rows], seed, INNER)
        return cls(table.x[part.mouse], table.x[part.human], table.spiny[rows], part_of_each(folds, len(rows)))

    def rows(self) -> UInt64[np.ndarray, " labelled"]:
        """Return the fingerprints of the cells whose labels are used."""
        return of_rows(np.concatenate([self.mouse, self.human])[: len(self.spiny)], self.spiny)

    def fit(
        self,
        labels: SpeciesLabels,
        kept: Bool[np.ndarray, " feature"] | None = None,
        prior: Float[np.ndarray, " class"] | None = None,
    ) -> AlignedSvc:
        """Return support vectors of some features, by default all.

        Args:
            labels: "mouse" uses no human cell, "mouse-to-human" no human label, "both" all.
            kept: the features.
            prior: human class frequencies, as all features tell them. Without human labels they are estimated where it
                is None, and by few features, in which classes overlap, such an estimate runs away to one class.
        """
        chosen = slice(None) if kept is None else kept
        mouse, human = self.mouse[:, chosen], self.human[:, chosen]
        mouse_y, human_y = self.spiny[: len(mouse)], self.spiny[len(mouse) :]
        if labels == "mouse-to-human" and prior is None:
            return AlignedSvc.fit_unlabelled(mouse, mouse_y, human, rows_of(self.part))
        return AlignedSvc.fit(mouse, mouse_y, human, human_y if labels == "both" else None, rows_of(self.part), prior)


def fit(table: AllenTable, part: Part, labels: SpeciesLabels, seed: int) -> AlignedSvc:
    """Return support vectors of the training cells of a part; see `TrainingCells`."""
    found = TrainingCells.of(table, part, labels, seed).fit(labels)
    if labels == "mouse-to-human":
        _tell_runaway(table, part, found.prior[:, SPINY])
    return found


def _tell_runaway(table: AllenTable, part: Part, spiny: Float[np.ndarray, " iteration"]) -> None:
    """Note an estimate of the share of spiny human cells that cannot be believed."""
    moved = abs(float(spiny[-1] - spiny[-2]))
    if max(spiny[-1], 1 - spiny[-1]) > MOST_OF_A_CLASS or moved > STILL:
        reading.note(
            table.source,
            f"{part.name}: {100 * spiny[-1]:.0f} % of the human cells are estimated to be spiny, {100 * moved:.1f}"
            " points from the estimate before: where the features do not tell classes apart such an estimate runs away,"
            " so compare it with what you know, or train with --labels both",
        )


@dataclass(frozen=True)
class SpeciesModel:
    """What a run keeps.

    Attributes:
        offered: support vectors that call new cells.
        training: what they were fitted to, and are for cells that lack more than a few features (`models.missing`).
        labels: that are used.
        networks: of all members.
        about: the manifest: classes, features, members, donors whose labels were trained on,
            specimens that gave the human scale (``adapted``).
    """

    offered: AlignedSvc
    training: TrainingCells
    labels: SpeciesLabels
    networks: Networks
    about: Json

    def probability(self, cells: Cells) -> Float[np.ndarray, "cell class"]:
        """Return the probabilities of cells; those of which hardly a feature is measured get the class frequencies."""
        found = np.tile(self.offered.prior[-1], (len(cells.x), 1))
        each = [one for one in alike(cells.x) if one.kept.any()]
        with progress(hidden=len(each) < MANY) as bar:
            for rows, kept in bar.track(each, description="models of the features measured"):
                few = not kept.all()
                model = self.training.fit(self.labels, kept, self.offered.prior[-1]) if few else self.offered
                found[rows] = model.probability(Cells(cells.x[rows][:, kept], cells.species[rows]))
        return found

    def believed(self, cells: Cells, names: Sequence[str], data: Path) -> tuple[Cells, Bool[np.ndarray, " cell"]]:
        """Return cells without values that nobody measured, which are told, and which cells have many of them.

        Args:
            cells: as given.
            names: of the cells.
            data: where they are.
        """
        scales = (self.offered.domains.mouse, self.offered.domains.human)
        wrong = np.stack([far(cells.x, scale) for scale in scales])[cells.species, np.arange(len(cells.x))]
        wrong |= allen_columns.implausible(cells.x, self.about["features"])
        allen_columns.tell_far(data, wrong, cells.x, names, self.about["features"])
        return cells._replace(x=np.where(wrong, np.nan, cells.x)), odd(wrong, cells.x)

    def arrays(self) -> PyTree:
        """Return all that is trained or fitted, and the cells of the support vectors."""
        return {
            "offered": self.offered.arrays(),
            "training": self.training._asdict(),
            "networks": self.networks.arrays(),
        }

    def manifest(self) -> Json:
        """Return what the run tells of itself."""
        return self.about

    @classmethod
    def restore(cls, config: SpeciesConfig, arrays: PyTree, manifest: Json) -> "SpeciesModel":
        """Return what `arrays` and `manifest` took apart."""
        members = tuple(Member(**member) for member in manifest["members"])
        networks = Networks.restore(network(config), members, arrays["networks"])
        training = TrainingCells(**arrays["training"])
        return cls(AlignedSvc.restore(arrays["offered"]), training, config.labels, networks, manifest)


def for_new_cells(
    config: SpeciesConfig, table: AllenTable, aligned: Sequence[AlignedSvc], networks: Networks, about: Json
) -> SpeciesModel:
    """Return the model of all cells, with the labels of the setting; aligned are the support vectors of each part."""
    training = TrainingCells.of(table, whole(table, config.labels), config.labels, config.seed)
    same = config.labels == "mouse-to-human" and config.fold_count == 1
    return SpeciesModel(aligned[0] if same else training.fit(config.labels), training, config.labels, networks, about)


def calls_of(
    table: AllenTable, probabilities: Mapping[str, Float[np.ndarray, "repeat cell class"]]
) -> dict[str, Calls]:
    """Return what each model calls the cells of a table; intervals redraw donors."""
    names = tuple(str(number) for number in table.specimen_id)
    return {
        name: Calls(probability, table.spiny, table.donor, DENDRITES, names)
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
        UserError: no folder; the tables have other features, are those of the run, or no such cell is left.
    """
    if not data.is_dir():
        raise UserError(
            f"{data} is not a folder: runs of species are judged on a folder of tables, which name the cells' donors;"
            " spiketype predict calls the cells of one table"
        )
    about = model.about
    table = allen.load(data, len(about["features"]))
    table = table.take(new_rows(model.training.rows(), of_rows(table.x, table.spiny), data, "cells"))
    tested = table.species == TESTED[config.labels]
    known = np.isin(np.array(table.donor_names)[table.donor], about["donors"])
    if (tested & known).any():
        print(f"{(tested & known).sum()} cells of donors whose labels were trained on are left out", file=sys.stderr)
    table = table.take(tested & ~known)
    if not len(table.x):
        kind = SPECIES[TESTED[config.labels]]
        raise UserError(f"{data} has no {kind} cell of a donor whose labels this run was not trained on")
    cells, _ = model.believed(Cells(table.x, table.species), [str(number) for number in table.specimen_id], data)
    networks = model.networks
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
    x, ids, missing = allen_columns.read_features(data, names)
    species = read_species(data, config.species)
    if config.labels == "mouse" and (species == HUMAN).any():
        raise UserError(
            f"{data} has human cells, and this run, --labels mouse, calls mouse cells alone: use a run with --labels "
            "mouse-to-human or both"
        )
    for number, scale in enumerate((domains.mouse, domains.human)):
        if (species == number).any():
            allen_columns.check_units(data, x[species == number], scale.median, names)
    if missing:
        print(f"{data}: features that no cell has: {', '.join(missing)}", file=sys.stderr)
    cells, strange = model.believed(Cells(x, species), ids, data)
    probability = model.probability(cells)
    measured = {
        COLUMN: np.array(SPECIES)[species],
        "likeliest": np.array(DENDRITES)[probability.argmax(axis=1)],
        "missing_features": np.isnan(cells.x).sum(axis=1),
    }
    unknown, each = np.full(len(x), -1), np.arange(len(x))
    return Calls(probability[None], unknown, each, DENDRITES, tuple(ids), measured).table(
        config.certain, {ODD: strange, TOO_FEW: too_few(cells.x)}
    )
