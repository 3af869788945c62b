"""The pictures of the unit task: those that all tasks share, and the waveforms of the classes."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from spiketype.datasets.waveforms.seen import Seen
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.pictures import colours, legend_beside, styled
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.figures import calls_confusion, reliability_figure, training_figure
from spiketype.train.task import History

LEAST = 0.5  # share of rows that have data at a time that is drawn


def figures(
    models: Mapping[str, Calls], title: str, shown: Seen, table: WaveformTable, history: History
) -> dict[str, Figure]:
    """Draw confusion and reliability of calls by unit, the waveforms and, given a history, the training."""
    drawn = {
        "confusion": calls_confusion(models, title),
        "reliability": reliability_figure(models, title),
        "waveforms": waveform_figure(shown, table),
    }
    return drawn | ({"training": training_figure(history, title)} if history else {})


@styled
def waveform_figure(shown: Seen, table: WaveformTable) -> Figure:
    """Draw the median and quartiles of each class's rows, on the largest channel of each, as the network sees them."""
    figure = Figure(figsize=(7, 3.8))
    axes = figure.add_subplot()
    largest = np.argmax(np.nanmax(shown.waveform, axis=2) - np.nanmin(shown.waveform, axis=2), axis=1)
    x = shown.waveform[np.arange(len(largest)), largest]
    for k, (name, colour) in enumerate(zip(table.class_names, colours(len(table.class_names)), strict=True)):
        mine = x[table.label == k]
        if not len(mine):
            continue
        there = np.mean(np.isfinite(mine), axis=0) >= LEAST
        low, middle, high = np.nanquantile(mine[:, there], [0.25, 0.5, 0.75], axis=0)
        axes.fill_between(shown.time_ms[there], low, high, color=colour, alpha=0.2, lw=0)
        axes.plot(shown.time_ms[there], middle, color=colour, label=f"{name} ({len(mine)})")
    rows = "units" if table.level == "unit" else "spikes"
    axes.set(xlabel=shown.time, ylabel=f"largest channel,\n{shown.scale}")
    axes.set_title(f"Waveforms where the network sees them: medians and quartiles of {rows}")
    axes.grid()
    legend_beside(axes)
    return figure
