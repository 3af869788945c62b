"""Damage to files, seeded: of their bytes, and of what NumPy, JSON, HDF5, zip, XML and text files say.

A file or a folder of files is a dict of contents by relative name. A damage takes the content of one file and a
generator, and returns another content; it is a function of both alone.
"""

import io
import json
import pickle
import re
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

Files = dict[str, bytes]
Rng = np.random.Generator
Damage = Callable[[bytes, Rng], bytes]
Item = TypeVar("Item")

CANARY = Path(tempfile.gettempdir()) / "spiketype-fuzzing-canary"
"""What hostile content makes where a reader runs it."""

BLOWN_UP = 300_000  # bytes that repeating a part of a file may reach
MOST_CHANGED = 10**6  # numbers of a dataset that is read to be changed: 10^8 promised ones would be written out
PROMISED = (2**31, 2**40, 5 * 10**12, 2**62, 2**63 - 1, 10**30)  # elements that a file does not have
NUMBERS = (
    *("nan", "inf", "-inf", "-1", "0", "1e999", "1e-320", "1e308", "-0.0", "1e20", "4294967296", "2147483648"),
    *("9" * 20, "0x10", "1,5", "\u0661", "1" * 5000, "true", "", " ", "\x00", "3.7", "1e-9", "--", "1_0", "2", "7"),
)
WORDS = ("", " ", "nan", "\x00", "../..", "/etc/passwd", "\xe9" * 300, "a" * 5000, "\u2028", "=1+1", '"', "'", "soma")
HOSTILE = f"""
__import__('pathlib').Path({str(CANARY)!r}).touch()
sample_rate = open({str(CANARY)!r}, 'w')
"""
ENTITIES = f"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd"><!ENTITY b0 "haha">
{"".join(f'<!ENTITY b{k} "{f"&b{k - 1};" * 10}">' for k in range(1, 12))}]>""".encode()


class _Hostile:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (CANARY,)


PICKLE = pickle.dumps(_Hostile())


def mutated(files: Files, rng: Rng) -> Files:
    """Return files of which one to three are damaged, taken away, or another kind of thing."""
    whole, files = files, dict(files)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        if rng.random() < 0.08:
            _rearranged(files, rng)
        name = _one(sorted(files), rng)
        files[name] = _damaged(name, files[name], rng, whole=files[name] == whole.get(name))
    return files


def _rearranged(files: Files, rng: Rng) -> None:
    """Remove a file, empty it, or put something else in its place."""
    name = _one(sorted(files), rng)
    kind = rng.integers(5)
    if kind == 0 and len(files) > 1:
        del files[name]
    elif kind == 1:
        files[name] = b""
    elif kind == 2:
        files[name] = files[_one(sorted(files), rng)]
    elif kind == 3 and len(files) > 1 and not any(other.startswith(f"{name}/") for other in files):
        del files[name]  # a folder of this name
        files[f"{name}/inside"] = b"x"
    else:
        files[name] = PICKLE


def _damaged(name: str, content: bytes, rng: Rng, whole: bool = True) -> bytes:
    special = next((found for ending, found in BY_ENDING.items() if name.lower().endswith(ending)), ())
    if not special and _is_text(content):
        special = TEXT
    if special in (HDF5, MAT) and not whole:
        special = ()  # h5py and SciPy crash over some damage, which is for the readers to survive
    if special and rng.random() < 0.65:
        try:
            return _one(special, rng)(content, rng)
        except Exception:  # damaged before, so that it has no structure to change
            pass
    return _one(BYTES, rng)(content, rng)


def _one(items: Sequence[Item], rng: Rng) -> Item:
    return items[int(rng.integers(len(items)))]


def _is_text(content: bytes) -> bool:
    return bool(content) and b"\x00" not in content[:1000] and content[:1000].isascii()


def _range(content: bytes, rng: Rng, most: int = 400) -> tuple[int, int]:
    start = int(rng.integers(len(content) + 1))
    return start, min(len(content), start + int(rng.integers(1, most)))


# --- bytes


def flipped(content: bytes, rng: Rng) -> bytes:
    """Flip one to eight bits, half the time near the beginning, where headers are."""
    new = bytearray(content)
    within = len(new) if rng.random() < 0.5 else min(len(new), 600)
    for at in rng.integers(max(within, 1), size=int(rng.integers(1, 9))):
        if at < len(new):
            new[at] ^= 1 << int(rng.integers(8))
    return bytes(new)


def truncated(content: bytes, rng: Rng) -> bytes:
    """Cut the end off."""
    return content[: int(rng.integers(len(content) + 1))]


def zeroed(content: bytes, rng: Rng) -> bytes:
    """Set a range to zeros, or to ones."""
    start, stop = _range(content, rng)
    return content[:start] + _one((b"\x00", b"\xff"), rng) * (stop - start) + content[stop:]


def removed(content: bytes, rng: Rng) -> bytes:
    """Take a range out."""
    start, stop = _range(content, rng)
    return content[:start] + content[stop:]


def duplicated(content: bytes, rng: Rng) -> bytes:
    """Repeat a range, sometimes very often."""
    start, stop = _range(content, rng)
    times = 2 if rng.random() < 0.8 else BLOWN_UP // max(stop - start, 1)
    return content[:start] + content[start:stop] * times + content[stop:]


def spliced(content: bytes, rng: Rng) -> bytes:
    """Copy a range over another."""
    (a, b), (at, _) = _range(content, rng), _range(content, rng)
    return content[:at] + content[a:b] + content[at + b - a :]


def inserted(content: bytes, rng: Rng) -> bytes:
    """Insert random bytes."""
    at, _ = _range(content, rng)
    return content[:at] + rng.bytes(int(rng.integers(1, 40))) + content[at:]


def set_number(content: bytes, rng: Rng) -> bytes:
    """Overwrite an aligned number of 2, 4 or 8 bytes by one at an edge of its range."""
    code, size = _one((("h", 2), ("i", 4), ("q", 8), ("f", 4), ("d", 8)), rng)
    most = 2 ** (8 * size - 1) - 1
    value = _one((0, -1, 1, most, -most - 1, most // 2, 1000), rng)
    if code in "fd":
        value = _one((0.0, -1.0, np.nan, np.inf, 1e-38, 1e38), rng)
    within = min(len(content), 6200 if rng.random() < 0.7 else len(content))
    at = int(rng.integers(within + 1)) // 2 * 2
    return content[:at] + struct.pack(f"<{code}", value) + content[at + size :]


BYTES: tuple[Damage, ...] = (flipped, flipped, truncated, zeroed, removed, duplicated, spliced, inserted, set_number)


# --- text


def number_changed(content: bytes, rng: Rng) -> bytes:
    """Write something else in the place of a number."""
    found = [*re.finditer(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", content)]
    place = _one(found, rng)
    return content[: place.start()] + _one(NUMBERS, rng).encode() + content[place.end() :]


def word_changed(content: bytes, rng: Rng) -> bytes:
    """Write something else in the place of a word."""
    place = _one([*re.finditer(rb"\w+", content)], rng)
    return content[: place.start()] + _one(WORDS, rng).encode() + content[place.end() :]


def lines_changed(content: bytes, rng: Rng) -> bytes:
    """Remove, repeat or exchange lines, or fields of one."""
    lines = content.split(b"\n")
    a, b = (int(rng.integers(len(lines))) for _ in range(2))
    kind = rng.integers(5)
    if kind == 0:
        del lines[a]
    elif kind == 1:
        lines.insert(b, lines[a])
    elif kind == 2:
        lines[a], lines[b] = lines[b], lines[a]
    elif kind == 3:
        fields = lines[a].split(b",")
        del fields[int(rng.integers(len(fields)))]
        lines[a] = b",".join(fields)
    else:
        lines[a] += b"," + lines[b]
    return b"\n".join(lines)


def encoded(content: bytes, rng: Rng) -> bytes:
    """Write in another encoding, or with other ends of lines, or other marks between fields."""
    text = content.decode("latin-1")
    return _one(
        (
            text.encode("utf-16"),
            b"\xef\xbb\xbf" + content,
            content.replace(b"\n", b"\r\n"),
            content.replace(b"\n", b"\r"),
            content.replace(b",", b";"),
            content.replace(b",", b"\t"),
            content.replace(b",", b'"'),
            content + b'"',
            content.replace(b".", b","),
            content + bytes(50),
        ),
        rng,
    )


def long_line(content: bytes, rng: Rng) -> bytes:
    """Put a very long line first, of marks, brackets or a number."""
    return _one((b",", b"(", b"[", b"7", b"-", b"a.", b'"', b"<a>", b"_"), rng) * BLOWN_UP + b"\n" + content


def hostile_text(content: bytes, rng: Rng) -> bytes:
    """Put code at the beginning or the end."""
    return HOSTILE.encode() + content if rng.random() < 0.5 else content + HOSTILE.encode()


TEXT: tuple[Damage, ...] = (
    *(number_changed, number_changed, number_changed, word_changed, word_changed),
    *(lines_changed, encoded, long_line, hostile_text),
)


def entities(content: bytes, rng: Rng) -> bytes:
    """Use entities of a file of the machine, and of entities of entities, in the place of a number."""
    body = re.sub(rb"^<\?xml.*?\?>", b"", content)
    place = _one([*re.finditer(rb"(?<=>)[^<]*(?=<)", body)], rng)
    return ENTITIES + body[: place.start()] + _one((b"&e;", b"&b11;", b"&b2;"), rng) + body[place.end() :]


# --- JSON

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3, 0.5, 2**31, 10**30, 1e308, float("nan"), float("inf"), "", "x", "a" * 3000),
    *(
        [],
        {},
        [[]],
        [1, 2],
        ["a"],
        {"a": 1},
        [[1, 2], [3]],
        [None],
        -(10**400),
        "\ud800",
        "\x00",
        "../..",
        [0] * 20_000,
    ),
)


def json_changed(content: bytes, rng: Rng) -> bytes:
    """Change, remove or add a value, at any depth."""
    value = json.loads(content)
    places = [*_places(value)]
    if not places:
        return json.dumps(_one(ODD, rng)).encode()
    for _ in range(int(rng.choice([1, 1, 2]))):
        holder, key = _one(places, rng)
        kind = rng.integers(5)
        if kind == 0 and isinstance(holder, dict):
            holder.pop(key, None)
        elif kind == 0 and key < len(holder):
            del holder[key]
        elif kind == 1:
            other, name = _one(places, rng)
            if isinstance(holder, dict) or key < len(holder):
                holder[key] = json.loads(json.dumps(other.get(name) if isinstance(other, dict) else other[:5]))
        elif isinstance(holder, dict) or key < len(holder):
            holder[key] = _one(ODD, rng)
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return (holder, key) of every value inside."""
    inside = list(value.items()) if isinstance(value, dict) else [*enumerate(value)] if isinstance(value, list) else []
    return [(value, key) for key, _ in inside] + [place for _, each in inside for place in _places(each)]


