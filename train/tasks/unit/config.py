"""Options of the unit task."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from spiketype.datasets.options import Normalise, UnitSplit, WaveformOptions
from spiketype.edge import UserError
from spiketype.models.options import UnitNetwork
from spiketype.train.config import TaskOptions, check_least, check_positive, check_seeds, check_share


@dataclass(frozen=True)
class UnitConfig(WaveformOptions):
    """Train networks to name the type of sorted units, and judge them on animals or units they have not seen."""

    task: Literal["unit"] = "unit"
    """Any label of units or spikes."""
    network: UnitNetwork = "dense"
    """Fully connected, convolutional over channels and time, or recurrent along time."""
    normalise: Normalise = "zscore"
    """Standardise each waveform, divide it by its largest channel's amplitude, or neither."""
    init: Annotated[str | None, arg(metavar="MODEL")] = None
    """Begin with what a model of units says, and learn what to correct: units-v1, which `spiketype units` asks, or a
    folder that scripts/train_units.py has written. The judgement says whether that is better than the model alone."""
    histograms: bool = True
    """See the histograms of intervals and the autocorrelogram, too, where the data have them."""
    split: UnitSplit | None = None
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
    """Training waveforms are moved by up to so many samples; shapes are not."""
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
    certain: float = 0.8
    """Probability of the likeliest class below which no call is made."""
    seed: int = 0
    """Seed of the splits, the initial weights and the batches."""
    seeds: int = 3
    """Number of trainings of every fold, averaged."""

    def __post_init__(self) -> None:
        check_least(self, folds=2, repeats=1, finetune=0, finetune_steps=1, width=4, shift=0, noise=0, decay=0)
        check_least(self, steps=1, batch=1)
        check_seeds(self.seed, self.seeds)
        check_positive(self, "learning_rate")
        check_share(self, dropout=0, certain=0)
        if self.finetune and (self.repeats > 1 or self.split not in (None, "animal")):
            raise UserError("--finetune is about the animal that is held out: leave out --split and --repeats")


OPTIONS = TaskOptions(UnitConfig, {})
