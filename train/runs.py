"""A run folder: configuration, metrics, final model, predictions, figures, summary; all atomic."""

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from spiketype import reading, tables
from spiketype.damage import readable
from spiketype.edge import Json, UserError, versions, whole_file
from spiketype.pictures import save
from spiketype.train import checked
from spiketype.train.asked import CONFIG, open_config
from spiketype.train.config import TaskConfig, to_json
from spiketype.train.identity import Identity
from spiketype.train.task import FinalModel, History, Judgement, Task
from spiketype.train.tasks import get

METRICS, SUMMARY = "metrics.jsonl", "summary.json"
DATA = "checkpoints/data.msgpack"
MODEL, MANIFEST = "checkpoints/model.msgpack", "checkpoints/model.json"
PREDICTIONS, TABLE, FIGURES = "predictions.zarr", "predictions.csv", "figures"


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


def create(folder: Path, config: TaskConfig, identity: Identity) -> None:
    """Make a run folder and write what its data are, and its configuration, with versions and the command line.

    Raises:
        UserError: as `check_new`.
    """
    check_new(folder)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / FIGURES).mkdir(exist_ok=True)
    checked.write_msgpack(folder / DATA, identity._asdict())
    checked.write_json(folder / CONFIG, {"config": to_json(config), "versions": versions(), "command": sys.orig_argv})


def clean(folder: Path) -> None:
    """Remove what a killed process left half-written in a run folder."""
    for place in (folder, folder / "checkpoints", folder / FIGURES):
        for leftover in place.glob(".*.partial*"):  # orbax adds to the name of what it has not finished
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)


def check_same(folder: Path, config: TaskConfig) -> None:
    """Refuse to continue a run with other options.

    Raises:
        UserError: names them.
    """
    theirs, ours = to_json(open_config(folder)), to_json(config)
    if differing := [name for name in ours if ours[name] != theirs.get(name)]:
        raise UserError(f"{folder} holds a run with other options ({', '.join(differing)}): choose another folder")


def check_same_data(folder: Path, identity: Identity) -> None:
    """Refuse to continue a run with other data: it might be judged on what it was trained on.

    A run of an older version does not say what it began with, or says it otherwise, which is noted.

    Raises:
        UserError: other data, labels, groups or folds than the run began with; a damaged file.
    """
    path = folder / DATA
    remedy = f"delete it and repeat --resume {folder}, which then cannot tell whether the data have changed"
    tree = checked.read_msgpack(path, remedy) if path.exists() else {}
    if set(tree) != set(Identity._fields):
        reading.note(
            folder, "does not say what data the run began with (older versions did not): they are not compared"
        )
        return
    with readable(path, "the identity of data", remedy):
        begun = Identity(str(tree["digest"]), *(np.asarray(tree[name], np.float32) for name in ("values", "sizes")))
    if not begun.same(identity):
        raise UserError(
            f"{folder} began with other data, labels or --lists than there are now: restore them and repeat --resume, "
            "or train in another folder"
        )


def write_judgement(folder: Path, judgement: Judgement, summary: Json) -> None:
    """Write all of a judgement into a folder, the summary last: where it is, the rest is complete.

    Args:
        folder: of the run, or of an evaluation inside it; made if it is not there.
        judgement: what to write; its model, if it has one, is what `load_model` gives back.
        summary: of the judgement, with what the caller adds to it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    judgement.calls.write(folder / PREDICTIONS, judgement.others, judgement.name)
    if judgement.table is not None:
        tables.write(folder / TABLE, judgement.table)
    for name, figure in judgement.figures.items():
        save(figure, folder / FIGURES / f"{name}.png")
    if judgement.model is not None:
        checked.write_msgpack(folder / MODEL, jax.device_get(judgement.model.arrays()))
        checked.write_json(folder / MANIFEST, judgement.model.manifest())
    checked.write_json(folder / SUMMARY, summary)


def load_model(folder: Path) -> tuple[Task[Any, Any], TaskConfig, FinalModel]:
    """Return the task, the configuration and the final model of a run.

    Raises:
        UserError: no run, not finished, or a damaged file.
    """
    config = open_config(folder)
    task = get(config.task)
    again = f"write it again with --resume {folder}"
    missing = f"{folder} has no model yet: finish the run with --resume {folder}"
    manifest = checked.read_json(folder / MANIFEST, missing, again)
    arrays = checked.read_msgpack(folder / MODEL, again)
    with readable(folder / MODEL, "a model", again):
        return task, config, task.restore(config, arrays, manifest)


def read_summary(folder: Path) -> Json:
    """Return the summary of a run that is finished.

    Raises:
        UserError: it is not, or the summary was changed.
    """
    return checked.read_json(folder / SUMMARY, f"{folder} is damaged", f"write it again with --resume {folder}")


class MetricsLog:
    """metrics.jsonl: a line for every look at the metrics.

    It is for others to read: a run that continues has its lines from the checkpoint, and writes the file anew.
    """

    def __init__(self, folder: Path, history: History) -> None:
        self.path, self.history = folder / METRICS, list(history)
        with whole_file(self.path) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in history))

    def write(self, step: int, metrics: Mapping[str, np.ndarray]) -> None:
        """Add a line."""
        row = {"step": step, **{name: values.tolist() for name, values in metrics.items()}}
        self.history.append(row)
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
