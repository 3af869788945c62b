"""Carry out a training: prepare, train from the last checkpoint on, judge, write."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import jax
import numpy as np
from rich.progress import Progress

from spiketype import reading
from spiketype.edge import Json, UserError, check_platform, guard, progress
from spiketype.train import checkpoints, last_words, loop, processes, runs, watch
from spiketype.train.asked import SAVE_EVERY_S, Asked, of_json, open_config
from spiketype.train.config import TaskConfig, flag, to_json
from spiketype.train.task import Experiment, History, Phase, Task, Variables
from spiketype.train.tasks import get


def carry_out(asked: Asked, prog: str) -> None:
    """Train and judge what a command line asks for, and print the result; several processes end together.

    Raises:
        UserError: the data cannot be had; the folder has another run; the loss is not finite; the processes do not
            come together. Of several processes it is told here.
    """
    if asked.where is None:
        _carry_out(asked, f"continue with {prog} --resume {asked.folder}")
        return
    with watch.ending(), guard():
        processes.join(asked.where)
        _carry_out(asked, f"continue with {prog} --resume {asked.folder}, and the same options of --distributed")
        watch.finish()


def _carry_out(asked: Asked, again: str) -> None:
    config = asked.config or _of_first(asked.folder)
    if not asked.resumed:
        if processes.first():
            runs.check_new(asked.folder)
        _check_same(config)
    check_platform()
    if processes.first():
        last_words.will_be(f"{last_words.DIED}: {again}, or repeat the command if there is no such folder")
    task = get(config.task)
    try:
        summary = execute(task, config, asked.folder, asked.save_every_s)
    except Stopped as stopped:
        if processes.first():
            print(f"stopped: {again}", file=sys.stderr)
        watch.finish()
        raise SystemExit(0 if stopped.preempted else 130) from None
    except KeyboardInterrupt:
        if not (processes.first() and runs.exists(asked.folder)):  # still preparing the data: guard says what to do
            raise
        print(f"stopped: {again}", file=sys.stderr)
        raise SystemExit(130) from None
    if processes.first():
        print(task.table(summary))
        print(f"{asked.folder}: numbers in summary.json, pictures in figures/, predictions in predictions.zarr")


def _of_first(folder: Path) -> TaskConfig:
    """Return the configuration of a run whose folder process 0 alone need see."""
    values = processes.of_first("config", lambda: to_json(open_config(folder)))
    return of_json(values, folder)


def _check_same(config: TaskConfig) -> None:
    """Refuse processes of one run with different options.

    Raises:
        UserError: names the options.
    """
    ours = to_json(config)
    theirs = processes.of_first("config", lambda: ours)
    if differing := [flag(name) for name in sorted(ours.keys() | theirs) if ours.get(name) != theirs.get(name)]:
        raise UserError(f"this process has other options than process 0 ({', '.join(differing)}): give all the same")


def execute(task: Task[Any, Any], config: TaskConfig, folder: Path, save_every_s: float = SAVE_EVERY_S) -> Json:
    """Prepare, train from the last checkpoint on, judge; return the summary that is in ``summary.json``.

    The run folder is made when the data are there, so that a mistake in the options leaves none. Of several processes
    the first one alone uses it, and judges; the summary of the others is empty.

    Args:
        task: of the configuration.
        config: what is asked for.
        folder: of the run; one that is there is continued.
        save_every_s: seconds between two checkpoints.

    Raises:
        UserError: the data cannot be had; the folder has a run with other options, or that began with other data;
            the loss is not finite.
        Stopped: Ctrl-C or SIGTERM; the same call continues.
    """
    began = time.monotonic()
    with reading.recorded(silent=not processes.first()) as read:
        experiment = task.prepare(config)
    processes.wait("prepared")
    if processes.first() and runs.exists(folder):
        runs.check_same(folder, config)
        runs.check_same_data(folder, experiment.identity)
        runs.clean(folder)
    elif processes.first():
        runs.create(folder, config, experiment.identity)
    with progress(hidden=not processes.first()) as bar, _stopping() as stop:
        variables, history = _train(experiment, folder, bar, stop, save_every_s)
        if not processes.first():
            return {}
        stop.trained()
        bar.add_task("judging", total=None)
        judgement = experiment.judge(variables, history)
        seconds = round(time.monotonic() - began, 1)
        summary = judgement.summary | {"data": read.to_json(), "seconds": seconds}
        runs.write_judgement(folder, judgement, summary)
    return summary


def once(config: TaskConfig, folder: Path) -> Json:
    """Return the summary of a run, which is trained and judged only where the folder has none.

    Raises:
        UserError: the folder has a run with other options; as `execute`.
    """
    if (folder / runs.SUMMARY).exists():
        runs.check_same(folder, config)
        return runs.read_summary(folder)
    print(folder)
    return execute(get(config.task), config, folder)


def _train(
    experiment: Experiment, folder: Path, bar: Progress, stop: Callable[[], bool], save_every_s: float
) -> tuple[Variables, History]:
    """Train all phases, from the last checkpoint on; return the variables that the last one leaves, and the metrics."""
    mesh = loop.member_mesh(len(experiment.names), experiment.batch)
    fit = partial(loop.fit, keys=experiment.keys, mesh=mesh, names=experiment.names, stop=stop)
    found = checkpoints.newest(folder) if processes.first() else None
    reached, before, state = processes.largest(found.step if found else 0), 0, None
    log = runs.MetricsLog(folder, found.history if found else []) if processes.first() else None
    fit = partial(fit, save=_saver(folder, log.history if log else []), save_every_s=save_every_s)
    for phase in experiment.phases:
        end = before + phase.steps
        if reached <= end:  # else the checkpoint is of a later phase
            fresh = loop.start(phase.problem, experiment.keys, mesh)
            kept = _continued(folder, found, fresh) if reached > before else _begin(phase, fresh, state)
            begin = max(reached, before), kept
            report = _report(phase, begin[0], end, log, bar)
            last = reached if processes.largest(reached > before and _finished(found)) else end
            state = fit(phase.problem, data=phase.data, steps=last, begin=begin, report=report)
        before = end
    assert state is not None
    variables: Variables = processes.whole(state.variables)
    return variables, log.history if log else []


def _finished(found: checkpoints.Checkpoint | None) -> bool:
    """Say whether all members had finished at a checkpoint, which ended their phase."""
    return bool(found and found.history and np.all(np.equal(found.history[-1].get("finished", 0), 1)))


def _report(
    phase: Phase, first: int, end: int, log: runs.MetricsLog | None, bar: Progress
) -> Callable[[int, dict[str, np.ndarray]], None]:
    """Return what writes the metrics of a phase, which begins after step `first`, if there is a log, and shows them."""
    before = end - phase.steps
    shown = bar.add_task(phase.name, total=phase.steps, completed=first - before)

    def report(step: int, metrics: dict[str, np.ndarray]) -> None:
        if log is not None:
            log.write(step, metrics)
        text = ", ".join(f"{name} {values.mean():.3g}" for name, values in metrics.items())
        bar.update(shown, completed=step - before, description=f"{phase.name} ({text})")

    return report


def _saver(folder: Path, history: History) -> Callable[[int, loop.TrainState], None]:
    """Return what writes a checkpoint: every process its part where all see the folder, else the first one all of it.

    history: the lines of metrics.jsonl, which grow; the first process has them.
    """
    if processes.share(folder):
        return partial(checkpoints.save_in_parts, folder, history=history)

    def save(step: int, state: loop.TrainState) -> None:
        found = processes.whole(state)
        if processes.first():
            checkpoints.save(folder, step, found, history)

    return save


def _continued(folder: Path, found: checkpoints.Checkpoint | None, fresh: loop.TrainState) -> loop.TrainState:
    """Return the state of the checkpoint that the first process alone has found, in the structure of `fresh`."""
    parts = processes.of_first("parts", lambda: {"name": found.path.name if found and found.tree is None else ""})
    if parts["name"]:
        return checkpoints.state_in_parts(folder / "checkpoints" / parts["name"], fresh)
    own = processes.whole(fresh)
    begun: loop.TrainState = processes.from_first(found.state(own) if found else own)
    return begun


def _begin(phase: Phase, fresh: loop.TrainState, left: loop.TrainState | None) -> loop.TrainState:
    """Return the state that a phase begins with: what the phase before has left, or a fresh one."""
    if left is None:
        return fresh
    params, state = phase.begin(*jax.device_get(processes.whole((left.params, left.state))))
    begun: loop.TrainState = processes.from_first(
        loop.TrainState(params, state, jax.vmap(phase.problem.optimizer.init)(params))
    )
    return begun


class Stopped(KeyboardInterrupt):
    """Training was asked to stop, and has, with its state saved.

    Attributes:
        preempted: by SIGTERM, to which a scheduler expects the exit code 0; else by Ctrl-C.
    """

    def __init__(self, preempted: bool) -> None:
        super().__init__()
        self.preempted = preempted


class _Wish:
    """Whether to stop: what was asked of any process, on which all agree whenever they look at the metrics."""

    BY_HAND, PREEMPTED = 1, 2

    def __init__(self) -> None:
        self.asked = self.agreed = self.looks = 0
        self.training = True

    def trained(self) -> None:
        """End the training, all of which is saved: from now on it stops at once."""
        self.training = False
        if self.asked:
            self.at_once()

    def at_once(self) -> NoReturn:
        """Stop, as was asked."""
        self.agreed = self.asked
        raise KeyboardInterrupt

    def __call__(self) -> bool:
        self.looks += 1
        self.asked = self.PREEMPTED if processes.preempted(self.looks) else self.asked
        self.agreed = processes.largest(self.asked)
        return self.agreed > 0


@contextlib.contextmanager
def _stopping() -> Iterator[_Wish]:
    """Turn Ctrl-C and SIGTERM into a wish to stop at the next look; a second Ctrl-C, or any after training, at once."""
    wish = _Wish()

    def ask(number: int, frame: FrameType | None) -> None:
        if wish.asked and number == signal.SIGINT:
            wish.agreed = 0
            raise KeyboardInterrupt
        wish.asked = wish.BY_HAND if number == signal.SIGINT else wish.PREEMPTED
        if not wish.training:
            wish.at_once()
        print("stopping at the next checkpoint; Ctrl-C again stops at once", file=sys.stderr)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wish
    except KeyboardInterrupt:
        if not wish.agreed:
            raise
        raise Stopped(wish.agreed == wish.PREEMPTED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: one of JAX's own
