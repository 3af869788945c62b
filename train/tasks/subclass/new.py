"""New cells: the model offered, refitted from the training cells that a run keeps, calibrated, with a right to abstain.

A run keeps numbers, no pickles: its training cells and the calibrations that were fitted to them.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spiketype.datasets import allen
from spiketype.datasets.allen import spikes as allen_spikes
from spiketype.datasets.allen.columns import (
    IDS,
    check_units,
    read,
    read_features,
)
from spiketype.datasets.allen.features import FEATURES
from spiketype.datasets.allen.spikes import SPIKE_NAMES
from spiketype.datasets.allen.table import AllenTable
from spiketype.edge import UserError
from spiketype.train.judging import metrics as allen_metrics
from spiketype.train.judging import predictions as allen_output
from spiketype.train.tasks.subclass import offered as subclass_ensemble
from spiketype.train.tasks.subclass.offered import Calibration, Ensemble

KEPT, LABEL, MOST_NAMED = "trained_on", "transgenic_line", 8


def keep(table: AllenTable, x: np.ndarray, seed: int) -> dict[str, Any]:
    """What `models` needs: the cells x (cell, features + shape) and calibrations, with and without the shape."""
    features, classes, calibration = table.x.shape[1], len(table.class_names), {}
    for width in {features, x.shape[1] if np.isfinite(x[:, features:]).any() else features}:
        model = subclass_ensemble.fit(x[:, :width], table.subclass, table.donor, features, classes, seed)
        calibration[str(width)] = model.calibration.to_json()
    return {
        # JSON has no NaN. Seven digits are more than any amplifier gives.
        "x": [[None if np.isnan(v) else float(f"{v:.7g}") for v in row] for row in x],
        "label": table.subclass.tolist(),
        "specimen_id": table.specimen_id.tolist(),
        "donor": [table.donor_names[d] for d in table.donor],
        "calibration": calibration,
    }


def models(about: Mapping[str, Any]) -> dict[int, Ensemble]:
    """Number of inputs -> the model of so many: features alone, and with an action potential.

    Raises:
        UserError: the run was not judged to its end.
    """
    if KEPT not in about:
        raise UserError("the run has not been judged: continue it with python -m train.run --resume RUN")
    kept, features = about[KEPT], len(about["features"])
    x, label = np.array(kept["x"], np.float64), np.array(kept["label"])
    return {
        int(width): subclass_ensemble.refit(x[:, : int(width)], label, features, Calibration.from_json(values))
        for width, values in kept["calibration"].items()
    }


class NewCells(NamedTuple):
    """Inputs x (cell, features + shape), names of the cells, their class and donor where known, else empty."""

    x: np.ndarray
    ids: list[str]
    label: list[str]
    donor: list[str]


def find(about: Mapping[str, Any], data: Path, lines: Path | None) -> NewCells:
    """Cells of a folder of the Allen Cell Types Database, or of a table; what is missing or unknown is told on stderr.

    A table may have the columns of `SPIKE_NAMES`, too, and classes in a column ``transgenic_line``; those of a folder
    go by `lines`, the run's own.

    Raises:
        UserError: no table, none of the features, values that are no numbers, another unit. The message names them.
    """
    names = tuple(about["features"])
    if data.is_dir():
        table = allen.load(data, len(names), lines)
        x = np.concatenate([table.x, allen_spikes.load(data, table.specimen_id)], axis=1)
        label = ["" if c < 0 else table.class_names[c] for c in table.subclass]
        return NewCells(x, [str(i) for i in table.specimen_id], label, [table.donor_names[d] for d in table.donor])
    x, ids, missing = read_features(data, (*names, *SPIKE_NAMES))
    if not np.isfinite(x[:, : len(names)]).any():
        raise UserError(f"{data} has no cell with one of the features {', '.join(names[:3])}, ...")
    check_units(data, x[:, : len(names)], [FEATURES[name].usual for name in names], names)
    raw = read(data)
    _tell(data, "medians of the training cells are used for the missing", [n for n in missing if n in names])
    unknown = [c for c in raw.columns if c not in {*names, *SPIKE_NAMES, *IDS, LABEL}]
    _tell(data, "columns that the model does not know are not used", unknown)
    if not np.isfinite(x[:, len(names) :]).any():
        print(f"{data}: no action potentials: the model without them is used", file=sys.stderr)
    label = ["" if v != v else str(v) for v in raw[LABEL]] if LABEL in raw else [""] * len(x)
    return NewCells(x, ids, label, [""] * len(x))


def _tell(data: Path, what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        print(f"{data}: {what}: {', '.join(map(str, names[:MOST_NAMED]))}{more}", file=sys.stderr)


def probability(about: Mapping[str, Any], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (cell, class) of x (cell, features + shape), and whether an action potential was used (cell,)."""
    found, features = models(about), len(about["features"])
    with_spike = np.isfinite(x[:, features:]).any(axis=1) & (max(found) > features)
    said = np.zeros((len(x), len(about["classes"])))
    for width, model in found.items():
        rows = with_spike == (width > features)
        if rows.any():
            said[rows] = model.probability(x[rows, :width])
    return said, with_spike


def predict(config: Any, about: Mapping[str, Any], data: Path) -> dict[str, Any]:
    """Class, probability and abstention for the cells of a table or folder."""
    cells, features = find(about, data, config.lines), len(about["features"])
    said, with_spike = probability(about, cells.x)
    x = cells.x[:, :features]
    table = allen_output.calls(cells.ids, x, said, about["classes"], config.certain)
    table["call"] = np.where(np.isnan(x).all(axis=1), "no call", table["call"])
    # Beside the call: the probabilities of all classes come last.
    last = {name: table.pop(name) for name in [f"p_{name}" for name in about["classes"]]}
    return table | {"action_potential": np.where(with_spike, "used", "none")} | last


def evaluate(config: Any, about: Mapping[str, Any], data: Path, folder: Path) -> dict[str, Any]:
    """Rates on the labelled cells of a table or folder that were not trained on, nor any cell of their donor.

    Raises:
        UserError: no labels, an unknown class, or no cell that is new.
    """
    cells, classes, kept = find(about, data, config.lines), list(about["classes"]), about[KEPT]
    if unknown := sorted(set(cells.label) - {*classes, ""}):
        raise UserError(f"{data}: class {unknown[0]!r} is unknown, not one of {', '.join(classes)}")
    labelled = np.array([name != "" for name in cells.label])
    if not labelled.any():
        raise UserError(f"{data} has no labels: a column {LABEL} of {', '.join(classes)}; or use train.predict")
    trained = {str(each) for each in kept["specimen_id"]}
    seen = np.array([i.split("_")[0] in trained for i in cells.ids]) | np.isin(cells.donor, kept["donor"])
    if not (labelled & ~seen).any():
        raise UserError(f"{data}: the run was trained on these cells or their donors; the run's summary judges them")
    if (labelled & seen).any():
        print(f"{data}: {(labelled & seen).sum()} cells left out: trained on, or of such donors", file=sys.stderr)
    rows = np.flatnonzero(labelled & ~seen)
    y = np.array([classes.index(cells.label[r]) for r in rows])
    unit = np.array([cells.donor[r] or cells.ids[r] for r in rows])
    said = probability(about, cells.x[rows])[0]
    return {
        "task": "subclass",
        "split": f"cells of {data.name}",
        "optimistic": False,
        "classes": classes,
        "cells": len(y),
        "donors": len(np.unique(unit)),
        "rows": {"model offered": allen_metrics.rates(y, said[None], unit, config.seed)},
    }
