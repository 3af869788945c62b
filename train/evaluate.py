"""Judge a trained run on another store: ``python -m train.evaluate RUN --data STORE``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from spiketype.edge import guard
from spiketype.train import runs


def main(run: Annotated[Path, Positional, arg(metavar="RUN")], data: Annotated[Path, arg(metavar="STORE")]) -> None:
    """Judge a trained network on another store with labels, on cell models it was not trained on where there are any.

    Args:
        run: The run folder.
        data: A store with the features that the run was trained on.
    """
    task, config = runs.open_config(run)
    variables, about = runs.load_model(run)
    folder = run / f"evaluation-{data.stem}"
    summary = task.evaluate(config, about, variables, data, folder)
    folder.mkdir(exist_ok=True)
    runs.write_json(folder / runs.SUMMARY, summary)
    print(task.table(summary))
    print(f"{folder}: numbers in summary.json, pictures beside it")


def command_line(arguments: Sequence[str] | None = None, prog: str = "python -m train.evaluate") -> None:
    """Run `main` with the arguments given, by default the program's own."""
    with guard():
        tyro.cli(main, prog=prog, args=arguments)


if __name__ == "__main__":
    command_line()
