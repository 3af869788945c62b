"""The pictures that judgements of all tasks share: confusion, reliability, training, maps of rows.

Each function returns a figure of its own; `spiketype.pictures` has their style, and writes them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from spiketype.edge import Json
from spiketype.pictures import CYCLE, GREY, colours, legend_below, legend_beside, log_scale, set_title, styled
from spiketype.train.judging.calls import Calls

BINS = 10  # of a reliability curve
PANELS = (("loss", ("loss", "test_loss")), ("share of the batch that is right", ("accuracy", "test_accuracy")))


@styled
def confusion_figure(
    counts: Mapping[str, Shaped[np.ndarray, "true called"]],
    classes: Sequence[str],
    title: str,
    sizes: Sequence[int],
    called: Sequence[str] | None = None,
    xlabel: str = "called",
    ylabel: str = "true",
) -> Figure:
    """Draw how each true class (row) was called (column), in percent of the class; one panel for each model.

    Args:
        counts: title of the panel -> counts, over all repeats.
        classes: names of the true classes.
        title: of the figure.
        sizes: rows of each true class, for its label.
        called: names of the columns; by default the classes.
        xlabel: what the columns are.
        ylabel: what the rows are.
    """
    called = classes if called is None else called
    wide, high = max(3.4, 0.5 * len(called) + 1.8), max(3.0, 0.5 * len(classes) + 1.8)
    figure = Figure(figsize=(wide * len(counts) + 1.6, high + 0.6))
    for axes, (name, count) in zip(
        np.atleast_1d(figure.subplots(1, len(counts), sharey=True)), counts.items(), strict=True
    ):
        percent = 100 * count / np.maximum(count.sum(axis=1, keepdims=True), 1)
        image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        for (row, column), share in np.ndenumerate(percent):
            if share >= 0.5:
                colour = "white" if share > 55 else "black"
                axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(len(called)), called, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(classes)), [f"{c} ({n})" for c, n in zip(classes, sizes, strict=True)])
        axes.set_xlabel(xlabel)
        axes.set_title(name)
    figure.supylabel(ylabel)
    set_title(figure, f"Confusion: {title}")
    figure.colorbar(image, ax=figure.axes, label="share of the row (%)", shrink=0.8)
    return figure


@styled
def calls_confusion(models: Mapping[str, Calls], title: str) -> Figure:
    """Draw `confusion_figure` of models that call the same rows."""
    first = next(iter(models.values()))
    sizes = np.bincount(first.label[first.label >= 0], minlength=len(first.class_names)).tolist()
    counts = {name: np.array(calls.confusion()) for name, calls in models.items()}
    return confusion_figure(counts, first.class_names, title, sizes)


@styled
def reliability_figure(models: Mapping[str, Calls], title: str) -> Figure:
    """Draw the share that is right against the probability given, and against the share of rows that are called."""
    figure = Figure(figsize=(9.5, 4.4))
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--", label="as right as probable")
    least = 1.0
    for colour, (name, calls) in zip(CYCLE, models.items(), strict=False):
        top = calls.probability.max(axis=2).ravel()
        hit = (calls.probability.argmax(axis=2) == calls.label).ravel()
        of_bin = np.minimum((top * BINS).astype(int), BINS - 1)
        count = np.bincount(of_bin, minlength=BINS)
        some = count >= max(3, len(top) // 500)
        at, share = (np.bincount(of_bin, v, BINS)[some] / count[some] for v in (top, hit))
        left.plot(at, share, "o-", color=colour, ms=4, label=name)
        least = min(least, *at, *share) if some.any() else least
        mixed = np.random.default_rng(0).permutation(len(top))  # ties in no order: rows are often sorted by class
        ranked = hit[mixed][np.argsort(-top[mixed], kind="stable")]
        n = np.arange(1, len(ranked) + 1)
        drawn = n > 0.1 * len(ranked)
        right.plot((100 * n / len(ranked))[drawn], (100 * np.cumsum(ranked) / n)[drawn], color=colour)
    ends = (max(0.0, least - 0.05), 1.02)
    left.set(xlabel="probability of the likeliest class", ylabel="share that is right", xlim=ends, ylim=ends)
    right.set(xlabel="rows that are called, the surest first (%)", ylabel="accuracy of these (%)")
    right.set_ylim(min(right.get_ylim()[0], 98), min(right.get_ylim()[1], 101))  # nothing is above 100 %
    right.grid()
    set_title(figure, f"Probabilities: {title}")
    legend_below(figure, left, columns=4)
    return figure


@styled
def training_figure(
    history: Sequence[Json],
    title: str,
    panels: Sequence[tuple[str, Sequence[str]]] = PANELS,
) -> Figure:
    """Draw curves against the step, from records {"step", name: number or one number for each member}.

    panels: (axis label, names drawn in it); names that no record has are left out, and so are empty panels.
    Several members: their mean in full, each one faintly. Losses above zero are drawn on a logarithmic axis.
    """
    present = {name for record in history for name in record}
    filled = [(label, [name for name in names if name in present]) for label, names in panels]
    filled = [(label, names) for label, names in filled if names]
    figure = Figure(figsize=(4.6 * max(1, len(filled)), 3.8))
    grid = np.atleast_1d(figure.subplots(1, max(1, len(filled))))
    for axes, (label, names) in zip(grid, filled, strict=False):
        for colour, name in zip(CYCLE, names, strict=False):
            records = [record for record in history if name in record]
            steps = [record["step"] for record in records]
            values = np.array([np.atleast_1d(record[name]) for record in records], float)
            axes.plot(steps, values, color=colour, alpha=0.25, lw=0.8)
            marker = "o" if len(steps) == 1 else None  # a short run has one look, and a line of one point is nothing
            axes.plot(steps, values.mean(axis=1), color=colour, marker=marker, label=name.replace("_", " "))
        if "loss" in label and axes.dataLim.ymin > 0:
            log_scale(axes, "y")
        axes.set(xlabel="step", ylabel=label)
        axes.grid()
        if len(names) > 1:
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(names))
    members = max((np.size(history[0][name]) for _, names in filled for name in names if name in history[0]), default=1)
    faint = f" (faint: each of {members}; full: their mean)" if members > 1 else ""
    set_title(figure, f"Training{faint}: {title}")
    return figure


def plane(z: Float[np.ndarray, "row feature"], seed: int) -> Float[np.ndarray, "row 2"]:
    """Return rows in two dimensions by t-SNE, neighbours kept near each other: a picture, not a judgement."""
    perplexity = min(30.0, (len(z) - 1) / 3)
    with threadpool_limits(1, "openmp"):  # with so few rows threads do little but wait for each other
        return np.asarray(TSNE(2, init="pca", perplexity=perplexity, random_state=seed).fit_transform(z))


def draw_map(
    axes: Axes,
    points: Float[np.ndarray, "row 2"],
    value: Int[np.ndarray, " row"],
    names: Sequence[str],
    wrong: Shaped[np.ndarray, " row"] | None = None,
    size: float = 9,
    most_named: int = 20,
) -> None:
    """Draw rows as dots in the colour of their value, an index into names (-1 unknown, grey); crosses are wrong."""
    wrong = np.zeros(len(value), bool) if wrong is None else wrong
    x, y = points.T
    unknown = value < 0
    if unknown.any():
        axes.scatter(x[unknown], y[unknown], s=size, color="0.85", lw=0, label="unknown")
    for k, colour in enumerate(colours(len(names))):
        rows = value == k
        right, missed = rows & ~wrong, rows & wrong
        label = f"{names[k]} ({rows.sum()})" if k < most_named else None
        axes.scatter(x[right], y[right], s=size, color=colour, alpha=0.65, lw=0, label=label)
        axes.scatter(x[missed], y[missed], s=3 * size, color=colour, marker="x", lw=1.2)
    if wrong.any():
        axes.scatter([], [], s=3 * size, color="black", marker="x", label=f"called wrong when held out ({wrong.sum()})")
    axes.set(xticks=[], yticks=[])
    legend_beside(axes, markerscale=1.5)