def json_nested(content: bytes, rng: Rng) -> bytes:
    """Nest deeper than a parser calls itself."""
    opened, closed = _one((("[", "]"), ('{"a":', "}")), rng)
    deep = opened * 100_000 + "1" + closed * 100_000
    place = _one([*re.finditer(rb"\d+", content)], rng)
    return content[: place.start()] + deep.encode() + content[place.end() :]


JSON: tuple[Damage, ...] = (*[json_changed] * 6, json_nested, number_changed, word_changed, encoded)


# --- NumPy


def npy_bytes(array: np.ndarray) -> bytes:
    """Return the file of an array."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def array_changed(content: bytes, rng: Rng) -> bytes:
    """Change the kind, the dimensions or the values of an array."""
    array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    if not array.dtype.itemsize or max(array.shape, default=0) > len(content):
        raise ValueError("damaged before")  # elements or rows of no bytes, over which NumPy goes one by one
    return npy_bytes(_one((_other_kind, _other_shape, _other_values), rng)(array, rng))


def _other_kind(array: np.ndarray, rng: Rng) -> np.ndarray:
    kinds: tuple[Any, ...] = (
        *(
            "f2",
            ">f4",
            ">f8",
            "f8",
            "c8",
            "?",
            "i1",
            "u8",
            ">i2",
            "M8[s]",
            "m8[ns]",
            "S3",
            "U3",
            "V4",
            "S0",
            "f4",
            "i4",
        ),
        *(
            [("a", "<f4"), ("b", "U2")],
            [("sample_index", "i8"), ("unit_index", "i8"), ("segment_index", "i8")],
            "longdouble",
        ),
    )
    kind = _one(kinds, rng)
    if array.dtype.kind in "SU" and kind in ("M8[s]", "m8[ns]"):  # over some words NumPy 2.4 crashes
        return np.zeros(array.shape, kind)
    with np.errstate(all="ignore"):
        try:
            return array.astype(kind)
        except (TypeError, ValueError):
            return np.zeros(array.shape, kind)


def _other_shape(array: np.ndarray, rng: Rng) -> np.ndarray:
    flat = array.reshape(-1)
    shapes = (
        *(array[..., None], array[None], array.T, flat, flat[:0], array[:0], array[:1], array[:-1], array[..., :1]),
        *(flat[0].reshape(()) if flat.size else array, array.reshape(*array.shape, *[1] * 8), array[..., :0]),
        *(np.repeat(array, 2, 0) if array.ndim else array[None], np.asfortranarray(array), array[::-1]),
    )
    return np.asarray(_one(shapes, rng))


def _other_values(array: np.ndarray, rng: Rng) -> np.ndarray:
    array = array.copy()
    if array.dtype.kind in "fc":
        value: Any = _one((np.nan, np.inf, -np.inf, 1e300, 1e-300, -1.0, 0.0, 0.5, 3e38), rng)
    elif array.dtype.kind in "iu":
        info = np.iinfo(array.dtype)
        value = int(_one((info.min, info.max, 0, 1, 5, info.max // 2), rng))
    elif array.dtype.kind == "U":
        value = _one(WORDS, rng)
    else:
        return array
    some = rng.random(array.shape) < _one((0.02, 0.3, 1.0), rng)
    with np.errstate(all="ignore"):
        return np.where(some, np.asarray(value).astype(array.dtype), array)


def header_changed(content: bytes, rng: Rng) -> bytes:
    """Write another header before the same data: huge, negative or odd shapes and types, or what is no header."""
    most = _one(PROMISED, rng)
    shapes = (
        *(f"({most},)", f"({most}, 3)", f"(1, {most})", "(-1,)", "(-3, -4)", "()", "(0, 99999999999)", "(1.5,)", "3"),
        *("(True,)", "None", "('a',)", "(1,) * 10", f"({'1, ' * 70})", "(1" * 3000, f"({most}, 0)", f"({10**9}, 20)"),
    )
    kinds = (
        "'<f4'",
        "'|O'",
        "'<f8'",
        "'|S100000000'",
        "'<U999999999'",
        "[('a', '<f4')]",
        "'nonsense'",
        "5",
        "'|V0'",
        "None",
    )
    header = f"{{'descr': {_one(kinds, rng)}, 'fortran_order': False, 'shape': {_one(shapes, rng)}, }}"
    header = _one((header, header, header, header[:-4], header + HOSTILE, "[" * 5000, "__import__('os')"), rng)
    start = content.find(b"}") + 1
    data = content[content.find(b"\n", start) + 1 :] if start else b""
    text = header.encode("latin-1", "replace") + b"\n"
    if len(text) < 2**16:
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + data


def pickled(content: bytes, rng: Rng) -> bytes:
    """Write an array of hostile objects, or their pickle alone."""
    hostile = np.array([_Hostile(), _Hostile()], dtype=object)
    return npy_bytes(_one((hostile, hostile.reshape(2, 1)), rng)) if rng.random() < 0.7 else PICKLE


NPY: tuple[Damage, ...] = (*[array_changed] * 5, header_changed, header_changed, pickled)


# --- zip, and .npz


def unzipped(content: bytes) -> list[tuple[str, bytes]]:
    """Return the members of an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def zipped(members: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return the archive of members; some may have one name."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w", method, compresslevel=1) as archive:
        for name, each in members:
            archive.writestr(zipfile.ZipInfo(name), each, method)
    return buffer.getvalue()


