"""Waveforms of units from wherever they are: one call that picks the reader by what the path is."""

from pathlib import Path

from datasets import waveform_npz
from datasets.edge import UserError
from datasets.waveform_table import WaveformTable

__all__ = ["WaveformTable", "load"]


def load(path: Path, label: str | None = None, rate_kHz: float | None = None) -> WaveformTable:
    """Read a table of waveforms.

    Args:
        path: an .npz file or a Zarr group with ``waveform`` and columns.
        label: the column of classes; each reader says which it knows.
        rate_kHz: sampling rate, for sources that do not say it.

    Raises:
        UserError: nothing that any reader knows, or the reader's own complaint.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist")
    if path.suffix == ".npz" or (path.is_dir() and _is_zarr(path)):
        return waveform_npz.load(path, label, rate_kHz)
    raise UserError(f"{path} is nothing that can be read: give an .npz file or a Zarr group")


def _is_zarr(path: Path) -> bool:
    return any((path / name).exists() for name in ("zarr.json", ".zgroup"))
