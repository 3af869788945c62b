"""Tables of waveforms in .npz files and Zarr groups: arrays with a row for each unit or spike, under known names."""

import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import ArrayLike

from spiketype.datasets.waveforms.table import WaveformTable, build
from spiketype.edge import UserError, whole_file

WAVEFORM, RATE, LABEL = "waveform", "rate_kHz", "label"
# The names under which a column is looked for; the first that is there counts.
GROUPS = {"animal": ("animal", "subject", "mouse"), "session": ("session", "recording"), "unit": ("unit", "cluster")}
HISTOGRAMS = {"isi": ("isi",), "autocorrelogram": ("autocorrelogram", "acg")}


def load(path: Path, label: str | None, rate_kHz: float | None) -> WaveformTable:
    """Read ``waveform`` (row, time) or (row, channel, time) and the columns beside it.

    Args:
        path: an .npz file, or a folder that is a Zarr group.
        label: the column of classes; by default ``label`` where there is one.
        rate_kHz: sampling rate, for a file without ``rate_kHz``; a file's own takes precedence, with a message.

    Raises:
        UserError: no such arrays; a rate that is missing; rates that are mixed.
    """
    arrays = _zarr(path) if path.is_dir() else _npz(path)
    if WAVEFORM not in arrays:
        raise UserError(f"{path} has no array {WAVEFORM!r}; it has {_listed(arrays)}")
    waveform = np.asarray(arrays[WAVEFORM])
    if waveform.dtype.kind not in "fiu":
        raise UserError(f"{path}: array {WAVEFORM!r} holds {waveform.dtype}, not numbers")
    units = str(np.asarray(arrays.get("units", "as stored")))
    column = LABEL if label is None and LABEL in arrays else label
    if column is not None and column not in arrays:
        raise UserError(f"{path} has no column {column!r}; it has {_listed(arrays)}")
    found = {name: _first(arrays, aliases) for name, aliases in {**GROUPS, **HISTOGRAMS}.items()}
    return build(
        path,
        waveform,
        _rate(path, arrays, rate_kHz),
        None if column is None else np.asarray(arrays[column]),
        units=units,
        **found,
    )


def write(path: Path, table: WaveformTable) -> None:
    """Write a table as an .npz that `load` reads, whole or not at all."""
    names = {name: np.array(getattr(table, f"{name}_names"))[getattr(table, name)] for name in GROUPS}
    columns: dict[str, ArrayLike] = {WAVEFORM: table.waveform, RATE: table.rate_kHz, "units": table.units, **names}
    columns |= {name: getattr(table, name) for name in HISTOGRAMS if getattr(table, name) is not None}
    if table.class_names:
        columns[LABEL] = np.array([*table.class_names, "unknown"])[table.label]
    with whole_file(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, **columns)  # type: ignore[arg-type]  # a column may have any name but allow_pickle


def _npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read as .npz without pickles: {error}") from error


def _zarr(path: Path) -> dict[str, np.ndarray]:
    group = zarr.open_group(path, mode="r")
    arrays = {name: np.asarray(array[...]) for name, array in group.arrays()}
    return {**{k: np.asarray(v) for k, v in group.attrs.items() if k in (RATE, "units")}, **arrays}


def _rate(path: Path, arrays: Mapping[str, np.ndarray], given: float | None) -> float:
    if RATE not in arrays:
        if given is None:
            raise UserError(f"{path} does not say its sampling rate ({RATE!r}): give it with --rate-khz")
        return given
    rates = np.unique(np.asarray(arrays[RATE], np.float64))
    if len(rates) != 1:
        raise UserError(
            f"{path}: {len(rates)} sampling rates are mixed ({', '.join(f'{r:g}' for r in rates[:4])} kHz): one array"
            " of waveforms has one rate; resample them, or give one file for each"
        )
    if given is not None and not np.isclose(given, rates[0]):
        print(f"{path} says {rates[0]:g} kHz, so --rate-khz {given:g} is not used", file=sys.stderr)
    return float(rates[0])


def _first(arrays: Mapping[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    return next((np.asarray(arrays[name]) for name in names if name in arrays), None)


def _listed(arrays: Mapping[str, object]) -> str:
    return ", ".join(sorted(arrays)) or "none"
