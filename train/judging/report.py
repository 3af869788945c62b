"""What a person reads of a run: tables for the terminal and the README, and the folder of figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spiketype.train.judging.figures import (
    cells_figure,
    confusion_figure,
    curves_figure,
    heading,
    location_figure,
    save,
    training_figure,
)
from spiketype.train.tasks.eap.predictions import Locations


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that is also aligned as plain text: first column to the left, the others to the right.

    Raises ValueError when a row has another number of columns than the header.
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"text_table: expected {len(header)} columns, got {len(row)}: {list(row)}")
    widths = [max(3, *(len(row[k]) for row in (header, *rows))) for k in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *others = zip(row, widths, strict=True)
        return "| " + " | ".join([first[0].ljust(first[1]), *(text.rjust(w) for text, w in others)]) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if k == 0 else ":") for k, w in enumerate(widths)) + "|"
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def number(estimate: Mapping[str, Any], digits: int = 1) -> str:
    """``98.4 [97.1, 99.2]``, or the value alone where the interval is unknown, or ``-``."""
    if estimate["value"] is None:
        return "-"
    text = f"{estimate['value']:.{digits}f}"
    if estimate["low"] is None or estimate["high"] is None:
        return text
    return f"{text} [{estimate['low']:.{digits}f}, {estimate['high']:.{digits}f}]"


def cell_table(summary: Mapping[str, Any]) -> str:
    """Tables II and III of one run: a line per cell model, the statistics over cells, the baselines."""
    rows = [
        [row["cell"], row["class"], str(row["samples"]), number(row["accuracy_percent"])] for row in summary["per_cell"]
    ]
    for name in ("mean", "median", "max", "min", "sd"):
        rows.append([f"{name} over cells", "", "", number(summary["over_cells_percent"][name])])
    rows.append(["balanced accuracy", "", "", number(summary["balanced_accuracy_percent"])])
    for name, other in summary["baselines"].items():
        rows.append([f"{name}, mean over cells", "", "", number(other["over_cells_percent"]["mean"])])
    interval = f"{100 * summary['confidence']:.0f} % interval"
    return text_table(["cell model", "class", "samples", f"accuracy (%) [{interval}]"], rows)


def location_table(summary: Mapping[str, Any]) -> str:
    """Errors in um: a line per statistic, ours, the constant baseline's and the difference."""
    interval = f"{100 * summary['confidence']:.0f} % interval"
    tables = [summary[name] for name in ("error_um", "baseline_error_um", "ours_minus_baseline_um")]
    rows = [[name.replace("_", " "), *(number(table[name]) for table in tables)] for name in summary["error_um"]]
    return text_table([f"error (um) [{interval}]", "network", "training mean", "difference"], rows)


def classification_figures(
    summary: Mapping[str, Any], history: Sequence[Mapping[str, Any]], title: str, folder: Path
) -> list[Path]:
    """Write confusion, cells, curves and (given a history) training as PNG into folder; return the paths."""
    drawn = {
        "confusion": confusion_figure(summary, title),
        "cells": cells_figure(summary, title),
        "curves": curves_figure(summary, title),
    }
    if history:
        drawn["training"] = training_figure(history, heading(title, summary))
    return [save(figure, folder / f"{name}.png") for name, figure in drawn.items()]


def location_figures(
    locations: Locations,
    summary: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    title: str,
    folder: Path,
) -> list[Path]:
    """Write location and (given a history) training as PNG into folder; return their paths."""
    drawn = {"location": location_figure(locations, summary, title)}
    if history:
        drawn["training"] = training_figure(history, heading(title, summary))
    return [save(figure, folder / f"{name}.png") for name, figure in drawn.items()]
