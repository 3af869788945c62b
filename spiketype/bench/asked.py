"""What a question asks of a benchmark's samples: the rows to be called, and predictions brought into their order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

from spiketype.bench.origin import SPIKES
from spiketype.bench.predictions import Predictions, digest_of
from spiketype.datasets.benchmarks.divide import TRAIN, UNUSED, sides
from spiketype.datasets.benchmarks.samples import Samples
from spiketype.datasets.benchmarks.specification import Question
from spiketype.datasets.fingerprint import of_names
from spiketype.edge import UserError
from spiketype.units import model as units_model

SAME = 1e-5  # by which, or by which share, what was measured of one sample may differ


@dataclass(frozen=True)
class Asked:
    """The rows of a question.

    Attributes:
        question: its name, and that of the column which says what part a sample is in.
        names: of the rows that test, in the order of the samples.
        sample: the first sample of each: what has several samples has the same label and group in all.
        count: of the samples of each.
        train, unused: names of the rows that have other parts.
        folds: number of the folds.
    """

    question: str
    names: tuple[str, ...]
    sample: Int[np.ndarray, " row"]
    count: Int[np.ndarray, " row"]
    train: frozenset[str]
    unused: frozenset[str]
    folds: int

    def column(self, samples: Samples, name: str) -> Shaped[np.ndarray, " row"]:
        """Return a column of the samples, for the rows that test."""
        found: np.ndarray = samples[name][self.sample]
        return found


def asked(question: Question, name: str, samples: Samples) -> Asked:
    """Return the rows of a question, called `name`, whose column says which part a sample is in."""
    names, first, count = np.unique(samples[question.row], return_index=True, return_counts=True)
    order = np.argsort(first)
    names, first, count = names[order], first[order], count[order]
    part = samples[name][first]
    if part.dtype.kind == "i":
        train, unused, folds = np.zeros(len(part), bool), part == 0, int(part.max())
    else:
        train, unused, folds = part == TRAIN, part == UNUSED, 1
    tests = ~train & ~unused
    return Asked(
        question=name,
        names=tuple(names[tests].tolist()),
        sample=first[tests],
        count=count[tests],
        train=frozenset(names[train].tolist()),
        unused=frozenset(names[unused].tolist()),
        folds=folds,
    )


@dataclass(frozen=True)
class Answered:
    """Predictions of all rows of a question, in their order.

    Attributes:
        values: as those of `Predictions`.
        seed: of the intervals.
        sha256: of what was read.
        void: why it is declared void by who gave it; "" where it is not.
    """

    values: Shaped[np.ndarray, "repeat row value"]
    seed: int
    sha256: str
    void: str


def answers(question: Question, rows: Asked, samples: Samples, given: Sequence[Predictions]) -> Answered:
    """Return predictions in the order of the rows.

    Args:
        question: that they answer.
        rows: of it.
        samples: of the benchmark.
        given: predictions of one or several files, such as the runs of each fold.

    Raises:
        UserError: a row that is unknown, trained on, or there twice; rows that are missing; a run on other data, or
            that divides them otherwise.
    """
    for each in given:
        _check_division(each, question, rows.question, samples)
    place = {name: k for k, name in enumerate(rows.names)}
    at = np.full(len(place), -1)  # of each row, among all that are given
    every = [(each, k) for each in given for k in range(len(each.names))]
    named = [name for each in given for name in _named(each, question, samples)]
    for number, ((each, k), name) in enumerate(zip(every, named, strict=True)):
        if name not in place:
            raise UserError(_refused(each, k, name, rows))
        row = place[name]
        if at[row] >= 0:
            before, first = every[at[row]]
            raise UserError(f"{each.row(k)} is called a second time, after {before.row(first)}: keep one")
        _check_label(each, k, samples[question.label][rows.sample[row]] if each.true else "")
        _check_measured(each, k, rows, row, samples)
        at[row] = number
    if (at < 0).any():
        raise UserError(
            f"{given[0].source}: {int((at < 0).sum())} of {len(at)} rows are missing, the first is"
            f" {rows.names[int(np.argmin(at))]}: every row of the test part is to be called"
        )
    if len({len(each.values) for each in given}) > 1:
        raise UserError("runs of several numbers of --seeds cannot be judged together: give runs that have as many")
    values = np.concatenate([each.values for each in given], axis=1)[:, at]
    void = next((each.void for each in given if each.void), "")
    return Answered(values, given[0].seed, digest_of(given), void)


def _check_label(each: Predictions, k: int, ours: str) -> None:
    if each.true and each.true[k] != ours:
        raise UserError(
            f"{each.row(k)} is {each.true[k]} there, and {ours} in the benchmark: the run was on other data"
        )


def _check_measured(each: Predictions, k: int, rows: Asked, row: int, samples: Samples) -> None:
    """Refuse a run that has measured something else of a row: it was on other data."""
    several = int(rows.count.max()) > 1  # what is called is a cell
    for name, values in each.origin.measured.items():
        if name == SPIKES and several:
            ours = rows.count[row]
        elif name in samples:
            ours = samples[name][rows.sample[row]]
        else:
            continue
        same = values[k] == ours if isinstance(ours, str) else np.isclose(values[k], ours, SAME, SAME)
        if not same:
            raise UserError(
                f"{each.row(k)} has {name} {values[k]} there, and {ours} in the benchmark: the run was on other data"
            )


def _check_division(each: Predictions, question: Question, name: str, samples: Samples) -> None:
    """Refuse a run that was trained on groups that a question holds out, or on others than its folds do."""
    origin, remedy = each.origin, "train it on the benchmark's own folds (docs/guide/benchmarks.md says how)"
    if origin.optimistic and not question.split.optimistic:
        raise UserError(
            f"{each.source.parent} is optimistic by its own word: groups that it tests were trained on, too, and"
            f" {name} asks for new ones ({question.split.by}); {remedy}"
        )
    if origin.by in samples and question.split.kind != "all":
        ours = {frozenset(samples[origin.by][train].tolist()) for train, _ in sides(samples[name])}
        if not origin.trained_on <= ours:
            raise UserError(
                f"{each.source.parent} was trained on other {origin.by}s than the folds of {name}: {remedy}"
            )
    if origin.parts and question.split.kind != "all":
        parts = {of_names(samples[question.row][train].tolist()) for train, _ in sides(samples[name])}
        if not origin.parts <= parts:
            raise UserError(
                f"{each.source.parent} was trained on other rows than the folds of {name}, perhaps on tested ones:"
                f" {remedy}"
            )
    if origin.init == units_model.NAME:
        raise UserError(
            f"{each.source.parent} began with {origin.init}, which was trained on all that is tested: train it without"
            " --init, or with a model of scripts/train_units.py --without"
        )


def _named(each: Predictions, question: Question, samples: Samples) -> Sequence[str]:
    """Return the names of rows; those of runs on a store, and of columns ``sample``, are numbers of samples."""
    numbers = "sample" in samples and question.row == "id" and all(map(str.isdecimal, each.names))
    if each.by == "id" or (each.by == "" and not numbers):
        return each.names
    if not numbers:
        k = next((k for k, name in enumerate(each.names) if not name.isdecimal()), 0)
        what = "which is no number of a sample" if "sample" in samples else "and the benchmark has no data.zarr"
        raise UserError(f"{each.row(k)} is called by its sample, {what}: give its id")
    if beyond := [k for k, name in enumerate(each.names) if int(name) >= len(samples["id"])]:
        raise UserError(f"{each.row(beyond[0])}: there is no such sample, but 0 to {len(samples['id']) - 1}")
    return samples["id"][list(map(int, each.names))].tolist()  # type: ignore[no-any-return]


def _refused(each: Predictions, k: int, name: str, rows: Asked) -> str:
    """Return why a row is none of those that are asked for."""
    if name in rows.train:
        return f"{each.row(k)} is in the training part: give those of the test part alone"
    if name in rows.unused:
        return f"{each.row(k)} is of no class that is asked for: leave it out"
    return f"{each.row(k)} is unknown: names are such as {rows.names[0]}"
