"""Which samples form training step s: a pure function of (seed, s), so that the step is all there is to save.

:func:`plan` describes a training part, :func:`draw` draws a batch of indices, with replacement. Arrays that fit
(:func:`fits`) live on the device and are indexed inside jit. Larger ones stay in their Zarr store: the same indices are
drawn ahead of the steps, and :func:`stream` reads those samples. What a step sees is the same either way.
:func:`iterate` goes through a part once, in order, for evaluation.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import zarr
from jaxtyping import Array, Int, Int32, PRNGKeyArray, Shaped

from spiketype.datasets.store import OnDisk


@runtime_checkable
class Rows(Protocol):
    """An array with samples along its first axis, in memory or on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of an element."""

    def __getitem__(self, rows: slice, /) -> object: ...


FIRST_STEPS = 10  # that are read together
Arrays = Mapping[str, Rows]
Either = Array | np.ndarray  # a plan is made with NumPy and used on the device


def fits(n_bytes: int, fraction: float = 0.4) -> bool:
    """Say whether arrays of ``n_bytes`` in all can be read whole and put on each device.

    They may take ``fraction`` of the host's available memory (0.4 leaves room for a second copy while they
    are moved) and, where the device has its own, of what is free there.
    """
    own = jax.local_devices()[0].memory_stats() or {}  # None on a CPU
    free = _host_memory_bytes()
    if "bytes_limit" in own:
        free = min(free, own["bytes_limit"] - own.get("bytes_in_use", 0))
    return n_bytes <= fraction * free


def _host_memory_bytes() -> int:
    """Return the memory this process may still take: Linux's own estimate, at most a container's limit."""
    page = os.sysconf("SC_PAGE_SIZE")
    sizes = [os.sysconf("SC_PHYS_PAGES") * page]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = meminfo.read_text().splitlines()
        sizes += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for limit in map(Path, ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        if limit.exists() and (text := limit.read_text().strip()).isdigit():
            sizes.append(int(text))
    return min(sizes)


class Units(NamedTuple):
    """The units of a training part (cells, say), sorted by class: where the samples of each start, and how many."""

    offset: Int[np.ndarray, " unit_max"]
    size: Int[np.ndarray, " unit_max"]


class Plan(NamedTuple):
    """The training part of one member, sorted by class and in it by unit; int32 throughout.

    Attributes:
        order: sample indices, padded.
        offset: where the samples of a class start in ``order``; with units, its units among them.
        size: how many they are.
        units: None where samples are drawn from classes directly.
    """

    order: Int[np.ndarray, " n_max"]
    offset: Int[np.ndarray, " class"]
    size: Int[np.ndarray, " class"]
    units: Units | None = None


def plan(
    train: Int[np.ndarray, " train"],
    label: Shaped[np.ndarray, " sample"],
    balanced: bool,
    n_max: int | None = None,
    unit: Int[np.ndarray, " sample"] | None = None,
) -> Plan:
    """Describe a training part for :func:`draw`.

    Args:
        train: ascending sample indices.
        label: class of every sample of the data, not of the training part alone.
        balanced: draw every class of the part equally often; otherwise every sample, or unit.
        n_max: length to pad to, so that parts of different sizes can be stacked (``jax.tree.map(np.stack)``).
        unit: of every sample of the data, from 0 on: draw those of a class equally often, whatever their size.
    """
    if not len(train):
        raise ValueError("the training part is empty")
    # Without balancing, the whole part is one class.
    of_sample = label[train] if balanced else np.zeros(len(train), int)
    of_unit = np.zeros(len(train), int) if unit is None else unit[train]
    ranked = np.lexsort((of_unit, of_sample))
    order = np.full(n_max or len(train), train[0], np.int32)
    order[: len(train)] = train[ranked]
    in_class, units = of_sample, None
    if unit is not None:
        pairs = np.stack([of_sample, of_unit])[:, ranked]
        (in_class, _), first, count = np.unique(pairs, axis=1, return_index=True, return_counts=True)
        spare = (0, int(unit.max()) + 1 - len(first))
        padded = np.pad(first, spare), np.pad(count, spare, constant_values=1)
        units = Units(*(values.astype(np.int32) for values in padded))
    size = np.unique(in_class, return_counts=True)[1].astype(np.int32)
    return Plan(order, (np.cumsum(size) - size).astype(np.int32), size, units)


def draw(plan: Plan, key: PRNGKeyArray, batch: int) -> Int32[Array, " batch"]:
    """Draw sample indices of a training part, with replacement; for jit and vmap.

    The classes take turns, from a random one on, so their numbers in a batch differ by one at most. ``key``
    is that of the step: ``jax.random.fold_in(member_key, step)``.
    """
    first_key, *keys = jax.random.split(key, 2 if plan.units is None else 3)
    n_class = plan.size.shape[0]
    first = jax.random.randint(first_key, (), 0, n_class, jnp.int32)
    of_class = (first + jnp.arange(batch, dtype=jnp.int32)) % n_class
    place = _any_of(keys[0], plan.offset, plan.size, of_class)
    if plan.units is not None:
        place = _any_of(keys[1], *plan.units, place)
    return jnp.asarray(plan.order)[place]


def _any_of(key: PRNGKeyArray, offset: Either, size: Either, of: jax.Array) -> jax.Array:
    """Return a random place (batch,) in each of the stretches ``of`` (batch,)."""
    return jnp.asarray(offset)[of] + jax.random.randint(key, of.shape, 0, jnp.asarray(size)[of], jnp.int32)


class Batch(NamedTuple):
    """Samples read from a store: ``sample`` their indices there, ``arrays`` their values, (indices, ...)."""

    sample: np.ndarray
    arrays: dict[str, np.ndarray]


def rows_ahead(row_bytes: int, fraction: float = 0.1) -> int:
    """Return how many samples :func:`stream` may hold of a stretch of steps: they fill ``fraction`` of the memory."""
    return max(1, int(fraction * _host_memory_bytes()) // row_bytes)


def stream(arrays: Arrays, drawn: Iterable[Int[np.ndarray, "..."]], rows: int) -> Iterator[Batch]:
    """Yield the samples that are drawn for each of some steps, read from disk before they are wanted.

    A chunk has many samples, of which a batch wants few. So as many steps as draw ``rows`` samples are read together:
    every block of the store is then read at most once for all of them, in order. With ``rows`` a tenth of the samples
    of the store, that is ten samples read for one that is used. The first stretches are shorter, lest training waits.
    A thread reads the next stretch while one is used: memory is that of two.

    A block is as many samples as the largest chunk among ``arrays`` has. Small arrays, such as labels, are better held
    in memory and looked up with ``Batch.sample``. Wrap it in ``contextlib.closing``: closing stops the thread.

    Args:
        arrays: by name; those on disk are read in whole blocks.
        drawn: sample indices of each step, in any order and of any one shape, which those of its arrays begin with.
        rows: samples that may be held of a stretch: no step gets others if it is changed.
    """
    stop = threading.Event()
    pool = ThreadPoolExecutor(1, thread_name_prefix="stream")
    try:
        reading: Future[Iterator[Batch]] | None = None
        for steps in _stretches(drawn, rows):
            ahead = pool.submit(_together, arrays, steps, stop)
            if reading is not None:
                yield from reading.result()
            reading = ahead
        if reading is not None:
            yield from reading.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def iterate(arrays: Arrays, index: Int[np.ndarray, " index"], batch: int) -> Iterator[Batch]:
    """Yield the samples ``index``, ascending, in order; each block is read once.

    The arrays of the last batch are padded to ``batch`` rows with its last sample, so that a jitted function
    sees one shape; only the first ``len(Batch.sample)`` rows count.
    """
    if not len(index):
        return
    for ready in _cut((_read(arrays, [members]) for members in _members(arrays, index)), batch):
        missing = batch - len(ready.sample)
        if missing:
            rows = np.minimum(np.arange(batch), len(ready.sample) - 1)
            ready = Batch(ready.sample, {name: values[rows] for name, values in ready.arrays.items()})
        yield ready


def _block_length(arrays: Arrays) -> int:
    """Return the samples in the largest chunk; arrays in memory have none, and any length does."""
    return max((array.chunks[0] for array in arrays.values() if isinstance(array, OnDisk | zarr.Array)), default=1024)


def _members(arrays: Arrays, index: np.ndarray) -> list[np.ndarray]:
    """Return the samples of ``index`` in each block that has any."""
    lengths = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"the arrays have different numbers of samples: {lengths}")
    if np.any(np.diff(index) <= 0) or index[0] < 0 or index[-1] >= min(lengths.values()):
        raise ValueError("sample indices must be ascending, different and inside the arrays")
    first = np.unique(index // _block_length(arrays), return_index=True)[1]
    return np.split(index, first[1:])


def _stretches(drawn: Iterable[np.ndarray], rows: int) -> Iterator[list[np.ndarray]]:
    """Yield the indices of some steps at a time: of `FIRST_STEPS`, then of twice as many, up to `rows` samples."""
    steps, most = iter(drawn), FIRST_STEPS
    while stretch := list(islice(steps, most)):
        yield stretch
        most = max(1, min(2 * most, rows // max(1, stretch[0].size)))


def _together(arrays: Arrays, steps: list[np.ndarray], stop: threading.Event) -> Iterator[Batch]:
    """Read the samples of some steps, each once, and return the batches that they form."""
    sample, row = np.unique(np.stack(steps), return_inverse=True)
    read = _read(arrays, _members(arrays, sample), stop)
    rows = row.reshape(len(steps), *steps[0].shape)
    return (
        Batch(step, {name: values[here] for name, values in read.arrays.items()})
        for step, here in zip(steps, rows, strict=True)
    )


def _read(arrays: Arrays, members: list[np.ndarray], stop: threading.Event | None = None) -> Batch:
    """Read the members of some blocks, in order; give up when ``stop`` is set: nobody will look."""
    index = np.concatenate(members)
    length = _block_length(arrays)
    result = {name: np.empty((len(index), *array.shape[1:]), array.dtype) for name, array in arrays.items()}
    done = 0
    for block in members:
        if stop is not None and stop.is_set():
            break
        start = int(block[0]) // length * length
        to = slice(done, done + len(block))
        done += len(block)
        for name, array in arrays.items():
            values = np.asarray(array[start : start + length])
            result[name][to] = values if len(values) == len(block) else values[block - start]
    return Batch(index, result)


def _cut(pieces: Iterable[Batch], batch: int) -> Iterator[Batch]:
    """Cut consecutive pieces into batches, the last one perhaps shorter; views, except across two pieces."""
    kept: list[Batch] = []
    missing = batch
    for piece in pieces:
        first = 0
        while first < len(piece.sample):
            part = _rows(piece, slice(first, first + missing))
            kept.append(part)
            first += len(part.sample)
            missing -= len(part.sample)
            if not missing:
                yield _join(kept)
                kept, missing = [], batch
    if kept:
        yield _join(kept)


def _rows(piece: Batch, rows: slice) -> Batch:
    return Batch(piece.sample[rows], {name: values[rows] for name, values in piece.arrays.items()})


def _join(pieces: list[Batch]) -> Batch:
    if len(pieces) == 1:
        return pieces[0]
    arrays = {name: np.concatenate([piece.arrays[name] for piece in pieces]) for name in pieces[0].arrays}
    return Batch(np.concatenate([piece.sample for piece in pieces]), arrays)
