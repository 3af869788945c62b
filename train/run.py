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
from spiketype.train import loop, runs
from spiketype.train.task import Experiment, History, Phase, Task, TaskConfig, Variables
from spiketype.train.tasks import MODULES, get

PROG = "python -m train.run"
SAVE_EVERY_S = 60.0
HELP = """usage: {prog} --task TASK [--preset PRESET] [--out RUN] [options of the task]
       {prog} --resume RUN

Train a network, judge it, and leave a run folder with numbers and pictures. Data that are missing are simulated.

  --task TASK      {tasks}; its options: {prog} --task TASK --help
  --preset PRESET  a named set of options, for example paper: the published protocol to the letter
  --out RUN        run folder; by default runs/TASK-DATE-TIME
  --resume RUN     continue a run that was stopped, to the numbers it would have had
  --save-every S   seconds between two checkpoints, by default {seconds:g}; also with --resume
"""


def main(arguments: Sequence[str], prog: str = PROG) -> None:
    """Run the command line.

    Args:
        arguments: of the command line.
        prog: how the user calls it, for help and messages.
    """
    arguments, given = _take(arguments, "task", "preset", "out", "resume", "save-every")
    save_every_s = _seconds(given["save-every"])
    if given["resume"]:
        if arguments or given["task"] or given["preset"] or given["out"]:
            raise UserError(
                "--resume RUN takes no other options but --save-every: the run's own are in its config.json"
            )
        folder = Path(given["resume"])
        task, config = runs.open_config(folder)
    else:
        if not given["task"]:
            print(HELP.format(prog=prog, tasks=", ".join(MODULES), seconds=SAVE_EVERY_S))
            if {"-h", "--help"} & set(arguments):
                return
            raise UserError(f"--task is missing: choose one of {', '.join(MODULES)}")
        task = get(given["task"])
        config = _configure(task, arguments, given, prog)
        folder = Path(given["out"] or time.strftime(f"runs/{given['task']}-%Y%m%d-%H%M%S"))
        runs.check_new(folder)
    check_platform()
    try:
        summary = execute(task, config, folder, save_every_s)
    except KeyboardInterrupt:
        if not runs.exists(folder):  # still preparing the data: guard says what to do
            raise
        print(f"stopped: continue with {prog} --resume {folder}", file=sys.stderr)
        raise SystemExit(130) from None
    print(task.table(summary))
    print(f"{folder}: numbers in summary.json, pictures in figures/, predictions in predictions.zarr")


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

    The run folder is made when the data are there, so that a mistake in the options leaves none.

    Args:
        task: of the configuration.
        config: what is asked for.
        folder: of the run; one that is there is continued.
        save_every_s: seconds between two checkpoints.

    Raises:
        UserError: the data cannot be had; the folder has a run with other options; the loss is not finite.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the same call continues.
    """
    began = time.monotonic()
    with reading.recorded() as read:
        experiment = task.prepare(config)
    if runs.exists(folder):
        runs.check_same(folder, config)
        runs.clean(folder)
    else:
        runs.create(folder, config)
    with progress() as bar, _stopping() as stop:
        variables, history = _train(experiment, folder, bar, stop, save_every_s)
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
    found = runs.checkpoint(folder)
    log = runs.MetricsLog(folder, found.history if found else [])
    fit = partial(loop.fit, keys=experiment.keys, mesh=mesh, names=experiment.names, stop=stop)
    save = partial(runs.save_state, folder, history=log.history)
    fit = partial(fit, save=save, save_every_s=save_every_s)
    reached, before, state = found.step if found else 0, 0, None
    for phase in experiment.phases:
        end = before + phase.steps
        if reached <= end:  # else the checkpoint is of a later phase
            inside = found if reached > before else None
            begin = max(reached, before), _begin(phase, experiment.keys, mesh, inside, state)
            report = _report(phase, begin[0], end, log, bar)
            state = fit(phase.problem, data=phase.data, steps=end, begin=begin, report=report)
        before = end
    assert state is not None
    return state.variables, log.history


def _report(
    phase: Phase, first: int, end: int, log: runs.MetricsLog, bar: Progress
) -> Callable[[int, dict[str, np.ndarray]], None]:
    """Return what writes the metrics of a phase, which begins after step `first`, and shows them."""
    before = end - phase.steps
    shown = bar.add_task(phase.name, total=phase.steps, completed=first - before)

    def report(step: int, metrics: dict[str, np.ndarray]) -> None:
        log.write(step, metrics)
        text = ", ".join(f"{name} {values.mean():.3g}" for name, values in metrics.items())
        bar.update(shown, completed=step - before, description=f"{phase.name} ({text})")

    return report


def _begin(
    phase: Phase, keys: jax.Array, mesh: Mesh, checkpoint: runs.Checkpoint | None, left: loop.TrainState | None
) -> loop.TrainState:
    """Return the state that a phase begins with: a checkpoint of it, what the phase before has left, or a fresh one."""
    fresh = loop.start(phase.problem, keys, mesh)
    if checkpoint is not None:
        return checkpoint.state(fresh)
    if left is None:
        return fresh
    params, state = phase.begin(*jax.device_get((left.params, left.state)))
    return loop.TrainState(params, state, jax.vmap(phase.problem.optimizer.init)(params))


@contextlib.contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a wish to stop at the next look; a second Ctrl-C stops at once."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        print("stopping at the next checkpoint; Ctrl-C again stops at once", file=sys.stderr)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def command_line(arguments: Sequence[str] | None = None, prog: str = PROG) -> None:
    """Run `main` with the arguments given, by default the program's own."""
    with guard():
        main(sys.argv[1:] if arguments is None else arguments, prog)


if __name__ == "__main__":
    command_line()
