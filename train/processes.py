"""Several processes that train one run: how they come together, and what they agree on.

Each process runs the same command (``--distributed``), sees the devices of all, and makes the same steps; the first
one, number 0, alone reads and writes the run folder. One process, without ``--distributed``, takes the same way: it is
number 0 of 1. `watch` ends all when one is lost.
"""

import json
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from spiketype.edge import Json, PyTree, UserError, check_platform
from spiketype.train import last_words, watch
from spiketype.train.asked import Where

START_S = 300  # for all processes to come
FOR_EVER_MS = 7 * 24 * 3600 * 1000  # `watch` ends a wait for a process that is lost
Array = jax.Array | np.ndarray
_meetings = count()


def join(where: Where) -> None:
    """Meet the other processes of this run, before JAX is used for anything.

    Raises:
        UserError: the others did not come.
    """
    last_words.will_be(
        f"error: the processes of --distributed did not come together in {START_S} s: start them all, with the same "
        "--coordinator and --processes, and see that they reach it"
    )
    try:
        coordinator, total, number = where
        jax.distributed.initialize(coordinator, total, number, initialization_timeout=START_S)
    except ValueError as error:
        raise UserError(
            f"--distributed: JAX finds no SLURM, Open MPI or TPU here ({error}): give --coordinator HOST:PORT, "
            "--processes N and --process I"
        ) from error
    except RuntimeError as error:
        why = str(error).splitlines()[0]
        raise UserError(
            f"--distributed: the processes did not come together ({why}): see that all run, and reach the coordinator"
        ) from error
    check_platform()
    watch.start()
    size, mine = jax.process_count(), len(jax.local_devices())
    # JAX aborts a process that has lost the coordinator.
    gone = f"error: process {jax.process_index()} of {size} was aborted: process 0 of {size} is gone, or see above"
    last_words.will_be(f"{last_words.DIED}: repeat the command" if first() else gone)
    if len(jax.devices()) != size * mine:
        raise UserError(f"{size} processes have {len(jax.devices())} devices, {mine} of them here: give all as many")
    connect(Mesh(np.array(jax.devices()), ("all",)))


def first() -> bool:
    """Say whether this process is the one that reads and writes the run folder."""
    return not several() or jax.process_index() == 0


def several() -> bool:
    """Say whether there are other processes."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


# ---- what they agree on: every process calls these, in the same order


def of_first(name: str, make: Callable[[], Json]) -> Json:
    """Return what process 0 makes; `name` once in a run."""
    if not several():
        return make()
    if first():
        watch.store().key_value_set(name, json.dumps(make()))
    found: Json = json.loads(watch.store().blocking_key_value_get(name, FOR_EVER_MS))
    return found


def wait(name: str) -> None:
    """Wait until all processes are here, however long that takes; `name` once in a run."""
    if several():
        watch.store().wait_at_barrier(name, FOR_EVER_MS)


def share(folder: Path) -> bool:
    """Say whether there are several processes, and all see a folder that process 0 has."""
    if not several():
        return False
    look = f"folder {next(_meetings)}"
    mark = folder / of_first(look, lambda: {"name": f".{secrets.token_hex(8)}.partial"})["name"]
    if first():
        mark.touch()
    wait(f"{look} is marked")
    seen = largest(int(not mark.exists())) == 0
    if first():
        mark.unlink()
    return seen


def largest(value: int) -> int:
    """Return the largest of the processes' values."""
    return int(np.max(multihost_utils.process_allgather(np.int32(value)))) if several() else value


def preempted(look: int) -> bool:
    """Say whether a cluster's notice has come to any process; `look` counts the calls."""
    return several() and multihost_utils.reached_preemption_sync_point(look)


def from_first(tree: PyTree) -> PyTree:
    """Return the arrays that process 0 has, on the host; the others give some of the same shapes."""
    return multihost_utils.broadcast_one_to_all(tree) if several() else tree


