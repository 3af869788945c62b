"""The manifest of a finished store: the SHA-256 of each of its files, which is compared whenever a file is read.

The checksums of Zarr's chunks tell a chunk whose bits have changed. They say nothing of one that is missing (Zarr then
reads fill values), that lies in the place of another, or of names and attributes, which have none.
"""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from spiketype.edge import UserError, cores, json_bytes, read_json, write_json
from spiketype.location import Location, Remote

FILE = "done/manifest.json"  # in the folder of an array: Zarr would warn of a file that lies beside arrays
TEMPLATE = "done/template.json"  # the same of a template: of the files that are there before the first block
MARKS = "done/c/"  # not in the manifest: they say when it is due, and have the checksum of Zarr's codec
State: TypeAlias = tuple[int | float | str | None, ...]


def begin(path: Path) -> None:
    """Write the checksums of a template, whose files no writer of blocks changes."""
    _write(path / TEMPLATE, _hashed(path))


def check_template(path: Location) -> None:
    """Refuse a store whose template was changed since it was begun: a manifest would hide that.

    Raises:
        UserError: names the file.
    """
    for name, expected in (read(path, TEMPLATE) or {}).items():  # stores of older versions have none
        if not (path / name).is_file() or sha256(path / name) != expected:
            raise UserError(f"{path / name} was changed since the store was begun: {remedy(path)}")


def write(path: Location) -> None:
    """Write the manifest of a store whose files are all there; what a killed writer left half-written is removed."""
    if isinstance(path, Remote):
        _write(path / FILE, _hashed(path))
        return
    for leftover in path.rglob("[!.]*.partial"):
        leftover.unlink(missing_ok=True)
    try:
        _write(path / FILE, _hashed(path))
    except FileNotFoundError:  # another process, which has written the same, has just removed our leftover
        if not (path / FILE).is_file():
            raise
    for leftover in path.glob(f"done/.{Path(FILE).name}.*.partial"):
        leftover.unlink(missing_ok=True)


def _hashed(path: Location) -> dict[str, str]:
    """Return the SHA-256 of every file or object of a store but marks and manifest."""
    names = [name for name in _names(path) if name != FILE and not name.startswith(MARKS)]
    with ThreadPoolExecutor(cores()) as pool:
        return dict(zip(names, pool.map(lambda name: sha256(path / name), names), strict=True))


def _write(file: Location, files: dict[str, str]) -> None:
    about = {"sha256": _digest(files), "files": files}
    if isinstance(file, Remote):
        file.write_bytes(json_bytes(about))
    else:
        write_json(file, about)


def _names(path: Location) -> list[str]:
    """Return the names of all files or objects of a store, sorted."""
    if isinstance(path, Remote):
        return sorted(name for name, _ in path.files())
    found = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    return [name for name in found if not name.endswith(".partial")]


def remove(path: Location) -> None:
    """Remove the manifest of a store that is about to change."""
    (path / FILE).unlink(missing_ok=True)


def read(path: Location, name: str = FILE) -> dict[str, str] | None:
    """Return the SHA-256 of each file of a store by its name in it; None if the store has no such manifest.

    Raises:
        UserError: the manifest is damaged.
    """
    file = path / name
    if not file.is_file():
        return None
    found = read_json(file, f"{file} is damaged: {remedy(path)}")
    files = found.get("files")
    if not isinstance(files, dict) or found.get("sha256") != _digest(files):
        raise UserError(f"{file} is damaged (its own SHA-256 differs): {remedy(path)}")
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
