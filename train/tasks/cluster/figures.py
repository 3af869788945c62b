"""Pictures of a clustering: code, mean waveforms, convergence, confusion, agreement of seeds, number of clusters."""

import textwrap

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.decomposition import PCA

from spiketype.datasets.waveforms.matrix import Units
from spiketype.edge import Json
from spiketype.models.agreement import match
from spiketype.models.cluster_number import STRONG
from spiketype.models.options import Criterion
from spiketype.pictures import BLUE, GREY, ORANGE, colours, legend_below, set_title, styled
from spiketype.train.judging.figures import confusion_figure, draw_map, training_figure
from spiketype.train.judging.intervals import CONFIDENCE
from spiketype.train.task import History

MOST_POINTS = 4000
PANELS = (
    ("loss", ("loss",)),
    ("share of units that changed cluster", ("changed",)),
    ("entropy of the sizes (1: all equal)", ("entropy",)),
    ("variance of the code", ("variance",)),
)
LEAST = 0.5  # share of a cluster's waveforms that have data at a time that is drawn
BAND = f"{100 * CONFIDENCE:.0f} % interval of the mean"
CRITERIA: dict[Criterion, str] = {
    "strength": "prediction strength",
    "stability": "adjusted Rand index of two resamples",
    "generalisation": "loss on the half fitted / on the other",
    "bic": "BIC of a mixture, per unit",
}


def draw(
    summary: Json,
    units: Units,
    codes: Float[np.ndarray, "member unit code"],
    cluster: Int[np.ndarray, " unit"],
    history: History,
) -> dict[str, Figure]:
    """Draw all pictures of a run, whose consensus has put each unit into a cluster."""
    stability = summary["stability"]
    central = int(np.argmax(np.sum(stability["DEC"]["pairs"], axis=0))) if "DEC" in stability else 0
    found = {
        "embedding": embedding_figure(codes[central], units, cluster),
        "waveforms": waveform_figure(units, cluster),
    }
    if stability:
        found["stability"] = stability_figure(stability)
    if "labelled" in summary:
        found["confusion"] = label_figure(summary["labelled"])
    if "choice" in summary:
        found["clusters"] = choice_figure(summary["choice"])
    if second := [row for row in history if "changed" in row]:
        found["convergence"] = training_figure(second, "clustering", PANELS)
    return found


@styled
def embedding_figure(z: Float[np.ndarray, "unit code"], units: Units, cluster: Int[np.ndarray, " unit"]) -> Figure:
    """Draw the code in its first two principal components, coloured by cluster, by label and by animal or the like."""
    panels = [("cluster", cluster, [str(k) for k in range(int(cluster.max()) + 1)])]
    if units.class_names:
        panels.append(("label (for the judgement)", units.label, list(units.class_names)))
    if len(units.animal_names) > 1:
        panels.append((units.group_word, units.animal, list(units.animal_names)))
    points = PCA(2).fit_transform(z) if z.shape[1] > 2 else np.pad(z, ((0, 0), (0, 2 - z.shape[1])))
    shown = np.linspace(0, len(z) - 1, min(MOST_POINTS, len(z))).astype(int)
    figure = Figure(figsize=(5.2 * len(panels), 4.8))
    for axes, (title, value, names) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        draw_map(axes, points[shown], value[shown], names)
        axes.set(title=title, xlabel="first component of the code", ylabel="second component")
    return figure


