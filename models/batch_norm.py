"""Batch normalisation in which samples have weights, so that parts of different size train at once under vmap."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Either = Array | np.ndarray  # what a trained network is applied to may be NumPy's


class BatchNorm(nn.Module):
    """Normalise features (batch, feature) by the weighted mean and variance of the batch, or by what is kept of them.

    The state ``batch_stats`` keeps moving averages. A sample of weight 0 does not count (Ioffe and Szegedy, ICML 2015,
    with a weighted mean). Momentum and epsilon are Keras' defaults, which the published networks have.
    """

    momentum: float = 0.99
    epsilon: float = 1e-3

    @nn.compact
    def __call__(
        self, x: Float[Either, "batch feature"], train: bool = False, weight: Float[Either, " batch"] | None = None
    ) -> Float[Array, "batch feature"]:
        """Return x normalised; `weight` counts in training alone."""
        x = jnp.asarray(x)
        size = (x.shape[1],)
        mean = self.variable("batch_stats", "mean", jnp.zeros, size)
        variance = self.variable("batch_stats", "var", jnp.ones, size)
        used_mean, used_variance = mean.value, variance.value
        if train:
            share = jnp.ones(len(x)) if weight is None else jnp.asarray(weight)
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
