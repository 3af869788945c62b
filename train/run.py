"""Train and judge: ``python -m train.run --task mtype --rotation 3drot``. See --help of each task for its options."""

import contextlib
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from rich.progress import Progress

from spiketype import reading
from spiketype.edge import Json, UserError, check_platform, guard, progress
from spiketype.train import config as options
from spiketype.train import last_words, loop, processes, runs, watch
from spiketype.train.task import Experiment, History, Phase, Task, TaskConfig, Variables
from spiketype.train.tasks import MODULES, get

PROG = "python -m train.run"
SAVE_EVERY_S = 60.0
HELP = """usage: {prog} --task TASK [--preset PRESET] [--out RUN] [options of the task]
       {prog} --resume RUN
       either with --distributed, the same in every process

Train a network, judge it, and leave a run folder with numbers and pictures. Data that are missing are simulated.

  --task TASK      {tasks}; its options: {prog} --task TASK --help
  --preset PRESET  a named set of options, for example paper: the published protocol to the letter
  --out RUN        run folder; by default runs/TASK-DATE-TIME
  --resume RUN     continue a run that was stopped, to the numbers it would have had
  --save-every S   seconds between two checkpoints, by default {seconds:g}; also with --resume
  --distributed    this is one of several processes that train together; SLURM, Open MPI or a TPU says which, or else
                   --coordinator HOST:PORT (of process 0) --processes N --process I (0 to N-1)
"""


def main(arguments: Sequence[str], prog: str = PROG) -> None:
    """Run the command line.

    Args:
        arguments: of the command line.
        prog: how the user calls it, for help and messages.
    """
    arguments, given = _take(arguments, "task", "preset", "out", "resume", "save-every", *processes.OPTIONS)
    arguments, distributed = [a for a in arguments if a != "--distributed"], "--distributed" in arguments
    save_every_s = _seconds(given["save-every"])
    if given["resume"]:
        if arguments or given["task"] or given["preset"] or given["out"]:
            raise UserError(
                "--resume RUN takes no other options but --save-every: the run's own are in its config.json"
            )
        folder = Path(given["resume"])
        processes.join(distributed, given)
        values = processes.of_first("config", lambda: options.to_json(runs.open_config(folder)[1]))
        task = get(values["task"])
        config = options.from_json(task.config, values, folder / runs.CONFIG)
    else:
        if not given["task"]:
            print(HELP.format(prog=prog, tasks=", ".join(MODULES), seconds=SAVE_EVERY_S))
            if {"-h", "--help"} & set(arguments):
                return
            raise UserError(f"--task is missing: choose one of {', '.join(MODULES)}")
        task = get(given["task"])
        config = _configure(task, arguments, given, prog)
        folder = Path(given["out"] or time.strftime(f"runs/{given['task']}-%Y%m%d-%H%M%S"))
        processes.join(distributed, given)
        if processes.first():
            runs.check_new(folder)
        _check_same(config)
    check_platform()
    again = f"continue with {prog} --resume {folder}"
    if distributed:
        again += ", and the same options of --distributed"
    if processes.first():
        last_words.will_be(f"{last_words.DIED}: {again}, or repeat the command if there is no such folder")
    try:
        summary = execute(task, config, folder, save_every_s)
    except Stopped as stopped:
        if processes.first():
            print(f"stopped: {again}", file=sys.stderr)
        watch.finish()
        raise SystemExit(0 if stopped.preempted else 130) from None
    except KeyboardInterrupt:
        if not (processes.first() and runs.exists(folder)):  # still preparing the data: guard says what to do
            raise
        print(f"stopped: {again}", file=sys.stderr)
        raise SystemExit(130) from None
    if processes.first():
        print(task.table(summary))
        print(f"{folder}: numbers in summary.json, pictures in figures/, predictions in predictions.zarr")
    watch.finish()


def _check_same(config: TaskConfig) -> None:
    """Refuse processes of one run with different options.

    Raises:
        UserError: names the options.
    """
    ours = options.to_json(config)
    theirs = processes.of_first("config", lambda: ours)
    if differing := [options.flag(name) for name in sorted(ours.keys() | theirs) if ours.get(name) != theirs.get(name)]:
        raise UserError(f"this process has other options than process 0 ({', '.join(differing)}): give all the same")


def _take(arguments: Sequence[str], *names: str) -> tuple[list[str], dict[str, str | None]]:
    """Split ``--name VALUE`` and ``--name=VALUE`` off a command line."""
    rest, given = [], dict.fromkeys(names)
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--") and name in given:
            found = value if equals else next(waiting, "")
            if not found or found.startswith("--"):
                raise UserError(f"--{name} needs a value")
            given[name] = found
        else:
            rest.append(argument)
    return rest, given


