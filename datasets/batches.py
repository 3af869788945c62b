"""Which samples form training step s: a pure function of (seed, s), so that the step is all there is to save.

Two ways to feed. Arrays that fit (:func:`fits`) live on the device: :func:`plan` describes a training part,
:func:`draw` draws a batch of indices inside jit, with replacement. Larger ones stay in their Zarr store:
:func:`stream` reads blocks ahead in random order and shuffles them in a buffer, each sample once in an epoch.
:func:`iterate` goes through a part once, in order, for evaluation.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count, groupby
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import zarr
from jaxtyping import Array, Int, Int32, PRNGKeyArray, Shaped

from spiketype.datasets.store import OnDisk
from spiketype.edge import UserError


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
    """Samples read from a store: ``sample`` (n,) their indices there, ``arrays`` their values, (n, ...)."""

    sample: np.ndarray
    arrays: dict[str, np.ndarray]


def stream(
    arrays: Arrays, train: Int[np.ndarray, " train"], batch: int, seed: int, start: int = 0, n_block: int = 20
) -> Iterator[Batch]:
    """Yield the batches of training steps ``start``, ``start + 1``, ... without end, read from disk.

    In an epoch of ``len(train) // batch`` steps each sample occurs once, except for the ``len(train) % batch``
    that fill no batch: they are others in every epoch. A batch depends on (seed, step), on the other arguments
    and on the chunks, not on ``start``; starting reads the one buffer that step is in.

    A block is as many samples as the largest chunk among ``arrays`` has; blocks without training samples
    are not read. A buffer holds up to ``n_block`` blocks, one from each of as many equal stretches of the
    store, so that a store written cell by cell is mixed too. A thread fills the next buffer while one is
    used: memory is that of two buffers. The arrays of a batch are views of one: copy what you keep. Small
    arrays, such as labels, are better held in memory and looked up with ``Batch.sample``.

    Wrap it in ``contextlib.closing``: closing stops the thread. Several processes: each its own ``train``.

    Args:
        arrays: by name; those on disk are read in whole blocks.
        train: ascending sample indices.
        batch: samples in a batch.
        seed: of the order; not negative.
        start: first step.
        n_block: blocks in a buffer; more mix better.

    Raises:
        UserError: fewer training samples than a batch has.
    """
    n_step = len(train) // batch
    if not n_step:
        raise UserError(f"a batch of {batch} is more than the {len(train)} training samples: choose less")
    epoch, step = divmod(start, n_step)
    buffers = _buffers(_members(arrays, train), n_block, seed, epoch, step * batch)
    stop = threading.Event()
    pool = ThreadPoolExecutor(1, thread_name_prefix="stream")
    try:
        filled = _ahead(pool, lambda buffer: _fill(arrays, buffer, stop), buffers)
        for _, of_epoch in groupby(filled, key=lambda piece: piece[0]):
            for ready in _cut((piece for _, piece in of_epoch), batch):
                if len(ready.sample) == batch:
                    yield ready
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


class _Buffer(NamedTuple):
    """What to read into one buffer: its blocks' members, the row each of them goes to, rows to skip."""

    epoch: int
    members: list[np.ndarray]
    row: np.ndarray
    skip: int


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


def _buffers(members: list[np.ndarray], n_block: int, seed: int, epoch: int, skip: int) -> Iterator[_Buffer]:
    """Yield the buffers of ``epoch`` and all epochs after it, without the first ``skip`` samples."""
    size = np.array([len(block) for block in members])
    n_buffer = -(-len(members) // n_block)
    n_stretch = -(-len(members) // n_buffer)
    for now in count(epoch):
        rng = np.random.default_rng([seed, now, 0])
        # Each stretch of n_buffer blocks along the store gives one block to each buffer.
        buffer_of = rng.permuted(np.tile(np.arange(n_buffer), (n_stretch, 1)), axis=1).ravel()[: len(members)]
        for buffer in range(n_buffer):
            chosen = np.flatnonzero(buffer_of == buffer)
            n_sample = int(size[chosen].sum())
            if skip >= n_sample:
                skip -= n_sample
                continue
            row = np.random.default_rng([seed, now, 1 + buffer]).permutation(n_sample)
            yield _Buffer(now, [members[block] for block in chosen], row, skip)
            skip = 0


def _fill(arrays: Arrays, buffer: _Buffer, stop: threading.Event) -> tuple[int, Batch]:
    filled = _read(arrays, buffer.members, buffer.row, stop)
    return buffer.epoch, _rows(filled, slice(buffer.skip, None))


def _read(
    arrays: Arrays,
    members: list[np.ndarray],
    row: np.ndarray | None = None,
    stop: threading.Event | None = None,
) -> Batch:
    """Read the members of some blocks, each to its ``row``; give up when ``stop`` is set: nobody will look."""
    index = np.concatenate(members)
    row = np.arange(len(index)) if row is None else row
    length = _block_length(arrays)
    result = Batch(
        np.empty_like(index),
        {name: np.empty((len(index), *array.shape[1:]), array.dtype) for name, array in arrays.items()},
    )
    result.sample[row] = index
    done = 0
    for block in members:
        if stop is not None and stop.is_set():
            break
        start = int(block[0]) // length * length
        to = row[done : done + len(block)]
        done += len(block)
        for name, array in arrays.items():
            values = np.asarray(array[start : start + length])
            result.arrays[name][to] = values if len(values) == len(block) else values[block - start]
    return result


def _ahead(
    pool: ThreadPoolExecutor, fill: Callable[[_Buffer], tuple[int, Batch]], buffers: Iterator[_Buffer]
) -> Iterator[tuple[int, Batch]]:
    """Yield the filled buffers, with the next one already being filled."""
    pending = pool.submit(fill, next(buffers))
    for buffer in buffers:
        filled = pending.result()
        pending = pool.submit(fill, buffer)
        yield filled


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
