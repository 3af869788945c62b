"""What the command line of a training, or a run folder, asks for: read and checked before anything heavy is loaded."""

import dataclasses
import math
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from spiketype import parsing, typed
from spiketype.edge import Json, UserError, check_out
from spiketype.train import checked, tasks
from spiketype.train.config import TaskConfig, flag, from_json, parse

CONFIG = "config.json"  # of a run folder
SAVE_EVERY_S = 60.0
DEFAULT = "default"  # preset
MEETING = ("coordinator", "processes", "process")
OF_DATA = ("label", "rate_kHz", "flip", "species")  # options that say something of data, and may differ from a run's
TAKEN = ("task", "preset", "out", "resume", "save-every", *MEETING)  # options of every task, each with a value
FLAGS = tuple(f"--{name}" for name in (*TAKEN, "distributed", "help"))
Where = tuple[str, int, int] | tuple[None, None, None]  # coordinator, processes, this one; Nones where JAX finds out
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


class Asked(NamedTuple):
    """A training to carry out.

    Attributes:
        config: of the task; None where process 0 reads it from the folder of a run that is continued.
        folder: of the run.
        resumed: the folder has the run, which is continued.
        save_every_s: seconds between two checkpoints.
        where: several processes meet; None for one alone.
    """

    config: TaskConfig | None
    folder: Path
    resumed: bool
    save_every_s: float
    where: Where | None


def read(arguments: Sequence[str], prog: str) -> Asked | None:
    """Return what a command line asks for; None where that was help, which is printed.

    Args:
        arguments: of the command line.
        prog: how the user calls it, for help and messages.

    Raises:
        UserError: a mistake in the options.
    """
    arguments, given = _take(arguments, *TAKEN)
    arguments, distributed = [a for a in arguments if a != "--distributed"], "--distributed" in arguments
    where, save_every_s = meeting(distributed, given), _seconds(given["save-every"])
    if given["resume"]:
        if arguments or given["task"] or given["preset"] or given["out"]:
            raise UserError(
                "--resume RUN takes no other options but --save-every and those of --distributed: the run's own are in"
                " its config.json"
            )
        folder = Path(given["resume"])
        return Asked(None if where else open_config(folder), folder, True, save_every_s, where)
    if not given["task"]:
        if {"-h", "--help"} & set(arguments):
            print(HELP.format(prog=prog, tasks=", ".join(tasks.MODULES), seconds=SAVE_EVERY_S))
            return None
        if first := next((each for each in arguments if each.startswith("-")), None):
            raise UserError(parsing.unknown(first.partition("=")[0], FLAGS, prog))
        raise UserError(f"--task is missing: choose one of {', '.join(tasks.MODULES)} ({prog} --help says more)")
    config = configure(arguments, given["task"], given["preset"], prog)
    folder = Path(given["out"] or time.strftime(f"runs/{given['task']}-%Y%m%d-%H%M%S"))
    if where is None:  # of several processes the first one alone need reach the folder
        check_out(folder)
    return Asked(config, folder, False, save_every_s, where)


def configure(arguments: Sequence[str], task: str, preset: str | None, prog: str) -> TaskConfig:
    """Return the configuration of a task from the flags given, else the preset, else the defaults.

    Raises:
        UserError: an unknown task or preset.
    """
    kind, presets = tasks.options(task)
    fields = preset_of(presets, preset or DEFAULT)
    also = f"Also --preset ({', '.join([DEFAULT, *presets])}), --out RUN and --save-every S: see {prog} --help."
    return parse(kind, arguments, {**fields, "task": task}, f"{prog} --task {task}", also, FLAGS)


def preset_of(presets: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """Return the fields that a preset of a task replaces.

    Raises:
        UserError: there is none of that name.
    """
    known: dict[str, Mapping[str, Any]] = {DEFAULT: {}, **presets}
    if name not in known:
        raise UserError(f"--preset is {name}: choose one of {', '.join(known)}")
    return known[name]


def open_config(folder: Path) -> TaskConfig:
    """Return the configuration of a run.

    Raises:
        UserError: no run folder, changed since, or of another version of this program.
    """
    remedy = "restore it from a copy, or repeat the run in another folder, with the options you want"
    values = checked.read_json(folder / CONFIG, f"{folder} is no run folder", remedy).get("config")
    if not isinstance(values, dict) or not isinstance(values.get("task"), str):
        raise UserError(f"{folder / CONFIG} holds no configuration: repeat the run in another folder")
    return of_json(values, folder)


def of_json(values: Json, folder: Path) -> TaskConfig:
    """Return the configuration out of the JSON of a run folder.

    Raises:
        UserError: it is of another version of this program.
    """
    return from_json(tasks.options(values["task"]).kind, values, folder / CONFIG)


def for_data(config: TaskConfig, flip: bool, **given: Any) -> TaskConfig:
    """Return a run's configuration for other data, with what the user says of these.

    Args:
        config: of the run.
        flip: the other data are stored upside down, whether those of the run were or not.
        given: options about the data; None is that of the run.

    Raises:
        UserError: the task has no such option, or it says nothing of data; a value that the option cannot have.
    """
    hints = get_type_hints(type(config))
    known = [name for name in OF_DATA if name in hints]
    changed = {name: value for name, value in given.items() if value is not None}
    if flip or "flip" in known:
        changed["flip"] = flip
    if unknown := sorted(set(changed) - set(known)):
        there = f"leave it out, there are {', '.join(map(flag, known))}" if known else "leave it out"
        raise UserError(f"{flag(unknown[0])} says nothing of data of the task {config.task}: {there}")
    if wrong := typed.unfit(hints, changed):
        raise UserError(f"{flag(wrong)} is {typed.short(changed[wrong])}, which it cannot be")
    found: TaskConfig = dataclasses.replace(config, **changed)  # type: ignore[type-var]
    return found


def _take(arguments: Sequence[str], *names: str) -> tuple[list[str], dict[str, str | None]]:
    """Split ``--name VALUE`` and ``--name=VALUE`` off a command line."""
    rest, given = [], dict.fromkeys(names)
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--") and name in given:
            found = value if equals else next(waiting, "")
            if not found or found.startswith("--"):
                valid = f": give one of {', '.join(tasks.MODULES)}" if name == "task" else f": give --{name} VALUE"
                raise UserError(f"--{name} needs a value{valid}")
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


def meeting(asked: bool, given: Mapping[str, str | None]) -> Where | None:
    """Return where the processes of a run meet; None for one alone.

    Args:
        asked: ``--distributed`` is given.
        given: ``coordinator`` (HOST:PORT), ``processes`` and ``process``; all None where SLURM, Open MPI or a TPU says.

    Raises:
        UserError: options that do not fit together.
    """
    values = [given[name] for name in MEETING]
    if not asked and any(values):
        raise UserError("--coordinator, --processes and --process need --distributed")
    if not asked:
        return None
    if not any(values):
        return None, None, None
    coordinator, total, number = (value or "" for value in values)
    if not all(values):
        raise UserError("--coordinator HOST:PORT, --processes N and --process I go together: give all three, or none")
    if not re.fullmatch(r"[^\s:]+:\d{1,5}", coordinator):
        raise UserError(f"--coordinator is {coordinator}: give HOST:PORT of process 0, such as 10.0.0.1:12345")
    if not (total.isdecimal() and number.isdecimal() and int(number) < int(total)):
        raise UserError(f"--process is {number} of --processes {total}: give whole numbers, --process from 0 on")
    return coordinator, int(total), int(number)
