"""The manifest of a finished store: the SHA-256 of each of its files, which is compared whenever a file is read.

The checksums of Zarr's chunks tell a chunk whose bits have changed. They say nothing of one that is missing (Zarr then
reads fill values), that lies in the place of another, or of names and attributes, which have none.
"""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from spiketype.edge import UserError, cores, json_bytes, read_json, write_json
from spiketype.location import Location, Remote

FILE = "done/manifest.json"  # in the folder of an array: Zarr would warn of a file that lies beside arrays
MARKS = "done/c/"  # not in the manifest: the last block is marked after it, so that no finished store is without one
State: TypeAlias = tuple[int | float | str | None, ...]


def write(path: Location) -> None:
    """Write the manifest of a store whose files are all there; what a killed writer left half-written is removed."""
    names = _names(path)
    names = [name for name in names if name != FILE and not name.startswith(MARKS) and not name.endswith(".partial")]
    with ThreadPoolExecutor(cores()) as pool:
        files = dict(zip(names, pool.map(lambda name: sha256(path / name), names), strict=True))
    about = {"sha256": _digest(files), "files": files}
    if isinstance(path, Remote):
        (path / FILE).write_bytes(json_bytes(about))
    else:
        write_json(path / FILE, about)


def _names(path: Location) -> list[str]:
    """Return the names of all files or objects of a store, sorted."""
    if isinstance(path, Remote):
        return sorted(name for name, _ in path.files())
    for leftover in path.rglob("[!.]*.partial"):
        leftover.unlink(missing_ok=True)
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())


def remove(path: Location) -> None:
    """Remove the manifest of a store that is about to change."""
    (path / FILE).unlink(missing_ok=True)


def read(path: Location) -> dict[str, str] | None:
    """Return the SHA-256 of each file of a store by its name in it; None if the store has no manifest.

    Raises:
        UserError: the manifest is damaged.
    """
    if not (path / FILE).is_file():
        return None
    found = read_json(path / FILE, f"{path / FILE} is damaged: {remedy(path)}")
    files = found.get("files")
    if not isinstance(files, dict) or found.get("sha256") != _digest(files):
        raise UserError(f"{path / FILE} is damaged (its own SHA-256 differs): {remedy(path)}")
    return files


def _digest(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def sha256(file: Location) -> str:
    """Return the SHA-256 of a file or an object."""
    if isinstance(file, Remote):
        digest = hashlib.sha256()
        for piece in file.pieces():
            digest.update(piece)
        return digest.hexdigest()
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def remedy(path: Location) -> str:
    """Return what to do about a store that is damaged."""
    return f"delete {path} and make the store again"


def state(file: Location) -> State | None:
    """Return what changes when a file or an object does, None where there is none."""
    if isinstance(file, Remote):
        return file.state()
    try:
        about = file.stat()
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns
