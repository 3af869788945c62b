import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax

from spiketype.models.losses import cross_entropy, squared_error


def test_cross_entropy_is_its_formula():
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0], [1.0, 1.5, -2.0]], np.float32)
    label = np.array([0, 1, 2], np.int32)
    loss, metrics = cross_entropy(jnp.asarray(logits), jnp.asarray(label))
    np.testing.assert_allclose(loss, -log_softmax(logits, axis=1)[np.arange(3), label].mean(), rtol=1e-6)
    np.testing.assert_allclose(metrics["accuracy"], 2 / 3, rtol=1e-6)


def test_cross_entropy_of_large_logits_is_finite():
    loss, _ = cross_entropy(jnp.array([[1e4, -1e4]]), jnp.array([1]))
    np.testing.assert_allclose(loss, 2e4)


def test_squared_error_is_per_axis_and_distance_in_space():
    loss, metrics = squared_error(jnp.array([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]]), jnp.zeros((2, 3)))
    np.testing.assert_allclose(loss, 25 / 6, rtol=1e-6)
    np.testing.assert_allclose(metrics["distance"], 2.5)
