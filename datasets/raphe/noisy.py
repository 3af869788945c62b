"""Noisy spikes: a spike freed of its noise plus a spike-free window (Corradetti et al., arXiv 2407.05701).

On the fly (:func:`noisy`, for the draw of a jitted training step), which needs no copies and is the default; or written
to a store once (:func:`generate`), by default in the published numbers. In both, spikes and windows come from the same
training part: a window of a test recording would teach the network that recording's noise.
"""

import json
import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, PRNGKeyArray

from spiketype.datasets import store
from spiketype.datasets.raphe.options import NoisyConfig
from spiketype.datasets.raphe.spikes import POINTS
from spiketype.datasets.raphe.table import RapheTable
from spiketype.edge import UserError, progress, versions

KIND = "raphe-noisy"
BLOCK = 100_000  # samples: 64 MB
CACHED = 500  # samples added up at once: what stays in a core's cache
SEED_MASKS, SEED_ORDER = 1, 2


class Masks(NamedTuple):
    """The spike-free windows of one training part, for :func:`noisy`.

    ``order`` (m_max,) int32 are rows of the table's windows, of which the first ``size`` () int32 are drawn from.
    """

    order: np.ndarray
    size: np.ndarray


def masks(table: RapheTable, train: Int[np.ndarray, " train"], m_max: int | None = None) -> Masks:
    """Return the windows of the cells that lie wholly in a training part (sample indices), padded to ``m_max``.

    A cell with samples outside the part gives none: its windows belong to the test part too. Only where no cell lies
    wholly inside, as in a split by spike, all windows of the part's cells are used, as published.

    Raises:
        UserError: there are none.
    """
    outside = np.setdiff1d(np.arange(len(table.cell)), train)
    own = np.setdiff1d(table.cell[train], table.cell[outside])
    rows = np.flatnonzero(np.isin(table.noise_cell, own if len(own) else table.cell[train])).astype(np.int32)
    if not len(rows):
        raise UserError(f"{table.store}: no spike-free window in the training part: make the store from recordings")
    order = np.full(m_max or len(rows), rows[0], np.int32)
    order[: len(rows)] = rows
    return Masks(order, np.array(len(rows), np.int32))


def smooth(spike_pA: Float[np.ndarray, "spike time"]) -> Float[np.ndarray, "spike time"]:
    """Return the published clean spikes: the mean over 3 points; the first and last point count twice at the ends."""
    padded = np.pad(spike_pA, ((0, 0), (1, 1)), mode="edge")
    found: np.ndarray = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / np.float32(3)
    return found


def templates(table: RapheTable, train: Int[np.ndarray, " train"]) -> Float32[np.ndarray, "cell time"]:
    """Return the mean spike of every cell over its samples in the training part; zeros where it has none."""
    rows = train[np.argsort(table.cell[train], kind="stable")]
    count = np.bincount(table.cell[train], minlength=len(table.cell_names))
    of_cell = np.split(rows, np.cumsum(count)[:-1])
    total = np.stack([table.spike_pA[each].sum(axis=0, dtype=np.float64) for each in of_cell])
    return (total / np.maximum(count, 1)[:, None]).astype(np.float32)


def noisy(
    key: PRNGKeyArray,
    base: Float[Array, "row time"],
    row: Int[Array, " batch"],
    window: Float[Array, "window time"],
    part: Masks,
    snr: tuple[float, float] | None = None,
    averaged: int = 1,
) -> Float[Array, "batch time"]:
    """Return noisy spikes in pA; pure, for jit and vmap.

    Args:
        key: of the step.
        base: clean spikes in pA: `smooth`, one a sample, or `templates`, one a cell.
        row: which of them; an index beyond the last is not caught.
        window: all spike-free windows, in pA.
        part: those of them that may be used.
        snr: None adds windows as they are (published); else they are scaled so that the ratio of trough to noise lies
            between the two, uniform on a logarithmic scale.
        averaged: windows are as weak as in a mean of n spikes, n from 1 to this, uniform on a logarithmic scale: what
            tells cells apart is learned sooner where noise does not hide it.
    """
    window_key, snr_key = jax.random.split(key)
    choice = jax.random.randint(window_key, row.shape, 0, part.size, jnp.int32)
    noise = _rows(window, _rows(jnp.asarray(part.order), choice))
    clean = _rows(base, row)
    if averaged > 1:
        mean_of = jnp.exp(jax.random.uniform(snr_key, (len(row), 1), jnp.float32, 0.0, math.log(averaged)))
        noise = noise * jax.lax.rsqrt(mean_of)
    if snr is None:
        return clean + noise
    low, high = (math.log(s) for s in snr)
    wanted = jnp.exp(jax.random.uniform(snr_key, (len(row), 1), jnp.float32, low, high))
    rms = jnp.sqrt(jnp.mean(noise**2, axis=1, keepdims=True))
    return clean + noise * (-clean.min(axis=1, keepdims=True) / (wanted * jnp.maximum(rms, 1e-6)))


