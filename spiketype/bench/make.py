"""Make a benchmark from its specification: the same bytes with any number of workers, and after any interruption."""

from pathlib import Path

from spiketype import reading
from spiketype.bench import kinds, sources
from spiketype.datasets import manifest
from spiketype.datasets.benchmarks import card, croissant, divide, folder, samples, specification
from spiketype.datasets.benchmarks.samples import Samples
from spiketype.datasets.benchmarks.specification import Specification
from spiketype.edge import UserError, whole_file, write_json
from spiketype.simulator.eap.means import Means


def make(name: str, out: Path | None, files: Path | None, means: Means) -> Path:
    """Make a benchmark, or what is missing of it, and return its folder.

    Args:
        name: of the benchmark.
        out: its folder, by default one in the cache.
        files: folder of the public files that it needs.
        means: with what it is made.

    Raises:
        UserError: there is something else; a public file is missing; the samples or splits are not those frozen.
    """
    wanted = specification.load(name)
    place = out or folder.place(wanted)
    if place.exists() and not place.is_dir():
        raise UserError(f"{place} is a file: choose another --out")
    if folder.is_complete(place):
        folder.check_same(place, name)
        count = folder.verify(place)
        reading.note(place, f"is there and whole ({count} files): nothing is made")
        return place
    if place.exists() and any(place.iterdir()):
        folder.check_same(place, name)
    found = sources.find(wanted, files)
    place.mkdir(parents=True, exist_ok=True)
    with whole_file(place / folder.SPECIFICATION) as partial:
        partial.write_bytes(specification.content(name))
    table = kinds.make(wanted, place, found, means)
    if table is not None:
        _write(wanted, place, table)
        folder.finish(place)
    return place


def _write(wanted: Specification, place: Path, table: Samples) -> None:
    """Write the samples, the sides of every fold, and what is said of them to people and programs."""
    (place / folder.SPLITS).mkdir(exist_ok=True)
    parts: Samples = {}
    for name, question in wanted.questions.items():
        found = divide.divide(question, table, f"{wanted.name}, question {name}")
        parts[name] = found.part
        files = folder.split_files(wanted, name, parts)
        for file, fold in zip(files, found.folds, strict=bool(files)):
            write_json(place / folder.SPLITS / file, divide.lists(table, fold))
    table, written = table | parts, place / folder.SAMPLES
    samples.write(written, table)
    with whole_file(place / folder.CARD) as partial:
        partial.write_text(card.card(wanted, table), encoding="utf-8", newline="\n")
    about = croissant.File(manifest.sha256(written), written.stat().st_size)
    write_json(place / folder.CROISSANT, croissant.metadata(wanted, table, about))
