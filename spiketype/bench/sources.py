"""Public files that a benchmark is made of: found where the user has put them, and compared with what they must be."""

import os
from pathlib import Path

from spiketype.datasets import manifest
from spiketype.datasets.benchmarks.specification import Specification
from spiketype.edge import UserError

VARIABLE = "SPIKETYPE_DATA"


def find(specification: Specification, given: Path | None) -> Path:
    """Return the folder of the public files of a benchmark, all of which are there and as they were published.

    Args:
        specification: of the benchmark.
        given: by the user; else the folder that the environment names, else this one.

    Raises:
        UserError: a file is missing or another one; it says where it is from.
    """
    folder = (given or Path(os.environ.get(VARIABLE, "."))).resolve()
    for source in specification.source:
        path = folder / source.file
        fetch = f"fetch it from {source.origin} (licence: {source.licence})"
        if not path.is_file():
            raise UserError(f"{path} is missing: {fetch}, and give --sources FOLDER or set {VARIABLE}")
        if manifest.sha256(path) != source.sha256:
            raise UserError(f"{path} is another file than the benchmark's, its SHA-256 differs: {fetch}")
    return folder
