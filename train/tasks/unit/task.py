"""The unit task: the type of a unit (excitatory, a transgenic class, any label) from its extracellular waveform."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tyro.conf import arg

from spiketype.datasets import batches
from spiketype.datasets.batches import Plan
from spiketype.datasets.waveforms.inputs import Normalise
from spiketype.edge import UserError
from spiketype.models.losses import cross_entropy
from spiketype.models.unit_nets import Kind, UnitNet
from spiketype.train import loop
from spiketype.train.judging.scale import Scale
from spiketype.train.loop import Problem
from spiketype.train.task import Experiment, Task
from spiketype.train.tasks.unit import data as unit_data
from spiketype.train.tasks.unit import judge as unit_judge
from spiketype.train.tasks.unit.data import UnitData
from spiketype.train.tasks.unit.judge import Member
from spiketype.train.tasks.unit.report import unit_table

# Of fine-tuning: its step size over that of training, and its rows of the new animal over all others. Classes are drawn
# alike, and the other animals stay in, or a few units would be learned by heart.
GENTLE, SHARE = 0.1, 0.1


@dataclass(frozen=True)
class UnitConfig:
    """Train networks to name the type of sorted units, and judge them on animals or units they have not seen."""

    task: Literal["unit"] = "unit"
    """Any label of units or spikes."""
    data: Annotated[Path | None, arg(metavar="PATH")] = None
    """Waveforms: .npz, Zarr, int16 streams, hc-3 sessions, EAP stores, templates of a phy or SpikeInterface folder."""
    label: str | None = None
    """Column of the classes; by default the source's own."""
    rate_kHz: Annotated[float | None, arg(name="rate-khz")] = None
    """Sampling rate of the data, if they do not say it."""
    network: Kind = "dense"
    """Fully connected, convolutional over channels and time, or recurrent along time."""
    channels: Literal["all", "largest"] = "all"
    """Channels to see: all, or the one with the largest amplitude."""
    window_ms: tuple[float, float] | None = None
    """Time to see before and after the trough; by default waveforms are taken as they are."""
    normalise: Normalise = "zscore"
    """Standardise each waveform, divide it by its largest channel's amplitude, or neither."""
    histograms: bool = True
    """See the histograms of intervals and the autocorrelogram, too, where the data have them."""
    split: Literal["animal", "unit", "spike"] | None = None
    """What is held out; by default animals if there are several, else units. Spikes at random are optimistic."""
    folds: int = 5
    """Number of folds; with --finetune every animal is one."""
    repeats: int = 1
    """How often the data are divided anew."""
    finetune: int = 0
    """Train on with so many labelled units of the animal that is tested, and test on its others."""
    finetune_steps: int = 200
    """Steps of --finetune."""
    width: int = 64
    """Width of the layer before the output; the others follow."""
    dropout: float = 0.3
    """Share of the numbers before the last layers that a training step sets to zero."""
    shift: int = 1
    """Training waveforms are moved by up to so many samples."""
    noise: float = 0.05
    """Standard deviation of noise on training waveforms, in their (normalised) units."""
    decay: float = 1e-4
    """Weight of the sum of squared weights in the loss."""
    steps: int = 800
    """Training steps."""
    batch: int = 64
    """Rows in a step, of every class alike."""
    learning_rate: float = 3e-3
    """Adam's largest step size; it falls to zero along a cosine."""
    seed: int = 0
    """Seed of the splits, the initial weights and the batches."""
    seeds: int = 3
    """Number of trainings of every fold, averaged."""

    def __post_init__(self) -> None:
        least_of = {"folds": 2, "repeats": 1, "finetune": 0, "finetune_steps": 1, "width": 4, "shift": 0, "noise": 0}
        least_of |= {"decay": 0, "steps": 1, "batch": 1, "seeds": 1, "seed": 0}
        for name, least in least_of.items():
            if not getattr(self, name) >= least:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}: it must be at least {least}")
        if not self.learning_rate > 0:
            raise UserError(f"--learning-rate is {self.learning_rate}: it must be positive")
        if not 0 <= self.dropout < 1:
            raise UserError(f"--dropout is {self.dropout}: it must be at least 0 and below 1")
        if self.finetune and (self.repeats > 1 or self.split not in (None, "animal")):
            raise UserError("--finetune is about the animal that is held out: leave out --split and --repeats")


class Own(NamedTuple):
    """What a member sees of the data: the rows it trains on, and their mean and standard deviation (feature,)."""

    plan: Plan
    mean: Any
    sd: Any


def network(config: UnitConfig, classes: int) -> UnitNet:
    """The network of every member."""
    return UnitNet(classes, config.network, config.width, config.dropout)


def make_problem(config: UnitConfig, net: UnitNet, shape: tuple[int, int], features: int, steps: int) -> Problem:
    """Batches of augmented rows; shared data are (x, label), own ones `Own`."""

    def init(key: jax.Array) -> Any:
        points = shape[0] * shape[1]
        return net.init(key, jnp.zeros((1, *shape)), jnp.zeros((1, features - points)))["params"], {}

    def draw(shared: Any, own: Own, key: jax.Array) -> Any:
        row_key, change_key = jax.random.split(key)
        row = batches.draw(own.plan, row_key, config.batch)
        x = augment(config, shared[0][row], shape, change_key)
        return (x - own.mean[None]) / own.sd[None], shared[1][row]

    def loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        logits = unit_judge.apply(net, {"params": params}, batch[0], shape, train=True, rngs={"dropout": key})
        value, metrics = cross_entropy(logits, batch[1])
        squares = sum(jnp.sum(w**2) for w in jax.tree.leaves(params) if w.ndim > 1)
        return value + config.decay * squares, (state, metrics)

    return Problem(init, draw, loss, optax.adam(optax.cosine_decay_schedule(config.learning_rate, steps)))


