"""The tables of CRCNS hc-3: which top directory a session is of, and the animal and the labels of its cells.

``hc3-session.csv``: id, topdir, session, behaviour, familiarity, duration in s. ``hc3-cell.csv``: id, topdir, animal,
electrode group, cluster, region, number of cells that it excites, and inhibits, four more of its synapses, two firing
rates, type (p, i or n); some editions have more columns after these. Both are without a line of names.
"""

import csv
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spiketype.damage import readable
from spiketype.edge import UserError

CELLS, SESSIONS = "hc3-cell.csv", "hc3-session.csv"
CELL_COLUMNS, SESSION_COLUMNS = 15, 3  # that are needed
PLACES = ("", "hc3-metadata-tables", "docs/hc3-metadata-tables")  # where the archive of the tables is unpacked
ABOVE = 4  # folders in which the tables are looked for: the session's, the topdir, the root and one more
LABELS = ("pyr-int", "exc-inh", "region")
KINDS = {"p": "pyramidal", "i": "interneuron"}


@dataclass(frozen=True)
class Cell:
    """A row of the table of cells, as it is written: what the labels are made of."""

    region: str
    excites: str
    inhibits: str
    kind: str

    def label(self, rule: str) -> str:
        """Return the class of a cell by one of `LABELS`, "unknown" where the rule names none."""
        if rule == "region":
            return self.region
        if rule == "pyr-int":
            return KINDS.get(self.kind, "unknown")
        excites, inhibits = (count not in ("", "0") for count in (self.excites, self.inhibits))
        return "unknown" if excites == inhibits else "excitatory" if excites else "inhibitory"


@dataclass(frozen=True)
class Tables:
    """What the tables say.

    Attributes:
        cells: by (topdir, group, cluster); None without a table of cells.
        animals: of each topdir; none without a table of cells.
        topdirs: in which a session of this name is; None without a table of sessions.
        known: topdirs that either table names.
    """

    cells: Mapping[tuple[str, int, int], Cell] | None
    animals: Mapping[str, str]
    topdirs: Mapping[str, Sequence[str]] | None
    known: frozenset[str]


@dataclass(frozen=True)
class Session:
    """A recording, and the top directory that it is of.

    Attributes:
        name: of the recording.
        topdir: of its cells.
        doubt: why the tables do not say that the recording is of this topdir; "" if they do.
        tables: that were found.
    """

    name: str
    topdir: str
    doubt: str
    tables: Tables

    @property
    def animal(self) -> str:
        """The animal by the table of cells, else the topdir."""
        return self.tables.animals.get(self.topdir, self.topdir)

    def unit(self, group: int, cluster: int) -> str:
        """Return the name of a unit: of the topdir, or of this recording alone if it is not known to be of it."""
        return f"{self.topdir}/{group}.{cluster}" if not self.doubt else f"{self.topdir}/{self.name}/{group}.{cluster}"

    def cell(self, group: int, cluster: int) -> Cell | None:
        """Return the row of the table of cells, or None."""
        return None if self.doubt or not self.tables.cells else self.tables.cells.get((self.topdir, group, cluster))


def pair(tables: Tables, session: str, folder: str) -> Session:
    """Find the topdir of a session: that of the table of sessions, which `folder` must not contradict.

    Without a table of sessions the folder is the topdir if the table of cells has it.

    Args:
        tables: that were found.
        session: name of the recording.
        folder: in which the session's folder is.
    """
    if tables.topdirs is None:
        doubt = "" if folder in tables.known else f"in a folder that is not in {CELLS}"
        return Session(session, folder, doubt if tables.cells is not None else f"without {SESSIONS}", tables)
    named = tables.topdirs.get(session, ())
    if folder in named:
        doubt = ""
    elif not named:
        doubt = f"not in {SESSIONS}"
    elif len(named) > 1:
        doubt = f"in several topdirs by {SESSIONS}, and in the folder of none of them"
    elif folder in tables.known:
        doubt = f"in the folder of another topdir than {SESSIONS} says"
    else:
        return Session(session, named[0], "", tables)
    return Session(session, folder, doubt, tables)


def table_file(xml: Path, path: Path, name: str) -> Path | None:
    """Return the table of this name that is nearest above a session, not further than `ABOVE` or `path` itself."""
    inside = len(xml.relative_to(path).parts) if path.is_dir() else 0
    above = Path(os.path.abspath(xml)).parents[: max(ABOVE, inside)]
    return next((file for folder in above for place in PLACES if (file := folder / place / name).is_file()), None)


def read_tables(cells: Path | None, sessions: Path | None, notes: list[str]) -> Tables:
    """Read the tables there are; rows that cannot be used are left out, with a line in `notes`.

    Raises:
        UserError: a table is not text, or has no row that can be used.
    """
    topdirs: dict[str, list[str]] = defaultdict(list)
    for row in _rows(sessions, SESSION_COLUMNS, (), notes):
        if row[1] not in topdirs[row[2]]:
            topdirs[row[2]].append(row[1])
    found: dict[tuple[str, int, int], Cell] = {}
    animals: dict[str, set[str]] = defaultdict(set)
    twice = set()
    for row in _rows(cells, CELL_COLUMNS, (3, 4), notes):
        key, cell = (row[1], int(row[3]), int(row[4])), Cell(row[5], row[6], row[7], row[14])
        animals[row[1]].add(row[2])
        if found.setdefault(key, cell) != cell:
            twice.add(key)
    if twice:
        told = [f"{topdir}/{group}.{cluster}" for topdir, group, cluster in sorted(twice)]
        notes.append(f"{some(told, 'cell')} in {cells} twice, with different labels: the label is unknown")
    several = sorted(topdir for topdir, names in animals.items() if len(names) > 1)
    if several:
        notes.append(f"{some(several, 'topdir')} of several animals by {cells}")
    return Tables(
        None if cells is None else found | {key: Cell("", "", "", "") for key in twice},
        {topdir: min(names) for topdir, names in animals.items() if len(names) == 1},
        None if sessions is None else topdirs,
        frozenset(animals) | {topdir for names in topdirs.values() for topdir in names},
    )


def _rows(file: Path | None, columns: int, whole: Sequence[int], notes: list[str]) -> list[list[str]]:
    """Read the rows of a table that have enough columns, and whole numbers in the columns `whole`."""
    if file is None:
        return []
    with (
        readable(file, "a table", "take it from the data set again"),
        open(file, newline="", encoding="utf-8-sig") as text,
    ):
        lines = [[value.strip() for value in row] for row in csv.reader(text)]
    rows, bad = [], []
    for number, row in enumerate(lines, start=1):
        if not any(row) or (number == 1 and row[0] == "id"):  # an empty line, or one of names
            continue
        if len(row) < columns or not all(row[1:3]) or not all(re.fullmatch("[0-9]{1,9}", row[k]) for k in whole):
            bad.append(str(number))
        else:
            rows.append(row)
    if bad:
        notes.append(f"{some(bad, 'line')} left out of {file}: not {columns} columns as the data set has them")
    if not rows:
        raise UserError(f"{file} has no row with {columns} columns: take it from the data set again")
    return rows


def some(names: Sequence[str], what: str) -> str:
    """Return how many things there are and the names of the first few, as the subject of a sentence with its verb."""
    more = ", ..." if len(names) > 5 else ""
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({', '.join(names[:5])}{more})" + (
        " are" if len(names) > 1 else " is"
    )
