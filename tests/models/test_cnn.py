import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spiketype.models import cnn
from spiketype.models.cnn import CNN, SIZES


def count(params) -> int:
    return sum(a.size for a in jax.tree.leaves(params))


def normal(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(sum(shape)), shape)


def test_the_published_network_has_its_number_of_parameters():
    shapes = jax.eval_shape(CNN(13).init, jax.random.key(0), jnp.zeros((1, 10, 10, 2)))
    assert count(shapes) == 623_277  # Buccino et al. 2018: 10x10 contacts, amplitude and width, 13 m-types


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", [(10, 10, 2), (7, 4, 3), (1, 5, 1), (3, 32, 56)])
def test_any_grid_and_any_number_of_images(size, shape):
    width, first, second, dense = SIZES[size]
    net = CNN(4, size)
    params = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, *shape)))
    rows, columns = (math.ceil(n / 4) for n in shape[:2])
    convolutions = width**2 * (shape[2] * first + first * second) + first + second
    assert count(params) == convolutions + (rows * columns * second + 1) * dense + (dense + 1) * 4
    out = jax.eval_shape(net.apply, params, jnp.zeros((6, *shape)))
    assert (out.shape, out.dtype) == ((6, 4), jnp.float32)


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("grid", [(6, 6), (5, 7), (1, 2), (4, 1)])
def test_three_forms_of_the_convolution_agree(width, grid):
    x, kernel = normal(3, *grid, 4), normal(width, width, 4, 5)

    def value_and_gradients(form):
        return jax.jit(jax.value_and_grad(lambda x, k: jnp.sum(jnp.sin(form(x, k))), (0, 1)))(x, kernel)

    expected = cnn._conv(x, kernel)
    for form in (cnn._conv_patches, cnn._conv_band):
        np.testing.assert_allclose(form(x, kernel), expected, atol=2e-5)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
            value_and_gradients(form),
            value_and_gradients(cnn._conv),
        )


@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (2, 5, 7, 1), (1, 1, 3, 2)])
def test_max_pool_is_flax_s(shape):
    x = normal(*shape)  # no two equal

    def flax_pool(x):
        return nn.max_pool(x, (2, 2), (2, 2), padding="SAME")

    np.testing.assert_array_equal(cnn.max_pool(x), flax_pool(x))
    ours, theirs = (jax.grad(lambda x, pool=pool: jnp.sum(jnp.sin(pool(x))))(x) for pool in (cnn.max_pool, flax_pool))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.7])
def test_dropout_keeps_the_mean_and_has_its_rate(rate):
    x = jnp.ones((401, 501))
    y = np.asarray(cnn.dropout(jax.random.key(3), x, rate))
    error = 5 * np.sqrt(rate * (1 - rate) / x.size)
    assert abs(np.mean(y == 0) - rate) < error
    assert abs(y.mean() - 1) < error / (1 - rate)
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-4)
    assert abs(np.corrcoef(y[:, :-1].ravel(), y[:, 1:].ravel())[0, 1]) < 0.02


def test_dropout_of_nothing_is_the_identity():
    x = normal(4, 7)
    np.testing.assert_array_equal(cnn.dropout(jax.random.key(0), x, 0.0), x)


def test_dropout_differs_between_keys_and_is_vmapped():
    keys, x = jax.random.split(jax.random.key(0), 3), jnp.ones((3, 5, 7))
    together = jax.vmap(lambda key, x: cnn.dropout(key, x, 0.5))(keys, x)
    for key, one, own in zip(keys, together, x, strict=True):
        np.testing.assert_array_equal(one, cnn.dropout(key, own, 0.5))
    assert not np.array_equal(together[0], together[1])


def test_the_network_without_training_is_deterministic():
    net, x = CNN(3, "xs"), normal(4, 6, 6, 2)
    variables = net.init(jax.random.key(0), x)
    np.testing.assert_array_equal(net.apply(variables, x), net.apply(variables, x))
    noisy = [net.apply(variables, x, train=True, rngs={"dropout": jax.random.key(k)}) for k in (0, 1)]
    assert not np.array_equal(*noisy)


def test_the_compiled_network_is_flax_s_layers():
    """The layers of flax.linen with our parameters give our outputs."""
    net, x = CNN(3, "m"), normal(4, 10, 9, 2)
    params = net.init(jax.random.key(0), x)["params"]
    y = x
    for name in ("ConvBlock_0", "ConvBlock_1"):
        layer = nn.Conv(params[name]["bias"].size, (3, 3), padding="SAME")
        y = nn.max_pool(nn.relu(layer.apply({"params": params[name]}, y)), (2, 2), (2, 2), padding="SAME")
    y = nn.relu(y.reshape(4, -1) @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None])
    y = y @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"][None]
    np.testing.assert_allclose(jax.jit(net.apply)({"params": params}, x), y, rtol=1e-3, atol=1e-3)


def test_sixteen_bits_between_the_layers():
    """Parameters, gradients and outputs have 32; what a layer hands to the next is rounded."""
    exact, rounded = CNN(3, "xs", 0.5), CNN(3, "xs", 0.5, "bf16")
    x, rngs = normal(4, 10, 10, 2), {"dropout": jax.random.key(1)}
    params = rounded.init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, params, exact.init(jax.random.key(0), x))
    ours, theirs = (net.apply(params, x, train=True, rngs=rngs) for net in (rounded, exact))
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, theirs, rtol=0.05, atol=0.05)
    assert not np.allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    gradient = jax.grad(lambda p: jnp.sum(rounded.apply(p, x) ** 2))(params)
    assert {a.dtype for a in jax.tree.leaves((params, gradient))} == {np.dtype(np.float32)}
