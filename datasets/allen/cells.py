"""Mouse cells for models of their subclass: those that are trained on, and new ones of a table or folder."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from spiketype import reading
from spiketype.datasets.allen import spikes
from spiketype.datasets.allen.columns import IDS, check_units, read, read_features
from spiketype.datasets.allen.features import FEATURES
from spiketype.datasets.allen.spikes import SPIKE_NAMES
from spiketype.datasets.allen.table import AllenTable, find, load
from spiketype.edge import UserError

LABEL, MOST_NAMED = "transgenic_line", 8


def mouse(folder: Path | None, features: int, lines: Path | None) -> AllenTable:
    """Return the cells with a subclass; arguments as of `find` and `load`.

    Raises:
        UserError: there are none.
    """
    table = load(find(folder), features, lines)
    if not (table.subclass >= 0).any():
        raise UserError(f"{table.source} has no mouse cell with a subclass")
    return table.take(table.subclass >= 0)


def with_shapes(table: AllenTable) -> Float[np.ndarray, "cell input"]:
    """Return the features of cells, then the shapes of their action potentials; NaN where not measured."""
    return np.concatenate([table.x, spikes.load(table.source, table.specimen_id)], axis=1)


class NewCells(NamedTuple):
    """Cells to call or to judge.

    Attributes:
        x: features first, then the shape of the action potential; NaN where not measured.
        names: of the cells.
        label: names of their classes, "" where unknown.
        donor: names of their donors, "" where unknown.
    """

    x: Float[np.ndarray, "cell input"]
    names: tuple[str, ...]
    label: tuple[str, ...]
    donor: tuple[str, ...]

    @classmethod
    def read(cls, data: Path, features: tuple[str, ...], lines: Path | None) -> "NewCells":
        """Return the cells of a folder of the Allen Cell Types Database, or of a table.

        A table may have the columns of `SPIKE_NAMES`, too, and classes in a column ``transgenic_line``. What it lacks
        and what is not used is said on stderr.

        Args:
            data: the folder or table.
            features: their names.
            lines: table of the classes of lines in a folder, the run's own.

        Raises:
            UserError: no table, none of the features, values that are no numbers, another unit. The message names them.
        """
        if data.is_dir():
            table = load(data, len(features), lines)
            label = tuple("" if c < 0 else table.class_names[c] for c in table.subclass)
            donor = tuple(table.donor_names[d] for d in table.donor)
            return cls(with_shapes(table), tuple(map(str, table.specimen_id)), label, donor)
        x, names, missing = read_features(data, (*features, *SPIKE_NAMES))
        count = len(features)
        if not np.isfinite(x[:, :count]).any():
            raise UserError(f"{data} has no cell with one of the features {', '.join(features[:3])}, ...")
        check_units(data, x[:, :count], [FEATURES[name].usual for name in features], features)
        raw = read(data)
        _tell(data, "features that no cell has", [n for n in missing if n in features])
        unknown = [str(c) for c in raw.columns if c not in {*features, *SPIKE_NAMES, *IDS, LABEL}]
        _tell(data, "columns that the model does not know are not used", unknown)
        if not np.isfinite(x[:, count:]).any():
            reading.note(data, "no action potentials: the model without them is used")
        given = raw[LABEL].fillna("") if LABEL in raw else [""] * len(x)
        return cls(x, tuple(names), tuple(map(str, given)), ("",) * len(x))

    def take(self, rows: Shaped[np.ndarray, " some"]) -> "NewCells":
        """Return some cells (indices or mask)."""
        chosen = np.arange(len(self.x))[rows]
        return NewCells(self.x[chosen], *(tuple(words[k] for k in chosen) for words in self[1:]))


def _tell(data: Path, what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        reading.note(data, f"{what}: {', '.join(names[:MOST_NAMED])}{more}")
