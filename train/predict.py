"""Apply a trained run to new data: ``python -m train.predict RUN --data PATH``."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from tyro.conf import Positional, arg

from spiketype import parsing, reading
from spiketype.edge import UserError, check_platform, guard, importing, whole_file
from spiketype.location import Place
from spiketype.train import asked

SHOWN = 10


def main(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    data: Annotated[Place, arg(metavar="PATH")],
    out: Annotated[Path | None, arg(metavar="FILE")] = None,
    rate_kHz: Annotated[float | None, arg(name="rate-khz", metavar="KHZ")] = None,
    flip: bool = False,
) -> None:
    """Apply a trained run to data that need no labels, and write a table with one row a sample, cell or unit.

    Args:
        run: The run folder.
        data: Data of the kind that the run was trained on: an EAP store (also at s3://, gs:// or https://), raphe
            recordings or spikes, a table of Allen features, waveforms of units.
        out: CSV file of the predictions; by default predictions-DATA.csv in the run folder.
        rate_kHz: Sampling rate of waveforms, if the data do not say it; by default as in the run.
        flip: The waveforms are stored upside down.
    """
    config = asked.for_data(asked.open_config(run), flip, rate_kHz=rate_kHz)
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise UserError(f"--out {out}: give the name of a file in a folder that exists")
    with importing():  # takes seconds
        from spiketype.train import runs
    check_platform()
    task, _, model = runs.load_model(run)
    with reading.recorded():
        columns = task.predict(config, model, data)
    out = out or run / f"predictions-{data.stem}.csv"
    rows = [[_text(value) for value in row] for row in zip(*columns.values(), strict=True)]
    with whole_file(out) as partial, open(partial, "w", newline="") as file:
        csv.writer(file).writerows([list(columns), *rows])
    _show(columns, rows)
    print(f"{out}: {len(rows)} predictions")


def _text(value: object) -> str:
    """Return a number with four digits, nothing for one that is missing (NaN), or words as they are."""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)


def _show(columns: Mapping[str, np.ndarray], rows: list[list[str]]) -> None:
    """Print the first rows, but for the probabilities of the classes."""
    shown = [k for k, name in enumerate(columns) if not name.startswith("p_")]
    print("  ".join(list(columns)[k] for k in shown))
    for row in rows[:SHOWN]:
        print("  ".join(row[k] for k in shown))
    if len(rows) > SHOWN:
        print("...")


def command_line(arguments: Sequence[str] | None = None, prog: str = "python -m train.predict") -> None:
    """Run `main` with the arguments given, by default the program's own."""
    with guard():
        parsing.run(main, arguments, prog)


if __name__ == "__main__":
    command_line()
