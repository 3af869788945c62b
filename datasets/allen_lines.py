"""Which transgenic lines make up which subclass: a small table to be edited, and cells grouped by it."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from datasets.allen_tables import need, read
from datasets.edge import UserError

SHIPPED = Path(__file__).with_name("allen_lines.csv")  # the grouping of Ophir et al. 2024
DENDRITES = ("aspiny", "spiny")


class Lines(NamedTuple):
    """A table of lines: from (line, dendrite) to the name of the subclass, "" for cells that are left out."""

    path: Path
    of: dict[tuple[str, str], str]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The subclasses, sorted."""
        return tuple(sorted({name for name in self.of.values() if name}))


def read_lines(path: Path | None = None) -> Lines:
    """The table given, else the one that comes with the program.

    Raises:
        UserError: no table with columns line, dendrite and class; an unknown kind of dendrite; a line that occurs twice
            with the same dendrites; no class.
    """
    path = path or SHIPPED
    table = read(path)
    need(path, table, "line", "dendrite", "class")
    of: dict[tuple[str, str], str] = {}
    for row, entry in enumerate(zip(table["line"], table["dendrite"], table["class"].fillna(""), strict=True)):
        line, dendrite, name = (str(each).strip() for each in entry)
        if dendrite not in DENDRITES:
            raise UserError(f"{path}, row {row + 2}: dendrite is {dendrite!r}, not {' or '.join(DENDRITES)}")
        if (line, dendrite) in of:
            raise UserError(f"{path}, row {row + 2}: {line} with {dendrite} dendrites is there already: keep one")
        of[line, dendrite] = name
    if not any(of.values()):
        raise UserError(f"{path} gives no line a class")
    return Lines(path, of)


def group(lines: Lines, line: pd.Series, dendrite: pd.Series) -> tuple[np.ndarray, Counter[str]]:
    """Subclass (cell,) as a count into `Lines.class_names`, -1 for none, and how many cells have none for what reason.

    line (cell,) names of transgenic lines, NaN without one; dendrite (cell,) "spiny", "aspiny" or other.
    """
    number = {name: k for k, name in enumerate(lines.class_names)}
    found, why = np.full(len(line), -1, np.int32), Counter[str]()
    known = {name for name, _ in lines.of}
    for k, (name, kind) in enumerate(zip(line, dendrite, strict=True)):
        if pd.isna(name):
            why["no transgenic line"] += 1
        elif name not in known:
            why[f"line {name} is not in {lines.path.name}"] += 1
        elif subclass := lines.of.get((name, kind), ""):
            found[k] = number[subclass]
        else:
            why[f"line {name} with {kind} dendrites has no class in {lines.path.name}"] += 1
    return found, why
