"""The judgement of the subclass task: out-of-fold probabilities of LSPIN and of what it is compared with; new cells."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from datasets import allen
from datasets.allen import CLASSES, AllenTable
from datasets.splits import Fold
from models.lspin import LSPIN
from train.figures import save
from train.report import number, text_table
from train.tasks import allen_baselines, allen_metrics
from train.tasks.allen_scale import Scale

LSPIN_NAME, AVERAGE = "LSPIN", "average of LSPIN, SVC and logistic regression"


class Member(NamedTuple):
    """One training: the number of its fold, over all repeats, and its seed."""

    fold: int
    seed: int


def say(net: LSPIN, variables: Any, member: int, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (cell, class) and gates (cell, feature) that a member gives to standardised cells z."""
    own = jax.tree.map(lambda a: a[member], variables)
    said: Any = net.apply(own, z)
    return np.asarray(jax.nn.softmax(said[0]), np.float64), np.asarray(said[2])


def judge(
    config: Any,
    net: LSPIN,
    table: AllenTable,
    folds: Sequence[Fold],
    scales: Sequence[Scale],
    members: Sequence[Member],
    about: dict[str, Any],
    variables: Any,
    history: list[dict[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    """Judge all models on the cells that their training parts do not have; write predictions and figures."""
    shape = (config.repeats, len(table.x))
    ours, gates = np.zeros((*shape, len(CLASSES))), np.zeros((config.seeds, *shape, table.x.shape[1]), np.float32)
    for k, member in enumerate(members):
        test, repeat = folds[member.fold].test, member.fold // config.folds
        said, opened = say(net, variables, k, scales[member.fold].apply(table.x[test]))
        ours[repeat, test] += said / config.seeds
        gates[member.seed - config.seed, repeat, test] = opened
    models = {LSPIN_NAME: ours}
    names = allen_baselines.available()
    models |= allen_baselines.out_of_fold(
        table.x, table.subclass, table.donor, len(CLASSES), folds, scales, config.folds, config.seed, names
    )
    parts = [models[name] for name in (LSPIN_NAME, allen_baselines.SVC_NAME, allen_baselines.LOGISTIC_NAME)]
    models = {AVERAGE: np.mean(parts, axis=0)} | models
    result = summary(config, table, about, models, gates)
    _write(folder, table, models)
    _figures(result, gates, table, folder / "figures")
    return result


def summary(
    config: Any, table: AllenTable, about: dict[str, Any], models: Mapping[str, np.ndarray], gates: np.ndarray
) -> dict[str, Any]:
    """All numbers of a judgement; models are probabilities (repeat, cell, class)."""
    y, donor = table.subclass, table.donor
    rows = {name: allen_metrics.rates(y, said, donor, config.seed) for name, said in models.items()}
    others = [name for name in models if name not in (AVERAGE, LSPIN_NAME)]
    best = max(others, key=lambda name: rows[name]["accuracy_percent"]["value"])
    return {
        "task": "subclass",
        "split": config.split,
        "optimistic": about["optimistic"],
        "cells": len(y),
        "donors": len(np.unique(donor)),
        "rows": rows,
        "over_best_baseline": {
            name: {"baseline": best, "percent": allen_metrics.difference(y, models[name], models[best], donor, 0)}
            for name in (AVERAGE, LSPIN_NAME)
        },
        "confusion": {
            name: np.sum([confusion_matrix(y, p.argmax(axis=1), labels=range(len(CLASSES))) for p in said], axis=0)
            .astype(int)
            .tolist()
            for name, said in models.items()
        },
        "gates": allen_metrics.gates(gates),
    }


def _write(folder: Path, table: AllenTable, models: Mapping[str, np.ndarray]) -> None:
    arrays: dict[str, Any] = {
        "probability": (("model", "repeat", "cell", "class"), np.stack(list(models.values()))),
        "label": ("cell", table.subclass),
        "specimen_id": ("cell", table.specimen_id),
    }
    # Names as attributes: Zarr 3 has no specification for text yet.
    found = xr.Dataset(arrays, attrs={"models": list(models), "classes": list(CLASSES)})
    found.to_zarr(folder / "predictions.zarr", mode="w", zarr_format=3, consolidated=False)


def _figures(result: Mapping[str, Any], gates: np.ndarray, table: AllenTable, folder: Path) -> None:
    save(confusion_figure(result), folder / "confusion.png")
    save(gates_figure(gates.mean(axis=(0, 1)), table), folder / "gates.png")


def confusion_figure(result: Mapping[str, Any]) -> Figure:
    """Recall in percent: rows are the true classes."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), (AVERAGE, LSPIN_NAME), strict=True):
        count = np.array(result["confusion"][name], float)
        share = 100 * count / count.sum(axis=1, keepdims=True)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for (i, j), value in np.ndenumerate(share):
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", color="white" if value > 50 else "black")
        ticks = range(len(CLASSES))
        axes.set(xticks=ticks, yticks=ticks, yticklabels=CLASSES, xlabel="called", ylabel="is")
        axes.set_xticklabels(CLASSES, rotation=40, ha="right")
        accuracy = number(result["rows"][name]["accuracy_percent"])
        axes.set_title(f"{name}\nrecall (%), accuracy {accuracy}", fontsize=9)
    return figure


def gates_figure(mean_gate: np.ndarray, table: AllenTable) -> Figure:
    """Mean gates (class, feature): which features each class is read from."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axes = figure.subplots()
    rows = np.stack([mean_gate[table.subclass == k].mean(axis=0) for k in range(len(CLASSES))])
    image = axes.imshow(rows, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    axes.set(yticks=range(len(CLASSES)), yticklabels=CLASSES, xticks=range(rows.shape[1]))
    axes.set_xticklabels(table.feature_names, rotation=90, fontsize=6)
    figure.colorbar(image, label="mean gate of test cells")
    return figure


def subclass_table(result: Mapping[str, Any]) -> str:
    """A line for every model, and what the numbers are of."""
    names = ("accuracy_percent", "balanced_accuracy_percent", "macro_f1_percent")
    rows = [
        [name, *(number(row[key]) for key in names), number(row["nll"], 3), number(row["ece"], 3)]
        for name, row in result["rows"].items()
    ]
    header = ["model", "accuracy (%)", "balanced (%)", "macro F1 (%)", "NLL", "ECE"]
    words = f"{result['cells']} cells of {result['donors']} donors, held out by {result['split']}"
    words += " (optimistic: cells of tested donors are trained on)" if result["optimistic"] else ""
    return f"{text_table(header, rows)}\n{words}; 95 % intervals over donors"


def predict(config: Any, about: dict[str, Any], net: LSPIN, variables: Any, data: Path) -> dict[str, Any]:
    """Class, probability and abstention for the cells of a table; columns that are missing are named on stderr."""
    names = about["features"]
    x, ids, missing = allen.read_features(data, names)
    scales = [Scale.from_json(values) for values in about["scales"]]
    allen.check_units(data, x, scales[0].median, names)
    if missing:
        print(f"not in {data}, so medians of the training cells are used: {', '.join(missing)}", file=sys.stderr)
    each = [say(net, variables, k, scales[m["fold"]].apply(x))[0] for k, m in enumerate(about["members"])]
    probability = np.mean(each, axis=0)
    best = probability.max(axis=1)
    called = np.array(CLASSES)[probability.argmax(axis=1)]
    table: dict[str, Any] = {
        "cell": np.array(ids),
        "call": np.where(best >= config.certain, called, "no call"),
        "likeliest": called,
        "probability": best,
        "missing_features": np.isnan(x).sum(axis=1),
    }
    return table | {f"p_{name}": probability[:, k] for k, name in enumerate(CLASSES)}
