"""Simulate EAPs from the command line: ``python -m simulator.eap --rotation 3drot --out DIR``."""

from collections.abc import Sequence

from spiketype.edge import guard, importing


def command_line(arguments: Sequence[str] | None = None, prog: str = "python -m simulator.eap") -> None:
    """Run `spiketype.simulator.eap.command.main` with the arguments given, by default the program's own."""
    with guard():
        with importing():
            from spiketype import parsing
            from spiketype.simulator.eap.command import main
        parsing.run(main, arguments, prog)


if __name__ == "__main__":
    command_line()
