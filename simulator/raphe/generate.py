"""Simulate labelled loose-seal recordings of raphe neurons into a store: ``python -m simulator.raphe --out DIR``.

Cells, days and spikes are as published (`simulator.raphe.cells`); currents are continuous recordings
(`simulator.raphe.trace`), cut by the code that cuts real ones. A cell depends on the seed, its name and nothing else.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict
from functools import partial
from pathlib import Path

from pyabf.abfWriter import writeABF1

from spiketype.datasets.raphe import table
from spiketype.datasets.raphe.extract import extract
from spiketype.datasets.raphe.options import SpikeOptions
from spiketype.datasets.raphe.recordings import from_array
from spiketype.datasets.raphe.table import LabelledCell
from spiketype.edge import UserError, cores, progress
from spiketype.simulator.raphe import trace
from spiketype.simulator.raphe.cells import Cell, draw, levels, published
from spiketype.simulator.raphe.config import RapheConfig
from spiketype.simulator.raphe.kept import Kept
from spiketype.simulator.workers import pool

MISSED = 1.05  # simulated spikes for each that is wanted: a shallow one may stay above the threshold


def cells(config: RapheConfig) -> list[Cell]:
    """Return the cells of a data set, copy after copy, by name; those of a further copy have a number after the day."""
    return [cell for copy in range(config.copies) for cell in _copy(config, copy)]


def _copy(config: RapheConfig, copy: int) -> Iterator[Cell]:
    rows = published()
    suffix = f".{copy}" if copy else ""
    level = {kind: iter(levels(config.seed, kind, sum(row[2] == kind for row in rows), copy)) for kind in (True, False)}
    for name, day, kind, n in rows:
        spikes = min(n, config.most_spikes)
        name, day = name.replace("#", f"{suffix}#"), day + suffix
        yield draw(config.seed, name, day, kind, spikes, next(level[kind]), config.contrast)


def simulate(config: RapheConfig, cell: Cell, folder: Path | None = None) -> LabelledCell:
    """Simulate the recording of one cell and cut its spikes; write the recording to ``folder`` if there is one."""
    mark = trace.signature(config.seed, cell.day) if config.confound else None
    current = trace.trace(config.seed, cell, int(cell.spikes * MISSED) + 2, mark)
    path = Path(f"{cell.name}.abf")
    if folder is not None:
        path = folder / path
        writeABF1(current[None], str(path), trace.RATE_HZ)
    recording = from_array(current, trace.RATE_HZ, path, cell.name, cell.day)
    options = SpikeOptions(**{**asdict(config.spikes), "most": min(cell.spikes, config.spikes.most)})
    return LabelledCell(
        name=cell.name,
        day=cell.day,
        label=int(cell.serotonergic),
        spikes=extract(recording, options),
        source=str(path) if folder else "simulated",
        true_udi_ms=cell.udi_ms,
    )


def generate(config: RapheConfig, out: Path, workers: int | None = None, abf: Path | None = None) -> Path:
    """Write the store that ``config`` describes to ``out`` and return it.

    Cells that are done are kept beside it until it is written: the same call after a stop simulates the others, unless
    recordings are written, too.

    Args:
        config: what it holds.
        out: the folder; must not exist.
        workers: processes at once, by default one per core; 0 works in this process.
        abf: a folder to write the recordings to, as ABF1 files, with their labels in ``labels.csv``.

    Raises:
        UserError: ``out`` exists; a cell's spikes do not cross the threshold; a worker died.
    """
    if out.exists():
        raise UserError(f"{out} exists already: choose another folder or remove it")
    wanted = cells(config)
    if abf is not None:
        abf.mkdir(parents=True, exist_ok=True)
        _write_labels(abf / "labels.csv", wanted)
    kept = Kept(out, config)
    done = [] if abf else [found for cell in wanted if (found := kept.read(cell)) is not None]
    names = {(cell.day, cell.name) for cell in done}
    rest = [cell for cell in wanted if (cell.day, cell.name) not in names]
    with progress() as bar:
        shown = bar.add_task("raphe cells", total=len(wanted), completed=len(done))
        for cell in _each(partial(simulate, config, folder=abf), rest, workers):
            done.append(cell)
            kept.write(cell)
            bar.advance(shown)
    by_name = sorted(done, key=lambda cell: (cell.day, cell.name))  # not in the order in which workers end
    path = table.write(out, by_name, asdict(config), seed=config.seed)
    kept.remove()
    return path


def _each(work: Callable[[Cell], LabelledCell], wanted: Sequence[Cell], workers: int | None) -> Iterator[LabelledCell]:
    if workers == 0:
        yield from map(work, wanted)
        return
    with pool(workers or cores()) as submit:
        for future in as_completed([submit(work, cell) for cell in wanted]):
            yield future.result()


def _write_labels(path: Path, wanted: Sequence[Cell]) -> None:
    with open(path, "w", newline="") as file:
        labels = csv.writer(file)
        labels.writerow(["cell", "day", "label", "atypical", "udi_ms"])
        for cell in wanted:
            label = "serotonergic" if cell.serotonergic else "non-serotonergic"
            labels.writerow([cell.name, cell.day, label, int(cell.atypical), f"{cell.udi_ms:.4f}"])
