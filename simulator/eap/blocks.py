"""One block of an EAP store: accepted placements of one cell, their features and waveforms, written by one worker."""

import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from spiketype.datasets import store
from spiketype.edge import UserError
from spiketype.simulator.eap import features, forward, lowrank, placement
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.probes import points, probe
from spiketype.simulator.neuron.cells import CellModel
from spiketype.simulator.neuron.source import Source

CPU_BATCH, ACCELERATOR_BATCH = 32, 1024  # candidates at once: what stays in a core's cache; what fills a GPU
RANK_MULTIPLE = 48  # ranks are padded to whole multiples: at the default error all 13 cells share one program
NOISE = 1000  # folded into a candidate's key: no number that the placement's own split of that key uses
GIVE_UP = 200_000  # candidates without a single accepted one
REMEMBERED = 16  # cells whose factors a worker keeps: at most one is in work, and hundreds would fill the memory


@dataclass(frozen=True)
class BlockTask:
    """All that a worker needs to write one block."""

    path: Path
    config: EapConfig
    model: CellModel
    cell: int  # position of the cell model in the store
    source: Source
    segments: int  # the largest number of segments of all cells, to which this one is padded
    index: int  # number of the block
    samples: int  # in the block
    candidate: int  # the first one to try
    resampling: Float[np.ndarray, "time new_time"] | None  # to what is recorded; None for no waveforms
    colouring: Float[np.ndarray, "new_time new_time"] | None  # of noise, from `recording`; None without a chain


@dataclass(frozen=True)
class BlockResult:
    """What the process that owns the store has to know about a written block."""

    cell: int
    index: int
    next_candidate: int
    rank: int
    error_uV: float


class Recording(NamedTuple):
    """The part of a configuration that a compiled program depends on."""

    sigma_S_per_m: float
    source: forward.Kind
    threshold_uV: float
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
        "candidate": var(("sample",), "int32", "1", "number of the placement among the cell's candidates"),
        "position_um": var(("sample", "axis"), "float32", "um", "soma position; the probe is in the plane x = 0"),
        "rotation": var(("sample", "world", "local"), "float32", "1", "world = rotation @ local + position"),
        "rank": var(("cell_model",), "int16", "1", "number of factors of the membrane currents"),
        "rank_error_uV": var(("cell_model",), "float32", "uV", "worst error of that rank over random placements"),
    }
    if new_time:
        spec["eap_uV"] = var((*per_channel, "time"), config.dtype, "uV", "extracellular action potential")
    return spec


def write_block(task: BlockTask) -> BlockResult:
    """Draw candidates from ``task.candidate`` on until the block is full of accepted ones, and write it.

    Raises:
        UserError: none of `GIVE_UP` placements in the box reaches the amplitude threshold.
    """
    factors, error_uV, rank = _factors(task)
    contacts = points(probe(task.config.probe), task.config.contact_points)
    batch = CPU_BATCH if jax.default_backend() == "cpu" else ACCELERATOR_BATCH
    block: dict[str, np.ndarray] = {}
    filled = 0
    # Batches begin at whole multiples: the last bits of a sample must not depend on where its block begins.
    first = task.candidate // batch * batch
    while filled < task.samples:
        arrays, accepted = _candidates(task, factors, contacts, first, batch)
        accepted[: max(0, task.candidate - first)] = False
        rows = np.flatnonzero(accepted)[: task.samples - filled]
        for name, values in arrays.items():
            if name not in block:
                block[name] = np.empty((task.samples, *values.shape[1:]), values.dtype)
            block[name][filled : filled + len(rows)] = np.asarray(values)[rows]
        filled += len(rows)
        first += batch
        if not filled and first - task.candidate > GIVE_UP:
            raise UserError(
                f"cell {task.model.name}: none of {GIVE_UP} placements reaches {task.config.threshold_uV:g} uV at a"
                f" contact of {task.config.probe}: lower --threshold-uv or move the box nearer"
            )
    block["cell"] = np.full(task.samples, task.cell, np.int16)
    store.write_block(task.path, task.samples, task.index, block)
    return BlockResult(task.cell, task.index, int(block["candidate"][-1]) + 1, rank, error_uV)


