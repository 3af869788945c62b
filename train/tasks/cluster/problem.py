"""What `--task cluster` trains: an autoencoder, layer by layer or whole, and then its code with the centres."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from spiketype.models import augment, autoencoder, dec
from spiketype.train.loop import Problem

AT_ONCE = 10
Change = Callable[[jax.Array, jax.Array], jax.Array]


def changes(config: Any, shape: tuple[int, int]) -> Change:
    """(key, x (sample, feature)) -> x changed as --augment says; features beyond the waveform's are left alone."""
    count = shape[0] * shape[1]

    def change(key: jax.Array, x: jax.Array) -> jax.Array:
        traces = x[:, :count].reshape(len(x), *shape)
        if config.augment == "image":
            traces = augment.move_in_plane(key, traces, config.turn_deg, config.shift)
        else:
            traces = augment.shift_in_time(key, traces, config.shift)
        return jnp.concatenate([traces.reshape(len(x), count), x[:, count:]], axis=1)

    return (lambda key, x: x) if config.augment == "none" else change


def _draw(config: Any, count: int, shared: Any, own: Any, key: jax.Array) -> Any:
    index = jax.random.randint(key, (config.batch,), 0, count)
    return index, shared[0][index]


def _draw_pair(config: Any, count: int, shared: Any, own: Any, key: jax.Array) -> Any:
    """Units, and for each a unit at random from its neighbours."""
    first, second = jax.random.split(key)
    index = jax.random.randint(first, (config.batch,), 0, count)
    which = jax.random.randint(second, (config.batch,), 0, shared[1].shape[1])
    return index, shared[0][index], shared[0][shared[1][index, which]]


def pretraining(config: Any, net: autoencoder.Dense | autoencoder.Conv, count: int, change: Change) -> Problem:
    """Reconstruct what is put in, from changed inputs if asked; shared data are x (unit, feature) and neighbours.

    With --contrast, the code of a unit is also drawn to that of a neighbour and driven from those of other units.
    """

    def init(key: jax.Array) -> Any:
        return {"net": net.init(key, jnp.zeros((1, net_size(net))))["params"]}, {}

    def loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
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


def layer(config: Any, net: autoencoder.Dense, count: int, change: Change, k: int) -> Problem:
    """Layer k alone, as a denoising autoencoder of what the layers before it give."""
    whole = pretraining(config, net, count, change)

    def loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        change_key, drop_key = jax.random.split(key)
        x = change(change_key, batch[1])
        return autoencoder.layer_loss(net, params["net"], x, k, config.corruption, drop_key), (state, {})

    return Problem(whole.init, partial(_draw, config, count), loss, whole.optimizer, interval=whole.interval)


def _interval(config: Any) -> int:
    """Steps of pretraining in one call."""
    return math.gcd(config.steps, AT_ONCE)


def _adam(config: Any) -> optax.GradientTransformation:
    return optax.adam(config.learning_rate)


def net_size(net: autoencoder.Dense | autoencoder.Conv) -> int:
    """Features that a network takes."""
    return net.size if isinstance(net, autoencoder.Dense) else net.shape[0] * net.shape[1]


def fresh_state(members: int, count: int, most: int, code: int) -> dict[str, jax.Array]:
    """What the clustering phase keeps beside parameters, before its first step; all have a leading member axis.

    Which centres are alive; by what the code is divided; of every unit the target, the cluster (-1: none yet) and the
    code after pretraining; the share of units whose cluster changed at the last refresh; centres moved because empty.
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


def encode(net: autoencoder.Dense | autoencoder.Conv, params: Any, x: np.ndarray) -> np.ndarray:
    """Codes (member, unit, code) of inputs x (unit, feature) by networks whose parameters have a member axis."""
    return np.asarray(jax.jit(lambda all_: jax.lax.map(lambda p: autoencoder.apply(net, p, "encode", x), all_))(params))


def clustering(
    config: Any, net: autoencoder.Dense | autoencoder.Conv, count: int, change: Change, most: int, share: Any
) -> Problem:
    """The code of `count` units and `most` centres, of which those alive take part; state as `fresh_state` has it."""

    def init(key: jax.Array) -> Any:
        params = pretraining(config, net, count, change).init(key)[0]
        state = jax.tree.map(lambda a: a[0], fresh_state(1, count, most, net.code))
        return {**params, "centre": jnp.zeros((most, net.code))}, state

    def code(params: Any, state: Any, x: jax.Array) -> jax.Array:
        return autoencoder.apply(net, params["net"], "encode", x) / state["scale"]

    def refresh(params: Any, state: Any, shared: Any, own: Any) -> Any:
        z = code(params, state, shared[0])
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

    def loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
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

    def finished(state: Any) -> jax.Array:
        return state["changed"] < config.tolerance

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
