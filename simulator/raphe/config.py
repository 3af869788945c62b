"""What a simulated raphe data set holds: the one source of defaults and of the help of its command line."""

from dataclasses import dataclass, field

from spiketype.datasets.raphe.options import SpikeOptions
from spiketype.edge import UserError

MOST_CONTRAST = 10.0  # where shapes are no longer those of spikes


@dataclass(frozen=True)
class RapheConfig:
    """A simulated raphe data set: this and the program's versions determine every byte of it."""

    seed: int = 0
    """Seed of all cells and recordings."""
    copies: int = 1
    """How often the published 153 cells occur, each time with other days and other cells of the same counts."""
    most_spikes: int = 700
    """Spikes kept of a cell, at most; the published counts are 15 to 700."""
    confound: bool = False
    """Give every day (and year) its own noise, hum and interference: what makes a class readable without a spike."""
    contrast: float = 1.0
    """Scale of the class differences in shape beyond the interval; 0 leaves the interval alone to tell."""
    spikes: SpikeOptions = field(default_factory=SpikeOptions)
    """How spikes are found in the simulated recordings."""

    def __post_init__(self) -> None:
        for name, least in (("copies", 1), ("most_spikes", 1), ("contrast", 0), ("seed", 0)):
            if not getattr(self, name) >= least:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}: it must be at least {least}")
        if not self.contrast <= MOST_CONTRAST:
            raise UserError(f"--contrast is {self.contrast:g}: it must be at most {MOST_CONTRAST:g}")
