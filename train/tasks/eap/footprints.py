"""Pictures of the data: EAPs on the array (Figs. 1C and 2 of the paper) and feature images (Fig. 3)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from spiketype.train.judging.figures import BLUE, ORANGE


def array_figure(
    eaps: Mapping[str, np.ndarray],
    contact_um: np.ndarray,
    dt_ms: float,
    title: str,
    soma_um: Mapping[str, np.ndarray] | None = None,
    columns: int = 5,
) -> Figure:
    """Waveforms drawn where their contacts are, seen along x: one panel per EAP, each with its own scale.

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
    figure = Figure(figsize=(width * columns, (height + 0.4) * rows + 0.5), layout="constrained")
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
    figure.suptitle(title, fontsize=10)
    return figure


def _pitch_um(contact_um: np.ndarray) -> np.ndarray:
    """Room for one waveform (along y, along z): the smallest steps between contact coordinates."""
    steps = [np.diff(np.unique(np.round(contact_um[:, axis], 1))) for axis in (1, 2)]
    known = [step.min() for step in steps if len(step)]
    return np.array([step.min() if len(step) else (known or [20.0])[0] for step in steps])


def _draw_eap(axes: Axes, eap_uV: np.ndarray, contact_um: np.ndarray, dt_ms: float) -> None:
    """One EAP: a short trace per contact, the tallest two contact pitches high."""
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
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.tick_params(labelsize=7)


def feature_figure(images: np.ndarray, cell_names: Sequence[str], feature_names: Sequence[str], title: str) -> Figure:
    """Fig. 3: feature images (cell, feature, row, column) side by side, one scale per feature.

    Rows run along z upwards, columns along y, as in a probe's grid; feature_names carry their units.
    """
    if images.shape[:2] != (len(cell_names), len(feature_names)):
        raise ValueError(
            f"feature_figure: expected images of {(len(cell_names), len(feature_names))} (cell, feature), "
            f"got {images.shape[:2]}"
        )
    cells, features = images.shape[:2]
    figure = Figure(figsize=(1.05 * cells + 1.4, 1.35 * features + 0.7), layout="constrained")
    grid = figure.subplots(features, cells, squeeze=False)
    for f, name in enumerate(feature_names):
        shown = images[:, f]
        for c, axes in enumerate(grid[f]):
            picture = axes.imshow(shown[c], origin="lower", cmap="viridis", vmin=shown.min(), vmax=shown.max())
            axes.set_xticks([])
            axes.set_yticks([])
            if f == 0:
                axes.set_title(cell_names[c], fontsize=9)
        figure.colorbar(picture, ax=grid[f], label=name, shrink=0.9, pad=0.01)
    figure.suptitle(title, fontsize=10)
    return figure
