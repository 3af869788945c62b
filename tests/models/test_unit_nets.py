"""Networks on waveforms: shapes, what they learn, and that one channel suffices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from spiketype.models.losses import cross_entropy
from spiketype.models.unit_nets import UnitNet


@pytest.mark.parametrize("kind", ["dense", "conv", "gru"])
@pytest.mark.parametrize(("channels", "features"), [(1, 0), (8, 5)])
def test_a_network_learns_the_width_of_a_trough(kind, channels, features):
    rng = np.random.default_rng(0)
    label = np.arange(64) % 2
    time = np.arange(16) - 6
    x = -np.exp(-(time**2) / np.where(label, 2.0, 12.0)[:, None])[:, None] * rng.uniform(0.5, 1, (64, channels, 1))
    x = jnp.asarray((x - x.mean(axis=0)) / x.std(axis=0), jnp.float32)
    h = jnp.asarray(rng.normal(size=(64, features)), jnp.float32)
    net = UnitNet(2, kind, width=16, dropout=0.2)
    key = jax.random.key(0)
    params = net.init(key, x[:1], h[:1])["params"]

    def loss(params, number):
        rngs = {"dropout": jax.random.fold_in(key, number)}
        return cross_entropy(net.apply({"params": params}, x, h, train=True, rngs=rngs), jnp.asarray(label))[0]

    optimizer = optax.sgd(0.1, momentum=0.9)

    @jax.jit
    def step(params, state, number):
        updates, state = optimizer.update(jax.grad(loss)(params, number), state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for number in range(60):
        params, state = step(params, state, np.uint32(number))
    said = net.apply({"params": params}, x, h)
    assert said.shape == (64, 2)
    assert (said.argmax(axis=1) == label).mean() > 0.95


def test_dropout_needs_training():
    net = UnitNet(3, "dense", width=8)
    x, h = jnp.ones((2, 1, 12)), jnp.zeros((2, 0))
    variables = net.init(jax.random.key(0), x, h)
    np.testing.assert_array_equal(net.apply(variables, x, h), net.apply(variables, x, h))
    with pytest.raises(Exception, match="dropout"):
        net.apply(variables, x, h, train=True)
