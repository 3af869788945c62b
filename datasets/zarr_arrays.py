"""What is checked of an array of Zarr before it is read: that nothing in it would be run, or fill the memory."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zarr
from numcodecs.pickles import Pickle
from zarr.storage import LocalStore

from spiketype.damage import ALWAYS_BYTES, INFLATED, PICKLED, check_size, readable
from spiketype.edge import UserError

ABOUT = ("zarr.json", ".zarray", ".zattrs")
MARKS = ("zarr.json", ".zarray")


def arrays(group: zarr.Group, folder: Path) -> "dict[str, zarr.Array[Any]]":
    """Return the arrays of a group in a folder, opened one by one: asked for all, Zarr prints what fails beside one.

    Raises:
        UserError: one of them is damaged.
    """
    found = {}
    for each in sorted(folder.iterdir()):
        if any((each / mark).is_file() for mark in MARKS):
            with readable(each, "an array of Zarr"):
                found[each.name] = group[each.name]
    return {name: each for name, each in found.items() if isinstance(each, zarr.Array)}


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
    if claimed > ALWAYS_BYTES:
        check_size(where, claimed, _stored(array, enough=claimed // INFLATED))


def check_chunks(array: "zarr.Array[Any]", where: str) -> None:
    """Refuse the same of each chunk, which for numbers needs no look at the files."""
    filters = getattr(array.metadata, "filters", None) or ()  # of Zarr 2, as the compressor
    if any(isinstance(codec, Pickle) for codec in (*filters, getattr(array.metadata, "compressor", None))):
        raise UserError(f"{where}: {PICKLED}")
    for shape in (array.chunks, array.shards or ()):
        if math.prod(shape) * array.dtype.itemsize > max(ALWAYS_BYTES, 2 * array.nbytes):
            raise UserError(f"{where} is in chunks of {' x '.join(map(str, shape))}, larger than itself: it is damaged")
    if array.dtype.kind in "TO" and not array.compressors and not array.shards and isinstance(array.store, LocalStore):
        _check_words(array.store.root / array.path, math.prod(array.chunks), where)


def _check_words(folder: Path, most: int, where: str) -> None:
    """Refuse chunks of words that begin with a larger number of them than they can have: as much would be allocated."""
    for inside, _, files in os.walk(folder):
        for name in (name for name in files if name not in ABOUT):
            with readable(where, "words"), open(os.path.join(inside, name), "rb") as file:
                said = int.from_bytes(file.read(4), "little")
            if said > most:
                raise UserError(f"{where} says that a chunk of {most} has {said} words: it is damaged")


def _stored(array: "zarr.Array[Any]", enough: int) -> int:
    """Return the bytes of an array's files; it stops to count once they are `enough`."""
    if not isinstance(array.store, LocalStore):
        return enough
    total = 0
    for size in _sizes(array.store.root / array.path):
        total += size
        if total >= enough:
            break
    return total


def _sizes(folder: Path) -> Iterator[int]:
    for inside, _, files in os.walk(folder):
        yield from (os.path.getsize(os.path.join(inside, name)) for name in files)
