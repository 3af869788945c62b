"""Cells of two species: which are trained and tested with which labels, and how both are brought to one scale."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from spiketype.datasets import splits
from spiketype.datasets.allen.table import SPECIES, AllenTable
from spiketype.datasets.fingerprint import fingerprint
from spiketype.datasets.splits import Fold
from spiketype.edge import PyTree, UserError
from spiketype.train.judging.scale import Scale
from spiketype.train.tasks.species.config import Labels

CLASSES = ("aspiny", "spiny")
MOUSE, HUMAN = range(len(SPECIES))
TESTED: dict[Labels, int] = {"mouse-to-human": HUMAN, "mouse": MOUSE, "both": HUMAN}


class Cells(NamedTuple):
    """Cells as measured, NaN where not; species are indices into `SPECIES`."""

    x: Float[np.ndarray, "cell feature"]
    species: Int[np.ndarray, " cell"]

    @classmethod
    def of(cls, table: AllenTable, rows: Int[np.ndarray, " cell"]) -> "Cells":
        """Return some rows of a table."""
        return cls(table.x[rows], table.species[rows])


class Part(NamedTuple):
    """A division of the cells, all fields rows of the table.

    Attributes:
        name: for messages.
        mouse: cells that are trained on, with their labels.
        human: cells that are adapted to, and trained on where `labelled`.
        labelled: the labels of the human cells are used.
        test: cells that are tested.
    """

    name: str
    mouse: Int[np.ndarray, " mouse"]
    human: Int[np.ndarray, " human"]
    labelled: bool
    test: Int[np.ndarray, " test"]

    @property
    def fold(self) -> Fold:
        """The cells whose labels are trained on, and those that are tested."""
        return Fold(np.concatenate([self.mouse, self.human]) if self.labelled else self.mouse, self.test, self.name)


def fingerprint_of(table: AllenTable) -> str:
    """Return what tells whether a table holds the very cells of another."""
    return fingerprint(table.x, table.spiny, table.species)


def usable(table: AllenTable, incomplete: str) -> AllenTable:
    """Return the cells, without those that lack a value if incomplete is "drop"; both species have both classes.

    Raises:
        UserError: a species is absent, or has been dropped whole (the published domain-adversarial network was trained
            on no human cell for that reason), or has one class alone.
    """
    kept = table.take(np.isfinite(table.x).all(axis=1)) if incomplete == "drop" else table
    for number, species in enumerate(SPECIES):
        before, after = (int((t.species == number).sum()) for t in (table, kept))
        if not before:
            raise UserError(f"{table.source} has no {species} cell: give {species}_ephys_data.csv, both are needed")
        if not after:
            gaps = np.isnan(table.x[table.species == number]).mean(axis=0)
            worst = table.feature_names[int(np.argmax(gaps))]
            raise UserError(
                f"all {before} {species} cells lack a feature ({worst} is empty in {100 * gaps.max():.0f} % of them) "
                "and were dropped, so that no domain is left to adapt to: use --incomplete impute"
            )
        found = np.unique(kept.spiny[kept.species == number])
        if len(found) == 1:
            raise UserError(f"{table.source}: all {species} cells are {CLASSES[found[0]]}, both classes are needed")
    return kept


def parts(table: AllenTable, labels: Labels, folds: int, repeats: int, seed: int) -> list[Part]:
    """Return the parts of all repeats, donors apart. One fold of "mouse-to-human" adapts to the cells that it tests.

    Raises:
        UserError: a class has cells of fewer donors than there are folds.
    """
    mouse, human = (np.flatnonzero(table.species == k) for k in (MOUSE, HUMAN))
    if labels == "mouse-to-human" and folds == 1:
        return [Part("all human cells", mouse, human, False, human)] * repeats
    divided, found = (mouse if labels == "mouse" else human), []
    for repeat in range(repeats):
        y, donor = table.spiny[divided], table.donor[divided]
        split = splits.make("group", y, donor, table.donor_names, folds, seed + repeat, by="donor")
        if len(split.folds) < folds:
            raise UserError(f"{folds} folds, but a class has cells of only {len(split.folds)} donors: give fewer folds")
        for fold in split.folds:
            train, test = divided[fold.train], divided[fold.test]
            trained, adapted = (train, human) if labels == "mouse" else (mouse, train)
            found.append(Part(f"repeat {repeat + 1}, {fold.name}", trained, adapted, labels == "both", test))
    return found


class Domains(NamedTuple):
    """How a part is brought to one scale.

    The mean of mouse cells in which classes had the frequencies p is p @ first, whatever p is.

    Attributes:
        mouse: scale of the mouse cells that are trained on.
        human: scale of the human cells.
        rate: frequencies of the mouse's classes.
        first: means of the standardised features of each class of the mouse.
        second: means of their squares.
    """

    mouse: Scale
    human: Scale
    rate: Float[np.ndarray, " class"]
    first: Float[np.ndarray, "class feature"]
    second: Float[np.ndarray, "class feature"]

    @classmethod
    def of(cls, table: AllenTable, part: Part) -> "Domains":
        """Return the domains of the training cells of a part."""
        scale = Scale.of(table.x[part.mouse])
        z, y = scale.apply(table.x[part.mouse]).astype(np.float64), table.spiny[part.mouse]
        each = [z[y == k] for k in range(len(CLASSES))]
        first, second = (np.stack([(e**power).mean(axis=0) for e in each]) for power in (1, 2))
        rate = np.bincount(y, minlength=len(CLASSES)) / len(y)
        return cls(scale, Scale.of(table.x[part.human]), rate, first, second)

    def apply(self, cells: Cells, prior: Float[np.ndarray, " class"]) -> Float[np.ndarray, "cell feature"]:
        """Return standardised cells: mouse cells in the scale that they have where classes have the frequencies prior.

        float64, without NaN.
        """
        mean = prior @ self.first
        sd = np.sqrt(np.maximum(prior @ self.second - mean**2, 1e-6))
        mouse = (self.mouse.apply(cells.x) - mean) / sd
        return np.where((cells.species == MOUSE)[:, None], mouse, self.human.apply(cells.x)).astype(np.float64)

    def arrays(self) -> PyTree:
        """Return it as nested dicts of arrays."""
        return self._asdict() | {name: getattr(self, name)._asdict() for name in SPECIES}

    @classmethod
    def restore(cls, arrays: PyTree) -> "Domains":
        """Return what `arrays` took apart."""
        return cls(**(arrays | {name: Scale(**arrays[name]) for name in SPECIES}))
