"""The subclass task: five transgenic subclasses of mouse neurons from whole-cell features, by LSPIN and an average."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tyro.conf import arg

from datasets import allen, splits
from datasets.allen import CLASSES, AllenTable
from datasets.edge import UserError
from models import lspin
from models.lspin import LSPIN
from train.loop import Problem
from train.tasks import Experiment, Task, subclass_judge
from train.tasks.allen_scale import Scale
from train.tasks.subclass_judge import Member, subclass_table


@dataclass(frozen=True)
class SubclassConfig:
    """Train LSPIN on features of the Allen Cell Types Database and judge it on cells of donors it has not seen."""

    task: Literal["subclass"] = "subclass"
    """Glutamatergic, Htr3a+|Vip-, Pvalb+, Sst+ or Vip+."""
    data: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of mouse_ephys_data.csv and cell_types_specimen_details.csv; by default $SPIKETYPE_DATA/allen."""
    split: Literal["donor", "cell"] = "donor"
    """What is held out: donors, or cells of known donors (optimistic)."""
    folds: int = 5
    """Number of folds; every cell is tested once in each repeat."""
    repeats: int = 2
    """How often the cells are divided anew."""
    hidden: tuple[int, ...] = (40, 20)
    """Widths of the prediction network."""
    gating: tuple[int, ...] = (50, 50, 50)
    """Widths of the gating network."""
    squash: bool = False
    """Pass the outputs through tanh, as published: probabilities then stay below 0.65."""
    sparsity: float = 0.01047
    """Weight of the mean probability that a gate is open (published: 0.01047; a sparse map needs about 1)."""
    sigma: float = 0.5
    """Standard deviation of the gates' noise in training."""
    steps: int = 1000
    """Training steps, each on all training cells."""
    learning_rate: float = 0.05996
    """Step size of gradient descent (published)."""
    certain: float = 0.8
    """Probability of the likeliest class below which no call is made."""
    seed: int = 0
    """Seed of the split and of the initial weights."""
    seeds: int = 2
    """Number of trainings of every fold, averaged."""

    def __post_init__(self) -> None:
        least_of = {"folds": 2, "repeats": 1, "steps": 1, "seeds": 1, "seed": 0}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise UserError(f"--{name} is {getattr(self, name)}: it must be at least {least}")
        for name in ("sigma", "learning_rate"):
            if not getattr(self, name) > 0:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}: it must be positive")
        if not self.sparsity >= 0:
            raise UserError(f"--sparsity is {self.sparsity}: it must not be negative")
        if not 1 / len(CLASSES) <= self.certain < 1:
            raise UserError(f"--certain is {self.certain}: it must be at least 0.2 and below 1")


# Ophir et al. 2024: random split, tanh on the outputs. Their training part was 884 of 1382 complete cells.
PAPER = {"split": "cell", "squash": True, "repeats": 1}


class Own(NamedTuple):
    """What a member sees: all cells in the scale of its training part (cell, feature), which of them train (cell,)."""

    x: Any
    weight: Any


def network(config: SubclassConfig) -> LSPIN:
    """The network of every member."""
    return LSPIN(len(CLASSES), config.hidden, config.gating, squash=config.squash, sigma=config.sigma)


def make_problem(config: SubclassConfig, net: LSPIN, size: int) -> Problem:
    """Full batches: shared data are the labels, own ones `Own`."""

    def init(key: jax.Array) -> Any:
        variables = net.init({"params": key}, jnp.zeros((1, size)))
        return variables["params"], {"batch_stats": variables["batch_stats"]}

    def draw(shared: Any, own: Any, key: jax.Array) -> Any:
        return own.x, shared, own.weight

    def loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        x, y, weight = batch
        said: Any = net.apply({"params": params, **state}, x, True, weight, rngs={"gate": key}, mutable="batch_stats")
        (logits, alpha, _), new = said
        share = weight / weight.sum()
        entropy = share @ optax.softmax_cross_entropy_with_integer_labels(logits, y)
        closed = lspin.sparsity(alpha, config.sigma, weight)
        right = share @ (logits.argmax(axis=1) == y).astype(jnp.float32)
        return entropy + config.sparsity * closed, (new, {"accuracy": right, "open": closed})

    return Problem(init, draw, loss, optax.sgd(config.learning_rate))


def mouse(config: SubclassConfig) -> AllenTable:
    """The cells with a subclass.

    Raises:
        UserError: there are none.
    """
    table = allen.load(allen.find(config.data))
    if not (table.subclass >= 0).any():
        raise UserError(f"{table.source} has no mouse_ephys_data.csv, whose cells have subclasses")
    return table.take(table.subclass >= 0)


def make_folds(config: SubclassConfig, table: AllenTable) -> tuple[list[splits.Fold], bool]:
    """The folds of all repeats, and whether they are optimistic."""
    kind = "group" if config.split == "donor" else "kfold"
    names = table.donor_names
    found = [
        splits.make(kind, table.subclass, table.donor, names, config.folds, config.seed + r, by="donor")
        for r in range(config.repeats)
    ]
    return [fold for split in found for fold in split.folds], found[0].optimistic


def prepare(config: SubclassConfig) -> Experiment:
    """Load the cells, divide them, and set up a member for every repeat, fold and seed."""
    table = mouse(config)
    folds, optimistic = make_folds(config, table)
    members = [Member(f, s) for f in range(len(folds)) for s in range(config.seed, config.seed + config.seeds)]
    scales = [Scale.of(table.x[fold.train]) for fold in folds]
    net = network(config)
    about = {
        "classes": list(CLASSES),
        "features": list(table.feature_names),
        "split": config.split,
        "optimistic": optimistic,
        "members": [m._asdict() for m in members],
        "scales": [scale.to_json() for scale in scales],
    }
    own = _own(table, folds, scales, members)
    data = (jnp.asarray(table.subclass), own)
    return Experiment(
        problem=make_problem(config, net, table.x.shape[1]),
        names=tuple(f"seed {m.seed}, fold {m.fold}" for m in members),
        keys=jnp.stack([jax.random.fold_in(jax.random.key(np.uint32(m.seed)), np.uint32(m.fold)) for m in members]),
        data=lambda step: data,
        batch=len(table.x),
        about=about,
        judge=partial(subclass_judge.judge, config, net, table, folds, scales, members, about),
    )


def _own(table: AllenTable, folds: Sequence[splits.Fold], scales: Sequence[Scale], members: Sequence[Member]) -> Own:
    weight = np.zeros((len(folds), len(table.x)), np.float32)
    for row, fold in zip(weight, folds, strict=True):
        row[fold.train] = 1
    x = np.stack([scale.apply(table.x) for scale in scales])
    of_member = np.array([m.fold for m in members])
    return Own(jnp.asarray(x[of_member]), jnp.asarray(weight[of_member]))


def evaluate(config: SubclassConfig, about: dict[str, Any], variables: Any, data: Path, folder: Path) -> Any:
    """Refused: the database is one data set, and a run has judged itself on all of it."""
    raise UserError("a subclass run is judged on every cell when it is trained: see summary.json, or use train.predict")


def predict(config: SubclassConfig, about: dict[str, Any], variables: Any, data: Path) -> dict[str, Any]:
    """The call of every cell of a table."""
    return subclass_judge.predict(config, about, network(config), variables, data)


TASKS = {"subclass": Task(SubclassConfig, {"paper": PAPER}, prepare, evaluate, predict, subclass_table)}
