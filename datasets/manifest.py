"""The manifest of a finished store: the SHA-256 of each of its files, which is compared whenever a file is read.

Of any other folder, `hashed`, `write_to` and `read` make one, too, and `differences` compares it with the files.

The checksums of Zarr's chunks tell a chunk whose bits have changed. They say nothing of one that is missing (Zarr then
reads fill values), that lies in the place of another, or of names and attributes, which have none.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeAlias

from spiketype.edge import Json, UserError, cores, json_bytes, read_json, write_json
from spiketype.location import Location, Remote

FILE = "done/manifest.json"  # in the folder of an array: Zarr would warn of a file that lies beside arrays
TEMPLATE = "done/template.json"  # the same of a template: of the files that are there before the first block
MARKS = "done/c/"  # not in the manifest: they say when it is due, and have the checksum of Zarr's codec
State: TypeAlias = tuple[int | float | str | None, ...]


def begin(path: Path) -> None:
    """Write the checksums of a template, whose files no writer of blocks changes."""
    write_to(path / TEMPLATE, hashed(path, _of_store(path)))


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
        write_to(path / FILE, hashed(path, _of_store(path)))
        return
    for leftover in path.rglob("[!.]*.partial"):
        leftover.unlink(missing_ok=True)
    try:
        write_to(path / FILE, hashed(path, _of_store(path)))
    except FileNotFoundError:  # another process, which has written the same, has just removed our leftover
        if not (path / FILE).is_file():
            raise
    for leftover in path.glob(f"done/.{Path(FILE).name}.*.partial"):
        leftover.unlink(missing_ok=True)


def _of_store(path: Location) -> list[str]:
    """Return the names of all files or objects of a store but marks and manifest."""
    return [name for name in names(path) if name != FILE and not name.startswith(MARKS)]


def hashed(path: Location, files: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of each of some files or objects, by their names in a folder."""
    with ThreadPoolExecutor(cores()) as pool:
        return dict(zip(files, pool.map(lambda name: sha256(path / name), files), strict=True))


def write_to(file: Location, files: dict[str, str]) -> None:
    """Write a manifest, with its own SHA-256."""
    if isinstance(file, Remote):
        file.write_bytes(json_bytes(_about(files)))
    else:
        write_json(file, _about(files))


def _about(files: dict[str, str]) -> Json:
    return {"sha256": _digest(files), "files": files}


def names(path: Location) -> list[str]:
    """Return the names of all files or objects of a store or folder, sorted, but those that are half-written."""
    if isinstance(path, Remote):
        return sorted(name for name, _ in path.files())
    found = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    return [name for name in found if not name.endswith(".partial")]


class Differences(NamedTuple):
    """How files differ from a manifest.

    Attributes:
        special: names of what is no plain file, such as a link or a pipe.
        changed, missing, new: names of files that are other, missing, and not in the manifest.
    """

    special: list[str]
    changed: list[str]
    missing: list[str]
    new: list[str]


def differences(path: Path, name: str) -> Differences:
    """Compare all files of a folder with the manifest in it, that of the manifest itself byte by byte.

    Raises:
        UserError: there is no manifest, or it is damaged.
    """
    files = read(path, name)
    if files is None:
        raise UserError(f"{path / name} is missing: {remedy(path)}")
    if (path / name).read_bytes() != json_bytes(_about(files)):  # it says the same, in other spaces
        raise _damaged(path / name, path)
    entries = {p.relative_to(path).as_posix(): p for p in path.rglob("*") if p.is_symlink() or not p.is_dir()}
    special = sorted(each for each, p in entries.items() if p.is_symlink() or not p.is_file())
    there = sorted(set(entries) - {name, *special})
    found = hashed(path, there)
    return Differences(
        special,
        [each for each in there if each in files and found[each] != files[each]],
        sorted(set(files) - set(entries)),
        sorted(set(there) - set(files)),
    )


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
        raise _damaged(file, path)
    return files


def _damaged(file: Location, path: Location) -> UserError:
    return UserError(f"{file} is damaged (its own SHA-256 differs): {remedy(path)}")


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
    """Return what to do about a store or folder that is damaged."""
    return f"delete {path} and make it again"


def state(file: Location) -> State | None:
    """Return what changes when a file or an object does, None where there is none."""
    if isinstance(file, Remote):
        return file.state()
    try:
        about = file.stat()
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns
