"""Options of the species task, and the ways in which its networks are trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import tyro
from tyro.conf import arg

from spiketype.datasets.options import SpeciesLabels
from spiketype.edge import UserError
from spiketype.models.options import CLASSIFIERS
from spiketype.train.config import TaskOptions, check_among, check_least, check_positive, check_seeds, check_share

FOLDS: dict[SpeciesLabels, int] = {"mouse-to-human": 1, "mouse": 5, "both": 10}


class Method(NamedTuple):
    """A way to train the network.

    Attributes:
        title: what tables call it.
        adversarial: the features unlearn the domain: the gradient of the domain head is turned.
        weighted: mouse cells are weighted to the human class frequencies.
    """

    title: str
    adversarial: bool
    weighted: bool


METHODS = {
    "plain": Method("network", False, False),
    "aligned": Method("aligned network", False, True),
    "dann": Method("DANN", True, False),
    "corrected": Method("aligned DANN", True, True),
}


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
    labels: SpeciesLabels = "mouse-to-human"
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
    baselines: tuple[str, ...] = CLASSIFIERS
    """What to compare with, hyperparameters chosen by inner folds of the training part."""
    hidden: tuple[int, ...] = (64, 32)
    """Widths of the feature extractor."""
    activation: Literal["sigmoid", "selu", "relu"] = "relu"
    """Of its layers."""
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
    species: Annotated[Literal["mouse", "human"] | None, tyro.conf.Suppress, tyro.conf.Fixed] = None
    """Of all cells of a new table without a column of that name (train.predict); nothing to be asked of a training."""
    certain: float = 0.8
    """Probability of the likelier class below which no call is made."""
    seed: int = 0
    """Seed of the split and of the initial weights."""
    seeds: int = 2
    """Number of trainings of every network on every fold, averaged."""

    def __post_init__(self) -> None:
        check_least(self, folds=0, repeats=1, steps=1, batch_size=2, adversary=0, l2=0)
        check_seeds(self.seed, self.seeds)
        check_positive(self, "learning_rate", "domain_learning_rate")
        check_share(self, certain=0.5, dropout=0)
        check_among("--methods", self.methods, tuple(METHODS))
        check_among("--baselines", self.baselines, CLASSIFIERS)
        if self.batch_size % 2:
            raise UserError(f"--batch-size is {self.batch_size}: it must be even, half mouse and half human")
        if self.folds == 1 and self.labels != "mouse-to-human":
            raise UserError(f"--folds is 1: --labels {self.labels} tests on donors held out, give at least 2")
        if not self.methods:
            raise UserError(f"--methods is empty: choose of {', '.join(METHODS)}")

    @property
    def fold_count(self) -> int:
        """The number of folds of a repeat."""
        return self.folds or FOLDS[self.labels]


PRESETS: dict[str, Mapping[str, object]] = {
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
OPTIONS = TaskOptions(SpeciesConfig, PRESETS)
