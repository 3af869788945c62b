"""A small generation of EAPs to be killed, and the store that an undisturbed one makes."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from spiketype.simulator.neuron import cells
from tests.simulator.eap_program import different, folder_of, start
from tests.torture.killing import Victim, ended_badly

CELLS, PER_CELL = 3, 500
BLOCKS = CELLS * PER_CELL // 100


@dataclass(frozen=True)
class Generation:
    """A generation in a folder: the store to be made, and one that was made undisturbed.

    Attributes:
        folder: of both, of the cell models and of their made-up currents.
        options: of the command line.
        seconds: how long the undisturbed one took.
    """

    folder: Path
    options: tuple[str, ...]
    seconds: float

    @property
    def whole(self) -> Path:
        """The store that was made undisturbed."""
        return self.folder / "whole.zarr"

    @property
    def out(self) -> Path:
        """The store to be made."""
        return self.folder / "s.zarr"

    def start(self, out: Path | None = None, *engine: str) -> "subprocess.Popen[str]":
        """Start the program, by default with two workers."""
        sources = self.folder / "sources"
        return start(out or self.out, *self.options, *(engine or ("--workers", "2")), sources=sources)

    def progress(self) -> int:
        """Return how many blocks are marked: each has a file, which is looked for without reading it."""
        marks = self.out / "done" / "c"
        return len([name for name in os.listdir(marks) if name.isdigit()]) if marks.is_dir() else 0

    def wrong(self, out: Path | None = None) -> str:
        """Return which files differ from those of the undisturbed store."""
        found = different(self.whole, out or self.out)
        return f"{len(found)} files differ: {', '.join(map(str, found[:5]))}" if found else ""

    def clear(self) -> None:
        """Remove the store, and what is left of its templates."""
        for path in (self.out, *self.folder.glob(".*.partial")):
            shutil.rmtree(path, ignore_errors=True)

    def victim(self) -> Victim:
        """Return what `torture` kills."""
        return Victim(self.start, self.progress, BLOCKS, self.seconds, self.wrong, self.clear)


def make(folder: Path) -> Generation:
    """Make the undisturbed store in a folder; what is compiled is kept in it, and found by all that follow.

    Raises:
        RuntimeError: even undisturbed it does not end well.
    """
    models = folder_of(folder / "models", [model.name for model in cells.catalogue()[2 : 2 + CELLS]])
    options: tuple[str, ...] = ("--cell-models", str(models), "--per-cell", str(PER_CELL), "--probe", "mea4x4")
    options += ("--threshold-uv", "5", "--error-uv", "0.01")
    began = time.monotonic()
    made = Generation(folder, options, 0.0)
    if found := ended_badly(start(made.whole, *options, "--workers", "2")):
        raise RuntimeError(found)
    return Generation(folder, options, time.monotonic() - began)
