"""What a person reads of a raphe run: the table for terminal and README, and the figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from spiketype.datasets.raphe.table import RapheTable
from spiketype.train.judging.figures import (
    BLUE,
    CYCLE,
    GREY,
    ORANGE,
    save,
    training_figure,
)
from spiketype.train.judging.report import number, text_table
from spiketype.train.tasks.raphe.control import noise_words
from spiketype.train.tasks.raphe.summary import CALIBRATED

COLUMNS = {
    "accuracy": "accuracy (%)",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "typical_sensitivity": "typical",
    "atypical_sensitivity": "atypical",
}
DRAWS = 300


def cell_table(summary: Mapping[str, Any]) -> str:
    """A line for the consensus and each baseline; below, the noise-only control, the targets and warnings."""
    header = [f"per cell, split {summary['split']}", *COLUMNS.values(), "AUC", "ECE"]
    rows = [
        [name, *(number(row[f"{key}_percent"]) for key in COLUMNS), number(row["auc"], 3), number(row["ece"], 3)]
        for name, row in summary["rows"].items()
    ]
    lines = [text_table(header, rows), ""]
    lines.append(
        f"{summary['cells']} cells of {summary['days']} days, {summary['samples']:,} spikes; intervals of "
        f"{100 * summary['confidence']:.0f} %, days redrawn; positive is serotonergic, typical and atypical are "
        "sensitivities"
    )
    if "per_spike" in summary:
        each = summary["per_spike"]
        lines.append(f"per spike: accuracy {each['accuracy_percent']:.1f} %, AUC {each['auc']:.3f}")
    if "over_best_single_feature" in summary:
        best = summary["over_best_single_feature"]
        lines.append(f"accuracy over the best single feature ({best['feature']}): {number(best['percent'])} points")
    noise = summary["noise_only"]
    if noise["auc"]:
        lines.append(
            f"noise-only control (spike-free windows): {noise_words(noise)} with days left out, "
            f"{noise_words(noise['known_days'])} for new cells of known days"
        )
    rest = summary["abstention"]
    lines.append(
        f"no call below probability {rest['certain']:g}: {rest['abstained_percent']:.1f} % of cells; the others are "
        f"{rest['accuracy_of_calls_percent'] or 0:.1f} % right; calls settle after "
        f"{summary['settling']['median_spikes']:.0f} spikes (median), {summary['settling']['p90_spikes']:.0f} (90 %)"
    )
    for name, target in summary["targets"].items():
        if target["reached"] is not None:
            state = "reached" if target["reached"] else "MISSED"
            lines.append(f"target {name}: {target['value']:.3g}, wanted {target['target']:g}: {state}")
    return "\n".join(lines + [f"WARNING: {warning}" for warning in summary["warnings"]])


def figures(
    summary: Mapping[str, Any], table: RapheTable, cells: np.ndarray, history: Sequence[Mapping[str, Any]], folder: Path
) -> list[Path]:
    """Write all figures as PNG and return their paths."""
    title = f"raphe, split {summary['split']}" + (" (OPTIMISTIC)" if summary["optimistic"] else "")
    if summary["noise_only"]["suspicious"]:
        title += "\nWARNING: noise alone names the class"
    drawn = {
        "spikes": _spikes(table, cells, title),
        "confusion": _confusion(summary, title),
        "roc": _roc(summary, title),
        "calibration": _calibration(summary, title),
        "settling": _settling(summary, title),
    }
    if history:
        drawn["training"] = training_figure(history, title)
    return [save(figure, folder / f"{name}.png") for name, figure in drawn.items()]


def _figure(title: str, columns: int = 1) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=(5.2 * columns, 4.4), layout="constrained")
    figure.suptitle(title, fontsize=10)
    return figure, list(np.atleast_1d(figure.subplots(1, columns, sharey=columns > 1)))


def _spikes(table: RapheTable, cells: np.ndarray, title: str) -> Figure:
    """Mean spikes of all cells of each class, the atypical ones apart."""
    figure, axes = _figure(title, 2)
    time_ms = (np.arange(table.spike_pA.shape[1]) - 40) / 40
    for label, panel in enumerate(axes):
        for cell in cells[table.cell_label[cells] == label]:
            colour = ORANGE if table.atypical[cell] == 1 else BLUE
            panel.plot(time_ms, table.spike_pA[table.cell == cell].mean(axis=0), color=colour, alpha=0.35, lw=0.7)
        panel.set(title=table.class_names[label], xlabel="time (ms)")
    axes[0].set_ylabel("current (pA)")
    axes[1].plot([], [], color=ORANGE, label="UDI < 0.9 ms (atypical)")
    axes[1].legend(frameon=False, fontsize=8)
    return figure


def _confusion(summary: Mapping[str, Any], title: str) -> Figure:
    """Cells of each true class (row) by call (column), with the share of the row."""
    figure, (axes,) = _figure(title)
    count = np.array(summary["rows"][CALIBRATED]["confusion"])
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), n in np.ndenumerate(count):
        colour = "white" if share[row, column] > 0.55 else "black"
        axes.text(column, row, f"{n}\n{share[row, column]:.1%}", ha="center", va="center", color=colour)
    names = ["non-serotonergic", "serotonergic"]
    axes.set_xticks([0, 1], names)
    axes.set_yticks([0, 1], names, rotation=90, va="center")
    axes.set(xlabel="called", ylabel="true; shares are of the true class")
    return figure


def _roc(summary: Mapping[str, Any], title: str) -> Figure:
    """ROC of the calibrated call; the band is 95 % of curves with days redrawn."""
    figure, (axes,) = _figure(title)
    label, probability, day = _per_cell(summary)
    grid = np.linspace(0, 1, 101)
    rng, names = np.random.default_rng(0), np.unique(day)
    curves = []
    for _ in range(DRAWS):
        rows = np.concatenate([np.flatnonzero(day == d) for d in rng.choice(names, len(names))])
        if 0 < label[rows].sum() < len(rows):
            curves.append(_curve(label[rows], probability[rows], grid))
    if curves:
        axes.fill_between(grid, *np.quantile(curves, [0.025, 0.975], axis=0), color=BLUE, alpha=0.2, lw=0)
        auc = number(summary["rows"][CALIBRATED]["auc"], 3)
        axes.plot(grid, _curve(label, probability, grid), color=BLUE, label=f"consensus, AUC {auc}")
    for colour, (name, row) in zip(CYCLE[1:], list(summary["rows"].items())[2:], strict=False):
        one = 1 - (row["specificity_percent"]["value"] or 0) / 100
        axes.plot(one, (row["sensitivity_percent"]["value"] or 0) / 100, "o", color=colour, label=name)
    axes.plot([0, 1], [0, 1], color=GREY, ls=":", lw=1)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity")
    axes.legend(frameon=False, fontsize=7)
    return figure


def _curve(label: np.ndarray, probability: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Sensitivity at each 1 - specificity of the grid."""
    order = np.argsort(-probability, kind="stable")
    yes = label[order] == 1
    true, false = np.cumsum(yes) / max(yes.sum(), 1), np.cumsum(~yes) / max((~yes).sum(), 1)
    last = np.searchsorted(false, grid, side="right") - 1
    return np.where(last >= 0, true[np.maximum(last, 0)], 0.0)


