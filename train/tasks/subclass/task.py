"""The subclass task: five transgenic subclasses of mouse neurons from whole-cell features, by LSPIN and an average."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from spiketype.datasets.allen import splits
from spiketype.datasets.allen.cells import mouse
from spiketype.datasets.allen.table import CLASSES, AllenTable
from spiketype.datasets.splits import Fold
from spiketype.edge import PyTree
from spiketype.models import lspin
from spiketype.models.lspin import LSPIN
from spiketype.models.scale import Scale
from spiketype.train import identity
from spiketype.train.config import Member
from spiketype.train.loop import Metrics, Problem
from spiketype.train.task import Experiment, Phase, Task, member_keys, of_files
from spiketype.train.tasks.subclass.config import SubclassConfig
from spiketype.train.tasks.subclass.judge import judge, subclass_table
from spiketype.train.tasks.subclass.model import SubclassModel, evaluate, predict


class MemberData(NamedTuple):
    """What a member sees: all cells in the scale of its training part, and 1 for those that train, else 0."""

    x: Float[Array, "... cell feature"]
    weight: Float[Array, "... cell"]


Batch = tuple[Float[Array, "cell feature"], Int[Array, " cell"], Float[Array, " cell"]]  # inputs, labels, weights


def network(config: SubclassConfig, classes: int = len(CLASSES)) -> LSPIN:
    """Return the network of every member."""
    return LSPIN(classes, config.hidden, config.gating, squash=config.squash, sigma=config.sigma, even=config.even)


def make_problem(config: SubclassConfig, net: LSPIN, size: int) -> Problem:
    """Return the problem of full batches of `size` features: common data are the labels, member data `MemberData`."""

    def init(key: jax.Array) -> tuple[PyTree, PyTree]:
        variables = net.init({"params": key}, jnp.zeros((1, size)))
        return variables["params"], {"batch_stats": variables["batch_stats"], "schedule": {"step": jnp.zeros(())}}

    def draw(common: Int[Array, " cell"], member: MemberData, key: jax.Array) -> Batch:
        return member.x, common, member.weight

    def loss(params: PyTree, state: PyTree, batch: Batch, key: jax.Array) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        step = state["schedule"]["step"] + 1.0
        rise = jnp.minimum(step / config.steps, 1.0) if config.rising else 1.0
        known = {"params": params, "batch_stats": state["batch_stats"]}
        value, metrics, new = lspin.loss(net, known, *batch, key, rise * config.sparsity, config.together)
        return value, ({**new, "schedule": {"step": step}}, metrics)

    gates_alone = optax.masked(optax.scale(config.gate_rate), lspin.is_gate)
    return Problem(init, draw, loss, optax.chain(optax.sgd(config.learning_rate), gates_alone))


def prepare(config: SubclassConfig) -> Experiment:
    """Load the cells, divide them, and set up a member for every repeat, fold and seed.

    Raises:
        UserError: there are no cells, or they do not allow the split.
    """
    table = splits.usable(config.split, mouse(config.data, config.features, config.lines))
    parts, optimistic = splits.make(config.split, table, config.folds, config.repeats, config.seed)
    folds = [fold for part in parts for fold in part]
    members = [Member(s, f) for f in range(len(folds)) for s in range(config.seed, config.seed + config.seeds)]
    scales = [Scale.of(table.x[fold.train]) for fold in folds]
    net = network(config, len(table.class_names))
    data = (jnp.asarray(table.subclass), _member_data(table, folds, scales, members))
    return Experiment(
        phases=(Phase("training", make_problem(config, net, table.x.shape[1]), lambda step: data, config.steps),),
        names=tuple(f"seed {m.seed}, fold {m.fold}" for m in members),
        keys=member_keys(members),
        batch=len(table.x),
        judge=partial(judge, config, net, table, parts, optimistic, scales, members),
        identity=identity.of(
            (identity.by_column(table.x),),
            (np.isnan(table.x), table.subclass, table.donor, table.specimen_id),
            (table.class_names, table.donor_names, table.feature_names),
            [(fold.train, fold.test) for fold in folds],
        ),
    )


def _member_data(
    table: AllenTable, folds: Sequence[Fold], scales: Sequence[Scale], members: Sequence[Member]
) -> MemberData:
    weight = np.zeros((len(folds), len(table.x)), np.float32)
    for row, fold in zip(weight, folds, strict=True):
        row[fold.train] = 1
    x = np.stack([scale.apply(table.x) for scale in scales])
    of_member = np.array([m.fold for m in members])
    return MemberData(jnp.asarray(x[of_member]), jnp.asarray(weight[of_member]))


TASKS = {"subclass": Task(prepare, SubclassModel.restore, of_files(evaluate), of_files(predict), subclass_table)}
