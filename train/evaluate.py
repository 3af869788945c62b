"""Judge a trained run on other data with labels: ``python -m train.evaluate RUN --data PATH``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from spiketype import parsing, reading
from spiketype.edge import check_platform, guard, importing, whole
from spiketype.location import Place
from spiketype.train import asked, named


def main(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    data: Annotated[Place, arg(metavar="PATH")],
    label: Annotated[str | None, arg(metavar="COLUMN")] = None,
    rate_kHz: Annotated[float | None, arg(name="rate-khz", metavar="KHZ")] = None,
    flip: bool = False,
) -> None:
    """Judge a trained run on other data with labels: on groups (cell models, donors, animals) that are new to it.

    Args:
        run: The run folder.
        data: Labelled data of the kind that the run was trained on: an EAP store (also at s3://, gs:// or https://), a
            raphe store, a folder of Allen tables (of subclasses also one table), waveforms of units.
        label: Column of the classes of units; by default as in the run.
        rate_kHz: Sampling rate of waveforms, if the data do not say it; by default as in the run.
        flip: The waveforms are stored upside down.
    """
    config = asked.for_data(asked.open_config(run), flip, label=label, rate_kHz=rate_kHz)
    with importing():  # takes seconds
        from spiketype.train import runs
    check_platform()
    task, _, model = runs.load_model(run)
    with reading.recorded() as read, whole():
        judgement = task.evaluate(config, model, data)
    folder = run / named.name(run, "evaluation-", data)
    named.keep(run, folder.name, data)
    runs.write_judgement(folder, judgement, judgement.summary | {"data": read.to_json()})
    print(task.table(judgement.summary))
    print(f"{folder}: numbers in summary.json, predictions in predictions.zarr, pictures in figures/")


def command_line(arguments: Sequence[str] | None = None, prog: str = "python -m train.evaluate") -> None:
    """Run `main` with the arguments given, by default the program's own."""
    with guard():
        parsing.run(main, arguments, prog)


if __name__ == "__main__":
    command_line()
