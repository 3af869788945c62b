"""The three tasks on EAP stores: excitatory or inhibitory, m-type, soma position. Their options, data and problem."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tyro.conf import arg

from spiketype.datasets import (
    batches,
    eap,
    splits,
    store,
)
from spiketype.edge import UserError, cache_dir
from spiketype.models.augment import quarter_turns
from spiketype.models.cnn import CNN, Size
from spiketype.models.losses import cross_entropy, squared_error
from spiketype.simulator.eap.config import EapConfig, Rotation
from spiketype.train.judging.report import cell_table, location_table
from spiketype.train.loop import Problem
from spiketype.train.task import Experiment, Task
from spiketype.train.tasks.eap import judge as eap_judge
from spiketype.train.tasks.eap.judge import LENGTH_UM

PIECE = 200  # samples whose activations stay in a core's cache: faster on a CPU than a large batch at once
TURNABLE = ("xrot", "3drot")  # sets whose distribution a quarter turn of the array leaves as it is


@dataclass(frozen=True)
class EapTaskConfig:
    """Train and judge a network on simulated extracellular action potentials; what is missing is simulated first."""

    task: Literal["binary", "mtype", "location"] = "mtype"
    """Excitatory or inhibitory; m-type; or soma position in um."""
    rotation: Rotation = "3drot"
    """How the simulated cells are turned before the array."""
    features: eap.Features = "aw"
    """Inputs: images of amplitude and width (aw), half width and width (fw), all three (afw), or the waveform."""
    split: Literal["auto", "random", "kfold", "group", "leave-one-out", "lists"] = "auto"
    """What is held out. auto: cell models (group) where every class has two or more, else random samples."""
    folds: int = 4
    """Number of folds of --split kfold and group."""
    lists: Annotated[Path | None, arg(metavar="FILE")] = None
    """JSON file {"train": [...], "test": [...]} of cell models or sample numbers, for --split lists."""
    per_cell: int = 1000
    """Samples of each cell model in the store that is simulated."""
    store_seed: int = 1
    """Seed of the store that is simulated. The defaults of training were chosen on seed 0: 1 is data they never saw."""
    noise_uV: Annotated[float, arg(name="noise-uv")] = 0.0
    """Standard deviation (uV) of the white noise that the simulated recordings have."""
    probe: str = "mea10x10"
    """Probe of the simulated recordings; the network needs a regular grid."""
    cell_models: tuple[str, ...] = ("bbp",)
    """Cell models: bbp (the 13 of layer 5 in the MEArec package) and/or folders of the same layout."""
    store: Annotated[Path | None, arg(metavar="STORE")] = None
    """An EAP store to use instead of simulating one."""
    network: Size = "l"
    """Size of the network; l is the published one."""
    steps: int = 2000
    """Training steps."""
    batch: int = 250
    """Samples in a step."""
    learning_rate: float = 4e-3
    """Adam's step size, the largest of the schedule."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate over the steps: up in the first twentieth and down to zero along a cosine, or constant."""
    dropout: float = 0.3
    """Share of the dense layer's numbers that a training step sets to zero."""
    balanced: bool = True
    """Draw every class equally often."""
    scaled: bool = True
    """Amplitudes and widths on logarithmic scales; else uV and ms."""
    turns: bool = True
    """Turn training samples by random quarter turns of the array, where the rotation set is invariant to that."""
    seed: int = 0
    """Seed of the split, the initial weights and the batches."""
    seeds: int = 1
    """Number of trainings, with seeds from --seed on, all at once."""

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("seeds", 1), ("per_cell", 1), ("folds", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}: it must be at least {least}")
        if self.seed + self.seeds > 2**32:
            raise UserError(f"--seed is {self.seed}: seeds must be below 2**32")
        if not 0 <= self.dropout < 1:
            raise UserError(f"--dropout is {self.dropout}: it must be at least 0 and below 1")
        if not self.learning_rate > 0:
            raise UserError(f"--learning-rate is {self.learning_rate}: it must be positive")
        if self.split == "lists" and self.lists is None:
            raise UserError("--split lists needs --lists FILE")


