"""A run folder: complete configuration, metrics, checkpoints, predictions, figures, summary. All files atomic."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import numpy as np

from spiketype.edge import UserError, versions
from spiketype.train.config import from_json, to_json
from spiketype.train.loop import PyTree, TrainState
from spiketype.train.task import Task
from spiketype.train.tasks import get

CONFIG, METRICS, SUMMARY = "config.json", "metrics.jsonl", "summary.json"
LAST, MODEL, ABOUT = "checkpoints/last.msgpack", "checkpoints/model.msgpack", "checkpoints/model.json"


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


def create(folder: Path, config: Any) -> None:
    """Make a run folder and write its configuration, with versions and the command line.

    Raises:
        UserError: as `check_new`.
    """
    check_new(folder)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "figures").mkdir(exist_ok=True)
    write_json(folder / CONFIG, {"config": to_json(config), "versions": versions(), "command": sys.orig_argv})


def open_config(folder: Path) -> tuple[Task, Any]:
    """The task and the configuration of a run.

    Raises:
        UserError: no run folder, or of another version of this program.
    """
    values = read_json(folder / CONFIG, f"{folder} is no run folder").get("config")
    if not isinstance(values, dict) or "task" not in values:
        raise UserError(f"{folder / CONFIG} holds no configuration: repeat the run in another folder")
    task = get(values["task"])
    return task, from_json(task.config, values, folder / CONFIG)


def check_same(folder: Path, config: Any) -> None:
    """Refuse to continue a run with other options.

    Raises:
        UserError: names them.
    """
    theirs, ours = to_json(open_config(folder)[1]), to_json(config)
    if differing := [name for name in ours if ours[name] != theirs.get(name)]:
        raise UserError(f"{folder} holds a run with other options ({', '.join(differing)}): choose another folder")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all."""
    _write(path, json.dumps(value, indent=1, allow_nan=False).encode())


def read_json(path: Path, otherwise: str) -> dict[str, Any]:
    """Read a JSON object, or raise UserError saying `otherwise`."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{otherwise} ({path.name}: {getattr(error, 'strerror', None) or error})") from error
    if not isinstance(value, dict):
        raise UserError(f"{otherwise} ({path.name} holds no JSON object)")
    return value


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def save_state(folder: Path, step: int, state: TrainState) -> None:
    """Write the checkpoint to continue from: arrays on the host in msgpack, so that any kind of device opens it."""
    tree = {"step": step, "state": flax.serialization.to_state_dict(jax.device_get(state))}
    _write(folder / LAST, flax.serialization.msgpack_serialize(tree))


def load_state(folder: Path, like: TrainState) -> tuple[int, TrainState] | None:
    """The checkpoint of a run in the structure of `like`, or None if the run has none yet.

    Raises:
        UserError: a damaged checkpoint.
    """
    if not (folder / LAST).exists():
        return None
    tree = _read_msgpack(folder / LAST)
    try:
        step, state = int(tree["step"]), flax.serialization.from_state_dict(like, tree["state"])
        shapes = [jax.tree.map(lambda a: (a.shape, a.dtype), one) for one in (like, state)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder / LAST, error) from error
    if shapes[0] != shapes[1]:
        raise _damaged(folder / LAST, "arrays of other shapes than this run has")
    return step, state


def reached(folder: Path) -> int:
    """The step of the checkpoint of a run, 0 if it has none yet.

    Raises:
        UserError: a damaged checkpoint.
    """
    if not (folder / LAST).exists():
        return 0
    try:
        return int(_read_msgpack(folder / LAST)["step"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder / LAST, error) from error


def save_model(folder: Path, variables: dict[str, PyTree], about: Mapping[str, Any]) -> None:
    """Write what a trained network needs on other data: variables of all members, and JSON about them."""
    tree = flax.serialization.to_state_dict(jax.device_get(variables))
    _write(folder / MODEL, flax.serialization.msgpack_serialize(tree))
    write_json(folder / ABOUT, about)


def load_model(folder: Path) -> tuple[dict[str, PyTree], dict[str, Any]]:
    """What `save_model` wrote, as nested dicts of arrays.

    Raises:
        UserError: the run is not finished, or a file is damaged.
    """
    about = read_json(folder / ABOUT, f"{folder} has no trained network: finish it with --resume {folder}")
    return _read_msgpack(folder / MODEL), about


def _read_msgpack(path: Path) -> Any:
    try:
        return flax.serialization.msgpack_restore(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, why: object) -> UserError:
    run = path.parent.parent
    return UserError(f"{path} is damaged ({why}): delete it and repeat the training with --resume {run}")


class MetricsLog:
    """metrics.jsonl: a line for every look at the metrics; continues after the step of a checkpoint."""

    def __init__(self, folder: Path, after: int) -> None:
        self.path = folder / METRICS
        kept = [row for row in read_metrics(folder) if row["step"] <= after]
        _write(self.path, "".join(json.dumps(row) + "\n" for row in kept).encode())

    def write(self, step: int, metrics: Mapping[str, np.ndarray]) -> None:
        """Add a line."""
        row = {"step": step, **{name: values.tolist() for name, values in metrics.items()}}
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last line that was cut off by a kill is left out."""
    if not (folder / METRICS).exists():
        return []
    rows = []
    for line in (folder / METRICS).read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