def member_damaged(content: bytes, rng: Rng) -> bytes:
    """Damage a member as a file of its own, and put the archive together again."""
    members = unzipped(content)
    k = int(rng.integers(len(members)))
    members[k] = members[k][0], _damaged(*members[k], rng)
    return zipped(members, int(rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2])))


def members_changed(content: bytes, rng: Rng) -> bytes:
    """Remove, repeat, rename or exchange members."""
    members = unzipped(content)
    a, b = (int(rng.integers(len(members))) for _ in range(2))
    names = (
        "../outside.npy",
        "/tmp/absolute.npy",
        "waveform.npy",
        "waveform",
        "a" * 300,
        "a/b/",
        "\x00",
        "rate_kHz.npy",
    )
    kind = rng.integers(4)
    if kind == 0:
        del members[a]
    elif kind == 1:
        members.append((members[a][0], members[b][1]))
    elif kind == 2:
        members[a] = _one(names, rng), members[a][1]
    else:
        (m, x), (n, y) = members[a], members[b]
        members[a], members[b] = (m, y), (n, x)
    return zipped(members)


NPZ: tuple[Damage, ...] = (*[member_damaged] * 8, members_changed)
ZIP: tuple[Damage, ...] = (*[member_damaged] * 6, members_changed)


# --- HDF5


