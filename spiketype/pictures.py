"""The style of all pictures: colours, sizes of letters, ticks, legends; and how they are written, as PNG and SVG.

Colours are those of Okabe and Ito, which colour-blind readers tell apart, and the perceptually uniform maps of
matplotlib. Figures are objects of their own (no pyplot), and the style holds where `styled` functions draw them: what a
user's own program has set in matplotlib is neither used nor changed.
"""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from spiketype.edge import whole_file

BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"
CYCLE = (BLUE, ORANGE, GREEN, PINK, "#E69F00", "#56B4E9", "#000000")
LONG_CYCLE = (*CYCLE, "#332288", "#AA4499", "#44AA99", "#999933", "#882255", "#BBBBBB")
STYLE: dict[Any, Any] = {  # the keys are names of matplotlib's
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "figure.titlesize": 10,
    "figure.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "grid.alpha": 0.3,
    "image.cmap": "viridis",
}
WRITTEN: dict[Any, Any] = {
    "svg.hashsalt": "spiketype",
    "svg.fonttype": "none",
}  # the same bytes each time; text stays text
DPI = 150
MOST_POINTS = 20_000  # of lines and dots that an SVG has as such, about 500 kB; the densest axes are images instead
FEW_TICKS, MANY_TICKS = 3, 8
LETTERS_PER_INCH = 11  # of a title, in its size

styled = rc_context(STYLE)  # a decorator of functions that draw


def save(figure: Figure, path: Path) -> Path:
    """Write NAME.png and NAME.svg, each whole or not at all, and return the path of the first.

    Args:
        figure: what to write; axes with too many points for an SVG are drawn in it as images from now on.
        path: that ends in .png.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Ticks are made when they are drawn; the layout of a figure is its own, and may be none.
    with rc_context({**STYLE, "figure.constrained_layout.use": False, **WRITTEN}):
        with whole_file(path) as partial:
            figure.savefig(partial, dpi=DPI, format="png")
        figure.set_layout_engine("none")  # both files have the layout that was found for the first
        _rasterise(figure)
        with whole_file(path.with_suffix(".svg")) as partial:
            figure.savefig(partial, dpi=DPI, format="svg", metadata={"Date": None})
    return path


def _rasterise(figure: Figure) -> None:
    """Make images of what the densest axes show, until an SVG of the rest is small enough."""
    dense = {axes: sum(map(_points, axes.get_children())) for axes in figure.axes}
    total = sum(dense.values())
    for axes in sorted(dense, key=lambda axes: -dense[axes]):
        if total <= MOST_POINTS:
            return
        total -= dense[axes]
        for artist in axes.get_children():
            artist.set_rasterized(artist.get_rasterized() or _points(artist) > 0)


def _points(artist: Artist) -> int:
    """Return how many points a line or a collection has."""
    if isinstance(artist, Line2D):
        return int(np.size(artist.get_xdata()))
    if isinstance(artist, Collection):
        of_paths = sum(np.size(path.vertices) // 2 for path in artist.get_paths())
        return max(of_paths, np.asarray(artist.get_offsets()).size // 2)
    return 0


def colours(count: int) -> list[str]:
    """Return as many colours as can be told apart, then again from the first."""
    cycle = CYCLE if count <= len(CYCLE) else LONG_CYCLE
    return [cycle[k % len(cycle)] for k in range(count)]


def log_scale(axes: Axes, which: str) -> None:
    """Make the x or y axis of drawn data logarithmic, with round numbers at its ticks, several of them."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    label_ticks(axis, round_ticks(*axis.get_view_interval()))


def label_ticks(axis: Axis, ticks: Float[np.ndarray, " tick"]) -> None:
    """Set these ticks and no others, with plain numbers."""
    axis.set_ticks(ticks.tolist(), [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def round_ticks(low: float, high: float) -> Float[np.ndarray, " tick"]:
    """Return round numbers between low and high for a logarithmic axis.

    As many of 1, 1.5, 2, 3, 4, 5 and 7 times powers of ten as there is room for, over many decades the powers alone;
    steps of equal size where the ends are close.
    """
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for factors in ([1, 1.5, 2, 3, 4, 5, 7], [1, 2, 5], [1, 3], [1]):
        ticks = np.outer(powers, factors).ravel()
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if len(ticks) <= MANY_TICKS:
            break
    if len(ticks) < FEW_TICKS:
        ticks = np.round(MaxNLocator(5).tick_values(low, high), 12)
    return np.asarray(ticks[(ticks >= low) & (ticks <= high)])


def set_title(figure: Figure, text: str) -> None:
    """Set the title of a whole figure, in lines that fit its width."""
    most = int(LETTERS_PER_INCH * figure.get_figwidth())
    figure.suptitle("\n".join(textwrap.fill(line, most) for line in text.splitlines()))


def legend_beside(axes: Axes, **options: Any) -> None:
    """Put the legend to the right of axes, where it covers nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), **options)


def legend_below(figure: Figure, axes: Axes, columns: int, **options: Any) -> None:
    """Put the legend of axes below the whole figure, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, **options)
