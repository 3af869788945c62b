"""The networks of the species task: as a problem for the loop, and in use once they are trained.

All methods are one network trained with other weights, so that they train at once: `METHODS` tells whether the gradient
of the domain head is turned, and whether mouse cells are weighted to the class frequencies of the human, in the scale
of the inputs, the batch normalisation and both losses. Without human labels these frequencies are those that the
aligned support vectors settle on. Frequencies estimated by the network itself ran away with some settings.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from spiketype.datasets import batches
from spiketype.datasets.allen.species import Part
from spiketype.datasets.allen.table import DENDRITES, AllenTable
from spiketype.datasets.batches import Plan
from spiketype.edge import PyTree
from spiketype.models import dann
from spiketype.models.dann import DANN, Batch, ganin_lambda, ganin_rate
from spiketype.models.species import Cells, Domains
from spiketype.train.config import Member
from spiketype.train.loop import Problem
from spiketype.train.task import Variables, in_pieces, of_member
from spiketype.train.tasks.species.config import METHODS, SpeciesConfig

PIECE = 4096  # cells that a network calls at once


class MemberData(NamedTuple):
    """What a member sees.

    Attributes:
        x: all cells, standardised.
        plans: whom to draw of the mouse and of the human cells.
        ratio: weights of mouse cells by class.
        adversary: 1 where the gradient is turned, else 0.
        labelled: 1 where the human half of a batch has labels, else 0.
    """

    x: Float[np.ndarray, "cell feature"]
    plans: tuple[Plan, Plan]
    ratio: Float[np.ndarray, " class"]
    adversary: Float[np.ndarray, ""]
    labelled: Float[np.ndarray, ""]


def network(config: SpeciesConfig) -> DANN:
    """Return the network of every member."""
    return DANN(config.hidden, config.activation, config.norm, len(DENDRITES), 2, config.dropout)


def cells_of(table: AllenTable, rows: Int[np.ndarray, " cell"]) -> Cells:
    """Return some cells of a table."""
    return Cells(table.x[rows], table.species[rows])


def domains_of(table: AllenTable, part: Part) -> Domains:
    """Return the domains of the training cells of a part."""
    return Domains.of(table.x[part.mouse], table.spiny[part.mouse], table.x[part.human])


def member_data(
    table: AllenTable, part: Part, domains: Domains, method: str, prior: Float[np.ndarray, " class"]
) -> MemberData:
    """Return the data of a member whose mouse cells are standardised and weighted to the class frequencies prior."""
    x = domains.apply(Cells(table.x, table.species), prior).astype(np.float32)
    mouse, human = (batches.plan(rows, table.spiny, False, len(table.x)) for rows in (part.mouse, part.human))
    numbers = (prior / domains.rate, METHODS[method].adversarial, part.labelled)
    return MemberData(x, (mouse, human), *(np.asarray(value, np.float32) for value in numbers))


def make_problem(config: SpeciesConfig, net: DANN, features: int) -> Problem:
    """Return a problem with batches of half mouse, half human cells; common data are the labels of all cells."""
    half = config.batch_size // 2
    is_human = dann.in_target(2 * half)

    def init(key: jax.Array) -> tuple[PyTree, PyTree]:
        variables = net.init({"params": key}, jnp.zeros((1, features)))
        statistics = variables.get("batch_stats", {})
        return variables["params"], {"batch_stats": statistics, "progress": {"step": jnp.zeros((), jnp.int32)}}

    def draw(common: Int[Array, " cell"], member: MemberData, key: jax.Array) -> Batch:
        keys = jax.random.split(key)
        index = jnp.concatenate([batches.draw(plan, k, half) for plan, k in zip(member.plans, keys, strict=True)])
        weight = jnp.where(is_human, 1.0, member.ratio[common[index]])
        weight = jnp.where(is_human, 1.0, weight / weight[:half].mean())
        named = weight * jnp.where(is_human, member.labelled, 1.0)
        return Batch(member.x[index], common[index], weight, named, jnp.full(2 * half, member.adversary))

    def loss(
        params: PyTree, state: PyTree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[PyTree, dict[str, jax.Array]]]:
        step = state["progress"]["step"]
        grown = ganin_lambda(step.astype(jnp.float32) / config.steps) if config.schedule == "ganin" else 1.0
        variables = {"params": params, "batch_stats": state["batch_stats"]}
        found = dann.losses(net, variables, batch, batch.adversary[0] * config.adversary * grown, key)
        metrics = {
            "accuracy": found.accuracy,
            "domain_loss": found.of_domain,
            "human_spiny": jax.nn.softmax(found.logits)[half:, 1].mean(),
        }
        after = {"batch_stats": found.statistics, "progress": {"step": step + 1}}
        return found.of_class + found.of_domain + config.l2 * dann.decay(params), (after, metrics)

    return Problem(init, draw, loss, make_optimizer(config))


def make_optimizer(config: SpeciesConfig) -> optax.GradientTransformation:
    """Return an optimizer with one step size for the features and the class head, another for the domain head."""

    def one(rate: float) -> optax.GradientTransformation:
        if config.optimizer == "sgd":  # Ganin et al., section 5.2.2
            return optax.sgd(lambda step: rate * ganin_rate(step / config.steps, 1.0), momentum=0.9)
        return {"adam": optax.adam, "rmsprop": optax.rmsprop}[config.optimizer](rate)

    def which(params: PyTree) -> dict[str, str]:
        return {name: "domain" if name == "domain" else "rest" for name in params}

    return optax.multi_transform({"rest": one(config.learning_rate), "domain": one(config.domain_learning_rate)}, which)


class Networks(NamedTuple):
    """Trained networks in use.

    Attributes:
        net: the network.
        members: the method is their variant.
        domains: of each fold.
        prior: class frequencies that give the scale of a member's mouse cells.
        variables: of all members.
    """

    net: DANN
    members: tuple[Member, ...]
    domains: tuple[Domains, ...]
    prior: Float[np.ndarray, "member class"]
    variables: Variables

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that there are members of, in their order."""
        return tuple(dict.fromkeys(str(member.variant) for member in self.members))

    def numbers(self, method: str, fold: int | None = None) -> list[int]:
        """Return the numbers of the members of a method, on one fold or all."""
        return [k for k, m in enumerate(self.members) if m.variant == method and fold in (None, m.fold)]

    def inputs(self, number: int, cells: Cells) -> Float[np.ndarray, "cell feature"]:
        """Return what a member sees of cells."""
        domains = self.domains[self.members[number].fold]
        return domains.apply(cells, self.prior[number]).astype(np.float32)

    def apply(
        self, number: int, z: Float[np.ndarray, "cell feature"]
    ) -> tuple[Float[np.ndarray, "cell class"], Float[np.ndarray, "cell hidden"]]:
        """Return what a member gives for its inputs: logits, and the features that it has learned; float32."""
        given = of_member(self.variables, number)
        variables = {name: given[name] for name in ("params", "batch_stats")}
        logits, learned = in_pieces(partial(_apply, self.net, variables), z.astype(np.float32), PIECE)
        return logits, learned

    def probability(self, number: int, cells: Cells) -> Float[np.ndarray, "cell class"]:
        """Return the probabilities that a member gives for cells, float64."""
        return np.asarray(jax.nn.softmax(self.apply(number, self.inputs(number, cells))[0]), np.float64)

    def learned(self, number: int, cells: Cells) -> Float[np.ndarray, "cell hidden"]:
        """Return the features that a member has learned, of cells, float64."""
        return self.apply(number, self.inputs(number, cells))[1].astype(np.float64)

    def arrays(self) -> PyTree:
        """Return all that is trained or fitted, as nested dicts of arrays."""
        domains = jax.tree.map(lambda *each: np.stack(each), *(one.arrays() for one in self.domains))
        return {"variables": self.variables, "prior": self.prior, "domains": domains}

    @classmethod
    def restore(cls, net: DANN, members: tuple[Member, ...], arrays: PyTree) -> "Networks":
        """Return what `arrays` took apart."""
        stacked = arrays["domains"]
        domains = tuple(Domains.restore(of_member(stacked, fold)) for fold in range(len(stacked["rate"])))
        return cls(net, members, domains, arrays["prior"], arrays["variables"])


@partial(jax.jit, static_argnums=0)  # one program for all members
def _apply(
    net: DANN, variables: Variables, z: Float[Array, "cell feature"]
) -> tuple[Float[Array, "cell class"], Float[Array, "cell hidden"]]:
    """Return logits and learned features."""
    logits, _, learned = net.apply(variables, z)  # type: ignore[misc]
    return logits, learned
