"""Waveforms of units in any known format: one call that picks the reader."""

from pathlib import Path

from spiketype.datasets.waveforms import analyzer, eap, hc3, npz, phy, stream
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.edge import UserError

__all__ = ["WaveformTable", "load"]


def load(path: Path, label: str | None = None, rate_kHz: float | None = None) -> WaveformTable:
    """Read a table of waveforms.

    Args:
        path: an .npz file or a Zarr group with ``waveform`` and columns; an EAP store; ``NAME.dat`` or a folder of such
            streams; ``NAME.xml`` or a folder of hc-3 sessions; the folder of a SpikeInterface analyzer or of phy.
        label: the column of classes; each reader says which it knows.
        rate_kHz: sampling rate, for sources that do not say it.

    Raises:
        UserError: an unrecognised format, or whatever the reader refuses.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist")
    if path.is_dir() and eap.is_store(path):
        return eap.load(path, label)
    if path.is_dir() and analyzer.is_analyzer(path):
        return analyzer.load(path, label)
    if phy.is_phy(path):
        return phy.load(path, label)
    if path.suffix == ".npz" or (path.is_dir() and _is_zarr(path)):
        return npz.load(path, label, rate_kHz)
    if path.suffix == stream.SUFFIX or _holds(path, f"*{stream.SUFFIX}"):
        return stream.load(path, label, rate_kHz)
    if path.suffix == ".xml" or _holds(path, "*.xml") or _holds(path, "*/*.xml"):
        return hc3.load(path, label)
    raise UserError(
        f"{path} is of an unrecognised format: give an .npz file, a Zarr group, an EAP store, an int16 stream (.dat) or"
        " a folder of them, the .xml of an hc-3 session or a folder of them, or the folder of a SpikeInterface analyzer"
        " or of phy"
    )


def _is_zarr(path: Path) -> bool:
    return any((path / name).exists() for name in ("zarr.json", ".zgroup"))


def _holds(path: Path, pattern: str) -> bool:
    return path.is_dir() and any(path.glob(pattern))