def _rows(table: jax.Array, index: jax.Array) -> jax.Array:
    # Checking the index of every element against the bounds would cost more than the addition.
    return table.at[index].get(mode="promise_in_bounds")


@dataclass(frozen=True)
class _Plan:
    """What the noisy spikes are made of: clean rows, windows, and for each class the spikes that are taken."""

    base: np.ndarray
    row: np.ndarray
    window: np.ndarray
    window_row: np.ndarray
    members: tuple[np.ndarray, np.ndarray]
    counts: tuple[int, int]
    per_spike: int
    order: np.ndarray

    def pairs(self, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return spike and window of samples, both (n,): each spike with a run of ``per_spike`` windows.

        Each time that all spikes have been used, the next time round takes the next run.
        """
        number = self.order[position].astype(np.int64)
        spike, window = np.empty_like(number), np.empty_like(number)
        runs = max(1, len(self.window) // self.per_spike)
        first = 0
        for members, count in zip(self.members, self.counts, strict=True):
            mine = (number >= first) & (number < first + count)
            taken, within = np.divmod(number[mine] - first, self.per_spike)
            around, which = np.divmod(taken, max(1, len(members)))
            spike[mine] = members[which] if count else 0
            window[mine] = (around % runs * self.per_spike + within) % len(self.window)
            first += count
        return spike, window


def _plan(table: RapheTable, config: NoisyConfig) -> _Plan:
    unknown = set(config.days_out) - set(table.day_names)
    if unknown:
        raise UserError(f"{table.store}: has no day {', '.join(sorted(unknown))}; it has {', '.join(table.day_names)}")
    train = np.flatnonzero(~np.isin(np.array(table.day_names)[table.day], config.days_out) & (table.label >= 0))
    counts = (config.other, config.serotonergic)
    members = tuple(train[table.label[train] == c] for c in (0, 1))
    for name, mine, count in zip(table.class_names, members, counts, strict=True):
        if count and not len(mine):
            raise UserError(f"{table.store}: no {name} spike outside the days left out: ask for 0 of them")
    part = masks(table, train)
    usable = part.order[: int(part.size)]
    if len(usable) < config.masks:
        raise UserError(f"{table.store}: {len(usable)} spike-free windows in this part: ask for --masks {len(usable)}")
    rng = np.random.default_rng([config.seed, SEED_MASKS])
    chosen = np.sort(rng.choice(usable, config.masks, replace=False))
    template = config.base == "template"
    return _Plan(
        base=templates(table, train) if template else smooth(table.spike_pA),
        row=table.cell if template else np.arange(len(table.cell)),
        window=table.noise_pA[chosen],
        window_row=chosen,
        members=(members[0], members[1]),
        counts=counts,
        per_spike=config.per_spike,
        # Mixed when written, so that a reader need not mix.
        order=np.random.default_rng([config.seed, SEED_ORDER]).permutation(np.arange(sum(counts), dtype=np.int32)),
    )


def generate(table: RapheTable, config: NoisyConfig, out: Path) -> Path:
    """Write the noisy spikes, or what is missing of them, and return ``out``.

    Raises:
        UserError: a store of other settings is there; classes or windows are missing.
    """
    plan = _plan(table, config)
    total = len(plan.order)
    about = json.dumps({**asdict(config), "source": str(table.store)}, sort_keys=True)
    if out.exists():
        if store.attributes(out, KIND)["config"] != about:
            raise UserError(f"{out} was made with other settings: choose another --out")
        store.clean(out)
    else:
        _create(out, table, plan, about, config.seed)
    missing = np.flatnonzero(~store.done(out))
    with progress() as bar, ThreadPoolExecutor(1) as pool:
        shown = bar.add_task("noisy spikes", total=total)
        bar.advance(shown, total - sum(min(BLOCK, total - index * BLOCK) for index in missing.tolist()))
        # The next block is made while this one is compressed and written. Two pieces of memory take turns, because new
        # pages for every block would cost more than its sums.
        memory = [np.empty((BLOCK, POINTS), np.float32) for _ in range(2)]
        ahead: Future[dict[str, np.ndarray]] | None = None
        for at, index in enumerate(missing.tolist()):
            arrays = (ahead or pool.submit(_block, table, plan, config, index, memory[at % 2])).result()
            later = missing[at + 1 : at + 2].tolist()
            ahead = pool.submit(_block, table, plan, config, later[0], memory[(at + 1) % 2]) if later else None
            store.write_block(out, BLOCK, index, arrays)
            store.mark_done(out, index)
            bar.advance(shown, len(arrays["label"]))
    store.finish(out)
    return out


def _create(out: Path, table: RapheTable, plan: _Plan, about: str, seed: int) -> None:
    var, sample = store.Variable, ("sample",)
    spec = {
        "spike_pA": var(("sample", "time"), "float32", "pA", "clean spike plus spike-free window"),
        "label": var(sample, "int8", "1", f"class: {', '.join(table.class_names)}"),
        "cell": var(sample, "int16", "1", "index of the cell"),
        "spike": var(sample, "int32", "1", "sample of the source store that was taken"),
        "window": var(sample, "int16", "1", "index of the window that was added"),
    }
    known = {
        "cell_name": store.Coordinate(("cell_index",), np.array(table.cell_names), "1", "cell"),
        "day": store.Coordinate(("cell_index",), np.array(table.day_names)[table.cell_day], "1", "day of recording"),
        "window_row": store.Coordinate(("mask",), plan.window_row.astype(np.int32), "1", "window of the source store"),
    }
    sizes = {"sample": len(plan.order), "time": POINTS}
    attributes = {"config": about, "created_with": json.dumps(versions(commit=False), sort_keys=True), "seed": seed}
    store.create(out, KIND, sizes, BLOCK, spec, known, attributes)


def _block(
    table: RapheTable, plan: _Plan, config: NoisyConfig, index: int, memory: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the arrays of a block; its spikes lie in ``memory`` (`BLOCK`, 160)."""
    spike, window = plan.pairs(np.arange(index * BLOCK, min((index + 1) * BLOCK, len(plan.order))))
    gain = np.ones(len(spike), np.float32)
    if config.snr is not None:
        rng = np.random.default_rng([config.seed, index, 0])
        wanted = np.exp(rng.uniform(math.log(config.snr[0]), math.log(config.snr[1]), len(spike)))
        rms = np.sqrt((plan.window**2).mean(axis=1))
        trough = plan.base.min(axis=1)[plan.row[spike]]
        gain = (-trough / (wanted * np.maximum(rms[window], 1e-6))).astype(np.float32)
    spike_pA, noise = memory[: len(spike)], np.empty((CACHED, POINTS), np.float32)
    for first in range(0, len(spike), CACHED):
        rows = slice(first, min(first + CACHED, len(spike)))
        some = noise[: rows.stop - first]
        np.take(plan.base, plan.row[spike[rows]], axis=0, out=spike_pA[rows], mode="clip")
        np.take(plan.window, window[rows], axis=0, out=some, mode="clip")
        spike_pA[rows] += some if config.snr is None else some * gain[rows, None]
    return {
        "spike_pA": spike_pA,
        "label": table.label[spike].astype(np.int8),
        "cell": table.cell[spike].astype(np.int16),
        "spike": spike.astype(np.int32),
        "window": window.astype(np.int16),
    }
