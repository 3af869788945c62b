"""Simulate EAPs from the command line: ``python -m simulator.eap --rotation 3drot --out DIR``."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from spiketype.edge import guard
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.generate import generate


def main(config: EapConfig, out: Path, workers: int | None = None) -> None:
    """Simulate extracellular action potentials into a Zarr store.

    Args:
        config: What the store holds.
        out: Folder of the store; repeat the same command to continue an unfinished one.
        workers: Processes at once: by default one per core; 0 computes in this process on a GPU or TPU.
    """
    print(generate(config, out, workers))


def command_line(arguments: Sequence[str] | None = None, prog: str = "python -m simulator.eap") -> None:
    """Run `main` with the arguments given, by default the program's own."""
    with guard():
        tyro.cli(tyro.conf.configure(tyro.conf.OmitArgPrefixes)(main), prog=prog, args=arguments)


if __name__ == "__main__":
    command_line()
