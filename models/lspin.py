"""Locally sparse networks, LSPIN: a gating network opens the features that count for each sample.

Yang, Lindenbaum and Kluger, "Locally Sparse Neural Networks for Tabular Biomedical Data" (ICML 2022), with the choices
of Ophir, Shefi and Lindenbaum (Neuroinformatics 2024), whose published weights `from_published` reads.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Int, PRNGKeyArray

from spiketype.edge import PyTree
from spiketype.models.batch_norm import BatchNorm

Either = Array | np.ndarray  # what a trained network is applied to may be NumPy's
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": jnp.tanh,
    "relu": nn.relu,
    "leaky_relu": nn.leaky_relu,
    "sigmoid": nn.sigmoid,
    "none": lambda x: x,
}


class LSPIN(nn.Module):
    """A network from features to outputs through gates in [0, 1], one for each sample and feature.

    Attributes:
        outputs: classes, or numbers to predict.
        hidden: widths of the prediction network; batch normalisation comes before each of its layers.
        gating: widths of the gating network, which ends in one tanh unit a feature.
        activation: of the prediction network; "none" makes it linear (LLSPIN).
        squash: pass the outputs through the activation, too, as published: with tanh five classes then have a largest
            probability of 0.649, and cannot be calibrated.
        sigma: standard deviation of the gates' noise in training.
        stddev: of the initial weights, normal and cut at two standard deviations.
        even: the last layer of the gating network starts at 0, every gate at 1/2: which gates open is then up to the
            data, not to the seed.
    """

    outputs: int
    hidden: tuple[int, ...] = (40, 20)
    gating: tuple[int, ...] = (50, 50, 50)
    activation: str = "tanh"
    squash: bool = False
    sigma: float = 0.5
    stddev: float = 0.1
    even: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Either, "batch feature"], train: bool = False, weight: Float[Either, " batch"] | None = None
    ) -> tuple[Float[Array, "batch outputs"], Float[Array, "batch feature"], Float[Array, "batch feature"]]:
        """Return outputs, alpha in [-1, 1] and gates.

        Training draws noise from the stream "gate" and uses `weight` in the batch normalisation.
        """
        x = jnp.asarray(x)
        init = nn.initializers.truncated_normal(self.stddev)
        act = ACTIVATIONS[self.activation]
        alpha = x
        for k, width in enumerate((*self.gating, x.shape[1])):
            first = nn.initializers.zeros_init() if self.even and k == len(self.gating) else init
            alpha = jnp.tanh(nn.Dense(width, kernel_init=first, name=f"gate_{k}")(alpha))
        noise = jax.random.normal(self.make_rng("gate"), alpha.shape) if train else jnp.zeros_like(alpha)
        gates = gate(alpha, noise, self.sigma)
        h = x * gates
        for k, width in enumerate((*self.hidden, self.outputs)):
            h = BatchNorm(name=f"norm_{k}")(h, train, weight)
            h = nn.Dense(width, kernel_init=init, name=f"layer_{k}")(h)
            h = act(h) if k < len(self.hidden) or self.squash else h
        return h, alpha, gates


def gate(alpha: Float[Array, "*shape"], noise: Float[Array, "*shape"], sigma: float) -> Float[Array, "*shape"]:
    """Return stochastic gates clip(alpha + sigma noise + 1/2, 0, 1) (equation 3); predictions have no noise."""
    return jnp.clip(alpha + sigma * noise + 0.5, 0.0, 1.0)


def open_probability(alpha: Float[Array, "*shape"], sigma: float) -> Float[Array, "*shape"]:
    """Return the probability Phi((alpha + 1/2) / sigma) that a gate is above 0: the terms of the expected L0 norm."""
    return norm.cdf((alpha + 0.5) / sigma)


def sparsity(
    alpha: Float[Array, "sample feature"],
    sigma: float,
    weight: Float[Array, " sample"] | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> Float[Array, ""]:
    """Return the expected share ("mean", as in the published code) or number ("sum", as in the paper) of open gates.

    `weight` is that of the samples.
    """
    each = open_probability(alpha, sigma)
    of_sample = each.mean(axis=1) if reduction == "mean" else each.sum(axis=1)
    return of_sample.mean() if weight is None else (weight @ of_sample) / weight.sum()


def similarity(
    gates: Float[Array, "sample feature"],
    kernel: Float[Array, "sample sample"],
    together: float,
    apart: float,
    weight: Float[Array, " sample"] | None = None,
) -> Float[Array, ""]:
    """Return the pairwise regulariser together mean(K D) - apart mean((1 - K) D).

    D is the squared distance of two samples' gates. The kernel K is in [0, 1]; that of labels is
    1 - |y_i - y_j|^2 / 2 with one-hot y, see `label_kernel`.
    """
    square = jnp.square(gates).sum(axis=1)
    distance = square[:, None] + square[None, :] - 2.0 * gates @ gates.T
    each = together * kernel * distance - apart * (1.0 - kernel) * distance
    if weight is None:
        return each.mean()
    share = weight / weight.sum()
    return share @ each @ share


def spread(gates: Float[Array, "sample feature"], weight: Float[Array, " sample"] | None = None) -> Float[Array, ""]:
    """Return the mean squared distance of two samples' gates: `similarity` with a kernel of ones, in linear time."""
    share = jnp.full(len(gates), 1 / len(gates)) if weight is None else weight / weight.sum()
    centred = gates - (share @ gates)[None, :]
    return 2.0 * (share @ jnp.square(centred).sum(axis=1))


