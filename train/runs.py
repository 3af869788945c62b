"""A run folder: configuration, metrics, checkpoints, final model, predictions, figures, summary; all atomic."""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import numpy as np

from spiketype.damage import readable
from spiketype.edge import Json, PyTree, UserError, read_json, versions, whole_file, write_json
from spiketype.train.config import flag, from_json, to_json
from spiketype.train.judging.figures import save
from spiketype.train.loop import TrainState
from spiketype.train.task import FinalModel, History, Judgement, Task, TaskConfig
from spiketype.train.tasks import get

CONFIG, METRICS, SUMMARY = "config.json", "metrics.jsonl", "summary.json"
LAST, MODEL, MANIFEST = "checkpoints/last.msgpack", "checkpoints/model.msgpack", "checkpoints/model.json"
PREDICTIONS, FIGURES = "predictions.zarr", "figures"


def exists(folder: Path) -> bool:
    """Say whether there is a run in the folder."""
    return (folder / CONFIG).exists()


def check_new(folder: Path) -> None:
    """Refuse a folder for a new run that cannot have it.

    Raises:
        UserError: the folder has a run in it, or is a file.
    """
    if exists(folder):
        raise UserError(f"{folder} holds a run already: continue it with --resume {folder}, or choose another --out")
    if any(place.is_file() for place in (folder, *folder.parents)):
        raise UserError(f"{folder} cannot be a run folder, a file is in the way: choose another --out")


def create(folder: Path, config: TaskConfig) -> None:
    """Make a run folder and write its configuration, with versions and the command line.

    Raises:
        UserError: as `check_new`.
    """
    check_new(folder)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / FIGURES).mkdir(exist_ok=True)
    write_json(folder / CONFIG, {"config": to_json(config), "versions": versions(), "command": sys.orig_argv})


def open_config(folder: Path) -> tuple[Task[Any, Any], TaskConfig]:
    """Return the task and the configuration of a run.

    Raises:
        UserError: no run folder, or of another version of this program.
    """
    values = read_json(folder / CONFIG, f"{folder} is no run folder").get("config")
    if not isinstance(values, dict) or not isinstance(values.get("task"), str):
        raise UserError(f"{folder / CONFIG} holds no configuration: repeat the run in another folder")
    task = get(values["task"])
    return task, from_json(task.config, values, folder / CONFIG)


def for_data(config: TaskConfig, flip: bool, **given: str | float | None) -> TaskConfig:
    """Return a run's configuration for other data, with what the user says of these.

    Args:
        config: of the run.
        flip: the other data are stored upside down, whether those of the run were or not.
        given: options about the data; None is that of the run.

    Raises:
        UserError: the task has no such option.
    """
    known = {field.name for field in dataclasses.fields(type(config))}  # type: ignore[arg-type]  # a dataclass
    changed = {name: value for name, value in given.items() if value is not None}
    if flip or "flip" in known:
        changed["flip"] = flip
    if unknown := sorted(set(changed) - known):
        raise UserError(f"{flag(unknown[0])} is about waveforms of units: the task {config.task} has none")
    found: TaskConfig = dataclasses.replace(config, **changed)  # type: ignore[type-var]
    return found


def check_same(folder: Path, config: TaskConfig) -> None:
    """Refuse to continue a run with other options.

    Raises:
        UserError: names them.
    """
    theirs, ours = to_json(open_config(folder)[1]), to_json(config)
    if differing := [name for name in ours if ours[name] != theirs.get(name)]:
        raise UserError(f"{folder} holds a run with other options ({', '.join(differing)}): choose another folder")


def save_state(folder: Path, step: int, state: TrainState) -> None:
    """Write the checkpoint to continue from: arrays on the host in msgpack, so that any kind of device opens it."""
    _write_msgpack(folder / LAST, {"step": step, "state": flax.serialization.to_state_dict(jax.device_get(state))})


def load_state(folder: Path, like: TrainState) -> tuple[int, TrainState] | None:
    """Return the checkpoint of a run in the structure of `like`, or None if the run has none yet.

    Raises:
        UserError: a damaged checkpoint.
    """
    if not (folder / LAST).exists():
        return None
    step, tree = _checkpoint(folder)
    with _readable(folder / LAST):
        state = flax.serialization.from_state_dict(like, tree)
        shapes = [jax.tree.map(lambda a: (a.shape, a.dtype), one) for one in (like, state)]
        if shapes[0] != shapes[1]:
            raise ValueError("arrays of other shapes than this run has")
    return step, state


def reached(folder: Path) -> int:
    """Return the step of the checkpoint of a run, 0 if it has none yet.

    Raises:
        UserError: a damaged checkpoint.
    """
    return _checkpoint(folder)[0] if (folder / LAST).exists() else 0


def _checkpoint(folder: Path) -> tuple[int, PyTree]:
    tree = _read_msgpack(folder / LAST)
    with _readable(folder / LAST):
        return int(tree["step"]), tree["state"]


def write_judgement(folder: Path, judgement: Judgement, summary: Json) -> None:
    """Write all of a judgement into a folder, the summary last: where it is, the rest is complete.

    Args:
        folder: of the run, or of an evaluation inside it; made if it is not there.
        judgement: what to write; its model, if it has one, is what `load_model` gives back.
        summary: of the judgement, with what the caller adds to it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    judgement.calls.write(folder / PREDICTIONS, judgement.others, judgement.name)
    for name, figure in judgement.figures.items():
        save(figure, folder / FIGURES / f"{name}.png")
    if judgement.model is not None:
        _write_msgpack(folder / MODEL, jax.device_get(judgement.model.arrays()))
        write_json(folder / MANIFEST, judgement.model.manifest())
    write_json(folder / SUMMARY, summary)


def load_model(folder: Path) -> tuple[Task[Any, Any], TaskConfig, FinalModel]:
    """Return the task, the configuration and the final model of a run.

    Raises:
        UserError: no run, not finished, or a damaged file.
    """
    task, config = open_config(folder)
    manifest = read_json(folder / MANIFEST, f"{folder} has no model yet: finish the run with --resume {folder}")
    arrays = _read_msgpack(folder / MODEL)
    with _readable(folder / MODEL):
        return task, config, task.restore(config, arrays, manifest)


def _write_msgpack(path: Path, tree: PyTree) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(flax.serialization.msgpack_serialize(flax.serialization.to_state_dict(tree)))


def _read_msgpack(path: Path) -> PyTree:
    with _readable(path):
        return flax.serialization.msgpack_restore(path.read_bytes())


def _readable(path: Path) -> contextlib.AbstractContextManager[None]:
    return readable(path, "a checkpoint", f"delete it and repeat the training with --resume {path.parent.parent}")


class MetricsLog:
    """metrics.jsonl: a line for every look at the metrics; continues after the step of a checkpoint."""

    def __init__(self, folder: Path, after: int) -> None:
        self.path = folder / METRICS
        kept = [row for row in read_metrics(folder) if row["step"] <= after]
        with whole_file(self.path) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in kept))

    def write(self, step: int, metrics: Mapping[str, np.ndarray]) -> None:
        """Add a line."""
        row = {"step": step, **{name: values.tolist() for name, values in metrics.items()}}
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")


def read_metrics(folder: Path) -> History:
    """Return the lines of metrics.jsonl; a last line that was cut off by a kill is left out."""
    file = folder / METRICS
    if not file.exists():
        return []
    with readable(file, "lines of JSON", "delete it, and the training goes on without its earlier metrics"):
        text = file.read_text(errors="replace")
    rows = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            break
        rows.append(row)
    return rows
