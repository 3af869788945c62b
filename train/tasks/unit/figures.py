"""The pictures of the unit task: those that all tasks share, and the waveforms of the classes."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from spiketype.datasets.waveforms.inputs import scale
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.figures import CYCLE, calls_confusion, reliability_figure, training_figure
from spiketype.train.task import History


def figures(models: Mapping[str, Calls], title: str, table: WaveformTable, history: History) -> dict[str, Figure]:
    """Draw confusion and reliability of calls by unit, the waveforms and, given a history, the training."""
    drawn = {
        "confusion": calls_confusion(models, title),
        "reliability": reliability_figure(models, title),
        "waveforms": waveform_figure(table),
    }
    return drawn | ({"training": training_figure(history, title)} if history else {})


def waveform_figure(table: WaveformTable) -> Figure:
    """Draw the median and quartiles of each class's rows: waveforms on the largest channel, over its amplitude."""
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
