"""What a run continues from: the newest checkpoint and the one before it.

One process writes a file of arrays in msgpack. Several, where all see the run folder, write a folder, each its part
(`parts`). Any number of processes continues from either.
"""

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import flax.serialization
import jax

from spiketype import reading
from spiketype.edge import PyTree, UserError
from spiketype.train import checked, parts, processes
from spiketype.train.loop import TrainState
from spiketype.train.task import History

LAST, PREVIOUS = "checkpoints/last.msgpack", "checkpoints/previous.msgpack"
LAST_PARTS, PREVIOUS_PARTS = "checkpoints/last.orbax", "checkpoints/previous.orbax"


class Checkpoint(NamedTuple):
    """What a run continues from.

    Attributes:
        path: where it is.
        step: the last that was made.
        tree: the state after it, as nested dicts of arrays; None: in parts, for `state_in_parts`.
        history: the lines of metrics.jsonl up to it.
    """

    path: Path
    step: int
    tree: PyTree
    history: History

    def state(self, like: TrainState) -> TrainState:
        """Return the state in the structure of `like`.

        Raises:
            UserError: it is of another network.
        """
        try:
            state = flax.serialization.from_state_dict(like, self.tree)
            shapes = [jax.tree.map(lambda a: (a.shape, a.dtype), one) for one in (like, state)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{self.path} is damaged ({error}): {_remedy(self.path)}") from error
        if shapes[0] != shapes[1]:
            raise UserError(f"{self.path} is damaged (arrays of other shapes than here): {_remedy(self.path)}")
        found: TrainState = state
        return found


def save(folder: Path, step: int, state: TrainState, history: History) -> None:
    """Write the checkpoint to continue from, and keep the one before it, if that is whole: a kill loses neither.

    Arrays are on the host, in msgpack, so that any kind of device opens it.
    """
    last, newer = folder / LAST, folder / "checkpoints/.last.msgpack.partial"
    tree = flax.serialization.to_state_dict(jax.device_get(state))
    checked.write_msgpack(newer, {"step": step, "state": tree, "history": json.dumps(history)})
    if checked.is_msgpack(last):
        os.replace(last, folder / PREVIOUS)
    os.replace(newer, last)


def save_in_parts(folder: Path, step: int, state: TrainState, history: History) -> None:
    """Write the checkpoint to continue from as `save` does, from every process the part that its devices hold.

    Args:
        folder: of the run, which all processes see; all call this.
        step: the last that was made.
        state: after it: global arrays.
        history: the lines of metrics.jsonl; the first process has them.
    """
    last, newer, previous = folder / LAST_PARTS, folder / "checkpoints/.last.orbax.partial", folder / PREVIOUS_PARTS
    parts.write(newer, state, {"step": step, "history": json.dumps(history)})
    if not processes.first():
        return
    if parts.is_whole(last):
        shutil.rmtree(previous, ignore_errors=True)
        os.replace(last, previous)
    shutil.rmtree(last, ignore_errors=True)
    os.replace(newer, last)


def state_in_parts(path: Path, like: TrainState) -> TrainState:
    """Return the state of a checkpoint in parts, on the devices that `like` is on; all processes call this.

    Raises:
        UserError: it is not seen here, is of another network, or damaged.
    """
    found: TrainState = parts.read(path, like, _remedy(path))
    return found


def newest(folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint of a run that is whole, None if it has none yet; a damaged one is noted.

    Raises:
        UserError: all are damaged.
    """
    names = (LAST, LAST_PARTS, PREVIOUS, PREVIOUS_PARTS)
    found, damaged = [], []
    for path in (folder / name for name in names if (folder / name).exists()):
        try:
            found.append(read(path))
        except UserError as error:
            damaged.append((path, error))
    if damaged and not found:
        raise damaged[-1][1]
    best = max(found, key=lambda one: one.step, default=None)
    for path, _ in damaged:
        assert best is not None
        used = best.path.relative_to(folder).as_posix()
        reading.note(path, f"is damaged: {used}, of step {best.step}, is used, which leads to the same numbers")
    return best


def read(path: Path) -> Checkpoint:
    """Return the checkpoint of a file or folder.

    Raises:
        UserError: it is damaged.
    """
    if path.suffix == ".orbax":
        about = parts.read_about(path, _remedy(path))
        return Checkpoint(path, about["step"], None, json.loads(about["history"]))
    tree = checked.read_msgpack(path, _remedy(path))
    try:
        return Checkpoint(path, int(tree["step"]), tree["state"], json.loads(tree["history"]))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged, or of an older version ({error}): {_remedy(path)}") from error


def _remedy(path: Path) -> str:
    return f"delete it and repeat the training with --resume {path.parent.parent}"
