"""What a store takes, told before anything is made: samples, bytes on the disk, time.

These are estimates, and said to be. Bytes are those of the arrays, less what compression saves of them; time is by
the speed of one machine, and by contacts alone: a large cell, or a box in which few placements are accepted, takes
longer. The currents of cell models that the cache does not have take some ten seconds each besides.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from spiketype.edge import UserError
from spiketype.location import Location
from spiketype.simulator.eap.blocks import variables
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.neuron.membrane import PUBLISHED

STORED = 0.85  # of the bytes of the arrays: measured, 0.83 of 13,000 samples of 3drot
CORE_MS = 0.07  # for a sample and a contact: measured, 0.066 with 13,000 samples of 3drot
GB = 1e9


@dataclass(frozen=True)
class Estimate:
    """What samples take.

    Attributes:
        samples: to be made.
        disk_bytes: of their arrays, compressed.
        core_s: seconds of one core.
    """

    samples: int
    disk_bytes: float
    core_s: float

    def words(self, cores: int | None) -> str:
        """Return it in a sentence; without a time where it is not known how many cores compute."""
        time = f", about {_duration(self.core_s / cores)} on {cores} cores" if cores else ""
        return f"{self.samples:,} samples, about {self.disk_bytes / GB:.2g} GB{time} (estimates)"


def estimate(config: EapConfig, channels: int, samples: int) -> Estimate:
    """Return what so many samples of a configuration take.

    Args:
        config: of the store.
        channels: of its probe.
        samples: to be made.
    """
    window_ms = PUBLISHED.before_ms + PUBLISHED.after_ms
    sizes = {"channel": channels, "time": round(window_ms * config.waveform_kHz), "axis": 3, "world": 3, "local": 3}
    arrays = variables(config, sizes["time"]).values()
    row_bytes = sum(array.row_bytes(sizes) for array in arrays if array.dims[0] == "sample")
    return Estimate(samples, STORED * row_bytes * samples, CORE_MS / 1000 * channels * samples)


def announce(out: Location, found: Estimate, cores: int | None, yes: bool) -> None:
    """Say what is about to be made, and refuse it where the disk is too small, unless the user says yes.

    Args:
        out: where.
        found: what it takes.
        cores: that compute, None where that is not known.
        yes: begin in any case.

    Raises:
        UserError: it takes more than is free.
    """
    print(f"{out}: {found.words(cores)}", file=sys.stderr)
    free = _free_bytes(out)
    if free is not None and found.disk_bytes > free and not yes:
        raise UserError(
            f"{out} is to hold about {found.disk_bytes / GB:.2g} GB, and {free / GB:.2g} GB are free there: free some"
            " space, choose another folder, or give --yes to begin all the same"
        )


def _free_bytes(out: Location) -> int | None:
    """Return what is free on the disk of a folder that may not be there yet; None for a URL."""
    if not isinstance(out, Path):
        return None
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
