"""LSPIN: the published weights to the last cell, the regularisers against loops, learning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import confusion_matrix, f1_score
from sklearn.preprocessing import StandardScaler

from spiketype.models import lspin
from spiketype.models.batch_norm import BatchNorm
from tests.models import published_allen

PUBLISHED = lspin.LSPIN(5, squash=True)


def test_published_weights_name_the_published_cells():
    x, y, train, validation, test = published_allen.subclass()
    z = StandardScaler().fit_transform(x).astype(np.float32)  # on all rows, as they did
    variables = lspin.from_published(published_allen.weights("lspin"))
    logits, _, gates = jax.jit(PUBLISHED.apply)(variables, z)
    said = np.asarray(logits).argmax(axis=1)
    assert [(said[rows] == y[rows]).sum() for rows in (test, validation, train)] == [254, 199, 807]
    np.testing.assert_array_equal(
        confusion_matrix(y[test], said[test]),
        [[132, 1, 0, 1, 0], [1, 34, 3, 4, 0], [0, 1, 46, 0, 0], [0, 2, 4, 19, 1], [2, 3, 0, 0, 23]],
    )
    assert f1_score(y[test], said[test], average="weighted") == pytest.approx(0.9158417, abs=1e-6)
    assert f1_score(y[test], said[test], average="macro") == pytest.approx(0.87306, abs=1e-5)
    of_test = np.asarray(gates)[test]
    assert (of_test > 0).sum(axis=1).mean() == pytest.approx(38.56, abs=1e-2)
    assert (of_test > 0.5).sum(axis=1).mean() == pytest.approx(27.3, abs=5e-2)
    assert (of_test == 1).mean() == pytest.approx(0.194, abs=1e-3)
    assert np.asarray(jax.nn.softmax(logits)).max() < 0.6489  # tanh outputs: e / (e + 4 / e)


def test_gates_are_open_with_the_stated_probability():
    alpha = jnp.array([[-0.9, -0.2, 0.0, 0.7]])
    noise = jax.random.normal(jax.random.key(0), (200_000, 4))
    share = (lspin.gate(jnp.broadcast_to(alpha, noise.shape), noise, 0.5) > 0).mean(axis=0)
    np.testing.assert_allclose(share, lspin.open_probability(alpha, 0.5)[0], atol=4e-3)
    assert float(lspin.open_probability(jnp.array(1.0), 0.5)) == pytest.approx(norm.cdf(3))


def test_sparsity_as_sum_and_as_mean_of_the_samples_that_count():
    alpha = jax.random.uniform(jax.random.key(1), (6, 4), minval=-1.0)
    weight = jnp.array([1.0, 1, 1, 0, 0, 0])
    mean = lspin.sparsity(alpha, 0.5, weight)
    np.testing.assert_allclose(mean, lspin.sparsity(alpha[:3], 0.5), rtol=1e-6)
    np.testing.assert_allclose(4 * mean, lspin.sparsity(alpha, 0.5, weight, "sum"), rtol=1e-6)


def test_similarity_is_the_double_loop():
    rng = np.random.default_rng(0)
    gates, label = rng.random((7, 3)).astype(np.float32), rng.integers(0, 2, 7)
    weight = np.array([1, 1, 0, 1, 1, 0, 1], np.float32)
    rows = np.flatnonzero(weight)
    expected = 0.0
    for i in rows:
        for j in rows:
            distance = ((gates[i] - gates[j]) ** 2).sum()
            expected += 0.3 * distance if label[i] == label[j] else -0.2 * distance
    kernel = lspin.label_kernel(jnp.asarray(label))
    found = lspin.similarity(jnp.asarray(gates), kernel, 0.3, 0.2, jnp.asarray(weight))
    np.testing.assert_allclose(found, expected / len(rows) ** 2, rtol=1e-5)


def test_spread_is_the_pairwise_regulariser_with_a_kernel_of_ones():
    gates = jax.random.uniform(jax.random.key(4), (9, 4))
    weight = jnp.array([1.0] * 6 + [0.0] * 3)
    for w in (None, weight):
        expected = lspin.similarity(gates, jnp.ones((9, 9)), 1.0, 0.0, w)
        np.testing.assert_allclose(lspin.spread(gates, w), expected, rtol=1e-5)


def test_an_even_start_opens_every_gate_by_half():
    net = lspin.LSPIN(2, gating=(3,), even=True)
    x = jax.random.normal(jax.random.key(5), (4, 6))
    np.testing.assert_array_equal(net.apply(net.init({"params": jax.random.key(0)}, x), x)[2], 0.5)


def test_absent_samples_do_not_enter_the_batch_normalisation():
    x = jax.random.normal(jax.random.key(2), (10, 3)) * 3 + 1
    weight = jnp.array([1.0] * 6 + [0.0] * 4)
    layer = BatchNorm()
    variables = layer.init(jax.random.key(0), x)
    some, kept = layer.apply(variables, x, True, weight, mutable="batch_stats")
    alone, kept_alone = layer.apply(variables, x[:6], True, mutable="batch_stats")
    np.testing.assert_allclose(some[:6], alone, rtol=2e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), kept, kept_alone)
    np.testing.assert_allclose(np.asarray(alone).mean(axis=0), 0, atol=1e-6)


def test_a_linear_network_is_linear_where_its_gates_stay():
    net = lspin.LSPIN(1, (8,), (4,), activation="none")
    x = jax.random.normal(jax.random.key(3), (5, 6))
    variables = net.init({"params": jax.random.key(0), "gate": jax.random.key(1)}, x)
    open_gates = jax.tree.map(lambda a: a, variables)
    open_gates["params"]["gate_1"]["kernel"] = jnp.zeros((4, 6))
    open_gates["params"]["gate_1"]["bias"] = jnp.full(6, 9.0)  # tanh(9) is 1: every gate is 1
    f = lambda x: net.apply(open_gates, x)[0]  # noqa: E731
    np.testing.assert_allclose(f(x) + f(-x), 2 * f(jnp.zeros_like(x)), atol=1e-5)


def test_gates_that_are_the_same_are_stable():
    opened = np.tile(np.random.default_rng(0).random((1, 2, 30, 5)), (3, 1, 1, 1))
    found = lspin.stability(opened)
    assert found["correlation"] == pytest.approx(1)
    assert found["jaccard"] == pytest.approx(1)


def test_gates_that_are_all_closed_have_no_correlation():
    found = lspin.stability(np.zeros((2, 1, 30, 5)))
    assert (found["open"], found["correlation"], found["jaccard"]) == (0, None, 1)


def test_the_loss_of_weighted_samples_is_that_of_the_samples_that_count():
    rng = np.random.default_rng(0)
    x, label = jnp.asarray(rng.normal(size=(8, 4)), jnp.float32), jnp.array([0, 1, 2, 0, 1, 2, 0, 1])
    net = lspin.LSPIN(3, (5,), (6,), sigma=1e-6)  # gates without noise
    variables = net.init({"params": jax.random.key(0)}, x)
    weight = jnp.asarray([1.0] * 6 + [0.0] * 2)
    value, metrics, _ = lspin.loss(net, variables, x, label, weight, jax.random.key(1), 0.5, 2.0)
    alone, same, _ = lspin.loss(net, variables, x[:6], label[:6], jnp.ones(6), jax.random.key(1), 0.5, 2.0)
    assert float(value) == pytest.approx(float(alone), rel=1e-5)
    assert float(metrics["accuracy"]) == pytest.approx(float(same["accuracy"]))
    plain, _, _ = lspin.loss(net, variables, x, label, weight, jax.random.key(1), 0.0, 0.0)
    _, gates = lspin.predict(net, variables, np.asarray(x[:6]))
    together = 2.0 * float(lspin.spread(jnp.asarray(gates))) / 4
    assert float(value - plain) == pytest.approx(0.5 * float(metrics["open"]) + together, rel=1e-4)
