"""The zip of a benchmark, for deposition: the same bytes wherever it is written; and its unpacking, which trusts none.

Members are stored and not compressed, since arrays and tables are compressed already: a zip cannot hold more than it
is large, and what it holds is the same for every version of the library that compresses.
"""

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from spiketype.damage import readable
from spiketype.datasets import manifest
from spiketype.edge import UserError, whole_file

MOST_OBJECTS = 10_000  # in the folder of a benchmark
BEGIN = (1980, 1, 1, 0, 0, 0)  # of time in zip archives: every member is as old
MODE = (stat.S_IFREG | 0o644) << 16
UNIX = 3


def pack(folder: Path, name: str, path: Path) -> Path:
    """Write the files of a folder into a zip; beside it its SHA-256, as ``sha256sum -c`` reads it, and its size.

    They are in PATH.sha256, the size in a line that begins with # and that ``sha256sum`` skips.

    Args:
        folder: of the benchmark, complete.
        name: of the folder in the zip.
        path: of the zip.

    Raises:
        UserError: there are too many files.
    """
    files = manifest.names(folder)
    if len(files) > MOST_OBJECTS:
        raise UserError(f"{folder} holds {len(files)} files, at most {MOST_OBJECTS} go into a benchmark: write it anew")
    with whole_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            member = zipfile.ZipInfo(f"{name}/{file}", BEGIN)
            member.create_system, member.external_attr = UNIX, MODE
            member.file_size = (folder / file).stat().st_size  # decides the format of the member's header
            with open(folder / file, "rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target, 2**20)
    with whole_file(beside(path)) as partial:
        size = f"# bytes: {path.stat().st_size}"
        partial.write_text(f"{manifest.sha256(path)}  {path.name}\n{size}\n", encoding="ascii", newline="\n")
    return path


def beside(path: Path) -> Path:
    """Return the file that has the SHA-256 and the size of a zip."""
    return path.with_name(f"{path.name}.sha256")


def unpack(path: Path, name: str, target: Path) -> None:
    """Write the files of a benchmark's zip into a new folder.

    Args:
        path: the zip.
        name: of the folder in it.
        target: of its content.

    Raises:
        UserError: no zip; a member that would lie elsewhere, is no plain file, is compressed or there twice; too many
            members, or more in them than the zip is large, or than fits on the disk.
    """
    with readable(path, "a zip archive"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check(path, name, members)
        target.mkdir(parents=True)
        for member in members:
            file = target / member.filename.removeprefix(f"{name}/")
            file.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, open(file, "xb") as opened:
                shutil.copyfileobj(source, opened, 2**20)


def _check(path: Path, name: str, members: list[zipfile.ZipInfo]) -> None:
    """Refuse what `pack` did not write."""
    if len(members) > MOST_OBJECTS:
        raise UserError(f"{path} holds {len(members)} files, at most {MOST_OBJECTS} are in a benchmark")
    if len({member.filename for member in members}) < len(members):
        raise UserError(f"{path} holds a file twice")
    for member in members:
        parts = PurePosixPath(member.filename).parts
        inside = parts[:1] == (name,) and len(parts) > 1 and ".." not in parts and "\\" not in member.filename
        kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where a program does not say
        if not inside or member.is_dir() or kind not in (0, stat.S_IFREG):
            raise UserError(f"{path} holds {member.filename!r}, which is no file in {name}/: nothing is unpacked")
        if member.compress_type != zipfile.ZIP_STORED:
            raise UserError(f"{path} holds {member.filename!r} compressed, benchmarks are stored: nothing is unpacked")
    size = sum(member.file_size for member in members)
    if size > path.stat().st_size:
        raise UserError(f"{path} claims to hold {size} bytes, more than it is large: nothing is unpacked")
    if size > (free := shutil.disk_usage(path.parent).free):
        raise UserError(f"{path} holds {size / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free there: free some space")
