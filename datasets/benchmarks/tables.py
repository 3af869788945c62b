"""The samples of each kind of data: their names, labels and groups, read from a store or from published tables."""

from pathlib import Path

import numpy as np

from spiketype.datasets import eap, store
from spiketype.datasets.allen import cells, species
from spiketype.datasets.allen.table import DENDRITES, SPECIES, load
from spiketype.datasets.benchmarks.samples import Samples
from spiketype.datasets.options import WaveformOptions
from spiketype.datasets.raphe import table as raphe
from spiketype.datasets.waveforms.matrix import DIGITS, read_units


def of_eap(path: Path) -> Samples:
    """Return the samples of an EAP store, each called by its cell and its number among the cell's samples."""
    table = eap.load(path)
    cell, names = store.read(path, "cell"), np.array(list(map(str, store.read(path, "cell_name"))))
    position = {f"{axis}_um": np.ascontiguousarray(table.position_um[:, k]) for k, axis in enumerate("xyz")}
    return {
        "id": _numbered(names, cell),
        "sample": np.arange(len(cell)),
        "cell": np.array(table.cell_names)[table.cell],
        "type": np.array(table.type_names)[table.type],
        "m_type": np.array(table.m_type_names)[table.m_type],
        "ei": np.where(table.excitatory, "excitatory", "inhibitory"),
        **position,
        "distance_um": table.distance_um,
        "amplitude_uV": table.amplitude_uV,
    }


def of_raphe(path: Path) -> Samples:
    """Return the spikes of a raphe store, each called by its cell and its number among the cell's spikes."""
    table = raphe.load(path)
    known = table.label >= 0
    return {
        "id": _numbered(np.array(table.cell_names), table.cell),
        "sample": np.arange(len(table.cell)),
        "cell": np.array(table.cell_names)[table.cell],
        "day": np.array(table.day_names)[table.day],
        "serotonergic": np.where(known, np.array(table.class_names)[table.label], ""),
        "atypical": np.where(table.atypical[table.cell] == 1, "yes", "no"),
    }


def _numbered(names: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return names such as ``CELL/000012``, of the 13th sample of a group."""
    rank = np.empty(len(group), np.int64)
    for k in np.unique(group):
        rows = np.flatnonzero(group == k)
        rank[rows] = np.arange(len(rows))
    return np.array([f"{names[k]}/{n:06d}" for k, n in zip(group.tolist(), rank.tolist(), strict=True)])


def of_subclasses(folder: Path) -> Samples:
    """Return the mouse cells of the Allen tables, with their subclasses."""
    table = cells.mouse(folder, 41, None)
    return {
        "id": table.specimen_id.astype(str),
        "subclass": np.array(table.class_names)[table.subclass],
        "donor": np.array(table.donor_names)[table.donor],
    }


def of_species(folder: Path) -> Samples:
    """Return the mouse and human cells of the Allen tables, spiny or aspiny."""
    table = species.usable(load(folder), "impute")
    return {
        "id": table.specimen_id.astype(str),
        "dendrite": np.array(DENDRITES)[table.spiny],
        "species": np.array(SPECIES)[table.species],
        "donor": np.array(table.donor_names)[table.donor],
    }


def of_digits() -> Samples:
    """Return scikit-learn's handwritten digits, each called by its number."""
    units = read_units(WaveformOptions(), Path(DIGITS))
    return {"id": np.array(units.unit_names), "digit": np.array(units.class_names)[units.label]}
