"""The source of a cell's potentials: its geometry and the membrane currents of its spikes."""

import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from spiketype.damage import Archive, readable
from spiketype.edge import Json, whole_file


@dataclass(frozen=True, eq=False)
class Source:
    """Line segments and the currents that leave them, in the morphology's own frame (apical along +y).

    The soma's centre is the origin. ``current_nA`` is the transmembrane current (outward positive) less its
    value at the first sample of each spike, so that it sums to zero over segments at all times: see
    `simulator.neuron.child.without_monopole`.
    """

    name: str
    start_um: np.ndarray
    """(segment, 3) float32."""
    end_um: np.ndarray
    """(segment, 3) float32."""
    diameter_um: np.ndarray
    """(segment,) float32."""
    current_nA: np.ndarray
    """(spike, segment, time) float32."""
    soma_mV: np.ndarray
    """(spike, time) float32."""
    dt_ms: float
    provenance: Json
    """What it was made from and with."""

    def save(self, path: Path) -> None:
        """Write one ``.npz`` without pickles, whole or not at all."""
        arrays = {name: getattr(self, name) for name in _DIMENSIONS}
        header = json.dumps({"name": self.name, "dt_ms": self.dt_ms, "provenance": self.provenance})
        with whole_file(path) as partial, partial.open("wb") as file:
            np.savez(file, header=np.asarray(header), **arrays)

    @staticmethod
    def load(path: Path) -> "Source":
        """Read what `save` wrote.

        Raises:
            UserError: the file is absent, damaged or something else; the message names it.
        """
        with readable(path, "a source", "delete it, and it is made again"):
            archive = Archive(path)
            header = json.loads(str(archive.read("header")))
            arrays = {name: archive.read(name) for name in _DIMENSIONS}
            source = Source(**arrays, **header)  # type: ignore[arg-type]  # checked now
            _check(source)
        return source


_DIMENSIONS = {
    "start_um": ("segment", "xyz"),
    "end_um": ("segment", "xyz"),
    "diameter_um": ("segment",),
    "current_nA": ("spike", "segment", "time"),
    "soma_mV": ("spike", "time"),
}
assert {field.name for field in fields(Source)} == {*_DIMENSIONS, "name", "dt_ms", "provenance"}


def _check(source: Source) -> None:
    """Raise ValueError unless the shapes agree and every number is finite."""
    if not (isinstance(source.name, str) and isinstance(source.provenance, dict) and source.dt_ms > 0):
        raise ValueError("its header is not one of a source")
    size = {"xyz": 3}
    for name, dimensions in _DIMENSIONS.items():
        array = getattr(source, name)
        if array.dtype != np.float32 or array.ndim != len(dimensions):
            raise ValueError(f"{name} is {array.dtype} {array.shape}, not float32 ({', '.join(dimensions)})")
        for dimension, length in zip(dimensions, array.shape, strict=True):
            if size.setdefault(dimension, length) != length:
                raise ValueError(f"{name} has {length} along {dimension}, expected {size[dimension]}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not finite")
