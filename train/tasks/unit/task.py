"""The unit task: the type of a unit (excitatory, a transgenic class, any label) from its extracellular waveform."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from spiketype.datasets import batches
from spiketype.datasets.batches import Plan
from spiketype.datasets.splits import inner_folds
from spiketype.datasets.waveforms import divide
from spiketype.edge import PyTree, UserError
from spiketype.models import augment, unit_nets
from spiketype.models.losses import cross_entropy
from spiketype.models.scale import Scale
from spiketype.models.unit_nets import UnitNet
from spiketype.train import identity
from spiketype.train.config import Member
from spiketype.train.identity import Identity
from spiketype.train.loop import Metrics, Problem
from spiketype.train.task import Experiment, Phase, Task, member_keys, of_files, of_members
from spiketype.train.tasks.unit import judge, model
from spiketype.train.tasks.unit.config import UnitConfig
from spiketype.train.tasks.unit.judge import TRAINED
from spiketype.train.tasks.unit.model import UnitData

# Of fine-tuning: its step size over that of training, and its rows of the new animal over all others. Classes are drawn
# alike, and the other animals stay in, or a few units would be learned by heart.
GENTLE, SHARE = 0.1, 0.1

Batch = tuple[jax.Array, jax.Array]  # standardised rows (row, feature), labels (row,)


class MemberData(NamedTuple):
    """What a member sees of the data: the rows it trains on, and the mean and standard deviation (feature,) of some."""

    plan: Plan
    mean: np.ndarray
    sd: np.ndarray


def make_problem(config: UnitConfig, net: UnitNet, shape: tuple[int, int], features: int) -> Problem:
    """Return the problem of training on augmented rows; common data are (x, label), a member's are `MemberData`."""
    largest = config.shift if config.inputs == "samples" else 0  # a shape is aligned between the samples
    change = partial(augment.shift_and_noise, largest=largest, sd=config.noise)

    def init(key: jax.Array) -> tuple[PyTree, PyTree]:
        points = shape[0] * shape[1]
        return net.init(key, jnp.zeros((1, *shape)), jnp.zeros((1, features - points)))["params"], {}

    def draw(common: Batch, member: MemberData, key: jax.Array) -> Batch:
        row_key, change_key = jax.random.split(key)
        row = batches.draw(member.plan, row_key, config.batch)
        x = augment.of_waveforms(change, change_key, common[0][row], shape)
        return (x - member.mean[None]) / member.sd[None], common[1][row]

    def loss(params: PyTree, state: PyTree, batch: Batch, key: jax.Array) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        logits = unit_nets.apply(net, {"params": params}, batch[0], shape, train=True, rngs={"dropout": key})
        value, metrics = cross_entropy(logits, batch[1])
        squares = sum(jnp.sum(w**2) for w in jax.tree.leaves(params) if w.ndim > 1)
        return value + config.decay * squares, (state, metrics)

    return Problem(init, draw, loss, _adam(config.learning_rate, config.steps))


def make_tuning(config: UnitConfig, training: Problem) -> Problem:
    """Return the problem of fine-tuning: small steps; the state keeps the parameters that it begins with."""

    def init(key: jax.Array) -> tuple[PyTree, PyTree]:
        params, _ = training.init(key)
        return params, {TRAINED: params}

    return replace(training, init=init, optimizer=_adam(GENTLE * config.learning_rate, config.finetune_steps))


def keep_trained(params: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
    """Begin fine-tuning with what the training has left, and keep a copy of it."""
    return params, {TRAINED: jax.tree.map(np.copy, params)}


def _adam(learning_rate: float, steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(learning_rate, steps))


def load(config: UnitConfig, path: Path) -> UnitData:
    """Read the labelled rows and divide them.

    Raises:
        UserError: as `model.read`, `divide.labelled` and `divide.divide`.
    """
    table, x, form = model.read(config, path)
    keep = divide.labelled(table, path)
    table, x = table.take(keep), x[keep]
    division = divide.divide(table, config.split, config.folds, config.repeats, config.seed, config.finetune)
    return UnitData(table, x, form, division)


def prepare(config: UnitConfig) -> Experiment:
    """Load the waveforms, divide them, and set up a member for every repeat, fold and seed.

    Raises:
        UserError: no data given; as `load`.
    """
    if config.data is None:
        raise UserError("--data is missing: give a file or folder of waveforms")
    data = load(config, config.data)
    folds = data.division.folds
    for fold in folds if data.table.level == "unit" else ():  # lest the baselines be refused when all is trained
        inner_folds(data.table.label[fold.train], data.table.unit[fold.train], config.seed)
    members = [Member(s, f) for f in range(len(folds)) for s in range(config.seed, config.seed + config.seeds)]
    scales = [model.scale_of(config, data.x[fold.train]) for fold in folds]
    net = model.network(config, data.table.class_names, config.data)
    training = make_problem(config, net, data.form.shape, data.form.features)
    common = (jnp.asarray(data.x), jnp.asarray(data.table.label))
    trains = stack([fold.train for fold in folds], data, scales, members)
    phases = [Phase("training", training, lambda step: (common, trains), config.steps)]
    if data.division.adapt:
        parts = [
            np.r_[fold.train, np.resize(new, round(SHARE * len(fold.train)))]
            for fold, new in zip(folds, data.division.adapt, strict=True)
        ]
        adapts, tuning = stack(parts, data, scales, members), make_tuning(config, training)
        tuned = Phase("fine-tuning", tuning, lambda step: (common, adapts), config.finetune_steps, keep_trained)
        phases.append(tuned)
    return Experiment(
        phases=tuple(phases),
        names=tuple(f"seed {member.seed}, {folds[member.fold].name}" for member in members),
        keys=member_keys(members),
        batch=config.batch,
        judge=partial(judge.judge, config, net, data, scales, members),
        identity=_identity(data),
    )


def _identity(data: UnitData) -> Identity:
    """Return what the rows and their division are told by: waveforms, histograms, and what --init says of each."""
    table, division, points = data.table, data.division, int(np.prod(data.form.shape))
    exact = (table.label, table.unit, table.animal)
    names = (table.class_names, table.unit_names, table.animal_names, (str(table.rate_kHz),))
    adapt = division.adapt or [np.zeros(0, int)] * len(division.folds)
    folds = [(fold.train, fold.test, rows) for fold, rows in zip(division.folds, adapt, strict=True)]
    return identity.of((table.waveform, identity.by_column(data.x[:, points:])), exact, names, folds)


def stack(parts: Sequence[np.ndarray], data: UnitData, scales: Sequence[Scale], members: Sequence[Member]) -> PyTree:
    """Return the `MemberData` of all members, whose folds train on the rows `parts`."""
    longest = max(map(len, parts))
    plans = [batches.plan(rows, data.table.label, True, longest) for rows in parts]
    of_fold = [
        MemberData(plan, scale.mean.astype(np.float32), scale.sd.astype(np.float32))
        for plan, scale in zip(plans, scales, strict=True)
    ]
    return of_members(members, of_fold)


TASKS = {
    "unit": Task(prepare, model.restore, of_files(judge.evaluate), of_files(model.predict), judge.unit_table),
}
