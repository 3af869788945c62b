"""Losses of supervised networks: pure functions of outputs and targets."""

import jax
import jax.numpy as jnp
import optax

Metrics = dict[str, jax.Array]


def cross_entropy(logits: jax.Array, label: jax.Array) -> tuple[jax.Array, Metrics]:
    """Mean cross entropy -ln softmax(logits)[label] and accuracy; logits (sample, class), label (sample,) int."""
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
    return loss, {"accuracy": (jnp.argmax(logits, axis=1) == label).astype(jnp.float32).mean()}


def squared_error(predicted: jax.Array, target: jax.Array) -> tuple[jax.Array, Metrics]:
    """Mean squared error over (sample, axis), and the mean Euclidean distance in the same units."""
    error = predicted - target
    return jnp.mean(error**2), {"distance": jnp.sqrt(jnp.sum(error**2, axis=1)).mean()}
