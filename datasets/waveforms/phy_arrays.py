"""The arrays of a phy folder, ``NAME.npy``, as the programs of many years wrote them."""

from pathlib import Path

import numpy as np

from spiketype.damage import read_npy
from spiketype.edge import UserError

KILOSORT_4 = ("whitening_mat_dat.npy", "spike_detection_templates.npy", "kept_spikes.npy", "ops.npy")


def array(path: Path, name: str, dimensions: int) -> np.ndarray | None:
    """Read NAME.npy, whole numbers or float64 of so many dimensions; None if there is no such file."""
    file = path / f"{name}.npy"
    if not file.exists():
        return None
    values = read_npy(file)
    if values.dtype.kind not in "fiu":
        raise UserError(f"{file} holds {values.dtype}, not numbers")
    values = values.astype(np.float64) if values.dtype.kind == "f" else values
    values = values.reshape(-1) if dimensions == 1 else values
    if values.ndim != dimensions:
        raise UserError(f"{file} has {values.ndim} dimensions, expected {dimensions}")
    return values


def whole(path: Path, name: str, dimensions: int) -> np.ndarray | None:
    """Read an array of whole numbers, of whatever type; in a table of channels, NaN is -1."""
    values = array(path, name, dimensions)
    if values is None or values.dtype.kind == "i":
        return None if values is None else values.astype(np.int64)
    if dimensions > 1 and values.dtype.kind == "f":
        values = np.where(np.isnan(values), -1, values)
    if not ((values == np.round(values)) & (np.abs(values) < 2**62)).all():
        raise UserError(f"{path / name}.npy must hold whole numbers: it is damaged")
    return values.astype(np.int64)


def is_kilosort_4(path: Path) -> bool:
    """Say whether a folder has what no other program writes."""
    return any((path / name).exists() for name in KILOSORT_4)
