"""The files of a SpikeInterface SortingAnalyzer, in either of its two formats, read to the same arrays and objects.

Binary folder: JSON files, and ``NAME.npy`` for each array. Zarr: the same names as groups and arrays, and JSON as
attributes. Zarr's consolidated metadata is not used: 0.101.0 wrote it before the extensions, and it lists arrays of
objects, which are not needed and which Zarr 3 does not open.
"""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import zarr

from spiketype.damage import PICKLED, read_npy, readable, valid
from spiketype.datasets.waveforms import pickled_words
from spiketype.datasets.zarr_arrays import check
from spiketype.edge import Json, UserError, read_json


def is_analyzer(path: Path) -> bool:
    """Say whether a folder or a Zarr group is a SortingAnalyzer."""
    if (path / Folder.FILES["info"]).exists():
        return True
    try:
        return "spikeinterface_info" in Group(path).attributes(".")
    except UserError:
        return False


def open_source(path: Path) -> "Source":
    """Return the files of an analyzer."""
    return Folder(path) if (path / Folder.FILES["info"]).exists() else Group(path)


class Source(ABC):
    """The files of an analyzer."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def array(self, name: str) -> np.ndarray | None:
        """Return an array, or None if there is none of that name."""

    @abstractmethod
    def json(self, name: str) -> Json:
        """Return the object called settings, sorting or recording.

        Raises:
            UserError: it is not there, or damaged.
        """

    @abstractmethod
    def names(self, group: str) -> list[str]:
        """Return the names of the arrays in a group."""

    @abstractmethod
    def completed(self, extension: str) -> bool:
        """Say whether an extension is there and was computed to its end."""

    @abstractmethod
    def version(self) -> str:
        """Return the release of SpikeInterface that wrote it, "" if it does not say."""

    @abstractmethod
    def probes(self) -> list[Json]:
        """Return the probes in probeinterface's JSON; none if they are missing or damaged."""

    @abstractmethod
    def unit_ids(self, sorting: Json) -> np.ndarray:
        """Return the ids of the units as words (unit,)."""

    @abstractmethod
    def spikes(self, segments: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return sample, unit index and segment index (spike,)."""

    def damaged(self, name: str, why: object) -> UserError:
        """Return the error that a part is missing or damaged."""
        return UserError(f"{self.path} is not a complete SortingAnalyzer: {name}: {why}: copy it again")

    def read_json(self, name: str) -> Json | None:
        """Return a file's JSON object, or None if there is no such file."""
        file = self.path / name
        return read_json(file, f"{self.path} is not a complete SortingAnalyzer") if file.exists() else None


class Folder(Source):
    """The files of the format ``binary_folder``."""

    FILES = {  # noqa: RUF012
        "info": "spikeinterface_info.json",
        "settings": "settings.json",
        "sorting": "sorting/numpysorting_info.json",
        "recording": "recording_info/recording_attributes.json",
    }

    def array(self, name: str) -> np.ndarray | None:
        """Return an array, or None if there is none of that name; waveforms stay on the disk."""
        file = self.path / f"{name}.npy"
        if not file.exists():
            return None
        try:
            return read_npy(file, on_disk=file.stem == "waveforms")
        except UserError as error:
            words = pickled_words.read(file) if PICKLED in str(error) else None
            if words is not None:
                return words
            if PICKLED in str(error):
                raise UserError(
                    f"{self.path}: {name} holds Python objects that are no text, which are not read: make it text with"
                    " set_property(NAME, values.astype(str)) and save again, or use scripts/export_units.py"
                ) from None
            raise self.damaged(f"{name}.npy", error) from None

    def json(self, name: str) -> Json:
        """Return the object of a file of `FILES`."""
        value = self.read_json(self.FILES[name])
        if value is None:
            raise self.damaged(self.FILES[name], "it is not there")
        return value

    def names(self, group: str) -> list[str]:
        """Return the names of the arrays in a group."""
        return sorted(file.stem for file in (self.path / group).glob("*.npy") if not file.name.startswith("."))

    def completed(self, extension: str) -> bool:
        """Say whether an extension is there and was computed to its end."""
        folder = f"extensions/{extension}"
        info = self.read_json(f"{folder}/run_info.json")
        return (self.path / folder).is_dir() and (info is None or bool(info.get("run_completed")))

    def version(self) -> str:
        """Return the release of SpikeInterface that wrote it, "" if it does not say."""
        return str((self.read_json(self.FILES["info"]) or {}).get("version", ""))

    def probes(self) -> list[Json]:
        """Return the probes in probeinterface's JSON; none if they are missing or damaged."""
        return _probes(self.read_json("recording_info/probegroup.json"))

    def unit_ids(self, sorting: Json) -> np.ndarray:
        """Return the ids of the units as words (unit,)."""
        ids = sorting.get("unit_ids")
        if not isinstance(ids, list) or not all(isinstance(one, int | float | str) for one in ids):
            raise self.damaged(self.FILES["sorting"], "it has no list of unit_ids")
        return np.array([str(one) for one in ids], dtype=str)

    def spikes(self, segments: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return sample, unit index and segment index (spike,)."""
        name, fields = "sorting/spikes", ("sample_index", "unit_index", "segment_index")
        found = self.array(name)
        if found is None or found.ndim != 1 or not set(fields) <= set(found.dtype.names or ()):
            raise self.damaged(f"{name}.npy", "it is not there, or no list of spikes")
        sample, unit, segment = (found[field] for field in fields)
        return sample, unit, segment


class Group(Source):
    """The arrays and attributes of the format ``zarr``, of Zarr's version 2 or 3."""

    ATTRIBUTES = {  # noqa: RUF012
        "settings": (".", "settings"),
        "sorting": ("sorting", None),
        "recording": ("recording_info", "recording_attributes"),
    }

    def array(self, name: str) -> np.ndarray | None:
        """Return an array, or None if there is none of that name."""
        if not any((self.path / name / file).exists() for file in (".zarray", "zarr.json")):
            return None
        where = f"{self.path}, array {name},"
        with readable(where, "Zarr"):
            found = zarr.open_array(self.path / name, mode="r")
            check(found, where)
            # Zarr 2 writes every chunk, and Zarr 3 gives what is missing as the fill value.
            whole = found.metadata.zarr_format != 2 or found.nchunks_initialized == found.nchunks
            values = valid(np.asarray(found[...])) if whole else None
        if values is None:
            raise self.damaged(name, "chunks are missing")
        return values

    def attributes(self, group: str) -> Json:
        """Return a group's attributes."""
        attributes = self.read_json(f"{group}/.zattrs")
        if attributes is None:
            attributes = (self.read_json(f"{group}/zarr.json") or {}).get("attributes", {})
        return attributes if isinstance(attributes, dict) else {}

    def json(self, name: str) -> Json:
        """Return the object among the attributes that `ATTRIBUTES` says."""
        group, key = self.ATTRIBUTES[name]
        attributes = self.attributes(group)
        value = attributes if key is None else attributes.get(key)
        if not isinstance(value, dict) or not value:
            raise self.damaged(f"{group}/{key or 'attributes'}", "it is not there")
        return value

    def names(self, group: str) -> list[str]:
        """Return the names of the arrays in a group."""
        return sorted(
            {file.parent.name for mark in (".zarray", "zarr.json") for file in (self.path / group).glob(f"*/{mark}")}
        )

    def completed(self, extension: str) -> bool:
        """Say whether an extension is there and was computed to its end."""
        folder = f"extensions/{extension}"
        info = self.attributes(folder).get("run_info")
        return (self.path / folder).is_dir() and (not isinstance(info, dict) or bool(info.get("run_completed")))

    def version(self) -> str:
        """Return the release of SpikeInterface that wrote it, "" if it does not say."""
        info = self.attributes(".").get("spikeinterface_info")
        return str(info.get("version", "")) if isinstance(info, dict) else ""

    def probes(self) -> list[Json]:
        """Return the probes in probeinterface's JSON; none if they are missing or damaged."""
        return _probes(self.attributes("recording_info").get("probegroup"))

    def unit_ids(self, sorting: Json) -> np.ndarray:
        """Return the ids of the units as words (unit,)."""
        ids = self.array("sorting/unit_ids")
        if ids is None or ids.ndim != 1 or ids.dtype.kind not in "iufUT":
            raise self.damaged("sorting/unit_ids", "it is not there, or no list of ids")
        return np.array([str(one) for one in ids.tolist()], dtype=str)

    def spikes(self, segments: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return sample, unit index and segment index (spike,)."""
        group = "sorting/spikes"
        sample, unit, bounds = (
            self.array(f"{group}/{name}") for name in ("sample_index", "unit_index", "segment_slices")
        )
        if sample is None or unit is None or bounds is None:
            raise self.damaged(group, "sample_index, unit_index or segment_slices is not there")
        length = np.diff(bounds, axis=-1).ravel() if bounds.shape == (segments, 2) else np.zeros(0, int)
        if sample.ndim != 1 or unit.shape != sample.shape or (length < 0).any() or length.sum() != len(sample):
            raise self.damaged(group, f"{sample.shape} samples, {unit.shape} units, segments {bounds.tolist()}")
        return sample, unit, np.repeat(np.arange(segments), length)


def _probes(group: object) -> list[Json]:
    probes = group.get("probes") if isinstance(group, dict) else None
    return [probe for probe in probes if isinstance(probe, dict)] if isinstance(probes, list) else []
