"""Cells of two species: which are trained and tested with which labels."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from spiketype.datasets import splits
from spiketype.datasets.allen.columns import read
from spiketype.datasets.allen.table import DENDRITES, SPECIES, AllenTable
from spiketype.datasets.options import SpeciesLabels
from spiketype.datasets.splits import Fold
from spiketype.edge import UserError

COLUMN = "species"
MOUSE, HUMAN = range(len(SPECIES))
TESTED: dict[SpeciesLabels, int] = {"mouse-to-human": HUMAN, "mouse": MOUSE, "both": HUMAN}


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
            raise UserError(f"{table.source}: all {species} cells are {DENDRITES[found[0]]}, both classes are needed")
    return kept


def parts(table: AllenTable, labels: SpeciesLabels, folds: int, repeats: int, seed: int) -> list[Part]:
    """Return the parts of all repeats, donors apart. One fold of "mouse-to-human" adapts to the cells that it tests.

    Raises:
        UserError: a class has cells of fewer donors than there are folds.
    """
    all_cells = whole(table, labels)
    if labels == "mouse-to-human" and folds == 1:
        return [all_cells._replace(name="all human cells")] * repeats
    divided, found = (all_cells.mouse if labels == "mouse" else all_cells.human), []
    for repeat in range(repeats):
        y, donor = table.spiny[divided], table.donor[divided]
        split = splits.make("group", y, donor, table.donor_names, folds, seed + repeat, by="donor")
        if len(split.folds) < folds:
            raise UserError(f"{folds} folds, but a class has cells of only {len(split.folds)} donors: give fewer folds")
        for fold in split.folds:
            train, test = divided[fold.train], divided[fold.test]
            name, trained = f"repeat {repeat + 1}, {fold.name}", "mouse" if labels == "mouse" else "human"
            found.append(all_cells._replace(name=name, test=test, **{trained: train}))
    return found


def whole(table: AllenTable, labels: SpeciesLabels) -> Part:
    """Return all cells as a training part, which is tested on the human ones."""
    mouse, human = (np.flatnonzero(table.species == k) for k in (MOUSE, HUMAN))
    return Part("all cells", mouse, human, labels == "both", human)


def read_species(data: Path, said: str | None) -> Int[np.ndarray, " cell"]:
    """Return an index into `SPECIES` of each cell of a table: of its column `COLUMN`, else what is said of all cells.

    Raises:
        UserError: no column, and nothing is said; another species than said, or unknown. The message names the row.
    """
    frame = read(data)
    if COLUMN not in frame:
        if said is None:
            raise UserError(f"{data} has no column {COLUMN}: give --species {' or --species '.join(SPECIES)}")
        return np.full(len(frame), SPECIES.index(said))
    given = frame[COLUMN].fillna("").astype(str).str.strip().str.lower()
    unknown = ~given.isin(SPECIES)
    if unknown.any():
        row = int(np.argmax(unknown))
        raise UserError(f"{data}, row {row + 2}: {COLUMN} is {frame[COLUMN][row]!r}, not one of {', '.join(SPECIES)}")
    if said is not None and (other := given != said).any():
        row = int(np.argmax(other))
        raise UserError(
            f"{data}, row {row + 2}: {COLUMN} is {given[row]}, and --species is {said}: leave out --species"
        )
    return np.array([SPECIES.index(name) for name in given])
