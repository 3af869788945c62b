"""Simulate shank recordings from the command line: ``python -m simulator.shank --out DIR``."""

from collections.abc import Sequence
from pathlib import Path

from spiketype import parsing
from spiketype.edge import check_out, guard, importing
from spiketype.simulator.shank.config import ShankConfig


def main(config: ShankConfig, out: Path) -> None:
    """Simulate labelled recordings before an 8-contact shank, in the two published file formats.

    Args:
        config: What the recordings hold.
        out: Folder of the recordings; must not exist.
    """
    check_out(out)
    with importing():  # takes seconds
        from spiketype.simulator.shank.generate import generate
    print(generate(config, out))


def command_line(arguments: Sequence[str] | None = None, prog: str = "python -m simulator.shank") -> None:
    """Run `main` with the arguments given, by default the program's own."""
    with guard():
        parsing.run(main, arguments, prog)


if __name__ == "__main__":
    command_line()
