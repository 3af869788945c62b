"""Apply a trained run to new data: ``python -m train.predict RUN --data STORE``."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional, arg

from spiketype.edge import UserError, guard
from spiketype.train import runs

SHOWN = 10


def main(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    data: Annotated[Path, arg(metavar="STORE")],
    out: Annotated[Path | None, arg(metavar="FILE")] = None,
) -> None:
    """Apply a trained network to data that need no labels, and write a table with one row a sample.

    Args:
        run: The run folder.
        data: Data with the features that the run was trained on, such as an EAP store.
        out: CSV file of the predictions; by default predictions-DATA.csv in the run folder.
    """
    task, config = runs.open_config(run)
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise UserError(f"--out {out}: give the name of a file in a folder that exists")
    variables, about = runs.load_model(run)
    columns = task.predict(config, about, variables, data)
    out = out or run / f"predictions-{data.stem}.csv"
    rows = [[_text(value) for value in row] for row in zip(*columns.values(), strict=True)]
    with open(out, "w", newline="") as file:
        csv.writer(file).writerows([list(columns), *rows])
    _show(columns, rows)
    print(f"{out}: {len(rows)} predictions")


def _text(value: Any) -> str:
    return f"{value:.4g}" if hasattr(value, "dtype") and value.dtype.kind == "f" else str(value)


def _show(columns: Mapping[str, Any], rows: list[list[str]]) -> None:
    names = [name for name in columns if not name.startswith("p_")]
    print("  ".join(names))
    for row in rows[:SHOWN]:
        print("  ".join(row[: len(names)]))
    if len(rows) > SHOWN:
        print("...")


def command_line(arguments: Sequence[str] | None = None, prog: str = "python -m train.predict") -> None:
    """Run `main` with the arguments given, by default the program's own."""
    with guard():
        tyro.cli(main, prog=prog, args=arguments)


if __name__ == "__main__":
    command_line()
