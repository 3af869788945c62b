"""How often two cells in one recording get one certain call: python scripts/raphe_two_cells.py RUN.

Mixtures are made of the spikes of a serotonergic and of another tested cell of a finished raphe run, voted on by the
networks that had not seen them. The calibration is the run's own, which knows all its cells.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro
from jaxtyping import Float, Int
from tyro.conf import Positional

from spiketype.datasets.raphe import read
from spiketype.datasets.raphe.shape import features
from spiketype.datasets.raphe.table import RapheTable
from spiketype.edge import guard
from spiketype.models import evidence
from spiketype.train import runs
from spiketype.train.judging.report import text_table
from spiketype.train.tasks.raphe import cells
from spiketype.train.tasks.raphe.config import RapheTaskConfig
from spiketype.train.tasks.raphe.model import RapheModel
from spiketype.train.tasks.raphe.networks import shares
from spiketype.train.tasks.raphe.task import make_split

SPIKES, PARTS = 200, (0.5, 0.25, 0.1)  # of a mixture, and the share of its second cell


class Called(NamedTuple):
    """What is said of spikes: whether their call would be certain, and whether they look like those of two cells."""

    certain: bool
    mixed: bool


def votes(config: RapheTaskConfig, model: RapheModel, table: RapheTable) -> Float[np.ndarray, " spike"]:
    """Return the mean vote for each spike, 0 to 1, of the networks that did not see its fold."""
    found = np.full(len(table.cell), np.nan)
    for number, fold in enumerate(make_split(config, table).folds):
        mine = [(k, m["width"]) for k, m in enumerate(model.origin["members"]) if m["fold"] == number]
        found[fold.test] = shares(config, model.variables, mine, table.spike_pA[fold.test]).mean(axis=0)
    return found


def call(config: RapheTaskConfig, model: RapheModel, vote: np.ndarray, spike_pA: np.ndarray) -> Called:
    """Return the call of spikes as of one cell."""
    known = evidence.of_cell(2 * vote[None] - 1, spike_pA, features)
    value, low, high = (end[-1] for end in evidence.as_spikes_arrive(known, model.stages))
    certain = bool(max(value, 1 - value) >= config.certain and not low < 0.5 < high)
    mixed = cells.is_mixed(np.array([cells.contrary_spikes(vote)]), np.array([len(vote)]))
    return Called(certain, bool(mixed[0]))


def mixture(rng: np.random.Generator, table: RapheTable, part: float) -> Int[np.ndarray, " spike"]:
    """Draw spikes of two cells, one of each class, in random order; either class may have the smaller part."""
    pair = [rng.choice(np.flatnonzero(table.cell_label == label)) for label in rng.permutation(2)]
    few = int(part * SPIKES)
    drawn = [
        rng.choice(np.flatnonzero(table.cell == cell), count)
        for cell, count in zip(pair, (SPIKES - few, few), strict=True)
    ]
    return rng.permutation(np.concatenate(drawn))


def main(run: Positional[Path], mixtures: int = 400, seed: int = 0) -> None:
    """Print a line for single cells, and one for mixtures of each share.

    Args:
        run: A finished run of the raphe task.
        mixtures: Of each share.
        seed: Of the mixtures.
    """
    _, config, model = runs.load_model(run)
    table = read.labelled(config.data)
    vote = votes(config, model, table)
    alone = [np.flatnonzero(table.cell == cell) for cell in range(len(table.cell_names))]
    single = [call(config, model, vote[mine], table.spike_pA[mine]) for mine in alone]
    rows = [_line("single cells", single)]
    rng = np.random.default_rng(seed)
    for part in PARTS:
        drawn = [mixture(rng, table, part) for _ in range(mixtures)]
        each = [call(config, model, vote[mine], table.spike_pA[mine]) for mine in drawn]
        rows.append(_line(f"two cells, {1 - part:.0%} and {part:.0%}", each))
    print(text_table(["spikes of", "number", "certain calls without the check (%)", "with it (%)"], rows))


def _line(name: str, each: list[Called]) -> list[str]:
    before = 100 * np.mean([c.certain for c in each])
    after = 100 * np.mean([c.certain and not c.mixed for c in each])
    return [name, str(len(each)), f"{before:.1f}", f"{after:.1f}"]


if __name__ == "__main__":
    with guard():
        tyro.cli(main)
