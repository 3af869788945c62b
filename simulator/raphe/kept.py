"""Cells that are simulated already, kept beside the store to be until it is written, so that a stop loses few."""

import hashlib
import json
import shutil
import zipfile
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from spiketype.datasets.raphe.extract import CellSpikes
from spiketype.datasets.raphe.table import LabelledCell
from spiketype.edge import versions, whole_file
from spiketype.simulator.raphe.cells import Cell
from spiketype.simulator.raphe.config import RapheConfig

WORDS = "words"  # beside the arrays: what is none, as JSON


class Kept:
    """The cells of one configuration and one version of the program; others are not found."""

    def __init__(self, out: Path, config: RapheConfig) -> None:
        """Name the folder of cells of a store."""
        of = json.dumps([asdict(config), versions(commit=False)], sort_keys=True)
        self._out = out
        self.folder = out.with_name(f".{out.name}.{hashlib.sha256(of.encode()).hexdigest()[:12]}.cells")

    def write(self, cell: LabelledCell) -> None:
        """Keep a cell, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        spikes = {field.name: getattr(cell.spikes, field.name) for field in fields(CellSpikes)}
        arrays = {name: value for name, value in spikes.items() if isinstance(value, np.ndarray)}
        about = {name: value for name, value in spikes.items() if name not in arrays}
        labels = {"label": cell.label, "source": cell.source, "true_udi_ms": cell.true_udi_ms}
        words = json.dumps([about, labels], default=np.generic.item)
        with whole_file(self._path(cell.day, cell.name)) as partial, open(partial, "wb") as file:
            np.savez(file, allow_pickle=False, **(arrays | {WORDS: np.array(words)}))

    def read(self, cell: Cell) -> LabelledCell | None:
        """Return a cell that is kept, None where it is not, or not readable."""
        try:
            with open(self._path(cell.day, cell.name), "rb") as file, np.load(file) as found:
                arrays = {name: found[name] for name in found.files if name != WORDS}
                about, labels = json.loads(str(found[WORDS]))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None
        spikes = CellSpikes(**arrays, **(about | {"notes": tuple(about["notes"])}))
        return LabelledCell(name=cell.name, day=cell.day, spikes=spikes, **labels)

    def remove(self) -> None:
        """Remove all of them, and those of other configurations or versions of the same store."""
        for folder in self._out.parent.glob(f".{self._out.name}.*.cells"):
            shutil.rmtree(folder, ignore_errors=True)

    def _path(self, day: str, name: str) -> Path:
        return self.folder / f"{day}-{name}.npz"
