"""What the Allen tasks leave behind: probabilities of all models as a store, calls of new cells as a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr


def write_predictions(
    folder: Path,
    models: Mapping[str, np.ndarray],
    label: np.ndarray,
    specimen_id: np.ndarray,
    classes: Sequence[str],
) -> None:
    """predictions.zarr of a run folder: models are probabilities (repeat, cell, class), 0 where not tested."""
    arrays: dict[str, Any] = {
        "probability": (("model", "repeat", "cell", "class"), np.stack(list(models.values()))),
        "label": ("cell", label),
        "specimen_id": ("cell", specimen_id),
    }
    # Names as attributes: Zarr 3 has no specification for text yet.
    found = xr.Dataset(arrays, attrs={"models": list(models), "classes": list(classes)})
    found.to_zarr(folder / "predictions.zarr", mode="w", zarr_format=3, consolidated=False)


def calls(
    ids: Sequence[str], x: np.ndarray, probability: np.ndarray, classes: Sequence[str], certain: float
) -> dict[str, Any]:
    """Columns of the table of calls: class, or "no call" below the probability `certain`, and all probabilities.

    ids (cell,); x (cell, feature) as measured, with NaN; probability (cell, class).
    """
    best = probability.max(axis=1)
    likeliest = np.array(classes)[probability.argmax(axis=1)]
    table: dict[str, Any] = {
        "cell": np.array(ids),
        "call": np.where(best >= certain, likeliest, "no call"),
        "likeliest": likeliest,
        "probability": best,
        "missing_features": np.isnan(x).sum(axis=1),
    }
    return table | {f"p_{name}": probability[:, k] for k, name in enumerate(classes)}
