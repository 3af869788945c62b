"""What a store takes, told before anything is made: samples, bytes on the disk, time; and the memory of a worker.

These are estimates, and said to be. Bytes are those of the arrays, less what compression saves of them; time is by
the speed of one machine that does nothing else, and by contacts alone: a large cell, or a box in which few placements
are accepted, takes longer. The currents of cell models that the cache does not have take some ten seconds each besides.
"""

import math
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from spiketype.edge import UserError
from spiketype.location import Location
from spiketype.simulator.eap.blocks import CPU_BATCH, variables
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.lowrank import CHECK
from spiketype.simulator.eap.placement import ROTATIONS
from spiketype.simulator.neuron.membrane import PUBLISHED

STORED = 0.85  # of the bytes of the arrays: measured, 0.83 of 13,000 samples of 3drot
CORE_MS = 0.06  # of a core, for a sample and a contact: 160 samples of 100 contacts a second (docs/guide/scale.md)
CURRENTS_S = 6.0  # of a core, for the membrane currents of a cell model
FACTORS_MS = 9.0  # of a core, for the factors of a cell and a contact: 100 and 384 contacts
GB = 1e9
# Of a worker, measured with 100 and 384 contacts: libraries and compiled programs; then copies, at its peak, of the
# potentials that the factors of a cell are checked on, of a run of blocks, and of a batch of candidates.
WORKER_BYTES = 0.38e9
CHECK_COPIES, RUN_COPIES, BATCH_COPIES = 4, 3, 6


@dataclass(frozen=True)
class Estimate:
    """What samples take.

    Attributes:
        samples: to be made.
        disk_bytes: of their arrays, compressed.
        core_s: seconds of one core, all together.
        once_s: of these, what is kept for other stores: currents and factors of cell models.
    """

    samples: int
    disk_bytes: float
    core_s: float
    once_s: float = 0.0

    def words(self, cores: int | None) -> str:
        """Return it in a sentence; without a time where it is not known how many cores compute."""
        time = f", about {_duration(self.core_s / cores)} on {cores} cores" if cores else ""
        if cores and self.once_s > self.core_s / 10:
            time += f", {_duration(self.once_s / cores)} of them for the cell models, once"
        return f"{self.samples:,} samples, about {_size(self.disk_bytes)}{time} (estimates)"


def estimate(config: EapConfig, channels: int, samples: int, currents: int = 0, factors: int = 0) -> Estimate:
    """Return what so many samples of a configuration take.

    Args:
        config: of the store.
        channels: of its probe.
        samples: to be made.
        currents: cell models that are to be simulated first.
        factors: cell models whose factors are to be found.
    """
    disk_bytes = STORED * _row_bytes(config, channels) * samples
    once_s = CURRENTS_S * currents + FACTORS_MS / 1000 * channels * factors
    return Estimate(samples, disk_bytes, CORE_MS / 1000 * channels * samples + once_s, once_s)


def _row_bytes(config: EapConfig, channels: int) -> int:
    """Return the bytes of all arrays of a sample."""
    window_ms = PUBLISHED.before_ms + PUBLISHED.after_ms
    sizes = {"channel": channels, "time": round(window_ms * config.waveform_kHz), "axis": 3, "world": 3, "local": 3}
    arrays = variables(config, sizes["time"]).values()
    return sum(array.row_bytes(sizes) for array in arrays if array.dims[0] == "sample")


def batch_within(limit_GB: float | None, config: EapConfig, channels: int, run_samples: int) -> int:
    """Return how many candidates a worker computes at once, so as to hold no more than a limit; 0: as many as it likes.

    The samples are the same whatever it is. All else that a worker holds is what a store is made of: a run of blocks is
    written into one file, and the factors of a cell are checked on all contacts.

    Args:
        limit_GB: of each worker; None: there is none.
        config: of the store.
        channels: of its probe.
        run_samples: that a worker writes together.

    Raises:
        UserError: the limit is too small; it says the least that is enough.
    """
    if limit_GB is None:
        return 0
    least = worker_bytes(config, channels, run_samples, 1)
    if least > limit_GB * GB:
        raise UserError(
            f"--memory-limit is {limit_GB:g} GB, and a worker needs about {math.ceil(100 * least / GB) / 100:.2f} GB"
            f" for {channels} contacts and {run_samples} samples in a file: give as much, or a smaller probe"
        )
    sizes = [CPU_BATCH >> k for k in range(CPU_BATCH.bit_length())]
    return next(n for n in sizes if worker_bytes(config, channels, run_samples, n) <= limit_GB * GB)


def worker_bytes(config: EapConfig, channels: int, run_samples: int, batch: int) -> float:
    """Return about what a worker holds at its peak; arguments as of `batch_within`, and candidates at once."""
    potential_bytes = 4 * channels * round((PUBLISHED.before_ms + PUBLISHED.after_ms) / PUBLISHED.dt_ms)
    check = CHECK_COPIES * CHECK * len(ROTATIONS) * 2 * potential_bytes  # in double precision, before anything is drawn
    drawn = RUN_COPIES * run_samples * _row_bytes(config, channels) + BATCH_COPIES * batch * potential_bytes
    return WORKER_BYTES + max(check, drawn)


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
            f"{out} is to hold about {_size(found.disk_bytes)}, and {_size(free)} are free there: free some space,"
            " choose another folder, or give --yes to begin all the same"
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


def _size(size_bytes: float) -> str:
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= length:
            return f"{size_bytes / length:.3g} {unit}"
    return f"{size_bytes:.0f} bytes"
