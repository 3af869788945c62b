"""Calls of units in a copy of CellExplorer's cell metrics: fields of the struct ``cell_metrics``, a value a cell.

Everything else is copied byte by byte and never decoded, because no library writes all that MATLAB does: SciPy knows
neither function handles nor tables, and makes integers of doubles. In versions 5 to 7 the new fields are put at the end
of the struct (the format: MathWorks, "MAT-File Format", 2019, chapter 1); version 7.3 is HDF5, where they are added.
"""

import io
import shutil
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import scipy.io
from jaxtyping import Shaped

from spiketype.damage import readable
from spiketype.datasets.waveforms import called, matlab, matlab_file
from spiketype.datasets.waveforms.cellexplorer import METRICS, PUTATIVE
from spiketype.datasets.waveforms.phy_writer import CALL, PROBABILITY
from spiketype.edge import UserError, whole_file

HEADER, SUBSYSTEM = 128, 116  # bytes of the header, and where in it stands the offset of MATLAB's objects
MATRIX, COMPRESSED = 14, 15  # types of elements
STRUCT, OPAQUE = 2, 17  # classes of matrices
LONGEST = 2**31 - 1  # bytes of a variable
OTHERWISE = "open it in MATLAB and save it with -v7"


def write(source: Path, columns: Mapping[str, Shaped[np.ndarray, " unit"]], out: Path) -> Path:
    """Write a copy with the fields ``spiketype`` (words) and ``spiketype_probability``, whole or not at all.

    A file without ``putativeCellType`` gets it, with the same words; one that has it keeps its own.

    Args:
        source: NAME.cell_metrics.cellinfo.mat, of any version from 5 on.
        columns: ``unit`` (cluster numbers as the reader gives them), ``certain``, ``call`` and ``probability``.
        out: the copy.

    Returns:
        The copy.

    Raises:
        UserError: `out` is `source`, other units, the fields are there already, or a file of another structure.
    """
    if out.resolve() == source.resolve():
        raise UserError(f"{out} is the file itself, which stays as it is: choose another --out")
    metrics = matlab.read(source).get(METRICS)
    if not isinstance(metrics, dict):
        raise UserError(f"{source} has no struct {METRICS!r}: is it made by CellExplorer?")
    if taken := sorted({CALL, PROBABILITY} & metrics.keys()):
        raise UserError(f"{source} has a field {taken[0]!r} already: give the file without it")
    words, probability = called.aligned(source, columns, _names(source, metrics, columns["unit"]))
    texts = np.empty((1, len(words)), object)
    texts[0] = words
    fields = {CALL: texts, PROBABILITY: probability[None]} | ({} if PUTATIVE in metrics else {PUTATIVE: texts})
    with open(source, "rb") as file:
        is_hdf5 = matlab_file.is_hdf5(file.read(520))
    with whole_file(out) as partial:
        if is_hdf5:
            shutil.copyfile(source, partial)
            _add_hdf5(source, partial, fields)
        else:
            partial.write_bytes(_with_fields(source, source.read_bytes(), fields))
    return out


def _names(source: Path, metrics: dict[str, matlab.Value], wanted: np.ndarray) -> list[str]:
    """Return the name of each cell as the reader has it: its cluster, with session and animal where there are several.

    Raises:
        UserError: no ``cluID``.
    """
    number = metrics.get("cluID")
    if not isinstance(number, np.ndarray) or number.dtype.kind not in "fiu":
        raise UserError(f"{source} has no cluID, by which its cells are named: take the calls from the table of --out")
    names = [f"{n:g}" for n in number.reshape(-1).tolist()]
    outer = []
    for field in ("sessionName", "animal"):
        words = matlab.texts(metrics.get(field))
        outer.append([w.strip() for w in words] if words is not None and len(words) == len(names) else [])
    session, animal = outer
    inside = [*zip(session or [""] * len(names), names, strict=True)]
    times = Counter(inside)
    names = [f"{n}.{row + 1}" if times[inside[row]] > 1 else n for row, n in enumerate(names)]
    found = names
    for prefix in (session or animal, animal):  # the one in which all are found is the reader's
        if not prefix or {*wanted.tolist()} <= {*found}:
            break
        found = [f"{a}/{b}" for a, b in zip(prefix, found, strict=True)]
    return found


# --- versions 5 to 7


class _Element(NamedTuple):
    """Where the data of an element lie.

    Attributes:
        following: where the next element begins.
    """

    kind: int
    start: int
    stop: int
    following: int


def _element(data: bytes, at: int, padded: bool = True) -> _Element:
    """Return the element at a place; small ones have their size beside their type, and their data in four bytes."""
    (first,) = struct.unpack_from("<I", data, at)
    if first >> 16:
        return _Element(first & 0xFFFF, at + 4, at + 4 + (first >> 16), at + 8)
    (size,) = struct.unpack_from("<I", data, at + 4)
    stop = at + 8 + size
    if stop > len(data):
        raise ValueError(f"an element of {size} bytes is cut off")
    return _Element(first, at + 8, stop, stop + (-size % 8 if padded else 0))


def _elements(data: bytes, start: int, stop: int) -> Iterator[_Element]:
    while start < stop:
        element = _element(data, start)
        yield element
        start = element.following


class _Struct(NamedTuple):
    """The parts of a struct's matrix.

    Attributes:
        head: flags, dimensions and name, as they are.
        names: of its fields.
        width: bytes that a name takes.
        fields: all their elements, as they are.
    """

    head: bytes
    names: list[bytes]
    width: int
    fields: bytes

    def to_bytes(self) -> bytes:
        """Return the element."""
        names = b"".join(name.ljust(self.width, b"\0") for name in self.names)
        body = self.head + struct.pack("<HHI", 5, 4, self.width) + struct.pack("<II", 1, len(names)) + names
        body += bytes(-len(body) % 8) + self.fields
        if len(body) > LONGEST:
            raise ValueError("it would be larger than 2 GB")
        return struct.pack("<II", MATRIX, len(body)) + body

    def and_fields(self, other: "_Struct") -> "_Struct":
        """Return the struct with the fields of another one behind its own."""
        return _Struct(self.head, self.names + other.names, max(self.width, other.width), self.fields + other.fields)