def _seconds(given: str | None) -> float:
    """Return the value of ``--save-every``."""
    try:
        seconds = SAVE_EVERY_S if given is None else float(given)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise UserError(f"--save-every is {given}: give seconds, at least 0 (0: every time the metrics are written)")
    return seconds


def _configure(task: Task[Any, Any], arguments: Sequence[str], given: dict[str, str | None], prog: str) -> TaskConfig:
    presets: dict[str, Mapping[str, Any]] = {"default": {}, **task.presets}
    chosen = given["preset"] or "default"
    if chosen not in presets:
        raise UserError(f"unknown preset {chosen!r}: choose one of {', '.join(presets)}")
    preset = {**presets[chosen], "task": given["task"]}
    also = f"Also --preset ({', '.join(presets)}), --out RUN and --save-every S: see {prog} --help."
    config: TaskConfig = options.parse(task.config, arguments, preset, f"{prog} --task {given['task']}", also)
    return config


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
        UserError: the data cannot be had; the folder has a run with other options; the loss is not finite.
        Stopped: Ctrl-C or SIGTERM; the same call continues.
    """
    began = time.monotonic()
    with reading.recorded(silent=not processes.first()) as read:
        experiment = task.prepare(config)
    processes.wait("prepared")
    if processes.first() and runs.exists(folder):
        runs.check_same(folder, config)
        runs.clean(folder)
    elif processes.first():
        runs.create(folder, config)
    with progress(hidden=not processes.first()) as bar, _stopping() as stop:
        variables, history = _train(experiment, folder, bar, stop, save_every_s)
        if not processes.first():
            return {}
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
    found = runs.checkpoint(folder) if processes.first() else None
    reached, before, state = processes.largest(found.step if found else 0), 0, None
    log = runs.MetricsLog(folder, found.history if found else []) if processes.first() else None
    if log:
        fit = partial(fit, save=partial(runs.save_state, folder, history=log.history), save_every_s=save_every_s)
    for phase in experiment.phases:
        end = before + phase.steps
        if reached <= end:  # else the checkpoint is of a later phase
            kept = (found,) if reached > before else ()
            begin = max(reached, before), _begin(phase, experiment.keys, mesh, kept, state)
            report = _report(phase, begin[0], end, log, bar)
            state = fit(phase.problem, data=phase.data, steps=end, begin=begin, report=report)
        before = end
    assert state is not None
    variables: Variables = processes.whole(state.variables)
    return variables, log.history if log else []


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


def _begin(
    phase: Phase,
    keys: jax.Array,
    mesh: Mesh,
    kept: tuple[runs.Checkpoint | None, ...],
    left: loop.TrainState | None,
) -> loop.TrainState:
    """Return the state that a phase begins with: a checkpoint of it, what the phase before has left, or a fresh one.

    kept: the checkpoint, which the first process alone has (the others None); empty if there is none of this phase.
    """
    fresh = loop.start(phase.problem, keys, mesh)
    if kept:
        own, found = processes.whole(fresh), kept[0]
        begun: loop.TrainState = processes.from_first(found.state(own) if found else own)
        return begun
    if left is None:
        return fresh
    params, state = phase.begin(*jax.device_get(processes.whole((left.params, left.state))))
    begun = processes.from_first(loop.TrainState(params, state, jax.vmap(phase.problem.optimizer.init)(params)))
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

    def __call__(self) -> bool:
        self.looks += 1
        self.asked = self.PREEMPTED if processes.preempted(self.looks) else self.asked
        self.agreed = processes.largest(self.asked)
        return self.agreed > 0


@contextlib.contextmanager
def _stopping() -> Iterator[_Wish]:
    """Turn Ctrl-C and SIGTERM into a wish to stop at the next look; a second Ctrl-C stops at once."""
    wish = _Wish()

    def ask(number: int, frame: FrameType | None) -> None:
        if wish.asked and number == signal.SIGINT:
            wish.agreed = 0
            raise KeyboardInterrupt
        wish.asked = wish.BY_HAND if number == signal.SIGINT else wish.PREEMPTED
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


def command_line(arguments: Sequence[str] | None = None, prog: str = PROG) -> None:
    """Run `main` with the arguments given, by default the program's own."""
    with last_words.heard(), watch.ending(), guard():
        main(sys.argv[1:] if arguments is None else arguments, prog)


if __name__ == "__main__":
    command_line()
