"""Batch normalisation in which samples have weights, so that parts of different size train at once under vmap."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class BatchNorm(nn.Module):
    """Normalise features (batch, feature) by the weighted mean and variance of the batch, or by what is kept of them.

    The state ``batch_stats`` keeps moving averages. A weight of 0 is a sample that is not there (Ioffe and Szegedy,
    ICML 2015, with a weighted mean). Momentum and epsilon are Keras' defaults, which the published networks have.
    """

    momentum: float = 0.99
    epsilon: float = 1e-3

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False, weight: jax.Array | None = None) -> jax.Array:
        """Normalised x; `weight` (batch,) counts in training alone."""
        size = (x.shape[1],)
        mean = self.variable("batch_stats", "mean", jnp.zeros, size)
        variance = self.variable("batch_stats", "var", jnp.ones, size)
        used_mean, used_variance = mean.value, variance.value
        if train:
            share = jnp.ones(len(x)) if weight is None else weight
            share = share / share.sum()
            used_mean = share @ x
            used_variance = share @ jnp.square(x - used_mean[None])
            if not self.is_initializing():
                mean.value = self.momentum * mean.value + (1 - self.momentum) * used_mean
                variance.value = self.momentum * variance.value + (1 - self.momentum) * used_variance
        gain = self.param("scale", nn.initializers.ones, size)
        offset = self.param("bias", nn.initializers.zeros, size)
        factor = gain * jax.lax.rsqrt(used_variance + self.epsilon)
        return (x - used_mean[None]) * factor[None] + offset[None]