# Buccino et al. 2018, II.D: 5000 steps of 1000 samples, Adam with 5e-4, dropout 0.7, 10 % of each cell held out.
PAPER = {
    "split": "random",
    "steps": 5000,
    "batch": 1000,
    "learning_rate": 5e-4,
    "schedule": "constant",
    "dropout": 0.7,
    "balanced": False,
    "scaled": False,
    "turns": False,
}


def find_store(config: EapTaskConfig) -> Path:
    """The store that a run uses: the one given, or the one of its options in the cache, simulated where missing."""
    if config.store is not None:
        return config.store
    wanted = EapConfig(
        rotation=config.rotation,
        per_cell=config.per_cell,
        seed=config.store_seed,
        noise_uV=config.noise_uV,
        probe=config.probe,
        cell_models=config.cell_models,
    )
    # Imported here: training on a store that exists needs neither NEURON nor cell models.
    from spiketype.simulator.eap.generate import generate

    digest = hashlib.sha256(json.dumps(asdict(wanted), sort_keys=True).encode()).hexdigest()[:16]
    return generate(wanted, cache_dir() / "eap" / f"{config.rotation}-{config.per_cell}-{digest}.zarr")


def labels(task: str, table: eap.EapTable) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Class of each sample (sample,) int32 and the names of the classes; None for positions."""
    if task == "location":
        return None, ()
    if task == "binary":
        return table.excitatory.astype(np.int32), ("inhibitory", "excitatory")
    return table.m_type, table.m_type_names


def make_problem(
    config: EapTaskConfig, net: CNN, shape: tuple[int, ...], turns: bool, in_memory: bool = True
) -> Problem:
    """Network, batches, loss and optimizer, for inputs of `shape` (row, column, image).

    Shared data are inputs and targets of all samples and own ones a batches.Plan; or, where the inputs are on disk,
    shared data are nothing and own ones the batch of the step.
    """

    def init(key: jax.Array) -> Any:
        return net.init(key, jnp.zeros((1, *shape)))["params"], {}

    def draw(shared: Any, own: Any, key: jax.Array) -> Any:
        index_key, turn_key = jax.random.split(key)
        if in_memory:
            index = batches.draw(own, index_key, config.batch)
            x, y = shared[0][index], shared[1][index]
        else:
            x, y = own
        return quarter_turns(turn_key, x, y) if turns else (x, y)

    def loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        x, y = batch
        out = jnp.asarray(net.apply({"params": params}, x, train=True, rngs={"dropout": key}))
        value, metrics = squared_error(out, y) if config.task == "location" else cross_entropy(out, y)
        return value, (state, metrics)

    return Problem(init, draw, loss, optax.adam(learning_rate(config)), PIECE)


def learning_rate(config: EapTaskConfig) -> float | optax.Schedule:
    """Step size over the steps."""
    if config.schedule == "constant":
        return config.learning_rate
    return optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, config.steps // 20, config.steps)


def prepare(config: EapTaskConfig) -> Experiment:
    """Load (or simulate) the samples, split them, and set up one member for every seed and fold."""
    path = find_store(config)
    table = eap.load(path)
    label, classes = labels(config.task, table)
    kind = splits.default_kind(label, table.cell) if config.split == "auto" else config.split
    split = splits.make(kind, label, table.cell, table.cell_names, config.folds, config.seed, lists=config.lists)
    members = [(s, f) for s in range(config.seed, config.seed + config.seeds) for f in range(len(split.folds))]
    inputs, net = (
        eap.Inputs(path, config.features, config.scaled),
        CNN(len(classes) or 3, config.network, config.dropout),
    )
    target = table.position_um / np.float32(LENGTH_UM) if label is None else label
    in_class = np.zeros(len(target), np.int32) if label is None else label
    turns = config.turns and turnable(path)
    about = {
        "classes": list(classes),
        "grid": list(inputs.shape[1:3]),
        "images_in_a_sample": inputs.shape[3],
        "store_config": store.attributes(path, "eap")["config"],
        "split": split.kind,
        "optimistic": split.optimistic,
        "members": [{"seed": s, **_part(table, split.folds[f])} for s, f in members],
    }
    return Experiment(
        problem=make_problem(config, net, inputs.shape[1:], turns, inputs.whole is not None),
        names=tuple(f"seed {s}, {split.folds[f].name}" for s, f in members),
        keys=jnp.stack([jax.random.fold_in(jax.random.key(np.uint32(s)), np.uint32(f)) for s, f in members]),
        data=_data(config, split, members, inputs, target, in_class),
        batch=PIECE if config.batch % PIECE == 0 else config.batch,
        about=about,
        judge=partial(eap_judge.judge, config, net, table, inputs, label, classes, split, members),
    )


def _data(
    config: EapTaskConfig,
    split: splits.Split,
    members: Sequence[tuple[int, int]],
    inputs: eap.Inputs,
    target: np.ndarray,
    in_class: np.ndarray,
) -> Callable[[int], tuple[Any, Any]]:
    """What the loop asks for at every step: all samples and the members' plans, or batches read ahead from disk."""
    if inputs.whole is not None:
        longest = max(len(fold.train) for fold in split.folds)
        plans = [batches.plan(fold.train, in_class, config.balanced, longest) for fold in split.folds]
        own = jax.tree.map(lambda *rows: jnp.stack(rows), *(plans[f] for _, f in members))
        shared = (jnp.asarray(inputs.whole), jnp.asarray(target))
        return lambda step: (shared, own)
    streams: list[Iterator[tuple[np.ndarray, np.ndarray]]] = []

    def read(step: int) -> tuple[Any, Any]:
        if not streams:
            trained = ((split.folds[f].train, config.batch, s * len(split.folds) + f) for s, f in members)
            streams.extend(inputs.stream(*part, step - 1) for part in trained)
        sample, x = zip(*map(next, streams), strict=True)
        return (), (np.stack(x), target[np.stack(sample)])

    return read


