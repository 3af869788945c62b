import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spiketype.models.raphe import RapheCNN, inputs, loss, serotonergic_logit, serotonergic_share

PUBLISHED = {1: 7618, 2: 9570, 7: 19458, 14: 33378, 20: 45218, 27: 59138, 31: 67074}


def start(net, columns, seed=0):
    return net.init(jax.random.key(seed), jnp.zeros((1, 160, columns)))["params"]


def spikes(columns, n=3):
    return np.random.default_rng(0).normal(size=(n, 160, columns)).astype(np.float32)


@pytest.mark.parametrize("width", PUBLISHED)
def test_published_parameter_counts(width):
    params = start(RapheCNN(width, width, outputs=2), columns=2)
    assert sum(a.size for a in jax.tree.leaves(params)) == PUBLISHED[width]


def reference(params, x, width):
    """The published network with plain loops: normalise, convolve, pool, the larger of the columns, dense."""
    mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    h = (x - mean) / np.sqrt(variance + 1e-3)
    h = h * params["gain"][None, :, None] + params["bias"][None, :, None]
    outs = []
    for column in range(x.shape[2]):
        f = h[:, :, column : column + 1]
        for depth in (32, 64):
            kernel = params[f"kernel_{depth}"]
            steps = f.shape[1] - width + 1
            f = np.stack([np.einsum("nki,kio->no", f[:, t : t + width], kernel[:width]) for t in range(steps)], axis=1)
            f = np.maximum(f + params[f"bias_{depth}"], 0)
            f = f[:, : steps // 2 * 2].reshape(len(f), steps // 2, 2, -1).max(axis=2)
        outs.append(f.reshape(len(x), -1))
    flat = np.max(outs, axis=0)
    dense = params["Dense_0"]
    return flat @ dense["kernel"][: flat.shape[1]] + dense["bias"]


@pytest.mark.parametrize(("columns", "outputs"), [(1, 1), (2, 2)])
@pytest.mark.parametrize("width", [1, 20, 31])
def test_one_network_against_plain_loops(width, columns, outputs):
    net, x = RapheCNN(width, width, outputs), spikes(columns)
    params = start(net, columns)
    said = net.apply({"params": params}, x)
    np.testing.assert_allclose(said, reference(jax.tree.map(np.asarray, params), x, width), atol=2e-5)


@pytest.mark.parametrize("width", [5, 8, 13])
def test_a_member_of_a_consensus_is_the_network_of_its_width(width):
    net, x = RapheCNN(5, 13), spikes(1)
    params = jax.tree.map(np.asarray, start(net, 1))
    scaled = dict(params)
    for depth in (32, 64):
        scaled[f"kernel_{depth}"] = params[f"kernel_{depth}"] * np.sqrt(13 / width).astype(np.float32)
    said = net.apply({"params": params}, x, width)
    np.testing.assert_allclose(said, reference(scaled, x, width), atol=2e-5)


def test_members_of_all_widths_run_at_once_and_do_not_learn_beyond_their_width():
    net, x = RapheCNN(5, 13), spikes(1)
    width = jnp.array([5, 9, 13])
    params = jax.vmap(lambda key: net.init(key, x)["params"])(jax.random.split(jax.random.key(0), 3))

    def loss(p, w):
        return jnp.sum(jnp.square(net.apply({"params": p}, x, w)))

    gradient = jax.vmap(jax.grad(loss))(params, width)
    for member, w in enumerate(width.tolist()):
        alone = net.apply({"params": jax.tree.map(lambda a, m=member: a[m], params)}, x, w)
        together = jax.vmap(lambda p, w: net.apply({"params": p}, x, w))(params, width)[member]
        np.testing.assert_allclose(alone, together, atol=1e-5)
        for depth in (32, 64):
            kernel = gradient[f"kernel_{depth}"][member]
            assert np.abs(kernel[:w]).max() > 0
            np.testing.assert_array_equal(kernel[w:], 0)


def test_size_and_baseline_of_a_spike_do_not_matter():
    net, x = RapheCNN(7, 7), 100 * spikes(1)
    params = start(net, 1)
    said, other = (np.asarray(net.apply({"params": params}, each)) for each in (x, 3 * x - 50))
    np.testing.assert_allclose(said, other, atol=1e-3)


def test_dropout_needs_a_key_and_changes_the_output():
    net, x = RapheCNN(7, 7), spikes(1)
    params = start(net, 1)
    one, two = (
        np.asarray(net.apply({"params": params}, x, train=True, rngs={"dropout": jax.random.key(k)})) for k in (0, 1)
    )
    assert not np.allclose(one, two)


def test_votes():
    logits = jnp.array([[0.0, 0.0], [-2.0, 2.0], [2.0, -2.0]])
    np.testing.assert_allclose(serotonergic_logit(logits), [0, 4, -4])
    sigmoid = 1 / (1 + np.exp(-2))
    np.testing.assert_allclose(serotonergic_share(logits), [0.5, sigmoid, 1 - sigmoid], atol=1e-6)
    np.testing.assert_allclose(serotonergic_share(logits[:, 1:]), [0.5, sigmoid, 1 - sigmoid], atol=1e-6)


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_loss_is_the_mean_cross_entropy_of_spikes_and_outputs(outputs):
    net, x, label = RapheCNN(7, 7, outputs, dropout=0.0), jnp.asarray(spikes(1, 6)), jnp.array([0, 1, 1, 0, 1, 0])
    params = start(net, 1)
    value, metrics = loss(net, params, x, label, jnp.array(7), jax.random.key(0))
    logits = np.asarray(net.apply({"params": params}, x))
    p = 1 / (1 + np.exp(-logits))
    target = np.asarray(label)[:, None] if outputs == 1 else np.stack([1 - label, label], axis=1)
    assert float(value) == pytest.approx(-np.mean(np.where(target == 1, np.log(p), np.log(1 - p))), rel=1e-5)
    called = logits[:, 0] > 0 if outputs == 1 else logits[:, 1] > logits[:, 0]
    assert float(metrics["accuracy"]) == pytest.approx(np.mean(called == np.asarray(label)))


def test_time_is_0_at_the_reference():
    x = np.asarray(inputs(jnp.ones((2, 160)), 2))
    assert x.shape == (2, 160, 2)
    assert (x[:, 40, 0] == 0).all()
    np.testing.assert_allclose(x[0, [0, 159], 0], [-1, 119 / 40])
