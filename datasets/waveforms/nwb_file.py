"""An NWB file as its reader needs it: columns of its tables, electrodes, and waveforms on common channels."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spiketype import reading
from spiketype.datasets import piped
from spiketype.datasets.waveforms import nwb_hdf5
from spiketype.datasets.waveforms.nwb_hdf5 import MEAN
from spiketype.edge import UserError

ALLEN_PEAK = "peak_channel_id"  # a column that AllenSDK writes
REMEDY = (
    "add them with pynwb as the column waveform_mean (unit, time, channel), with waveform_rate; or export the sorting"
    " analyzer with scripts/export_units.py"
)
POSITIONS = (("rel_x", "rel_y"), ("probe_horizontal_position", "probe_vertical_position"), ("x", "y", "z"))


OWN_NAME = "unit_name"  # a column of NeuroConv: what the sorting calls a unit, where `id` is its row


class Stored(NamedTuple):
    """A column of a table.

    Attributes:
        values: numbers or words; None of columns that no reader needs.
        attrs: ``unit``, ``sampling_rate``, ``elements``.
    """

    values: np.ndarray | None
    shape: tuple[int, ...]
    attrs: dict[str, Any]


@dataclass
class File:
    """What is needed of a file.

    Attributes:
        texts: subject, species, session, identifier and script; "" for those that the file lacks.
        rates_Hz: of AllenSDK's probes.
        left_out: units by the reason why they cannot be read.
    """

    path: Path
    version: str
    table: str
    texts: dict[str, str]
    rates_Hz: list[float]
    units: dict[str, Stored]
    electrodes: dict[str, Stored] | None
    left_out: dict[str, list[int]] = field(default_factory=dict)

    def is_left_out(self, row: int) -> bool:
        """Say whether a unit is left out."""
        return any(row in rows for rows in self.left_out.values())

    def leave_out(self, row: int, why: str) -> None:
        """Note that a unit is left out."""
        self.left_out.setdefault(why, []).append(row)

    def values(self, name: str) -> np.ndarray:
        """Return a column of the units, which must be there."""
        found = self.units[name].values if name in self.units else None
        if found is None:
            raise UserError(f"{self.path}: its units lack {name}: the file is damaged")
        return found


def read(path: Path) -> File:
    """Read a file with units that have mean waveforms.

    Raises:
        UserError: any other file, or a damaged one.
    """
    try:
        found = piped.ask(Path(nwb_hdf5.__file__), path)
    except piped.Unreadable as error:
        raise UserError(f"{path} cannot be read as NWB: {error}") from None
    if found["version"] == "1":
        raise UserError(f"{path} is NWB 1, of which only recordings of the Allen Cell Types Database are read")
    if found["version"] is None:
        raise UserError(f"{path} is HDF5, but not NWB: it has no nwb_version")
    if not found["tables"]:
        raise UserError(f"{path} has no units: sort its recording first")
    means = found["with_means"]
    if not means:
        raise UserError(f"{path}: its units have no mean waveforms: {REMEDY}")
    if means[0] != "/units" and len(means) > 1:
        raise UserError(f"{path} has several tables of units ({', '.join(means)}): keep one")
    units, electrodes = (
        None if table is None else {name: Stored(*column) for name, column in table.items()}
        for table in (found["units"], found["electrodes"])
    )
    return File(path, found["version"], means[0], found["texts"], found["rates"], units or {}, electrodes)


def names(ids: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    """Return what units are called, as SpikeInterface does: by names of their own if all have one, else by ids.

    Ids that occur twice have the row behind them.

    Args:
        ids: (unit,).
        own: the column `OWN_NAME`, or None.
    """
    words = ids.astype(str)
    if own is not None and own.shape == ids.shape:
        called = np.array([str(name).strip() for name in own.tolist()], dtype=str)
        if len(set(called.tolist())) == len(called) and "" not in called:
            return called
    times = Counter(words.tolist())
    return np.array([f"{w}.{row}" if times[w] > 1 else w for row, w in enumerate(words.tolist())], dtype=str)


def slices(file: File, name: str, count: int) -> list[slice] | None:
    """Return the rows of each unit in a ragged column; None if it is not ragged.

    Raises:
        UserError: the index does not fit.
    """
    if f"{name}_index" not in file.units:
        return None
    ends = file.values(f"{name}_index")
    length = file.units[name].shape[0]
    starts = np.concatenate([[0], ends[:-1]]) if ends.ndim == 1 else ends
    if f"{name}_index_index" in file.units or ends.shape != (count,) or ends.dtype.kind not in "iu":
        raise UserError(f"{file.path}: {name}_index is {ends.dtype} of shape {ends.shape}, expected one for each unit")
    if (ends.astype(np.int64) < starts.astype(np.int64)).any() or (count and ends[-1] != length):
        raise UserError(
            f"{file.path}: {name}_index does not ascend to the {length} rows of {name}, so that whose they are cannot"
            " be known: write the column again"
        )
    return [slice(int(a), int(b)) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]


class Electrodes:
    """The table of electrodes, and which of its rows are a unit's.

    Attributes:
        rows: of each unit, -1 for one that the table lacks; None if units have none.
        number: of all electrodes; 0 without a table.
    """

    def __init__(self, file: File, count: int) -> None:
        self.table = file.electrodes
        self.number = 0 if self.table is None else self.table["id"].shape[0]
        self.rows: list[np.ndarray] | None = None
        if "electrodes" not in file.units or self.table is None:
            return
        parts, values = slices(file, "electrodes", count), file.values("electrodes")
        if values.ndim != 1 or values.dtype.kind not in "iu" or (parts is None and len(values) != count):
            raise UserError(f"{file.path}: electrodes of units are {values.dtype} of shape {values.shape}: damaged")
        values = np.where((values >= 0) & (values < self.number), values, -1).astype(np.int64)
        self.rows = [values[s] for s in parts or [slice(row, row + 1) for row in range(count)]]
        if not any(map(len, self.rows)):
            self.rows = None

    def is_group(self, rows: tuple[int, ...]) -> bool:
        """Say whether some rows are all the electrodes of a group, in their order."""
        group = self.column("group_name")
        return group is not None and np.flatnonzero(group == group[rows[0]]).tolist() == list(rows)

    def column(self, name: str) -> np.ndarray | None:
        """Return a column, None if there is none with a value for each electrode."""
        found = None if self.table is None or name not in self.table else self.table[name].values
        return found if found is not None and found.shape == (self.number,) else None

    def names(self) -> list[str]:
        """Return the names of its columns."""
        return [] if self.table is None else [n for n in sorted(self.table) if self.column(n) is not None and n != "id"]

    def positions(self, rows: np.ndarray) -> np.ndarray | None:
        """Return where electrodes are (um), None if they do not all say, or all say the same."""
        for names in POSITIONS:
            axes = [c[rows] for n in names if (c := self.column(n)) is not None and c.dtype.kind in "fiu"]
            if len(axes) == len(names):
                found = np.stack(axes, axis=1).astype(np.float64)
                if np.isfinite(found).all() and len(np.unique(found, axis=0)) == len(found):
                    return found
        return None


# --- waveforms


def blocks(file: File, count: int, electrodes: Electrodes) -> tuple[list[np.ndarray], bool]:
    """Return the waveforms (channel, time) of each unit as stored, and whether the column is ragged.

    Raises:
        UserError: another shape than the schema's and AllenSDK's; it cannot be known which dimension is time.
    """
    parts, values = slices(file, MEAN, count), file.values(MEAN)
    if values.dtype.kind not in "fiu" or values.ndim not in ((2, 3) if parts is None else (1, 2)):
        raise UserError(f"{file.path}: {MEAN} is {values.dtype} of shape {values.shape}: {REMEDY}")
    if parts is None and len(values) != count:
        raise UserError(f"{file.path}: {MEAN} has {len(values)} rows, there are {count} units: it is cut off")
    found = list(values) if parts is None else [values[part] for part in parts]
    if not found or found[0].ndim == 1:
        return [block[None] for block in found], parts is not None
    first = _channels_first(file, found, parts is not None, electrodes)
    return [block if first else block.T for block in found], parts is not None


def _channels_first(file: File, found: list[np.ndarray], ragged: bool, electrodes: Electrodes) -> bool:
    """Say whether channels come before times, by the units' electrodes, else as the schema and AllenSDK have it."""
    counts = [len(rows) for rows in electrodes.rows or []]
    both = [(block.shape, n) for block, n in zip(found, counts, strict=False) if block.size]
    first, last = (bool(both) and all(shape[axis] == n for shape, n in both) for axis in (0, 1))
    if first and not last and not ragged:
        reading.note(file.path, f"{MEAN} is (unit, channel, time), as the electrodes of the units say")
    if first != last:
        return first
    shape, total = found[0].shape, electrodes.number
    if ragged:
        doubt = len({block.shape for block in found}) == 1 and ALLEN_PEAK not in file.units
    elif counts:
        doubt = max(counts) != shape[1] and total > 1 and total == shape[0] != shape[1]
    else:
        doubt = total > 1 and shape[1] not in (1, total)
    if doubt:
        raise UserError(
            f"{file.path}: {shape} of a unit's {MEAN} does not say which are channels and which times: give each unit"
            " its electrodes"
        )
    if not ragged and not counts and total <= 1 and 1 not in shape:
        reading.note(file.path, f"{MEAN} is taken as {shape[0]} times x {shape[1]} channels: no electrodes say")
    return ragged


