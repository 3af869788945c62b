"""What was read: told on stderr when it is read, and kept for the run folder, so that a result says what it is of."""

import contextlib
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from spiketype.edge import Json, cut
from spiketype.location import Location

LISTED = 10  # names that are shown of a list; the record has them all


@dataclass
class Reading:
    """What was read in a stretch of the program.

    Attributes:
        sources: facts of each file, folder or store: its path, format, producer, counts and units.
        notes: everything that was doubtful, left out or replaced, a sentence each.
    """

    sources: list[Json] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> Json:
        """Return both as JSON."""
        return {"sources": self.sources, "notes": self.notes}


_CURRENT: ContextVar[Reading | None] = ContextVar("reading", default=None)
_SILENT: ContextVar[bool] = ContextVar("silent", default=False)


@contextlib.contextmanager
def recorded(silent: bool = False) -> Iterator[Reading]:
    """Collect what is read inside the block; with `silent`, nothing is printed."""
    reading = Reading()
    current, hushed = _CURRENT.set(reading), _SILENT.set(silent)
    try:
        yield reading
    finally:
        _CURRENT.reset(current)
        _SILENT.reset(hushed)


def note(source: Location | str, text: str, record: str | None = None) -> None:
    """Say something of a source on stderr, and keep it.

    Args:
        source: the file or folder, first in the sentence.
        text: what is doubtful, left out or replaced.
        record: what is kept instead, where `text` is shortened.
    """
    _keep("notes", f"{source}: {text if record is None else record}", f"{source}: {text}")


def found(source: Location | str, facts: Json, text: str) -> None:
    """Say what a source holds, and keep its facts.

    Args:
        source: the file or folder.
        facts: as JSON, such as ``producer``, ``units``, ``rate_kHz``.
        text: the same in a sentence.
    """
    _keep("sources", {"path": str(source), **facts}, f"read {source}: {text}")


def _keep(kind: str, entry: Json | str, shown: str) -> None:
    """Print and keep an entry, once: a source that is read again for another purpose has nothing new to say."""
    reading = _CURRENT.get()
    kept: list[Json | str] = [] if reading is None else getattr(reading, kind)
    if entry in kept:
        return
    kept.append(entry)
    if not _SILENT.get():
        print(cut(shown), file=sys.stderr)


def shortened(names: list[str]) -> str:
    """Return the first `LISTED` names, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
