"""Pictures of a clustering: code, mean waveforms, convergence, confusion, agreement of seeds, number of clusters."""

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from spiketype.datasets.waveforms.matrix import Units
from spiketype.edge import Json
from spiketype.models.agreement import match
from spiketype.train.judging.figures import BLUE, GREY, colours, confusion_figure, draw_map, training_figure
from spiketype.train.judging.intervals import CONFIDENCE
from spiketype.train.task import History

MOST_POINTS = 4000
PANELS = (
    ("loss", ("loss",)),
    ("changed units", ("changed",)),
    ("entropy of sizes", ("entropy",)),
    ("variance of the code", ("variance",)),
)


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


def embedding_figure(z: Float[np.ndarray, "unit code"], units: Units, cluster: Int[np.ndarray, " unit"]) -> Figure:
    """Draw the code in its first two principal components, coloured by cluster, by label and by animal."""
    panels = [("cluster", cluster, [str(k) for k in range(int(cluster.max()) + 1)])]
    if units.class_names:
        panels.append(("label (for the judgement)", units.label, list(units.class_names)))
    if len(units.animal_names) > 1:
        panels.append(("animal", units.animal, list(units.animal_names)))
    points = PCA(2).fit_transform(z) if z.shape[1] > 2 else np.pad(z, ((0, 0), (0, 2 - z.shape[1])))
    shown = np.linspace(0, len(z) - 1, min(MOST_POINTS, len(z))).astype(int)
    figure = Figure(figsize=(5.2 * len(panels), 4.8), layout="constrained")
    for axes, (title, value, names) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        draw_map(axes, points[shown], value[shown], names)
        axes.set(title=title, xlabel="first component of the code", ylabel="second component")
    return figure


def waveform_figure(units: Units, cluster: Int[np.ndarray, " unit"]) -> Figure:
    """Draw the mean of each cluster on its largest channel, the interval of the mean, and the middle 80 % of units."""
    count = int(cluster.max()) + 1
    columns = min(count, 5)
    rows = -(-count // columns)
    figure = Figure(figsize=(2.5 * columns, 2.1 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, k, colour in zip(grid, range(count), colours(count), strict=False):
        traces = units.traces[cluster == k]
        axes.set_title(f"cluster {k}: {len(traces)} units", fontsize=9)
        if units.form.rate_kHz is None:
            axes.imshow(traces.mean(axis=0), cmap="Greys") if len(traces) else None
            axes.set_axis_off()
        elif len(traces):
            _mean_trace(axes, traces, units.form.rate_kHz, colour)
    for axes in grid[count:]:
        axes.set_axis_off()
    if units.form.rate_kHz is not None:
        figure.supxlabel("time (ms)", fontsize=9)
        figure.supylabel("amplitude (scaled)", fontsize=9)
    return figure


def _mean_trace(axes: Axes, traces: np.ndarray, rate_kHz: float, colour: str) -> None:
    largest = np.ptp(traces.mean(axis=0), axis=1).argmax()
    own = traces[:, largest]
    time_ms = np.arange(own.shape[1]) / rate_kHz
    mean, error = own.mean(axis=0), 1.96 * own.std(axis=0) / np.sqrt(len(own))
    axes.fill_between(time_ms, *np.quantile(own, [0.1, 0.9], axis=0), color=colour, alpha=0.15, lw=0)
    axes.fill_between(time_ms, mean - error, mean + error, color=colour, alpha=0.5, lw=0)
    axes.plot(time_ms, mean, color=colour, lw=1.2)
    axes.grid(alpha=0.3)


def stability_figure(stability: Json) -> Figure:
    """Draw the agreement of every two seeds, for DEC and for what it started from."""
    names = [n for n in ("DEC", "autoencoder + k-means", "UMAP + Louvain") if n in stability]
    figure = Figure(figsize=(4 * len(names) + 0.8, 4), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        each = stability[name]
        image = axes.imshow(each["pairs"], cmap="viridis", vmin=0, vmax=1)
        axes.set_title(f"{name}: mean ARI {each['value']:.2f}", fontsize=9)
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
    )


def choice_figure(choice: Json) -> Figure:
    """Draw the four criteria against the number of clusters, and the number that each chooses."""
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
