"""Pictures of the EAP tasks: cell models, distance and amplitude, positions; EAPs on the array, feature images."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from spiketype.edge import Json
from spiketype.pictures import (
    BLUE,
    CYCLE,
    GREY,
    ORANGE,
    label_ticks,
    legend_below,
    log_scale,
    round_ticks,
    set_title,
    styled,
)
from spiketype.train.judging.intervals import CONFIDENCE
from spiketype.train.tasks.eap.positions import Positions

MOST_POINTS = 3000
MOST_BARS = 40  # in one picture
INTERVAL = f"{100 * CONFIDENCE:.0f} % interval"
LABELS = {
    "amplitude_uV": "amplitude (µV)",
    "width_ms": "width (ms)",
    "fwhm_ms": "half width (ms)",
    "eap_uV": "depth (µV)",
}


HELD_OUT = {
    "random": "random samples",
    "kfold": "random samples",
    "group": "cell models",
    "type": "all cell models of an m/e type",
    "leave-one-out": "each cell model",
    "lists": "as listed",
    "other store": "another store",
}


def heading(title: str, summary: Json) -> str:
    """Return the title, and under it what the test was: what was held out, is that optimistic, samples and seeds."""
    warning = " (optimistic: cell models shared by train and test)" if summary["optimistic"] else ""
    seeds = f"{summary['seeds']} seed" + "s" * (summary["seeds"] != 1)
    held_out = HELD_OUT.get(summary["split"], summary["split"])
    return f"{title}\nheld out: {held_out}{warning}\n{summary['samples']:,} test samples, {seeds}"


def _ends(estimates: Sequence[Json]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values, lows and highs of estimates; None becomes NaN."""
    value, low, high = (np.array([e[end] for e in estimates], float) for end in ("value", "low", "high"))
    return value, low, high


@styled
def cells_figure(summary: Json, title: str) -> Figure:
    """Draw Table II as bars: accuracy of each cell model, its interval, the mean over cells and the baselines.

    Of more than `MOST_BARS` cell models, those are drawn that are called worst.
    """
    every = summary["per_cell"]
    weakest = sorted(every, key=lambda row: row["accuracy_percent"]["value"])[:MOST_BARS]
    rows = every if len(every) <= MOST_BARS else weakest
    value, low, high = _ends([row["accuracy_percent"] for row in rows])
    figure = Figure(figsize=(max(6.4, 0.42 * len(rows) + 2.8), 4.6))
    axes = figure.add_subplot()
    classes = list(dict.fromkeys(row["class"] for row in rows))
    coloured = 1 < len(classes) <= len(CYCLE)
    colours = [CYCLE[classes.index(row["class"])] if coloured else BLUE for row in rows]
    axes.bar(range(len(rows)), value, color=colours, alpha=0.75)
    axes.errorbar(
        range(len(rows)),
        value,
        [value - low, high - value],
        fmt="none",
        ecolor="black",
        capsize=3,
        lw=1,
        label=INTERVAL,
    )
    _lines(axes, summary)
    for colour, name in zip(CYCLE, classes, strict=False):
        if coloured:
            axes.bar([np.nan], [np.nan], color=colour, alpha=0.75, label=name)
    axes.set_xticks(range(len(rows)), [row["cell"] for row in rows], rotation=45, ha="right", rotation_mode="anchor")
    axes.set(xlabel="cell model", ylabel="accuracy (%)", ylim=(0, 102), xlim=(-0.6, len(rows) - 0.4))
    some = "" if len(rows) == len(every) else f"\nthe {len(rows)} of {len(every)} that are called worst"
    axes.set_title(heading(f"Cell models: {title}", summary) + some)
    legend_below(figure, axes, columns=3)
    return figure


def _lines(axes: Axes, summary: Json) -> None:
    """Draw horizontal lines: the mean over cells, and that of each baseline."""
    means = {"mean over cell models": summary["over_cells_percent"]["mean"]["value"]}
    means |= {name: other["over_cells_percent"]["mean"]["value"] for name, other in summary["baselines"].items()}
    for (name, mean), style in zip(means.items(), ("-", "--", ":", "-.") * len(means), strict=False):
        axes.axhline(mean, color="black" if style == "-" else GREY, ls=style, lw=1.2, label=f"{name} {mean:.1f} %")


