"""What is checked of an array of Zarr before it is read: that nothing in it would be run, or fill the memory."""

import math
import os
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numcodecs
import numcodecs.abc
import zarr
from numcodecs.pickles import Pickle
from zarr.codecs import BloscCodec
from zarr.storage import LocalStore

from spiketype.damage import ALWAYS_BYTES, INFLATED, PICKLED, check_size, readable
from spiketype.datasets.checked import CheckedFiles, CheckedObjects
from spiketype.edge import UserError
from spiketype.location import Location

MARKS = ("zarr.json", ".zarray")
CHUNK = re.compile(r"c|(?:c\.)?\d+(?:\.\d+)*")  # names of files
BLOSC_HEADER, BLOSC_BYTES, COPIED = struct.Struct("<xxBxIII"), 16, 2  # a flag: the content is not compressed
COMPRESSORS = ("zstd", "gzip", "blosc")  # of Zarr 3, which has them from numcodecs


def arrays(group: zarr.Group, folder: Location) -> "dict[str, zarr.Array[Any]]":
    """Return the arrays of a group in a folder, opened one by one: asked for all, Zarr prints what fails beside one.

    Raises:
        UserError: one of them is damaged.
    """
    found = {}
    for name in _folders(group, folder):
        with readable(folder / name, "an array of Zarr"):
            found[name] = group[name]
    return {name: each for name, each in found.items() if isinstance(each, zarr.Array)}


def _folders(group: zarr.Group, folder: Location) -> list[str]:
    """Return the names of what may be arrays, or should be, sorted."""
    here: set[str] = set()
    if isinstance(folder, Path):
        here = {each.name for each in folder.iterdir() if any((each / mark).is_file() for mark in MARKS)}
    known = group.store.names() if isinstance(group.store, CheckedFiles | CheckedObjects) else []
    parts = [name.split("/") for name in known]
    return sorted(here | {each[0] for each in parts if len(each) == 2 and each[1] in MARKS})


def check(array: "zarr.Array[Any]", where: str) -> None:
    """Refuse an array whose codecs run code, or that says that it is far larger than its files.

    Args:
        array: of a folder.
        where: what messages call it.

    Raises:
        UserError: as said.
    """
    check_chunks(array, where)
    claimed = array.nbytes
    if claimed > ALWAYS_BYTES and isinstance(array.store, LocalStore | CheckedObjects):
        check_size(where, claimed, _stored(array, enough=claimed // INFLATED))


def check_chunks(array: "zarr.Array[Any]", where: str) -> None:
    """Refuse the same of each chunk, which for numbers needs no look at the files."""
    filters = getattr(array.metadata, "filters", None) or ()  # of Zarr 2, as the compressor
    if any(isinstance(codec, Pickle) for codec in (*filters, getattr(array.metadata, "compressor", None))):
        raise UserError(f"{where}: {PICKLED}")
    for shape in (array.chunks, array.shards or ()):
        if math.prod(shape) * array.dtype.itemsize > max(ALWAYS_BYTES, 2 * array.nbytes):
            raise UserError(f"{where} is in chunks of {' x '.join(map(str, shape))}, larger than itself: it is damaged")
    if not array.shards:
        if array.compressors and isinstance(array.compressors[-1], numcodecs.Blosc | BloscCodec):
            _check_blosc(array, where)
        if array.dtype.kind in "TO":
            _check_words(array, where)


def _check_blosc(array: "zarr.Array[Any]", where: str) -> None:
    """Refuse chunks of Blosc whose header does not fit the file: the library believes it, reads beyond, and crashes."""
    known = array.dtype.kind not in "TO" and not array.filters
    expected = math.prod(array.chunks) * array.dtype.itemsize if known else None
    for file in _in_folder(array):
        if not CHUNK.fullmatch(file.name):
            continue
        with open(file, "rb") as opened:
            head = opened.read(BLOSC_BYTES)
        if not _fits_blosc(head, file.stat().st_size, expected):
            raise UserError(f"{where} has a chunk {file.name} that is not as Blosc wrote it: it is damaged")


def _fits_blosc(head: bytes, stored: int, expected: int | None) -> bool:
    """Say whether the header of a chunk can be true: its sizes, and that of its blocks."""
    if len(head) < BLOSC_BYTES:
        return False
    flags, whole, block, compressed = BLOSC_HEADER.unpack(head)
    if compressed != stored or expected not in (None, whole):
        return False
    if flags & COPIED:
        return bool(compressed == whole + BLOSC_BYTES)
    return bool(0 < block <= whole and BLOSC_BYTES + 4 * -(-whole // block) <= compressed)


def _check_words(array: "zarr.Array[Any]", where: str) -> None:
    """Refuse chunks of words that begin with a larger number of them than they can have: as much would be allocated."""
    most = math.prod(array.chunks)
    for file in _files(array):
        if not CHUNK.fullmatch(file.name):
            continue
        with readable(where, "words"):
            said = int.from_bytes(_beginning(file, array.compressors), "little")
        if said > most:
            raise UserError(f"{where} says that a chunk of {most} has {said} words: it is damaged")


def _beginning(file: Location, compressors: Sequence[Any]) -> bytes:
    """Return the first four bytes of what a file holds, decompressed; none where that is by what numcodecs has not."""
    if not compressors and isinstance(file, Path):
        with open(file, "rb") as opened:
            return opened.read(4)
    content = file.read_bytes()
    for compressor in reversed(compressors):
        decoder = _of_numcodecs(compressor)
        if decoder is None:
            return b""
        content = decoder.decode(content)
    return bytes(content[:4])


def _of_numcodecs(compressor: Any) -> numcodecs.abc.Codec | None:
    """Return what decompresses: of Zarr 2 the compressor itself, of Zarr 3 the one that it is made of."""
    if isinstance(compressor, numcodecs.abc.Codec):
        return compressor
    name = compressor.to_dict()["name"]
    return numcodecs.get_codec({"id": name}) if name in COMPRESSORS else None


def _stored(array: "zarr.Array[Any]", enough: int) -> int:
    """Return the bytes of an array's files; it stops to count once they are `enough`."""
    total = 0
    for size in _sizes(array):
        total += size
        if total >= enough:
            break
    return total


def _sizes(array: "zarr.Array[Any]") -> Iterator[int]:
    if isinstance(array.store, CheckedObjects):
        yield from array.store.sizes(array.path)
    else:
        yield from map(os.path.getsize, _in_folder(array))


def _files(array: "zarr.Array[Any]") -> Iterator[Location]:
    """Yield the files or objects of an array."""
    if isinstance(array.store, CheckedObjects):
        yield from (array.store.place / name for name in array.store.names(array.path))
    else:
        yield from _in_folder(array)


def _in_folder(array: "zarr.Array[Any]") -> Iterator[Path]:
    """Yield the files of an array; none where it is in an archive."""
    if isinstance(array.store, LocalStore):
        for inside, _, files in os.walk(array.store.root / array.path):
            yield from (Path(inside, name) for name in files)
