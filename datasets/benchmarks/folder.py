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
from spiketype.datasets.benchmarks.specification import Specification, content, load, parse
from spiketype.edge import UserError, cache_dir
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
    theirs = file.read_bytes()
    if theirs == content(name):
        return
    ours, found = load(name), parse(theirs, str(file))
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
        state = "is unfinished" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {state}: run spiketype bench make {name}, or give --made FOLDER")
    check_same(folder, name)
    files = manifest.read(folder, MANIFEST) or {}
    if manifest.sha256(folder / SAMPLES) != files.get(SAMPLES):
        raise UserError(f"{folder / SAMPLES} is damaged (its SHA-256 differs): {manifest.remedy(folder)}")
    return Made(load(name), samples.read(folder / SAMPLES, manifest.remedy(folder)))


def verify(folder: Path) -> int:
    """Return how many files were compared with the manifest, and found to be as they were written.

    Raises:
        UserError: files that are missing, damaged or new; it names them.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give that of a benchmark")
    if not (folder / SPECIFICATION).is_file() and not (folder / MANIFEST).is_file():
        raise UserError(
            f"{folder} is no benchmark (it has neither {MANIFEST} nor {SPECIFICATION}): give the folder of one"
        )
    found = manifest.differences(folder, MANIFEST)
    for what, files in (("damaged (SHA-256 differs)", found.changed), ("missing", found.missing), ("new", found.new)):
        if files:
            number = f"{files[0]} is" if len(files) == 1 else f"{len(files)} files are"
            named = "" if len(files) == 1 else f": {shortened(files)}"
            remedy = "remove what is not of the benchmark" if what == "new" else manifest.remedy(folder)
            raise UserError(f"{folder}: {number} {what}{named}; {remedy}")
    return len(manifest.read(folder, MANIFEST) or {})


def finish(folder: Path) -> None:
    """Write the manifest of a folder whose files are all there."""
    manifest.write_to(folder / MANIFEST, manifest.hashed(folder, manifest.names(folder)))
