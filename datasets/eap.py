"""EAP stores as tables: feature images or waveforms as inputs, cell types as labels, cell models as groups."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import jax
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32

from spiketype import reading
from spiketype.datasets import batches, lattice, store
from spiketype.datasets.options import EapFeatures
from spiketype.datasets.values import check_together
from spiketype.edge import Json, UserError
from spiketype.location import Location

# Images of each feature set, in the letters of NeuroCNN: A amplitude, F full width at half maximum, W width.
IMAGES: dict[str, tuple[str, ...]] = {
    "aw": ("amplitude_uV", "width_ms"),
    "fw": ("fwhm_ms", "width_ms"),
    "afw": ("amplitude_uV", "fwhm_ms", "width_ms"),
    "waveform": ("eap_uV",),
}
# Fixed by the definition of the features (detection threshold, length of the window), so nothing is fitted to data.
THRESHOLD_UV, WINDOW_MS, TYPICAL_WIDTH_MS = 5.0, 7.0, 0.5
# Of what is read beside the inputs.
DIMENSIONS = {
    "cell": ("sample",),
    "position_um": ("sample", "axis"),
    "amplitude_uV": ("sample", "channel"),
    "m_type": ("cell_model",),
    "excitatory": ("cell_model",),
    "contact_um": ("channel", "axis"),
}
Samples = TypeVar("Samples", np.ndarray, jax.Array)  # those in a program are of JAX; both know their functions
AMPLITUDE = "amplitude_uV"
PIECE = 10_000  # samples of which amplitudes are read at once
STORED_BYTES, STORED = 400_000_000, 1000  # of `Inputs.stored`: at most so many; samples that lie together
COPIES = 3  # of the inputs at once while they are read, scaled and moved to the device


@dataclass(frozen=True)
class EapTable:
    """Samples of an EAP store.

    Attributes:
        store: where they are.
        m_type: index into `m_type_names`.
        excitatory: else inhibitory.
        position_um: of the soma.
        cell: index into `cell_names`: the group of a sample. Variants of a model are one group.
        distance_um: from the soma to the nearest contact.
        amplitude_uV: largest amplitude of any contact.
    """

    store: Location
    m_type: Int32[np.ndarray, " sample"]
    m_type_names: tuple[str, ...]
    excitatory: Bool[np.ndarray, " sample"]
    position_um: Float[np.ndarray, "sample 3"]
    cell: Int32[np.ndarray, " sample"]
    cell_names: tuple[str, ...]
    distance_um: Float[np.ndarray, " sample"]
    amplitude_uV: Float[np.ndarray, " sample"]

    @property
    def type_names(self) -> tuple[str, ...]:
        """Names of the m/e types, such as ``L5_BP_bAC217``: its cell models are one fit in several morphologies."""
        return tuple(dict.fromkeys(map(_type_of, self.cell_names)))

    @property
    def type(self) -> Int32[np.ndarray, " sample"]:
        """Index into `type_names`."""
        of_cell = np.array([self.type_names.index(_type_of(name)) for name in self.cell_names], np.int32)
        found: np.ndarray = of_cell[self.cell]
        return found


def _type_of(cell_name: str) -> str:
    return cell_name.rpartition("_")[0] or cell_name


ReadRows = Callable[[int, int], np.ndarray]  # start, stop -> these rows


def all_rows(read: ReadRows, count: int) -> np.ndarray:
    """Return rows 0 to `count`."""
    return read(0, count)


def load(path: Location, rows: Callable[[ReadRows, int], np.ndarray] = all_rows) -> EapTable:
    """Read the labels of an EAP store, and what a result is judged by.

    Args:
        path: the store.
        rows: (how to read rows, how many there are) -> all of them; several processes may each read some.

    Raises:
        UserError: not a complete EAP store, or damaged.
    """
    store.validate(path, "eap", tuple(DIMENSIONS))
    arrays = {name: store.read(path, name) for name in DIMENSIONS}
    check_together(path, arrays, DIMENSIONS, ("m_type",), {"cell": "cell_model"})
    cell, position_um = arrays["cell"].astype(np.int32), arrays["position_um"].astype(np.float32)
    cell_names, group = _groups(path, len(arrays["m_type"]))
    m_type_names, m_type = np.unique(list(map(str, arrays["m_type"])), return_inverse=True)
    contact_um = arrays["contact_um"]
    nearest = [np.linalg.norm(position_um - contact, axis=1) for contact in contact_um]
    table = EapTable(
        store=path,
        m_type=m_type[cell].astype(np.int32),
        m_type_names=tuple(map(str, m_type_names)),
        excitatory=arrays["excitatory"].astype(bool)[cell],
        position_um=position_um,
        cell=group[cell],
        cell_names=cell_names,
        distance_um=np.min(nearest, axis=0),
        amplitude_uV=rows(lambda start, stop: _peaks(path, start, stop), len(cell)),
    )
    _tell(table)
    return table


def _peaks(path: Location, start: int, stop: int) -> np.ndarray:
    found: np.ndarray = store.read(path, "amplitude_uV", start, stop).max(axis=1)
    return found


def _tell(table: EapTable) -> None:
    """Say what was read."""
    attributes = store.attributes(table.store, "eap")
    facts: Json = {
        "producer": store.producer(attributes),
        "config": store.config(attributes),
        "samples": len(table.cell),
        "cell_models": len(table.cell_names),
        "m_types": list(table.m_type_names),
        "excitatory_percent": round(100 * float(table.excitatory.mean()), 1),
        "in_units": "uV",
    }
    rotation = facts["config"].get("rotation", "?")
    text = f"{len(table.cell)} simulated EAPs of {len(table.cell_names)} cell models, {rotation}, uV"
    reading.found(table.store, facts, text)


class Inputs:
    """Inputs of a network, from the samples of a store: (sample, row, column, image) float32, in memory or on disk.

    Images are features in the units of the store or scaled (`scale`); a waveform is one image a time sample. They are
    of the probe's grid, or, where its contacts are on none, of a lattice (`datasets.lattice`), with one image more.

    Attributes:
        shape: (sample, row, column, image).
        images: what each image is; one name for all time samples of a waveform.
        lattice: on which the images are; None: on the grid of the probe.
        whole: the array, or None where it does not fit in memory and stays on disk.
    """

    def __init__(
        self, path: Location, features: EapFeatures, scaled: bool, whole: bool = True, pitch_um: float | None = None
    ) -> None:
        """Open the inputs of a complete store, which need have no labels.

        Args:
            path: the store.
            features: which inputs.
            scaled: bring them to comparable units, as `scale` does.
            whole: read them into memory if they fit.
            pitch_um: of a lattice, for contacts on a grid as well; None: the grid, else a lattice of the probe's pitch.

        Raises:
            UserError: not an EAP store, or incomplete, damaged, or without these features.
        """
        self.path, self.images, self._scaled = path, IMAGES[features], scaled
        grid = store.attributes(path, "eap").get("probe_grid")
        self.lattice = None if grid and pitch_um is None else lattice.lattice(_contacts(path), pitch_um)
        names = tuple(dict.fromkeys((*self.images, AMPLITUDE) if self.lattice else self.images))
        store.validate(path, "eap", names)
        self._arrays = {name: store.OnDisk(path, name) for name in names}
        first = self._arrays[self.images[0]].shape
        depth = first[2] if features == "waveform" and len(first) == 3 else len(self.images)
        if self.lattice is None:
            assert grid
            _check_images(path, grid, [array.shape for array in self._arrays.values()], features)
            self.shape = (first[0], int(grid[0]), int(grid[1]), depth)
        else:
            channels = [1, len(self.lattice.contact_um)]
            _check_images(path, channels, [self._arrays[name].shape for name in self.images], features)
            self.shape = (first[0], lattice.SIDE, lattice.SIDE, depth + 1)
        self.whole: Float32[np.ndarray, "sample row column image"] | None = None
        if whole and self.fit():
            self.whole = self.between(0, self.shape[0])

    @cached_property
    def middle_um(self) -> Float32[np.ndarray, "sample 3"]:
        """Where the images of each sample have their middle: at a contact of the lattice, or in that of the grid."""
        found = np.zeros((self.shape[0], 3), np.float32)
        if self.lattice is not None:
            for start in range(0, len(found), PIECE):
                amplitude_uV = self._arrays[AMPLITUDE][start : start + PIECE]
                found[start : start + PIECE] = lattice.middle(amplitude_uV, self.lattice)
        return found

    def fit(self, parts: int = 1) -> bool:
        """Say whether one of so many equal parts of the inputs fits in memory."""
        return batches.fits(COPIES * 4 * math.prod(self.shape) // parts)

    def between(self, start: int, stop: int) -> Float32[np.ndarray, "sample row column image"]:
        """Return the inputs of samples `start` to `stop`."""
        return self._images({name: array[start:stop] for name, array in self._arrays.items()})

    def pieces(
        self, index: Int[np.ndarray, " index"], size: int
    ) -> Iterator[Float32[np.ndarray, "size row column image"]]:
        """Yield the inputs of samples `index`, ascending, `size` at a time; the last piece is padded to `size`."""
        source = self._arrays if self.whole is None else {"whole": self.whole}
        for batch in batches.iterate(source, index, size):
            yield self._images(batch.arrays) if self.whole is None else batch.arrays["whole"]

    def rows(self, index: Int[np.ndarray, " index"]) -> Float32[np.ndarray, "index row column image"]:
        """Return the inputs of samples `index`, ascending, in memory."""
        if self.whole is not None:
            found: np.ndarray = self.whole[index]
            return found
        return np.concatenate([*self.pieces(index, 1000), np.empty((0, *self.shape[1:]), np.float32)])[: len(index)]

    def measured(self, index: Int[np.ndarray, " index"]) -> Float32[np.ndarray, "index row column image"]:
        """Return samples `index` in the units of the store, whatever the network is given."""
        arrays = {
            name: np.concatenate([array[i : i + 1] for i in index.tolist()]) for name, array in self._arrays.items()
        }
        return self._on_images(arrays, scaled=False)

    def stored(self) -> dict[str, np.ndarray]:
        """Return the arrays that the inputs are made of: whole, or, of those that are large, samples all over them.

        Which ones does not depend on the machine, nor on what is in memory.
        """
        share = -(-self.shape[0] * self._row_bytes() // STORED_BYTES)
        if share == 1:
            return {name: array[:] for name, array in self._arrays.items()}
        starts = range(0, self.shape[0], STORED * share)
        return {name: np.concatenate([a[k : k + STORED] for k in starts]) for name, a in self._arrays.items()}

    def stream(
        self, drawn: Iterable[Int[np.ndarray, "member batch"]]
    ) -> Iterator[tuple[Int[np.ndarray, "member batch"], Float32[np.ndarray, "member batch row column image"]]]:
        """Yield the samples drawn for each of some steps, and their inputs, read from disk: `batches.stream`."""
        for read in batches.stream(self._arrays, drawn, batches.rows_ahead(self._row_bytes())):
            flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in read.arrays.items()}
            yield read.sample, self._images(flat).reshape(*read.sample.shape, *self.shape[1:])

    def _row_bytes(self) -> int:
        return sum(array.dtype.itemsize * math.prod(array.shape[1:]) for array in self._arrays.values())

    def _images(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        return self._on_images(arrays, self._scaled)

    def _on_images(self, arrays: Mapping[str, np.ndarray], scaled: bool) -> np.ndarray:
        images: np.ndarray = as_images(arrays, self.images, self.shape[1:], scaled, self.lattice)
        return images


def as_images(
    arrays: Mapping[str, Samples],
    images: tuple[str, ...],
    shape: tuple[int, ...],
    scaled: bool,
    on: lattice.Lattice | None = None,
) -> Samples:
    """Return a network's inputs (sample, row, column, image), of arrays of a store.

    Args:
        arrays: by name; of NumPy, or of JAX inside a program.
        images: names of those that are images.
        shape: row, column, image.
        scaled: bring them to comparable units, as `scale` does.
        on: a lattice, for which there must be amplitudes; None: the grid.
    """
    values = [arrays[name] for name in images]
    xp = values[0].__array_namespace__()
    stacked = xp.astype(values[0] if values[0].ndim == 3 else xp.stack(values, axis=-1), np.float32)
    found: Samples = scale(stacked, images) if scaled else stacked
    return xp.reshape(found, (len(found), *shape)) if on is None else lattice.as_images(found, arrays[AMPLITUDE], on)


def _contacts(path: Location) -> Float32[np.ndarray, "channel 3"]:
    store.validate(path, "eap", ("contact_um",))
    found = store.read(path, "contact_um")
    if found.ndim != 2 or found.shape[1] != 3:
        raise UserError(
            f"{path}: contact_um of shape {found.shape} are no positions: delete the store and make it again"
        )
    return found.astype(np.float32)


def _groups(path: Location, cells: int) -> tuple[tuple[str, ...], Int32[np.ndarray, " cell"]]:
    """Return the published cell models of a store, and for each of its cells which of them it is.

    A variant is of its published model, and two collections may have one model: on two sides of a split they would
    make a model that is known look new. Stores of older versions have no variants.
    """
    known = str(store.attributes(path, "eap").get("coordinates")).split()
    of = _names(path, "model_name" if "model_name" in known else "cell_name")
    if len(of) != cells:
        raise UserError(f"{path} has {len(of)} names of {cells} cell models: delete the store and make it again")
    names = tuple(dict.fromkeys(of))
    return names, np.array([names.index(name) for name in of], np.int32)


def _check_images(path: Location, grid: object, shapes: list[tuple[int, ...]], features: EapFeatures) -> None:
    """Refuse arrays that are not images of the grid."""
    whole = isinstance(grid, list) and len(grid) == 2 and all(isinstance(n, int) and n > 0 for n in grid)
    channels = math.prod(grid) if isinstance(grid, list) and whole else 0
    if len({*shapes}) > 1 or len(shapes[0]) != (3 if features == "waveform" else 2) or shapes[0][1] != channels:
        raise UserError(
            f"{path}: arrays of shape {', '.join(map(str, shapes))} are no images of a grid of {grid}: delete the store"
            " and make it again"
        )


def _names(path: Location, name: str) -> tuple[str, ...]:
    return tuple(map(str, store.read(path, name)))


def scale(inputs: Samples, images: tuple[str, ...]) -> Samples:
    """Bring inputs (..., image) to comparable units of about 1, by fixed formulas: nothing is fitted to the samples.

    Amplitudes become ln(1 + A / 5 uV), which makes the fall with distance, over two decades, a slope; widths become
    ln(w / 0.5 ms), 0 at contacts below the detection threshold, whose width is the whole window; waveforms become
    sign(v) ln(1 + |v| / 5 uV).
    """
    xp = inputs.__array_namespace__()
    found: Samples
    if images == IMAGES["waveform"]:
        found = xp.sign(inputs) * xp.log1p(xp.abs(inputs) / np.float32(THRESHOLD_UV))
    else:
        found = xp.stack([_scaled(inputs[..., i], name) for i, name in enumerate(images)], axis=-1)
    return found


def _scaled(x: Samples, name: str) -> Samples:
    xp = x.__array_namespace__()
    found: Samples
    if name == "amplitude_uV":
        found = xp.log1p(x / np.float32(THRESHOLD_UV))
    else:
        shortest = xp.maximum(x, np.float32(TYPICAL_WIDTH_MS / 20))
        quiet = x > np.float32(WINDOW_MS - 1e-3)
        found = xp.where(quiet, np.float32(0), xp.log(shortest / np.float32(TYPICAL_WIDTH_MS)))
    return found
