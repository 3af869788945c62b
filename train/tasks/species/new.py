"""Cells that a run of the species task has not seen: calls by the model offered, and its judgement where labels are."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spiketype.datasets import allen
from spiketype.datasets.allen.table import SPECIES, AllenTable
from spiketype.edge import UserError
from spiketype.train.judging import metrics as allen_metrics
from spiketype.train.judging import predictions as allen_output
from spiketype.train.tasks.species.cells import (
    CLASSES,
    HUMAN,
    MOUSE,
    TESTED,
    Part,
)
from spiketype.train.tasks.species.judge import OFFERED
from spiketype.train.tasks.species.networks import NAMES
from spiketype.train.tasks.species.offered import AlignedSvc
from spiketype.train.tasks.species.trained import Trained

COLUMN = "species"


def offered(table: AllenTable, config: Any, aligned: Sequence[AlignedSvc]) -> AlignedSvc:
    """The model for new cells: fitted to all cells, with the labels of the setting."""
    if config.labels == "mouse-to-human" and config.fold_count == 1:
        return aligned[0]
    mouse, human = (np.flatnonzero(table.species == k) for k in (MOUSE, HUMAN))
    whole = Part("all cells", mouse, human, config.labels == "both", human)
    return AlignedSvc.fit(table, whole, config.labels, config.seed)


def predict(config: Any, about: Mapping[str, Any], data: Path) -> dict[str, Any]:
    """Class, probability and abstention for the cells of a table; what had to be assumed is said on stderr.

    Human cells are standardised by the human cells of the run, so one cell alone can be called. Cells of another
    laboratory may need a run of their own, with their tables as --data.
    """
    names, model = about["features"], AlignedSvc.from_json(about["offered"])
    x, ids, missing = allen.read_features(data, names)
    species = _species(data, config.labels)
    if config.labels == "mouse" and (species == HUMAN).any():
        raise UserError(
            f"{data} has human cells, and this run, --labels mouse, calls mouse cells alone: use a run with --labels "
            "mouse-to-human or both"
        )
    for number, scale in enumerate((model.domains.mouse, model.domains.human)):
        if (species == number).any():
            allen.check_units(data, x[species == number], scale.median, names)
    if missing:
        print(f"not in {data}, so medians of the species' cells are used: {', '.join(missing)}", file=sys.stderr)
    table = allen_output.calls(ids, x, model.probability(x, species), CLASSES, config.certain)
    return {"cell": table.pop("cell"), COLUMN: np.array(SPECIES)[species]} | table


def _species(data: Path, labels: str) -> np.ndarray:
    """Counts (cell,) into `SPECIES`: of the column of that name, else what the run is tested on."""
    frame = pd.read_csv(data)
    if COLUMN not in frame:
        print(f"no column {COLUMN} in {data}: all cells are taken to be {SPECIES[TESTED[labels]]}", file=sys.stderr)
        return np.full(len(frame), TESTED[labels])
    given = frame[COLUMN].astype(str).str.strip().str.lower()
    unknown = ~given.isin(SPECIES)
    if unknown.any():
        row = int(np.argmax(unknown))
        raise UserError(f"{data}, row {row + 2}: {COLUMN} is {frame[COLUMN][row]!r}, not one of {', '.join(SPECIES)}")
    return given.map({name: k for k, name in enumerate(SPECIES)}).to_numpy()


def evaluate(config: Any, trained: Trained, data: Path) -> dict[str, Any]:
    """The models of a run on the labelled cells, of the species it is tested on, in another folder of tables.

    Cells of donors whose labels the run was trained on are left out.

    Raises:
        UserError: the tables have other features, or no such cell is left.
    """
    about = trained.about
    table = allen.load(data, len(about["features"]))
    tested = table.species == TESTED[config.labels]
    known = np.isin(np.array(table.donor_names)[table.donor], about["donors"])
    if (tested & known).any():
        print(f"{(tested & known).sum()} cells of donors whose labels were trained on are left out", file=sys.stderr)
    table = table.take(tested & ~known)
    if not len(table.x):
        kind = SPECIES[TESTED[config.labels]]
        raise UserError(f"{data} has no {kind} cell of a donor whose labels this run was not trained on")
    said = {OFFERED: AlignedSvc.from_json(about["offered"]).probability(table.x, table.species)}
    for method in config.methods:
        numbers = [k for k, m in enumerate(trained.members) if m.method == method]
        each = [trained.say(k, table.x, table.species)[0] for k in numbers]
        said[NAMES[method]] = np.mean(each, axis=0)
    rows = {n: allen_metrics.rates(table.spiny, p[None], table.donor, config.seed) for n, p in said.items()}
    return {
        "task": "species",
        "labels": config.labels,
        "tested": SPECIES[TESTED[config.labels]],
        "transductive": bool(np.isin(table.specimen_id, about["adapted"]).any()),
        "cells": len(table.x),
        "donors": len(np.unique(table.donor)),
        "offered": OFFERED,
        "rows": rows,
    }
