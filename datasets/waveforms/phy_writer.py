"""Calls of units as phy shows them: a column of its table of clusters for each ``cluster_NAME.tsv`` in the folder."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from spiketype import reading
from spiketype.edge import UserError, check_out, whole_file

CALL, PROBABILITY = "spiketype", "spiketype_probability"
UNSURE = "unsure"


def places(folder: Path, out: Path, force: bool) -> tuple[Path, Path]:
    """Return the files of the calls and the probabilities: phy's own names in its folder, or named after a table.

    A curator can change calls in phy, which then saves them under these names.

    Args:
        folder: of phy.
        out: the table, beside which they lie where the folder cannot be written.
        force: replace those that exist.

    Raises:
        UserError: one exists, and is not to be replaced.
    """
    names = [f"cluster_{name}.tsv" for name in (CALL, PROBABILITY)]
    try:
        check_out(folder / names[0])
    except UserError:  # another folder's may lie beside the table, too, and phy must not take them for its own
        files = [out.with_name(f"{out.stem}.{name}") for name in names]
        told = " and ".join(f"{file} there as {name}" for file, name in zip(files, names, strict=True))
        reading.note(folder, f"cannot be written; for phy to show the calls, copy {told}")
    else:
        files = [folder / name for name in names]
    taken = [file for file in files if file.exists()]
    if taken and not force:
        raise UserError(f"{taken[0]} exists, and may have been changed in phy: give --force to replace it")
    return files[0], files[1]


def write(files: tuple[Path, Path], columns: Mapping[str, Shaped[np.ndarray, " unit"]]) -> None:
    """Write the calls and the probabilities of clusters, each file whole or not at all.

    Args:
        files: from `places`.
        columns: ``unit`` (numbers of clusters), ``certain``, ``call`` and ``probability``; NaN is left empty.
    """
    call = np.where(columns["certain"] == "yes", columns["call"], UNSURE)
    probability = ["" if np.isnan(p) else f"{p:.3f}" for p in columns["probability"].tolist()]
    for path, name, values in zip(files, (CALL, PROBABILITY), (call.tolist(), probability), strict=True):
        rows = zip(columns["unit"].tolist(), values, strict=True)
        with whole_file(path) as partial:
            partial.write_text("".join(f"{a}\t{b}\n" for a, b in [("cluster_id", name), *rows]))
