"""The feature tables of Ophir, Shefi and Lindenbaum (2024): ``mouse_ephys_data.csv`` and ``human_ephys_data.csv``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.allen_features import FEATURES, FEATURES_41
from datasets.allen_tables import check_units, need, read, read_features, specimens
from datasets.edge import UserError


def cells(path: Path, species: int, known: pd.Index, classes: Sequence[str]) -> pd.DataFrame:
    """Cells of one table: species, spiny, subclass (-1 where the table has no ``transgenic_line``) and 41 features.

    known: the specimens of which the database knows the donor.

    Raises:
        UserError: a column is missing, empty or in another unit; dendrites, a class or a cell that is unknown; a cell
            that occurs twice.
    """
    x, _, missing = read_features(path, FEATURES_41)
    table = read(path)
    need(path, table, *FEATURES_41, "dendrite_type", "file_name")
    if missing:
        raise UserError(f"{path}: column {missing[0]} is empty in every cell")
    check_units(path, x, [feature.usual for feature in FEATURES.values()], FEATURES_41)
    ids = specimens(path, table["file_name"])
    frame = pd.DataFrame(x, columns=list(FEATURES_41), index=ids)
    frame["species"] = species
    frame["spiny"] = _code(path, table, "dendrite_type", ("aspiny", "spiny"))
    frame["subclass"] = _code(path, table, "transgenic_line", classes) if "transgenic_line" in table else -1
    unknown = frame.index.difference(known, sort=False)
    if len(unknown):
        raise UserError(f"{path}: the database does not know {len(unknown)} of its cells, the first is {unknown[0]}")
    return frame


def _code(path: Path, table: pd.DataFrame, column: str, names: Sequence[str]) -> np.ndarray:
    codes = table[column].map({name: k for k, name in enumerate(names)})
    if codes.isna().any():
        row = int(np.argmax(codes.isna()))
        wrong = table[column][row]
        raise UserError(f"{path}, row {row + 2}: {column} {wrong!r} is unknown, not one of {', '.join(names)}")
    return codes.to_numpy(np.int32)
