"""Cells with their currents in factors, kept on disk: to find the factors takes seconds, to read them milliseconds."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from spiketype.damage import Archive
from spiketype.edge import UserError, cache_dir, whole_file
from spiketype.simulator.eap import lowrank
from spiketype.simulator.eap.box import Box
from spiketype.simulator.eap.forward import Factors
from spiketype.simulator.neuron.source import Source

VERSION = 2  # of how factors are found: raised when that gives others
RANK_MULTIPLE = 8  # ranks are padded to whole multiples: at the default error all 13 cells share three programs
REMEMBERED = 16  # cells that a worker keeps in memory: at most one is in work, and hundreds would fill it


@dataclass(frozen=True)
class Cell:
    """What the blocks of a cell have in common."""

    factors: Factors
    error_uV: float
    rank: int
    spikes: int
    times: int
    dt_ms: float


@dataclass(frozen=True)
class Medium:
    """What the factors of a cell depend on beside its currents, but for the processor's own rounding."""

    error_uV: float
    contact_um: bytes  # (channel, 3) float32
    box: Box
    sigma_S_per_m: float

    @property
    def contacts_um(self) -> np.ndarray:
        """The contacts as an array."""
        return np.frombuffer(self.contact_um, np.float32).reshape(-1, 3)


@lru_cache(maxsize=REMEMBERED)
def cell(file: Path, medium: Medium, segments: int) -> Cell:
    """Return the cell of a source's file, padded so that a program compiled for another cell serves this one.

    Raises:
        UserError: the error asked for cannot be had, or a damaged file.
    """
    path = cache_path(file, medium, one_thread())
    if not path.exists():
        _find(file, medium, path)
    found = load(path)
    padded = lowrank.pad(found.factors, segments, -(-found.rank // RANK_MULTIPLE) * RANK_MULTIPLE)
    return Cell(padded, found.error_uV, found.rank, found.spikes, found.times, found.dt_ms)


def one_thread() -> bool:
    """Say whether this process computes as the workers of a store do: the bits of a sum depend on it."""
    return jax.default_backend() == "cpu" and os.environ.get("OMP_NUM_THREADS") == "1"


def cache_path(file: Path, medium: Medium, in_one_thread: bool) -> Path:
    """Return where the factors of a source are kept: the name holds a hash of everything that goes into them."""
    rounding = "one thread" if in_one_thread else jax.default_backend()
    facts = [VERSION, np.__version__, jax.__version__, rounding, medium.error_uV, medium.sigma_S_per_m]
    digest = hashlib.sha256(json.dumps([*facts, asdict(medium.box)]).encode() + medium.contact_um)
    digest.update(file.read_bytes())
    return cache_dir() / "factors" / f"{file.stem}-{digest.hexdigest()[:16]}.npz"


def _find(file: Path, medium: Medium, path: Path) -> None:
    source = Source.load(file)
    made = lowrank.factorise(source, medium.error_uV, medium.contacts_um, medium.box, medium.sigma_S_per_m)
    factors, error_uV, rank = made
    spikes, _, times = source.current_nA.shape
    about = {"error_uV": error_uV, "rank": rank, "spikes": spikes, "times": times, "dt_ms": source.dt_ms}
    arrays = {name: np.asarray(values) for name, values in factors._asdict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial, partial.open("wb") as out:
        np.savez(out, header=np.asarray(json.dumps(about)), **arrays)  # type: ignore[arg-type]  # names are not its options


def load(path: Path) -> Cell:
    """Return the cell that is kept at a path, not padded.

    Raises:
        UserError: damaged.
    """
    archive = Archive(path, "delete it, and it is made again")
    try:
        about = json.loads(str(archive.read("header")))
        return Cell(Factors(*(jnp.asarray(archive.read(name)) for name in Factors._fields)), **about)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it, and it is made again") from error
