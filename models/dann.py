"""Domain-adversarial networks, DANN: features that name the class and not the domain.

Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016). Between features and domain classifier
the gradient is turned round: what would tell the domains apart is unlearned.
"""

from collections.abc import Callable, Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from spiketype.models.batch_norm import BatchNorm

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {"sigmoid": nn.sigmoid, "selu": nn.selu, "relu": nn.relu}


@jax.custom_vjp
def reverse_gradient(x: jax.Array, scale: jax.Array) -> jax.Array:
    """x as it is; its gradient times -scale (equations 15 and 16)."""
    del scale
    return x


def _forward(x: jax.Array, scale: jax.Array) -> tuple[jax.Array, jax.Array]:
    return x, scale


def _backward(scale: jax.Array, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    return -scale * gradient, jnp.zeros_like(scale)


reverse_gradient.defvjp(_forward, _backward)


class DANN(nn.Module):
    """Features (batch, feature) to class logits, domain logits and the learned features (batch, hidden[-1]).

    Attributes:
        hidden: widths of the feature extractor.
        activation: of its layers.
        norm: batch normalisation before each layer (`PUBLISHED`), or none (`SHALLOW`).
        classes, domains: of the two linear heads.
        dropout: share of the learned features that a training step sets to zero; stream "dropout".
    """

    hidden: tuple[int, ...]
    activation: str = "sigmoid"
    norm: bool = False
    classes: int = 2
    domains: int = 2
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, x: jax.Array, scale: jax.Array | float = 1.0, train: bool = False, weight: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """`scale` is the lambda of the reversed gradient; `weight` (batch,) is that of the batch normalisation."""
        h = x
        for k, width in enumerate(self.hidden):
            h = BatchNorm(name=f"norm_{k}")(h, train, weight) if self.norm else h
            h = ACTIVATIONS[self.activation](nn.Dense(width, name=f"layer_{k}")(h))
        h = nn.Dropout(self.dropout, deterministic=not train)(h) if self.dropout else h
        turned = reverse_gradient(h, jnp.asarray(scale, jnp.float32))
        return nn.Dense(self.classes, name="class")(h), nn.Dense(self.domains, name="domain")(turned), h


SHALLOW = partial(DANN, hidden=(100,))  # section 5.1: one sigmoid layer
PUBLISHED = partial(DANN, hidden=(128, 64, 32), activation="selu", norm=True)  # Ophir et al. 2024


def ganin_lambda(progress: jax.Array | float) -> jax.Array:
    """Weight 2 / (1 + exp(-10 p)) - 1 of the reversed gradient at training progress p in 0..1 (section 5.2.2)."""
    return 2.0 / (1.0 + jnp.exp(-10.0 * jnp.asarray(progress, jnp.float32))) - 1.0


def ganin_rate(progress: jax.Array | float, mu0: float = 0.01, alpha: float = 10.0, beta: float = 0.75) -> jax.Array:
    """Learning rate mu0 / (1 + alpha p)^beta at training progress p in 0..1 (section 5.2.2)."""
    return mu0 / (1.0 + alpha * jnp.asarray(progress, jnp.float32)) ** beta


def from_published(weights: Mapping[str, np.ndarray]) -> dict[str, dict]:
    """Variables of `PUBLISHED()` from the saved model of Ophir et al. ("layer_with_weights-k|name")."""
    params: dict[str, dict] = {}
    stats: dict[str, dict] = {}
    for k in range(3):
        norm = {
            n: weights[f"layer_with_weights-{2 * k}|{n}"] for n in ("gamma", "beta", "moving_mean", "moving_variance")
        }
        params[f"norm_{k}"] = {"scale": norm["gamma"], "bias": norm["beta"]}
        stats[f"norm_{k}"] = {"mean": norm["moving_mean"], "var": norm["moving_variance"]}
    numbers = {"layer_0": 1, "layer_1": 3, "layer_2": 5, "class": 6, "domain": 7}
    for name, k in numbers.items():
        params[name] = {n: weights[f"layer_with_weights-{k}|{n}"] for n in ("kernel", "bias")}
    return {"params": params, "batch_stats": stats}


_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
