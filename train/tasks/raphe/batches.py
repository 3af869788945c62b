"""The batches of the raphe task: which spikes, and how they are made noisy, as pure functions for the jitted step.

Nothing of a member's test part enters its batches: neither spikes nor, in the mean spike of a cell or as spike-free
windows, what was recorded with them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spiketype.datasets.raphe import noisy as raphe_noisy
from spiketype.datasets.raphe.noisy import Masks
from spiketype.datasets.raphe.spikes import RATE_KHZ, REFERENCE
from spiketype.datasets.raphe.table import RapheTable
from spiketype.datasets.splits import Split
from spiketype.edge import UserError


class Plan(NamedTuple):
    """The training part of a member, sorted by class and in it by unit: the cell, or the class as a whole; int32.

    ``order`` (n_max,) sample indices; ``first``, ``size`` (unit_max,) where a unit's samples start in ``order`` and
    how many they are; ``class_first``, ``class_count`` (class,) the same for the units of a class.
    """

    order: np.ndarray
    first: np.ndarray
    size: np.ndarray
    class_first: np.ndarray
    class_count: np.ndarray


class Shared(NamedTuple):
    """What all members see: ``spike`` (sample, 160) pA as recorded or smoothed, label, cell (sample,), all windows."""

    spike: Any
    label: Any
    cell: Any
    window: Any


class Own(NamedTuple):
    """What one member has: its plan, its spike-free windows, the mean spikes (cell, 160) of its part, its width."""

    plan: Plan
    part: Masks
    template: Any
    width: Any


def plan(train: np.ndarray, label: np.ndarray, cell: np.ndarray, balance: str, n_max: int, unit_max: int) -> Plan:
    """Describe a training part (sample indices); padded so that those of all members can be stacked."""
    kind = label[train] if balance != "none" else np.zeros(len(train), np.int64)
    unit = cell[train] if balance == "cell" else kind
    order = np.lexsort((train, unit, kind))
    _, first, count = np.unique(np.stack([kind, unit])[:, order], axis=1, return_index=True, return_counts=True)
    of_unit = kind[order][first]
    class_count = np.bincount(of_unit)
    padded = np.full(n_max, train[0])
    padded[: len(train)] = train[order]
    return Plan(
        *(
            np.asarray(a, np.int32)
            for a in (
                padded,
                np.pad(first, (0, unit_max - len(first))),
                np.pad(count, (0, unit_max - len(count)), constant_values=1),
                np.cumsum(class_count) - class_count,
                class_count,
            )
        )
    )


def indices(plan: Plan, key: jax.Array, batch: int) -> jax.Array:
    """Sample indices (batch,) of a training part, with replacement: classes by turns, then a unit, then a sample."""
    turn_key, unit_key, sample_key = jax.random.split(key, 3)
    classes = plan.class_count.shape[0]
    turn = jax.random.randint(turn_key, (), 0, classes, jnp.int32)
    kind = (turn + jnp.arange(batch, dtype=jnp.int32)) % classes
    rank = jax.random.randint(unit_key, (batch,), 0, jnp.asarray(plan.class_count)[kind], jnp.int32)
    unit = jnp.asarray(plan.class_first)[kind] + rank
    within = jax.random.randint(sample_key, (batch,), 0, jnp.asarray(plan.size)[unit], jnp.int32)
    return jnp.asarray(plan.order)[jnp.asarray(plan.first)[unit] + within]


def draw(
    shared: Shared,
    own: Own,
    key: jax.Array,
    batch: int,
    augment: str,
    snr: tuple[float, float] | None,
    averaged: int = 1,
) -> tuple[jax.Array, jax.Array]:
    """Spikes (batch, 160) in pA and their labels (batch,), for one member."""
    index_key, noise_key = jax.random.split(key)
    index = indices(own.plan, index_key, batch)
    label = shared.label[index]
    if augment == "none":
        return shared.spike[index], label
    base, row = (own.template, shared.cell[index]) if augment == "template" else (shared.spike, index)
    return raphe_noisy.noisy(noise_key, base, row, shared.window, own.part, snr, averaged), label


def inputs(spike_pA: jax.Array, columns: int) -> jax.Array:
    """What the network sees, (batch, 160, columns): the current in pA, behind the time in ms where it has two."""
    current = spike_pA[..., None]
    if columns == 1:
        return current
    time_ms = (jnp.arange(current.shape[1], dtype=jnp.float32) - REFERENCE) / RATE_KHZ
    return jnp.concatenate([jnp.broadcast_to(time_ms[None, :, None], current.shape), current], axis=2)


def data(table: RapheTable, split: Split, members: Sequence[Any], augment: str, balance: str) -> tuple[Shared, Own]:
    """Shared and own data of the loop; members have ``fold`` and ``width``.

    Raises:
        UserError: spike-free windows are wanted, but the store has none.
    """
    if augment != "none" and not len(table.noise_pA):
        raise UserError(f"{table.store} has no spike-free windows to make spikes noisy with: give --augment none")
    n_max = max(len(fold.train) for fold in split.folds)
    plans, parts, means = [], [], []
    for fold in split.folds:
        plans.append(plan(fold.train, table.label, table.cell, balance, n_max, len(table.cell_names)))
        if augment == "none":
            parts.append(Masks(np.zeros(1, np.int32), np.array(1, np.int32)))
        else:
            parts.append(raphe_noisy.masks(table, fold.train, len(table.noise_pA)))
        means.append(raphe_noisy.templates(table, fold.train) if augment == "template" else np.zeros((0, 160)))
    spike = raphe_noisy.smooth(table.spike_pA) if augment == "smooth" else table.spike_pA
    shared = Shared(spike, table.label, table.cell, table.noise_pA)
    folds = np.array([member.fold for member in members])
    by_fold = tuple(zip(plans, parts, means, strict=True))
    stacked, part, template = jax.tree.map(lambda *rows: np.stack(rows)[folds], *by_fold)
    width = np.array([member.width for member in members], np.int32)
    return jax.tree.map(jnp.asarray, (shared, Own(stacked, part, template, width)))
