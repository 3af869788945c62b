"""What a task is, but for its options: the experiment it prepares, the judgement of it, the model that users get."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Key, UInt64
from matplotlib.figure import Figure

from spiketype.edge import Json, PyTree, UserError
from spiketype.location import Location, folder
from spiketype.train.config import Member
from spiketype.train.identity import Identity
from spiketype.train.judging.calls import Calls
from spiketype.train.loop import Problem

TRAINING_PARTS = "training_parts"  # in a summary: what tells the names of the rows that each fold trained on
History = list[Json]  # lines of metrics.jsonl
Variables = dict[str, PyTree]  # {"params": ..., and state}, every array with a leading member axis
Labels = Int[np.ndarray, " row"]
Data = Callable[[int], tuple[PyTree, PyTree]]  # step number -> (common data, member data)


def member_keys(members: Sequence[Member], *, fold: bool = True, variant: bool = False) -> Key[Array, " member"]:
    """Return a random key for each member, from its seed and, where asked for, its fold and its (whole) variant."""

    def one(member: Member) -> jax.Array:
        key = jax.random.key(np.uint32(member.seed))
        key = jax.random.fold_in(key, np.uint32(member.fold)) if fold else key
        return jax.random.fold_in(key, np.uint32(int(member.variant or 0))) if variant else key

    return jnp.stack([one(member) for member in members])


def of_members(members: Sequence[Member], of_fold: Sequence[PyTree]) -> PyTree:
    """Return the data of each member's fold, stacked along a member axis."""
    return jax.tree.map(lambda *each: jnp.stack(each), *(of_fold[member.fold] for member in members))


def keep(params: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
    """Begin a phase with what the one before has left."""
    return params, state


@dataclass(frozen=True)
class Phase:
    """A use of the loop; its steps are numbered on from the phase before.

    Attributes:
        name: for the progress display.
        problem: what is trained; has its own optimizer.
        data: step number -> (common, member) data.
        steps: at most so many, a multiple of the problem's interval.
        begin: (params, state) that the phase before has left, on the host -> those to begin with, structured as the
            problem's; not called for the first phase, which begins fresh.
    """

    name: str
    problem: Problem
    data: Data
    steps: int
    begin: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]] = keep


@runtime_checkable
class FinalModel(Protocol):
    """What a run offers to its users: a network, an average of several models, or a scikit-learn estimator.

    A class that is one has `fit` or another constructor of its own, a `probability` of whatever inputs it takes, and
    is taken apart into arrays and JSON, never pickled; `Task.restore` puts it together again.
    """

    def arrays(self) -> PyTree:
        """Return nested dicts of arrays."""

    def manifest(self) -> Json:
        """Return what else it is, and what it was trained on."""


@runtime_checkable
class Predictions(Protocol):
    """What was predicted of test rows: `Calls` of classes, or positions."""

    def write(self, path: Path, others: Mapping[str, Any], name: str) -> None:
        """Write predictions.zarr, with those of other models beside it."""


@dataclass(frozen=True)
class Judgement:
    """The result of a run; `run` alone writes it.

    Attributes:
        summary: JSON of all numbers.
        calls: predictions of the model called `name`.
        others: those of the models that it is compared with.
        figures: name -> picture.
        model: what is offered for new data; None for data that were only judged.
        name: of the model.
        table: columns of predictions.csv, where the rows judged are those that a user wants called; None: no table.
    """

    summary: Json
    calls: Predictions
    figures: Mapping[str, Figure]
    model: FinalModel | None = None
    others: Mapping[str, Calls] = field(default_factory=dict)
    name: str = "network"
    table: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True)
class Experiment:
    """A task with its data: ready to be trained and judged.

    Attributes:
        phases: what is trained, one after the other.
        names: of the members, for messages.
        keys: (member,) random keys.
        batch: samples in a batch, which the devices share.
        judge: (variables, history) -> judgement.
        identity: of the data and their folds, which a run that continues must have again.
    """

    phases: tuple[Phase, ...]
    names: tuple[str, ...]
    keys: Key[Array, " member"]
    batch: int
    judge: Callable[[Variables, History], Judgement]
    identity: Identity


