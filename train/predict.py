"""Apply a trained run to new data: ``python -m train.predict RUN --data PATH``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from spiketype import parsing, reading, tables
from spiketype.edge import UserError, check_out, check_platform, guard, importing, whole
from spiketype.location import Location, Place
from spiketype.train import asked, named


def main(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    data: Annotated[Place, arg(metavar="PATH")],
    out: Annotated[Path | None, arg(metavar="FILE")] = None,
    rate_kHz: Annotated[float | None, arg(name="rate-khz", metavar="KHZ")] = None,
    flip: bool = False,
    species: Literal["mouse", "human"] | None = None,
    force: Annotated[bool, arg(name="force")] = False,
) -> None:
    """Apply a trained run to data that need no labels, and write a table with one row a sample, cell or unit.

    Args:
        run: The run folder.
        data: Data of the kind that the run was trained on: an EAP store (also at s3://, gs:// or https://), raphe
            recordings or spikes, a table of Allen features, waveforms of units.
        out: Table of the predictions (.csv, .tsv or .parquet); by default predictions-DATA.csv in the run folder.
        rate_kHz: Sampling rate of waveforms, if the data do not say it; by default as in the run.
        flip: The waveforms are stored upside down.
        species: Of all cells of a table of Allen features that has no column species.
        force: Replace a file that exists.
    """
    if out is not None:
        _check(out, data, force)
    config = asked.for_data(asked.open_config(run), flip, rate_kHz=rate_kHz, species=species)
    path = out or run / named.name(run, "predictions-", data, ".csv")
    if out is None:
        _check(path, data, force)
    with importing():  # takes seconds
        from spiketype.train import runs
    check_platform()
    task, _, model = runs.load_model(run)
    with reading.recorded() as read, whole():
        columns = task.predict(config, model, data)
    tables.write(path, columns, read.to_json())
    if out is None:
        named.keep(run, path.name, data)
    tables.show({name: values for name, values in columns.items() if not name.startswith("p_")})
    print(f"{path}: {len(columns['row'])} predictions")


def _check(out: Path, data: Location, force: bool) -> None:
    """Refuse a table that cannot be written, is the very data, or would replace a file without ``--force``."""
    tables.check_ending(out)
    if out.is_dir() or not out.parent.is_dir():
        raise UserError(f"--out {out}: give the name of a file in a folder that exists")
    if isinstance(data, Path) and out.resolve() in (data.resolve(), *data.resolve().parents):
        raise UserError(f"--out {out} is the data themselves: choose another file")
    if out.exists() and not force:
        raise UserError(f"{out} exists: choose another --out, or give --force to replace it")
    check_out(out)


def command_line(arguments: Sequence[str] | None = None, prog: str = "python -m train.predict") -> None:
    """Run `main` with the arguments given, by default the program's own."""
    with guard():
        parsing.run(main, arguments, prog)


if __name__ == "__main__":
    command_line()
