"""Tables of cells as people keep them, in comma-separated values: read right, or refused with the mistake named."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from spiketype.edge import UserError

IDS = ("specimen_id", "file_name", "specimen__id")
# Medians of a kind of cell lie within a factor 3 of the usual ones, single cells within 22: beyond 100, it is a unit.
FACTOR = 100.0
NEAR_ZERO = ("peak_v", "upstroke_v", "downstroke_v", "f_i_curve_slope", "sag")  # of one cell in a hundred, by chance


def read(path: Path) -> pd.DataFrame:
    """A table of text, NaN where a field is empty; the first line names the columns.

    Raises:
        UserError: no such file; not a table; a column named twice.
    """
    try:
        # As text: no large specimen number becomes a float, and no first column an index, behind our backs.
        raw = pd.read_csv(path, header=None, dtype=str, encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise UserError(f"{path} is no table of comma-separated values: {error}") from error
    names = ["" if pd.isna(name) else str(name).strip() for name in raw.iloc[0]]
    if repeated := sorted({name for name in names if name and names.count(name) > 1}):
        raise UserError(f"{path} has the column {repeated[0]} twice: remove one")
    return raw.iloc[1:].set_axis(names, axis=1).reset_index(drop=True)


def need(path: Path, table: pd.DataFrame, *names: str) -> None:
    """Refuse a table without one of the columns.

    Raises:
        UserError: names the column, and one that it may be a misspelling of.
    """
    for name in names:
        if name not in table:
            written = {str(column).lower(): column for column in table.columns}
            near = difflib.get_close_matches(name.lower(), list(written), n=1, cutoff=0.85)
            hint = f"; it has {written[near[0]]!r}: rename it?" if near else ""
            raise UserError(f"{path} has no column {name}{hint}")


def numbers(path: Path, name: str, values: pd.Series) -> np.ndarray:
    """The numbers of a column of text (cell,), NaN where empty.

    Raises:
        UserError: names the row, as an editor counts lines, and the value that is no finite number.
    """
    found = pd.to_numeric(values, errors="coerce").astype(np.float64)
    wrong = (found.isna() & values.notna()) | np.isinf(found)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(f"{path}, row {row + 2}, column {name}: {values[row]!r} is no number; leave unknown ones empty")
    return found.to_numpy()


def specimens(path: Path, values: pd.Series) -> np.ndarray:
    """Specimen numbers (cell,) of a column with entries such as 565871768 or, with the number of a sweep, 565871768_62.

    Raises:
        UserError: an entry that is no specimen, or a specimen that occurs twice.
    """
    digits = values.astype(str).str.extract(r"^([0-9]{1,18})(?:_[0-9]+)?$")[0]
    if digits.isna().any():
        row = int(np.argmax(digits.isna()))
        raise UserError(
            f"{path}, row {row + 2}: {values[row]!r} is no specimen (a number, perhaps with _SWEEP behind it)"
        )
    found = digits.astype(np.int64)
    if (twice := found.duplicated()).any():
        row = int(np.argmax(twice))
        first = int(np.argmax(found == found[row]))
        raise UserError(f"{path}: specimen {found[row]} is in rows {first + 2} and {row + 2}: keep one")
    return found.to_numpy()


def read_features(path: Path, feature_names: Sequence[str]) -> tuple[np.ndarray, list[str], tuple[str, ...]]:
    """Cells of any table: features (cell, feature), NaN where missing, names of the cells, features that no cell has.

    Columns may be in any order, and others may be there. Cells are named by one of `IDS`, else by their row.

    Raises:
        UserError: no table; none of the features; a value that is no number; a cell or a column that occurs twice.
    """
    table = read(path)
    x = np.full((len(table), len(feature_names)), np.nan)
    for k, name in enumerate(feature_names):
        if name in table:
            x[:, k] = numbers(path, name, table[name])
    missing = tuple(name for name, empty in zip(feature_names, np.isnan(x).all(axis=0), strict=True) if empty)
    if len(missing) == len(feature_names):
        raise UserError(f"{path} has no cell with one of the features {', '.join(feature_names[:3])}, ...")
    column = next((name for name in IDS if name in table), None)
    if column and table[column].isna().any():
        row = int(np.argmax(table[column].isna()))
        raise UserError(f"{path}, row {row + 2}: column {column}, which names the cells, is empty")
    ids = [str(v) for v in table[column]] if column else [str(row + 1) for row in range(len(table))]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise UserError(f"{path}: cell {twice} occurs twice in column {column}")
    return x, ids, missing


def check_units(path: Path, x: np.ndarray, usual: Sequence[float] | np.ndarray, feature_names: Sequence[str]) -> None:
    """Refuse columns of x (cell, feature) whose unit differs from that of usual medians (feature,).

    Raises:
        UserError: names the column and the two medians.
    """
    for name, values, known in zip(feature_names, x.T, usual, strict=True):
        size = np.abs(values[np.isfinite(values)])
        if not size.any() or abs(known) < 1e-12:
            continue
        ratio = np.median(size) / abs(known)
        few = len(size) < 3 and name.startswith(NEAR_ZERO)
        if ratio > FACTOR or (ratio < 1 / FACTOR and not few):
            middle = float(np.nanmedian(values))
            raise UserError(
                f"{path}, column {name}: median {middle:.3g} where {known:.3g} is usual: another unit? Convert it, or "
                "leave it empty"
            )
