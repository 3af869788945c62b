"""What identifies the samples of a table, together or each: their content, whatever folder they come from."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, Shaped, UInt64

from spiketype.datasets.store import OnDisk

LENGTH = 16  # of the digest: 64 bits, far beyond the number of tables that anybody compares
BLOCK_BYTES = 64_000_000  # read and copied at once


def fingerprint(*arrays: Shaped[np.ndarray, "..."] | OnDisk) -> str:
    """Return the first 16 characters of a SHA-256 of shapes, dtypes and values of arrays, in their order.

    Memory layout and byte order do not count, nor do the bits of a NaN; text is compared word by word, whatever the
    width of its dtype. Everything else does: another dtype, shape, order of the arrays or of their rows, or the sign of
    a zero gives another fingerprint. Arrays on disk are read a piece at a time.

    Raises:
        TypeError: an array holds neither numbers nor text.
        UserError: a sample of an array on disk cannot be read.
    """
    digest = hashlib.sha256()
    for array in arrays:
        dtype = "text" if array.dtype.kind in "UT" else array.dtype.newbyteorder("<").str
        digest.update(json.dumps([dtype, array.shape]).encode() + b"\n")
        for piece in _pieces(array):
            digest.update(_content(piece))
    return digest.hexdigest()[:LENGTH]


def of_names(names: Iterable[str]) -> str:
    """Return the fingerprint of a set of names, whatever their order."""
    return fingerprint(np.array(sorted(set(names)), str))


def of_rows(*arrays: Shaped[np.ndarray, "row ..."]) -> UInt64[np.ndarray, " row"]:
    """Return 64 bits of a BLAKE2 hash of each row of arrays of as many rows: numbers, the bits of a NaN not counting.

    Raises:
        TypeError: an array does not hold numbers.
    """
    columns = []
    for array in arrays:
        if array.dtype.kind not in "biuf":
            raise TypeError(f"rows of {array.dtype} have no fingerprint: give numbers")
        columns.append(np.frombuffer(_content(array), np.uint8).reshape(len(array), -1))
    rows = np.concatenate(columns, axis=1) if len(arrays[0]) else np.zeros((0, 1), np.uint8)
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def of_shapes(waveform: Float[np.ndarray, "row ..."]) -> UInt64[np.ndarray, "2 row"]:
    """Return what tells waveforms from others whatever their gain, twice for each row.

    They are of the waveform as share of its largest value, to a thousandth. What one rounds up or down by chance, the
    other does not, so a waveform that was multiplied by something has one of them at least.
    """
    flat = waveform.reshape(len(waveform), math.prod(waveform.shape[1:])).astype(np.float64)
    largest = np.nanmax(np.abs(flat), axis=1, keepdims=True, initial=0)
    share = 1000 * flat / np.where(largest > 0, largest, 1)
    return np.stack([of_rows(np.round(share + shift)) for shift in (0.0, 0.5)])


def _pieces(array: np.ndarray | OnDisk) -> Iterator[np.ndarray]:
    """Yield the rows of an array, some at a time."""
    values = np.atleast_1d(array) if isinstance(array, np.ndarray) else array
    row_bytes = max(1, math.prod(values.shape[1:]) * values.dtype.itemsize)
    rows = max(1, BLOCK_BYTES // row_bytes)
    for first in range(0, values.shape[0], rows):
        yield values[first : first + rows]


def _content(values: np.ndarray) -> bytes:
    """Return the values in C order: numbers little-endian with one kind of NaN, text as a JSON list a line."""
    match values.dtype.kind:
        case "U" | "T":
            return "".join(json.dumps(word) + "\n" for word in values.ravel().tolist()).encode()
        case "b" | "i" | "u" | "f":
            values = values.astype(values.dtype.newbyteorder("<"))
            if values.dtype.kind == "f":
                values[np.isnan(values)] = np.nan
            return values.tobytes()
    raise TypeError(f"arrays of {values.dtype} have no fingerprint: give numbers or text")
