"""A run folder: complete configuration, metrics, checkpoints, predictions, figures, summary. All files atomic."""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import numpy as np

from datasets.edge import UserError, versions
from train.config import from_json, to_json
from train.loop import PyTree, TrainState
from train.tasks import Task, get

CONFIG, METRICS, SUMMARY = "config.json", "metrics.jsonl", "summary.json"
LAST, MODEL, ABOUT = "checkpoints/last.msgpack", "checkpoints/model.msgpack", "checkpoints/model.json"


def create(folder: Path, config: Any) -> None:
    """Make a run folder and write its configuration, with versions and the command line.

    Raises:
        UserError: the folder has a run in it.
    """
    if (folder / CONFIG).exists():
        raise UserError(f"{folder} holds a run already: continue it with --resume {folder}, or choose another --out")
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "figures").mkdir(exist_ok=True)
    command = ["python", "-m", "train.run", *sys.argv[1:]]
    write_json(folder / CONFIG, {"config": to_json(config), "versions": versions(), "command": command})


def open_config(folder: Path) -> tuple[Task, Any]:
    """The task and the configuration of a run.

    Raises:
        UserError: no run folder, or of another version of this program.
    """
    values = read_json(folder / CONFIG, f"{folder} is no run folder")["config"]
    task = get(values["task"])
    return task, from_json(task.config, values, folder / CONFIG)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all."""
    _write(path, json.dumps(value, indent=1, allow_nan=False).encode())


def read_json(path: Path, otherwise: str) -> dict[str, Any]:
    """Read JSON, or raise UserError saying `otherwise`."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{otherwise} ({error})") from error


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
    return int(tree["step"]), flax.serialization.from_state_dict(like, tree["state"])


def save_model(folder: Path, params: PyTree, about: Mapping[str, Any]) -> None:
    """Write what a trained network needs on other data: parameters of all members, and JSON about them."""
    _write(folder / MODEL, flax.serialization.msgpack_serialize(jax.device_get(params)))
    write_json(folder / ABOUT, about)


def load_model(folder: Path) -> tuple[PyTree, dict[str, Any]]:
    """What `save_model` wrote.

    Raises:
        UserError: the run is not finished, or a file is damaged.
    """
    about = read_json(folder / ABOUT, f"{folder} has no trained network: finish it with --resume {folder}")
    return _read_msgpack(folder / MODEL), about


def _read_msgpack(path: Path) -> Any:
    try:
        return flax.serialization.msgpack_restore(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it and repeat the run") from error


class MetricsLog:
    """metrics.jsonl: a line for every look at the metrics; continues after the step of a checkpoint."""

    def __init__(self, folder: Path, after: int) -> None:
        self.path, self.began = folder / METRICS, time.monotonic()
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
