"""The species task: excitatory (spiny) or inhibitory (aspiny) neurons across mouse and human, by DANN and alignment."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from tyro.conf import arg

from spiketype.datasets import allen
from spiketype.edge import UserError, progress
from spiketype.models.dann import ACTIVATIONS, DANN
from spiketype.train.judging.nested import MODELS
from spiketype.train.task import Experiment, Task
from spiketype.train.tasks.species import judge as species_judge
from spiketype.train.tasks.species import new as species_new
from spiketype.train.tasks.species.baselines import trained_rows
from spiketype.train.tasks.species.cells import (
    CLASSES,
    FOLDS,
    Domains,
    Labels,
    parts,
    usable,
)
from spiketype.train.tasks.species.networks import (
    METHODS,
    Member,
    make_problem,
    own,
)
from spiketype.train.tasks.species.offered import AlignedSvc
from spiketype.train.tasks.species.trained import Trained


@dataclass(frozen=True)
class SpeciesConfig:
    """Train networks and support vectors that name spiny and aspiny cells of mouse and human, and judge them."""

    task: Literal["species"] = "species"
    """Spiny (excitatory) or aspiny (inhibitory)."""
    data: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of mouse_ephys_data.csv, human_ephys_data.csv and cell_types_specimen_details.csv; by default
    $SPIKETYPE_DATA/allen."""
    features: Literal[27, 41] = 41
    """All 41, or the 27 of the database alone, which more cells have."""
    labels: Labels = "mouse-to-human"
    """Whose labels are trained on and who is tested: human cells with mouse labels alone; mouse cells of other donors;
    human cells of other donors with both species' labels."""
    folds: int = 0
    """Number of folds, donors apart; 0 means 1 for mouse-to-human (adapt to the unlabelled cells that are tested), 5
    for mouse, 10 for both."""
    repeats: int = 1
    """How often the donors are divided anew."""
    incomplete: Literal["impute", "drop"] = "impute"
    """What to do with cells that lack a feature: medians of their species' training cells, or leave them out."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Networks, each species in its own scale: plain; aligned (mouse weighted to the human class frequencies); dann;
    corrected (aligned DANN)."""
    baselines: tuple[str, ...] = tuple(MODELS)
    """What to compare with, hyperparameters chosen by inner folds of the training part."""
    hidden: tuple[int, ...] = (64, 32)
    """Widths of the feature extractor."""
    activation: str = "relu"
    """Of its layers: sigmoid, selu or relu."""
    norm: bool = False
    """Batch normalisation before each layer."""
    dropout: float = 0.2
    """Share of the learned features that a training step leaves out."""
    schedule: Literal["ganin", "constant"] = "ganin"
    """How the weight of the turned gradient grows: 2 / (1 + exp(-10 p)) - 1 at training progress p, or not at all."""
    adversary: float = 1.0
    """Weight of the turned gradient (at the end of the schedule)."""
    l2: float = 1e-3
    """Weight of the sum of squared weights in the loss."""
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    """sgd has momentum 0.9 and the falling step size of Ganin et al. 2016."""
    learning_rate: float = 1e-3
    """Step size of the features and the class head."""
    domain_learning_rate: float = 1e-3
    """Step size of the domain head."""
    batch_size: int = 128
    """Cells in a batch, half of them mouse and half human."""
    steps: int = 2000
    """Training steps."""
    certain: float = 0.8
    """Probability of the likelier class below which no call is made."""
    seed: int = 0
    """Seed of the split and of the initial weights."""
    seeds: int = 2
    """Number of trainings of every network on every fold, averaged."""

    def __post_init__(self) -> None:
        least_of = {"folds": 0, "repeats": 1, "steps": 1, "seeds": 1, "seed": 0, "batch_size": 2}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}: it must be at least {least}")
        if self.batch_size % 2:
            raise UserError(f"--batch-size is {self.batch_size}: it must be even, half mouse and half human")
        if self.folds == 1 and self.labels != "mouse-to-human":
            raise UserError(f"--folds is 1: --labels {self.labels} tests on donors held out, give at least 2")
        for name in ("learning_rate", "domain_learning_rate"):
            if not getattr(self, name) > 0:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}: it must be positive")
        for name in ("adversary", "l2"):
            if not getattr(self, name) >= 0:
                raise UserError(f"--{name} is {getattr(self, name)}: it must not be negative")
        if not 0.5 <= self.certain < 1 or not 0 <= self.dropout < 1:
            raise UserError("--certain must be at least 0.5 and below 1, --dropout at least 0 and below 1")
        for name, valid in (("methods", METHODS), ("baselines", MODELS), ("activation", ACTIVATIONS)):
            given = getattr(self, name)
            if wrong := [v for v in (given if isinstance(given, tuple) else (given,)) if v not in valid]:
                raise UserError(f"--{name}: {wrong[0]!r} is unknown, choose of {', '.join(valid)}")
        if not self.methods:
            raise UserError(f"--methods is empty: choose of {', '.join(METHODS)}")

    @property
    def fold_count(self) -> int:
        """The number of folds of a repeat."""
        return self.folds or FOLDS[self.labels]


