"""Recordings that were seen before, known by when their spikes come, whatever their names and however they are cut."""

import numpy as np
from jaxtyping import Bool, Float64

from spiketype.datasets.raphe.table import RapheTable

FIRST = 50  # spikes of a cell that are compared
NEAR_S = 2e-4  # another threshold is crossed by less earlier or later
LEAST = 5  # spikes in common: fewer may be by chance


def times(table: RapheTable) -> Float64[np.ndarray, "cell 50"]:
    """Return when the first spikes of each cell come, in seconds; NaN where there are fewer, or the time is unknown."""
    found = np.full((len(table.cell_names), FIRST), np.nan)
    for cell, row in enumerate(found):
        mine = _times_of(table, cell)[:FIRST]
        row[: len(mine)] = mine
    return found


def again(seen_s: Float64[np.ndarray, "seen 50"], table: RapheTable) -> Bool[np.ndarray, " cell"]:
    """Say which cells of a table are recordings whose `times` were kept: half of the spikes come when theirs do."""
    return np.array([_is_among(seen_s, _times_of(table, cell)) for cell in range(len(table.cell_names))], bool)


def _times_of(table: RapheTable, cell: int) -> np.ndarray:
    mine: np.ndarray = table.time_s[table.cell == cell]
    return np.sort(mine[mine >= 0])


def _is_among(seen_s: np.ndarray, time_s: np.ndarray) -> bool:
    if not len(time_s) or not len(seen_s):
        return False
    after = np.clip(np.searchsorted(time_s, seen_s), 1, max(len(time_s) - 1, 1))
    near = [np.abs(seen_s - time_s[np.minimum(k, len(time_s) - 1)]) <= NEAR_S for k in (after - 1, after)]
    common = (near[0] | near[1]).sum(axis=1)
    # Only the stretch that both cover can be compared.
    last_s = np.nanmax(seen_s, axis=1, initial=-1.0)
    theirs, ours = (seen_s <= time_s[-1] + NEAR_S).sum(axis=1), np.searchsorted(time_s, last_s + NEAR_S, side="right")
    return bool(((common >= LEAST) & (2 * common >= np.minimum(theirs, ours))).any())
