"""The picture of called units: their waveforms, what they were called by, and where the recording lies among others."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spiketype.datasets.waveforms import WaveformTable
from spiketype.datasets.waveforms.shape import WAVE_MS
from spiketype.edge import NO_CALL
from spiketype.pictures import BLUE, GREY, ORANGE, legend_below, set_title, styled
from spiketype.units.call import UnitCalls
from spiketype.units.model import CLASSES, UnitsModel

NONE = "#999999"  # no call
COLOURS = {CLASSES[0]: BLUE, CLASSES[1]: ORANGE}
MOST = 150  # waveforms drawn of each call
BINS = np.linspace(0.1, 0.7, 25)


@styled
def units(found: UnitCalls, table: WaveformTable, model: UnitsModel) -> Figure:
    """Draw waveforms by call, the probability over the trough-to-peak time, and the latter beside the training sets."""
    figure = Figure(figsize=(13, 4.4))
    waves, scatter, spread = figure.subplots(1, 3)
    measured = ~np.isnan(found.columns["p_excitatory"])
    for name, colour in (*COLOURS.items(), (NO_CALL, NONE)):
        waves.plot([], [], color=colour, lw=2.5, label=f"{name} ({_chosen(found, measured, name).sum()})")
    _waveforms(waves, found, measured)
    _probability(scatter, found, measured)
    _distributions(spread, found, model, measured)
    set_title(figure, f"{table.source.name}: {len(measured)} units, {int(measured.sum())} measured")
    legend_below(figure, waves, columns=3)
    return figure


def _chosen(found: UnitCalls, measured: np.ndarray, name: str) -> np.ndarray:
    """Return which of the measured units have this call (unit,)."""
    call = found.columns["call"]
    return np.asarray(measured & ((call == name) if name in CLASSES else ~np.isin(call, CLASSES)))


def _waveforms(axes: Axes, found: UnitCalls, measured: np.ndarray) -> None:
    for name in (NO_CALL, *CLASSES):
        wave = found.shape.wave[_chosen(found, measured, name)]
        step = -(-len(wave) // MOST) or 1
        axes.plot(WAVE_MS, wave[::step].T, color=COLOURS.get(name, NONE), alpha=0.15, lw=0.7)
        if len(wave):
            axes.plot(WAVE_MS, np.median(wave, axis=0), color=COLOURS.get(name, NONE), lw=2.5)
    axes.set(xlabel="time from the trough (ms)", ylabel="largest channel, over the depth of the trough")
    axes.set_title("Waveforms, and the median of each call")


def _probability(axes: Axes, found: UnitCalls, measured: np.ndarray) -> None:
    width, p = found.columns["trough_to_peak_ms"][measured], found.columns["p_excitatory"][measured]
    call = found.columns["call"][measured]
    colours = [COLOURS.get(name, NONE) for name in call.tolist()]
    axes.scatter(width, p, c=colours, s=14, alpha=0.7, lw=0)
    certain = found.facts["certain"]
    axes.axhspan(1 - certain, certain, color="#eeeeee", zorder=0)
    axes.set(xlabel="trough to peak (ms)", ylabel="probability of excitatory", ylim=(-0.02, 1.02))
    axes.set_title(f"Calls; below probability {certain:g} (shaded) there is none")


def _distributions(axes: Axes, found: UnitCalls, model: UnitsModel, measured: np.ndarray) -> None:
    """Draw the recording's trough-to-peak times above those of the labelled sets, each of height 1."""
    width = found.columns["trough_to_peak_ms"][measured]
    rows = [("this recording", [(width, GREY)])]
    for name, by_class in model.card.get("trough_to_peak_ms", {}).items():
        rows.append((name, [(np.array(by_class[c]), COLOURS[c]) for c in CLASSES]))
    for level, (_, each) in enumerate(rows):
        for values, colour in each:
            count, _ = np.histogram(values, BINS)
            height = 0.85 * count / max(count.max(), 1)
            axes.stairs(level + height, BINS, baseline=level, fill=True, color=colour, alpha=0.5)
    axes.set(xlabel="trough to peak (ms)", ylabel="units, each set to height 1", ylim=(-0.05, len(rows)))
    axes.set_title("This recording, and labelled ones")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], va="bottom")
