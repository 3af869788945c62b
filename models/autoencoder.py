"""Autoencoders for embedded clustering: dense, convolutional over channels x time, variational; layer by layer too."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from spiketype.edge import PyTree

KERNEL, STRIDE = 5, 2
Either = Array | np.ndarray  # what a trained network is applied to may be NumPy's
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
        """Make the layers in the order of the encoder; decoder layer k undoes encoder layer k."""
        widths = (*self.hidden, self.code)
        self.encoders = [nn.Dense(width, kernel_init=UNIT_SCALE) for width in widths]
        self.decoders = [nn.Dense(width, kernel_init=UNIT_SCALE) for width in (self.size, *self.hidden)]
        self.log_variance = nn.Dense(self.code, kernel_init=UNIT_SCALE) if self.variational else None

    def __call__(
        self, x: Float[Either, "sample feature"]
    ) -> tuple[Float[Array, "sample feature"], Float[Array, "sample code"]]:
        """Return reconstruction and code, using every parameter, so that `init` makes all of them."""
        z = self.encode(x)
        if self.variational:
            self.spread(x)
        return self.decode(z), z

    def hide(self, x: Float[Either, "sample feature"], depth: int) -> Float[Array, "sample width"]:
        """Return what the first `depth` layers of the encoder make of x."""
        h = jnp.asarray(x)
        for layer in self.encoders[:depth]:
            h = layer(h)
            h = h if layer is self.encoders[-1] else nn.relu(h)
        return h

    def encode(self, x: Float[Either, "sample feature"]) -> Float[Array, "sample code"]:
        """Return the code, of a variational network its mean."""
        return self.hide(x, len(self.encoders))

    def decode(self, z: Float[Array, "sample code"]) -> Float[Array, "sample feature"]:
        """Return the reconstructions of codes."""
        for k in reversed(range(len(self.decoders))):
            z = self.undo(z, k)
        return z

    def undo(self, h: Float[Array, "sample width"], k: int) -> Float[Array, "sample input"]:
        """Return the input of encoder layer k from its output."""
        h = self.decoders[k](h)
        return h if k == 0 else nn.relu(h)

    def layer(self, h: Float[Array, "sample input"], k: int) -> Float[Array, "sample width"]:
        """Apply encoder layer k alone."""
        h = self.encoders[k](h)
        return h if k == len(self.encoders) - 1 else nn.relu(h)

    def spread(self, x: Float[Either, "sample feature"]) -> Float[Array, "sample code"]:
        """Return the log variance of a variational code."""
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
        """Make strided convolutions and a dense layer, mirrored (as DCEC, Guo et al. 2017, in one dimension)."""
        self.down = [nn.Conv(f, (KERNEL,), STRIDE) for f in self.features]
        self.short = -(-self.shape[1] // STRIDE ** len(self.features))
        self.inside = nn.Dense(self.code)
        self.outside = nn.Dense(self.short * self.features[-1])
        self.up = [nn.ConvTranspose(f, (KERNEL,), (STRIDE,)) for f in (*self.features[-2::-1], self.shape[0])]

    def __call__(
        self, x: Float[Either, "sample feature"]
    ) -> tuple[Float[Array, "sample feature"], Float[Array, "sample code"]]:
        """Return reconstruction and code."""
        z = self.encode(x)
        return self.decode(z), z

    def encode(self, x: Float[Either, "sample feature"]) -> Float[Array, "sample code"]:
        """Return the code."""
        h = x.reshape(len(x), *self.shape).swapaxes(1, 2)
        for layer in self.down:
            h = nn.relu(layer(h))
        return self.inside(h.reshape(len(h), -1))

    def decode(self, z: Float[Array, "sample code"]) -> Float[Array, "sample feature"]:
        """Return the reconstructions (sample, channel x time) of codes."""
        h = nn.relu(self.outside(z)).reshape(len(z), self.short, self.features[-1])
        for k, layer in enumerate(self.up):
            h = layer(h)
            h = nn.relu(h) if k < len(self.up) - 1 else h
        return h[:, : self.shape[1]].swapaxes(1, 2).reshape(len(z), -1)


Net = Dense | Conv


def features(net: Net) -> int:
    """Return the number of features that a network takes."""
    return net.size if isinstance(net, Dense) else net.shape[0] * net.shape[1]


def apply(
    net: Net, params: PyTree, method: str, *inputs: Float[Either, "sample feature"] | int
) -> Float[Array, "sample width"]:
    """Return what a method of a network with these parameters makes of inputs."""
    return jnp.asarray(net.apply({"params": params}, *inputs, method=method))


def reconstruction(
    net: Net,
    params: PyTree,
    x: Float[Array, "sample feature"],
    seen: Float[Array, "sample feature"],
    key: PRNGKeyArray,
    beta: float,
) -> tuple[Float[Array, ""], Float[Array, "sample code"]]:
    """Return the mean squared error of the reconstruction of x from `seen`, a changed x; and the codes.

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


def layer_loss(
    net: Dense, params: PyTree, x: Float[Array, "sample feature"], k: int, dropout: float, key: PRNGKeyArray
) -> Float[Array, ""]:
    """Return the mean squared error of layer k as a denoising autoencoder of the output of those before (Vincent 2010).

    Layer k is that of the encoder; the layers before it are not trained.
    """
    before = jax.lax.stop_gradient(apply(net, params, "hide", x, k))
    kept = jax.random.bernoulli(key, 1 - dropout, before.shape)
    h = apply(net, params, "layer", jnp.where(kept, before / (1 - dropout), 0), k)
    return jnp.mean((apply(net, params, "undo", h, k) - before) ** 2)


def make(kind: str, size: int, shape: Sequence[int], code: int, hidden: tuple[int, ...]) -> Net:
    """Return the network of a kind, "dense", "conv" or "vae".

    Inputs have `size` features, which are waveforms of `shape` (channel, time).
    """
    if kind == "conv":
        return Conv((shape[0], shape[1]), code, hidden)
    return Dense(size, code, hidden, variational=kind == "vae")
