"""Pictures of a judgement, drawn from what ``summary.json`` and ``metrics.jsonl`` hold.

Each function returns a figure of its own (no pyplot, no global state); ``save`` writes it. Colours are
those of Okabe and Ito, which colour-blind readers tell apart, and the perceptually uniform maps of
matplotlib.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spiketype.train.tasks.eap.predictions import Locations

BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"
CYCLE = (BLUE, ORANGE, GREEN, PINK, "#E69F00", "#56B4E9", "#000000")
MOST_POINTS = 3000


def save(figure: Figure, path: Path, dpi: int = 150) -> Path:
    """Write a PNG beside its destination, then rename, so that no half-written picture is ever seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        figure.savefig(partial, dpi=dpi, format="png")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def heading(title: str, summary: Mapping[str, Any]) -> str:
    """The title, and under it what the test was: the split, whether it is optimistic, samples and seeds."""
    warning = " (optimistic: cell models shared by train and test)" if summary["optimistic"] else ""
    seeds = f"{summary['seeds']} seed" + "s" * (summary["seeds"] != 1)
    return f"{title}\nsplit {summary['split']}{warning}\n{summary['samples']:,} test samples, {seeds}"


def _ends(estimates: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, lows and highs of estimates; None becomes NaN."""
    value, low, high = (np.array([e[end] for e in estimates], float) for end in ("value", "low", "high"))
    return value, low, high


def confusion_figure(summary: Mapping[str, Any], title: str) -> Figure:
    """Fig. 4: percent of each true class (row) given each predicted one (column)."""
    names, samples = summary["confusion"]["class_names"], summary["confusion"]["samples"]
    percent = np.array(summary["confusion"]["percent"]["value"], float)
    side = max(4.6, 0.5 * len(names) + 2.2)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(percent):
        if share >= 0.5:
            colour = "white" if share > 55 else "black"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), [f"{name} ({n})" for name, n in zip(names, samples, strict=True)])
    axes.set(xlabel="predicted", ylabel="true (test samples)")
    axes.set_title(heading(title, summary), fontsize=10)
    figure.colorbar(image, ax=axes, label="share of the true class (%)", shrink=0.8)
    return figure


def cells_figure(summary: Mapping[str, Any], title: str) -> Figure:
    """Table II as bars: accuracy of each cell model, its interval, the mean over cells and the baselines."""
    rows = summary["per_cell"]
    value, low, high = _ends([row["accuracy_percent"] for row in rows])
    figure = Figure(figsize=(max(6.4, 0.42 * len(rows) + 2.8), 4.6), layout="constrained")
    axes = figure.add_subplot()
    classes = list(dict.fromkeys(row["class"] for row in rows))
    coloured = 1 < len(classes) <= len(CYCLE)
    colours = [CYCLE[classes.index(row["class"])] if coloured else BLUE for row in rows]
    axes.bar(range(len(rows)), value, color=colours, alpha=0.75)
    axes.errorbar(range(len(rows)), value, [value - low, high - value], fmt="none", ecolor="black", capsize=3, lw=1)
    _lines(axes, summary)
    for colour, name in zip(CYCLE, classes, strict=False):
        if coloured:
            axes.bar([np.nan], [np.nan], color=colour, alpha=0.75, label=name)
    axes.set_xticks(range(len(rows)), [row["cell"] for row in rows], rotation=45, ha="right", rotation_mode="anchor")
    axes.set(ylabel="accuracy (%)", ylim=(0, 102), xlim=(-0.6, len(rows) - 0.4))
    axes.set_title(heading(title, summary), fontsize=10)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _lines(axes: Axes, summary: Mapping[str, Any]) -> None:
    """Horizontal lines: the mean over cells, and that of each baseline."""
    means = {"mean over cells": summary["over_cells_percent"]["mean"]["value"]}
    means |= {name: other["over_cells_percent"]["mean"]["value"] for name, other in summary["baselines"].items()}
    for (name, mean), style in zip(means.items(), ("-", "--", ":", "-.") * len(means), strict=False):
        axes.axhline(mean, color="black" if style == "-" else GREY, ls=style, lw=1.2, label=f"{name} {mean:.1f} %")


def curves_figure(summary: Mapping[str, Any], title: str) -> Figure:
    """Accuracy against distance and against amplitude, with interval bands."""
    figure = Figure(figsize=(8.6, 4.2), layout="constrained")
    pair = figure.subplots(1, 2, sharey=True)
    for axes, what, unit, label in (
        (pair[0], "against_distance", "um", "distance (µm)"),
        (pair[1], "against_amplitude", "uV", "largest amplitude (µV)"),
    ):
        bins = summary[what]
        edges = np.array([[b[f"from_{unit}"], b[f"to_{unit}"]] for b in bins])
        if unit == "uV" and edges.min() > 0:
            axes.set_xscale("log")
            centre = np.sqrt(edges.prod(axis=1))
            axes.set_xticks(ticks := _round_ticks(edges.min(), edges.max()), [f"{tick:g}" for tick in ticks])
            axes.set_xticks([], minor=True)
        else:
            centre = edges.mean(axis=1)
        value, low, high = _ends([b["accuracy_percent"] for b in bins])
        axes.fill_between(centre, low, high, color=BLUE, alpha=0.2, lw=0)
        axes.plot(centre, value, "o-", color=BLUE, ms=4)
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    pair[0].set(ylabel="accuracy (%)", ylim=(min(pair[0].get_ylim()[0], 95), 101))
    figure.suptitle(heading(title, summary), fontsize=10)
    return figure


def _round_ticks(low: float, high: float) -> np.ndarray:
    """1, 2 and 5 times powers of ten between low and high."""
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    ticks = np.outer(powers, [1, 2, 5]).ravel()
    return ticks[(ticks >= low) & (ticks <= high)]


PANELS = (("loss", ("loss", "test_loss")), ("accuracy", ("accuracy", "test_accuracy")))


def training_figure(
    history: Sequence[Mapping[str, Any]],
    title: str,
    panels: Sequence[tuple[str, Sequence[str]]] = PANELS,
) -> Figure:
    """Curves against the step, from records {"step", name: number or one number per seed}.

    panels: (axis label, names drawn in it); names that no record has are left out, and so are empty panels.
    Several seeds: their mean in full, each one faintly. Losses above zero are drawn on a logarithmic axis.
    """
    present = {name for record in history for name in record}
    filled = [(label, [name for name in names if name in present]) for label, names in panels]
    filled = [(label, names) for label, names in filled if names]
    figure = Figure(figsize=(4.6 * max(1, len(filled)), 3.8), layout="constrained")
    grid = np.atleast_1d(figure.subplots(1, max(1, len(filled))))
    for axes, (label, names) in zip(grid, filled, strict=False):
        for colour, name in zip(CYCLE, names, strict=False):
            records = [record for record in history if name in record]
            steps = [record["step"] for record in records]
            values = np.array([np.atleast_1d(record[name]) for record in records], float)
            axes.plot(steps, values, color=colour, alpha=0.25, lw=0.8)
            axes.plot(steps, values.mean(axis=1), color=colour, label=name.replace("_", " "))
        if "loss" in label and axes.dataLim.ymin > 0:
            axes.set_yscale("log")
            axes.set_yticks(ticks := _round_ticks(*axes.get_ylim()), [f"{tick:g}" for tick in ticks])
            axes.set_yticks([], minor=True)
        axes.set(xlabel="step", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def location_figure(locations: Locations, summary: Mapping[str, Any], title: str) -> Figure:
    """Predicted against true soma position, axis by axis, and the distribution of the 3D error."""
    p = locations
    shown = np.linspace(0, len(p.cell) - 1, min(MOST_POINTS, len(p.cell))).astype(int)
    figure = Figure(figsize=(9, 8.4), layout="constrained")
    grid = figure.subplots(2, 2).ravel()
    for k, axis in enumerate("xyz"):
        axes, true, said = grid[k], p.true_um[shown, k], p.predicted_um[shown, k]
        axes.plot(true, said, ".", color=BLUE, ms=2.5, alpha=0.4, rasterized=True)
        ends = [min(true.min(), said.min()), max(true.max(), said.max())]
        axes.plot(ends, ends, color="black", lw=1)
        axes.set(xlabel=f"true {axis} (µm)", ylabel=f"predicted {axis} (µm)", aspect="equal")
        axes.set_title(f"{axis}: mean |error| {summary['error_um'][f'{axis}_mean_abs']['value']:.1f} µm", fontsize=9)
    error = np.linalg.norm(p.predicted_um - p.true_um, axis=1)
    grid[3].hist(error, bins=40, color=BLUE, alpha=0.75)
    for name, table, style in (("mean", "error_um", "-"), ("training mean", "baseline_error_um", "--")):
        value = summary[table]["mean_3d"]["value"]
        grid[3].axvline(value, color="black", ls=style, lw=1.2, label=f"{name} {value:.1f} µm")
    grid[3].set(xlabel="3D error (µm)", ylabel="predictions")
    grid[3].legend(frameon=False, fontsize=8)
    figure.suptitle(heading(title, summary), fontsize=10)
    return figure
