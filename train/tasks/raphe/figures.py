"""The pictures of the raphe task: mean spikes, ROC curve, how calls settle; and those that all tasks share."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spiketype.datasets.raphe.spikes import RATE_KHZ, REFERENCE
from spiketype.datasets.raphe.table import ATYPICAL_MS, RapheTable
from spiketype.edge import Json
from spiketype.pictures import BLUE, CYCLE, GREY, ORANGE, legend_below, log_scale, set_title, styled
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.figures import calls_confusion, reliability_figure, training_figure
from spiketype.train.judging.report import number
from spiketype.train.task import History
from spiketype.train.tasks.raphe.summary import CALIBRATED, PUBLISHED

DRAWS = 300
HELD_OUT = {
    "day": "days",
    "leave-one-day-out": "each day",
    "cell": "cells",
    "spike": "spikes",
    "other store": "another store",
}


@styled
def figures(
    summary: Json, table: RapheTable, cells: Int[np.ndarray, " cell"], models: Mapping[str, Calls], history: History
) -> dict[str, Figure]:
    """Return all pictures by name; that of the training where there is a history."""
    title = f"serotonergic or not, held out: {HELD_OUT[summary['split']]}"
    title += " (OPTIMISTIC)" if summary["optimistic"] else ""
    if summary["void"]:
        title += "\nVOID: noise alone names the class"
    drawn = {
        "spikes": _spikes(table, cells, f"Mean spikes of the cells: {title}"),
        "confusion": calls_confusion({CALIBRATED: models[CALIBRATED]}, title),
        "roc": _roc(summary, models[CALIBRATED], f"ROC: {title}"),
        "calibration": reliability_figure({name: models[name] for name in (CALIBRATED, PUBLISHED)}, title),
        "settling": _settling(summary, f"How calls settle: {title}"),
    }
    return drawn | ({"training": training_figure(history, title)} if history else {})


def _figure(title: str, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(max(5.2 * columns, 6), 4.6))
    set_title(figure, title)
    return figure, list(np.atleast_1d(figure.subplots(1, columns, sharey=columns > 1)))


def _spikes(table: RapheTable, cells: np.ndarray, title: str) -> Figure:
    """Draw mean spikes of all cells of each class, the atypical ones apart."""
    figure, axes = _figure(title, 2)
    time_ms = (np.arange(table.spike_pA.shape[1]) - REFERENCE) / RATE_KHZ
    for label, panel in enumerate(axes):
        for cell in cells[table.cell_label[cells] == label]:
            colour = ORANGE if table.atypical[cell] == 1 else BLUE
            panel.plot(time_ms, table.spike_pA[table.cell == cell].mean(axis=0), color=colour, alpha=0.35, lw=0.7)
        panel.set(title=table.class_names[label], xlabel="time (ms)")
    axes[0].set_ylabel("current (pA)")
    axes[0].plot([], [], color=BLUE, label="mean spike of a cell")
    axes[0].plot([], [], color=ORANGE, label=f"of an atypical one: upstroke-downstroke interval < {ATYPICAL_MS} ms")
    legend_below(figure, axes[0], columns=2)
    return figure


def _roc(summary: Json, calls: Calls, title: str) -> Figure:
    """Draw the ROC of the calibrated call; the band is 95 % of curves with days redrawn."""
    figure, (axes,) = _figure(title)
    label, probability, day = calls.label, calls.mean[:, 1], calls.group
    grid = np.linspace(0, 1, 101)
    rng, days = np.random.default_rng(0), np.unique(day)
    curves = []
    for _ in range(DRAWS):
        rows = np.concatenate([np.flatnonzero(day == d) for d in rng.choice(days, len(days))])
        if 0 < label[rows].sum() < len(rows):
            curves.append(_curve(label[rows], probability[rows], grid))
    if curves:
        axes.fill_between(
            grid,
            *np.quantile(curves, [0.025, 0.975], axis=0),
            color=BLUE,
            alpha=0.2,
            lw=0,
            label="95 % of curves, days redrawn",
        )
        auc = number(summary["rows"][CALIBRATED]["auc"], 3)
        axes.plot(grid, _curve(label, probability, grid), color=BLUE, label=f"{CALIBRATED}: AUC {auc}")
    for colour, (name, row) in zip(CYCLE[1:], list(summary["rows"].items())[2:], strict=False):
        one = 1 - (row["specificity_percent"]["value"] or 0) / 100
        axes.plot(one, (row["sensitivity_percent"]["value"] or 0) / 100, "o", color=colour, label=name)
    axes.plot([0, 1], [0, 1], color=GREY, ls=":", lw=1, label="chance")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    legend_below(figure, axes, columns=1)
    return figure


def _curve(label: np.ndarray, probability: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return the sensitivity at each 1 - specificity of the grid."""
    order = np.argsort(-probability, kind="stable")
    yes = label[order] == 1
    true, false = np.cumsum(yes) / max(yes.sum(), 1), np.cumsum(~yes) / max((~yes).sum(), 1)
    last = np.searchsorted(false, grid, side="right") - 1
    return np.where(last >= 0, true[np.maximum(last, 0)], 0.0)


def _settling(summary: Json, title: str) -> Figure:
    """Draw accuracy, and share of calls that no longer change, after so many spikes."""
    figure, (axes,) = _figure(title)
    rows = summary["settling"]["after"]
    n = [row["spikes"] for row in rows]
    axes.plot(n, [row["accuracy_percent"] for row in rows], "o-", color=BLUE, label="called right")
    axes.plot(n, [row["settled_percent"] for row in rows], "s--", color=ORANGE, label="call no longer changes")
    axes.set(xlabel="first spikes of a cell that are used", ylabel="cells with at least so many spikes (%)")
    log_scale(axes, "x")
    legend_below(figure, axes, columns=2)
    return figure