@styled
def curves_figure(summary: Json, title: str) -> Figure:
    """Draw accuracy against distance and against amplitude, with interval bands."""
    figure = Figure(figsize=(8.6, 4.2))
    pair = figure.subplots(1, 2, sharey=True)
    for axes, what, unit, label in (
        (pair[0], "against_distance", "um", "distance from the soma to the nearest contact (µm)"),
        (pair[1], "against_amplitude", "uV", "largest amplitude of any contact (µV)"),
    ):
        bins = summary[what]
        edges = np.array([[b[f"from_{unit}"], b[f"to_{unit}"]] for b in bins])
        logarithmic = unit == "uV" and edges.min() > 0
        centre = np.sqrt(edges.prod(axis=1)) if logarithmic else edges.mean(axis=1)
        value, low, high = _ends([b["accuracy_percent"] for b in bins])
        axes.fill_between(centre, low, high, color=BLUE, alpha=0.2, lw=0, label=INTERVAL)
        axes.plot(centre, value, "o-", color=BLUE, ms=4, label="samples in a bin")
        axes.set_xlabel(label)
        axes.grid()
        if logarithmic:
            log_scale(axes, "x")
    pair[0].set(ylabel="accuracy (%)", ylim=(min(pair[0].get_ylim()[0], 95), 101))
    set_title(figure, heading(f"Distance and amplitude: {title}", summary))
    legend_below(figure, pair[0], columns=2)
    return figure


@styled
def location_figure(positions: Positions, summary: Json, title: str) -> Figure:
    """Draw predicted against true soma position, axis by axis, and the distribution of the 3D error."""
    p = positions
    shown = np.linspace(0, len(p.cell) - 1, min(MOST_POINTS, len(p.cell))).astype(int)
    figure = Figure(figsize=(9, 8.4))
    grid = figure.subplots(2, 2).ravel()
    for k, axis in enumerate("xyz"):
        axes, true, predicted = grid[k], p.true_um[shown, k], p.predicted_um[0, shown, k]
        axes.plot(true, predicted, ".", color=BLUE, ms=2.5, alpha=0.4)
        ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
        axes.plot(ends, ends, color="black", lw=1)
        axes.set(xlabel=f"true {axis} (µm)", ylabel=f"predicted {axis} (µm)", aspect="equal")
        axes.set_title(f"{axis}: mean |error| {summary['error_um'][f'{axis}_mean_abs']['value']:.1f} µm")
    error = np.linalg.norm(p.predicted_um - p.true_um, axis=2).ravel()
    grid[3].hist(error, bins=40, color=BLUE, alpha=0.75)
    for name, table, style in (("mean", "error_um", "-"), ("of the mean position", "baseline_error_um", "--")):
        value = summary[table]["mean_3d"]["value"]
        grid[3].axvline(value, color="black", ls=style, lw=1.2, label=f"{name} {value:.1f} µm")
    grid[3].set(xlabel="distance from the true to the predicted position (µm)", ylabel="predictions")
    grid[3].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    set_title(figure, heading(f"Test samples; lines: exact. {title}", summary))
    return figure


@styled
def array_figure(
    eaps: Mapping[str, np.ndarray],
    contact_um: np.ndarray,
    dt_ms: float,
    title: str,
    soma_um: Mapping[str, np.ndarray] | None = None,
    columns: int = 5,
) -> Figure:
    """Draw waveforms where their contacts are, seen along x: one panel per EAP, each with its own scale.

    eaps: name -> eap_uV (channel, time); contact_um (channel, 3); soma_um: name -> (3,), drawn as a cross.
    Raises ValueError when an EAP and contact_um differ in channels.
    """
    for name, eap_uV in eaps.items():
        if len(eap_uV) != len(contact_um):
            raise ValueError(f"array_figure: {name} has {len(eap_uV)} channels, contact_um {len(contact_um)}")
    columns = min(columns, len(eaps))
    rows = -(-len(eaps) // columns)
    extent = np.ptp(contact_um[:, 1:], axis=0) + _pitch_um(contact_um)
    width = 6.0 if len(eaps) == 1 else 3.2
    height = float(np.clip(0.9 * width * extent[1] / extent[0], 0.5 * width, 9))
    figure = Figure(figsize=(width * columns, (height + 0.4) * rows + 0.5))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(eaps) :]:
        axes.set_axis_off()
    grid[(rows - 1) * columns].set(xlabel="y (µm)", ylabel="z (µm)")
    for axes, (name, eap_uV) in zip(grid, eaps.items(), strict=False):
        _draw_eap(axes, np.asarray(eap_uV, float), contact_um, dt_ms)
        scale = f"tallest {np.ptp(eap_uV, axis=1).max():.0f} µV, each {dt_ms * eap_uV.shape[1]:.1f} ms"
        axes.set_title(f"{name}\n{scale}", fontsize=8)
        if soma_um and name in soma_um:
            axes.plot(*soma_um[name][1:], "x", color=ORANGE, ms=9, mew=2, zorder=3, label="soma")
    set_title(figure, title)
    return figure