def _calibration(summary: Mapping[str, Any], title: str) -> Figure:
    """Share of serotonergic cells against the probability given, in tenths, with Wilson's intervals."""
    from spiketype.train.judging.intervals import wilson

    figure, (axes,) = _figure(title)
    label, probability, _ = _per_cell(summary)
    place = np.minimum((probability * 10).astype(int), 9)
    for bin in np.unique(place):
        mine = place == bin
        found = wilson(label[mine].sum(), mine.sum())
        error = [[found.value - found.low], [found.high - found.value]]
        axes.errorbar(probability[mine].mean(), found.value, error, fmt="o", color=BLUE, capsize=3)
        axes.annotate(f" {mine.sum()}", (probability[mine].mean(), found.value), fontsize=7, color=GREY)
    axes.plot([0, 1], [0, 1], color=GREY, ls=":")
    ece = number(summary["rows"][CALIBRATED]["ece"], 3)
    axes.set(xlabel="probability of serotonergic", ylabel="share of serotonergic cells", title=f"ECE {ece}")
    return figure


def _settling(summary: Mapping[str, Any], title: str) -> Figure:
    """Accuracy, and share of calls that no longer change, after so many spikes."""
    figure, (axes,) = _figure(title)
    rows = summary["settling"]["after"]
    n = [row["spikes"] for row in rows]
    axes.plot(n, [row["accuracy_percent"] for row in rows], "o-", color=BLUE, label="right")
    axes.plot(n, [row["settled_percent"] for row in rows], "s--", color=ORANGE, label="settled")
    axes.set(xscale="log", xlabel="spikes", ylabel="cells (%) that have so many")
    axes.legend(frameon=False)
    return figure


def _per_cell(summary: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label, probability and day of the cells."""
    rows = summary["per_cell"]
    label = np.array([row["class"] == "serotonergic" for row in rows]).astype(int)
    return label, np.array([row["probability"] for row in rows]), np.array([row["day"] for row in rows])
