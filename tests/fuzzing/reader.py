"""What a reader of files is, for those who damage its files."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzzing.mutate import Files


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Attributes:
        make: write what it reads into an empty folder, and return the path to give it.
        read: reads a path.
        slow: it starts a process for every file.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    slow: bool = False

    def example(self) -> tuple[Files, str]:
        """Return its files, and the path to give it, relative to them."""
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made).resolve()
            path = self.make(folder)
            found = sorted(p for p in folder.rglob("*") if p.is_file())
            return {str(p.relative_to(folder)): p.read_bytes() for p in found}, str(path.relative_to(folder))