def hdf5_changed(content: bytes, rng: Rng) -> bytes:
    """Replace, remove, link or retype a dataset, a group or an attribute."""
    import h5py

    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = _one(names, rng)
        for _ in range(int(rng.choice([1, 1, 2]))):
            if name in file:
                _one((_dataset_changed, _dataset_changed, _attribute_changed, _link_changed, _promised), rng)(
                    file, name, rng
                )
            name = _one(names, rng)
    return buffer.getvalue()


def _dataset_changed(file: Any, name: str, rng: Rng) -> None:
    item = file[name]
    whole = hasattr(item, "dtype") and item.dtype.kind in "fiu" and item.size <= MOST_CHANGED
    values = item[()] if whole else np.arange(6.0).reshape(2, 3)
    attrs = dict(item.attrs)
    new = _one((_other_kind, _other_shape, _other_values), rng)(np.asarray(values), rng)
    if new.dtype.kind in "UMmcO" or new.dtype == np.longdouble or not new.dtype.itemsize:
        new = np.asarray(_one((np.bytes_(b"word"), np.array([b"a", b"b"]), np.arange(3), np.bytes_(b"\xff\xfe")), rng))
    del file[name]
    file[name] = new
    for key, value in attrs.items():
        file[name].attrs[key] = value


def _attribute_changed(file: Any, name: str, rng: Rng) -> None:
    attrs = file[name if rng.random() < 0.8 else "/"].attrs
    if not len(attrs):
        return
    key = _one(sorted(attrs), rng)
    del attrs[key]
    if rng.random() < 0.8:
        attrs[key] = _one(
            ("", "volts", 0, -1.5, np.nan, np.arange(3), b"\xff", np.inf, "Units", np.zeros(0), file.ref), rng
        )


