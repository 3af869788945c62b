"""What is held out in the subclass task: donors, cells, the published test set, a recording era, a transgenic line."""

from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from spiketype.datasets import splits
from spiketype.datasets.allen.table import AllenTable
from spiketype.datasets.splits import Fold
from spiketype.edge import UserError

LEAST = 10  # cells of a line that is left out


def usable(kind: str, table: AllenTable) -> AllenTable:
    """The cells that a split can have: complete rows for the published one, known eras for eras.

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


def make(config: Any, table: AllenTable) -> tuple[list[list[Fold]], bool]:
    """The folds of each repeat, and whether they are optimistic: cells of tested donors are trained on."""
    if config.split == "published":
        return [[published(len(table.x))]], True
    if config.split == "era":
        return [_left_out(table, table.rate_kHz, {r: f"{r:g} kHz" for r in np.unique(table.rate_kHz)})], False
    if config.split == "line":
        lines = [k for k, count in enumerate(np.bincount(table.line[table.line >= 0])) if count >= LEAST]
        return [_left_out(table, table.line, {k: table.line_names[k] for k in lines})], False
    kind, names = ("group" if config.split == "donor" else "kfold"), table.donor_names
    found = [
        splits.make(kind, table.subclass, table.donor, names, config.folds, config.seed + r, by="donor")
        for r in range(config.repeats)
    ]
    return [list(split.folds) for split in found], found[0].optimistic


def published(cells: int) -> Fold:
    """Ophir et al. 2024: a fifth of the complete rows tests, of the others a fifth is not used."""
    rest, test = train_test_split(np.arange(cells), train_size=0.8, random_state=1)
    train, _ = train_test_split(rest, train_size=0.8, random_state=1)
    return Fold(np.sort(train), np.sort(test), "published")


def _left_out(table: AllenTable, value: np.ndarray, names: dict[Any, str]) -> list[Fold]:
    """One fold for each name; donors of the tested cells do not train."""
    found = []
    for key, name in names.items():
        test = value == key
        train = ~test & ~np.isin(table.donor, table.donor[test])
        found.append(Fold(np.flatnonzero(train), np.flatnonzero(test), name))
    return found


def absent(table: AllenTable, fold: Fold) -> list[str]:
    """Classes that are tested and not trained on."""
    return [table.class_names[k] for k in np.setdiff1d(table.subclass[fold.test], table.subclass[fold.train])]
