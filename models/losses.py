"""Losses of supervised networks: pure functions of outputs and targets."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

Metrics = dict[str, Float[Array, ""]]


def cross_entropy(
    logits: Float[Array, "sample class"], label: Int[Array, " sample"]
) -> tuple[Float[Array, ""], Metrics]:
    """Return the mean cross entropy -ln softmax(logits)[label], and the accuracy."""
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
    return loss, {"accuracy": (jnp.argmax(logits, axis=1) == label).astype(jnp.float32).mean()}


def squared_error(
    predicted: Float[Array, "sample axis"], target: Float[Array, "sample axis"]
) -> tuple[Float[Array, ""], Metrics]:
    """Return the mean squared error over samples and axes, and the mean Euclidean distance in the same units."""
    error = predicted - target
    return jnp.mean(error**2), {"distance": jnp.sqrt(jnp.sum(error**2, axis=1)).mean()}
