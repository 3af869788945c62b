"""The networks of the raphe task: what they are, how they are trained, and what they say of spikes."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32, Int

from spiketype.datasets.raphe import batches
from spiketype.datasets.raphe.batches import Common, Part
from spiketype.edge import PyTree
from spiketype.models import raphe
from spiketype.models.raphe import POINTS, RapheCNN
from spiketype.train.loop import Metrics, Problem
from spiketype.train.task import Variables, in_pieces, of_member
from spiketype.train.tasks.raphe.config import RapheTaskConfig

BATCH = 500  # spikes at once where networks are applied


def network(config: RapheTaskConfig) -> RapheCNN:
    """Return the network whose members are those of all widths."""
    outputs = 1 if config.outputs == "logit" else 2
    return RapheCNN(min(config.widths), max(config.widths), outputs, config.dropout)


def problem(config: RapheTaskConfig) -> Problem:
    """Return batches, loss and optimizer; data are those of `batches.parts`, with the width of each member."""
    net, columns = network(config), _columns(config)

    def init(key: jax.Array) -> tuple[PyTree, PyTree]:
        return net.init(key, jnp.zeros((1, POINTS, columns)))["params"], {}

    def draw(common: Common, member: tuple[Part, Int[Array, ""]], key: jax.Array) -> PyTree:
        part, width = member
        spike_pA, label = batches.draw(common, part, key, config.batch, config.augment, config.snr, config.averaged)
        # A batch has nothing but arrays of samples: the member's width goes with each.
        return raphe.inputs(spike_pA, columns), label, jnp.full(config.batch, width)

    def loss(params: PyTree, state: PyTree, batch: PyTree, key: jax.Array) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        x, label, width = batch
        value, metrics = raphe.loss(net, params, x, label, width[0], key)
        return value, (state, metrics)

    rate: float | optax.Schedule = config.learning_rate
    if config.schedule == "cosine":
        rate = optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, config.steps // 20, config.steps)
    return Problem(init, draw, loss, optax.adam(rate))


def shares(
    config: RapheTaskConfig,
    variables: Variables,
    members: Sequence[tuple[int, int]],
    spike_pA: Float32[np.ndarray, "spike 160"],
) -> Float[np.ndarray, "network spike"]:
    """Return the published vote of each network for each spike, from 0, not serotonergic, to 1.

    `members` are number and kernel width of those that vote, out of the `variables` of all.
    """
    apply = partial(_share, network(config), _columns(config))
    each = [partial(apply, of_member(variables, number), np.int32(width)) for number, width in members]
    return np.stack([in_pieces(one, spike_pA, BATCH) for one in each])


@partial(jax.jit, static_argnums=(0, 1))
def _share(net: RapheCNN, columns: int, variables: Variables, width: jax.Array, spike_pA: jax.Array) -> jax.Array:
    return raphe.serotonergic_share(jnp.asarray(net.apply(variables, raphe.inputs(spike_pA, columns), width)))


def _columns(config: RapheTaskConfig) -> int:
    return 1 if config.columns == "current" else 2