@styled
def waveform_figure(units: Units, cluster: Int[np.ndarray, " unit"]) -> Figure:
    """Draw the mean of each cluster on its largest channel, the interval of the mean, and the middle 80 % of units.

    Of images, their mean. Where most waveforms of a cluster have ended there is nothing.
    """
    count = int(cluster.max()) + 1
    columns = min(count, 5)
    rows = -(-count // columns)
    figure = Figure(figsize=(max(2.2 * columns, 5), 2.1 * rows + 1.2))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, k, colour in zip(grid, range(count), colours(count), strict=False):
        mine = np.flatnonzero(cluster == k)
        axes.set_title(f"cluster {k}: {len(mine)} units")
        if units.seen is None:
            axes.imshow(units.x[mine].mean(axis=0).reshape(units.form.shape), cmap="Greys") if len(mine) else None
            axes.set_axis_off()
        elif len(mine):
            _mean_trace(axes, units.seen.waveform[mine], units.seen.time_ms, colour)
    for axes in grid[count:]:
        axes.set_axis_off()
    for axes in grid[max(0, count - columns) : count]:  # also those above a place without axes
        axes.tick_params(labelbottom=units.seen is not None)
    if units.seen is not None:
        figure.supxlabel(units.seen.time)
        figure.supylabel(f"largest channel of the cluster,\n{units.seen.scale}")
        set_title(figure, "Clusters: mean, its 95 % interval (dark) and the middle 80 % of units (light)")
    return figure


def _mean_trace(axes: Axes, traces: np.ndarray, time_ms: np.ndarray, colour: str) -> None:
    there = np.isfinite(traces[:, 0]).mean(axis=0) >= LEAST
    if there.any():
        traces, time_ms = traces[:, :, there], time_ms[there]
        own = traces[:, np.ptp(np.nanmean(traces, axis=0), axis=1).argmax()]
        mean, error = np.nanmean(own, axis=0), 1.96 * np.nanstd(own, axis=0) / np.sqrt(np.isfinite(own).sum(axis=0))
        axes.fill_between(time_ms, *np.nanquantile(own, [0.1, 0.9], axis=0), color=colour, alpha=0.15, lw=0)
        axes.fill_between(time_ms, mean - error, mean + error, color=colour, alpha=0.5, lw=0)
        axes.plot(time_ms, mean, color=colour, lw=1.2)
    axes.grid()


@styled
def stability_figure(stability: Json) -> Figure:
    """Draw the agreement of every two seeds, for DEC and for what it started from."""
    names = [n for n in ("DEC", "autoencoder + k-means", "UMAP + Louvain") if n in stability]
    figure = Figure(figsize=(4 * len(names) + 0.8, 4))
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        each = stability[name]
        image = axes.imshow(each["pairs"], cmap="viridis", vmin=0, vmax=1)
        axes.set_title(f"{name}: mean ARI {each['value']:.2f}")
        ticks = range(len(each["pairs"]))
        axes.set(xlabel="seed", ylabel="seed", xticks=ticks, yticks=ticks)
    figure.colorbar(image, label="adjusted Rand index of two seeds", shrink=0.8)
    return figure


def label_figure(labelled: Json) -> Figure:
    """Draw each class in each cluster of the consensus, clusters in the order of the classes matched to them."""
    counts, names = np.array(labelled["confusion"]), labelled["classes"]
    of_cluster = match(counts)
    order = np.argsort(np.where(of_cluster < 0, len(names), of_cluster), kind="stable")
    return confusion_figure(
        {"DEC, consensus of seeds": counts[:, order]},
        names,
        "labels, which only judge, and clusters",
        counts.sum(axis=1).tolist(),
        called=[str(k) for k in order],
        xlabel="cluster of the consensus",
        ylabel="label",
    )


@styled
def choice_figure(choice: Json) -> Figure:
    """Draw the four criteria against the number of clusters, and the number that each chooses by its rule."""
    curves = choice["curves"]
    figure = Figure(figsize=(3.4 * len(curves), 4))
    for axes, (name, curve) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        k, value = np.array(curve["clusters"]), np.array(curve["value"])
        axes.fill_between(k, curve["low"], curve["high"], color=BLUE, alpha=0.2, lw=0, label=BAND)
        axes.plot(k, value, "o-", color=BLUE, ms=4, label="mean over resamples")
        at = np.flatnonzero(k == curve["chosen"])
        axes.plot(k[at], value[at], "o", ms=11, mfc="none", mec=ORANGE, mew=2, label="chosen by the rule")
        limits = {"strength": STRONG, "stability": curve["low"][int(np.argmax(value))]}
        if limits.get(name) is not None:
            axes.axhline(limits[name], color=GREY, ls="--", lw=1, label="limit of the rule")
        rule = textwrap.fill(f"{name} chooses {curve['chosen']}: {curve['rule']}", 36)
        axes.set(xlabel="number of clusters", ylabel=CRITERIA[name], title=rule)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.grid()
    structure = choice["structure"]
    found = "There is" if structure["found"] else "There is NO"
    used = (
        f"{choice['criterion']} decides, {choice['chosen']} clusters"
        if structure["found"]
        else "two clusters all the same"
    )
    set_title(figure, f"{found} structure beyond one Gaussian (p = {structure['p']:.3f}): {used}")
    legend_below(figure, figure.axes[0], columns=4)
    return figure
