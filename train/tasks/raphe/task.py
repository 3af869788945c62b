"""The raphe task: serotonergic or not, from loose-seal spikes. Its options, data and problem."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tyro.conf import arg

from spiketype.datasets import raphe, splits, store
from spiketype.datasets.raphe.table import RapheTable
from spiketype.edge import UserError, cache_dir
from spiketype.models.raphe import (
    LEAST_WIDTH,
    MOST_WIDTH,
    POINTS,
    RapheCNN,
    serotonergic_logit,
)
from spiketype.train.loop import Problem
from spiketype.train.task import Experiment, Task
from spiketype.train.tasks.raphe import batches as raphe_draw
from spiketype.train.tasks.raphe import judge as raphe_judge
from spiketype.train.tasks.raphe.report import cell_table

SPLITS = {"day": "group", "leave-one-day-out": "leave-one-out", "cell": "group", "spike": "random"}
SPIKE_TEST = 0.15  # published: 70 % of the spikes train, 15 % validate, 15 % test


@dataclass(frozen=True)
class RapheTaskConfig:
    """Train and judge a consensus of networks that say whether a cell is serotonergic from its loose-seal spikes."""

    task: Literal["raphe"] = "raphe"
    """Serotonergic or not."""
    store: Annotated[Path | None, arg(metavar="STORE")] = None
    """A store of spikes (python -m datasets.raphe extract); by default one is simulated."""
    split: Literal["day", "leave-one-day-out", "cell", "spike"] = "day"
    """What is held out: days in --folds parts, each day once, cells in --folds parts, or spikes (optimistic)."""
    folds: int = 5
    """Number of folds of --split day and cell."""
    widths: tuple[int, ...] = (20, 25, 30)
    """Kernel widths of the consensus, 1 to 31."""
    columns: Literal["current", "time-current"] = "current"
    """Input: the current, or the published two columns, time and current."""
    outputs: Literal["logit", "sigmoids"] = "logit"
    """One logit, or the published two sigmoids."""
    augment: Literal["template", "smooth", "none"] = "template"
    """Training spikes: the cell's mean or the smoothed spike (published) plus a spike-free window, or as recorded."""
    snr: tuple[float, float] | None = None
    """Scale the added windows so that trough over noise lies in this range; by default they are added as they are."""
    averaged: int = 30
    """Training spikes are as noisy as means of 1 to so many; 1: single spikes. Not with --snr."""
    balance: Literal["cell", "class", "none"] = "cell"
    """Draw classes equally often and in them every cell, or every spike; or all spikes."""
    confound: bool = False
    """Simulate days that have noise of their own, which tells the class without a spike."""
    copies: int = 1
    """How often the published 153 cells occur in the simulated store."""
    most_spikes: int = 700
    """Spikes of a cell in the simulated store, at most."""
    contrast: float = 1.0
    """Scale of the simulated class differences beyond the upstroke-downstroke interval; 0: that interval alone."""
    store_seed: int = 11
    """Seed of the simulated store. Defaults were chosen on seeds 1 to 8: from 9 on are data they never saw."""
    steps: int = 400
    """Training steps."""
    batch: int = 64
    """Spikes in a step, for each network."""
    learning_rate: float = 4e-3
    """Adam's step size, the largest of the schedule."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate over the steps: up in the first twentieth and down to zero along a cosine, or constant."""
    dropout: float = 0.2
    """Share of the numbers before the dense layer that a training step sets to zero."""
    certain: float = 0.8
    """Probability of the likelier class below which no call is made."""
    seed: int = 0
    """Seed of the split, the initial weights and the batches."""
    seeds: int = 1
    """Number of trainings of every width and fold, with seeds from --seed on, all at once."""

    def __post_init__(self) -> None:
        for name, least in (
            ("steps", 1),
            ("averaged", 1),
            ("batch", 1),
            ("seeds", 1),
            ("folds", 2),
            ("seed", 0),
            ("store_seed", 0),
        ):
            if getattr(self, name) < least:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}: it must be at least {least}")
        if self.seed + self.seeds > 2**32:
            raise UserError(f"--seed is {self.seed}: seeds must be below 2**32")
        if not self.widths or not all(LEAST_WIDTH <= width <= MOST_WIDTH for width in self.widths):
            raise UserError(f"--widths is {self.widths}: give one or more from {LEAST_WIDTH} to {MOST_WIDTH}")
        if len(set(self.widths)) < len(self.widths):
            raise UserError(f"--widths is {self.widths}: a width occurs twice; several trainings are --seeds")
        if not 0 <= self.dropout < 1:
            raise UserError(f"--dropout is {self.dropout}: it must be at least 0 and below 1")
        if not self.learning_rate > 0:
            raise UserError(f"--learning-rate is {self.learning_rate}: it must be positive")
        if not 0.5 <= self.certain < 1:
            raise UserError(f"--certain is {self.certain}: it must be at least 0.5 and below 1")
        if self.snr is not None and not 0 < self.snr[0] <= self.snr[1]:
            raise UserError(f"--snr is {self.snr}: give a smaller and a larger positive number")


