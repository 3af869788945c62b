"""The shape of one action potential of a cell, as numbers: a second kind of input beside the feature tables.

``single_spike.npz`` has an action potential after a short current step: ``w`` (cell, sample) mV from 1 ms before to 2
ms after, at 50 kHz, and ``sid`` (cell,) the specimens. ``ephys_features.csv`` of the Allen Cell Types Database has the
times of peak and troughs. A folder may have both, one or none, and its table may have the times of some stimuli only.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int

from spiketype.damage import Archive, readable
from spiketype.datasets.allen.columns import FILLERS, need, numbers, read, specimens
from spiketype.datasets.allen.database import EPHYS

FILE = "single_spike.npz"
RATE_KHZ, SEARCHED = 50.0, slice(30, 100)  # where a peak may be
LEVELS = np.linspace(0.05, 0.95, 16)  # of the way from rest to peak
STIMULI, TIMES = ("long_square", "ramp", "short_square"), ("peak", "trough", "fast_trough", "slow_trough")
SPIKE_NAMES = (
    *(f"ap_rise_{level:.2f}" for level in LEVELS),
    *(f"ap_fall_{level:.2f}" for level in LEVELS),
    *(f"ap_delay_{level:.2f}" for level in LEVELS),
    *(f"{time}_after_threshold_{stimulus}" for stimulus in STIMULI for time in TIMES),
)


def shape(spike_mV: Float[np.ndarray, "cell sample"]) -> Float64[np.ndarray, "cell 48"]:
    """Measure the phase plane of action potentials: rise and fall (mV/ms) at `LEVELS`, and delay of the fall (ms).

    Rest is the mean of the first 20 samples. A cell with NaN in a sample has NaN in all measures.
    """
    slope = np.gradient(spike_mV, axis=1) * RATE_KHZ
    found = np.full((len(spike_mV), 3 * len(LEVELS)), np.nan)
    for row, (v, dv) in enumerate(zip(spike_mV, slope, strict=True)):
        if not np.isfinite(v).all():
            continue
        peak = int(v[SEARCHED].argmax()) + SEARCHED.start
        wanted = v[:20].mean() + (v[peak] - v[:20].mean()) * LEVELS
        below, fallen = v[: peak + 1] <= wanted[:, None], v[peak:] <= wanted[:, None]
        # The last sample below on the way up, the first on the way down; the edge of the window where there is none.
        up = np.where(below.any(axis=1), peak - below[:, ::-1].argmax(axis=1), 0)
        down = np.where(fallen.any(axis=1), peak + fallen.argmax(axis=1), len(v) - 1)
        found[row] = np.concatenate([dv[up], dv[down], (down - peak) / RATE_KHZ])
    return found


def load(folder: Path, specimen_id: Int[np.ndarray, " cell"]) -> Float64[np.ndarray, "cell name"]:
    """Read the shapes of cells, in the order of `SPIKE_NAMES`, NaN where the folder has nothing of a cell.

    Raises:
        UserError: a file that is damaged. The message names it.
    """
    return np.concatenate([_shapes(folder / FILE, specimen_id), _times(folder / EPHYS, specimen_id)], axis=1)


def _shapes(path: Path, specimen_id: np.ndarray) -> np.ndarray:
    found = np.full((len(specimen_id), 3 * len(LEVELS)), np.nan)
    if not path.exists():
        return found
    with readable(path, "action potentials", "remove it, or get it again"):
        archive = Archive(path)
        spike_mV, sid = np.asarray(archive.read("w"), np.float64), np.asarray(archive.read("sid"), np.int64)
        if sid.ndim != 1 or spike_mV.shape != (len(sid), 150):
            raise ValueError(f"w is {spike_mV.shape} and sid {sid.shape}, not (cells, 150) and (cells,)")
    row = {int(each): k for k, each in enumerate(sid)}
    has = np.array([int(each) in row for each in specimen_id], bool)
    found[has] = shape(spike_mV[[row[int(each)] for each in specimen_id[has]]])
    return found


def _times(path: Path, specimen_id: np.ndarray) -> np.ndarray:
    """Read the times (ms) of peak and troughs after the threshold, by stimulus: (cell, 12)."""
    found = np.full((len(specimen_id), len(STIMULI) * len(TIMES)), np.nan)
    if not path.exists():
        return found
    table = read(path)
    need(path, table, "specimen_id")
    row = {int(each): k for k, each in enumerate(specimens(path, table["specimen_id"]))}
    has = np.array([int(each) in row for each in specimen_id], bool)
    rows = [row[int(each)] for each in specimen_id[has]]
    for s, stimulus in enumerate(STIMULI):
        names = [f"{time}_t_{stimulus}" for time in ("threshold", *TIMES)]
        if not set(names) <= set(table):
            continue
        times_s = np.stack([numbers(path, name, table[name])[rows] for name in names])
        start, *ends = np.where(np.isin(times_s, FILLERS), np.nan, times_s)
        for t, end in enumerate(ends):
            found[has, s * len(TIMES) + t] = 1e3 * (end - start)
    return found
