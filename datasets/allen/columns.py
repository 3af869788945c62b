"""Tables of cells, columns between commas, semicolons or tabs: read correctly, or refused with the mistake named."""

import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float64, Int64

from spiketype import reading
from spiketype.damage import check_columns, first_lines, readable
from spiketype.datasets.allen.features import FEATURES
from spiketype.edge import UserError, absent

MARKS = ",;\t"  # between columns; the first counts where none is there
DECIMAL_COMMA = r"^(-?\d+),(\d+(?:[eE][-+]?\d+)?)$"
IDS = ("specimen_id", "file_name", "specimen__id")
# Medians of a kind of cell lie within a factor 3 of the usual ones, single cells within 22: beyond 100, it is a unit.
FACTOR = 100.0
MOST = 30.0  # times the usual: no single cell is beyond
LARGEST = {"mV": 200.0}  # that a membrane has
FILLERS = (-9999.0, -999.0, -99999.0, 9999.0, 99999.0)  # that programs write where nothing was measured
NEAR_ZERO = ("peak_v", "upstroke_v", "downstroke_v", "f_i_curve_slope", "sag")  # of one cell in a hundred, by chance
SIGNED = (*NEAR_ZERO, "seal_gohm")  # may be of either sign, and so of any size near zero
SHARES = ("sag",)  # of one, not percent


def read(path: Path, mark: str | None = None) -> pd.DataFrame:
    """Read a table of text, NaN where a field is empty; the first line names the columns.

    Args:
        path: the file.
        mark: what separates the columns; by default commas, semicolons or tabs, as in the first lines, and where it is
            not commas, numbers may have decimal commas.

    Raises:
        UserError: no such file; not a table; a column named twice.
    """
    if not path.exists():
        raise UserError(absent(path))
    with readable(path, "comma-separated values"):
        first, second = first_lines(path)
        # In both lines: names may have tabs around them.
        own = mark or max(MARKS, key=lambda one: min(line.count(one) for line in (first, second or first)))
        check_columns(path, first, own)
        # As text: pandas would turn large specimen numbers into floats, and a first column into an index.
        raw = pd.read_csv(path, sep=own, header=None, dtype=str, encoding="utf-8-sig")
    names = ["" if pd.isna(name) else str(name).strip() for name in raw.iloc[0]]
    if repeated := sorted(name for name, times in Counter(names).items() if name and times > 1):
        raise UserError(f"{path} has the column {repeated[0]} twice: remove one")
    # Without the columns that have no name: pandas takes two such for one named twice.
    table = raw.iloc[1:].set_axis(names, axis=1).loc[:, [*map(bool, names)]].reset_index(drop=True)
    return table if mark or own == MARKS[0] else table.replace(DECIMAL_COMMA, r"\1.\2", regex=True)


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


def numbers(path: Path, name: str, values: pd.Series) -> Float64[np.ndarray, " cell"]:
    """Return the numbers of a column of text, NaN where empty.

    Raises:
        UserError: names the row, as an editor counts lines, and the value that is not a finite number.
    """
    found = pd.to_numeric(values, errors="coerce").astype(np.float64)
    wrong = (found.isna() & values.notna()) | np.isinf(found)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(
            f"{path}, row {row + 2}, column {name}: {values[row]!r} is not a finite number; leave unknown values empty"
        )
    return np.asarray(found.to_numpy())


def specimens(path: Path, values: pd.Series) -> Int64[np.ndarray, " cell"]:
    """Return the specimen numbers of entries such as 565871768 or, with the number of a sweep, 565871768_62.

    Raises:
        UserError: an entry that is not a specimen, or a specimen that occurs twice.
    """
    digits = values.astype(str).str.extract(r"^([0-9]{1,18})(?:_[0-9]+)?$")[0]
    if digits.isna().any():
        row = int(np.argmax(digits.isna()))
        raise UserError(
            f"{path}, row {row + 2}: {values[row]!r} is not a specimen (a number, perhaps followed by _SWEEP)"
        )
    found = digits.astype(np.int64)
    if (twice := found.duplicated()).any():
        row = int(np.argmax(twice))
        first = int(np.argmax(found == found[row]))
        raise UserError(f"{path}: specimen {found[row]} is in rows {first + 2} and {row + 2}: keep one")
    return np.asarray(found.to_numpy())


