"""Pictures of the species task: accuracies, maps of the cells, class frequencies by iteration, Shapley values."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from spiketype.datasets.allen.table import DENDRITES, SPECIES, AllenTable
from spiketype.edge import Json
from spiketype.pictures import BLUE, CYCLE, GREEN, GREY, ORANGE, PINK, legend_below, set_title, styled
from spiketype.train.config import Member
from spiketype.train.judging.figures import plane, training_figure
from spiketype.train.judging.intervals import Estimate
from spiketype.train.task import History
from spiketype.train.tasks.species.config import METHODS
from spiketype.train.tasks.species.explain import Views

SHOWN, MAPPED = 15, 700  # features; cells
COLOURS = ((ORANGE, BLUE), (PINK, GREEN))  # by species and class
PANELS = (("loss", ("loss", "domain_loss")), ("accuracy", ("accuracy",)))


def draw(
    summary: Json,
    views: Views,
    cells: AllenTable,
    history: History,
    members: Sequence[Member],
    explained: tuple[np.ndarray, np.ndarray] | None,
) -> dict[str, Figure]:
    """Return all pictures; `views` are of training cells, `explained` inputs and Shapley values (cell, feature)."""
    found = {
        "models": models_figure(summary),
        "domains": domains_figure(views, summary["separability"], cells),
        "frequencies": frequencies_figure(summary["spiny_share"], history, members),
        "training": training_figure(history, f"networks, {summary['labels']}", PANELS),
    }
    return found if explained is None else found | {"shapley": shapley_figure(*explained, cells.feature_names)}


@styled
def models_figure(summary: Json) -> Figure:
    """Draw accuracy and balanced accuracy of every model with its interval over donors."""
    rows = summary["rows"]
    figure = Figure(figsize=(7.5, 0.34 * len(rows) + 1.4))
    axes = figure.subplots()
    for shift, key, colour in ((-0.15, "accuracy_percent", BLUE), (0.15, "balanced_accuracy_percent", ORANGE)):
        value, low, high = (np.array([row[key][end] for row in rows.values()], float) for end in Estimate._fields)
        ends = [np.maximum(value - low, 0), np.maximum(high - value, 0)]
        label = key.replace("_percent", "").replace("_", " ")
        axes.errorbar(
            value, np.arange(len(rows)) + shift, xerr=ends, fmt="o", color=colour, ms=5, capsize=3, label=label
        )
    axes.set(
        yticks=range(len(rows)),
        yticklabels=list(rows),
        xlabel="tested cells that are called right (%), with 95 % intervals over donors",
        ylim=(len(rows) - 0.5, -0.5),
    )
    axes.set_title(f"{summary['cells']} {summary['tested']} cells of {summary['donors']} donors, {summary['labels']}")
    axes.grid(axis="x")
    legend_below(figure, axes, columns=2)
    return figure


@styled
def domains_figure(views: Views, spread: Json, cells: AllenTable) -> Figure:
    """Draw maps of some training cells before and after, coloured by species and class."""
    drawn = np.sort(np.random.default_rng(0).permutation(len(cells.x))[:MAPPED])
    cells = cells.take(drawn)
    columns = 2 if len(views) == 4 else 3
    lines = -(-len(views) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.7 * lines + 0.4))
    every = np.ravel(figure.subplots(lines, columns, squeeze=False))
    for axes, (name, z) in zip(every, views.items(), strict=False):
        xy = plane(z[drawn], 0)
        for (species, kind), colour in np.ndenumerate(np.array(COLOURS)):
            rows = (cells.species == species) & (cells.spiny == kind)
            label = f"{SPECIES[species]}, {DENDRITES[kind]} ({rows.sum()})"
            axes.scatter(*xy[rows].T, s=(4, 9)[species], color=colour, lw=0, alpha=0.75, label=label)
        apart = f"\nspecies told apart: AUC {spread[name]['auc']:.2f}" if name in spread else ""
        axes.set_title(f"{name}{apart}")
        axes.set(xticks=[], yticks=[])
    for axes in every[len(views) :]:
        axes.set_axis_off()
    set_title(figure, "t-SNE of training cells (neighbours are near; axes have no unit)")
    legend_below(figure, every[0], columns=4, markerscale=2)
    return figure


@styled
def frequencies_figure(share: Json, history: History, members: Sequence[Member]) -> Figure:
    """Draw the share of spiny human cells as estimated: by iteration, and by networks in training."""
    figure = Figure(figsize=(9, 3.7))
    left, right = figure.subplots(1, 2, sharey=True)
    for row in share["by_iteration"]:
        left.plot(range(len(row)), row, "o-", color=BLUE, alpha=0.6, ms=4)
    left.set(xlabel="iteration", ylabel="share of spiny cells", title="estimated for the aligned SVC, each part")
    left.set_xticks(range(max(map(len, share["by_iteration"]))))
    steps = [row["step"] for row in history]
    for colour, (variant, method) in zip(CYCLE, METHODS.items(), strict=False):
        of = [k for k, member in enumerate(members) if member.variant == variant]
        if of:
            mean = [np.mean([row["human_spiny"][k] for k in of]) for row in history]
            right.plot(steps, mean, "o-" if len(steps) == 1 else "-", color=colour, label=method.title)
    right.set(xlabel="training step", title="in human batches, by networks in training")
    for axes in (left, right):
        axes.axhline(share["true"], color=GREY, ls="--", label="human cells, by their labels")
        axes.grid()
    legend_below(figure, right, columns=5)
    return figure


@styled
def shapley_figure(
    z: Float[np.ndarray, "cell feature"], values: Float[np.ndarray, "cell feature"], names: Sequence[str]
) -> Figure:
    """Draw Shapley values of the features that matter most, coloured by their value z."""
    top = np.argsort(-np.abs(values).mean(axis=0))[:SHOWN]
    figure = Figure(figsize=(7, 0.33 * len(top) + 1.2))
    axes = figure.subplots()
    rng = np.random.default_rng(0)
    for row, k in enumerate(top):
        height = row + rng.uniform(-0.3, 0.3, len(values))
        dots = axes.scatter(
            values[:, k], height, c=np.clip(z[:, k], -2, 2), cmap="coolwarm", s=8, vmin=-2, vmax=2, lw=0
        )
    axes.set(yticks=range(len(top)), yticklabels=[names[k] for k in top], ylim=(len(top) - 0.5, -0.5))
    axes.set(xlabel="added to the probability of spiny", title="Shapley values: a dot for each cell explained")
    axes.axvline(0, color=GREY, lw=0.8)
    figure.colorbar(dots, label="feature (standard deviations)")
    return figure
