"""Cells that lack features, by medians and by a model of what is measured: python scripts/reproduce_missing.py.

Subclasses: mouse cells of donors held out, five folds. Species: human cells, by the labels of mouse cells. The same
features, drawn at random, are left out of all cells that a fold tests.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Bool, Float, Int

from spiketype.datasets.allen import cells, species, splits, table
from spiketype.datasets.splits import inner_folds
from spiketype.edge import guard, progress
from spiketype.models import ensemble
from spiketype.models.species import AlignedSvc, Cells
from spiketype.train.judging.metrics import balanced_accuracy
from spiketype.train.judging.report import text_table
from spiketype.train.tasks.species.model import TrainingCells

LEFT_OUT = (0, 4, 8, 12, 20, 30, 36)
DRAWS = 3  # of features, for the one division of species
CALLED = 0.8

Mask = Bool[np.ndarray, " feature"]
Called = tuple[Float[np.ndarray, "cell class"], Int[np.ndarray, " cell"]]  # probabilities, labels
Model = Callable[[Float[np.ndarray, "cell feature"]], Float[np.ndarray, "cell class"]]


def kept(features: int, missing: int, seed: int) -> Mask:
    """Return which features are left of all when some, drawn at random, are missing."""
    found = np.ones(features, bool)
    found[np.random.default_rng((seed, missing)).permutation(features)[:missing]] = False
    return found


def both(whole: Model, fit: Callable[[Mask], Model], x: np.ndarray, y: np.ndarray, keep: Mask) -> tuple[Called, Called]:
    """Return what the whole model says of cells with medians, and what one of the features that are kept does."""
    with_medians = whole(np.where(keep, x, np.nan))
    return (with_medians, y), (with_medians if keep.all() else fit(keep)(x[:, keep]), y)


def subclasses(data: Path | None, seed: int) -> dict[int, list[tuple[Called, Called]]]:
    """Return what both models say of the mouse cells of each fold, by the number of features left out."""
    known = cells.mouse(data, 41, None)
    (folds,), _ = splits.make("donor", known, 5, 1, seed)
    classes, found = len(known.class_names), dict[int, list[tuple[Called, Called]]]()
    with progress() as bar:
        for number, fold in enumerate(bar.track(folds, description="subclasses")):
            x, y = known.x[fold.train], known.subclass[fold.train]
            inner = inner_folds(y, known.donor[fold.train], seed)

            def fit(keep: Mask, x: np.ndarray = x, y: np.ndarray = y, inner: ensemble.Folds = inner) -> Model:
                return ensemble.fit(x[:, keep], y, inner, int(keep.sum()), classes).probability

            whole, test = fit(np.ones(x.shape[1], bool)), (known.x[fold.test], known.subclass[fold.test])
            for missing in LEFT_OUT:
                found.setdefault(missing, []).append(both(whole, fit, *test, kept(x.shape[1], missing, number)))
    return found


def human(data: Path | None, seed: int) -> dict[int, list[tuple[Called, Called]]]:
    """Return what both models say of the human cells, by the number of features left out, in several draws."""
    known = species.usable(table.load(table.find(data)), "impute")
    (part,) = species.parts(known, "mouse-to-human", 1, 1, seed)
    training = TrainingCells.of(known, part, "mouse-to-human", seed)

    offered = training.fit("mouse-to-human")

    def use(model: AlignedSvc) -> Model:
        return lambda x: model.probability(Cells(x, np.full(len(x), species.HUMAN)))

    def fit(keep: Mask) -> Model:
        return use(training.fit("mouse-to-human", keep, offered.prior[-1]))

    whole, test = use(offered), (known.x[part.test], known.spiny[part.test])
    draws = [(missing, draw) for missing in LEFT_OUT for draw in range(DRAWS)]
    found: dict[int, list[tuple[Called, Called]]] = {}
    with progress() as bar:
        for missing, draw in bar.track(draws, description="species"):
            found.setdefault(missing, []).append(both(whole, fit, *test, kept(known.x.shape[1], missing, draw)))
    return found


def row(called: list[Called]) -> list[str]:
    """Return accuracies, the share of cells that is called, what these claim and what is right (all percent)."""
    p, y = (np.concatenate(each) for each in zip(*called, strict=True))
    best, right = p.max(axis=1), p.argmax(axis=1) == y
    sure = best >= CALLED
    numbers = right.mean(), balanced_accuracy(y, p), sure.mean(), best[sure].mean(), right[sure].mean()
    return [f"{100 * number:.1f}" for number in numbers]


def main(data: Path | None = None, seed: int = 0) -> None:
    """Print a table for each task.

    Args:
        data: Folder of the Allen tables, as of --task subclass.
        seed: Of the division into folds.
    """
    header = ["features missing", "missing ones are", "accuracy", "balanced", "called at .8", "they claim", "are right"]
    for name, found in (("subclasses", subclasses(data, seed)), ("human cells", human(data, seed))):
        rows = []
        for missing, each in found.items():
            for how, called in zip(("medians", "left out"), zip(*each, strict=True), strict=True):
                rows.append([f"{missing} of 41", how if missing else "-", *row(list(called))])
                if not missing:
                    break
        print(f"{name}, percent\n{text_table(header, rows)}\n")


if __name__ == "__main__":
    with guard():
        tyro.cli(main)
