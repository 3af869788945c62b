"""The kinds of data that benchmarks are made of: their options, what generates them, and the table of their samples."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spiketype import typed
from spiketype.bench.sources import VARIABLE
from spiketype.datasets import store, waveforms
from spiketype.datasets.benchmarks import tables
from spiketype.datasets.benchmarks.folder import DATA
from spiketype.datasets.benchmarks.samples import Samples
from spiketype.datasets.benchmarks.specification import Kind, Specification
from spiketype.edge import Dataclass, UserError
from spiketype.simulator.eap.block_range import WHOLE
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.generate import generate
from spiketype.simulator.eap.means import Means
from spiketype.simulator.raphe import generate as raphe
from spiketype.simulator.raphe.config import RapheConfig
from spiketype.units.model import says_excitatory
from spiketype.units.training import NO_TYPE


@dataclass(frozen=True)
class UnitsOptions:
    """Labelled units of laboratories."""

    rate_kHz: float
    """Sampling rate of a file that does not say it."""


@dataclass(frozen=True)
class NoOptions:
    """Data that are as they were published."""


OPTIONS: Mapping[Kind, type[Dataclass]] = {
    "eap": EapConfig,
    "raphe": RapheConfig,
    "units": UnitsOptions,
    "allen-subclass": NoOptions,
    "allen-species": NoOptions,
    "digits": NoOptions,
}


def options(specification: Specification) -> Dataclass:
    """Return the options of what makes the data, every one of which is in the specification.

    Raises:
        UserError: one is missing, unknown or impossible.
    """
    kind = specification.generator.kind
    found: Dataclass = typed.make(
        OPTIONS[kind], specification.generator.options, f"{specification.name}.toml, generator, options", whole=True
    )
    return found


def make(specification: Specification, folder: Path, files: Path, means: Means) -> Samples | None:
    """Make the data of a benchmark, or what is missing of them; return its samples, None where shares are missing.

    Args:
        specification: of the benchmark.
        folder: of it.
        files: folder of its public files.
        means: with what it is made.

    Raises:
        UserError: options or data that are impossible; a share of what is not made in blocks.
    """
    kind, chosen = specification.generator.kind, options(specification)
    if kind != "eap" and (means.share != WHOLE or means.scheduler):
        raise UserError(f"{specification.name} is made at once: leave out --block-range and --scheduler")
    data = folder / DATA
    if isinstance(chosen, EapConfig):
        with _sources_at(files):
            generate(chosen, data, means.workers, means.share, means.scheduler, means.yes, means.memory_limit_GB)
        return tables.of_eap(data) if store.done(data).all() else None
    if isinstance(chosen, RapheConfig):
        if data.exists() and not store.done(data).all():
            shutil.rmtree(data)  # what is left of one that was stopped while it was written
        if not data.exists():
            raphe.generate(chosen, data, means.workers)
        return tables.of_raphe(data)
    if isinstance(chosen, UnitsOptions):
        return of_units([files / source.file for source in specification.source], chosen.rate_kHz)
    published: Mapping[Kind, Callable[[], Samples]] = {
        "allen-subclass": lambda: tables.of_subclasses(_only_folder(specification, files)),
        "allen-species": lambda: tables.of_species(_only_folder(specification, files)),
        "digits": tables.of_digits,
    }
    return published[kind]()


def _only_folder(specification: Specification, files: Path) -> Path:
    return files / Path(specification.source[0].file).parent


@contextmanager
def _sources_at(files: Path) -> Iterator[None]:
    """Let names of cell models that begin with the variable be those in the folder of sources."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(files)
    try:
        yield
    finally:
        os.environ.pop(VARIABLE) if before is None else os.environ.update({VARIABLE: before})


def of_units(paths: list[Path], rate_kHz: float) -> Samples:
    """Return the labelled units of files, excitatory or inhibitory; each file is a laboratory.

    Args:
        paths: of tables of waveforms.
        rate_kHz: sampling rate of those that do not say it.
    """
    found = [_of_laboratory(path, rate_kHz) for path in paths]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def _of_laboratory(path: Path, rate_kHz: float) -> Samples:
    table = waveforms.load(path, rate_kHz=rate_kHz)
    words = np.array([*table.class_names, ""])[table.label]
    known = np.flatnonzero((words != "") & ~np.isin(words, list(NO_TYPE)))
    names = np.array([f"{path.stem}/{table.unit_names[k]}" for k in table.unit[known].tolist()])
    animals = np.array([f"{path.stem}/{table.animal_names[k]}" for k in table.animal[known].tolist()])
    return {
        "id": names,
        "laboratory": np.full(len(known), path.stem),
        "animal": animals if len(table.animal_names) > 1 else names,  # units, where the file names no animals
        "cell_type": words[known],
        "ei": np.where(says_excitatory(words[known]), "excitatory", "inhibitory"),
    }