def _struct(data: bytes) -> _Struct | None:
    """Return the parts of a matrix, None unless it is `METRICS`."""
    whole = _element(data, 0)
    if whole.kind != MATRIX or whole.stop == whole.start:
        return None
    flags = _element(data, whole.start)
    kind = data[flags.start]
    if kind == OPAQUE:
        return None
    dims = _element(data, flags.following)
    name = _element(data, dims.following)
    if data[name.start : name.stop] != METRICS.encode():
        return None
    if kind != STRUCT or data[dims.start : dims.stop] != struct.pack("<ii", 1, 1):
        raise ValueError(f"{METRICS} is no single struct")
    width_of = _element(data, name.following)
    (width,) = struct.unpack_from("<i", data, width_of.start)
    listed = _element(data, width_of.following)
    text = data[listed.start : listed.stop]
    names = [text[k : k + width].split(b"\0")[0] for k in range(0, len(text), width)]
    fields = list(_elements(data, listed.following, whole.stop))
    if len(fields) != len(names) or any(f.kind != MATRIX for f in fields) or fields[-1].following != whole.stop:
        raise ValueError(f"{METRICS} has {len(fields)} values for {len(names)} fields")
    return _Struct(data[whole.start : name.following], names, width, data[listed.following : whole.stop])


def _with_fields(source: Path, data: bytes, fields: Mapping[str, np.ndarray]) -> bytes:
    """Return a file with more fields in its struct; no other byte is changed, but the place of what comes behind."""
    if data[126:128] != b"IM":
        raise UserError(f"{source} is in the byte order of old machines, which is not written: {OTHERWISE}")
    made = io.BytesIO()
    scipy.io.savemat(made, {METRICS: dict(fields)}, long_field_names=True)
    new = _struct(made.getvalue()[HEADER:])
    with readable(source, f".mat into which fields can be put ({OTHERWISE})"):
        at = HEADER
        while at < len(data):
            outer = _element(data, at, padded=False)
            is_packed = outer.kind == COMPRESSED
            inner = zlib.decompress(data[outer.start : outer.stop]) if is_packed else data[at : outer.stop]
            found = _struct(inner)
            if found is not None and new is not None:
                matrix = found.and_fields(new).to_bytes()
                if is_packed:
                    packed = zlib.compress(matrix)
                    matrix = struct.pack("<II", COMPRESSED, len(packed)) + packed
                return _moved(data[:HEADER], at, len(matrix) - (outer.stop - at)) + (
                    data[HEADER:at] + matrix + data[outer.stop :]
                )
            at = outer.stop
        raise ValueError(f"it has no {METRICS}")


def _moved(header: bytes, at: int, by: int) -> bytes:
    """Return the header, where what it says of the place of MATLAB's objects holds after the struct has grown."""
    (place,) = struct.unpack_from("<Q", header, SUBSYSTEM)
    if at < place < 2**48:  # else none: zeros or blanks
        return header[:SUBSYSTEM] + struct.pack("<Q", place + by) + header[SUBSYSTEM + 8 :]
    return header


# --- version 7.3


def _add_hdf5(source: Path, path: Path, fields: Mapping[str, np.ndarray]) -> None:
    """Add fields to the struct, as MATLAB writes them: cells are references to texts, dimensions are reversed."""
    with readable(source, ".mat of version 7.3"), h5py.File(path, "r+") as file:
        group = file[METRICS]
        if not isinstance(group, h5py.Group) or bytes(group.attrs.get("MATLAB_class", b"struct")) != b"struct":
            raise ValueError(f"{METRICS} is no struct")
        for name, values in fields.items():
            if values.dtype.kind == "O":
                references = [_text(file, f"{name}_{k}", word) for k, word in enumerate(values[0].tolist())]
                dataset = group.create_dataset(name, (values.size, 1), h5py.ref_dtype)
                for row, reference in enumerate(references):
                    dataset[row, 0] = reference
            else:
                dataset = group.create_dataset(name, data=values.T)
            kind = b"cell" if values.dtype.kind == "O" else b"double"
            dataset.attrs["H5PATH"] = np.bytes_(f"/{METRICS}".encode())
            dataset.attrs["MATLAB_class"] = np.bytes_(kind)
        if "MATLAB_fields" in group.attrs:
            _list(group, list(fields))


def _text(file: h5py.File, name: str, word: str) -> h5py.Reference:
    """Write a text among those that cells refer to."""
    codes = np.frombuffer(word.encode("utf-16-le"), np.uint16)[:, None]
    dataset = file.require_group("#refs#").create_dataset(name, data=codes)
    dataset.attrs["H5PATH"] = np.bytes_(dataset.name.encode())
    dataset.attrs["MATLAB_class"] = np.bytes_(b"char")
    dataset.attrs["MATLAB_int_decode"] = np.int32(2)
    return dataset.ref


def _list(group: h5py.Group, names: list[str]) -> None:
    """Add names to the list of fields, by which MATLAB orders them."""
    letters = [*group.attrs["MATLAB_fields"]]
    letters += [np.frombuffer(name.encode(), "S1") for name in names]
    listed = np.empty(len(letters), object)
    listed[:] = letters
    group.attrs.create("MATLAB_fields", listed, dtype=h5py.vlen_dtype(np.dtype("S1")))