def _part(table: eap.EapTable, fold: splits.Fold) -> dict[str, Any]:
    """What a member was trained on: names of the cell models, and the mean position, which is a baseline."""
    cells = [table.cell_names[c] for c in np.unique(table.cell[fold.train])]
    return {
        "fold": fold.name,
        "trained_on": cells,
        "mean_um": table.position_um[fold.train].mean(axis=0).tolist(),
    }


def turnable(path: Path) -> bool:
    """Whether quarter turns of the array leave the distribution of a store as it is: its cells, box and contacts."""
    made, contact_um = store.config(store.attributes(path, "eap")), store.read(path, "contact_um")
    square = np.allclose(np.unique(contact_um[:, 1].round(2)), np.unique(contact_um[:, 2].round(2)))
    (y_low, y_high), (z_low, z_high) = made["box"]["y_um"], made["box"]["z_um"]
    return made["rotation"] in TURNABLE and square and y_low == z_low == -y_high == -z_high


def evaluate(config: EapTaskConfig, about: dict[str, Any], variables: Any, data: Path, folder: Path) -> dict[str, Any]:
    """Judge on another store."""
    return eap_judge.evaluate(config, about, _network(config, about), variables, data, folder)


def predict(config: EapTaskConfig, about: dict[str, Any], variables: Any, data: Path) -> dict[str, Any]:
    """Apply to another store."""
    return eap_judge.predict(config, about, _network(config, about), variables, data)


def _network(config: EapTaskConfig, about: dict[str, Any]) -> CNN:
    return CNN(len(about["classes"]) or 3, config.network, config.dropout)


def _task(table: Any) -> Task:
    return Task(EapTaskConfig, {"paper": PAPER}, prepare, evaluate, predict, table)


TASKS = {"binary": _task(cell_table), "mtype": _task(cell_table), "location": _task(location_table)}
