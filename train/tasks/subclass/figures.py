"""Pictures of a judgement of subclasses: confusion, gates, importances, calibration, a map of the cells."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram

from spiketype.datasets.allen.table import AllenTable
from spiketype.train.judging.figures import CYCLE, GREY, save
from spiketype.train.judging.report import number
from spiketype.train.tasks.subclass import explain as subclass_explain

BINS = 10


def write(
    result: Mapping[str, Any],
    table: AllenTable,
    tested: np.ndarray,
    models: Mapping[str, np.ndarray],
    gates: np.ndarray,
    folder: Path,
) -> None:
    """Draw all pictures of a judgement of the cells `tested`; the first model is the one offered.

    models: probabilities (repeat, cell, class); gates (seed, repeat, cell, feature).
    """
    part = table.take(tested)
    offered = next(iter(models))
    save(confusion(result, (offered, "LSPIN")), folder / "confusion.png")
    if len(tested) > 2:
        save(gate_matrix(gates.mean(axis=(0, 1))[tested], part), folder / "gates.png")
        save(embedding(part, models[offered][:, tested].mean(axis=0)), folder / "embedding.png")
    save(importances(np.array(result["importance_nats"]), part), folder / "importances.png")
    shown = {name: models[name][:, tested] for name in (offered, "LSPIN", "random forest") if name in models}
    save(reliability(part.subclass, shown), folder / "reliability.png")


def confusion(result: Mapping[str, Any], names: tuple[str, ...]) -> Figure:
    """Recall in percent: rows are the true classes."""
    figure, classes = Figure(figsize=(9.5, 4.4), layout="constrained"), result["classes"]
    for axes, name in zip(figure.subplots(1, len(names), sharey=True), names, strict=True):
        count = np.array(result["confusion"][name], float)
        share = 100 * count / np.maximum(count.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for (i, j), value in np.ndenumerate(share):
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", color="white" if value > 50 else "black")
        ticks = range(len(classes))
        axes.set(xticks=ticks, yticks=ticks, yticklabels=classes, xlabel="called")
        axes.set_xticklabels(classes, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_title(f"{name}\naccuracy {number(result['rows'][name]['accuracy_percent'])} %", fontsize=9)
    figure.axes[0].set_ylabel("is")
    figure.suptitle(f"share of each class (%), held out: {result['split']}", fontsize=10)
    return figure


def gate_matrix(gates: np.ndarray, table: AllenTable) -> Figure:
    """Fig. 9 of Ophir et al.: mean gates (cell, feature) of held-out cells, clustered, with the features' tree."""
    order = subclass_explain.gate_map(gates, table.subclass)
    figure = Figure(figsize=(11, 7), layout="constrained")
    grid = figure.subplots(2, 2, height_ratios=(1, 6), width_ratios=(1, 60))
    grid[0, 0].set_axis_off()
    lines = dendrogram(order.tree, no_plot=True)
    for x, y in zip(lines["icoord"], lines["dcoord"], strict=True):
        grid[0, 1].plot(np.array(x) / 10 - 0.5, y, color=GREY, lw=0.8)
    grid[0, 1].set(xlim=(-0.5, gates.shape[1] - 0.5))
    grid[0, 1].set_axis_off()
    grid[0, 1].set_title("gates of LSPIN in held-out cells, mean over seeds and repeats", fontsize=10)
    label = table.subclass[order.cells]
    classes = len(table.class_names)
    colours = ListedColormap(list(CYCLE[:classes]))
    grid[1, 0].imshow(label[:, None], aspect="auto", cmap=colours, vmin=-0.5, vmax=classes - 0.5, interpolation="none")
    middles = {c: np.flatnonzero(label == c).mean() for c in np.unique(label)}
    grid[1, 0].set(xticks=[], yticks=list(middles.values()))
    grid[1, 0].set_yticklabels([table.class_names[c] for c in middles], fontsize=8)
    shown = gates[order.cells][:, order.features]
    image = grid[1, 1].imshow(shown, aspect="auto", cmap="viridis", vmin=0, vmax=1, interpolation="none")
    for edge in np.flatnonzero(np.diff(label)):
        grid[1, 1].axhline(edge + 0.5, color="white", lw=1)
    grid[1, 1].set(yticks=[], xticks=range(gates.shape[1]))
    grid[1, 1].set_xticklabels([table.feature_names[k] for k in order.features], rotation=90, fontsize=7)
    figure.colorbar(image, ax=grid[:, 1], label="gate", shrink=0.6)
    return figure


