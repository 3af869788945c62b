"""The networks of the species task as a problem for the loop: plain, aligned, DANN, and aligned DANN.

All four are one network trained with other weights, so that they train at once: `METHODS` says whether the gradient of
the domain head is turned, and whether mouse cells are weighted to the class frequencies of the human, in the scale of
the inputs, the batch normalisation and both losses. Without human labels these frequencies are those that the aligned
support vectors settle on. Following what the network itself says of the human cells ran away with some settings.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from spiketype.datasets import batches
from spiketype.datasets.allen.table import AllenTable
from spiketype.models.dann import DANN, ganin_lambda, ganin_rate
from spiketype.train.loop import Problem
from spiketype.train.tasks.species.cells import Domains, Part

# Name: (is the domain unlearned, are mouse cells weighted to the human's class frequencies).
METHODS = {"plain": (False, False), "aligned": (False, True), "dann": (True, False), "corrected": (True, True)}
NAMES = {"plain": "network", "aligned": "aligned network", "dann": "DANN", "corrected": "aligned DANN"}


class Member(NamedTuple):
    """One training: the number of its part, over all repeats, its seed and its method."""

    part: int
    seed: int
    method: str

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.method}, part {self.part}, seed {self.seed}"


class Own(NamedTuple):
    """What a member sees: standardised cells (cell, feature), whom to draw of either species, how much what counts.

    ``ratio`` (class,): weights of mouse cells; ``adversary``: 1 where the gradient is turned; ``labelled``: 1 where the
    human half of a batch has labels.
    """

    x: Any
    draw: Any
    ratio: Any
    adversary: Any
    labelled: Any


def own(table: AllenTable, part: Part, domains: Domains, method: str, prior: np.ndarray) -> Own:
    """The data of a member that weights mouse cells, if it does, to the class frequencies prior (class,)."""
    x = domains.apply(table.x, table.species, prior).astype(np.float32)
    plans = tuple(batches.plan(rows, table.spiny, False, len(table.x)) for rows in (part.mouse, part.human))
    numbers = (prior / domains.rate, METHODS[method][0], part.labelled)
    return Own(x, plans, *(np.asarray(value, np.float32) for value in numbers))


def make_problem(config: Any, net: DANN, size: int) -> Problem:
    """Batches of which one half is mouse and one half human; shared data are the labels of all cells."""
    half = config.batch_size // 2
    is_human = jnp.arange(2 * half) >= half

    def init(key: jax.Array) -> Any:
        variables = net.init({"params": key}, jnp.zeros((1, size)))
        statistics = variables.get("batch_stats", {})
        return variables["params"], {"batch_stats": statistics, "progress": {"step": jnp.zeros((), jnp.int32)}}

    def draw(shared: Any, own: Own, key: jax.Array) -> Any:
        keys = jax.random.split(key)
        index = jnp.concatenate([batches.draw(plan, k, half) for plan, k in zip(own.draw, keys, strict=True)])
        weight = jnp.where(is_human, 1.0, own.ratio[shared[index]])
        weight = jnp.where(is_human, 1.0, weight / weight[:half].mean())
        named = weight * jnp.where(is_human, own.labelled, 1.0)
        return own.x[index], shared[index], weight, named, jnp.full(2 * half, own.adversary)

    def loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        x, y, weight, named, adversary = batch
        step = state["progress"]["step"]
        grown = ganin_lambda(step.astype(jnp.float32) / config.steps) if config.schedule == "ganin" else 1.0
        variables = {"params": params, "batch_stats": state["batch_stats"]}
        scale = adversary[0] * config.adversary * grown
        said: Any = net.apply(variables, x, scale, True, weight, rngs={"dropout": key}, mutable=["batch_stats"])
        (logits, domain, _), new = said
        named = named / named.sum()
        of_class = named @ optax.softmax_cross_entropy_with_integer_labels(logits, y)
        of_domain = (
            weight * optax.softmax_cross_entropy_with_integer_labels(domain, is_human.astype(jnp.int32))
        ).mean()
        decay = config.l2 * sum(jnp.sum(layer["kernel"] ** 2) for layer in params.values() if "kernel" in layer)
        metrics = {
            "accuracy": named @ (logits.argmax(axis=1) == y).astype(jnp.float32),
            "domain_loss": of_domain,
            "human_spiny": jax.nn.softmax(logits)[half:, 1].mean(),
        }
        after = {"batch_stats": new.get("batch_stats", {}), "progress": {"step": step + 1}}
        return of_class + of_domain + decay, (after, metrics)

    return Problem(init, draw, loss, make_optimizer(config))


def make_optimizer(config: Any) -> optax.GradientTransformation:
    """One step size for the features and the class head, another for the domain head."""

    def one(rate: float) -> optax.GradientTransformation:
        if config.optimizer == "sgd":  # Ganin et al., section 5.2.2
            return optax.sgd(lambda step: rate * ganin_rate(step / config.steps, 1.0), momentum=0.9)
        return {"adam": optax.adam, "rmsprop": optax.rmsprop}[config.optimizer](rate)

    def which(params: Any) -> Any:
        return {name: "domain" if name == "domain" else "rest" for name in params}

    return optax.multi_transform({"rest": one(config.learning_rate), "domain": one(config.domain_learning_rate)}, which)
