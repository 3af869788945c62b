"""What a person reads of the unit task: the table and the figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from spiketype.datasets.waveforms.inputs import scale
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.train.judging.figures import CYCLE, save, training_figure
from spiketype.train.judging.report import number, text_table
from spiketype.train.tasks.unit.summary import BALANCED

SHOWN = 3  # confusion matrices side by side


def unit_table(result: Mapping[str, Any]) -> str:
    """A line for every model, by unit and, of spikes, by spike; and what the numbers are of."""
    by_spike = result.get("by_spike", {})
    rows = []
    for name, row in result["rows"].items():
        line = [name, number(row[BALANCED]), number(row["accuracy_percent"]), number(row["nll"], 3)]
        line += ["-" if r is None else f"{100 * r:.0f}" for r in row["recall"]]
        rows.append(line + ([number(by_spike[name][BALANCED])] if by_spike else []))
    header = ["model", "balanced accuracy (%)", "accuracy (%)", "NLL", *(f"recall {c} (%)" for c in result["classes"])]
    header += ["balanced, single spikes (%)"] if by_spike else []
    return f"{text_table(header, rows)}\n{words(result)}"


def words(result: Mapping[str, Any]) -> str:
    """What was tested and how, in a sentence or two."""
    held_out = {"animal": "animals held out", "unit": "units held out", "spike": "spikes held out at random"}
    animals = "animals not said" if result["animals"] is None else f"{result['animals']} animal(s)"
    text = f"{result['units']} units ({animals}), {held_out[result['split']]}"
    if "spikes" in result:
        text += f"; a unit's call is the mean over its spikes ({result['spikes']} in all)"
    if result["optimistic"]:
        text += "\nOPTIMISTIC: tested units have spikes that were trained on; this is recognising known units again"
    over = "animals" if result["split"] == "animal" else "units"
    return f"{text}; 95 % intervals over {over}"


def figures(
    result: Mapping[str, Any], table: WaveformTable, history: Sequence[Mapping[str, Any]], folder: Path
) -> None:
    """Write confusion, waveforms and (given a history) training as PNG into folder."""
    save(confusion_figure(result), folder / "confusion.png")
    save(waveform_figure(table), folder / "waveforms.png")
    if history:
        save(training_figure(history, words(result)), folder / "training.png")


def confusion_figure(result: Mapping[str, Any]) -> Figure:
    """Recall in percent by unit: rows are the true classes."""
    names = list(result["confusion"])[:SHOWN]
    classes = result["classes"]
    side = 1.6 + 0.55 * len(classes)
    figure = Figure(figsize=(max(3.6, side) * len(names), side + 1.6), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        count = np.array(result["confusion"][name], float)
        share = 100 * count / np.maximum(count.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for (i, j), value in np.ndenumerate(share):
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", color="white" if value > 55 else "black")
        sizes = [f"{c} ({n})" for c, n in zip(classes, result["units_of_class"], strict=True)]
        axes.set(xticks=range(len(classes)), yticks=range(len(classes)), yticklabels=sizes, xlabel="called")
        axes.set_xticklabels(classes, rotation=40, ha="right")
        axes.set_title(f"{name}\nbalanced {number(result['rows'][name][BALANCED])} %", fontsize=8)
    figure.suptitle(words(result), fontsize=8)
    return figure


def waveform_figure(table: WaveformTable) -> Figure:
    """Mean waveform of each class on the units' largest channel, over its amplitude, with quartiles of rows."""
    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    axes = figure.add_subplot()
    largest = np.ptp(table.waveform, axis=2).argmax(axis=1)
    x = scale(table.waveform[np.arange(len(largest)), largest][:, None], "amplitude")[:, 0]
    time_ms = np.arange(x.shape[1]) / table.rate_kHz
    for k, (name, colour) in enumerate(zip(table.class_names, CYCLE, strict=False)):
        if not (table.label == k).any():
            continue
        low, middle, high = np.quantile(x[table.label == k], [0.25, 0.5, 0.75], axis=0)
        axes.fill_between(time_ms, low, high, color=colour, alpha=0.2, lw=0)
        axes.plot(time_ms, middle, color=colour, label=f"{name} ({int((table.label == k).sum())})")
    axes.set(xlabel="time (ms)", ylabel="largest channel, over its amplitude")
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.3)
    return figure
