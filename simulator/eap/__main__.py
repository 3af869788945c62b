"""Simulate EAPs from the command line: ``python -m simulator.eap --rotation 3drot --out DIR``."""

from collections.abc import Sequence

from spiketype.edge import guard, importing


def command_line(arguments: Sequence[str] | None = None, prog: str = "python -m simulator.eap") -> None:
    """Run `spiketype.simulator.eap.command.main` with the arguments given, by default the program's own."""
    with guard():
        with importing():
            import tyro

            from spiketype.simulator.eap.command import main
        tyro.cli(tyro.conf.configure(tyro.conf.OmitArgPrefixes)(main), prog=prog, args=arguments)


if __name__ == "__main__":
    command_line()
