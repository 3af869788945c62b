"""What is held out of mouse cells: donors, cells, the published test set, a recording era, a transgenic line."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped
from sklearn.model_selection import train_test_split

from spiketype.datasets import splits
from spiketype.datasets.allen.table import AllenTable
from spiketype.datasets.options import MouseSplit
from spiketype.datasets.splits import INNER, Fold
from spiketype.edge import UserError

LEAST = 10  # cells of a line that is left out


def usable(kind: MouseSplit, table: AllenTable) -> AllenTable:
    """Return the cells that a split can have: complete rows for the published one, known eras for eras.

    Raises:
        UserError: no cells, or one era alone.
    """
    if kind == "published":
        table = table.take(np.isfinite(table.x).all(axis=1))
        if len(table.x) < 10:
            raise UserError(f"{table.source} has {len(table.x)} complete cells: too few for the published split")
    if kind == "era":
        table = table.take(np.isfinite(table.rate_kHz))
        rates = np.unique(table.rate_kHz)
        if len(rates) < 2:
            raise UserError(f"{table.source} has cells of {len(rates)} sampling rates: --split era needs two")
    return table


def make(kind: MouseSplit, table: AllenTable, folds: int, repeats: int, seed: int) -> tuple[list[list[Fold]], bool]:
    """Return the folds of each repeat, and whether they are optimistic: cells of tested donors are trained on.

    Raises:
        UserError: the cells do not allow the split, or a training part has too few donors.
    """
    parts, optimistic = _divide(kind, table, folds, repeats, seed)
    if not parts[0]:
        raise UserError(
            f"{table.source}: no line has {LEAST} cells, so that --split line holds out none: choose another"
        )
    for fold in (fold for part in parts for fold in part):
        donors = len(np.unique(table.donor[fold.train]))
        if donors < INNER:
            raise UserError(
                f"--split {kind}, {fold.name}: training cells of {donors} donors, calibration needs {INNER}: "
                "choose another split, or add cells of other donors"
            )
        splits.inner_folds(table.subclass[fold.train], table.donor[fold.train], seed)  # lest it be refused at the end
    return parts, optimistic


def _divide(kind: MouseSplit, table: AllenTable, folds: int, repeats: int, seed: int) -> tuple[list[list[Fold]], bool]:
    if kind == "published":
        return [[published(len(table.x))]], True
    if kind == "era":
        return [_left_out(table, table.rate_kHz, {r: f"{r:g} kHz" for r in np.unique(table.rate_kHz).tolist()})], False
    if kind == "line":
        lines = [k for k, count in enumerate(np.bincount(table.line[table.line >= 0])) if count >= LEAST]
        return [_left_out(table, table.line, {k: table.line_names[k] for k in lines})], False
    by, names = ("group" if kind == "donor" else "kfold"), table.donor_names
    given = table.subclass, table.donor, names, folds
    found = [
        splits.make(by, *given, seed + r, by="donor", class_names=table.class_names, instead="cell")
        for r in range(repeats)
    ]
    return [list(split.folds) for split in found], found[0].optimistic


def published(cells: int) -> Fold:
    """Return the division of Ophir et al. 2024: a fifth of the complete rows tests, of the others a fifth is unused."""
    rest, test = train_test_split(np.arange(cells), train_size=0.8, random_state=1)
    train, _ = train_test_split(rest, train_size=0.8, random_state=1)
    return Fold(np.sort(train), np.sort(test), "published")


def _left_out(table: AllenTable, value: Shaped[np.ndarray, " cell"], names: Mapping[float, str]) -> list[Fold]:
    """Return one fold for each name; donors of the tested cells do not train."""
    found = []
    for key, name in names.items():
        test = value == key
        train = ~test & ~np.isin(table.donor, table.donor[test])
        found.append(Fold(np.flatnonzero(train), np.flatnonzero(test), name))
    return found


def absent(table: AllenTable, fold: Fold) -> list[str]:
    """Return the names of classes that are tested and not trained on."""
    return [table.class_names[k] for k in np.setdiff1d(table.subclass[fold.test], table.subclass[fold.train])]
