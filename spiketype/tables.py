"""Tables that users get: CSV, tab-separated or Parquet, by the ending of the file."""

import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from rich import box
from rich.console import Console
from rich.table import Table

from spiketype.edge import Json, UserError, whole_file

DELIMITERS = {".csv": ",", ".tsv": "\t"}
PARQUET = ".parquet"
ENDINGS = (*DELIMITERS, PARQUET)
UNITS = {"um": "um", "ms": "ms", "s": "s", "uV": "uV", "pA": "pA", "Hz": "Hz", "percent": "%"}  # by how a name ends
SHOWN = 10
WIDE = 10_000  # characters
Columns = Mapping[str, Shaped[np.ndarray, " row"]]


def check_ending(path: Path, flag: str = "--out") -> None:
    """Refuse a file whose ending says no format.

    Raises:
        UserError: it names the option, the path and the endings.
    """
    if path.suffix not in ENDINGS:
        raise UserError(f"{flag} is {path}: give a name that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")


def write(path: Path, columns: Columns, about: Json | None = None) -> None:
    """Write a table whole or not at all, in the format that its ending says.

    Args:
        path: ends in one of `ENDINGS`.
        columns: name -> a value for each row; NaN, what is missing, is an empty field, or null.
        about: kept in the metadata of Parquet, which alone has some.
    """
    if path.suffix == PARQUET:
        import pandas as pd  # here, because endings are checked before anything heavy is loaded

        frame = pd.DataFrame({name: values.tolist() for name, values in columns.items()})
        if about is not None:
            frame.attrs = {"spiketype": json.dumps(about)}
        with whole_file(path) as partial:
            frame.to_parquet(partial, index=False)
        return
    with whole_file(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file, delimiter=DELIMITERS[path.suffix])
        writer.writerows([list(columns), *texts(columns)])


def show(columns: Columns, most: int = SHOWN) -> None:
    """Print the first rows of a table, units below the names; a terminal that is too narrow gets lines that wrap."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, values in columns.items():
        what, _, unit = name.rpartition("_")
        numbers = np.asarray(values).dtype.kind in "fiu"
        known = what and unit in UNITS
        table.add_column(f"{what}\n({UNITS[unit]})" if known else name, justify="right" if numbers else "left")
    rows = texts({name: values[:most] for name, values in columns.items()})
    for row in rows:
        table.add_row(*row)
    if rows and len(next(iter(columns.values()))) > most:
        table.add_row(*["..."] * len(columns))
    # A file or a pipe has no width: nothing is cut or wrapped there.
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDE, highlight=False, markup=False)
    console.print(table)


def texts(columns: Columns) -> list[list[str]]:
    """Return the rows of a table as text: numbers with four digits, nothing for one that is missing (NaN)."""
    return [[_text(value) for value in row] for row in zip(*columns.values(), strict=True)]


def _text(value: object) -> str:
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)
