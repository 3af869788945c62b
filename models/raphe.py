"""The convolutional network of Corradetti et al. 2024 for single raphe spikes, and its consensus over kernel widths.

Published: layer normalisation over the 160 points, two blocks of convolution (kernel k x 1, no padding), ReLU and
max-pooling, dropout 0.5 and two sigmoids; the input has two columns, time and current. Here one column and one logit
are the default: time is the same for every spike.

Networks of different kernel widths have arrays of different shapes. So that all are trained at once (`jax.vmap`), each
is embedded in the largest: kernels are as long as the longest and zero beyond their own width, and what a narrower one
has fewer of is masked. The numbers are those of the network with that width alone.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from spiketype.edge import PyTree
from spiketype.models.cnn import dropout

Either = Array | np.ndarray  # what a trained network is applied to may be NumPy's
POINTS, DEPTHS = 160, (32, 64)
RATE_KHZ, REFERENCE = 40.0, 40  # of the spikes: time 0 is at this point
EPSILON = 1e-3  # Keras' default, of the published network


class RapheCNN(nn.Module):
    """A network from spikes (batch, 160, column) to `outputs` logits; float32.

    Attributes:
        narrowest, widest: kernel widths of the consensus that this is a member of; equal for a single network.
        outputs: 1 logit, of serotonergic; or the published 2, each with its own sigmoid.
        dropout: share of the numbers before the dense layer that a training step sets to zero.
    """

    narrowest: int
    widest: int
    outputs: int = 1
    dropout: float = 0.5

    @nn.compact
    def __call__(
        self, x: Float[Either, "batch 160 column"], width: Int[Either, ""] | int | None = None, train: bool = False
    ) -> Float[Array, "batch outputs"]:
        """Return the logits of the member with kernels of `width`, by default the widest."""
        width = jnp.asarray(self.widest if width is None else width, jnp.int32)
        x = self._normalise(jnp.asarray(x))
        columns = x.shape[2]
        h = x.transpose(0, 2, 1).reshape(-1, POINTS, 1)  # the columns share their kernels
        for depth in DEPTHS:
            h = nn.relu(self._convolve(h, depth, width))
            even = h.shape[1] // 2 * 2
            h = jnp.maximum(h[:, 0:even:2], h[:, 1:even:2])
        inside = jnp.arange(h.shape[1]) < ((POINTS + 1 - width) // 2 + 1 - width) // 2
        h = jnp.where(inside[None, :, None], h, 0.0).reshape(len(x), columns, -1).max(axis=1)
        if train:
            h = dropout(self.make_rng("dropout"), h, self.dropout)
        return nn.Dense(self.outputs, kernel_init=nn.initializers.glorot_uniform())(h)

    def _normalise(self, x: jax.Array) -> jax.Array:
        """Bring each column of a spike to mean 0 and variance 1, then apply the learned gain and bias of each point."""
        gain = self.param("gain", nn.initializers.ones, (POINTS,))
        bias = self.param("bias", nn.initializers.zeros, (POINTS,))
        x = x - x.mean(axis=1, keepdims=True)
        x = x * jax.lax.rsqrt(jnp.square(x).mean(axis=1, keepdims=True) + EPSILON)
        return x * gain[None, :, None] + bias[None, :, None]

    def _convolve(self, x: jax.Array, depth: int, width: jax.Array) -> jax.Array:
        """Convolve (batch, time, in) to (batch, time - narrowest + 1, depth).

        Wider kernels reach beyond the end there: the last times hold for the narrowest alone.
        """
        name, longest = f"kernel_{depth}", self.widest
        shape = (longest, x.shape[2], depth)
        kernel = self.param(name, nn.initializers.glorot_uniform(), shape)
        bias = self.param(f"bias_{depth}", nn.initializers.zeros, (depth,))
        # Drawn for the longest kernel: the scale makes it what Glorot and Bengio's rule gives for this width.
        scale = jnp.sqrt(longest / width.astype(jnp.float32))
        taps = (jnp.arange(longest) < width)[:, None, None]
        kernel = jnp.where(taps, kernel * scale, 0.0)
        x = jnp.pad(x, ((0, 0), (0, longest - self.narrowest), (0, 0)))
        steps = x.shape[1] - longest + 1
        if x.shape[2] == 1:
            return _band(x[..., 0], kernel[:, 0], steps) + bias[None, None, :]
        # One product of all windows with the kernel: under vmap XLA's own convolution is grouped, and slow on a CPU.
        windows = jnp.concatenate([x[:, i : i + steps] for i in range(longest)], axis=2)
        return windows @ kernel.reshape(-1, depth) + bias[None, None, :]


def _band(x: jax.Array, kernel: jax.Array, steps: int) -> jax.Array:
    """Convolve one input channel as a product with a band matrix (time, step x depth).

    It multiplies many zeros, but on a CPU cutting out windows of single numbers is slower still.
    """
    longest, depth = kernel.shape
    shift = jnp.arange(x.shape[1])[:, None] - jnp.arange(steps)[None, :]
    inside = (shift >= 0) & (shift < longest)
    band = jnp.where(inside[..., None], kernel[jnp.clip(shift, 0, longest - 1)], 0.0)
    return (x @ band.reshape(x.shape[1], -1)).reshape(len(x), steps, depth)


def inputs(spike_pA: Float[Array, "batch 160"], columns: int) -> Float[Array, "batch 160 {columns}"]:
    """Return what the network sees: the current in pA, behind the time in ms where it has two columns."""
    current = spike_pA[..., None]
    if columns == 1:
        return current
    time_ms = (jnp.arange(POINTS, dtype=jnp.float32) - REFERENCE) / RATE_KHZ
    return jnp.concatenate([jnp.broadcast_to(time_ms[None, :, None], current.shape), current], axis=2)


def loss(
    net: RapheCNN,
    params: PyTree,
    x: Float[Array, "batch 160 column"],
    label: Int[Array, " batch"],
    width: Int[Array, ""],
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Return the mean binary cross entropy of spikes and outputs, and the accuracy; the key is that of the dropout."""
    logits = jnp.asarray(net.apply({"params": params}, x, width, train=True, rngs={"dropout": key}))
    target = label.astype(jnp.float32)[:, None]
    target = target if net.outputs == 1 else jnp.concatenate([1.0 - target, target], axis=1)
    right = (serotonergic_logit(logits) > 0) == (label == 1)
    value = optax.sigmoid_binary_cross_entropy(logits, target).mean()
    return value, {"accuracy": right.astype(jnp.float32).mean()}


def serotonergic_logit(logits: Float[Array, "*spike outputs"]) -> Float[Array, "*spike"]:
    """Return one logit of serotonergic against not, from those of `RapheCNN`."""
    return logits[..., 0] if logits.shape[-1] == 1 else logits[..., 1] - logits[..., 0]


def serotonergic_share(logits: Float[Array, "*spike outputs"]) -> Float[Array, "*spike"]:
    """Return the published vote of a spike, 0..1: half of 1 + sigmoid(serotonergic) - sigmoid(not)."""
    if logits.shape[-1] == 1:
        return jax.nn.sigmoid(logits[..., 0])
    both = jax.nn.sigmoid(logits)
    return 0.5 * (1.0 + both[..., 1] - both[..., 0])
