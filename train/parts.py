"""Arrays of all devices in one folder, written by orbax: each process of a run writes the part that it holds.

A manifest with the SHA-256 of every file is written last, so a folder without one is not whole. What was written by
any number of processes is read by any other number.
"""

import hashlib
from pathlib import Path

import flax.serialization
import jax

from spiketype.damage import cause
from spiketype.edge import Json, PyTree, UserError
from spiketype.train import checked, processes

MANIFEST = "manifest.json"


def write(path: Path, tree: PyTree, about: Json) -> None:
    """Write global arrays, and what is known about them, into a folder that every process sees; all call this.

    Args:
        path: of the folder; one that is there is replaced.
        tree: of arrays.
        about: what `read_about` gives back.
    """
    import orbax.checkpoint  # here, because runs of one process do without it

    arrays = flax.serialization.to_state_dict(tree)
    with orbax.checkpoint.StandardCheckpointer() as writer:
        writer.save(path.resolve(), arrays, force=True)
    if processes.first():
        checked.write_json(path / MANIFEST, {**about, "arrays": _kinds(arrays), "files": _digests(path)})


def read_about(path: Path, remedy: str) -> Json:
    """Return what is known about the arrays of a folder, every file of which is as it was written.

    Raises:
        UserError: names a file that is not, is missing or was added.
    """
    about = checked.read_json(path / MANIFEST, f"{path} is not whole: {remedy}", remedy)
    expected, found = about["files"], _digests(path)
    for name in sorted(expected.keys() | found):
        if expected.get(name) != found.get(name):
            raise UserError(f"{path / name} is damaged (its SHA-256 differs from {MANIFEST}): {remedy}")
    return about


def is_whole(path: Path) -> bool:
    """Say whether a folder is there, with every file as it was written."""
    try:
        read_about(path, "")
    except UserError:
        return False
    return True


def read(path: Path, like: PyTree, remedy: str) -> PyTree:
    """Return the arrays of a folder in the structure of `like`, each on the devices of the one there; all call this.

    Raises:
        UserError: this process does not see the folder; it has other arrays, or they cannot be read.
    """
    import orbax.checkpoint

    if not path.is_dir():
        raise UserError(
            f"{path} is not seen by process {jax.process_index()}: continue where all processes see the run folder, or "
            "with one process that does"
        )
    arrays = flax.serialization.to_state_dict(like)
    about = checked.read_json(path / MANIFEST, f"{path} is not whole: {remedy}", remedy)
    if about["arrays"] != _kinds(arrays):
        raise UserError(f"{path} is of another network (arrays of other names or shapes than here): {remedy}")
    wanted = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), arrays)
    try:
        with orbax.checkpoint.StandardCheckpointer() as reader:
            found = reader.restore(path.resolve(), wanted)
    except Exception as error:  # orbax and tensorstore raise anything
        raise UserError(f"{path} cannot be read ({cause(error)}): {remedy}") from error
    return flax.serialization.from_state_dict(like, found)


def _kinds(arrays: PyTree) -> dict[str, str]:
    """Return the type and shape of each array by its place in the tree."""
    return {jax.tree_util.keystr(place): f"{a.dtype}{list(a.shape)}" for place, a in jax.tree.leaves_with_path(arrays)}


def _digests(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each file but the manifest by its place in the folder."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and file != path / MANIFEST)
    return {file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