def _link_changed(file: Any, name: str, rng: Rng) -> None:
    import h5py

    del file[name]
    kind = rng.integers(4)
    if kind == 1:
        file[name] = h5py.SoftLink(_one(("/", f"/{name}", "/nowhere"), rng))
    elif kind == 2:
        file[name] = h5py.ExternalLink("/etc/passwd", "/")
    elif kind == 3 and "/" in name:
        file[name] = file[name.rpartition("/")[0]]  # a circle


def _promised(file: Any, name: str, rng: Rng) -> None:
    attrs = dict(file[name].attrs)
    ndim = getattr(file[name], "ndim", 1) or 1
    del file[name]
    shape = (int(_one((10**8, 10**11, 10**15), rng)), *[20] * (ndim - 1))
    file.create_dataset(name, shape, "f8", chunks=(10**4, *[20] * (ndim - 1)), compression="gzip")
    for key, value in attrs.items():
        file[name].attrs[key] = value


HDF5: tuple[Damage, ...] = (hdf5_changed,)


# --- MATLAB 5


def mat_changed(content: bytes, rng: Rng) -> bytes:
    """Change a variable of a file of MATLAB 5, or a field of its struct."""
    import scipy.io

    found = {k: v for k, v in scipy.io.loadmat(io.BytesIO(content)).items() if not k.startswith("__")}
    _field_changed(found, rng)
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, found, do_compression=bool(rng.random() < 0.5))
    return buffer.getvalue()


def _field_changed(values: dict[str, Any], rng: Rng) -> None:
    name = _one(sorted(values), rng)
    value = np.asarray(values[name])
    if value.dtype.names and rng.random() < 0.85:
        inside = {field: value.flat[0][field] for field in value.dtype.names}
        _field_changed(inside, rng)
        values[name] = inside
    elif rng.random() < 0.15:
        del values[name]
    elif value.dtype.kind == "O" and value.size and rng.random() < 0.7:
        cells = value.copy()
        cells.flat[int(rng.integers(cells.size))] = _one(
            (np.zeros((0, 0)), "word", np.arange(5.0), np.eye(3), np.nan), rng
        )
        values[name] = cells
    elif value.dtype.kind in "fiu" and rng.random() < 0.8:
        new = _one((_other_shape, _other_values), rng)(value, rng)
        values[name] = new if new.ndim < 5 else value.T
    else:
        values[name] = _one(("word", np.zeros((0, 0)), np.eye(3), {"a": 1}, 1j, np.array(["a", "b"], object), 7), rng)


MAT: tuple[Damage, ...] = (mat_changed,)

BY_ENDING: dict[str, tuple[Damage, ...]] = {
    ".npy": NPY,
    ".npz": NPZ,
    ".zip": ZIP,
    ".json": JSON,
    ".zattrs": JSON,
    ".zarray": JSON,
    ".zgroup": JSON,
    ".xml": (*TEXT, entities, entities),
    ".nwb": HDF5,
    ".v73.mat": HDF5,
    ".mat": MAT,
}
