"""The pictures of the subclass task: importances, the gates of LSPIN, a map of the cells."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram, leaves_list, linkage

from spiketype.datasets.allen.table import AllenTable
from spiketype.models.explain import PerFeature
from spiketype.models.scale import Scale
from spiketype.pictures import CYCLE, GREY, styled
from spiketype.train.judging.figures import draw_map, plane

MOST_SD = 3.0  # of a feature on the map


@styled
def importance_figure(importance: PerFeature, table: AllenTable) -> Figure:
    """Draw what a shuffled feature costs each class (nats), the dearest features first."""
    order = np.argsort(-importance.mean(axis=0))
    figure = Figure(figsize=(11, 5))
    axes = figure.subplots()
    most = max(float(np.abs(importance).max()), 1e-6)
    image = axes.imshow(importance[:, order], aspect="auto", cmap="RdBu_r", vmin=-most, vmax=most)
    axes.set(yticks=range(len(importance)), yticklabels=table.class_names, xticks=range(importance.shape[1]))
    axes.set_xticklabels([table.feature_names[k] for k in order], rotation=90)
    axes.set_title(
        "Importance in the model without action potentials: loss of log probability of the true class when a feature is"
        " shuffled,\nheld-out cells"
    )
    figure.colorbar(image, label="loss (nats)")
    return figure


class GateMap(NamedTuple):
    """Order of the cells, within classes, and of the features, and the tree of the features."""

    cells: Int[np.ndarray, " cell"]
    features: Int[np.ndarray, " feature"]
    tree: Float[np.ndarray, "merge 4"]


def gate_map(opened: Float[np.ndarray, "cell feature"], label: Int[np.ndarray, " cell"]) -> GateMap:
    """Cluster gates hierarchically (Ward), features over all cells and cells within their class."""
    order = []
    for c in np.unique(label):
        rows = np.flatnonzero(label == c)
        order.append(rows[leaves_list(linkage(opened[rows], "ward"))] if len(rows) > 2 else rows)
    tree = linkage(opened.T, "ward")
    return GateMap(np.concatenate(order), leaves_list(tree), tree)


@styled
def gates_figure(opened: Float[np.ndarray, "cell feature"], table: AllenTable) -> Figure:
    """Draw Fig. 9 of Ophir et al.: mean gates of held-out cells, clustered, with the features' tree."""
    order = gate_map(opened, table.subclass)
    figure = Figure(figsize=(11, 7))
    grid = figure.subplots(2, 2, height_ratios=(1, 6), width_ratios=(1, 60))
    grid[0, 0].set_axis_off()
    lines = dendrogram(order.tree, no_plot=True)
    for x, y in zip(lines["icoord"], lines["dcoord"], strict=True):
        grid[0, 1].plot(np.array(x) / 10 - 0.5, y, color=GREY, lw=0.8)
    grid[0, 1].set(xlim=(-0.5, opened.shape[1] - 0.5))
    grid[0, 1].set_axis_off()
    grid[0, 1].set_title("Gates of LSPIN in held-out cells, mean over seeds and repeats")
    label = table.subclass[order.cells]
    classes = len(table.class_names)
    colours = ListedColormap(list(CYCLE[:classes]))
    grid[1, 0].imshow(label[:, None], aspect="auto", cmap=colours, vmin=-0.5, vmax=classes - 0.5, interpolation="none")
    middles = {c: np.flatnonzero(label == c).mean() for c in np.unique(label)}
    grid[1, 0].set(xticks=[], yticks=list(middles.values()))
    grid[1, 0].set_yticklabels([table.class_names[c] for c in middles])
    shown = opened[order.cells][:, order.features]
    image = grid[1, 1].imshow(shown, aspect="auto", cmap="viridis", vmin=0, vmax=1, interpolation="none")
    for edge in np.flatnonzero(np.diff(label)):
        grid[1, 1].axhline(edge + 0.5, color="white", lw=1)
    grid[1, 1].set(yticks=[], xticks=range(opened.shape[1]))
    grid[1, 1].set_xticklabels([table.feature_names[k] for k in order.features], rotation=90)
    figure.colorbar(image, ax=grid[:, 1], label="gate (0: closed, 1: open)", shrink=0.6)
    return figure


@styled
def map_figure(table: AllenTable, wrong: Shaped[np.ndarray, " cell"]) -> Figure:
    """Draw the cells in two dimensions by their features; crosses are called wrong."""
    z = np.clip(Scale.of(table.x).apply(table.x), -MOST_SD, MOST_SD)
    figure = Figure(figsize=(7.5, 6))
    axes = figure.subplots()
    draw_map(axes, plane(z, seed=0), table.subclass, table.class_names, wrong)
    axes.set_title("t-SNE of the standardised features (neighbours are near; axes have no unit)")
    return figure
