"""What `--task cluster` trains: an autoencoder, layer by layer or whole, and then its code with the centres."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from spiketype.edge import PyTree
from spiketype.models import augment, autoencoder, dec
from spiketype.train.apply import in_pieces, of_member
from spiketype.train.loop import Metrics, Problem
from spiketype.train.tasks.cluster.config import ClusterConfig
from spiketype.train.tasks.cluster.data import Form

AT_ONCE = 10
MOST_ROWS = 16_384  # that are encoded at once
Net = autoencoder.Dense | autoencoder.Conv
Change = Callable[[jax.Array, jax.Array], jax.Array]


def network(config: ClusterConfig, form: Form) -> Net:
    """Return the autoencoder of every member."""
    return autoencoder.make(config.network, form.features, form.shape, config.code, config.hidden)


def changes(config: ClusterConfig, shape: tuple[int, int]) -> Change:
    """Return (key, x (sample, feature)) -> x changed as --augment says, but for features beyond the waveform's."""
    count = shape[0] * shape[1]

    def change(key: jax.Array, x: jax.Array) -> jax.Array:
        traces = x[:, :count].reshape(len(x), *shape)
        if config.augment == "image":
            traces = augment.move_in_plane(key, traces, config.turn_deg, config.shift)
        else:
            traces = augment.shift_in_time(key, traces, config.shift)
        return jnp.concatenate([traces.reshape(len(x), count), x[:, count:]], axis=1)

    return (lambda key, x: x) if config.augment == "none" else change


def _draw(config: ClusterConfig, count: int, common: PyTree, member: PyTree, key: jax.Array) -> PyTree:
    index = jax.random.randint(key, (config.batch,), 0, count)
    return index, common[0][index]


def _draw_pair(config: ClusterConfig, count: int, common: PyTree, member: PyTree, key: jax.Array) -> PyTree:
    """Draw units, and for each a unit at random from its neighbours."""
    first, second = jax.random.split(key)
    index = jax.random.randint(first, (config.batch,), 0, count)
    which = jax.random.randint(second, (config.batch,), 0, common[1].shape[1])
    return index, common[0][index], common[0][common[1][index, which]]


def pretraining(config: ClusterConfig, net: Net, count: int, change: Change) -> Problem:
    """Reconstruct the inputs of `count` units, from changed inputs if asked.

    Common data are x (unit, feature) and the numbers (unit, neighbour) of each unit's neighbours.

    With --contrast, the code of a unit is also drawn to that of a neighbour and driven from those of other units.
    """

    def init(key: jax.Array) -> tuple[PyTree, PyTree]:
        return {"net": net.init(key, jnp.zeros((1, net_size(net))))["params"]}, {}

    def loss(params: PyTree, state: PyTree, batch: PyTree, key: jax.Array) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        change_key, drop_key, code_key, other_key = jax.random.split(key, 4)
        x = change(change_key, batch[1])
        seen = jnp.where(jax.random.bernoulli(drop_key, 1 - config.corruption, x.shape), x, 0)
        value, z = autoencoder.reconstruction(net, params["net"], x, seen, code_key, config.beta)
        if not config.contrast:
            return value, (state, {})
        other = autoencoder.apply(net, params["net"], "encode", change(other_key, batch[2]))
        apart = dec.contrast(z, other)
        return value + config.contrast * apart, (state, {"reconstruction": value, "contrast": apart})

    draw = partial(_draw_pair if config.contrast else _draw, config, count)
    return Problem(init, draw, loss, _adam(config), interval=_interval(config))


def layer(config: ClusterConfig, net: autoencoder.Dense, count: int, change: Change, k: int) -> Problem:
    """Train layer k alone, as a denoising autoencoder of what the layers before it give."""
    whole = pretraining(config, net, count, change)

    def loss(params: PyTree, state: PyTree, batch: PyTree, key: jax.Array) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        change_key, drop_key = jax.random.split(key)
        x = change(change_key, batch[1])
        return autoencoder.layer_loss(net, params["net"], x, k, config.corruption, drop_key), (state, {})

    return Problem(whole.init, partial(_draw, config, count), loss, whole.optimizer, interval=whole.interval)


def _interval(config: ClusterConfig) -> int:
    """Return the steps of pretraining in one call: they divide --steps, so that nothing is rounded."""
    return math.gcd(config.steps, AT_ONCE)


def _adam(config: ClusterConfig) -> optax.GradientTransformation:
    return optax.adam(config.learning_rate)


