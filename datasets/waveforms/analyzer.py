"""Templates of a SpikeInterface SortingAnalyzer, read from its files, in either of its two formats.

Binary folder: ``extensions/templates/average.npy`` (unit, time, channel), ``sorting/numpysorting_info.json``,
``sorting/spikes.npy`` and ``sorting/properties/NAME.npy``. Zarr: the same names as arrays, ids and rate with the group
``sorting``. ``settings`` says whether templates are in uV.
"""

import json
from pathlib import Path

import numpy as np
import zarr

from spiketype.datasets.waveforms import histograms
from spiketype.datasets.waveforms.table import WaveformTable, build
from spiketype.edge import Json, UserError

TEMPLATES, INFO = "extensions/templates/average", "sorting/numpysorting_info.json"


def is_analyzer(path: Path) -> bool:
    """Say whether a folder or a Zarr group is a SortingAnalyzer."""
    if (path / "spikeinterface_info.json").exists():
        return True
    try:
        return "spikeinterface_info" in zarr.open_group(path, mode="r").attrs
    except (FileNotFoundError, ValueError, OSError):
        return False


def load(path: Path, label: str | None) -> WaveformTable:
    """Read the average template of each unit; a property of units is the label.

    Raises:
        UserError: no templates were computed, no such property, or files that do not fit together.
    """
    source: _Folder | _Group = _Folder(path) if (path / "spikeinterface_info.json").exists() else _Group(path)
    average = source.array(TEMPLATES)
    if average is None:
        raise UserError(f"{path} has no templates: compute them with analyzer.compute(['random_spikes', 'templates'])")
    rate_Hz, unit_ids, in_uV = source.about()
    if average.ndim != 3 or len(average) != len(unit_ids):
        raise UserError(
            f"{path}: templates have shape {average.shape}, expected ({len(unit_ids)} units, time, channel)"
        )
    values = None
    if label is not None:
        values = source.array(f"sorting/properties/{label}")
        if values is None:
            raise UserError(f"{path}: units have no property {label!r}; they have {source.listed()}")
    isi, acg = _histograms(source, rate_Hz, len(unit_ids))
    return build(
        path,
        average.swapaxes(1, 2),
        rate_Hz / 1000,
        values,
        unit=np.array(unit_ids).astype(str),
        units="uV" if in_uV else "as recorded",
        isi=isi,
        autocorrelogram=acg,
    )


def _histograms(source: "_Folder | _Group", rate_Hz: float, units: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    sample, unit = source.spikes()
    if sample is None or unit is None:
        return None, None
    return histograms.histograms(sample * (1000 / rate_Hz), unit, np.arange(units))


class _Folder:
    """The files of the format ``binary_folder``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def array(self, name: str) -> np.ndarray | None:
        """Return an array, or None if there is none of that name."""
        file = self.path / f"{name}.npy"
        try:
            return np.load(file, allow_pickle=False) if file.exists() else None
        except (ValueError, OSError, EOFError) as error:
            raise UserError(f"{file} is damaged: {error}") from None

    def about(self) -> tuple[float, list[object], bool]:
        """Return the sampling rate (Hz), unit ids, and whether templates are in uV."""
        try:
            info, settings = (json.loads((self.path / file).read_text()) for file in (INFO, "settings.json"))
            return float(info["sampling_frequency"]), list(info["unit_ids"]), bool(settings["return_scaled"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.path} is not a complete SortingAnalyzer: {INFO} or settings.json ({error!r})"
            ) from None

    def spikes(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return sample and unit index of each spike of the first segment."""
        spikes = self.array("sorting/spikes")
        if spikes is None:
            return None, None
        spikes = spikes[spikes["segment_index"] == 0]
        return spikes["sample_index"], spikes["unit_index"]

    def listed(self) -> str:
        """List the names of the properties."""
        return ", ".join(sorted(p.stem for p in (self.path / "sorting/properties").glob("*.npy"))) or "none"


class _Group:
    """The arrays of the format ``zarr``."""

    def __init__(self, path: Path) -> None:
        self.path, self.group = path, zarr.open_group(path, mode="r")

    def array(self, name: str) -> np.ndarray | None:
        """Return an array, or None if there is none of that name."""
        return np.asarray(self.group[name]) if name in self.group else None

    def about(self) -> tuple[float, list[object], bool]:
        """Return the sampling rate (Hz), unit ids, and whether templates are in uV."""
        ids = self.array("sorting/unit_ids")
        try:
            assert ids is not None
            whole: Json = dict(self.group.attrs)
            sorting: Json = dict(self.group["sorting"].attrs)
            return float(sorting["sampling_frequency"]), ids.tolist(), whole.get("settings", {})["return_scaled"]
        except (KeyError, AssertionError, TypeError, ValueError) as error:
            raise UserError(
                f"{self.path} is not a complete SortingAnalyzer: its sorting or settings lack {error}"
            ) from None

    def spikes(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return sample and unit index of each spike; none if there are several segments, whose limits are not read."""
        if self.group["sorting"].attrs.get("num_segments", 1) != 1:
            return None, None
        return self.array("sorting/spikes/sample_index"), self.array("sorting/spikes/unit_index")

    def listed(self) -> str:
        """List the names of the properties."""
        found = self.group.get("sorting/properties")
        return ", ".join(sorted(found.array_keys())) if isinstance(found, zarr.Group) else "none"
