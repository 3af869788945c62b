"""The networks of the species task as a problem for the loop: plain, aligned, DANN, and aligned DANN.

All four are one network trained with other weights, so that they train at once: `METHODS` says whether the gradient of
the domain head is turned, and whether mouse cells are weighted to the class frequencies of the human, in the scale of
the inputs, the batch normalisation and both losses. Without human labels these frequencies are what the network itself
says of the human cells, followed during training.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from datasets import batches
from datasets.allen import AllenTable
from models.dann import DANN, ganin_lambda, ganin_rate
from train.loop import Problem
from train.tasks.species_cells import CLASSES, MOUSE, Domains, Part

# Name: (is the domain unlearned, are mouse cells weighted to the human's class frequencies).
METHODS = {"plain": (False, False), "aligned": (False, True), "dann": (True, False), "corrected": (True, True)}
NAMES = {"plain": "network", "aligned": "aligned network", "dann": "DANN", "corrected": "aligned DANN"}
FOLLOW = 0.03  # share by which a step moves the frequencies towards what the network says of its human half


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
    """What a member sees: cells (cell, feature) in the scale of their own species, whom to draw, how to weight.

    ``start`` (class,): class frequencies that the mouse is weighted to at first; ``follow``: share of `FOLLOW`, 0 or
    1; ``labelled``: whether the human half of a batch has labels.
    """

    x: Any
    draw: Any
    rate: Any
    first: Any
    second: Any
    adversary: Any
    start: Any
    follow: Any
    labelled: Any


def own(table: AllenTable, part: Part, domains: Domains, method: str, prior: np.ndarray) -> Own:
    """The data of a member; prior (class,) is where the class frequencies of the human start, or what they are."""
    adversary, weighted = METHODS[method]
    x = np.where((table.species == MOUSE)[:, None], domains.mouse.apply(table.x), domains.human.apply(table.x))
    longest = len(table.x)
    plans = tuple(batches.plan(rows, table.spiny, False, longest) for rows in (part.mouse, part.human))
    numbers = (adversary, prior if weighted else domains.rate, weighted and not part.labelled, part.labelled)
    moments = (domains.rate, domains.first, domains.second)
    return Own(x, plans, *(np.asarray(value, np.float32) for value in (*moments, *numbers)))


def effective_prior(start: Any, state: Any) -> Any:
    """The class frequencies (class,) in use: where they started, and how far training has moved them."""
    return start + state["prior"]["moved"]


def make_problem(config: Any, net: DANN, size: int) -> Problem:
    """Batches of which one half is mouse and one half human; shared data are the labels of all cells."""
    half = config.batch_size // 2
    is_human = jnp.arange(2 * half) >= half

    def init(key: jax.Array) -> Any:
        variables = net.init({"params": key}, jnp.zeros((1, size)))
        moved = {"moved": jnp.zeros(len(CLASSES)), "step": jnp.zeros((), jnp.int32)}
        return variables["params"], {"batch_stats": variables.get("batch_stats", {}), "prior": moved}

    def draw(shared: Any, own: Own, key: jax.Array) -> Any:
        keys = jax.random.split(key)
        index = jnp.concatenate([batches.draw(plan, k, half) for plan, k in zip(own.draw, keys, strict=True)])
        # The loss sees batches alone, and all that is in one has its leading axis.
        fixed = jax.tree.map(lambda a: jnp.broadcast_to(a, (2 * half, *a.shape)), own._replace(x=(), draw=()))
        return own.x[index], shared[index], fixed

    def loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        x, y, fixed = batch
        of: Own = jax.tree.map(lambda a: a[0], fixed)
        prior = effective_prior(of.start, state)
        mean = prior @ of.first
        sd = jnp.sqrt(jnp.maximum(prior @ of.second - mean**2, 1e-6))
        x = jnp.where(is_human[:, None], x, (x - mean[None]) / sd[None])
        ratio = (prior / of.rate)[y]
        weight = jnp.where(is_human, 1.0, ratio / ratio[:half].mean())
        step = state["prior"]["step"]
        progress = step.astype(jnp.float32) / config.steps
        scale = of.adversary * config.adversary * (ganin_lambda(progress) if config.schedule == "ganin" else 1.0)
        variables = {"params": params, "batch_stats": state["batch_stats"]}
        said, new = net.apply(variables, x, scale, True, weight, rngs={"dropout": key}, mutable=["batch_stats"])
        logits, domain, _ = said
        counted = weight * jnp.where(is_human, of.labelled, 1.0)
        counted = counted / counted.sum()
        of_class = counted @ optax.softmax_cross_entropy_with_integer_labels(logits, y)
        of_domain = weight @ optax.softmax_cross_entropy_with_integer_labels(domain, is_human.astype(jnp.int32))
        of_domain = of_domain / (2 * half)
        decay = config.l2 * sum(jnp.sum(layer["kernel"] ** 2) for layer in params.values() if "kernel" in layer)
        heard = jax.nn.softmax(logits)[half:].mean(axis=0)
        moved = state["prior"]["moved"] + FOLLOW * of.follow * jax.lax.stop_gradient(heard - prior)
        metrics = {
            "accuracy": counted @ (logits.argmax(axis=1) == y).astype(jnp.float32),
            "domain_loss": of_domain,
            "spiny": prior[1],
        }
        after = {"batch_stats": new.get("batch_stats", {}), "prior": {"moved": moved, "step": step + 1}}
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
