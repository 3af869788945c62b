"""What a simulated set of shank recordings holds: the one source of defaults and of the help of its command line."""

from dataclasses import dataclass

from spiketype.edge import UserError


@dataclass(frozen=True)
class ShankConfig:
    """A simulated set of recordings: this and the program's versions determine every byte of it."""

    animals: int = 6
    """How many animals, with one session each."""
    units: int = 60
    """Units of each animal, ten on a shank."""
    spikes: int = 60
    """Spikes of each unit."""
    seed: int = 0
    """Seed of everything."""

    def __post_init__(self) -> None:
        for name, least, most in (("animals", 1, 99), ("units", 1, 990), ("spikes", 2, 10_000), ("seed", 0, 2**32 - 1)):
            if not least <= getattr(self, name) <= most:
                raise UserError(f"--{name} is {getattr(self, name)}: it must be from {least} to {most}")