PRESETS: dict[str, dict[str, Any]] = {
    # Ophir et al. 2024 (dann_dendrite_type.py): constant weight, RMSprop, L2; they stop early, which takes labels.
    "paper": {
        "methods": ("plain", "dann"), "incomplete": "drop", "hidden": (128, 64, 32), "activation": "selu",
        "norm": True, "dropout": 0.0, "schedule": "constant", "adversary": 0.8827, "l2": 0.01236,
        "optimizer": "rmsprop", "learning_rate": 0.00603, "domain_learning_rate": 0.00603, "batch_size": 64,
    },
    # Ganin et al. 2016, section 5.1: one sigmoid layer.
    "shallow": {
        "hidden": (100,), "activation": "sigmoid", "dropout": 0.0, "optimizer": "sgd", "learning_rate": 0.1,
        "domain_learning_rate": 0.1, "l2": 0.0,
    },
}  # fmt: skip


def network(config: SpeciesConfig) -> DANN:
    """The network of every member."""
    return DANN(config.hidden, config.activation, config.norm, len(CLASSES), 2, config.dropout)


def prepare(config: SpeciesConfig) -> Experiment:
    """Load the cells, divide them, fit the support vectors, and set up a member for every part, seed and method."""
    table = usable(allen.load(allen.find(config.data), config.features), config.incomplete)
    folds = parts(table, config.labels, config.fold_count, config.repeats, config.seed)
    domains = [Domains.of(table, part) for part in folds]
    with progress() as bar:
        each = bar.track(folds, description="support vectors")
        aligned = [AlignedSvc.fit(table, part, config.labels, config.seed) for part in each]
        human = aligned
        if config.labels == "mouse":  # whose support vectors know no human cell, but networks adapt to them
            again = bar.track(folds, description="human class frequencies")
            human = [AlignedSvc.fit(table, part, "mouse-to-human", config.seed) for part in again]
    seeds = range(config.seed, config.seed + config.seeds)
    members = [Member(p, s, m) for p in range(len(folds)) for s in seeds for m in config.methods]
    priors = [human[m.part].prior[-1] if METHODS[m.method][1] else domains[m.part].rate for m in members]
    each_own = [
        own(table, folds[m.part], domains[m.part], m.method, prior) for m, prior in zip(members, priors, strict=True)
    ]
    data = (jnp.asarray(table.spiny), jax.tree.map(lambda *rows: np.stack(rows), *each_own))
    net = network(config)
    about = {
        "classes": list(CLASSES),
        "features": list(table.feature_names),
        "members": [m._asdict() for m in members],
        "priors": [prior.tolist() for prior in priors],
        "domains": [d.to_json() for d in domains],
        "offered": species_new.offered(table, config, aligned).to_json(),
        "adapted": sorted({int(i) for p in folds for i in table.specimen_id[p.human]}),
        "donors": sorted({table.donor_names[d] for p in folds for d in table.donor[trained_rows(p)]}),
    }
    key_of = {s: jax.random.key(np.uint32(s)) for s in seeds}
    return Experiment(
        problem=make_problem(config, net, table.x.shape[1]),
        names=tuple(m.name for m in members),
        keys=jnp.stack([jax.random.fold_in(key_of[m.seed], np.uint32(m.part)) for m in members]),
        data=lambda step: data,
        batch=config.batch_size,
        about=about,
        judge=partial(species_judge.judge, config, net, table, folds, aligned, about),
    )


def evaluate(config: SpeciesConfig, about: dict[str, Any], variables: Any, data: Path, folder: Path) -> Any:
    """The judgement of the model offered and of the networks on the labelled cells of another folder of tables."""
    return species_new.evaluate(config, Trained(network(config), about, variables), data)


def predict(config: SpeciesConfig, about: dict[str, Any], variables: Any, data: Path) -> dict[str, Any]:
    """The call of every cell of a table, by the model offered."""
    return species_new.predict(config, about, data)


TASKS = {"species": Task(SpeciesConfig, PRESETS, prepare, evaluate, predict, species_judge.species_table)}
