"""Waveforms of units in any known format: one call that picks the reader."""

from pathlib import Path

from spiketype.datasets.waveforms import (
    analyzer,
    archive,
    cellexplorer,
    columns,
    csv_table,
    eap,
    hc3,
    matlab,
    npz,
    phy,
    stream,
    zarr_group,
)
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.edge import UserError

__all__ = ["WaveformTable", "load"]


def load(path: Path, label: str | None = None, rate_kHz: float | None = None) -> WaveformTable:
    """Read a table of waveforms.

    Args:
        path: an .npz file or a Zarr group with ``waveform`` and columns, as a .zip too; an .npy, .csv or .mat table;
            CellExplorer's ``NAME.cell_metrics.cellinfo.mat``; an EAP store; ``NAME.dat`` or a folder of such streams;
            ``NAME.xml`` or a folder of hc-3 sessions; the folder of a SpikeInterface analyzer or of phy.
        label: the column of classes; each reader says which it knows.
        rate_kHz: sampling rate, for sources that do not say it.

    Raises:
        UserError: an unrecognised format, or whatever the reader refuses.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist")
    with columns.readable(path, "a Zarr group"):  # their names for what is damaged
        is_store, is_analyzer = (path.is_dir() and found(path) for found in (eap.is_store, analyzer.is_analyzer))
    if is_store:
        return eap.load(path, label)
    if is_analyzer:
        return analyzer.load(path, label)
    if phy.is_phy(path):
        return phy.load(path, label)
    if path.is_file() and (found := _file(path, label, rate_kHz)) is not None:
        return found
    if path.is_dir() and zarr_group.is_group(path):
        return zarr_group.load(path, label, rate_kHz)
    if hc3.is_hc3(path):  # before streams: such folders hold NAME.dat beside NAME.xml
        return hc3.load(path, label)
    if path.suffix == stream.SUFFIX or (path.is_dir() and any(path.glob(f"*{stream.SUFFIX}"))):
        return stream.load(path, label, rate_kHz)
    raise UserError(
        f"{path} is of an unrecognised format: give an .npz file, a Zarr group, an .npy, .csv or .mat table, a .zip of"
        " one of these, CellExplorer's cell metrics (.mat), an EAP store, an int16 stream (.dat) or a folder of them,"
        " the .xml of an hc-3 session or a folder of them, or the folder of a SpikeInterface analyzer or of phy"
    )


def _file(path: Path, label: str | None, rate_kHz: float | None) -> WaveformTable | None:
    """Read a file that holds a table by itself; None if it is of no such format."""
    if cellexplorer.is_metrics(path):
        return cellexplorer.load(path, label)
    suffix = path.suffix.lower()
    if suffix == ".zip":
        return archive.load(path, label, rate_kHz, load)
    readers = {".npz": npz.load, ".npy": npz.load, ".csv": csv_table.load, ".mat": matlab.load}
    return readers[suffix](path, label, rate_kHz) if suffix in readers else None
