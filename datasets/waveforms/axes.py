"""Which axis of an array is time, where no name says it: time is smooth, and has the peaks of units at one place."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from spiketype.edge import UserError

LOOKED_AT = 2000  # rows
ROUGHER, MUCH_ROUGHER = 1.5, 4.0  # is the last axis than the one before: 0.1 to 0.4 times where it is time
FIRST = 0.9  # share of rows with their peak on the first channel, from which on channels were put in order
FEWEST_ROWS = 5  # from which on it means anything that they have their peaks at one place


@np.errstate(over="ignore", invalid="ignore")  # what is too large is left out later, and said
def check(path: Path, waveform: np.ndarray) -> None:
    """Refuse waveforms (row, channel, time) whose axes are most likely (row, time, channel), as others have them.

    They are if the last axis is rougher than the one before it, and if peaks of more rows are at one place of the
    one before than of the last. As channels are often chosen around each unit's largest, it is enough that as many are
    or that it is much rougher, where it is also the shorter one. A tetrode's few channels, which are alike, are time
    neither by peaks nor by length. Time is neither constant, as copied channels are, nor is the peak its first sample,
    as it is the first channel where the largest comes first.

    Args:
        path: the file, for the message.
        waveform: numbers of whatever type and shape a file holds; those of other dimensions are not looked at.

    Raises:
        UserError: they are.
    """
    if waveform.ndim != 3 or min(waveform.shape[1:]) < 2 or len(waveform) < FEWEST_ROWS:
        return
    x = waveform[:: -(-len(waveform) // LOOKED_AT)].astype(np.float64)
    x = x[np.isfinite(x).all(axis=(1, 2))]
    x = x[np.ptp(x, axis=(1, 2)) > 0]
    if len(x) < FEWEST_ROWS:
        return
    rough, alike = zip(*(_of_axis(x, axis) for axis in (1, 2)), strict=True)
    if not rough[0] or (_peaks(x, 1) == 0).mean() >= FIRST:
        return
    longer = waveform.shape[1] > waveform.shape[2]
    centred = longer and (alike[0] == alike[1] or rough[1] > MUCH_ROUGHER * rough[0])
    if rough[1] > ROUGHER * rough[0] and (alike[0] > alike[1] or centred):
        raise UserError(
            f"{path} has {waveform.shape[1]} channels x {waveform.shape[2]} times, if its axes are (row, channel,"
            f" time), but they look like (row, time, channel): along the last axis they are {rough[1] / rough[0]:.2g}"
            " times as rough as along the one before. Store numpy.swapaxes(waveform, 1, 2); if the order is right"
            " after all, say so by the dimensions' names (unit, channel, time) of a Zarr store of xarray's"
        )


def _of_axis(x: Float[np.ndarray, "row _ _"], axis: int) -> tuple[float, float]:
    """Return how rough rows are along an axis, and which share of them has its peak at the commonest place of it."""
    rough = np.median(np.square(np.diff(x, axis=axis)).sum(axis=(1, 2)) / np.square(x).sum(axis=(1, 2)))
    return float(rough), float(np.bincount(_peaks(x, axis)).max() / len(x))


def _peaks(x: Float[np.ndarray, "row _ _"], axis: int) -> Int[np.ndarray, " row"]:
    """Return the place of each row's peak along an axis."""
    return np.asarray(np.abs(x).max(axis=3 - axis).argmax(axis=1))
