"""Tables of waveforms as text: a row for each unit, a column for each time, and columns of names beside them."""

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from spiketype import reading
from spiketype.damage import check_columns, first_lines, readable
from spiketype.datasets.waveforms import columns
from spiketype.datasets.waveforms.columns import ABOUT, GROUPS, LABEL, WAVEFORM, Column
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.edge import UserError

COUNTED = re.compile(r"(.*?)(-?)(\d+(?:\.\d+)?)(\D*)")  # t12, 12, -0.25, 0.5 ms
WHOLE = r"-?(0|[1-9]\d{0,14})(\.0+)?"  # a number that is the same written again
NAMES = frozenset({LABEL, *ABOUT, *(name for aliases in GROUPS.values() for name in aliases)})
FEWEST = 3  # times
UNNAMED = "column without a name "


def load(path: Path, label: str | None, rate_kHz: float | None) -> WaveformTable:
    """Read one row a unit: the numbered columns (or all numeric ones) are times, others are columns by their names.

    Args:
        path: a text file, separated by commas, semicolons or tabs, with or without a line of names.
        label: the column of classes; by default ``label`` where there is one.
        rate_kHz: sampling rate, for a file without a column ``rate_kHz`` or ``rate_Hz``.

    Raises:
        UserError: no table of text, no columns of times, or what `columns.table` refuses.
    """
    label = None if label is None else label.strip()  # as the names in the first line are read
    with readable(path, "a table of text"):
        table = _read(path)
    times = _times(path, table, label)
    values = table[times].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    found = {name: Column(_values(table[name], name in ABOUT)) for name in table.columns if name not in times}
    return columns.table(path, {**found, WAVEFORM: Column(values)}, label, rate_kHz, producer="table of text")


def _read(path: Path) -> pd.DataFrame:
    """Read words, a column each; a line of names is one that has text, or numbers in even steps."""
    first, second = first_lines(path)
    # In both lines: names may have tabs around them, and numbers decimal commas.
    mark = max(",;\t", key=lambda one: min(line.count(one) for line in (first, second or first)))
    check_columns(path, first, mark)
    cells = [cell.strip() for cell in next(csv.reader([first], delimiter=mark), [])]
    numbers = pd.to_numeric(pd.Series(cells), errors="coerce").to_numpy(np.float64)
    if mark != "," and np.isnan(numbers).any():
        numbers = pd.to_numeric(pd.Series(cells).str.replace(",", "."), errors="coerce").to_numpy(np.float64)
    step = np.diff(numbers)
    named = bool(np.isnan(numbers).any() or (len(step) >= FEWEST - 1 and np.all(step > 0) and np.ptp(step) < 1e-6))
    names = [cell or f"{UNNAMED}{k}" for k, cell in enumerate(cells)] if named else list(map(str, range(len(cells))))
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise UserError(f"{path}: column {twice[0]!r} occurs twice, or the first line has no names: give it names")
    table = pd.read_csv(
        path,
        sep=mark,
        header=0 if named else None,
        names=names,
        index_col=False,
        dtype=str,
        keep_default_na=False,
        skipinitialspace=True,
        encoding="utf-8-sig",
    )
    unnamed = [name for name in names if name.startswith(UNNAMED)]
    if unnamed == names[:1] and not any(alias in names for alias in GROUPS["unit"]) and table[names[0]].is_unique:
        reading.note(path, "its first column, which has no name, is taken for the units' names, as pandas writes them")
        table, unnamed = table.rename(columns={names[0]: GROUPS["unit"][0]}), []
    if unnamed:
        reading.note(path, f"{len(unnamed)} columns without a name are not used")
    table = table.drop(columns=unnamed)
    return table if mark == "," else table.replace(r"^(-?\d+),(\d+(?:[eE][-+]?\d+)?)$", r"\1.\2", regex=True)


def _times(path: Path, table: pd.DataFrame, label: str | None) -> list[str]:
    """Return the columns of times in order: the largest set whose names count, or else all that hold numbers."""
    free = [name for name in table.columns if name not in NAMES and name != label]
    numeric = [n for n in free if pd.to_numeric(table[n], errors="coerce").notna().any()]
    by_size = sorted(_counted(numeric), key=len, reverse=True)
    if by_size and len(by_size[0]) >= FEWEST:
        if len(by_size) > 1 and len(by_size[1]) == len(by_size[0]):
            raise UserError(f"{path}: columns {by_size[0][0][1]!r} and {by_size[1][0][1]!r} both count: leave one out")
        numbers, times = [list(values) for values in zip(*sorted(by_size[0]), strict=True)]
        step = np.diff(numbers)
        if step.min() <= 0 or step.max() > 1.5 * step.min():
            place = int(np.argmin(step) if step.min() <= 0 else np.argmax(step))
            raise UserError(
                f"{path}: columns {times[place]!r} and {times[place + 1]!r} are not in even steps: a time is missing,"
                " or the first line has no names: give it names such as t0, t1, t2"
            )
    else:
        times = numeric
    if len(times) < FEWEST:
        raise UserError(f"{path} has {len(times)} columns of numbers: at least {FEWEST} times are needed, a row a unit")
    rest = [name for name in numeric if name not in times]
    if rest:
        reading.note(path, f"{times[0]} to {times[-1]} are times; not used: {', '.join(rest)}")
    return times


def _counted(names: list[str]) -> list[list[tuple[float, str]]]:
    """Return sets of names that differ in their number alone, with it: t-1, t-2 count up, in t-1, t0 it has a sign."""
    groups: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for name in names:
        if found := COUNTED.fullmatch(name):
            groups.setdefault((found[1], found[4]), []).append((found[2], found[3], name))
    signed = {key: key[0] == "" or not all(sign for sign, _, _ in group) for key, group in groups.items()}
    return [
        [((-1 if sign and signed[key] else 1) * float(number), name) for sign, number, name in group]
        for key, group in groups.items()
    ]


def _values(column: "pd.Series[str]", measured: bool) -> np.ndarray:
    """Return numbers where all are and either mean an amount or are whole, else words: 1.1 and 1.10 are two names."""
    numbers = pd.to_numeric(column, errors="coerce")
    words = column.str.strip()
    if numbers.isna().any() or not (measured or words.str.fullmatch(WHOLE).all()):
        return np.asarray(words.to_numpy(str))
    return np.asarray(numbers.to_numpy(np.float64))
