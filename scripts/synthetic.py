"""The trainings of the tasks on random arrays of the sizes of their data: a step takes as long as on the data."""

import jax
import numpy as np
from measuring import Training

from spiketype.datasets import batches
from spiketype.datasets.allen.table import CLASSES as SUBCLASSES
from spiketype.datasets.raphe.batches import Common, Part
from spiketype.datasets.raphe.noisy import Masks
from spiketype.datasets.raphe.spikes import POINTS
from spiketype.edge import PyTree
from spiketype.models.unit_nets import UnitNet
from spiketype.train.tasks.eap.config import EapTaskConfig
from spiketype.train.tasks.eap.model import network as eap_network
from spiketype.train.tasks.eap.task import PIECE, from_memory
from spiketype.train.tasks.eap.task import make_problem as eap_problem
from spiketype.train.tasks.raphe.config import RapheTaskConfig
from spiketype.train.tasks.raphe.networks import problem as raphe_problem
from spiketype.train.tasks.species import networks as species_networks
from spiketype.train.tasks.species.config import SpeciesConfig
from spiketype.train.tasks.subclass import task as subclass_task
from spiketype.train.tasks.subclass.config import SubclassConfig
from spiketype.train.tasks.unit import task as unit_task
from spiketype.train.tasks.unit.config import UnitConfig

CELL_MODELS, EAPS = 13, 11_700  # of the default store, nine tenths train
FEATURES, MOUSE, HUMAN = 41, 1424, 299  # of the Allen cells, in both tasks on them
SEROTONERGIC, OTHER, SPIKES, WINDOWS = 108, 45, 283, 100  # cells; of each, in the default store
UNITS, TYPES, SHANK, HISTOGRAMS = 285, 3, (8, 32), 100  # as many as labelled in A1, as if on a shank


def random(*shape: int) -> np.ndarray:
    """Return normal random numbers, float32, the same each time."""
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def labels(classes: int, count: int) -> np.ndarray:
    """Return classes in turn, int32."""
    return np.arange(count, dtype=np.int32) % classes


def keys(members: int) -> jax.Array:
    """Return a key for each member."""
    return jax.random.split(jax.random.key(0), members)


def same(own: PyTree, members: int) -> PyTree:
    """Return the data of one member as those of all, stacked."""
    return jax.tree.map(lambda leaf: np.stack([leaf] * members), own)


def eaps(images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return samples on the array of 10 x 10, with so many images each, and their labels; JAX is not used."""
    return random(EAPS, 10, 10, images), labels(CELL_MODELS, EAPS)


def eap(config: EapTaskConfig, images: int, members: int = 1) -> Training:
    """Return a classification of `eaps`."""
    x, y = eaps(images)
    net = eap_network(config, CELL_MODELS)
    problem = eap_problem(config, net, x.shape[1:], config.turns, from_memory(config.batch))
    own = batches.plan(np.arange(EAPS), y, config.balanced)
    batch = PIECE if config.batch % PIECE == 0 else config.batch  # as the task
    return Training(problem, keys(members), batch, (x, y), same(own, members))


def raphe(config: RapheTaskConfig, members: int = 1) -> Training:
    """Return networks on noisy spikes; they have the configuration's kernel widths in turn."""
    cells = SEROTONERGIC + OTHER
    of_cell = np.repeat(np.arange(cells, dtype=np.int32), SPIKES)
    label = (of_cell < SEROTONERGIC).astype(np.int32)
    common = Common(random(len(of_cell), POINTS), label, of_cell, random(cells * WINDOWS, POINTS))
    plan = batches.plan(np.arange(len(of_cell)), label, True, unit=of_cell)
    windows = np.arange(cells * WINDOWS, dtype=np.int32)
    part = Part(plan, Masks(windows, np.array(len(windows), np.int32)), random(cells, POINTS))
    widths = np.resize(config.widths, members).astype(np.int32)
    return Training(raphe_problem(config), keys(members), config.batch, common, (same(part, members), widths))


def subclass(config: SubclassConfig, cells: int = MOUSE, members: int = 1) -> Training:
    """Return LSPINs on full batches of cells."""
    problem = subclass_task.make_problem(config, subclass_task.network(config), FEATURES)
    own = subclass_task.MemberData(random(cells, FEATURES), np.ones(cells, np.float32))
    return Training(problem, keys(members), cells, labels(len(SUBCLASSES), cells), same(own, members))


def species(config: SpeciesConfig, members: int = 1) -> Training:
    """Return networks adapting from mouse to human cells."""
    cells = MOUSE + HUMAN
    label = labels(2, cells)
    parts = np.split(np.arange(cells), [MOUSE])
    mouse, human = (batches.plan(rows, label, False, cells) for rows in parts)
    numbers = np.ones(2, np.float32), np.float32(1), np.float32(0)
    own = species_networks.MemberData(random(cells, FEATURES), (mouse, human), *map(np.asarray, numbers))
    problem = species_networks.make_problem(config, species_networks.network(config), FEATURES)
    return Training(problem, keys(members), config.batch_size, label, same(own, members))


def unit(config: UnitConfig, members: int = 1) -> Training:
    """Return networks that name units by their waveforms and histograms."""
    columns = SHANK[0] * SHANK[1] + HISTOGRAMS
    x, label = random(UNITS, columns), labels(TYPES, UNITS)
    net = UnitNet(TYPES, config.network, config.width, config.dropout)
    own = unit_task.MemberData(batches.plan(np.arange(UNITS), label, True), x.mean(axis=0), x.std(axis=0))
    problem = unit_task.make_problem(config, net, SHANK, columns)
    return Training(problem, keys(members), config.batch, (x, label), same(own, members))
