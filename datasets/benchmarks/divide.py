"""Which samples of a benchmark train and test, by question: a column of the samples, and the lists of a fold."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Shaped

from spiketype.datasets import splits
from spiketype.datasets.benchmarks.samples import Samples, words_of
from spiketype.datasets.benchmarks.specification import Question
from spiketype.datasets.splits import Fold
from spiketype.edge import Json, UserError

TRAIN, TEST, UNUSED = "train", "test", "unused"


class Division(NamedTuple):
    """What becomes of the samples of a question.

    Attributes:
        part: of each sample: "train", "test" or "unused"; of several folds the number, from 1, of the one that tests
            it, and 0 where it is unused.
        folds: rows of the samples.
    """

    part: Shaped[np.ndarray, " sample"]
    folds: tuple[Fold, ...]


def divide(question: Question, samples: Samples, where: str) -> Division:
    """Divide the samples of a question's classes as it says.

    Args:
        question: of the benchmark.
        samples: all of them.
        where: the benchmark and the question, for messages.

    Raises:
        UserError: a group or class that is not there; the split is another than the one that was frozen.
    """
    label, used = labels(question, samples, where)
    if question.split.kind == "all":
        folds = [Fold(np.empty(0, np.int64), used, "all")]
    else:
        folds = [Fold(used[f.train], used[f.test], f.name) for f in _folds(question, samples, label, used, where)]
    found = Division(_column(folds, len(samples["id"])), tuple(folds))
    if digest(question, samples, found) != question.split.sha256:
        raise UserError(
            f"{where}: the samples or their division are not those that were frozen (SHA-256"
            f" {digest(question, samples, found)[:12]}..., not {question.split.sha256[:12]}...), because a library"
            " divides otherwise in its installed version, or because data differ: a score of it would be of another"
            " benchmark"
        )
    return found


def labels(
    question: Question, samples: Samples, where: str
) -> tuple[Int[np.ndarray, " used"] | None, Int[np.ndarray, " used"]]:
    """Return the class of each sample that is of one, None for positions; and which samples these are.

    Raises:
        UserError: a class of which there is no sample.
    """
    if question.answer == "position":
        return None, np.arange(len(samples["id"]))
    words = words_of(samples, question.label, where)
    used = np.flatnonzero(np.isin(words, question.classes))
    if absent := sorted(set(question.classes) - set(words[used].tolist())):
        raise UserError(f"{where}: no sample is of class {absent[0]}")
    return np.array([question.classes.index(word) for word in words[used].tolist()], np.int32), used


def _folds(
    question: Question, samples: Samples, label: np.ndarray | None, used: np.ndarray, where: str
) -> Sequence[Fold]:
    split = question.split
    names, group = np.unique(words_of(samples, split.by, where)[used], return_inverse=True)
    by = tuple(map(str, names))
    if split.kind == "named":
        tests = [_named(test, group, by, where) for test in split.tests]
        every = np.arange(len(used))
        several = len(tests) > 1
        if several and len(np.concatenate(tests)) != len(used):
            raise UserError(f"{where}: some groups are tested in no fold")
        return [
            Fold(np.setdiff1d(every, test), test, f"fold {k + 1} of {len(tests)}" if several else TEST)
            for k, test in enumerate(tests)
        ]
    found = splits.make(
        split.kind, label, group.astype(np.int32), by, split.folds, split.seed, split.test_fraction, by=split.by
    )
    if found.optimistic != split.optimistic:
        raise UserError(f"{where}: the split is {'' if found.optimistic else 'not '}optimistic, and it says otherwise")
    return found.folds


def _named(test: Sequence[str], group: np.ndarray, names: Sequence[str], where: str) -> np.ndarray:
    if unknown := [name for name in test if name not in names]:
        raise UserError(f"{where}: {unknown[0]} is to be tested, and no sample is of it")
    return np.flatnonzero(np.isin(group, [names.index(name) for name in test]))


def _column(folds: Sequence[Fold], count: int) -> np.ndarray:
    if len(folds) == 1:
        part = np.full(count, UNUSED)
        part[folds[0].train], part[folds[0].test] = TRAIN, TEST
        return part
    number = np.zeros(count, np.int32)
    for k, fold in enumerate(folds):
        number[fold.test] = k + 1
    return number


def sides(part: Shaped[np.ndarray, " sample"]) -> list[tuple[Bool[np.ndarray, " sample"], Bool[np.ndarray, " sample"]]]:
    """Return for each fold which samples train and which test, from the column of a question."""
    if part.dtype.kind != "i":
        return [(part == TRAIN, part == TEST)]
    return [((part != k) & (part != 0), part == k) for k in range(1, part.max() + 1)]


def digest(question: Question, samples: Samples, division: Division) -> str:
    """Return the SHA-256 of a line for every sample: its name, its class, if it has one, and its part."""
    word = np.full(len(samples["id"]), "") if question.answer == "position" else samples[question.label]
    rows = zip(samples["id"].tolist(), word.tolist(), division.part.tolist(), strict=True)
    return hashlib.sha256("".join(f"{name}\t{label}\t{part}\n" for name, label, part in rows).encode()).hexdigest()


def lists(samples: Samples, fold: Fold) -> Json:
    """Return the sides of a fold as ``--split lists`` takes them.

    They are names of cells, where no cell is on both sides; else numbers of samples; where samples have none, names.
    """
    sides = {TRAIN: fold.train, TEST: fold.test}
    if "sample" not in samples:
        return {side: samples["id"][rows].tolist() for side, rows in sides.items()}
    cells = {side: set(samples["cell"][rows].tolist()) for side, rows in sides.items()}
    covered = len(fold.train) + len(fold.test) == len(samples["id"])
    if covered and not cells[TRAIN] & cells[TEST]:
        return {side: sorted(names) for side, names in cells.items()}
    return {side: samples["sample"][rows].tolist() for side, rows in sides.items()}