def read_features(
    path: Path, feature_names: Sequence[str]
) -> tuple[Float64[np.ndarray, "cell feature"], list[str], tuple[str, ...]]:
    """Read the cells of any table: features, NaN where missing; names of the cells; features that no cell has.

    Columns may be in any order, and others may be there. Cells are named by the first of `IDS` that is a column, else
    by their row.

    Raises:
        UserError: not a table; none of the features; a value that is not a number; a cell or a column that occurs
            twice.
    """
    table = read(path)
    x = np.full((len(table), len(feature_names)), np.nan)
    for k, name in enumerate(feature_names):
        if name in table:
            x[:, k] = numbers(path, name, table[name])
    missing = tuple(name for name, empty in zip(feature_names, np.isnan(x).all(axis=0), strict=True) if empty)
    if len(missing) == len(feature_names):
        known = {name.lower(): name for name in feature_names}
        found = next((c for c in table.columns if c not in feature_names and c.lower() in known), None)
        hint = f"; it has {found!r}: write the names of its columns as {known[found.lower()]}" if found else ""
        raise UserError(f"{path} has no cell with one of the features {', '.join(feature_names[:3])}, ...{hint}")
    column = next((name for name in IDS if name in table), None)
    if column and table[column].isna().any():
        row = int(np.argmax(table[column].isna()))
        raise UserError(f"{path}, row {row + 2}: column {column}, which names the cells, is empty")
    ids = [str(v) for v in table[column]] if column else [str(row + 1) for row in range(len(table))]
    if len(set(ids)) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise UserError(f"{path}: cell {twice} occurs twice in column {column}")
    return x, ids, missing


def tell_far(
    path: Path,
    far: Bool[np.ndarray, "cell feature"],
    x: np.ndarray,
    cells: Sequence[str],
    feature_names: Sequence[str],
    why: str = "far from all that were trained on",
) -> None:
    """Say on stderr which values are far from all usual ones, and count as not measured."""
    told = [f"{feature_names[k]} of {cells[row]} ({x[row, k]:.4g})" for row, k in np.argwhere(far).tolist()]
    if told:
        head = f"{len(told)} values are {why}, and count as not measured: "
        reading.note(path, head + reading.shortened(told), head + ", ".join(told))


def implausible(x: Float[np.ndarray, "cell feature"], feature_names: Sequence[str]) -> Bool[np.ndarray, "cell feature"]:
    """Say which values no cell can have, so that they are fillers, in another unit, or of the other sign.

    A membrane has no -1000 mV; a time constant of 17 ms is no 0.017, though a cell in some has that of another unit.
    """
    of = [FEATURES.get(name) for name in feature_names]
    usual = np.array([np.nan if one is None else one.usual for one in of])
    largest = np.array([np.inf if one is None else LARGEST.get(one.unit, np.inf) for one in of])
    largest[[name in SHARES for name in feature_names]] = 1.0
    one_sign = np.array([not name.startswith(SIGNED) for name in feature_names])
    with np.errstate(invalid="ignore", over="ignore"):  # NaN is not implausible
        times = x / usual
        wrong = (np.abs(times) > MOST) | (np.abs(x) > largest) | (one_sign & (times < 1 / FACTOR))
    return np.asarray(wrong | np.isin(x, FILLERS))


def measured(
    path: Path,
    x: Float64[np.ndarray, "cell feature"],
    cells: Sequence[str],
    usual: Sequence[float],
    feature_names: Sequence[str],
) -> Float64[np.ndarray, "cell feature"]:
    """Return x with NaN for what nobody measured, which is told: all that is `implausible`.

    Raises:
        UserError: a column is in another unit: `check_units`.
    """
    check_units(path, np.where(np.isin(x, FILLERS), np.nan, x), usual, feature_names)
    wrong = implausible(x, feature_names)
    tell_far(path, wrong, x, cells, feature_names, "no measurements")
    return np.where(wrong, np.nan, x)


def check_units(
    path: Path,
    x: Float[np.ndarray, "cell feature"],
    usual: Sequence[float] | Float[np.ndarray, " feature"],
    feature_names: Sequence[str],
) -> None:
    """Refuse columns of x whose median is so far from the usual one (feature,) that their unit, or sign, is another.

    Raises:
        UserError: names the column and the two medians.
    """
    for name, values, known in zip(feature_names, x.T, usual, strict=True):
        size = np.abs(values[np.isfinite(values)])
        if not size.any() or abs(known) < 1e-12:
            continue
        ratio = np.median(size) / abs(known)
        few = len(size) < 3 and name.startswith(NEAR_ZERO)
        middle = float(np.nanmedian(values))
        turned = middle * known < 0 and not name.startswith(SIGNED)
        if ratio > FACTOR or (ratio < 1 / FACTOR and not few) or turned:
            what = "sign" if turned else "unit"
            raise UserError(
                f"{path}, column {name}: median {middle:.3g} where {known:.3g} is usual: another {what}? Convert it, or"
                " leave it empty"
            )
