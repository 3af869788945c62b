"""Simulate raphe recordings from the command line: ``python -m simulator.raphe --out DIR``."""

from collections.abc import Sequence
from pathlib import Path

from spiketype import parsing
from spiketype.edge import check_out, guard, importing
from spiketype.simulator.raphe.config import RapheConfig


def main(config: RapheConfig, out: Path, workers: int | None = None, abf: Path | None = None) -> None:
    """Simulate loose-seal recordings of raphe neurons and cut their spikes into a Zarr store.

    Args:
        config: What the store holds.
        out: Folder of the store.
        workers: Processes at once: by default one per core; 0 works in this process.
        abf: Folder to write the recordings to, as .abf files of 0.5 to 45 MB each (about 2 GB for 153 cells).
    """
    for path, flag in ((out, "--out"), (abf, "--abf")):
        if path is not None:
            check_out(path, flag)
    with importing():  # takes seconds
        from spiketype.simulator.raphe.generate import generate
    print(generate(config, out, workers, abf))


def command_line(arguments: Sequence[str] | None = None, prog: str = "python -m simulator.raphe") -> None:
    """Run `main` with the arguments given, by default the program's own."""
    with guard():
        parsing.run(main, arguments, prog)


if __name__ == "__main__":
    command_line()
