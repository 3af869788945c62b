"""Pictures of the species task: maps of the cells, accuracies, class frequencies by iteration, Shapley values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from spiketype.datasets.allen.table import SPECIES, AllenTable
from spiketype.train.judging.figures import (
    BLUE,
    CYCLE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    save,
)
from spiketype.train.tasks.species.cells import CLASSES
from spiketype.train.tasks.species.domains import plane
from spiketype.train.tasks.species.networks import NAMES, Member

SHOWN, MAPPED = 15, 700  # features; cells
COLOURS = ((ORANGE, BLUE), (PINK, GREEN))  # by species and class


def write(
    folder: Path,
    result: Mapping[str, Any],
    views: Mapping[str, np.ndarray],
    cells: AllenTable,
    history: Sequence[Mapping[str, Any]],
    members: Sequence[Member],
    explained: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    """Write all pictures into a folder."""
    save(models_figure(result), folder / "models.png")
    save(domains_figure(views, result["separability"], cells), folder / "domains.png")
    save(frequencies_figure(result["spiny_share"], history, members), folder / "frequencies.png")
    if explained is not None:
        save(shapley_figure(*explained, cells.feature_names), folder / "shapley.png")


def models_figure(result: Mapping[str, Any]) -> Figure:
    """Accuracy and balanced accuracy of every model with its interval over donors."""
    names = list(result["rows"])
    figure = Figure(figsize=(7.5, 0.34 * len(names) + 1.4), layout="constrained")
    axes = figure.subplots()
    for shift, key, colour in ((-0.15, "accuracy_percent", BLUE), (0.15, "balanced_accuracy_percent", ORANGE)):
        value, low, high = (np.array([result["rows"][n][key][end] for n in names]) for end in ("value", "low", "high"))
        ends = [np.maximum(value - low, 0), np.maximum(high - value, 0)]
        label = key.replace("_percent", "").replace("_", " ")
        axes.errorbar(
            value, np.arange(len(names)) + shift, xerr=ends, fmt="o", color=colour, ms=5, capsize=3, label=label
        )
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel="% of tested cells", ylim=(len(names) - 0.5, -0.5))
    axes.set_title(
        f"{result['cells']} {result['tested']} cells of {result['donors']} donors, {result['labels']}", fontsize=10
    )
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def domains_figure(views: Mapping[str, np.ndarray], spread: Mapping[str, Any], cells: AllenTable) -> Figure:
    """Maps of some training cells before and after, coloured by species and class."""
    drawn = np.sort(np.random.default_rng(0).permutation(len(cells.x))[:MAPPED])
    cells = cells.take(drawn)
    columns = 2 if len(views) == 4 else 3
    lines = -(-len(views) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.7 * lines + 0.4), layout="constrained")
    every = np.ravel(figure.subplots(lines, columns, squeeze=False))
    for axes, (name, z) in zip(every, views.items(), strict=False):
        xy = plane(z[drawn], 0)
        for (species, kind), colour in np.ndenumerate(np.array(COLOURS)):
            rows = (cells.species == species) & (cells.spiny == kind)
            label = f"{SPECIES[species]}, {CLASSES[kind]} ({rows.sum()})"
            axes.scatter(*xy[rows].T, s=(4, 9)[species], color=colour, lw=0, alpha=0.75, label=label)
        axes.set_title(f"{name}\nspecies told apart: AUC {spread[name]['auc']:.2f}", fontsize=9)
        axes.set(xticks=[], yticks=[])
    for axes in every[len(views) :]:
        axes.set_axis_off()
    figure.legend(*every[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8, markerscale=2)
    return figure


def frequencies_figure(
    share: Mapping[str, Any], history: Sequence[Mapping[str, Any]], members: Sequence[Member]
) -> Figure:
    """The share of spiny human cells as estimated: by iteration, and as networks say it in training."""
    figure = Figure(figsize=(9, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for row in share["by_iteration"]:
        left.plot(range(len(row)), row, "o-", color=BLUE, alpha=0.6, ms=4)
    left.set(xlabel="iteration", ylabel="share of spiny cells", title="estimated for the aligned SVC")
    left.set_xticks(range(max(map(len, share["by_iteration"]))))
    steps = [row["step"] for row in history]
    for colour, (method, name) in zip(CYCLE, NAMES.items(), strict=False):
        of = [k for k, m in enumerate(members) if m.method == method]
        if of:
            mean = [np.mean([row["human_spiny"][k] for k in of]) for row in history]
            right.plot(steps, mean, color=colour, label=name)
    right.set(xlabel="training step", title="said of human batches by networks in training")
    for axes in (left, right):
        axes.axhline(share["true"], color=GREY, ls="--", label="human cells, by their labels")
        axes.grid(alpha=0.3)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    return figure


def shapley_figure(z: np.ndarray, values: np.ndarray, names: Sequence[str]) -> Figure:
    """Shapley values (cell, feature) of the features that matter most, coloured by their value z."""
    top = np.argsort(-np.abs(values).mean(axis=0))[:SHOWN]
    figure = Figure(figsize=(7, 0.33 * len(top) + 1.2), layout="constrained")
    axes = figure.subplots()
    rng = np.random.default_rng(0)
    for row, k in enumerate(top):
        height = row + rng.uniform(-0.3, 0.3, len(values))
        dots = axes.scatter(
            values[:, k], height, c=np.clip(z[:, k], -2, 2), cmap="coolwarm", s=8, vmin=-2, vmax=2, lw=0
        )
    axes.set(yticks=range(len(top)), yticklabels=[names[k] for k in top], ylim=(len(top) - 0.5, -0.5))
    axes.set_xlabel("added to the probability of spiny")
    axes.axvline(0, color=GREY, lw=0.8)
    figure.colorbar(dots, label="feature (standard deviations)")
    return figure
