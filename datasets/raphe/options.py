"""How recordings are read, spikes cut out, and noisy spikes made: options, whose loading loads no reader."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from spiketype.edge import UserError

Alignment = Literal["crossing", "trough", "slope"]
Polarity = Literal["auto", "negative", "positive"]


@dataclass(frozen=True)
class SpikeOptions:
    """How spikes are found and cut out."""

    threshold_pA: Annotated[float, arg(name="threshold-pa")] = -50.0
    """Current, from the local baseline, that a spike crosses; the published -50 pA."""
    mads: float = 0.0
    """Where positive: cross this many median absolute deviations of the noise (scaled to a sigma) instead."""
    refractory_ms: float = 3.0
    """Shortest time from one spike to the next."""
    align: Alignment = "crossing"
    """What is placed at 1 ms: the crossing (published), the trough, or the steepest inward slope."""
    polarity: Polarity = "auto"
    """Sign of the spikes' first peak in the file; auto takes that of the larger peaks. The store's is negative."""
    most: int = 700
    """Spikes kept of a cell: the first ones, as published."""
    noise_windows: int = 100
    """Spike-free windows of 4 ms kept of a cell, spread over the recording."""

    def __post_init__(self) -> None:
        if not self.threshold_pA < 0:
            raise UserError(f"--threshold-pa is {self.threshold_pA}: spikes are inward, so it must be negative")
        for name in ("threshold_pA", "mads", "refractory_ms"):
            if math.isinf(getattr(self, name)):
                raise UserError(f"--{name.lower().replace('_', '-')} is {getattr(self, name)}: give a finite number")
        for name, least in (("mads", 0), ("refractory_ms", 0), ("most", 1), ("noise_windows", 0)):
            if not getattr(self, name) >= least:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}: it must be at least {least}")


@dataclass(frozen=True)
class ReadOptions:
    """How recordings are read."""

    channel: str = ""
    """Name or number (from 0) of the channel; by default the first in a unit of current, not named as a command."""
    units: str = ""
    """Unit of the samples (pA, nA, ...), whatever the file says."""
    rate_hz: float = 0.0
    """Sampling rate of arrays that do not say it."""
    day: str = ""
    """Day of all recordings; by default from the name (A131024#089), else the header, else the folder."""


@dataclass(frozen=True)
class NoisyConfig:
    """How a store of noisy spikes is made; the defaults are the published numbers."""

    serotonergic: int = 6_675_300
    """Noisy spikes of serotonergic cells."""
    other: int = 6_025_300
    """Noisy spikes of other cells."""
    masks: int = 600
    """Spike-free windows that are added, drawn once."""
    per_spike: int = 100
    """Windows that are added to a spike each time it is taken."""
    base: Literal["smooth", "template"] = "smooth"
    """Clean spike: its own mean over 3 points (published), or the mean spike of its cell."""
    snr: tuple[float, float] | None = None
    """Scale the windows so that the ratio of trough to noise lies in this range; by default they are added as is."""
    days_out: tuple[str, ...] = ()
    """Days whose spikes and windows are not used, because a network is to be tested on them."""
    seed: int = 0
    """Seed of the windows, the pairs and their order."""

    def __post_init__(self) -> None:
        for name, least in (("masks", 1), ("per_spike", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}: it must be at least {least}")
        if self.serotonergic < 0 or self.other < 0 or not self.serotonergic + self.other:
            raise UserError("--serotonergic and --other are negative or both 0: there is nothing to write")
        if self.snr is not None and not 0 < self.snr[0] <= self.snr[1]:
            raise UserError(f"--snr is {self.snr}: give a smaller and a larger positive number")
