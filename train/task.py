"""What a task is: its options, the experiment it prepares, and what it does with other data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from spiketype.train.loop import Problem, PyTree

History = list[dict[str, Any]]
Variables = dict[str, PyTree]


@dataclass(frozen=True)
class Phase:
    """A further use of the loop, on what the phase before it has left; its steps are numbered on.

    Attributes:
        name: for the progress display.
        problem: what is trained; has its own optimizer.
        data: step number -> (shared, own).
        steps: at most so many, a multiple of the problem's interval.
        begin: (params, state) of the phase before, on the host -> those to begin with, structured as the problem's.
    """

    name: str
    problem: Problem
    data: Callable[[int], tuple[PyTree, PyTree]]
    steps: int
    begin: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]


@dataclass(frozen=True)
class Experiment:
    """A task with its data: ready to be trained and judged.

    Attributes:
        problem: what is trained.
        names: of the members, for messages.
        keys: (member,) random keys.
        data: step number -> (shared, own) for the loop.
        batch: samples in a batch, which the devices share.
        about: JSON that the trained model needs to be used on other data.
        judge: (variables, history, run folder) -> summary; writes predictions and figures there. Variables are
            `TrainState.variables`: {"params": ..., and state}, every array with a leading member axis.
        more: phases after the first.
    """

    problem: Problem
    names: tuple[str, ...]
    keys: jax.Array
    data: Callable[[int], tuple[PyTree, PyTree]]
    batch: int
    about: dict[str, Any]
    judge: Callable[[Variables, History, Path], dict[str, Any]]
    more: tuple[Phase, ...] = ()


@dataclass(frozen=True)
class Task:
    """A task is a value.

    Attributes:
        config: frozen dataclass of its options; has at least ``task``, ``seed``, ``seeds`` and ``steps``.
        presets: name -> fields that replace defaults.
        prepare: configuration -> experiment; finds the data or makes them.
        evaluate: (configuration, about, variables, data, folder) -> summary on other data that have labels.
        predict: (configuration, about, variables, data) -> columns of a table with one row a sample.
        table: summary -> what the terminal shows.
    """

    config: type
    presets: Mapping[str, Mapping[str, Any]]
    prepare: Callable[[Any], Experiment]
    evaluate: Callable[[Any, dict[str, Any], Variables, Path, Path], dict[str, Any]]
    predict: Callable[[Any, dict[str, Any], Variables, Path], dict[str, Any]]
    table: Callable[[dict[str, Any]], str]
