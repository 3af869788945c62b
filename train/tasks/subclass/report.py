"""The tables of the subclass task, for the terminal and the README."""

from collections.abc import Mapping
from statistics import mean, stdev
from typing import Any

from spiketype.train.judging.report import number, text_table

COLUMNS = {
    "accuracy (%)": ("accuracy_percent", 1),
    "balanced (%)": ("balanced_accuracy_percent", 1),
    "macro F1 (%)": ("macro_f1_percent", 1),
    "NLL": ("nll", 3),
    "ECE": ("ece", 3),
    "at 90 % coverage": ("accuracy_at_90_percent", 1),
    "at 80 %": ("accuracy_at_80_percent", 1),
}


def subclass_table(result: Mapping[str, Any]) -> str:
    """A line for every model, what the numbers are of, and each part where it has a name."""
    rows = [
        [name, *(number(row[key], digits) for key, digits in COLUMNS.values())] for name, row in result["rows"].items()
    ]
    words = f"{result['cells']} cells of {result['donors']} donors, split: {result['split']}"
    words += " (optimistic: cells of tested donors are trained on)" if result["optimistic"] else ""
    text = [text_table(["model", *COLUMNS], rows), f"{words}; 95 % intervals over donors", _classes(result)]
    if "gates" in result and result["gates"]["jaccard"] is not None:
        gates = result["gates"]
        text.append(
            f"LSPIN: {gates['open']:.1f} of {gates['features']} gates open in a cell; across seeds their correlation "
            f"is {gates['correlation']:.2f}, the Jaccard index of gates above 0.5 {gates['jaccard']:.2f}"
        )
    each = result.get("lspin_each_seed_percent", [])
    if len(each) > 1:
        text.append(f"one LSPIN alone: {mean(each):.1f} ± {stdev(each):.1f} % (mean and sd of {len(each)} seeds)")
    if result["split"] in ("era", "line"):
        text.append(_folds(result))
    return "\n".join(text)


def _classes(result: Mapping[str, Any]) -> str:
    name, row = next(iter(result["rows"].items()))
    share = [["-" if v is None else f"{100 * v:.1f}" for v in row[key]] for key in ("precision", "recall")]
    names = [each.replace("|", "\\|") for each in result["classes"]]  # a bar would end the cell of a table
    rows = [list(values) for values in zip(names, *share, strict=True)]
    return text_table([name, "precision (%)", "recall (%)"], rows)


def _folds(result: Mapping[str, Any]) -> str:
    models = list(result["rows"])
    rows = [
        [fold["name"], str(sum(fold["test_cells"])), ", ".join(fold["absent"]) or "-"]
        + [f"{fold['accuracy_percent'][name]:.1f}" for name in models]
        for fold in result["folds"]
    ]
    return "accuracy (%) of each part that is held out\n" + text_table(["part", "cells", "not trained", *models], rows)
