"""The batches of the raphe task: which spikes, and how they are made noisy, as pure functions for the jitted step.

Nothing of a member's test part enters its batches: neither spikes nor, in the mean spike of a cell or as spike-free
windows, what was recorded with them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from spiketype.datasets.raphe import RapheTable, noisy
from spiketype.datasets.raphe.noisy import Masks
from spiketype.datasets.raphe.spikes import POINTS, RATE_KHZ, REFERENCE
from spiketype.datasets.splits import Split
from spiketype.edge import UserError
from spiketype.train.task import Member


class Plan(NamedTuple):
    """The training part of a member, sorted by class and in it by unit: the cell, or the class as a whole; int32.

    Attributes:
        order: sample indices, padded.
        first, size: where a unit's samples start in ``order`` and how many they are, padded.
        class_first, class_count: the same for the units of a class.
    """

    order: Int[np.ndarray, " n_max"]
    first: Int[np.ndarray, " unit_max"]
    size: Int[np.ndarray, " unit_max"]
    class_first: Int[np.ndarray, " class"]
    class_count: Int[np.ndarray, " class"]


class Common(NamedTuple):
    """What all members see.

    Attributes:
        spike: pA, as recorded or smoothed.
        label, cell: of each spike.
        window: all spike-free windows, pA.
    """

    spike: Float[Array, "sample 160"]
    label: Int[Array, " sample"]
    cell: Int[Array, " sample"]
    window: Float[Array, "window 160"]


class OfMember(NamedTuple):
    """What one member has.

    Attributes:
        plan: of its training part.
        part: its spike-free windows.
        template: mean spikes of its part; none where they are not drawn from.
        width: of its kernels.
    """

    plan: Plan
    part: Masks
    template: Float[Array, "cell 160"]
    width: Int[Array, ""]


def plan(
    train: Int[np.ndarray, " train"],
    label: Int[np.ndarray, " sample"],
    cell: Int[np.ndarray, " sample"],
    balance: str,
    n_max: int,
    unit_max: int,
) -> Plan:
    """Describe a training part (sample indices); padded so that those of all members can be stacked."""
    kind = label[train] if balance != "none" else np.zeros(len(train), np.int64)
    unit = cell[train] if balance == "cell" else kind
    order = np.lexsort((train, unit, kind))
    _, first, count = np.unique(np.stack([kind, unit])[:, order], axis=1, return_index=True, return_counts=True)
    of_unit = kind[order][first]
    class_count = np.bincount(of_unit)
    padded = np.full(n_max, train[0])
    padded[: len(train)] = train[order]
    spare = (0, unit_max - len(first))
    described = (
        padded,
        np.pad(first, spare),
        np.pad(count, spare, constant_values=1),
        np.cumsum(class_count) - class_count,
        class_count,
    )
    return Plan(*(np.asarray(a, np.int32) for a in described))


def indices(plan: Plan, key: PRNGKeyArray, batch: int) -> Int[Array, " batch"]:
    """Draw sample indices of a training part, with replacement: classes by turns, then a unit, then a sample."""
    turn_key, unit_key, sample_key = jax.random.split(key, 3)
    classes = plan.class_count.shape[0]
    turn = jax.random.randint(turn_key, (), 0, classes, jnp.int32)
    kind = (turn + jnp.arange(batch, dtype=jnp.int32)) % classes
    rank = jax.random.randint(unit_key, (batch,), 0, jnp.asarray(plan.class_count)[kind], jnp.int32)
    unit = jnp.asarray(plan.class_first)[kind] + rank
    within = jax.random.randint(sample_key, (batch,), 0, jnp.asarray(plan.size)[unit], jnp.int32)
    return jnp.asarray(plan.order)[jnp.asarray(plan.first)[unit] + within]


def draw(
    common: Common,
    member: OfMember,
    key: PRNGKeyArray,
    batch: int,
    augment: str,
    snr: tuple[float, float] | None,
    averaged: int = 1,
) -> tuple[Float[Array, "batch 160"], Int[Array, " batch"]]:
    """Draw spikes in pA and their labels, for one member."""
    index_key, noise_key = jax.random.split(key)
    index = indices(member.plan, index_key, batch)
    label = common.label[index]
    if augment == "none":
        return common.spike[index], label
    base, row = (member.template, common.cell[index]) if augment == "template" else (common.spike, index)
    return noisy.noisy(noise_key, base, row, common.window, member.part, snr, averaged), label


def inputs(spike_pA: Float[Array, "batch 160"], columns: int) -> Float[Array, "batch 160 {columns}"]:
    """Return what the network sees: the current in pA, behind the time in ms where it has two columns."""
    current = spike_pA[..., None]
    if columns == 1:
        return current
    time_ms = (jnp.arange(current.shape[1], dtype=jnp.float32) - REFERENCE) / RATE_KHZ
    return jnp.concatenate([jnp.broadcast_to(time_ms[None, :, None], current.shape), current], axis=2)


def data(
    table: RapheTable, split: Split, members: Sequence[Member], augment: str, balance: str
) -> tuple[Common, OfMember]:
    """Return common and member data of the loop; a member's variant is its kernel width.

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
            parts.append(noisy.masks(table, fold.train, len(table.noise_pA)))
        means.append(noisy.templates(table, fold.train) if augment == "template" else np.zeros((0, POINTS)))
    spike = noisy.smooth(table.spike_pA) if augment == "smooth" else table.spike_pA
    common = Common(*map(jnp.asarray, (spike, table.label, table.cell, table.noise_pA)))
    folds = np.array([member.fold for member in members])
    by_fold = tuple(zip(plans, parts, means, strict=True))
    stacked, part, template = jax.tree.map(lambda *rows: jnp.asarray(np.stack(rows)[folds]), *by_fold)
    width = jnp.array([member.variant for member in members], jnp.int32)
    return common, OfMember(stacked, part, template, width)