def placed(file: File, found: list[np.ndarray], electrodes: Electrodes) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Return the waveforms of each unit on the same channels, and the electrodes of these where they are known.

    Units that do not fit are left out: the waveforms of the others have one shape.
    """
    whole = [block.shape for block in found if block.size]
    if not whole:
        raise UserError(f"{file.path}: {MEAN} is empty: {REMEDY}")
    times = Counter(shape[1] for shape in whole).most_common(1)[0][0]
    for row, block in enumerate(found):
        if not block.size or block.shape[1] != times:
            file.leave_out(row, f"{block.shape[1]} times, others have {times}" if block.size else "no waveform")
    rows, channels = electrodes.rows, max(shape[0] for shape in whole)
    if channels == 1:
        return found, None
    if rows is None or max(map(len, rows)) != channels:
        return found, _unplaced(file, found, electrodes)
    good = [row for row, block in enumerate(found) if _usable(file, row, block, rows[row])]
    lists = {tuple(rows[row].tolist()) for row in good}
    if len(lists) == 1:
        return [block[: len(own)] for block, own in zip(found, rows, strict=True)], np.array(next(iter(lists)))
    if all(len(own) == channels and electrodes.is_group(own) for own in lists):
        reading.note(file.path, "units have the channels of their own group of electrodes, in its order")
        return found, None
    union = np.unique(np.concatenate([rows[row] for row in good]))
    reading.note(file.path, f"units have electrodes of their own: on the others of {len(union)} channels they are 0")
    dense = list(found)
    for row in good:
        dense[row] = np.zeros((len(union), times), found[row].dtype)
        dense[row][np.searchsorted(union, rows[row])] = found[row][: len(rows[row])]
    return dense, union


def _unplaced(file: File, found: list[np.ndarray], electrodes: Electrodes) -> np.ndarray | None:
    """Leave out units with another number of channels than most; return the electrodes if channels are all of these."""
    channels = Counter(len(block) for row, block in enumerate(found) if not file.is_left_out(row)).most_common(1)[0][0]
    for row, block in enumerate(found):
        if not file.is_left_out(row) and len(block) != channels:
            file.leave_out(row, f"{len(block)} channels, others have {channels}")
    if channels == electrodes.number:
        return np.arange(channels)
    if electrodes.rows is not None:
        reading.note(file.path, f"electrodes are not those of the {channels} channels, which are taken as stored")
    return None


def _usable(file: File, row: int, block: np.ndarray, own: np.ndarray) -> bool:
    """Say whether a unit's electrodes can be those of its channels; channels beyond them must be padding."""
    if file.is_left_out(row):
        return False
    why = None
    if not len(own):
        why = "no electrodes"
    elif len(own) > len(block) or (np.nan_to_num(block[len(own) :]) != 0).any():
        why = f"{len(own)} electrodes, but {len(block)} channels"
    elif len(np.unique(own)) < len(own):
        why = "an electrode twice, or several that are not in the table of electrodes"
    elif (own < 0).any():
        why = "an electrode that is not in the table of electrodes"
    if why is not None:
        file.leave_out(row, why)
    return why is None
