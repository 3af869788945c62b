"""Batches of raphe spikes: which spikes, and how they are made noisy, as pure functions for the jitted step.

Nothing of a member's test part enters its batches: neither spikes nor, in the mean spike of a cell or as spike-free
windows, what was recorded with them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from spiketype.datasets import batches
from spiketype.datasets.batches import Plan
from spiketype.datasets.raphe import noisy
from spiketype.datasets.raphe.noisy import Masks
from spiketype.datasets.raphe.spikes import POINTS
from spiketype.datasets.raphe.table import RapheTable
from spiketype.datasets.splits import Fold
from spiketype.edge import UserError


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


class Part(NamedTuple):
    """The training part of a fold: its spikes, its spike-free windows, and its mean spikes where they are drawn from.

    Those of several members are stacked.
    """

    plan: Plan
    masks: Masks
    template: Float[Array, "*member cell 160"]


def draw(
    common: Common,
    part: Part,
    key: PRNGKeyArray,
    batch: int,
    augment: str,
    snr: tuple[float, float] | None,
    averaged: int = 1,
) -> tuple[Float[Array, "batch 160"], Int[Array, " batch"]]:
    """Draw spikes in pA and their labels, for one member; `augment` as of `parts`, the rest as of `noisy.noisy`."""
    index_key, noise_key = jax.random.split(key)
    index = batches.draw(part.plan, index_key, batch)
    label = common.label[index]
    if augment == "none":
        return common.spike[index], label
    base, row = (part.template, common.cell[index]) if augment == "template" else (common.spike, index)
    return noisy.noisy(noise_key, base, row, common.window, part.masks, snr, averaged), label


def parts(
    table: RapheTable, folds: Sequence[Fold], of_member: Sequence[int], augment: str, balance: str
) -> tuple[Common, Part]:
    """Return what all members see, and the parts of all, stacked.

    Args:
        table: the spikes.
        folds: whose training parts are drawn from.
        of_member: the fold of each member.
        augment: "template" or "smooth", the clean spike to which a spike-free window is added, or "none".
        balance: "cell", "class" or "none": what is drawn equally often.

    Raises:
        UserError: spike-free windows are wanted, but the store has none.
    """
    if augment != "none" and not len(table.noise_pA):
        raise UserError(f"{table.store} has no spike-free windows to make spikes noisy with: give --augment none")
    n_max = max(len(fold.train) for fold in folds)
    kind = table.label if balance != "none" else np.zeros_like(table.label)
    unit = table.cell if balance == "cell" else kind
    found = []
    for fold in folds:
        plan = batches.plan(fold.train, kind, True, n_max, unit)
        masks, template = Masks(np.zeros(1, np.int32), np.array(1, np.int32)), np.zeros((0, POINTS))
        if augment != "none":
            masks = noisy.masks(table, fold.train, len(table.noise_pA))
        if augment == "template":
            template = noisy.templates(table, fold.train)
        found.append(Part(plan, masks, jnp.asarray(template)))
    spike = noisy.smooth(table.spike_pA) if augment == "smooth" else table.spike_pA
    common = Common(*map(jnp.asarray, (spike, table.label, table.cell, table.noise_pA)))
    return common, jax.tree.map(lambda *rows: jnp.asarray(np.stack([rows[f] for f in of_member])), *found)
