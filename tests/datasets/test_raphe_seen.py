"""Recordings that were seen before, known by when their spikes come."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spiketype.datasets.raphe import seen
from spiketype.datasets.raphe.extract import extract
from spiketype.datasets.raphe.options import SpikeOptions
from spiketype.datasets.raphe.recordings import from_array
from spiketype.datasets.raphe.table import LabelledCell, of_cells
from tests.datasets.raphe_synthetic import recording

CELLS = 4


def table(options, first_cell=0):
    cells = []
    for k in range(first_cell, first_cell + CELLS):
        times = 0.1 + np.cumsum(np.random.default_rng(k).uniform(0.1, 0.5, 20))
        current = recording(times, 12.0, seed=k)
        spikes = extract(from_array(current, 40_000.0, Path("a.npy"), "a", "d"), options)
        cells.append(LabelledCell(f"cell {k}", "d", -1, spikes, "a.npy"))
    return of_cells(cells, [], Path("a.npy"))


@pytest.fixture(scope="module")
def kept():
    return seen.times(table(SpikeOptions()))


@pytest.mark.parametrize(
    "options",
    [
        SpikeOptions(),
        SpikeOptions(align="trough"),
        SpikeOptions(align="slope", most=8),
        SpikeOptions(threshold_pA=-20),
        SpikeOptions(mads=3.5),
    ],
)
def test_however_they_are_cut(kept, options):
    assert seen.again(kept, table(options)).all()


def test_others_are_new(kept):
    for options in (SpikeOptions(), SpikeOptions(mads=3.5)):
        assert not seen.again(kept, table(options, first_cell=CELLS)).any()
    assert seen.again(kept, table(SpikeOptions(), first_cell=CELLS - 1)).tolist() == [True, False, False, False]


def test_without_times_nothing_is_known(kept):
    blank = replace(table(SpikeOptions()), time_s=np.full(80, -1.0))
    assert np.isnan(seen.times(blank)).all()
    assert not seen.again(kept, blank).any()
    assert not seen.again(seen.times(blank), table(SpikeOptions())).any()
    assert not seen.again(np.zeros((0, seen.FIRST)), table(SpikeOptions())).any()
