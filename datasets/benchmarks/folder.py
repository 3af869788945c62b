"""The folder of a benchmark that was made: what is in it, whether it is whole, and how it is read.

specification.toml   the benchmark, as it was when this was made
data.zarr            the samples, where they are generated
samples.parquet      the same in a table: name, labels, groups, and part of each question
README.md            the dataset card
croissant.json       the same for programs, as Croissant metadata
splits/              the sides of every fold, as ``python -m train.run --split lists --lists FILE`` takes them
manifest.json        the SHA-256 of each of these files; it is there when the folder is complete
"""

from pathlib import Path
from typing import NamedTuple

from spiketype.datasets import manifest
from spiketype.datasets.benchmarks import samples
from spiketype.datasets.benchmarks.samples import Samples
from spiketype.datasets.benchmarks.specification import GENERATED, Specification, load, names, parse
from spiketype.edge import UserError, absent, cache_dir
from spiketype.reading import shortened

SPECIFICATION, DATA, SAMPLES, SPLITS, MANIFEST = (
    "specification.toml",
    "data.zarr",
    "samples.parquet",
    "splits",
    "manifest.json",
)
CARD, CROISSANT = "README.md", "croissant.json"


class Made(NamedTuple):
    """A benchmark that was made: its specification, and its samples with a column for each question."""

    specification: Specification
    samples: Samples


def place(specification: Specification) -> Path:
    """Return where in the cache a benchmark is made, if nobody says otherwise."""
    return cache_dir() / "benchmarks" / specification.folder_name


def is_complete(folder: Path) -> bool:
    """Say whether a benchmark was made to its end."""
    return (folder / MANIFEST).is_file()


def check_same(folder: Path, name: str) -> None:
    """Refuse a folder in which another benchmark, or another version, was made or begun.

    Raises:
        UserError: says what is there.
    """
    file = folder / SPECIFICATION
    if not file.is_file():
        raise UserError(f"{folder} holds something else ({SPECIFICATION} is missing): choose another folder")
    ours, found = load(name), parse(file.read_bytes(), str(file))
    if found.frozen == ours.frozen:
        return
    if (found.name, found.version) == (ours.name, ours.version):
        raise UserError(f"{file} was changed since it was made: {manifest.remedy(folder)}")
    raise UserError(
        f"{folder} holds {found.name}, version {found.version}, and not {name}, version {ours.version}: choose another"
        " folder, or the version of spiketype that has it"
    )


def read(folder: Path, name: str) -> Made:
    """Read a benchmark; the files that are read are compared with the manifest.

    Raises:
        UserError: it is not there, incomplete, another one, or damaged.
    """
    if not is_complete(folder):
        begun = "is unfinished" if (folder / SPECIFICATION).exists() else "holds no benchmark"
        state = begun if folder.exists() else "does not exist"
        raise UserError(f"{folder} {state}: run spiketype bench make {name}, or give --made FOLDER")
    check_same(folder, name)
    files = manifest.read(folder, MANIFEST) or {}
    if manifest.sha256(folder / SAMPLES) != files.get(SAMPLES):
        raise UserError(f"{folder / SAMPLES} is damaged (its SHA-256 differs): {manifest.remedy(folder)}")
    made = Made(load(name), samples.read(folder / SAMPLES, manifest.remedy(folder)))
    _check_parts(folder, *made)
    return made


def verify(folder: Path) -> int:
    """Return how many files were compared with the manifest, and found to be as they were written.

    Raises:
        UserError: files that are missing, damaged or new; it names them.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give that of a benchmark" if folder.exists() else absent(folder))
    if not (folder / SPECIFICATION).is_file() and not (folder / MANIFEST).is_file():
        raise UserError(
            f"{folder} is no benchmark (it has neither {MANIFEST} nor {SPECIFICATION}): give the folder of one"
        )
    found, whole = manifest.differences(folder, MANIFEST), manifest.remedy(folder)
    for what, files, remedy in (
        ("no plain file, but a link or the like", found.special, "put the file itself there, or remove it"),
        ("damaged (SHA-256 differs)", found.changed, whole),
        ("missing", found.missing, whole),
        ("new", found.new, "remove what is not of the benchmark"),
    ):
        if files:
            number = f"{files[0]} is" if len(files) == 1 else f"{len(files)} files are"
            named = "" if len(files) == 1 else f": {shortened(files)}"
            raise UserError(f"{folder}: {number} {what}{named}; {remedy}")
    known = manifest.read(folder, MANIFEST) or {}
    _check_content(folder, set(known))
    return len(known)


def _check_content(folder: Path, files: set[str]) -> None:
    """Refuse a folder whose manifest was written anew of less than a benchmark, or of samples with other parts."""
    if missing := [name for name in (SPECIFICATION, SAMPLES) if name not in files]:
        raise UserError(f"{folder / MANIFEST} has no {missing[0]}: {manifest.remedy(folder)}")
    theirs = parse((folder / SPECIFICATION).read_bytes(), str(folder / SPECIFICATION))
    if theirs.name in names() and load(theirs.name).version == theirs.version:
        check_same(folder, theirs.name)
    table = samples.read(folder / SAMPLES, manifest.remedy(folder))
    _check_parts(folder, theirs, table)
    needed = {f"{SPLITS}/{file}" for name in theirs.questions for file in split_files(theirs, name, table)}
    if missing := sorted(needed - files):
        raise UserError(f"{folder / MANIFEST} has no {missing[0]}: {manifest.remedy(folder)}")
    if theirs.generator.kind in GENERATED and not any(name.startswith(f"{DATA}/") for name in files):
        raise UserError(f"{folder / MANIFEST} has no {DATA}: {manifest.remedy(folder)}")


def split_files(specification: Specification, name: str, table: Samples) -> list[str]:
    """Return the names of the files that have the sides of each fold of a question; where all are tested, none."""
    from spiketype.datasets.benchmarks.divide import sides  # takes a second, as below

    folds = len(sides(table[name]))
    if specification.questions[name].split.kind == "all":
        return []
    return [f"{name}-fold{k + 1}.json" for k in range(folds)] if folds > 1 else [f"{name}.json"]


def _check_parts(folder: Path, specification: Specification, table: Samples) -> None:
    """Refuse samples whose parts are not those that were frozen."""
    from spiketype.datasets.benchmarks.divide import Division, digest

    for name, question in specification.questions.items():
        columns = ("id", name) if question.answer == "position" else ("id", name, question.label)
        known = all(column in table for column in columns)
        if not known or digest(question, table, Division(table[name], ())) != question.split.sha256:
            raise UserError(
                f"{folder / SAMPLES}: the parts of question {name} are not those that were frozen (the SHA-256 of its"
                f" split differs): {manifest.remedy(folder)}"
            )


def finish(folder: Path) -> None:
    """Write the manifest of a folder whose files are all there."""
    manifest.write_to(folder / MANIFEST, manifest.hashed(folder, manifest.names(folder)))
