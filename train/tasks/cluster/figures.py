"""Pictures of a clustering: code, mean waveforms, convergence, confusion, agreement of seeds, number of clusters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from spiketype.train.judging.figures import (
    BLUE,
    CYCLE,
    GREY,
    save,
    training_figure,
)
from spiketype.train.judging.intervals import CONFIDENCE
from spiketype.train.tasks.cluster import scores as clustering
from spiketype.train.tasks.cluster.data import Units

MOST_POINTS, MOST_NAMES = 4000, 20
PANELS = (
    ("loss", ("loss",)),
    ("changed units", ("changed",)),
    ("entropy of sizes", ("entropy",)),
    ("variance of the code", ("variance",)),
)


def draw(
    result: Mapping[str, Any],
    units: Units,
    codes: np.ndarray,
    found: Mapping[str, np.ndarray],
    mean: np.ndarray,
    history: Sequence[Mapping[str, Any]],
    folder: Path,
) -> None:
    """Write all pictures as PNG into folder."""
    cluster = mean.argmax(axis=1)
    save(embedding_figure(codes[_central(result)], units, cluster), folder / "embedding.png")
    save(waveform_figure(units, cluster), folder / "waveforms.png")
    if result["stability"]:
        save(stability_figure(result), folder / "stability.png")
    if "labelled" in result:
        save(confusion_figure(result), folder / "confusion.png")
    if "choice" in result:
        save(choice_figure(result["choice"]), folder / "clusters.png")
    second = [row for row in history if "changed" in row]
    if second:
        save(training_figure(second, "clustering", PANELS), folder / "convergence.png")


def _central(result: Mapping[str, Any]) -> int:
    """The seed that agrees best with the others."""
    if "DEC" not in result["stability"]:
        return 0
    return int(np.argmax(np.sum(result["stability"]["DEC"]["pairs"], axis=0)))


def colours(count: int) -> list[Any]:
    """As many colours as can be told apart, then again from the first."""
    cycle = CYCLE if count <= len(CYCLE) else [matplotlib.colormaps["tab20"](k) for k in range(20)]
    return [cycle[k % len(cycle)] for k in range(count)]


def embedding_figure(z: np.ndarray, units: Units, cluster: np.ndarray) -> Figure:
    """The code in its first two principal components, coloured by cluster, by label and by animal."""
    panels = [("cluster", cluster, [str(k) for k in range(cluster.max() + 1)])]
    if units.class_names:
        panels.append(("label (for the judgement)", units.label, list(units.class_names)))
    if len(units.animal_names) > 1:
        panels.append(("animal", units.animal, list(units.animal_names)))
    points = PCA(2).fit_transform(z) if z.shape[1] > 2 else np.pad(z, ((0, 0), (0, 2 - z.shape[1])))
    shown = np.linspace(0, len(z) - 1, min(MOST_POINTS, len(z))).astype(int)
    figure = Figure(figsize=(5.2 * len(panels), 4.8), layout="constrained")
    for axes, (title, value, names) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        _scatter(axes, points[shown], value[shown], names)
        axes.set(title=title, xlabel="first component of the code", ylabel="second component")
    return figure


def _scatter(axes: Axes, points: np.ndarray, value: np.ndarray, names: Sequence[str]) -> None:
    unknown = value < 0
    axes.plot(*points[unknown].T, ".", color="0.85", ms=3, label="unknown" if unknown.any() else None)
    for k, colour in enumerate(colours(len(names))):
        axes.plot(*points[value == k].T, ".", color=colour, ms=3, alpha=0.7, label=names[k] if k < MOST_NAMES else None)
    axes.legend(frameon=False, fontsize=7, markerscale=3, ncols=2 if len(names) > 6 else 1)


def waveform_figure(units: Units, cluster: np.ndarray) -> Figure:
    """Mean of each cluster on its largest channel, with the interval of the mean and the middle 80 % of units."""
    count = int(cluster.max()) + 1
    columns = min(count, 5)
    rows = -(-count // columns)
    figure = Figure(figsize=(2.5 * columns, 2.1 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, k, colour in zip(grid, range(count), colours(count), strict=False):
        traces = units.traces[cluster == k]
        axes.set_title(f"cluster {k}: {len(traces)} units", fontsize=9)
        if units.source == "digits":
            axes.imshow(traces.mean(axis=0), cmap="Greys") if len(traces) else None
            axes.set_axis_off()
        elif len(traces):
            _mean_trace(axes, traces, units.rate_kHz, colour)
    for axes in grid[count:]:
        axes.set_axis_off()
    if units.source != "digits":
        figure.supxlabel("time (ms)", fontsize=9)
        figure.supylabel("amplitude (scaled)", fontsize=9)
    return figure


def _mean_trace(axes: Axes, traces: np.ndarray, rate_kHz: float, colour: Any) -> None:
    largest = np.ptp(traces.mean(axis=0), axis=1).argmax()
    own = traces[:, largest]
    time_ms = np.arange(own.shape[1]) / rate_kHz
    mean, error = own.mean(axis=0), 1.96 * own.std(axis=0) / np.sqrt(len(own))
    axes.fill_between(time_ms, *np.quantile(own, [0.1, 0.9], axis=0), color=colour, alpha=0.15, lw=0)
    axes.fill_between(time_ms, mean - error, mean + error, color=colour, alpha=0.5, lw=0)
    axes.plot(time_ms, mean, color=colour, lw=1.2)
    axes.grid(alpha=0.3)


def stability_figure(result: Mapping[str, Any]) -> Figure:
    """Agreement of every two seeds, for DEC and for what it started from."""
    names = [n for n in ("DEC", "autoencoder + k-means", "UMAP + Louvain") if n in result["stability"]]
    figure = Figure(figsize=(4 * len(names) + 0.8, 4), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        each = result["stability"][name]
        image = axes.imshow(each["pairs"], cmap="viridis", vmin=0, vmax=1)
        axes.set_title(f"{name}: mean ARI {each['value']:.2f}", fontsize=9)
        ticks = range(len(each["pairs"]))
        axes.set(xlabel="seed", ylabel="seed", xticks=ticks, yticks=ticks)
    figure.colorbar(image, label="adjusted Rand index of two seeds", shrink=0.8)
    return figure


def confusion_figure(result: Mapping[str, Any]) -> Figure:
    """Percent of each class (row) in each cluster of the consensus; clusters in the order of the matched classes."""
    counts = np.array(result["labelled"]["confusion"])
    names = result["labelled"]["classes"]
    of_cluster = clustering.match(counts)
    order = np.argsort(np.where(of_cluster < 0, len(names), of_cluster), kind="stable")
    percent = 100 * counts[:, order] / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(0.55 * len(order) + 2.6, 0.5 * len(names) + 1.9), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (row, column), share in np.ndenumerate(percent):
        if share >= 0.5:
            colour = "white" if share > 55 else "black"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(order)), [str(k) for k in order])
    axes.set_yticks(range(len(names)), [f"{n} ({c})" for n, c in zip(names, counts.sum(axis=1), strict=True)])
    axes.set(xlabel="cluster of the consensus", ylabel="class (units)", title="share of the class (%)")
    return figure


def choice_figure(choice: Mapping[str, Any]) -> Figure:
    """The four criteria against the number of clusters, and the number that each chooses."""
    curves = choice["curves"]
    figure = Figure(figsize=(3.6 * len(curves), 3.4), layout="constrained")
    for axes, (name, curve) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        k = curve["clusters"]
        axes.fill_between(k, curve["low"], curve["high"], color=BLUE, alpha=0.2, lw=0)
        axes.plot(k, curve["value"], "o-", color=BLUE, ms=4)
        axes.axvline(curve["chosen"], color=GREY, ls="--", lw=1)
        axes.set(xlabel="clusters", title=f"{name}: {curve['chosen']}")
        axes.grid(alpha=0.3)
    structure = choice["structure"]
    found = "structure" if structure["found"] else "NO cluster structure"
    heading = f"{found} beyond one Gaussian: p = {structure['p']:.3f}; bands: {100 * CONFIDENCE:.0f} % over resamples"
    figure.suptitle(heading, fontsize=10)
    return figure