# Corradetti et al. 2024: 25 epochs of 474 batches of 64 spikes, kernels 20 to 31, spikes split at random.
PAPER = {
    "split": "spike",
    "widths": tuple(range(20, 32)),
    "columns": "time-current",
    "outputs": "sigmoids",
    "augment": "none",
    "averaged": 1,
    "dropout": 0.5,
    "learning_rate": 1e-3,
    "balance": "none",
    "steps": 11_850,
    "schedule": "constant",
}
# arXiv 2407.05701: the same on smoothed spikes plus spike-free windows. Theirs saw 25 epochs of 200 stores of them.
PAPER_SYNTHETIC = PAPER | {"augment": "smooth", "balance": "class"}


def find_store(config: RapheTaskConfig) -> Path:
    """The store that a run uses: the one given, or the one of its options in the cache, simulated where missing."""
    if config.store is not None:
        return config.store
    # Imported here: training on a store that exists needs no simulator.
    from spiketype.simulator.raphe.generate import RapheConfig, generate

    wanted = RapheConfig(
        seed=config.store_seed,
        copies=config.copies,
        most_spikes=config.most_spikes,
        confound=config.confound,
        contrast=config.contrast,
    )
    digest = hashlib.sha256(json.dumps(asdict(wanted), sort_keys=True).encode()).hexdigest()[:16]
    path = cache_dir() / "raphe" / f"seed{config.store_seed}-{digest}.zarr"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path if path.exists() else generate(wanted, path)


def labelled(path: Path) -> RapheTable:
    """The spikes of a store whose cells have a label.

    Raises:
        UserError: as `datasets.raphe.load`; a class has no cell.
    """
    table = raphe.load(path)
    keep = np.flatnonzero(table.label >= 0)
    for number, name in enumerate(table.class_names):
        if not (table.label == number).any():
            raise UserError(f"{path}: no cell is labelled {name}: give --labels to python -m datasets.raphe extract")
    if len(keep) == len(table.label):
        return table
    per_sample = ("spike_pA", "label", "cell", "day", "udi_ms", "snr", "baseline_pA", "isi_ms", "time_s")
    return replace(table, **{name: getattr(table, name)[keep] for name in per_sample})


def make_split(config: RapheTaskConfig, table: RapheTable) -> splits.Split:
    """Divide the spikes by what the configuration holds out."""
    group, names, word = (
        (table.day, table.day_names, "day") if "day" in config.split else (table.cell, table.cell_names, "cell")
    )
    kind = SPLITS[config.split]
    return splits.make(kind, table.label, group, names, config.folds, config.seed, SPIKE_TEST, by=word)


def network(config: RapheTaskConfig) -> RapheCNN:
    """The network whose members are those of all widths."""
    outputs = 1 if config.outputs == "logit" else 2
    return RapheCNN(min(config.widths), max(config.widths), outputs, config.dropout)


