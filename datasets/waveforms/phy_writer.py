"""Calls of units as phy shows them: a column of its table of clusters for each ``cluster_NAME.tsv`` in the folder."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from spiketype.edge import whole_file

CALL, PROBABILITY = "spiketype", "spiketype_probability"
UNSURE = "unsure"


def write(folder: Path, columns: Mapping[str, Shaped[np.ndarray, " unit"]], otherwise: Path) -> tuple[Path, Path]:
    """Write ``cluster_spiketype.tsv`` and ``cluster_spiketype_probability.tsv``, whole or not at all.

    The curator's own files stay as they are; those of an earlier call are replaced.

    Args:
        folder: of phy; its clusters are the units.
        columns: ``unit`` (numbers of clusters), ``certain``, ``call`` and ``probability``; NaN is left empty.
        otherwise: the folder to write to where `folder` cannot be written.

    Returns:
        The two files.
    """
    place = folder if os.access(folder, os.W_OK) else otherwise
    call = np.where(columns["certain"] == "yes", columns["call"], UNSURE)
    probability = ["" if np.isnan(p) else f"{p:.3f}" for p in columns["probability"].tolist()]
    found = []
    for name, values in ((CALL, call.tolist()), (PROBABILITY, probability)):
        path = place / f"cluster_{name}.tsv"
        rows = zip(columns["unit"].tolist(), values, strict=True)
        with whole_file(path) as partial:
            partial.write_text("".join(f"{a}\t{b}\n" for a, b in [("cluster_id", name), *rows]))
        found.append(path)
    return found[0], found[1]