def _candidates(
    task: BlockTask, factors: forward.Factors, contacts: np.ndarray, first: int, batch: int
) -> tuple[dict[str, jax.Array], np.ndarray]:
    config, model, n_spike = task.config, task.model, len(task.source.current_nA)
    about = config.seed, model.name, model.m_type, model.excitatory
    placed = placement.draw(*about, first, batch, config.rotation, config.box, n_spike)
    number = first + np.arange(batch, dtype=np.uint32)
    key = jax.random.fold_in(jax.random.key(np.uint32(config.seed)), np.uint32(zlib.crc32(model.name.encode())))
    how = Recording(
        sigma_S_per_m=config.sigma_S_per_m,
        source=config.source,
        threshold_uV=config.threshold_uV,
        noise_uV=config.noise_uV / np.sqrt(config.mean_of),
        dtype=config.dtype,
        dt_ms=task.source.dt_ms,
        recorded_dt_ms=1 / config.waveform_kHz if config.waveform_kHz else task.source.dt_ms,
        common_average=config.common_average,
        keep_waveforms=bool(config.waveform_kHz),
    )
    arrays, accepted = _simulate(factors, contacts, placed, number, key, task.resampling, task.colouring, how)
    arrays |= {
        "spike": placed.spike,
        "candidate": number,
        "position_um": placed.position_um,
        "rotation": placed.rotation,
    }
    return arrays, np.array(accepted)


@partial(jax.jit, static_argnames="how")
def _simulate(
    factors: forward.Factors,
    contacts: jax.Array,
    placed: placement.Placement,
    number: jax.Array,
    key: jax.Array,
    resampling: jax.Array | None,
    colouring: jax.Array | None,
    how: Recording,
) -> tuple[dict[str, jax.Array], jax.Array]:
    """Return features, waveforms and acceptance of a batch of placements of one cell."""
    eap = forward.potentials(factors, contacts, *placed, how.sigma_S_per_m, how.source)
    accepted = (eap.max(axis=2) - eap.min(axis=2)).max(axis=1) >= how.threshold_uV
    keys = jax.vmap(lambda k: jax.random.fold_in(jax.random.fold_in(key, k), NOISE))(number)
    if resampling is not None and colouring is not None:  # a recording chain: all that follows sees the recording
        eap = jnp.dot(eap, resampling, precision=forward.EXACT)
        if how.noise_uV:
            white = jax.vmap(lambda k: jax.random.normal(k, eap.shape[1:]))(keys)
            eap = eap + how.noise_uV * jnp.dot(white, colouring, precision=forward.EXACT)
        if how.common_average:
            eap = eap - eap.mean(axis=1, keepdims=True)
        arrays = features.extract(eap, how.recorded_dt_ms)._asdict()
        return arrays | ({"eap_uV": eap.astype(how.dtype)} if how.keep_waveforms else {}), accepted
    if how.noise_uV:
        eap = eap + how.noise_uV * jax.vmap(lambda k: jax.random.normal(k, eap.shape[1:]))(keys)
    arrays = features.extract(eap, how.dt_ms)._asdict()
    if resampling is not None:
        same = resampling.shape == (eap.shape[2],) * 2
        waveform = eap if same else jnp.dot(eap, resampling, precision=forward.EXACT)
        arrays["eap_uV"] = waveform.astype(how.dtype)
    return arrays, accepted


_KNOWN: dict[str, tuple[forward.Factors, float, int]] = {}  # of this worker; a pool of workers serves one store


def _factors(task: BlockTask) -> tuple[forward.Factors, float, int]:
    """Return the cell's currents in factors, padded so that a program compiled for another cell serves this one."""
    if task.model.name not in _KNOWN:
        if len(_KNOWN) == REMEMBERED:
            _KNOWN.pop(next(iter(_KNOWN)))
        config, contact_um = task.config, probe(task.config.probe).contact_um
        made = lowrank.factorise(task.source, config.error_uV, contact_um, config.box, config.sigma_S_per_m)
        factors, error_uV, rank = made
        whole = -(-rank // RANK_MULTIPLE) * RANK_MULTIPLE
        _KNOWN[task.model.name] = lowrank.pad(factors, task.segments, whole), error_uV, rank
    return _KNOWN[task.model.name]
