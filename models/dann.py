"""Domain-adversarial networks, DANN: features that name the class and not the domain.

Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016). Between features and domain classifier
the gradient is turned round: what would tell the domains apart is unlearned.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from spiketype.edge import PyTree
from spiketype.models.batch_norm import BatchNorm

Either = Array | np.ndarray  # what a trained network is applied to may be NumPy's
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {"sigmoid": nn.sigmoid, "selu": nn.selu, "relu": nn.relu}


@jax.custom_vjp
def reverse_gradient(x: Float[Array, "*shape"], scale: Float[Array, ""]) -> Float[Array, "*shape"]:
    """Return x as it is; its gradient is multiplied by -scale (equations 15 and 16)."""
    del scale
    return x


def _forward(x: jax.Array, scale: jax.Array) -> tuple[jax.Array, jax.Array]:
    return x, scale


def _backward(scale: jax.Array, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    return -scale * gradient, jnp.zeros_like(scale)


reverse_gradient.defvjp(_forward, _backward)


class DANN(nn.Module):
    """A network from features to class logits, domain logits and the learned features.

    Attributes:
        hidden: widths of the feature extractor.
        activation: of its layers.
        norm: batch normalisation before each layer (`PUBLISHED`), or none (as in section 5.1, with hidden (100,)).
        classes, domains: outputs of the two linear heads.
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
        self,
        x: Float[Either, "batch feature"],
        scale: Float[Array, ""] | float = 1.0,
        train: bool = False,
        weight: Float[Either, " batch"] | None = None,
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch domains"], Float[Array, "batch hidden"]]:
        """Return class logits, domain logits and the learned features.

        `scale` is the lambda of the reversed gradient; `weight` is that of the batch normalisation.
        """
        h = jnp.asarray(x)
        for k, width in enumerate(self.hidden):
            h = BatchNorm(name=f"norm_{k}")(h, train, weight) if self.norm else h
            h = ACTIVATIONS[self.activation](nn.Dense(width, name=f"layer_{k}")(h))
        h = nn.Dropout(self.dropout, deterministic=not train)(h) if self.dropout else h
        turned = reverse_gradient(h, jnp.asarray(scale, jnp.float32))
        return nn.Dense(self.classes, name="class")(h), nn.Dense(self.domains, name="domain")(turned), h


class Batch(NamedTuple):
    """Samples of a step, the first half of the source domain, the second of the target.

    Attributes:
        x: standardised samples.
        label: their classes.
        weight: how much a sample counts for the domain head and the batch normalisation.
        named: how much it counts for the class head.
        adversary: 1 where the gradient is turned, the same for all.
    """

    x: Float[Array, "batch feature"]
    label: Int[Array, " batch"]
    weight: Float[Array, " batch"]
    named: Float[Array, " batch"]
    adversary: Float[Array, " batch"]


def in_target(size: int) -> Bool[Array, " size"]:
    """Say which samples of a `Batch` of that size are of the target domain."""
    return jnp.arange(size) >= size // 2


class Losses(NamedTuple):
    """What a batch gives: cross entropies of the classes and of the domains, accuracy, class logits, new statistics."""

    of_class: Float[Array, ""]
    of_domain: Float[Array, ""]
    accuracy: Float[Array, ""]
    logits: Float[Array, "batch class"]
    statistics: PyTree


def losses(net: DANN, variables: PyTree, batch: Batch, scale: Float[Array, ""], key: PRNGKeyArray) -> Losses:
    """Return what a batch gives in training.

    Args:
        net: the network.
        variables: parameters and statistics of the batch normalisation.
        batch: the samples.
        scale: of the reversed gradient.
        key: of the dropout.
    """
    apply: PyTree = partial(net.apply, rngs={"dropout": key}, mutable=["batch_stats"])
    (logits, domain, _), new = apply(variables, batch.x, scale, True, batch.weight)
    named, target = batch.named / batch.named.sum(), in_target(len(batch.x)).astype(jnp.int32)
    of_class = named @ optax.softmax_cross_entropy_with_integer_labels(logits, batch.label)
    of_domain = (batch.weight * optax.softmax_cross_entropy_with_integer_labels(domain, target)).mean()
    accuracy = named @ (logits.argmax(axis=1) == batch.label).astype(jnp.float32)
    return Losses(of_class, of_domain, accuracy, logits, new.get("batch_stats", {}))


def decay(params: PyTree) -> Float[Array, ""]:
    """Return the sum of the squared weights of all layers, without biases and gains."""
    return jnp.asarray(sum(jnp.sum(layer["kernel"] ** 2) for layer in params.values() if "kernel" in layer))


PUBLISHED = partial(DANN, hidden=(128, 64, 32), activation="selu", norm=True)  # Ophir et al. 2024


def ganin_lambda(progress: Float[Array, ""] | float) -> Float[Array, ""]:
    """Return 2 / (1 + exp(-10 p)) - 1, the weight of the reversed gradient at progress p in 0..1 (section 5.2.2)."""
    return 2.0 / (1.0 + jnp.exp(-10.0 * jnp.asarray(progress, jnp.float32))) - 1.0


def ganin_rate(
    progress: Float[Array, ""] | float, mu0: float = 0.01, alpha: float = 10.0, beta: float = 0.75
) -> Float[Array, ""]:
    """Return the learning rate mu0 / (1 + alpha p)^beta at training progress p in 0..1 (section 5.2.2)."""
    return mu0 / (1.0 + alpha * jnp.asarray(progress, jnp.float32)) ** beta


def from_published(weights: Mapping[str, np.ndarray]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Return variables of `PUBLISHED()` from the saved model of Ophir et al. ("layer_with_weights-k|name")."""
    params: dict[str, dict[str, np.ndarray]] = {}
    stats: dict[str, dict[str, np.ndarray]] = {}
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
