"""The cells of the species task and who is trained and tested with which labels: its settings, folds and scales."""

from typing import Any, Literal, NamedTuple

import numpy as np

from spiketype.datasets import splits
from spiketype.datasets.allen.table import SPECIES, AllenTable
from spiketype.edge import UserError
from spiketype.train.judging.scale import Scale

CLASSES = ("aspiny", "spiny")
MOUSE, HUMAN = range(len(SPECIES))
Labels = Literal["mouse-to-human", "mouse", "both"]
FOLDS: dict[str, int] = {"mouse-to-human": 1, "mouse": 5, "both": 10}
TESTED: dict[str, int] = {"mouse-to-human": HUMAN, "mouse": MOUSE, "both": HUMAN}


class Part(NamedTuple):
    """Rows of a fold: mouse cells with labels, human cells (labelled or not), cells that are tested."""

    name: str
    mouse: np.ndarray
    human: np.ndarray
    labelled: bool
    test: np.ndarray


def usable(table: AllenTable, incomplete: str) -> AllenTable:
    """The cells, without those that lack a value if incomplete is "drop"; both species with both classes, or an error.

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


def parts(table: AllenTable, labels: str, folds: int, repeats: int, seed: int) -> list[Part]:
    """The folds of all repeats, donors apart. One fold of "mouse-to-human" adapts to the cells that it tests."""
    mouse, human = (np.flatnonzero(table.species == k) for k in (MOUSE, HUMAN))
    if labels == "mouse-to-human" and folds == 1:
        return [Part("all human cells", mouse, human, False, human)] * repeats
    own, found = (mouse if labels == "mouse" else human), []
    for repeat in range(repeats):
        y, donor = table.spiny[own], table.donor[own]
        split = splits.make("group", y, donor, table.donor_names, folds, seed + repeat, by="donor")
        if len(split.folds) < folds:
            raise UserError(f"{folds} folds, but a class has cells of only {len(split.folds)} donors: give fewer folds")
        for fold in split.folds:
            train, test = own[fold.train], own[fold.test]
            trained, adapted = (train, human) if labels == "mouse" else (mouse, train)
            found.append(Part(f"repeat {repeat + 1}, {fold.name}", trained, adapted, labels == "both", test))
    return found


class Domains(NamedTuple):
    """How a part is brought to one scale: a `Scale` of each species, and moments of the mouse's classes in its own.

    ``rate`` (class,): frequencies of the mouse's classes; ``first``, ``second`` (class, feature): means of the
    standardised features and of their squares. The mean of mouse cells in which classes had the frequencies p is then
    p @ first, whatever p is.
    """

    mouse: Scale
    human: Scale
    rate: np.ndarray
    first: np.ndarray
    second: np.ndarray

    @classmethod
    def of(cls, table: AllenTable, part: Part) -> "Domains":
        """Of the training cells of a part."""
        scale = Scale.of(table.x[part.mouse])
        z, y = scale.apply(table.x[part.mouse]).astype(np.float64), table.spiny[part.mouse]
        each = [z[y == k] for k in range(len(CLASSES))]
        first, second = (np.stack([(e**power).mean(axis=0) for e in each]) for power in (1, 2))
        rate = np.bincount(y, minlength=len(CLASSES)) / len(y)
        return cls(scale, Scale.of(table.x[part.human]), rate, first, second)

    def apply(self, x: np.ndarray, species: np.ndarray, prior: np.ndarray) -> np.ndarray:
        """x (cell, feature) of species (cell,), mouse cells in the scale that prior (class,) gives; float64."""
        mean = prior @ self.first
        sd = np.sqrt(np.maximum(prior @ self.second - mean**2, 1e-6))
        mouse = (self.mouse.apply(x) - mean) / sd
        return np.where((species == MOUSE)[:, None], mouse, self.human.apply(x)).astype(np.float64)

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        scales = {name: getattr(self, name).to_json() for name in SPECIES}
        return scales | {name: getattr(self, name).tolist() for name in ("rate", "first", "second")}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Domains":
        """What `to_json` gave."""
        mouse, human = (Scale.from_json(values[name]) for name in SPECIES)
        rate, first, second = (np.array(values[name]) for name in ("rate", "first", "second"))
        return cls(mouse, human, rate, first, second)
