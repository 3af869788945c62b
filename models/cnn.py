"""The convolutional network of Buccino et al. 2018 and the sizes of its successor NeuroCNN, for images of any grid.

Two blocks of convolution, ReLU and 2x2 max-pooling, a dense layer with dropout, and a linear output (section II.D of
"A Deep Learning Approach for the Classification of Neuronal Cell Types", EMBC 2018).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from spiketype.models.options import CnnSize, Precision

Either = Array | np.ndarray  # what a trained network is applied to may be NumPy's
# Kernel width, depth of the two convolutions, width of the dense layer; "l" is the published network.
SIZES: dict[str, tuple[int, int, int, int]] = {
    "xs": (2, 4, 8, 128),
    "s": (2, 8, 16, 256),
    "m": (3, 16, 32, 512),
    "l": (3, 32, 64, 1024),
    "xl": (3, 64, 128, 2048),
}
BAND_COLUMNS = 16  # wider images have too many zeros in the band of `_conv_band`
BAND_CHANNELS = 40


class CNN(nn.Module):
    """A network from images (batch, row, column, image) to `outputs` numbers a sample.

    Parameters and outputs are float32; with the precision bf16 what is between them has 16 bits. Call `init` and
    `apply` as with any flax.linen module: parameters are an explicit pytree. With ``train=True`` `apply` needs the key
    ``rngs={"dropout": key}``.
    """

    outputs: int
    size: CnnSize = "l"
    dropout: float = 0.7
    precision: Precision = "float32"

    @nn.compact
    def __call__(
        self, x: Float[Either, "batch row column image"], train: bool = False
    ) -> Float[Array, "batch outputs"]:
        """Return the logits."""
        kernel, first, second, dense = SIZES[self.size]
        dtype = jnp.bfloat16 if self.precision == "bf16" else jnp.float32
        x = jnp.asarray(x, dtype)
        for depth in (first, second):
            x = ConvBlock(depth, kernel)(x)
        x = nn.relu(nn.Dense(dense, dtype=dtype)(x.reshape(len(x), -1)))
        if train:
            x = dropout(self.make_rng("dropout"), x, self.dropout)
        return nn.Dense(self.outputs, dtype=jnp.float32)(x)


class ConvBlock(nn.Module):
    """Convolution with zero padding and stride 1, ReLU and 2x2 max-pooling: (batch, row, column, in) to depth."""

    depth: int
    width: int

    @nn.compact
    def __call__(self, x: Float[Either, "batch row column in"]) -> Float[Array, "batch _ _ depth"]:
        """Convolve in the form that is fastest where it runs; bias and ReLU commute with the maximum."""
        shape = (self.width, self.width, x.shape[-1], self.depth)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape).astype(x.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.depth,)).astype(x.dtype)
        narrow = x.shape[2] <= BAND_COLUMNS and x.shape[3] <= BAND_CHANNELS
        on_cpu = _conv_band if narrow else _conv_patches
        convolved = jax.lax.platform_dependent(x, kernel, cpu=on_cpu, default=_conv)
        return nn.relu(max_pool(convolved) + bias.reshape(1, 1, 1, -1))


def _conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _rows(x: jax.Array, height: int) -> list[jax.Array]:
    """Return the image shifted by each row of the kernel, zeros outside ("SAME": the odd zero is behind)."""
    x = jnp.pad(x, ((0, 0), ((height - 1) // 2, height // 2), (0, 0), (0, 0)))
    return [x[:, i : x.shape[1] - height + 1 + i] for i in range(height)]


def _conv_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve as one product of all patches with the kernel: on a CPU twice as fast as XLA's convolution."""
    height, width, _, depth = kernel.shape
    padded = jnp.pad(x, ((0, 0), (0, 0), ((width - 1) // 2, width // 2), (0, 0)))
    shifted = [r[:, :, j : j + x.shape[2]] for r in _rows(padded, height) for j in range(width)]
    return jnp.concatenate(shifted, axis=3) @ kernel.reshape(-1, depth)


def _conv_band(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve as one product of whole rows with a band matrix (row in, column in, channel; column out, depth).

    It multiplies zeros, columns / kernel width times as much as needed, but copies each row `height` times where
    patches copy each pixel `height * width` times: on a CPU, few columns and channels, that is what counts.
    """
    batch, rows, columns, channels = x.shape
    height, width, _, depth = kernel.shape
    shift = jnp.arange(columns)[:, None] - jnp.arange(columns)[None, :] + (width - 1) // 2
    reaches = (shift[None] == jnp.arange(width)[:, None, None]).astype(x.dtype)
    band = jnp.einsum("jab,ijco->iacbo", reaches, kernel).reshape(height * columns * channels, columns * depth)
    flat = jnp.concatenate([r.reshape(batch, rows, -1) for r in _rows(x, height)], axis=2)
    return (flat.reshape(batch * rows, -1) @ band).reshape(batch, rows, columns, depth)


@jax.custom_vjp
def max_pool(x: Float[Array, "batch row column channel"]) -> Float[Array, "batch _ _ channel"]:
    """Pool maxima of 2x2 pixels, stride 2; an odd last row or column is pooled alone.

    They are maxima of slices whose gradient is one comparison with the result (all of equal maxima get it): XLA's
    select-and-scatter is slow on a CPU, and the gradient of the slices is three times the work.
    """
    x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)), constant_values=-jnp.inf)
    x = jnp.maximum(x[:, ::2], x[:, 1::2])
    return jnp.maximum(x[:, :, ::2], x[:, :, 1::2])


def _max_pool_forward(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    pooled = max_pool(x)
    return pooled, (x, pooled)


def _max_pool_backward(kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array]:
    x, pooled = kept
    batch, rows, columns, channels = pooled.shape

    def spread(a: jax.Array) -> jax.Array:
        pairs = jnp.broadcast_to(a[:, :, None, :, None, :], (batch, rows, 2, columns, 2, channels))
        return pairs.reshape(batch, 2 * rows, 2 * columns, channels)[:, : x.shape[1], : x.shape[2]]

    return (jnp.where(x == spread(pooled), spread(gradient), 0.0),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def dropout(key: PRNGKeyArray, x: Float[Array, "*shape"], rate: float) -> Float[Array, "*shape"]:
    """Set each number to zero with probability `rate` (to 1/65536) and scale the others to keep the mean.

    Sixteen random bits a number: on a CPU, making 32 takes as long as a convolution.
    """
    keep = round((1 - rate) * 65536)
    if keep == 65536:  # does not fit in sixteen bits
        return x
    bits = jax.random.bits(key, ((x.size + 1) // 2,), jnp.uint32)
    short = jax.lax.bitcast_convert_type(bits, jnp.uint16).reshape(-1)[: x.size].reshape(x.shape)
    return jnp.where(short < keep, x * (65536 / max(keep, 1)), 0.0)
