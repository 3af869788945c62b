"""Networks that name a unit from its waveform on all channels and, where there are any, histograms of its firing."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from spiketype.edge import PyTree
from spiketype.models.cnn import ConvBlock, dropout
from spiketype.models.options import UnitNetwork

Either = Array | np.ndarray  # what a trained network is applied to may be NumPy's


class UnitNet(nn.Module):
    """A network from waveforms and histograms, both standardised, to logits.

    With ``train=True`` `apply` needs the key ``rngs={"dropout": key}``.

    Attributes:
        outputs: classes.
        kind: ``dense``: fully connected layers. ``conv``: two blocks of convolution over channels x time, of one
            channel over time. ``gru``: a gated recurrent unit along time (Cho et al. 2014), of all channels.
        width: of the layer before the output; the others follow from it.
        dropout: share of the numbers before the last layers that a training step sets to zero.
        directions: where the last column of the histograms is what another model says: how much one unit of it adds to
            the logit of each class before training, when the layers of this network add nothing yet.
    """

    outputs: int
    kind: UnitNetwork = "dense"
    width: int = 64
    dropout: float = 0.3
    directions: tuple[float, ...] = ()

    @nn.compact
    def __call__(
        self,
        x: Float[Either, "batch channel time"],
        histograms: Float[Either, "batch feature"],
        train: bool = False,
    ) -> Float[Array, "batch outputs"]:
        """Return the logits."""
        known = len(self.directions) > 0
        said, histograms = jnp.asarray(histograms[:, -1:]), histograms[:, : histograms.shape[1] - known]
        seen = {"dense": self._dense, "conv": self._conv, "gru": self._gru}[self.kind](jnp.asarray(x))
        if histograms.shape[1]:
            seen = jnp.concatenate([seen, nn.relu(nn.Dense(self.width // 2, name="histograms")(histograms))], axis=1)
        if train:
            seen = dropout(self.make_rng("dropout"), seen, self.dropout)
        seen = nn.relu(nn.Dense(self.width, name="hidden")(seen))
        if not known:
            return nn.Dense(self.outputs, name="logits")(seen)
        logits = nn.Dense(self.outputs, name="logits", kernel_init=nn.initializers.zeros)(seen)
        gain = self.param("gain", nn.initializers.ones, ())
        return logits + gain * jnp.outer(said[:, 0], jnp.asarray(self.directions))

    def _dense(self, x: jax.Array) -> jax.Array:
        return nn.relu(nn.Dense(2 * self.width, name="dense")(x.reshape(len(x), -1)))

    def _conv(self, x: jax.Array) -> jax.Array:
        x = x[..., None]
        for depth in (self.width // 4, self.width // 2):
            x = ConvBlock(depth, 5)(x)
        return x.reshape(len(x), -1)

    def _gru(self, x: jax.Array) -> jax.Array:
        return jnp.asarray(nn.RNN(nn.GRUCell(self.width), name="gru")(x.swapaxes(1, 2)))[:, -1]


def apply(
    net: UnitNet,
    variables: Mapping[str, PyTree],
    z: Float[Either, "row feature"],
    shape: tuple[int, int],
    **options: Any,
) -> Float[Array, "row class"]:
    """Return logits for inputs that begin with waveforms of `shape` (channel, time); options of flax's apply."""
    points = shape[0] * shape[1]
    return jnp.asarray(net.apply(variables, z[:, :points].reshape(-1, *shape), z[:, points:], **options))
