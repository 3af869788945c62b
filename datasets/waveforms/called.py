"""Calls of units in the order of the file that they were read from, for those who write into a copy of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped

from spiketype.datasets.waveforms.phy_writer import UNSURE
from spiketype.edge import UserError


def aligned(
    source: Path, columns: Mapping[str, Shaped[np.ndarray, " called"]], names: Sequence[str]
) -> tuple[list[str], Float[np.ndarray, " unit"]]:
    """Return the call and the probability of each unit of a file; `UNSURE` and NaN for those that were left out.

    Args:
        source: the file.
        columns: ``unit``, ``certain``, ``call`` and ``probability``.
        names: of the file's units, in its order.

    Raises:
        UserError: a unit that was called is not in the file, or several have its name.
    """
    row, times = {name: k for k, name in enumerate(names)}, Counter(names)
    words = [UNSURE] * len(names)
    probability = np.full(len(names), np.nan)
    call = np.where(columns["certain"] == "yes", columns["call"], UNSURE)
    called = columns["unit"].astype(str).tolist()
    for name, word, p in zip(called, call.tolist(), columns["probability"].tolist(), strict=True):
        if times[name] != 1:
            raise UserError(
                f"{source} has {'several units' if name in row else 'no unit'} {name!r}, so that its call cannot be"
                " written: take it from the table of --out"
            )
        words[row[name]] = word
        probability[row[name]] = p
    return words, probability
