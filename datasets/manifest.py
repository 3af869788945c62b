"""The manifest of a finished store: the SHA-256 of each of its files, which is compared whenever a file is read.

The checksums of Zarr's chunks tell a chunk whose bits have changed. They say nothing of one that is missing (Zarr then
reads fill values), that lies in the place of another, or of names and attributes, which have none.
"""

import asyncio
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from spiketype.edge import UserError, cores, read_json, write_json

FILE = "done/manifest.json"  # in the folder of an array: Zarr would warn of a file that lies beside arrays
TEMPLATE = "done/template.json"  # the same of a template: of the files that are there before the first block
MARKS = "done/c/"  # not in the manifest: they say when it is due, and have the checksum of Zarr's codec


def begin(path: Path) -> None:
    """Write the checksums of a template, whose files no writer of blocks changes."""
    _write(path / TEMPLATE, _hashed(path))


def check_template(path: Path) -> None:
    """Refuse a store whose template was changed since it was begun: a manifest would hide that.

    Raises:
        UserError: names the file.
    """
    for name, expected in (read(path, TEMPLATE) or {}).items():  # stores of older versions have none
        if not (path / name).is_file() or _sha256(path / name) != expected:
            raise UserError(f"{path / name} was changed since the store was begun: {remedy(path)}")


def write(path: Path) -> None:
    """Write the manifest of a store whose files are all there; what a killed writer left half-written is removed."""
    for leftover in path.rglob("[!.]*.partial"):
        leftover.unlink(missing_ok=True)
    try:
        _write(path / FILE, _hashed(path))
    except FileNotFoundError:  # another process, which has written the same, has just removed our leftover
        if not (path / FILE).is_file():
            raise
    for leftover in path.glob(f"done/.{Path(FILE).name}.*.partial"):
        leftover.unlink(missing_ok=True)


def _hashed(path: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a store but marks and manifest."""
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    names = [name for name in names if name != FILE and not name.startswith(MARKS) and not name.endswith(".partial")]
    with ThreadPoolExecutor(cores()) as pool:
        return dict(zip(names, pool.map(lambda name: _sha256(path / name), names), strict=True))


def _write(file: Path, files: dict[str, str]) -> None:
    write_json(file, {"sha256": _digest(files), "files": files})


def remove(path: Path) -> None:
    """Remove the manifest of a store that is about to change."""
    (path / FILE).unlink(missing_ok=True)


def read(path: Path, name: str = FILE) -> dict[str, str] | None:
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


def _sha256(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def remedy(path: Path) -> str:
    """Return what to do about a store that is damaged."""
    return f"delete {path} and make the store again"


def checked(path: Path) -> "Checked":
    """Return a store for Zarr to read, each of whose files is compared with the manifest, if there is one."""
    return _checked(path, _state(path / FILE))


@lru_cache(maxsize=16)
def _checked(path: Path, manifest: tuple[int, ...] | None) -> "Checked":
    return Checked(path)


def _state(file: Path) -> tuple[int, ...] | None:
    """Return what changes when a file does, None where there is none."""
    try:
        about = file.stat()
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns


class Checked(LocalStore):
    """A folder that Zarr reads. A file is read once more to be checked, and again only when it has changed."""

    def __init__(self, root: Path, *, read_only: bool = True) -> None:
        super().__init__(root, read_only=read_only)
        self._files = read(root)
        self._known: dict[str, tuple[int, ...]] = {}

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the content of a file, None where there is none.

        Raises:
            UserError: it is not what the manifest says.
        """
        if self._files is not None and not key.startswith(MARKS):
            await asyncio.to_thread(self._check, key, self._files.get(key))
        return await super().get(key, prototype, byte_range)

    def _check(self, key: str, expected: str | None) -> None:
        file = self.root / key
        state = _state(file) if file.is_file() else None
        if state is None:
            if expected is not None:
                raise UserError(f"{file} is missing: {remedy(self.root)}")
        elif expected is None:
            raise UserError(f"{file} was not there when the store was finished: {remedy(self.root)}")
        elif self._known.get(key) != state:
            if _sha256(file) != expected:
                raise UserError(f"{file} is damaged (its SHA-256 differs): {remedy(self.root)}")
            self._known[key] = state
