"""Change single bytes of files, and say of each change whether it was named, changed nothing, or did harm unseen."""

import contextlib
import io
import json
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.serialization
import numpy as np

from spiketype.datasets import manifest, store
from spiketype.edge import PyTree, UserError
from spiketype.train import asked, checkpoints, runs

Content = Callable[[str], Any]  # what is read of files, of which one, named, is damaged


@dataclass(frozen=True)
class Change:
    """A byte that was changed, and what came of it.

    Attributes:
        name: of the file in its folder.
        position: of the byte.
        error: what the user was told instead of an answer; "" where there was one.
        note: what the user was told beside the answer.
        same: the answer was that of undamaged files.
        crash: the traceback, where it was anything else.
    """

    name: str
    position: int
    error: str
    note: str
    same: bool
    crash: str

    def wrong(self, folder: Path) -> str:
        """Return what is wrong with it: another answer without a word, or a message that names no file."""
        where = f"{self.name}, byte {self.position}"
        if self.crash:
            return f"{where}: {self.crash}"
        if self.error:
            return "" if str(folder) in self.error else f"{where}: no file is named: {self.error}"
        return "" if self.same or str(folder / self.name) in self.note else f"{where}: another answer, without a word"


def changes(
    folder: Path, names: Sequence[str], each: int, rng: np.random.Generator, content: Content
) -> Iterator[Change]:
    """Change `each` bytes of every file, one at a time, in a random bit or in all of them that are to change."""
    for name in names:
        file = folder / name
        before, good = file.read_bytes(), content(name)
        for position in rng.integers(0, len(before), each if before else 0).tolist():
            other = 1 << int(rng.integers(8)) if rng.random() < 0.5 else int(rng.integers(1, 256))
            changed = bytearray(before)
            changed[position] ^= other
            file.write_bytes(changed)
            yield _change(name, position, content, good)
        file.write_bytes(before)


def _change(name: str, position: int, content: Content, good: Any) -> Change:
    error, crash, same, said = "", "", False, io.StringIO()
    with contextlib.redirect_stderr(said), warnings.catch_warnings(action="ignore"):
        try:
            same = content(name) == good
        except UserError as told:
            error = str(told)
        except Exception:
            crash = traceback.format_exc()[-1500:]
    return Change(name, position, error, said.getvalue(), same, crash)


def files(path: Path) -> list[str]:
    """Return the names of all files in a folder."""
    return sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())


def store_content(path: Path, of: str = "zarr.json", kind: str = "eap") -> dict[str, object]:
    """Return what readers see of a store that can depend on a file: attributes, and one array or all."""
    store.validate(path, kind, ("amplitude_uV",))
    found = dict(store.attributes(path, kind))
    names = sorted(p.name for p in path.iterdir() if p.is_dir()) if of in ("zarr.json", manifest.FILE) else [of]
    return found | {n: store.read(path, n, unknown=True).tolist() for n in (name.split("/")[0] for name in names)}


def run_content(folder: Path) -> dict[str, str]:
    """Return what is read of a run's own files: options, model, both checkpoints, summary."""
    _, config, model = runs.load_model(folder)
    found = {asked.CONFIG: repr(config), runs.MODEL: _tree(model.arrays()), runs.MANIFEST: json.dumps(model.manifest())}
    newest = checkpoints.newest(folder)
    assert newest is not None
    older = checkpoints.read(folder / checkpoints.PREVIOUS)
    found |= {checkpoints.LAST: _checkpoint(newest), checkpoints.PREVIOUS: _checkpoint(older)}
    return found | {runs.SUMMARY: json.dumps(runs.read_summary(folder))}


def _checkpoint(found: checkpoints.Checkpoint) -> str:
    return _tree({"step": found.step, "tree": found.tree, "history": json.dumps(found.history)})


def _tree(tree: PyTree) -> str:
    content: bytes = flax.serialization.msgpack_serialize(flax.serialization.to_state_dict(tree))
    return content.hex()


def of_run(folder: Path, name: str) -> Any:
    """Return what is read of a run folder that can depend on a file."""
    inside = name.removeprefix(f"{runs.PREDICTIONS}/")
    if inside != name:
        return store_content(folder / runs.PREDICTIONS, inside, "predictions")
    return run_content(folder)