def augment(config: UnitConfig, x: jax.Array, shape: tuple[int, int], key: jax.Array) -> jax.Array:
    """Rows x (row, feature) whose waveforms are moved in time, their ends held, and made noisier."""
    points = shape[0] * shape[1]
    shift_key, noise_key = jax.random.split(key)
    wave = x[:, :points].reshape(-1, *shape)
    by = jax.random.randint(shift_key, (len(x), 1), -config.shift, config.shift + 1)
    time = jnp.clip(jnp.arange(shape[1])[None] + by, 0, shape[1] - 1)
    moved = jnp.take_along_axis(wave, time[:, None, :], axis=2)
    moved = moved + config.noise * jax.random.normal(noise_key, moved.shape)
    return jnp.concatenate([moved.reshape(len(x), -1), x[:, points:]], axis=1)


def prepare(config: UnitConfig) -> Experiment:
    """Load the waveforms, divide them, and set up a member for every repeat, fold and seed."""
    if config.data is None:
        raise UserError("--data is missing: give a file or folder of waveforms")
    data = unit_data.prepare(config)
    members = [Member(f, s) for f in range(len(data.folds)) for s in range(config.seed, config.seed + config.seeds)]
    scales = [Scale.of(data.x[fold.train]) for fold in data.folds]
    net = network(config, len(data.table.class_names))
    about = {
        "classes": list(data.table.class_names),
        "shape": list(data.shape),
        "features": data.x.shape[1],
        "rate_kHz": data.table.rate_kHz,
        "split": data.split,
        "optimistic": data.optimistic,
        "trained_on": unit_data.digest(data.table),
        "members": [m._asdict() for m in members],
        "scales": [scale.to_json() for scale in scales],
    }
    shared = (jnp.asarray(data.x), jnp.asarray(data.table.label))
    own = stack([fold.train for fold in data.folds], data, scales, members)
    return Experiment(
        problem=make_problem(config, net, data.shape, data.x.shape[1], config.steps),
        names=tuple(f"seed {m.seed}, {data.folds[m.fold].name}" for m in members),
        keys=member_keys(members),
        data=lambda step: (shared, own),
        batch=config.batch,
        about=about,
        judge=partial(
            unit_judge.judge, config, net, data, scales, members, about, partial(finetune, config, net, data, scales)
        ),
    )


def member_keys(members: Sequence[Member]) -> jax.Array:
    """A key for every member."""
    return jnp.stack([jax.random.fold_in(jax.random.key(np.uint32(m.seed)), np.uint32(m.fold)) for m in members])


def stack(parts: Sequence[np.ndarray], data: UnitData, scales: Sequence[Scale], members: Sequence[Member]) -> Own:
    """The own data of all members, whose folds train on the rows `parts`."""
    longest = max(map(len, parts))
    plans = [batches.plan(rows, data.table.label, True, longest) for rows in parts]
    owns = [Own(plan, np.float32(scale.mean), np.float32(scale.sd)) for plan, scale in zip(plans, scales, strict=True)]
    return jax.tree.map(lambda *rows: jnp.stack(rows), *(owns[m.fold] for m in members))


def finetune(
    config: UnitConfig,
    net: UnitNet,
    data: UnitData,
    scales: Sequence[Scale],
    members: Sequence[Member],
    variables: Any,
) -> Any:
    """The variables after a second phase of the loop, on the labelled units of each fold's animal, with small steps."""
    assert data.adapt is not None
    gentle = replace(config, learning_rate=config.learning_rate * GENTLE)
    problem = make_problem(gentle, net, data.shape, data.x.shape[1], config.finetune_steps)
    keys = jax.vmap(lambda key: jax.random.fold_in(key, np.uint32(1)))(member_keys(members))
    mesh = loop.member_mesh(len(members), config.batch)
    # Copied, because the loop reuses the memory of what it begins with.
    begin = loop.start(problem, keys, mesh)._replace(params=jax.tree.map(jnp.copy, variables["params"]))
    parts = [
        np.r_[fold.train, np.resize(new, round(SHARE * len(fold.train)))]
        for fold, new in zip(data.folds, data.adapt, strict=True)
    ]
    own = stack(parts, data, scales, members)
    shared = (jnp.asarray(data.x), jnp.asarray(data.table.label))
    names = [f"seed {m.seed}, {data.folds[m.fold].name}" for m in members]
    return loop.fit(
        problem, keys, lambda step: (shared, own), config.finetune_steps, mesh, names, begin=(0, begin)
    ).variables


def evaluate(config: UnitConfig, about: dict[str, Any], variables: Any, data: Path, folder: Path) -> Any:
    """Judge on other labelled waveforms."""
    return unit_judge.evaluate(config, about, network(config, len(about["classes"])), variables, data, folder)


def predict(config: UnitConfig, about: dict[str, Any], variables: Any, data: Path) -> dict[str, Any]:
    """The call of every unit."""
    return unit_judge.predict(config, about, network(config, len(about["classes"])), variables, data)


TASKS = {"unit": Task(UnitConfig, {}, prepare, evaluate, predict, unit_table)}