def loss(
    net: LSPIN,
    variables: PyTree,
    x: Float[Array, "sample feature"],
    label: Int[Array, " sample"],
    weight: Float[Array, " sample"],
    key: PRNGKeyArray,
    closing: Float[Array, ""] | float,
    together: float,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]], PyTree]:
    """Return the loss of a training step; accuracy and share of open gates; the new statistics.

    Args:
        net: the network.
        variables: parameters and statistics of the batch normalisation.
        x: standardised samples.
        label: their classes.
        weight: how much each counts.
        key: of the gates' noise.
        closing: weight of `sparsity`.
        together: weight of `spread`, a feature.
    """
    (logits, alpha, _), new = net.apply(variables, x, True, weight, rngs={"gate": key}, mutable="batch_stats")
    share = weight / weight.sum()
    entropy = share @ optax.softmax_cross_entropy_with_integer_labels(logits, label)
    closed = sparsity(alpha, net.sigma, weight)
    extra = closing * closed
    if together:
        extra = extra + together * spread(gate(alpha, jnp.zeros_like(alpha), net.sigma), weight) / x.shape[1]
    right = share @ (logits.argmax(axis=1) == label).astype(jnp.float32)
    return entropy + extra, {"accuracy": right, "open": closed}, new


def predict(
    net: LSPIN, variables: PyTree, x: Float[np.ndarray, "sample feature"]
) -> tuple[Float[np.ndarray, "sample class"], Float[np.ndarray, "sample feature"]]:
    """Return probabilities and gates of standardised samples."""
    outputs: PyTree = net.apply(variables, x)
    logits, _, gates = outputs
    return np.asarray(jax.nn.softmax(logits), np.float64), np.asarray(gates)


def is_gate(params: PyTree) -> PyTree:
    """Say which parameters are those of the gating network."""
    return jax.tree.map_with_path(lambda path, _: path[0].key.startswith("gate_"), params)


def stability(
    gates: Float[np.ndarray, "seed repeat cell feature"], threshold: float = 0.5
) -> dict[str, int | float | None]:
    """Return how sparse and how stable gates are.

    ``open``: mean number above 0; ``correlation`` of the mean gates and ``jaccard`` of the gates above the threshold in
    each cell, both means over pairs of seeds. None with one seed, the correlation also where all mean gates of a seed
    agree.
    """
    pairs = [(a, b) for a in range(len(gates)) for b in range(a)]
    mean, on = gates.mean(axis=(1, 2)), gates > threshold
    with np.errstate(invalid="ignore"):
        correlation = float(np.mean([np.corrcoef(mean[a], mean[b])[0, 1] for a, b in pairs])) if pairs else np.nan
    return {
        "open": float((gates > 0).sum(axis=-1).mean()),
        "features": gates.shape[-1],
        "correlation": correlation if np.isfinite(correlation) else None,
        "jaccard": float(np.mean([_jaccard(on[a], on[b]) for a, b in pairs])) if pairs else None,
    }


def _jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean over cells of shared over all open gates; 1 where neither has one."""
    either = (a | b).sum(axis=-1)
    return float(np.where(either > 0, (a & b).sum(axis=-1) / np.maximum(either, 1), 1.0).mean())


def label_kernel(label: Int[Array, " sample"]) -> Float[Array, "sample sample"]:
    """Return 1 where two samples have the same label, else 0."""
    return (label[:, None] == label[None, :]).astype(jnp.float32)


def from_published(weights: Mapping[str, np.ndarray]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Return variables of an `LSPIN` from the checkpoint of Ophir et al., whose names have "|" for "/"."""
    params: dict[str, dict[str, np.ndarray]] = {}
    stats: dict[str, dict[str, np.ndarray]] = {}
    gates = [(f"gate_layer{k}|weights", f"gate_layer{k}|biases") for k in (1, 2, 3)]
    for k, (kernel, bias) in enumerate([*gates, ("weights2", "biases2")]):
        params[f"gate_{k}"] = {"kernel": weights[kernel], "bias": weights[bias]}
    for k, prefix in enumerate(("layer1|", "layer2|", "")):
        params[f"layer_{k}"] = {"kernel": weights[f"{prefix}weights"], "bias": weights[f"{prefix}biases"]}
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        norms = {name: weights[f"{prefix}batch_normalization|{name}"] for name in names}
        params[f"norm_{k}"] = {"scale": norms["gamma"], "bias": norms["beta"]}
        stats[f"norm_{k}"] = {"mean": norms["moving_mean"], "var": norms["moving_variance"]}
    return {"params": params, "batch_stats": stats}
