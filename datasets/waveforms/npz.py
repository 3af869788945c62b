"""Tables of waveforms in NumPy's files: named arrays with a row for each unit or spike (.npz), or waveforms (.npy)."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from spiketype.damage import Archive, read_npy
from spiketype.datasets.waveforms import columns
from spiketype.datasets.waveforms.columns import (
    CONTACTS,
    GROUPS,
    HISTOGRAMS,
    LABEL,
    PRODUCER,
    UNITS,
    WAVEFORM,
    Column,
    Columns,
)
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.edge import whole_file


def load(path: Path, label: str | None, rate_kHz: float | None) -> WaveformTable:
    """Read ``waveform`` (row, time) or (row, channel, time) and the columns beside it; an .npy holds the former alone.

    Args:
        path: an .npz or .npy file.
        label: the column of classes; by default ``label`` where there is one.
        rate_kHz: sampling rate, for a file without ``rate_kHz`` or ``rate_Hz``; a file's own takes precedence, with a
            message.

    Raises:
        UserError: a damaged file, or what `columns.table` refuses.
    """
    if path.suffix.lower() == ".npy":
        arrays = Columns([WAVEFORM], lambda _: Column(read_npy(path)))
    else:
        archive = Archive(path)
        arrays = Columns(archive.names, lambda name: Column(archive.read(name)))
    return columns.table(path, arrays, label, rate_kHz, producer=f"NumPy {path.suffix.lower()}")


def write(path: Path, table: WaveformTable) -> None:
    """Write a table as an .npz that `load` reads, whole or not at all."""
    names = {name: np.array(getattr(table, f"{name}_names"))[getattr(table, name)] for name in GROUPS}
    found: dict[str, ArrayLike] = {WAVEFORM: table.waveform, "rate_kHz": table.rate_kHz, UNITS: table.units, **names}
    found |= {name: getattr(table, name) for name in HISTOGRAMS if getattr(table, name) is not None}
    if table.producer:
        found[PRODUCER] = table.producer
    if table.contact_um is not None:
        found[CONTACTS] = table.contact_um
    if table.class_names:
        found[LABEL] = np.array([*table.class_names, "unknown"])[table.label]
    with whole_file(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, **found)  # type: ignore[arg-type]  # a column may have any name but allow_pickle
