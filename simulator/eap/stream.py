"""The samples of an EAP store that nobody wrote, made where they are used: inside the program of a training step.

What a store's configuration says of its cells lies on the devices, and an accepted sample is made of it from (seed,
cell, block, candidate), the very one that `simulator.eap` would write there, to the rounding of another program. The
blocks of a stream begin where those of no store end.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from spiketype.datasets import batches, store
from spiketype.edge import Json, UserError, progress
from spiketype.location import Location
from spiketype.simulator.eap import blocks, engines, factored, lowrank, parts, placement, recording, shares, template
from spiketype.simulator.eap.blocks import GIVE_UP, BlockTask, Recording
from spiketype.simulator.eap.box import Box
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.factored import Cell
from spiketype.simulator.eap.forward import Factors
from spiketype.simulator.eap.placement import Placement
from spiketype.simulator.eap.probes import points
from spiketype.simulator.neuron import membrane

FIRST_BLOCK = 2**31  # of a stream; a store has fewer
BATCHES = {"cpu": 5, "other": 40}  # candidates of a block at once: few are wasted, or a device is kept busy
APART = 8  # times smaller than the largest of its group is no cell: one of 3,584 segments would have all others padded
OF_CELLS = ("start_um", "end_um", "diameter_um", "segments")  # of `Factors`: the others are of spikes
TOGETHER = ("position_um", "rotation", "candidate")  # of a sample, beside what is extracted from its potential


class Cells(NamedTuple):
    """The cells of a store on a device: all that its samples are made of.

    Attributes:
        groups: cells of about the same size, stacked, and padded to the largest of them; ``spatial`` and ``temporal``
            are those of the spikes of all, one cell after the other, equally many each.
        group, place: where in them each cell is.
        spikes: of each cell.
        key: data of the key of each cell's blocks.
        rotation: number of the rotation set of each cell.
        low_um, high_um: corners of the box.
        contacts_um: points of the contacts.
        resampling, colouring: of the recording.
    """

    groups: tuple[Factors, ...]
    group: Int[Array, " cell"]
    place: Int[Array, " cell"]
    spikes: Int[Array, " cell"]
    key: UInt32[Array, "cell word"]
    rotation: Int[Array, " cell"]
    low_um: Float[Array, "3"]
    high_um: Float[Array, "3"]
    contacts_um: Float[Array, "channel point 3"]
    resampling: Float[Array, "time new_time"] | None
    colouring: Float[Array, "new_time new_time"] | None


class How(NamedTuple):
    """What the compiled program depends on."""

    recording: Recording
    threshold_uV: float


def of_store(path: Location) -> tuple[Cells, How]:
    """Return the cells of a store, with the currents that it was made of; they are simulated where missing.

    Raises:
        UserError: its cell models are not here, or are others; the cells do not fit in memory.
    """
    config = _config(path, store.config(store.attributes(path, "eap")))
    models, contents, layout = parts.of(config)
    template.check_settings(path, config, layout)
    template.check_contents(path, contents)
    models = template.models_of(path, models)
    found = membrane.attempt(models)
    template.check_sources(path, [model.name for model in models], *found)
    per_cell = len(shares.blocks(path)) // len(models)
    tasks = shares.tasks(path, config, layout, models, found.sources, np.arange(len(models)) * per_cell)
    tasks.sort(key=lambda task: task.cell)
    with progress() as bar:
        paths = bar.track(engines.factorised(tasks), total=len(tasks), description="factors of currents")
        cells = [factored.load(path) for path in paths]
    return _together(config, tasks, cells), How(blocks.recorded(config, cells[0].dt_ms), config.threshold_uV)


def _config(path: Location, found: Json) -> EapConfig:
    known = {name: value for name, value in found.items() if name in EapConfig.__dataclass_fields__}
    if len(known) < len(found):
        raise UserError(f"{path} was made by a newer version, with {', '.join(sorted(set(found) - set(known)))}")
    box = Box(**{name: tuple(ends) for name, ends in known.pop("box").items()})
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in known.items()}
    return EapConfig(**given, box=box)


def _together(config: EapConfig, tasks: Sequence[BlockTask], cells: Sequence[Cell]) -> Cells:
    shape = np.array([cell.factors.spatial.shape for cell in cells])
    group = _groups(shape.prod(axis=1))
    members = [np.flatnonzero(group == number).tolist() for number in range(group.max() + 1)]
    n_bytes = sum(4 * len(chosen) * int(shape[chosen].max(axis=0).prod()) for chosen in members)
    if not batches.fits(n_bytes):
        raise UserError(
            f"the currents of {len(cells)} cell models take {n_bytes / 1e9:.1f} GB, which is too much for the memory of"
            " this device: train on the samples of the store, without --stream"
        )
    place = np.zeros(len(cells), np.int32)
    for chosen in members:
        place[chosen] = np.arange(len(chosen))
    keys = [placement.stream(config.seed, task.model.name) for task in tasks]
    turns = [placement.number_of(config.rotation, task.model.m_type, task.model.excitatory) for task in tasks]
    low_um, high_um = map(jnp.asarray, placement.corners_um(config.box))
    matrices = recording.matrices(config, cells[0].times, cells[0].dt_ms)
    resampling, colouring = (None if matrix is None else jnp.asarray(matrix) for matrix in matrices)
    return Cells(
        groups=tuple(_stacked([cells[k] for k in chosen]) for chosen in members),
        group=jnp.asarray(group),
        place=jnp.asarray(place),
        spikes=jnp.array([cell.spikes for cell in cells], jnp.int32),
        key=jnp.stack([jax.random.key_data(key) for key in keys]),
        rotation=jnp.array(turns, jnp.int32),
        low_um=low_um,
        high_um=high_um,
        contacts_um=jnp.asarray(points(tasks[0].layout, config.contact_points)),
        resampling=resampling,
        colouring=colouring,
    )


def _groups(size: Int[np.ndarray, " cell"]) -> Int[np.ndarray, " cell"]:
    """Return the group of each cell: none is `APART` times smaller than the largest of its own."""
    group = np.zeros(len(size), np.int32)
    number, largest = -1, np.inf
    for cell in np.argsort(-size, kind="stable"):
        if size[cell] * APART <= largest:
            number, largest = number + 1, size[cell]
        group[cell] = number
    return group


def _stacked(cells: Sequence[Cell]) -> Factors:
    """Return the factors of a group of cells, with equally many spikes each."""
    segments, rank = (max(cell.factors.spatial.shape[axis] for cell in cells) for axis in (1, 2))
    spikes = max(cell.spikes for cell in cells)
    padded = [lowrank.pad(cell.factors, segments, rank) for cell in cells]

    def of_spikes(name: str) -> jax.Array:
        arrays = [np.asarray(getattr(factors, name)) for factors in padded]
        return jnp.asarray(np.concatenate([np.pad(a, ((0, spikes - len(a)), (0, 0), (0, 0))) for a in arrays]))

    of_cells = {name: jnp.stack([getattr(factors, name) for factors in padded]) for name in OF_CELLS}
    return Factors(**of_cells, spatial=of_spikes("spatial"), temporal=of_spikes("temporal"))


def samples(
    cells: Cells, how: How, cell: Int[Array, " n"], block: UInt32[Array, " n"], count: int, batch: int | None = None
) -> dict[str, Array]:
    """Return the first accepted samples (n, count, ...) of n blocks, as arrays of a store; for use in a program.

    Args:
        cells, how: from `of_store`.
        cell: of each block.
        block: its number among those of its cell.
        count: samples of each block.
        batch: candidates at once, by default what the device wants; it changes no sample.

    A block that too few candidates of are accepted (`GIVE_UP`) is NaN where none is left.
    """
    cpu = jax.default_backend() == "cpu"
    size = batch or BATCHES["cpu" if cpu else "other"]

    def of_block(cells: Cells, cell: jax.Array, block: jax.Array) -> dict[str, Array]:
        return _accepted(cells, how, cell, block, count, size)

    # On a CPU one block after the other, of all networks that are trained at once: it computes its own group alone.
    each = jax.custom_batching.sequential_vmap(of_block) if cpu else of_block
    found: dict[str, Array] = jax.vmap(each, (None, 0, 0))(cells, cell, block)
    return found


def _accepted(cells: Cells, how: How, cell: jax.Array, block: jax.Array, count: int, size: int) -> dict[str, Array]:
    """Return the first accepted samples (count, ...) of a block, from as many candidates as they need."""
    key = jax.random.fold_in(jax.random.wrap_key_data(cells.key[cell]), block)

    def candidates(first: jax.Array) -> tuple[dict[str, Array], jax.Array]:
        return _candidates(cells, how, cell, key, first, size)

    shapes, _ = jax.eval_shape(candidates, jnp.uint32(0))

    def add(state: tuple[dict[str, Array], jax.Array, jax.Array]) -> tuple[dict[str, Array], jax.Array, jax.Array]:
        kept, filled, first = state
        made, reached_uV = candidates(first)
        accepted = reached_uV >= jnp.float32(how.threshold_uV)
        place = jnp.where(accepted, filled + jnp.cumsum(accepted) - 1, count)  # beyond the end: dropped
        kept = {name: values.at[place].set(made[name], mode="drop") for name, values in kept.items()}
        return kept, filled + accepted.sum(), first + np.uint32(size)

    def missing(state: tuple[dict[str, Array], jax.Array, jax.Array]) -> jax.Array:
        _, filled, first = state
        return (filled < count) & (first < GIVE_UP * (filled.astype(jnp.uint32) + 1))

    empty = {
        name: jnp.full((count, *a.shape[1:]), jnp.nan if a.dtype.kind == "f" else 0, a.dtype)
        for name, a in shapes.items()
    }
    kept, _, _ = jax.lax.while_loop(missing, add, (empty, jnp.int32(0), jnp.uint32(0)))
    return kept


def _candidates(
    cells: Cells, how: How, cell: jax.Array, key: jax.Array, first: jax.Array, size: int
) -> tuple[dict[str, Array], jax.Array]:
    """Return what a store would hold of candidates from `first` on, and the amplitude that each reaches."""
    spikes = cells.spikes[cell].astype(jnp.float32)
    placed = placement.drawn(key, first, size, cells.rotation[cell], cells.low_um, cells.high_um, spikes)
    number = first + jnp.arange(size, dtype=jnp.uint32)
    place, matrices = cells.place[cell], (cells.resampling, cells.colouring)

    def simulated(group: Factors) -> tuple[dict[str, Array], jax.Array]:
        one = group._replace(**{name: getattr(group, name)[place] for name in OF_CELLS})
        each = len(group.spatial) // len(group.segments)
        seen = Placement(placed.position_um, placed.rotation, place * each + placed.spike)
        made: tuple[dict[str, Array], jax.Array] = blocks.simulate(
            one, cells.contacts_um, seen, number, key, *matrices, how.recording
        )
        return made

    # Where blocks are made at once, all groups are computed for each; they are few.
    arrays, reached_uV = jax.lax.switch(cells.group[cell], [partial(simulated, group) for group in cells.groups])
    return arrays | dict(zip(TOGETHER, (placed.position_um, placed.rotation, number), strict=True)), reached_uV
