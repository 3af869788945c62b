"""Options of the raphe task: serotonergic or not, from loose-seal spikes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from spiketype.edge import UserError
from spiketype.models.options import LEAST_WIDTH, MOST_WIDTH
from spiketype.train.config import TaskOptions, check_least, check_positive, check_seeds, check_share


@dataclass(frozen=True)
class RapheTaskConfig:
    """Train and judge a consensus of networks that say whether a cell is serotonergic from its loose-seal spikes."""

    task: Literal["raphe"] = "raphe"
    """Serotonergic or not."""
    data: Annotated[Path | None, arg(aliases=("--store",), metavar="STORE")] = None
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
        check_least(self, steps=1, averaged=1, batch=1, folds=2, store_seed=0)
        check_seeds(self.seed, self.seeds)
        check_share(self, dropout=0, certain=0.5)
        check_positive(self, "learning_rate")
        if not self.widths or not all(LEAST_WIDTH <= width <= MOST_WIDTH for width in self.widths):
            raise UserError(f"--widths is {self.widths}: give one or more from {LEAST_WIDTH} to {MOST_WIDTH}")
        if len(set(self.widths)) < len(self.widths):
            raise UserError(f"--widths is {self.widths}: a width occurs twice; several trainings are --seeds")
        if self.snr is not None and not 0 < self.snr[0] <= self.snr[1]:
            raise UserError(f"--snr is {self.snr}: give a smaller and a larger positive number")


# Corradetti et al. 2024: 25 epochs of 474 batches of 64 spikes, kernels 20 to 31, spikes split at random.
PAPER: dict[str, object] = {
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
OPTIONS = TaskOptions(RapheTaskConfig, {"paper": PAPER, "paper-synthetic": PAPER_SYNTHETIC})
