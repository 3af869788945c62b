"""Damaged and hostile files: what a parser raises becomes a UserError, and sizes are checked before reading."""

import contextlib
import os
import zipfile
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from spiketype.edge import UserError
from spiketype.location import Location

INFLATED = 100  # times that compressed data may grow: real ones grow by a few, made ones by a thousand and more
ALWAYS_BYTES = 2 * 10**7  # that any file may claim
MOST_COLUMNS = 20_000  # of a table of text: each takes a thousand times the memory of the mark behind its name
LETTERS = 300  # of what a library says that are told
PICKLED = "it holds Python objects (pickles), which are not read because reading would run them"


@contextlib.contextmanager
def readable(path: Location | str, kind: str, remedy: str = "") -> Iterator[None]:
    """Turn whatever a library says of a damaged file into a UserError.

    Only the library's own calls belong into the block: a mistake of ours in it would be blamed on the file.

    Args:
        path: the file or folder, or a sentence's beginning that names it.
        kind: as what it is read.
        remedy: what the user can do, if it is not to copy the file again.

    Raises:
        UserError: the block raises anything; it names the file and the cause.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        if not isinstance(path, str) and not path.exists():
            raise UserError(f"{path} does not exist{_told(remedy)}") from None
        instead = "does not exist" if isinstance(path, str) else f"is not {kind}"
        raise UserError(f"{path} {instead}, or a part of it is missing ({error}){_told(remedy)}") from None
    except MemoryError as error:
        raise UserError(
            f"{path} cannot be read as {kind}: it asks for more memory than there is{_told(remedy)}"
        ) from error
    except Exception as error:  # libraries raise anything for damaged files, from zlib.error to RecursionError
        raise UserError(f"{path} cannot be read as {kind}: {cause(error)}{_told(remedy)}") from error


def _told(remedy: str) -> str:
    return f": {remedy}" if remedy else ""


def cause(error: BaseException) -> str:
    """Return what an error says, in bounds, or its kind where it says nothing."""
    text = str(error) or type(error).__name__
    return text if len(text) <= LETTERS else f"{text[:LETTERS]} ..."


def check_size(what: str, claimed: int, stored: int) -> None:
    """Refuse data that would fill the memory out of next to nothing.

    Args:
        what: the beginning of the message.
        claimed: bytes that the data say they have.
        stored: bytes of the file that hold them.

    Raises:
        UserError: it gives both numbers.
    """
    if claimed > max(INFLATED * stored, ALWAYS_BYTES):
        raise UserError(
            f"{what} says that it holds {_bytes(claimed)} in {_bytes(stored)} of the file: it is damaged, or made to"
            " fill the memory"
        )


def first_lines(path: Path) -> tuple[str, str]:
    """Return the first two lines of a table of text that are not blank, as pandas, which leaves out blank ones."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = (line for line in file if line.strip(" \r\n"))
        return next(lines, ""), next(lines, "")


def check_columns(path: Path, line: str, mark: str) -> None:
    """Refuse a table of text whose first line has more columns than any table.

    Raises:
        UserError: it gives their number.
    """
    columns = line.count(mark) + 1
    if columns > MOST_COLUMNS:
        raise UserError(f"{path} has {columns} columns in its first line: it is damaged, or no table")


def _bytes(number: int) -> str:
    return f"{number / 1e9:.3g} GB" if number >= 10**8 else f"{number / 1e6:.3g} MB"


# --- NumPy's files


class _Header(NamedTuple):
    """What the header of an .npy says, and where its data begin."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    start: int


def _header(file: IO[bytes] | BufferedIOBase) -> _Header:
    version = np.lib.format.read_magic(file)
    reading = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in reading:  # 3.0 differs from 2.0 in letters of names alone, which no reader of ours has
        raise ValueError(f"version {version} of the format is not read")
    shape, _, dtype = reading[version](file)
    if dtype.hasobject:
        raise ValueError(PICKLED)
    if any(isinstance(n, bool) or n < 0 for n in shape):
        raise ValueError(f"its shape is {shape}")
    return _Header(shape, dtype, file.tell())


def _array(file: IO[bytes] | BufferedIOBase, size: int) -> np.ndarray:
    _check(file, size)
    file.seek(0)
    return valid(np.lib.format.read_array(file, allow_pickle=False))


def _check(file: IO[bytes] | BufferedIOBase, size: int) -> None:
    """Refuse an array that is longer than its file of `size` bytes."""
    header = _header(file)
    needed = header.dtype.itemsize
    for length in header.shape:
        needed *= length
    if header.start + needed > size:
        raise ValueError(
            f"its header promises {_bytes(needed)} of {header.shape}, the file has {_bytes(size)}: cut off"
        )


def read_npy(path: Path, on_disk: bool = False) -> np.ndarray:
    """Read the array of an .npy without pickles, or leave it `on_disk`.

    Raises:
        UserError: a damaged file, or one that is shorter than its header says.
    """
    with readable(path, ".npy"):
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not on_disk:
                return _array(file, size)
            _check(file, size)
        return np.lib.format.open_memmap(path, mode="r")


class Archive:
    """The arrays of an .npz, each read when it is asked for.

    Attributes:
        names: of the arrays.
    """

    def __init__(self, path: Path, remedy: str = "") -> None:
        """Read the table of contents.

        Raises:
            UserError: no .npz; it ends with the remedy.
        """
        self.path, self._remedy = path, remedy
        with readable(path, ".npz without pickles", remedy), zipfile.ZipFile(path) as archive:
            self._members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        self.names = list(self._members)

    def read(self, name: str) -> np.ndarray:
        """Return an array.

        Raises:
            UserError: a damaged member, pickles, or more than there can be.
        """
        info = self._members[name]
        what = f"{self.path}, array {name!r},"
        check_size(what, info.file_size, info.compress_size)
        with (
            readable(self.path, ".npz without pickles", self._remedy),
            zipfile.ZipFile(self.path) as archive,
            archive.open(info) as file,
        ):
            return _array(file, info.file_size)


def valid(array: np.ndarray) -> np.ndarray:
    """Refuse words that Python cannot hold, over which it would end with a SystemError later."""
    if array.dtype.kind == "U" and array.nbytes:
        letters = np.ascontiguousarray(array).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if letters.max() > 0x10FFFF:
            raise ValueError("its text is not Unicode")
    return array
