"""One block of an EAP store: accepted placements of one cell, their features and waveforms, written by one worker.

A task is all that a worker needs, on this machine or another one that sees the same folders, and it may be run twice:
the bytes it writes are the same.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spiketype.datasets import store
from spiketype.edge import UserError
from spiketype.location import Location
from spiketype.simulator.eap import factored, features, forward, placement, recording
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.factored import Cell, Medium
from spiketype.simulator.eap.probes import Probe, points
from spiketype.simulator.neuron.cells import CellModel

CPU_BATCH, ACCELERATOR_BATCH = 32, 256  # candidates at once: what stays in a core's cache; about what a block needs
NOISE = 1000  # folded into a candidate's key: no number that the placement's own split of that key uses
GIVE_UP = 20_000  # candidates for each accepted one, and one more: with fewer accepted a store takes for ever


@dataclass(frozen=True, eq=False)
class BlockTask:
    """All that a worker needs to write a block, or a run of blocks that are written together."""

    path: Location
    config: EapConfig
    layout: Probe  # read once, by whoever makes the tasks
    model: CellModel
    cell: int  # position of the cell model in the store
    source: Path  # the file of the cell's currents
    segments: int  # the largest number of segments of all cells, to which this one is padded
    index: int  # number of the first block in the store
    number: int  # among the blocks of its cell: of the stream of its candidates
    run: int  # blocks
    samples: int  # in a block
    batch: int = 0  # candidates at once; 0: what suits the device


class Recording(NamedTuple):
    """The part of a configuration that a compiled program depends on."""

    sigma_S_per_m: float
    source: forward.Kind
    noise_uV: float
    dtype: str
    dt_ms: float
    recorded_dt_ms: float
    common_average: bool
    keep_waveforms: bool


def variables(config: EapConfig, new_time: int) -> dict[str, store.Variable]:
    """Return the arrays of an EAP store whose waveforms have `new_time` samples, or are not kept (0)."""
    var, per_channel = store.Variable, ("sample", "channel")
    spec = {
        "amplitude_uV": var(per_channel, "float32", "uV", "negative peak to the positive peak that follows"),
        "width_ms": var(per_channel, "float32", "ms", "time from negative peak to the positive peak that follows"),
        "fwhm_ms": var(per_channel, "float32", "ms", "full width of the negative peak at half maximum"),
        "depolarising_uV_per_ms": var(per_channel, "float32", "uV/ms", "steepest fall before the negative peak"),
        "repolarising_uV_per_ms": var(per_channel, "float32", "uV/ms", "steepest rise after the negative peak"),
        "cell": var(("sample",), "int16", "1", "index of the cell model"),
        "spike": var(("sample",), "int16", "1", "which of the cell's recorded spikes"),
        "candidate": var(("sample",), "int32", "1", "number of the placement among the candidates of its block"),
        "position_um": var(("sample", "axis"), "float32", "um", "soma position; the probe is in the plane x = 0"),
        "rotation": var(("sample", "world", "local"), "float32", "1", "world = rotation @ local + position"),
        "rank": var(("cell_model",), "int16", "1", "number of factors of the membrane currents"),
        "rank_error_uV": var(("cell_model",), "float32", "uV", "worst error of that rank over random placements"),
    }
    if new_time:
        spec["eap_uV"] = var((*per_channel, "time"), config.dtype, "uV", "extracellular action potential")
    return spec


def write_block(task: BlockTask) -> None:
    """Draw the samples of a block, or of each in a run of blocks, write them, and say that it is done.

    Raises:
        UserError: too few placements in the box reach the amplitude threshold (`GIVE_UP`).
    """
    if store.is_done(task.path, task.index):  # another process does the same
        return
    cell = cell_of(task)
    run: dict[str, np.ndarray] = {}
    for block in range(task.run):
        _draw(task, cell, block, run)
    run["cell"] = np.full(task.run * task.samples, task.cell, np.int16)
    store.write_block(task.path, task.samples, task.index, run)
    small = {"rank": (task.cell, cell.rank), "rank_error_uV": (task.cell, cell.error_uV)}
    store.mark_done(task.path, task.index, small, task.run)


def _draw(task: BlockTask, cell: Cell, block: int, run: dict[str, np.ndarray]) -> None:
    """Draw candidates until a block of a run is full of accepted ones, into the arrays of the run."""
    config, start = task.config, block * task.samples
    contacts = points(task.layout, config.contact_points)
    batch = task.batch or (CPU_BATCH if jax.default_backend() == "cpu" else ACCELERATOR_BATCH)
    filled, first, largest_uV = 0, 0, 0.0
    while filled < task.samples:
        arrays, reached_uV = _candidates(task, cell, contacts, task.number + block, first, batch)
        accepted = np.flatnonzero(reached_uV >= np.float32(config.threshold_uV))
        rows = accepted[: task.samples - filled]
        for name, values in arrays.items():
            if name not in run:
                run[name] = np.empty((task.run * task.samples, *values.shape[1:]), values.dtype)
            run[name][start + filled : start + filled + len(rows)] = np.asarray(values)[rows]
        filled += len(rows)
        first += batch
        largest_uV = max(largest_uV, float(reached_uV.max()))
        if first >= GIVE_UP * (filled + 1):
            raise UserError(
                f"cell {task.model.name}: {filled} of {first} placements reach --threshold-uv"
                f" {config.threshold_uV:g} at a contact of {config.probe}, and the largest of them has"
                f" {largest_uV:.3g} uV: lower the threshold or move the box nearer, and choose another --out"
            )


def medium_of(config: EapConfig, layout: Probe) -> Medium:
    """Return what the factors of the cells of a store depend on beside their currents."""
    return Medium(config.error_uV, layout.contact_um.tobytes(), config.box, config.sigma_S_per_m)


def cell_of(task: BlockTask) -> Cell:
    """Return the cell of a block."""
    return factored.cell(task.source, medium_of(task.config, task.layout), task.segments)


def recorded(config: EapConfig, dt_ms: float) -> Recording:
    """Return what the program that a configuration needs depends on, for currents in steps of `dt_ms`."""
    return Recording(
        sigma_S_per_m=config.sigma_S_per_m,
        source=config.source,
        noise_uV=config.noise_uV / np.sqrt(config.mean_of),
        dtype=config.dtype,
        dt_ms=dt_ms,
        recorded_dt_ms=1 / config.waveform_kHz if config.waveform_kHz else dt_ms,
        common_average=config.common_average,
        keep_waveforms=bool(config.waveform_kHz),
    )


def _candidates(
    task: BlockTask, cell: Cell, contacts: np.ndarray, block: int, first: int, batch: int
) -> tuple[dict[str, jax.Array], np.ndarray]:
    """Return the arrays of a batch of candidates, and the peak-to-peak amplitude of each at its largest contact.

    Args:
        task: of the cell.
        cell: what its blocks have in common.
        contacts: points of each contact, um.
        block: number of the block among those of the cell.
        first: number of the first candidate.
        batch: how many.
    """
    config, model = task.config, task.model
    of = config.seed, model.name, model.m_type, model.excitatory
    placed = placement.draw(*of, first, batch, config.rotation, config.box, cell.spikes, block)
    number = first + np.arange(batch, dtype=np.uint32)
    key = placement.stream(config.seed, model.name, block)
    matrices = recording.matrices(config, cell.times, cell.dt_ms)
    arrays, reached_uV = simulate(cell.factors, contacts, placed, number, key, *matrices, recorded(config, cell.dt_ms))
    arrays |= {
        "spike": placed.spike,
        "candidate": number,
        "position_um": placed.position_um,
        "rotation": placed.rotation,
    }
    return arrays, np.asarray(reached_uV)


@partial(jax.jit, static_argnames="how")
def simulate(
    factors: forward.Factors,
    contacts: jax.Array,
    placed: placement.Placement,
    number: jax.Array,
    key: jax.Array,
    resampling: jax.Array | None,
    colouring: jax.Array | None,
    how: Recording,
) -> tuple[dict[str, jax.Array], jax.Array]:
    """Return features, waveforms and largest amplitudes of a batch of placements of one cell.

    Args:
        factors: of the cell.
        contacts: points of the probe's contacts, from `probes.points`.
        placed: the candidates.
        number: of the candidates in their block.
        key: of the block's stream, for the noise.
        resampling, colouring: from `recording.matrices`.
        how: the rest of the configuration.
    """
    eap = forward.potentials(factors, contacts, *placed, how.sigma_S_per_m, how.source)
    reached_uV = (eap.max(axis=2) - eap.min(axis=2)).max(axis=1)  # before noise
    keys = jax.vmap(lambda k: jax.random.fold_in(jax.random.fold_in(key, k), NOISE))(number)
    if resampling is not None and colouring is not None:  # a recording chain: all that follows sees the recording
        eap = jnp.dot(eap, resampling, precision=forward.EXACT)
        if how.noise_uV:
            white = jax.vmap(lambda k: jax.random.normal(k, eap.shape[1:]))(keys)
            eap = eap + how.noise_uV * jnp.dot(white, colouring, precision=forward.EXACT)
        if how.common_average:
            eap = eap - eap.mean(axis=1, keepdims=True)
        arrays = features.extract(eap, how.recorded_dt_ms)._asdict()
        return arrays | ({"eap_uV": eap.astype(how.dtype)} if how.keep_waveforms else {}), reached_uV
    if how.noise_uV:
        eap = eap + how.noise_uV * jax.vmap(lambda k: jax.random.normal(k, eap.shape[1:]))(keys)
    arrays = features.extract(eap, how.dt_ms)._asdict()
    if resampling is not None:
        same = resampling.shape == (eap.shape[2],) * 2
        waveform = eap if same else jnp.dot(eap, resampling, precision=forward.EXACT)
        arrays["eap_uV"] = waveform.astype(how.dtype)
    return arrays, reached_uV
