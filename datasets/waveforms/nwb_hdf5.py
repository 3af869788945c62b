"""What the reader needs of an NWB file, read by a process of its own (`piped`): it imports nothing of spiketype.

References become the names of what they point to, or the values where these are meant.
"""

from pathlib import Path
from typing import Any

import numpy as np

INFLATED = 100  # times that compressed data may grow: a file that claims more is damaged
ALWAYS_BYTES = 2 * 10**7  # that any file may claim: both as `spiketype.damage` has them
MEAN = "waveform_mean"
WHOLE = ("id", MEAN, "spike_times", "electrodes")  # other columns are read if they have a value for each row
TEXTS = {
    "subject": "general/subject/subject_id",
    "species": "general/subject/species",
    "session": "general/session_id",
    "identifier": "identifier",
    "script": "general/source_script",
}
PROBES = ("general/extracellular_ephys", "general/devices")  # where AllenSDK keeps rates
ELECTRODES = "general/extracellular_ephys/electrodes"


def read(path: str) -> dict[str, Any]:
    """Read a file."""
    import h5py  # here: who wants the names above needs none

    with h5py.File(path, "r") as file:
        return _Reader(file, Path(path).stat().st_size).read()


class _Reader:
    def __init__(self, file: Any, size: int) -> None:
        self.file, self.size = file, size

    def read(self) -> dict[str, Any]:
        file = self.file
        version = file.attrs.get("nwb_version")
        if version is None:
            return {"version": "1" if "nwb_version" in file else None}
        tables = [file["units"]] if "units" in file else []
        for module in file.get("processing", {}).values():
            tables += [t for t in module.values() if self.word(t.attrs.get("neurodata_type", "")) == "Units"]
        tables = [table for table in tables if hasattr(table, "keys")]  # and no dataset, over which `in` would go
        found: dict[str, Any] = {
            "version": self.word(version),
            "tables": [table.name for table in tables],
            "with_means": [table.name for table in tables if MEAN in table],
        }
        if not found["with_means"]:
            return found
        units = file[found["with_means"][0]]
        region = units.get("electrodes")
        said = None if region is None else region.attrs.get("table")
        electrodes = file[said] if said is not None else file.get(ELECTRODES)
        groups = [file.get(name, {}) for name in PROBES]
        rates = [probe.attrs.get("sampling_rate") for group in groups for probe in group.values()]
        return found | {
            "texts": {key: self.text(name) for key, name in TEXTS.items()},
            "rates": [float(rate) for rate in rates if rate is not None],
            "units": self.table(units),
            "electrodes": None if electrodes is None else self.table(electrodes),
        }

    def table(self, table: Any) -> dict[str, tuple[Any, ...]]:
        """Return (values or None, shape, attributes) of each column."""
        rows, columns = table["id"].shape, {}
        for name, dataset in table.items():
            if not hasattr(dataset, "dtype"):
                continue
            whole = name.removesuffix("_index").removesuffix("_index") in WHOLE
            values = self.array(dataset) if whole else self.one_each(dataset, rows)
            attrs = {key: dataset.attrs[key] for key in ("unit", "sampling_rate") if key in dataset.attrs}
            attrs = {key: self.word(v) if isinstance(v, bytes) else v for key, v in attrs.items()}
            if "elements" in dataset.attrs:  # of hdmf's EnumData
                attrs["elements"] = self.array(self.file[dataset.attrs["elements"]])
            columns[name] = (values, dataset.shape, attrs)
        return columns

    def one_each(self, dataset: Any, rows: tuple[int, ...]) -> np.ndarray | None:
        """Return a column of a number or word for each row, None if it holds something else, such as arrays."""
        if dataset.shape != rows:
            return None
        try:
            values = self.array(dataset)
        except (TypeError, ValueError, KeyError):
            return None
        return values if values.dtype.kind in "biufU" else None

    def array(self, dataset: Any) -> np.ndarray:
        """Read numbers or words, unless the file cannot hold as many as it says."""
        if dataset.nbytes > max(INFLATED * self.size, ALWAYS_BYTES):
            raise ValueError(f"{dataset.name} says {dataset.nbytes / 1e9:.3g} GB: it is damaged")
        values = np.asarray(dataset[()])
        if values.dtype.kind not in "OS":
            return values
        words = [self.word(value) for value in values.reshape(-1).tolist()]
        return np.array(words, dtype=str).reshape(values.shape)

    def word(self, value: Any) -> str:
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return value if isinstance(value, str) else str(self.file[value].name).rsplit("/", 1)[-1]

    def text(self, name: str) -> str:
        return str(self.array(self.file[name]).reshape(-1)[0]).strip() if name in self.file else ""
