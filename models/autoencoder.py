"""Autoencoders for embedded clustering: dense, convolutional over channels x time, variational; layer by layer too."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

KERNEL, STRIDE = 5, 2
UNIT_SCALE = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # Keras-DEC's, and torch's default


class Dense(nn.Module):
    """Inputs (sample, feature) to a code and back; ReLU but for the code and the reconstruction (Xie et al. 2016).

    Attributes:
        size: number of features.
        code: numbers in the code.
        hidden: widths of the encoder; the decoder mirrors it.
        variational: the code is a normal distribution, its mean what is clustered (Kingma and Welling 2014).
    """

    size: int
    code: int = 10
    hidden: tuple[int, ...] = (500, 500, 2000)
    variational: bool = False

    def setup(self) -> None:
        """Layers in the order of the encoder; decoder layer k undoes encoder layer k."""
        widths = (*self.hidden, self.code)
        self.encoders = [nn.Dense(width, kernel_init=UNIT_SCALE) for width in widths]
        self.decoders = [nn.Dense(width, kernel_init=UNIT_SCALE) for width in (self.size, *self.hidden)]
        self.log_variance = nn.Dense(self.code, kernel_init=UNIT_SCALE) if self.variational else None

    def __call__(self, x: jax.Array) -> Any:
        """All that `init` has to make: reconstruction and code."""
        z = self.encode(x)
        if self.variational:
            self.spread(x)
        return self.decode(z), z

    def hide(self, x: jax.Array, depth: int) -> jax.Array:
        """What the first `depth` layers of the encoder make of x."""
        for layer in self.encoders[:depth]:
            x = layer(x)
            x = x if layer is self.encoders[-1] else nn.relu(x)
        return x

    def encode(self, x: jax.Array) -> jax.Array:
        """The code (sample, code), of a variational network its mean."""
        return self.hide(x, len(self.encoders))

    def decode(self, z: jax.Array) -> jax.Array:
        """Reconstructions (sample, feature) of codes."""
        for k in reversed(range(len(self.decoders))):
            z = self.undo(z, k)
        return z

    def undo(self, h: jax.Array, k: int) -> jax.Array:
        """The input of encoder layer k from its output."""
        h = self.decoders[k](h)
        return h if k == 0 else nn.relu(h)

    def layer(self, h: jax.Array, k: int) -> jax.Array:
        """Encoder layer k alone."""
        h = self.encoders[k](h)
        return h if k == len(self.encoders) - 1 else nn.relu(h)

    def spread(self, x: jax.Array) -> jax.Array:
        """Log variance (sample, code) of a variational code."""
        assert self.log_variance is not None
        return self.log_variance(self.hide(x, len(self.hidden)))


class Conv(nn.Module):
    """Inputs (sample, channel x time) to a code and back by 1-D convolutions over time, channels as features.

    Attributes:
        shape: (channel, time) of a waveform; inputs are its rows one after the other.
        code: numbers in the code.
        features: of the convolutions, each halving the time.
    """

    shape: tuple[int, int]
    code: int = 10
    features: tuple[int, ...] = (32, 64)

    def setup(self) -> None:
        """Strided convolutions and a dense layer, mirrored (as DCEC, Guo et al. 2017, in one dimension)."""
        self.down = [nn.Conv(f, (KERNEL,), STRIDE) for f in self.features]
        self.short = -(-self.shape[1] // STRIDE ** len(self.features))
        self.inside = nn.Dense(self.code)
        self.outside = nn.Dense(self.short * self.features[-1])
        self.up = [nn.ConvTranspose(f, (KERNEL,), (STRIDE,)) for f in (*self.features[-2::-1], self.shape[0])]

    def __call__(self, x: jax.Array) -> Any:
        """Reconstruction and code."""
        z = self.encode(x)
        return self.decode(z), z

    def encode(self, x: jax.Array) -> jax.Array:
        """The code (sample, code)."""
        h = x.reshape(len(x), *self.shape).swapaxes(1, 2)
        for layer in self.down:
            h = nn.relu(layer(h))
        return self.inside(h.reshape(len(h), -1))

    def decode(self, z: jax.Array) -> jax.Array:
        """Reconstructions (sample, channel x time) of codes."""
        h = nn.relu(self.outside(z)).reshape(len(z), self.short, self.features[-1])
        for k, layer in enumerate(self.up):
            h = layer(h)
            h = nn.relu(h) if k < len(self.up) - 1 else h
        return h[:, : self.shape[1]].swapaxes(1, 2).reshape(len(z), -1)


def apply(net: Dense | Conv, params: Any, method: str, *inputs: Any) -> jax.Array:
    """What a method of a network with these parameters makes of inputs."""
    out: Any = net.apply({"params": params}, *inputs, method=method)
    return out


def reconstruction(
    net: Dense | Conv, params: Any, x: jax.Array, seen: jax.Array, key: jax.Array, beta: float
) -> tuple[jax.Array, jax.Array]:
    """Mean squared error of the reconstruction of x (sample, feature) from `seen`, a changed x; and the codes.

    A variational network draws its codes and adds beta times the divergence from a standard normal, per feature.
    """
    z = apply(net, params, "encode", seen)
    divergence, drawn = jnp.zeros(()), z
    if isinstance(net, Dense) and net.variational:
        log_variance = apply(net, params, "spread", seen)
        drawn = z + jnp.exp(0.5 * log_variance) * jax.random.normal(key, z.shape)
        divergence = 0.5 * jnp.mean(jnp.sum(z**2 + jnp.exp(log_variance) - 1 - log_variance, axis=1)) / x.shape[1]
    out = apply(net, params, "decode", drawn)
    return jnp.mean((out - x) ** 2) + beta * divergence, z


def layer_loss(net: Dense, params: Any, x: jax.Array, k: int, dropout: float, key: jax.Array) -> jax.Array:
    """Squared error of encoder layer k as a denoising autoencoder of what the layers before it give (Vincent 2010)."""
    before = jax.lax.stop_gradient(apply(net, params, "hide", x, k))
    kept = jax.random.bernoulli(key, 1 - dropout, before.shape)
    h = net.apply({"params": params}, jnp.where(kept, before / (1 - dropout), 0), k, method="layer")
    return jnp.mean((apply(net, params, "undo", h, k) - before) ** 2)


def make(kind: str, size: int, shape: Sequence[int], code: int, hidden: tuple[int, ...]) -> Dense | Conv:
    """The network of that kind, "dense", "conv" or "vae", for inputs of `size` features of shape (channel, time)."""
    if kind == "conv":
        return Conv((shape[0], shape[1]), code, hidden)
    return Dense(size, code, hidden, variational=kind == "vae")