def in_parts(read: Callable[[int, int], np.ndarray], length: int) -> np.ndarray:
    """Return rows 0 to `length`, of which each process reads its part: `read` (start, stop) gives some."""
    if not several():
        return read(0, length)
    size = -(-length // jax.process_count())
    start, stop = (min((jax.process_index() + k) * size, length) for k in (0, 1))
    found = _padded(read(start, stop), size)
    gathered: np.ndarray = np.asarray(multihost_utils.process_allgather(found, tiled=True))[:length]
    return gathered


def _padded(rows: np.ndarray, length: int) -> np.ndarray:
    """Return rows followed by as many zeros as make `length`."""
    return np.pad(rows, ((0, length - len(rows)), *[(0, 0)] * (rows.ndim - 1)))


def check_equal(tree: PyTree, what: str) -> None:
    """Refuse arrays that are not the same in all processes.

    Raises:
        UserError: names the first process that differs, and says `what`.
    """
    if not several():
        return
    mine = np.uint32(0)
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, Spread):
            continue
        mine = np.uint32(zlib.crc32(np.ascontiguousarray(leaf).tobytes(), int(mine)))
    all_of_them = np.ravel(multihost_utils.process_allgather(mine))
    if differing := np.flatnonzero(all_of_them != all_of_them[0]).tolist():
        raise UserError(f"process {differing[0]} has other {what} than process 0: give all the same files and options")


# ---- global arrays


def connect(mesh: Mesh) -> None:
    """Have the devices along each axis of a mesh meet, in all processes at once.

    CPUs must do so within 30 s of each other. Without this they would in the first step, which takes minutes to compile
    for one and no time for another that has it in the cache.
    """
    if not several():
        return
    for axis in (name for name in mesh.axis_names if mesh.shape[name] > 1):
        ones = place(np.ones(mesh.shape[axis], np.float32), NamedSharding(mesh, PartitionSpec(axis)))
        total = jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, PartitionSpec())).lower(ones).compile()
        wait(f"meeting {next(_meetings)}")
        jax.block_until_ready(total(ones))


@dataclass(frozen=True)
class Spread:
    """An array whose rows are spread over the mesh's axis ``data``: a process reads those of its devices alone.

    Attributes:
        shape: of the whole.
        read: (start, stop) -> these rows.
    """

    shape: tuple[int, ...]
    read: Callable[[int, int], np.ndarray]

    def on(self, mesh: Mesh) -> jax.Array:
        """Return the global array, with rows of zeros at its end, so that the devices have equally many."""
        parts = mesh.shape["data"]
        shape = (-(-self.shape[0] // parts) * parts, *self.shape[1:])
        rows = cache(partial(self._rows, whole=shape[0]))  # devices of several members hold the same ones
        sharding = NamedSharding(mesh, PartitionSpec("data"))

        def part(index: tuple[slice, ...] | None) -> np.ndarray:
            assert index is not None
            return rows(index[0].start, index[0].stop)

        return jax.make_array_from_callback(shape, sharding, part)

    def _rows(self, start: int | None, stop: int | None, whole: int) -> np.ndarray:
        """Return rows of the array that has `whole` of them, the last ones zeros."""
        start, stop = start or 0, whole if stop is None else stop
        return _padded(self.read(min(start, self.shape[0]), min(stop, self.shape[0])), stop - start)


def place(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Return arrays of all devices, of which every process gives the part that its devices hold.

    Args:
        tree: arrays that every process has whole, or that are global already.
        sharding: of all of them.
    """
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda leaf: _place(leaf, sharding), tree)


def _place(leaf: Array, sharding: NamedSharding) -> jax.Array:
    known = isinstance(leaf, jax.Array) and not leaf.is_fully_addressable
    placed: jax.Array = (
        jax.device_put(leaf, sharding) if known else jax.make_array_from_process_local_data(sharding, leaf, leaf.shape)
    )
    return placed


def whole(tree: PyTree) -> PyTree:
    """Return global arrays as arrays of this process's own; every process calls this."""
    leaves = jax.tree.leaves(tree)
    if all(leaf.is_fully_addressable for leaf in leaves):
        return tree
    everywhere = NamedSharding(leaves[0].sharding.mesh, PartitionSpec())
    copies = jax.jit(_same, out_shardings=everywhere)(tree)
    return jax.tree.map(lambda array: array.addressable_data(0), copies)


def _same(tree: PyTree) -> PyTree:
    """Return what is given: a function with a name is compiled once."""
    return tree