def net_size(net: Net) -> int:
    """Return the number of features that a network takes."""
    return net.size if isinstance(net, autoencoder.Dense) else net.shape[0] * net.shape[1]


def fresh_state(members: int, count: int, most: int, code: int) -> dict[str, jax.Array]:
    """Return what the clustering phase keeps beside parameters, before its first step.

    All have a leading member axis: which centres are alive; by what the code is divided; of every unit the target, the
    cluster (-1: none yet) and the code after pretraining; the share of units whose cluster changed at the last
    refresh; how often a centre was moved because its cluster was empty.
    """
    return {
        "alive": jnp.ones((members, most), bool),
        "scale": jnp.ones(members),
        "target": jnp.zeros((members, count, most)),
        "label": jnp.full((members, count), -1, jnp.int32),
        "pretrained": jnp.zeros((members, count, code)),
        "changed": jnp.ones(members),
        "reseeded": jnp.zeros(members, jnp.int32),
    }


def encode(net: Net, params: PyTree, x: Float[np.ndarray, "unit feature"]) -> Float[np.ndarray, "member unit code"]:
    """Return the codes of inputs by networks whose parameters have a member axis."""
    members = len(jax.tree.leaves(params)[0])
    each = [partial(_encode, net, of_member(params, number)) for number in range(members)]
    return np.stack([in_pieces(one, x, min(len(x), MOST_ROWS)) for one in each])


@partial(jax.jit, static_argnums=0)  # one program for all members
def _encode(net: Net, params: PyTree, x: jax.Array | np.ndarray) -> jax.Array:
    return autoencoder.apply(net, params, "encode", x)


def clustering(
    config: ClusterConfig, net: Net, count: int, change: Change, most: int, share: Float[Array, " cluster"] | None
) -> Problem:
    """Draw the codes of `count` units towards `most` centres, of which those alive take part, and these to the codes.

    State is as `fresh_state` has it.

    Args:
        config: of the task.
        net: the autoencoder.
        count: units.
        change: what is done to inputs.
        most: centres.
        share: as `dec.target` has it.
    """

    def init(key: jax.Array) -> tuple[PyTree, PyTree]:
        params = pretraining(config, net, count, change).init(key)[0]
        state = jax.tree.map(lambda a: a[0], fresh_state(1, count, most, net.code))
        return {**params, "centre": jnp.zeros((most, net.code))}, state

    def code(params: PyTree, state: PyTree, x: jax.Array) -> jax.Array:
        return jnp.asarray(autoencoder.apply(net, params["net"], "encode", x) / state["scale"])

    def refresh(params: PyTree, state: PyTree, common: PyTree, member: PyTree) -> tuple[PyTree, PyTree]:
        z = code(params, state, common[0])
        label = dec.log_assignment(z, params["centre"], state["alive"]).argmax(axis=1).astype(jnp.int32)
        centre, moved = dec.reseed(z, params["centre"], label, state["alive"])
        log_q = dec.log_assignment(z, centre, state["alive"])
        new = {
            "target": dec.target(log_q, share),
            "label": label,
            "changed": jnp.mean((label != state["label"]).astype(jnp.float32)),
            "reseeded": state["reseeded"] + moved,
        }
        return {**params, "centre": centre}, {**state, **new}

    def loss(params: PyTree, state: PyTree, batch: PyTree, key: jax.Array) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        change_key, code_key = jax.random.split(key)
        x = change(change_key, batch[1])
        error = jnp.zeros(())
        if config.loss == "dec":
            z = code(params, state, x)
        else:
            error, z = autoencoder.reconstruction(net, params["net"], x, x, code_key, config.beta)
            z = z / state["scale"]
        log_q = dec.log_assignment(z, params["centre"], state["alive"])
        aim = jax.lax.stop_gradient(dec.target(log_q, share)) if config.loss == "joint" else state["target"][batch[0]]
        kl = dec.divergence(aim, log_q)
        watched = {"kl": kl, "changed": state["changed"], **dec.health(z, log_q, state["alive"])}
        return (kl if config.loss == "dec" else error + config.gamma * kl), (state, watched)

    def finished(state: PyTree) -> jax.Array:
        return jnp.asarray(state["changed"] < config.tolerance)

    optimizer = {
        "sgd": optax.sgd(config.cluster_rate, momentum=0.9),
        "adam": optax.adam(config.cluster_rate),
    }[config.optimizer]
    return Problem(
        init,
        partial(_draw, config, count),
        loss,
        optimizer,
        interval=config.interval,
        refresh=refresh,
        finished=finished,
    )