def make_problem(config: RapheTaskConfig, net: RapheCNN) -> Problem:
    """Batches, loss and optimizer; shared and own data are those of `raphe_draw`."""
    columns = 1 if config.columns == "current" else 2

    def init(key: jax.Array) -> Any:
        return net.init(key, jnp.zeros((1, POINTS, columns)))["params"], {}

    def draw(shared: Any, own: Any, key: jax.Array) -> Any:
        spike_pA, label = raphe_draw.draw(shared, own, key, config.batch, config.augment, config.snr, config.averaged)
        # A batch has nothing but arrays of samples: the member's width goes with each.
        return raphe_draw.inputs(spike_pA, columns), label, jnp.full(config.batch, own.width)

    def loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        x, label, width = batch
        logits = jnp.asarray(net.apply({"params": params}, x, width[0], train=True, rngs={"dropout": key}))
        target = label.astype(jnp.float32)[:, None]
        target = target if net.outputs == 1 else jnp.concatenate([1.0 - target, target], axis=1)
        value = optax.sigmoid_binary_cross_entropy(logits, target).mean()
        said = serotonergic_logit(logits) > 0
        return value, (state, {"accuracy": (said == (label == 1)).astype(jnp.float32).mean()})

    rate: float | optax.Schedule = config.learning_rate
    if config.schedule == "cosine":
        rate = optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, config.steps // 20, config.steps)
    return Problem(init, draw, loss, optax.adam(rate))


def prepare(config: RapheTaskConfig) -> Experiment:
    """Load (or simulate) the spikes, split them, and set up one member for every seed, fold and kernel width."""
    path = find_store(config)
    table = labelled(path)
    split = make_split(config, table)
    members = [
        raphe_judge.Member(seed, fold, width)
        for seed in range(config.seed, config.seed + config.seeds)
        for fold in range(len(split.folds))
        for width in config.widths
    ]
    net = network(config)
    data = raphe_draw.data(table, split, members, config.augment, config.balance)
    about = {
        "classes": list(table.class_names),
        "spikes": store.config(store.attributes(path, raphe.KIND))["spikes"],
        "store_config": store.attributes(path, raphe.KIND)["config"],
        "split": config.split,
        "optimistic": split.optimistic,
        "members": [{**m._asdict(), "trained_on_days": _days(table, split.folds[m.fold])} for m in members],
    }
    return Experiment(
        problem=make_problem(config, net),
        names=tuple(f"seed {m.seed}, {split.folds[m.fold].name}, width {m.width}" for m in members),
        keys=jnp.stack([_key(m) for m in members]),
        data=lambda step: data,
        batch=config.batch,
        about=about,
        judge=partial(raphe_judge.judge, config, net, table, split, members, about),
    )


def _key(member: raphe_judge.Member) -> jax.Array:
    key = jax.random.key(np.uint32(member.seed))
    return jax.random.fold_in(jax.random.fold_in(key, np.uint32(member.fold)), np.uint32(member.width))


def _days(table: RapheTable, fold: splits.Fold) -> Sequence[str]:
    return [table.day_names[d] for d in np.unique(table.day[fold.train])]


def evaluate(config: RapheTaskConfig, about: dict[str, Any], variables: Any, data: Path, folder: Path) -> Any:
    """Judge on another store with labels."""
    if store.attributes(data, raphe.KIND)["config"] == about["store_config"]:
        raise UserError(
            f"{data} is what the run was trained on: simulate another (python -m simulator.raphe --seed 2 ...)"
        )
    return raphe_judge.evaluate(config, about, network(config), variables, labelled(data), folder)


def predict(config: RapheTaskConfig, about: dict[str, Any], variables: Any, data: Path) -> dict[str, Any]:
    """The call of every cell of a recording, a folder of them, of CSV spikes, or a store."""
    return raphe_judge.predict(config, about, network(config), variables, data)


TASKS = {
    "raphe": Task(
        RapheTaskConfig, {"paper": PAPER, "paper-synthetic": PAPER_SYNTHETIC}, prepare, evaluate, predict, cell_table
    )
}