C = TypeVar("C")  # a TaskConfig
M = TypeVar("M")  # a FinalModel
R = TypeVar("R")  # what comes of data


@dataclass(frozen=True)
class Task(Generic[C, M]):
    """A task is a value.

    Attributes:
        prepare: configuration -> experiment; finds the data or makes them.
        restore: (configuration, arrays, manifest) of a run -> its final model.
        evaluate: (configuration, model, data) -> judgement on other data that have labels.
        predict: (configuration, model, data) -> columns of a table with one row a sample.
        table: summary -> what the terminal shows.
    """

    prepare: Callable[[C], Experiment]
    restore: Callable[[C, PyTree, Json], M]
    evaluate: Callable[[C, M, Location], Judgement]
    predict: Callable[[C, M, Location], dict[str, np.ndarray]]
    table: Callable[[Json], str]


def of_files(use: Callable[[C, M, Path], R]) -> Callable[[C, M, Location], R]:
    """Return a task's `evaluate` or `predict` that refuses a URL with a sentence, as the readers of files would not."""
    return lambda config, model, data: use(config, model, folder(data))


def new_rows(
    seen: UInt64[np.ndarray, " seen"], rows: UInt64[np.ndarray, " row"], data: Location, what: str
) -> Bool[np.ndarray, " row"]:
    """Say which rows of other data a run was not trained on; how many others there are is said on stderr.

    Args:
        seen: of the run: `datasets.fingerprint.of_rows`.
        rows: of the data given.
        data: where they are, for the message.
        what: a row is, in the plural.

    Raises:
        UserError: it was trained on all of them.
    """
    return new_where(~np.isin(rows, seen), data, what)


def new_where(new: Bool[np.ndarray, " row"], data: Location, what: str) -> Bool[np.ndarray, " row"]:
    """Return what is given, the rows of other data that a run was not trained on, and say on stderr how many are not.

    Args:
        new: whether it was not, of each row.
        data: where they are, for the message.
        what: a row is, in the plural.

    Raises:
        UserError: it was trained on all of them.
    """
    if not new.any():
        raise UserError(
            f"{data} holds the samples that the run was trained on: the run's own summary.json judges them; give "
            "others, or use spiketype predict"
        )
    if not new.all():
        print(f"{data}: {(~new).sum()} of {len(new)} {what} left out: the run was trained on them", file=sys.stderr)
    return new


def known_labels(known: Sequence[str], names: Sequence[str], label: Labels, data: Location) -> Labels:
    """Return labels of other data, indices into their class names, as indices into those that a model knows.

    Raises:
        UserError: classes that it does not know.
    """
    if unknown := sorted(set(names) - set(known)):
        raise UserError(f"{data} has classes that the network does not know: {', '.join(unknown)}")
    return np.asarray(np.array([known.index(name) for name in names], np.int32)[label])


def of_member(variables: Variables, number: int) -> Variables:
    """Return the variables of one member out of those of all."""
    mine: Variables = jax.tree.map(lambda a: a[number], variables)
    return mine


def in_pieces(apply: Callable[[np.ndarray], PyTree], x: np.ndarray, size: int) -> PyTree:
    """Return what a jitted function of rows gives for x (row, ...), as NumPy arrays (row, ...).

    Args:
        apply: rows (size, ...) -> arrays (size, ...), in any pytree.
        x: rows; the last piece is padded with zeros, whose results are cut off.
        size: rows at once.
    """
    found = []
    for first in range(0, max(len(x), 1), size):
        part = x[first : first + size]
        padded = np.pad(part, ((0, size - len(part)), *[(0, 0)] * (x.ndim - 1)))
        found.append(jax.device_get(apply(padded)))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(x)], *found)
