"""The samples of an EAP store that nobody wrote, made where they are used: inside the program of a training step.

What a store's configuration says of its cells lies on the devices, and an accepted sample is made of it from (seed,
cell, block, candidate), the very one that `simulator.eap` would write there, to the rounding of another program. The
blocks of a stream begin where those of no store end.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from spiketype.datasets import store
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
TOGETHER = ("position_um", "rotation", "candidate")  # of a sample, beside what is extracted from its potential


class Cells(NamedTuple):
    """The cells of a store on a device: all that its samples are made of.

    Attributes:
        start_um, end_um, diameter_um: of the segments, padded to those of the largest cell.
        segments: how many are real.
        spatial, temporal: factors of the spikes of all cells, one cell after the other.
        spikes: of each cell; all have equally many in ``spatial``.
        key: data of the key of each cell's blocks.
        rotation: number of the rotation set of each cell.
        low_um, high_um: corners of the box.
        contacts_um: points of the contacts.
        resampling, colouring: of the recording.
    """

    start_um: Float[Array, "cell segment 3"]
    end_um: Float[Array, "cell segment 3"]
    diameter_um: Float[Array, "cell segment"]
    segments: Int[Array, " cell"]
    spatial: Float[Array, "cell_spike segment rank"]
    temporal: Float[Array, "cell_spike rank time"]
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
    segments, rank = (max(cell.factors.spatial.shape[axis] for cell in cells) for axis in (1, 2))
    spikes = max(cell.spikes for cell in cells)
    padded = [lowrank.pad(cell.factors, segments, rank) for cell in cells]

    def of_spikes(name: str) -> jax.Array:
        arrays = [np.asarray(getattr(factors, name)) for factors in padded]
        return jnp.asarray(np.concatenate([np.pad(a, ((0, spikes - len(a)), (0, 0), (0, 0))) for a in arrays]))

    def of_cells(name: str) -> jax.Array:
        return jnp.stack([getattr(factors, name) for factors in padded])

    keys = [placement.stream(config.seed, task.model.name) for task in tasks]
    turns = [placement.number_of(config.rotation, task.model.m_type, task.model.excitatory) for task in tasks]
    low_um, high_um = map(jnp.asarray, placement.corners_um(config.box))
    matrices = recording.matrices(config, cells[0].times, cells[0].dt_ms)
    resampling, colouring = (None if matrix is None else jnp.asarray(matrix) for matrix in matrices)
    return Cells(
        start_um=of_cells("start_um"),
        end_um=of_cells("end_um"),
        diameter_um=of_cells("diameter_um"),
        segments=of_cells("segments"),
        spatial=of_spikes("spatial"),
        temporal=of_spikes("temporal"),
        spikes=jnp.array([cell.spikes for cell in cells], jnp.int32),
        key=jnp.stack([jax.random.key_data(key) for key in keys]),
        rotation=jnp.array(turns, jnp.int32),
        low_um=low_um,
        high_um=high_um,
        contacts_um=jnp.asarray(points(tasks[0].layout, config.contact_points)),
        resampling=resampling,
        colouring=colouring,
    )


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

    def of_block(args: tuple[jax.Array, jax.Array]) -> dict[str, Array]:
        return _accepted(cells, how, *args, count, size)

    found: dict[str, Array] = jax.lax.map(of_block, (cell, block)) if cpu else jax.vmap(of_block)((cell, block))
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
    of_cell = cells.start_um[cell], cells.end_um[cell], cells.diameter_um[cell]
    spikes = cells.spikes[cell].astype(jnp.float32)
    placed = placement.drawn(key, first, size, cells.rotation[cell], cells.low_um, cells.high_um, spikes)
    each = cells.spatial.shape[0] // len(cells.segments)
    seen = Placement(placed.position_um, placed.rotation, cell * each + placed.spike)
    factors = Factors(*of_cell, cells.spatial, cells.temporal, cells.segments[cell])
    number = first + jnp.arange(size, dtype=jnp.uint32)
    matrices = cells.resampling, cells.colouring
    arrays, reached_uV = blocks.simulate(factors, cells.contacts_um, seen, number, key, *matrices, how.recording)
    return arrays | dict(zip(TOGETHER, (placed.position_um, placed.rotation, number), strict=True)), reached_uV