def importances(drops: np.ndarray, table: AllenTable) -> Figure:
    """Importances (class, feature) in nats: what a shuffled feature costs each class, the dearest features first."""
    order = np.argsort(-drops.mean(axis=0))
    figure = Figure(figsize=(11, 4), layout="constrained")
    axes = figure.subplots()
    most = max(float(np.abs(drops).max()), 1e-6)
    image = axes.imshow(drops[:, order], aspect="auto", cmap="RdBu_r", vmin=-most, vmax=most)
    axes.set(yticks=range(len(drops)), yticklabels=table.class_names, xticks=range(drops.shape[1]))
    axes.set_xticklabels([table.feature_names[k] for k in order], rotation=90, fontsize=7)
    axes.set_title("loss of log probability of the true class when a feature is shuffled, held-out cells", fontsize=10)
    figure.colorbar(image, label="nats")
    return figure


def reliability(y: np.ndarray, models: Mapping[str, np.ndarray]) -> Figure:
    """Accuracy against top probability, and against the share of cells that are called, of (repeat, cell, class)."""
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--")
    for colour, (name, said) in zip(CYCLE, models.items(), strict=False):
        top, hit = said.max(axis=2).ravel(), (said.argmax(axis=2) == y).ravel()
        of_bin = np.minimum((top * BINS).astype(int), BINS - 1)
        count = np.bincount(of_bin, minlength=BINS)
        some = count >= max(5, len(top) // 500)
        sums = [np.bincount(of_bin, v, BINS)[some] / count[some] for v in (top, hit)]
        left.plot(*sums, "o-", color=colour, ms=4, label=name)
        ranked = hit[np.argsort(-top, kind="stable")]
        share = np.arange(1, len(ranked) + 1) / len(ranked)
        called = share > 0.1
        right.plot(100 * share[called], (100 * np.cumsum(ranked) / np.arange(1, len(ranked) + 1))[called], color=colour)
    left.set(xlabel="probability of the likeliest class", ylabel="share that is right", xlim=(0.2, 1), ylim=(0.2, 1))
    left.legend(fontsize=8, loc="upper left")
    right.set(xlabel="cells called, the surest first (%)", ylabel="accuracy of these (%)")
    right.grid(alpha=0.3)
    return figure


def embedding(table: AllenTable, said: np.ndarray) -> Figure:
    """Cells in two dimensions by the features; crosses are called wrong, by mean probabilities (cell, class)."""
    place = subclass_explain.embedding(table.x)
    figure = Figure(figsize=(7.5, 6), layout="constrained")
    axes, wrong = figure.subplots(), said.argmax(axis=1) != table.subclass
    for c, (colour, name) in enumerate(zip(CYCLE, table.class_names, strict=False)):
        rows = table.subclass == c
        hits, misses = place[rows & ~wrong].T, place[rows & wrong].T
        axes.scatter(hits[0], hits[1], s=9, color=colour, alpha=0.6, lw=0, label=f"{name} ({rows.sum()})")
        axes.scatter(misses[0], misses[1], s=28, color=colour, marker="x", lw=1.3)
    axes.scatter([], [], s=28, color="black", marker="x", label=f"called wrong when held out ({wrong.sum()})")
    axes.set(xticks=[], yticks=[], title="t-SNE of the standardised features")
    axes.legend(fontsize=8, loc="best")
    return figure
