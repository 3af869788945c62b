"""Predicted soma positions of test samples, and how far off they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from spiketype.edge import Json
from spiketype.train.judging import predictions
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.intervals import bootstrap
from spiketype.train.tasks.eap.metrics import Resampling, header

STATISTICS = (
    *(f"{axis}_{kind}" for kind in ("mean_abs", "median_abs", "rms") for axis in "xyz"),
    *("mean_3d", "median_3d", "percentile_90_3d"),
)


@dataclass(frozen=True)
class Positions:
    """Predicted positions of samples, one for each repeat (seed).

    Attributes:
        predicted_um: x, y, z in the array's frame.
        true_um: where the soma is.
        cell: index into `cell_names`.
        cell_names: of the cell models.
        row_names: of the samples.

    Raises:
        ValueError: no row, another shape, or a position that is not finite (its row is named).
    """

    predicted_um: Float[np.ndarray, "repeat row 3"]
    true_um: Float[np.ndarray, "row 3"]
    cell: Int[np.ndarray, " row"]
    cell_names: tuple[str, ...]
    row_names: tuple[str, ...]

    def __post_init__(self) -> None:
        rows = len(self.row_names)
        if not rows:
            raise ValueError("Positions: expected at least one row, got none")
        if self.predicted_um.shape[1:] != (rows, 3) or self.true_um.shape != (rows, 3) or self.cell.shape != (rows,):
            shapes = self.predicted_um.shape, self.true_um.shape, self.cell.shape
            raise ValueError(f"Positions: expected {rows} rows, got shapes {shapes}")
        finite = np.isfinite(self.predicted_um).all(axis=(0, 2)) & np.isfinite(self.true_um).all(axis=1)
        if not finite.all():
            raise ValueError(f"Positions: row {int(np.argmin(finite))} is not finite")

    def write(self, path: Path, others: Mapping[str, Calls], name: str) -> None:
        """Write predictions.zarr; there are no others to compare with."""
        arrays = {
            "predicted_um": (("repeat", "axis"), self.predicted_um.transpose(1, 0, 2)),
            "true_um": (("axis",), self.true_um),
            "group": ((), self.cell),
        }
        predictions.write(path, self.row_names, arrays, {"axis": tuple("xyz")}, {})


def error_statistics(error_um: Float[np.ndarray, "prediction 3"]) -> Float[np.ndarray, " statistic"]:
    """Return `STATISTICS` of errors."""
    size, length = np.abs(error_um), np.linalg.norm(error_um, axis=1)
    by_axis = size.mean(axis=0), np.median(size, axis=0), np.sqrt(np.mean(size**2, axis=0))
    return np.concatenate([*by_axis, [length.mean(), *np.quantile(length, [0.5, 0.9])]])


def position_summary(
    p: Positions, baseline_um: Float[np.ndarray, "row 3"], how: Resampling, split: str, folds: int
) -> Json:
    """Return errors of predicted positions in um, per axis and in 3D, beside those of always saying the baseline.

    Args:
        p: predictions.
        baseline_um: mean position in the training part of each row's fold.
        how: cell models are redrawn, or samples, all repeats of one together.
        split: its name.
        folds: their number.
    """
    error = p.predicted_um.astype(float) - p.true_um
    constant = np.broadcast_to(baseline_um - p.true_um.astype(float), error.shape)

    def both(rows: np.ndarray) -> np.ndarray:
        ours, theirs = (error_statistics(e[:, rows].reshape(-1, 3)) for e in (error, constant))
        return np.stack([ours, theirs, ours - theirs])

    unit = p.cell if how.by_group else np.arange(len(p.cell))
    estimate = bootstrap(both, unit, how.rng, how.resamples)
    tables = ("error_um", "baseline_error_um", "ours_minus_baseline_um")
    return (
        header(p.cell, len(p.predicted_um), folds, how, split)
        | {
            table: {name: estimate.at((which, k)).to_json() for k, name in enumerate(STATISTICS)}
            for which, table in enumerate(tables)
        }
        | {"per_cell": [_of_cell(p, error, int(cell), how) for cell in np.unique(p.cell)]}
    )


def _of_cell(p: Positions, error_um: np.ndarray, cell: int, how: Resampling) -> Json:
    """Return the mean 3D error of one cell model, its interval about further placements of it."""
    rows = np.flatnonzero(p.cell == cell)
    length = np.linalg.norm(error_um[:, rows], axis=2)
    unit = np.arange(len(rows))
    mean = bootstrap(lambda drawn: length[:, drawn].mean(), unit, how.rng, how.resamples)
    return {"cell": p.cell_names[cell], "samples": len(rows), "mean_3d_error_um": mean.to_json()}
