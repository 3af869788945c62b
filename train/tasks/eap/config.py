"""Options of the three tasks on EAP stores: excitatory or inhibitory, m-type, soma position."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from spiketype.datasets.options import EapFeatures
from spiketype.edge import UserError
from spiketype.location import Place
from spiketype.models.options import CnnSize, Precision
from spiketype.simulator.eap.config import Rotation
from spiketype.train.config import TaskOptions, check_least, check_positive, check_seeds, check_share


@dataclass(frozen=True)
class EapTaskConfig:
    """Train and judge a network on simulated extracellular action potentials; what is missing is simulated first."""

    task: Literal["binary", "mtype", "location"] = "mtype"
    """Excitatory or inhibitory; m-type; or soma position in um."""
    rotation: Rotation = "3drot"
    """How the simulated cells are turned before the array."""
    features: EapFeatures = "aw"
    """Inputs: images of amplitude and width (aw), half width and width (fw), all three (afw), or the waveform."""
    split: Literal["auto", "random", "kfold", "group", "type", "leave-one-out", "lists"] = "auto"
    """What is held out: random samples, cell models (group), all models of an m/e type together (type). auto: types
    where some have several models and every class has two or more, else cell models likewise, else random samples."""
    folds: int = 4
    """Number of folds of --split kfold, group and type."""
    lists: Annotated[Path | None, arg(metavar="FILE")] = None
    """JSON file {"train": [...], "test": [...]} of cell models or sample numbers, for --split lists."""
    per_cell: int = 1000
    """Samples of each cell model in the store that is simulated."""
    store_seed: int = 1
    """Seed of the store that is simulated. The defaults of training were chosen on seed 0: 1 is data they never saw."""
    noise_uV: Annotated[float, arg(name="noise-uv")] = 0.0
    """Standard deviation (uV) of the white noise that the simulated recordings have."""
    probe: str = "mea10x10"
    """Probe of the simulated recordings. The network sees images: of a regular grid, or, where contacts are on none, of
    a lattice around the largest amplitude."""
    cell_models: tuple[str, ...] = ("bbp",)
    """Cell models: bbp (the 13 of layer 5 in the MEArec package) and/or folders of the same layout."""
    data: Annotated[Place | None, arg(aliases=("--store",), metavar="STORE")] = None
    """An EAP store to use instead of simulating one: a folder, or s3://, gs:// or https:// (docs/guide/scale.md)."""
    stream: bool = False
    """Simulate every batch inside the training step, instead of drawing from the samples of the store: no sample comes
    twice. The store says how, and is what is judged on; cells that are held out are held out of the stream."""
    network: CnnSize = "l"
    """Size of the network; l is the published one."""
    precision: Precision = "float32"
    """Of what is between the network's layers; bf16, which is for GPUs and TPUs, halves its memory. Parameters and
    losses are float32 either way."""
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
    certain: float = 0.8
    """Probability of the likeliest class below which no call is made."""
    seed: int = 0
    """Seed of the split, the initial weights and the batches."""
    seeds: int = 1
    """Number of trainings, with seeds from --seed on, all at once."""

    def __post_init__(self) -> None:
        check_least(self, steps=1, batch=1, per_cell=1, folds=2, noise_uV=0)
        check_seeds(self.seed, self.seeds)
        check_share(self, dropout=0, certain=0)
        check_positive(self, "learning_rate")
        if self.split == "lists" and self.lists is None:
            raise UserError("--split lists needs --lists FILE")


# Buccino et al. 2018, II.D: 5000 steps of 1000 samples, Adam with 5e-4, dropout 0.7, 10 % of each cell held out.
PAPER: dict[str, object] = {
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
OPTIONS = TaskOptions(EapTaskConfig, {"paper": PAPER})
