"""The one store: Zarr 3 groups of arrays that share the ``sample`` axis, written in blocks, resumable.

A store is a folder, or objects at a URL. Its template (every array, empty) is written first; a *block* is
samples that one writer fills; its element of ``done`` is written last, so resuming is reading ``done``. Where blocks
are many, a writer fills a *run* of them, of which each array has one file, a shard. No file is of two runs, so any
number of processes, on any number of machines, may fill a store. Attributes hold ``kind``, ``schema_version``,
``created_with`` and the complete generating ``config`` as JSON. `finish` writes a `manifest` with the SHA-256 of every
file, and every file that is read later is held against it.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from jaxtyping import Bool, Shaped
from numpy.typing import ArrayLike
from zarr.codecs import BloscCodec, Crc32cCodec

from spiketype import reading
from spiketype.damage import cause, readable, valid
from spiketype.datasets import manifest, zarr_arrays
from spiketype.datasets.checked import checked, writable
from spiketype.datasets.values import FILL, check_values
from spiketype.edge import Dataclass, Json, UserError, cache_dir
from spiketype.location import Location, Remote
from spiketype.reading import shortened

if TYPE_CHECKING:
    import xarray as xr

SCHEMA_VERSION = 2
BLOCK = 100  # the most samples in a block of simulated data: many workers can share those of one cell
SHARDS = 20  # runs of a cell at least, where its blocks are written in runs: as many workers can share it
SHARD_BYTES = 128_000_000  # in a run at most: a worker holds a few times as much
STALE_S = 600.0  # a file half-written for longer is nobody's: another process may be writing now
CHUNK_BYTES = 4_000_000  # chunks of 1-10 MB read and write fastest (measured: see DESIGN, the store)
# Blosc alone reads some truncated chunks without a word: the checksum makes every damage an error.
COMPRESSORS = (BloscCodec(cname="lz4", clevel=1, shuffle="shuffle"), Crc32cCodec())


ROOT = "zarr.json"  # of the group


class AlreadyThere(UserError):
    """Where a store was to be made there is something: another process may have been first."""


@dataclass(frozen=True)
class Variable:
    """An array to be filled: its dimensions (``sample`` first), NumPy dtype, unit and what it is."""

    dims: tuple[str, ...]
    dtype: str
    units: str
    long_name: str

    def row_bytes(self, sizes: Mapping[str, int]) -> int:
        """Return the bytes of one row, such as one sample, given the length of every dimension."""
        return math.prod(sizes[d] for d in self.dims[1:]) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Coordinate:
    """An array known when the store is made: names, positions, times."""

    dims: tuple[str, ...]
    values: Shaped[np.ndarray, "..."]
    units: str
    long_name: str


def check_new(path: Location) -> None:
    """Refuse a place where no store can be made, before any work for it.

    Raises:
        AlreadyThere: there is a store, or in the place of a folder something else.
        UserError: nothing can be written to the URL.
    """
    if occupied(path):
        raise _already_there(path)
    if isinstance(path, Remote):
        path.check_writable()
        next(path.files(), None)  # is there such a bucket, and is it ours?


def occupied(path: Location) -> bool:
    """Say whether there is something where a store is to be made: an empty folder, which it can replace, is nothing."""
    if isinstance(path, Remote) or path.is_symlink() or not path.is_dir():
        return path.exists()
    return path.resolve() == Path.cwd() or any(path.iterdir())


def create(
    path: Location,
    kind: str,
    sizes: Mapping[str, int],
    block: int,
    variables: Mapping[str, Variable],
    coordinates: Mapping[str, Coordinate],
    attributes: Json,
    run: int = 1,
) -> None:
    """Write the template of a store: every array with its final shape, nothing done.

    A folder appears whole. Objects are written one by one, the group's own last, and two writers of one template write
    the same bytes.

    Args:
        path: the folder, which must not exist or be empty, or a URL.
        kind: what the store holds, such as ``"eap"``.
        sizes: length of every dimension.
        block: samples in a block; the last one may have fewer.
        variables: arrays to be filled block by block (or, without ``sample``, row by row by whoever finishes a block).
        coordinates: arrays whose values are known now.
        attributes: ``config``, ``created_with``, ``seed``: anything JSON can hold.
        run: blocks that one writer fills and marks together: an array has one file or object, a shard, for all of them.

    Raises:
        AlreadyThere: `path` is `occupied`, or was when the template was complete.
        UserError: other objects lie at the URL, or nothing can be written to it.
    """
    check_new(path)
    with _appearing(path) as folder:
        group = zarr.create_group(folder, zarr_format=3)
        # "coordinates" is how xarray learns which arrays are coordinates (CF conventions).
        known: Json = {"kind": kind, "schema_version": SCHEMA_VERSION, "coordinates": " ".join(coordinates)}
        group.attrs.update({**known, **attributes})
        for name, variable in variables.items():
            _create_array(group, name, variable, tuple(sizes[d] for d in variable.dims), block, run)
        for name, coordinate in coordinates.items():
            values = np.asarray(coordinate.values)
            array = _create_array(group, name, coordinate, values.shape, block)
            array[...] = values
        done = Variable(("block",), "bool", "1", f"the block of {block} samples is complete")
        blocks = -(-sizes["sample"] // block)
        _create_array(group, "done", done, (blocks,), block, run)
        with warnings.catch_warnings():  # Zarr 3 has no word for it yet, though xarray wants it
            warnings.filterwarnings("ignore", message="Consolidated metadata")
            zarr.consolidate_metadata(folder, zarr_format=3)
        manifest.begin(folder)
        if not blocks:
            manifest.write(folder)


@contextlib.contextmanager
def _appearing(path: Location) -> Iterator[Path]:
    """Yield a folder whose files are at `path` when the block has ended."""
    if isinstance(path, Remote):
        with tempfile.TemporaryDirectory(prefix="spiketype-") as folder:
            yield Path(folder)
            _upload(Path(folder), path)
        return
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    yield partial
    try:
        os.rename(partial, path)
    except OSError as error:
        shutil.rmtree(partial)
        if not path.exists():
            raise
        raise _already_there(path) from error


def _already_there(path: Location) -> AlreadyThere:
    return AlreadyThere(f"{path} exists already: choose another folder or remove it")


def _upload(folder: Path, to: Remote) -> None:
    """Write the files of a template as objects, that of the group last: where it is, the rest is complete."""
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    if other := sorted({name for name, _ in to.files()} - set(names)):
        if to.exists():  # another writer has come first, and has blocks already
            raise _already_there(to)
        raise UserError(f"{to} holds other objects ({shortened(other)}): give a URL at which there are none")
    for name in sorted(names, key=lambda name: name == ROOT):
        (to / name).write_bytes((folder / name).read_bytes())


def _create_array(
    group: zarr.Group, name: str, spec: Variable | Coordinate, shape: tuple[int, ...], block: int, run: int = 1
) -> "zarr.Array[Any]":
    dtype = np.dtype(spec.dtype) if isinstance(spec, Variable) else np.asarray(spec.values).dtype
    text = dtype.kind in "UT"
    chunks, shards = tuple(max(1, n) for n in shape), None
    if spec.dims[0] == "sample":
        row_bytes, rows = max(1, math.prod(shape[1:]) * dtype.itemsize), run * block
        inside = _divisor(rows, max(1, CHUNK_BYTES // row_bytes))
        shards = (rows, *chunks[1:]) if run > 1 and inside < rows else None
        chunks = (inside, *chunks[1:])
    elif isinstance(spec, Variable):  # two processes may write two rows, or two runs of blocks, at once
        chunks = (run if name == "done" else 1, *chunks[1:])
    return group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype=str if text else dtype,
        dimension_names=spec.dims,
        attributes={"units": spec.units, "long_name": spec.long_name},
        fill_value=FILL.get(dtype.kind),
        compressors=None if text else COMPRESSORS,
    )


def _divisor(n: int, most: int) -> int:
    return max(d for d in range(1, min(n, most) + 1) if n % d == 0)


def choose_block(per_group: int, most: int = BLOCK) -> int:
    """Return the number of samples in a block: the largest divisor of `per_group` that is at most `most`.

    It depends on nothing else, lest a sample depend on how much of it is kept.

    Raises:
        UserError: the largest divisor is less than a tenth of `most`, so blocks would be tiny.
    """
    block = _divisor(per_group, most)
    if block < min(per_group, most // 10):
        raise UserError(f"{per_group} samples do not divide into blocks of at most {most}: choose a multiple of {most}")
    return block


def choose_run(blocks: int, block_bytes: int) -> int:
    """Return how many blocks of a cell are written together: a divisor of their number, 1 where they are few.

    Args:
        blocks: of a cell.
        block_bytes: of a block, in the largest array.
    """
    return _divisor(blocks, max(1, min(blocks // SHARDS, SHARD_BYTES // block_bytes)))


def run_of(path: Location) -> int:
    """Return how many blocks of a store are written together."""
    return OnDisk(path, "done").chunks[0]


def write_block(path: Location, block: int, index: int, arrays: Mapping[str, Shaped[np.ndarray, "sample ..."]]) -> None:
    """Fill block number `index` of `block` samples, or with more samples a run of blocks that begins there.

    Different runs may be written by different processes.
    """
    manifest.remove(path)
    group = zarr.open_group(writable(path), mode="r+", zarr_format=3, use_consolidated=False)
    for name, values in arrays.items():
        _array(path, group, name)[index * block : index * block + len(values)] = values


def mark_done(
    path: Location, index: int, small: Mapping[str, tuple[int, ArrayLike]] | None = None, run: int = 1
) -> None:
    """Write `small` (array name: position, value), and then say that a block, or a run of some, is complete."""
    group = zarr.open_group(writable(path), mode="r+", zarr_format=3, use_consolidated=False)
    for name, (position, value) in (small or {}).items():
        _array(path, group, name)[position] = value
    _array(path, group, "done")[index : index + run] = True


def finish(path: Location) -> None:
    """Write the manifest of a store whose blocks are all complete, if it has none: by every writer, at its end.

    Raises:
        UserError: a file of the template was changed since.
    """
    if manifest.read(path) is None and done(path).all():
        manifest.check_template(path)
        manifest.write(path)


def done(path: Location) -> Bool[np.ndarray, " block"]:
    """Say which blocks are complete."""
    finished = read(path, "done")
    if finished.ndim != 1 or finished.dtype != bool:
        raise UserError(f"{path}/done is {finished.dtype} of shape {finished.shape}: delete {path} and make it again")
    return finished


def is_done(path: Location, index: int) -> bool:
    """Say whether one block is complete."""
    return bool(_array(path, _group(path), "done")[index])


def clean(path: Location) -> None:
    """Remove what a killed writer left half-written, `STALE_S` ago or before, in a store and of its template.

    Objects are never half-written.
    """
    if isinstance(path, Remote):
        return
    for leftover in (*path.rglob("*.partial"), *path.parent.glob(f".{path.name}.*.partial")):
        with contextlib.suppress(FileNotFoundError):  # another process cleans as well, or has just finished it
            if time.time() - leftover.stat().st_mtime < STALE_S:
                continue
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def producer(attributes: Json) -> str:
    """Return the program that wrote a store, with its version where the store tells it."""
    try:
        return f"spiketype {json.loads(attributes['created_with'])['spiketype']}"
    except (KeyError, TypeError, ValueError):
        return "spiketype"


def kind_of(path: Location) -> str:
    """Return the kind of a store, of any schema version; "" where there is none."""
    try:
        return str(_group(path).attrs.get("kind", ""))
    except UserError:
        return ""


class _Attributes(Json):
    """The attributes of a store; one that is asked for and not there is the user's to know."""

    def __init__(self, path: Location, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.path = path

    def __missing__(self, name: str) -> Any:
        raise UserError(f"{self.path / 'zarr.json'} lacks the attribute {name}: delete {self.path} and make it again")


def attributes(path: Location, kind: str) -> Json:
    """Return the attributes of a store of the given kind.

    Raises:
        UserError: not a store, another kind, another schema version.
    """
    attrs = _Attributes(path, _group(path).attrs)
    if attrs.get("kind") != kind:
        raise UserError(f"{path} holds {attrs.get('kind', 'something unknown')!r}, not an {kind!r} store")
    if attrs.get("schema_version") != SCHEMA_VERSION:
        raise UserError(f"{path} has schema version {attrs.get('schema_version')}, not {SCHEMA_VERSION}: make it again")
    return attrs


def validate(path: Location, kind: str, names: Sequence[str]) -> Sequence[str]:
    """Check that a store is of this kind, complete, and has the named arrays; note it if it has no manifest.

    Returns:
        The names of all its arrays.

    Raises:
        UserError: says which blocks are unfinished or which arrays are missing, and what to do.
    """
    attributes(path, kind)
    group = _group(path)
    with _damage(f"{path} cannot be read", path):
        there = zarr_arrays.arrays(group, path)
    missing = [name for name in names if name not in there]
    if missing:
        raise UserError(f"{path} has no {', '.join(missing)}; it has {', '.join(there) or 'none'}")
    finished = done(path)
    if not finished.all():
        open_blocks = np.flatnonzero(~finished)
        shown = ", ".join(map(str, open_blocks[:10])) + (", ..." if len(open_blocks) > 10 else "")
        raise UserError(
            f"{path} is unfinished: {len(open_blocks)} of {len(finished)} blocks are missing ({shown}); "
            "repeat the command that made it to continue"
        )
    if manifest.read(path) is None:
        reading.note(
            path,
            "has no checksums of its files, because whoever wrote it was stopped at its very end, so not every damage "
            "would be noticed: repeat the command that made it to have them",
        )
    return tuple(there)


def read(
    path: Location, name: str, start: int = 0, stop: int | None = None, unknown: bool = False
) -> Shaped[np.ndarray, "..."]:
    """Read samples `start` to `stop` (all by default) of one array of a store; -1 is a value if `unknown`.

    Raises:
        UserError: a chunk cannot be read, or a value is missing, NaN or infinite (the sample's index is named).
    """
    array = _array(path, _group(path), name)
    if array.ndim == 0 or not array.shape[0]:
        with _damage(f"{path}/{name} is damaged", path):
            return np.asarray(array[...])
    if stop is None:
        zarr_arrays.check(array, f"{path}/{name}")
    stop = array.shape[0] if stop is None else stop
    if start >= stop:
        return np.empty((0, *array.shape[1:]), array.dtype)
    rows = array.chunks[0]
    parts = []
    for first in range(start - start % rows, stop, rows):  # one chunk a call: a damaged one is named
        lo, hi = max(first, start), min(first + rows, stop)
        with _damage(f"{path}/{name}: the chunk of samples {lo} to {hi - 1} is damaged", path):
            parts.append(valid(np.asarray(array[lo:hi])))
        check_values(parts[-1], f"{path}/{name}", lo, unknown)
    return np.concatenate(parts) if len(parts) != 1 else parts[0]


class OnDisk:
    """One array of a store that stays on disk; slices along ``sample`` are read and checked by `read`."""

    def __init__(self, path: Location, name: str) -> None:
        found = _array(path, _group(path), name)
        self.path, self.name = path, name
        self.shape: tuple[int, ...] = found.shape
        self.dtype: np.dtype[Any] = found.dtype
        self.chunks: tuple[int, ...] = found.chunks

    def __getitem__(self, rows: slice) -> Shaped[np.ndarray, "sample ..."]:
        start, stop, _ = rows.indices(self.shape[0])
        return read(self.path, self.name, start, stop)


def cached(kind: str, name: str, wanted: Dataclass, made_of: Json | None = None) -> Path:
    """Return where in the cache a store of this kind and configuration is kept; the folder above it is made.

    Args:
        kind: of the store.
        name: with which the name of its folder begins.
        wanted: its configuration.
        made_of: what the configuration only names, such as the content of files.
    """
    key = {**dataclasses.asdict(wanted), **(made_of or {}), "schema_version": SCHEMA_VERSION}
    what = json.dumps(key, sort_keys=True)
    path = cache_dir() / kind / f"{name}-{hashlib.sha256(what.encode()).hexdigest()[:16]}.zarr"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def open_dataset(path: Location) -> "xr.Dataset":
    """Open a store as a lazy xarray Dataset, with units, names and provenance."""
    import xarray as xr  # takes a second, which writers need not spend

    group = _group(path)
    for name, array in zarr_arrays.arrays(group, path).items():
        with readable(f"{path}/{name}", "an array of Zarr 3"):
            zarr_arrays.check(array, f"{path}/{name}")
    with readable(path, "a store"):
        found: xr.Dataset = xr.open_zarr(checked(path), consolidated=False, chunks=None)
    return found


def config(attrs: Json) -> Json:
    """Return the generating configuration in a store's attributes.

    Raises:
        UserError: it is damaged.
    """
    with readable(getattr(attrs, "path", "a store"), "a store with its configuration", "make it again"):
        found = json.loads(attrs["config"])
        if not isinstance(found, dict):
            raise TypeError("it is no object")
    return found


def _group(path: Location) -> zarr.Group:
    if isinstance(path, Path) and path.is_file():
        raise UserError(f"{path} is a file, and a store is a folder of Zarr that spiketype has made: give that folder")
    with readable(path, "a Zarr 3 store"):
        return zarr.open_group(checked(path), mode="r", zarr_format=3, use_consolidated=False)  # its files are checked


def _array(path: Location, group: zarr.Group, name: str) -> "zarr.Array[Any]":
    with _damage(f"{path}/{name} cannot be read", path):
        found = group[name]
    if not isinstance(found, zarr.Array):
        raise UserError(f"{path}/{name} is not an array")
    zarr_arrays.check_chunks(found, f"{path}/{name}")
    return found


@contextlib.contextmanager
def _damage(what: str, path: Location) -> Iterator[None]:
    """Turn whatever Zarr raises for a damaged file into `what`, the reason and the remedy."""
    try:
        yield
    except Exception as error:  # libraries raise anything for damaged files
        reason = cause(error).removesuffix(f": {manifest.remedy(path)}").replace(f"{path}/", "")
        raise UserError(f"{what} ({reason}); {manifest.remedy(path)}") from error
