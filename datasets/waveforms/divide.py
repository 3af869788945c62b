"""Labelled units or spikes, divided: what trains, what adapts to a new animal, and what tests."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from spiketype import reading
from spiketype.datasets import splits
from spiketype.datasets.fingerprint import fingerprint
from spiketype.datasets.options import UnitSplit
from spiketype.datasets.splits import Fold
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.edge import UserError

KINDS: dict[UnitSplit, str] = {"animal": "group", "unit": "group", "spike": "kfold"}


@dataclass(frozen=True)
class Division:
    """How the rows of a table are divided.

    Attributes:
        by: what is held out.
        folds: of all repeats.
        adapt: rows of each fold's animal that fine-tune, which no model is tested on; empty without fine-tuning.
        optimistic: units have spikes on both sides.
    """

    by: UnitSplit
    folds: tuple[Fold, ...]
    adapt: tuple[Int[np.ndarray, " _"], ...]
    optimistic: bool


def labelled(table: WaveformTable, path: Path) -> Bool[np.ndarray, " row"]:
    """Return a mask of the rows with a label, and say how many have none.

    Raises:
        UserError: no classes, or a single class or unit.
    """
    keep: np.ndarray = table.label >= 0
    if not keep.any():
        raise UserError(f"{path} has no labels: name their column with --label")
    if not keep.all():
        reading.note(path, f"{int((~keep).sum())} of {len(keep)} rows without a label are not used")
    units, classes = len(np.unique(table.unit[keep])), len(np.unique(table.label[keep]))
    if min(units, classes) < 2:
        raise UserError(
            f"{path} has {units} labelled unit(s) of {classes} class(es): training needs two of both at least"
        )
    return keep


def labelled_fingerprint(table: WaveformTable) -> str:
    """Return what identifies the labelled waveforms of a table, whatever else it has."""
    return fingerprint(table.waveform[table.label >= 0])


def natural(table: WaveformTable) -> UnitSplit:
    """Return what a result generalises to: animals if the table has several, else units."""
    return "animal" if len(np.unique(table.animal)) > 1 else "unit"


def groups(table: WaveformTable, by: UnitSplit) -> tuple[Int[np.ndarray, " row"], Sequence[str]]:
    """Return the group of each row and the names of the groups: animals where they are held out, else units."""
    return (table.animal, table.animal_names) if by == "animal" else (table.unit, table.unit_names)


def divide(
    table: WaveformTable,
    by: UnitSplit | None = None,
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    finetune: int = 0,
) -> Division:
    """Divide the rows of a table that all have a label.

    Args:
        table: of units or spikes.
        by: what is held out; by default what is `natural`.
        folds: of each repeat; with `finetune`, every animal is one.
        repeats: how often the rows are divided anew.
        seed: of the first repeat.
        finetune: units of the tested animal that fine-tune a model, of every class in turn.

    Raises:
        UserError: a split that these data do not allow.
    """
    by = by or natural(table)
    if by == "spike" and table.level == "unit":
        raise UserError(f"{table.source} has one row for each unit: --split spike needs single spikes, choose unit")
    group, names = groups(table, by)
    if by == "animal" and len(np.unique(group)) < 2:
        raise UserError(f"{table.source} has a single {table.group_word}: choose --split unit")
    kind = "leave-one-out" if finetune else KINDS[by]
    if by == "unit" and table.level == "unit":
        kind = "kfold"  # the same with fewer words: a group of one row is a row
    classes = table.class_names
    found = [
        splits.make(
            kind,
            table.label,
            group,
            names,
            folds,
            seed + repeat,
            by=table.group_word if by == "animal" else by,
            class_names=classes,
            instead="unit" if by == "animal" else "spike",
        )
        for repeat in range(repeats)
    ]
    every = [fold for split in found for fold in split.folds]
    adapt = [_adapting(table, fold, finetune, seed) for fold in every] if finetune else []
    for k, rows in enumerate(adapt):
        every[k] = Fold(every[k].train, np.setdiff1d(every[k].test, rows), every[k].name)
    return Division(by, tuple(every), tuple(adapt), found[0].optimistic)


def _adapting(table: WaveformTable, fold: Fold, count: int, seed: int) -> np.ndarray:
    """Return the rows of `count` units of the tested animal, of every class in turn."""
    name = table.animal_names[table.animal[fold.test[0]]]
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    units, first = np.unique(table.unit[fold.test], return_index=True)
    order = rng.permutation(len(units))
    label = table.label[fold.test][first][order]
    turn = np.zeros(len(units), int)
    for k in np.unique(label):
        turn[label == k] = np.arange(np.sum(label == k))
    chosen = units[order][np.lexsort([np.arange(len(units)), turn])][:count]
    adapts = np.isin(table.unit[fold.test], chosen)
    if adapts.all():
        raise UserError(
            f"--finetune {count}: {table.group_word} {name} has {len(units)} units, none is left to test on"
        )
    return np.asarray(fold.test[adapts])