def _pitch_um(contact_um: np.ndarray) -> np.ndarray:
    """Return the room for one waveform (along y, along z): the smallest steps between contact coordinates."""
    steps = [np.diff(np.unique(np.round(contact_um[:, axis], 1))) for axis in (1, 2)]
    known = [step.min() for step in steps if len(step)]
    return np.array([step.min() if len(step) else (known or [20.0])[0] for step in steps])


def _draw_eap(axes: Axes, eap_uV: np.ndarray, contact_um: np.ndarray, dt_ms: float) -> None:
    """Draw one EAP: a short trace per contact, the tallest two contact pitches high."""
    pitch = _pitch_um(contact_um)
    duration_ms = dt_ms * eap_uV.shape[1]
    um_per_ms = 0.85 * pitch[0] / duration_ms
    largest_uV = np.ptp(eap_uV, axis=1).max()
    um_per_uV = 2 * pitch[1] / largest_uV if largest_uV > 0 else 0.0
    time_um = (np.arange(eap_uV.shape[1]) * dt_ms - duration_ms / 2) * um_per_ms
    traces = [
        np.column_stack([y + time_um, z + trace * um_per_uV])
        for (_, y, z), trace in zip(contact_um, eap_uV, strict=True)
    ]
    axes.plot(contact_um[:, 1], contact_um[:, 2], ".", color="0.75", ms=2)
    axes.add_collection(LineCollection(traces, colors=BLUE, linewidths=0.8))
    if um_per_uV:
        _scale_bars(axes, contact_um, pitch, um_per_ms, um_per_uV)
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.tick_params(labelsize=7)


def _scale_bars(axes: Axes, contact_um: np.ndarray, pitch_um: np.ndarray, um_per_ms: float, um_per_uV: float) -> None:
    """Draw what a millisecond or so, and some uV, are on the picture: to the right of the lowest contacts."""
    ms, uV = map(_round_below, (0.85 * pitch_um[0] / um_per_ms, pitch_um[1] / um_per_uV))
    y, z = contact_um[:, 1].max() + 0.8 * pitch_um[0], contact_um[:, 2].min() - pitch_um[1] / 2
    axes.plot([y, y, y + ms * um_per_ms], [z + uV * um_per_uV, z, z], color="black", lw=1.2)
    axes.text(y, z - 0.15 * pitch_um[1], f"{ms:g} ms", fontsize=6, va="top")
    axes.text(y + 0.15 * pitch_um[0], z + uV * um_per_uV, f"{uV:g} µV", fontsize=6, va="center")


def _round_below(value: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above a positive value."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(factor * power for factor in (1, 2, 5) if factor * power <= value * (1 + 1e-9)))


@styled
def feature_figure(images: np.ndarray, cell_names: Sequence[str], feature_names: Sequence[str], title: str) -> Figure:
    """Draw Fig. 3: feature images (cell, feature, row, column) side by side, one logarithmic scale per feature.

    Rows run along z upwards, columns along y, as in a probe's grid; feature_names carry their units. Values that are
    not positive have the colour of the smallest.
    """
    if images.shape[:2] != (len(cell_names), len(feature_names)):
        raise ValueError(
            f"feature_figure: expected images of {(len(cell_names), len(feature_names))} (cell, feature), "
            f"got {images.shape[:2]}"
        )
    cells, features = images.shape[:2]
    figure = Figure(figsize=(1.05 * cells + 1.6, 1.2 * features + 0.7))
    grid = figure.subplots(features, cells, squeeze=False)
    for f, name in enumerate(feature_names):
        low, high = _ends_of_scale(images[:, f])
        for c, axes in enumerate(grid[f]):
            shown = np.maximum(images[c, f], low)
            picture = axes.imshow(shown, origin="lower", cmap="viridis", norm=LogNorm(low, high))
            axes.set_xticks([])
            axes.set_yticks([])
            if f == 0:
                axes.set_title(cell_names[c])
        grid[f, 0].set(ylabel="z →", xlabel="y →" if f == features - 1 else "")
        bar = figure.colorbar(picture, ax=grid[f], label=name, shrink=0.9, pad=0.01)
        label_ticks(bar.ax.yaxis, round_ticks(low, high))
    set_title(figure, title)
    return figure


def _ends_of_scale(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of a logarithmic scale over positive values: at most three decades, at least a factor of two."""
    positive = values[values > 0]
    if not len(positive):
        return 0.1, 1.0
    most = float(positive.max())
    return min(max(float(positive.min()), most / 1000), most / 2), most
