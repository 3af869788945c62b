"""Cells that lack features: those that lack the same ones are called by a model of the features that they have.

Reduced models (Saar-Tsechansky and Provost, JMLR 8, 2007, 1623). A model of all features that is given medians does not
know that they are no measurements: `scripts/reproduce_missing.py` measures what it then claims, and what is right.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from spiketype.models.scale import Scale

MOST_FILLED = 0.1  # share of the features up to which medians stand for what is missing: nothing is lost by them
FEWEST = 0.25  # share of the features below which no model is fitted
TOO_FEW = f"fewer than {100 * FEWEST:g} % of the features are measured"
FAR_SD = 8.0  # from the mean of the training cells; measured values are hardly ever farther
MOST_FAR = 0.25  # share of such values from which on a cell is not believed
ODD = f"{100 * MOST_FAR:g} % or more of the values are far from all that were trained on"
MANY = 3  # models to fit, two seconds each, from which on progress is shown


class Alike(NamedTuple):
    """Cells that one model calls.

    Attributes:
        rows: which cells.
        kept: which features the model sees: all where few are missing, none where hardly any is there.
    """

    rows: Int[np.ndarray, " cell"]
    kept: Bool[np.ndarray, " feature"]


def alike(x: Float[np.ndarray, "cell feature"]) -> list[Alike]:
    """Return groups of cells, NaN where not measured, each to be called by one model; every cell is in one group."""
    known = np.isfinite(x)
    known[too_few(x)] = False
    known[(~known).mean(axis=1) <= MOST_FILLED] = True
    patterns, group = np.unique(known, axis=0, return_inverse=True)
    return [Alike(np.flatnonzero(group == number), kept) for number, kept in enumerate(patterns)]


def too_few(x: Float[np.ndarray, "cell feature"]) -> Bool[np.ndarray, " cell"]:
    """Say which cells have so few features that no more is said of them than how frequent classes are."""
    return np.asarray(np.isfinite(x).mean(axis=1) < FEWEST)


def odd(wrong: Bool[np.ndarray, "cell feature"], x: Float[np.ndarray, "cell feature"]) -> Bool[np.ndarray, " cell"]:
    """Say which cells, as given, have so many values that nobody measured that the others are not believed either."""
    return np.asarray(wrong.sum(axis=1) >= np.maximum(MOST_FAR * np.isfinite(x).sum(axis=1), 1))


def far(x: Float[np.ndarray, "cell feature"], scale: Scale) -> Bool[np.ndarray, "cell feature"]:
    """Say which values are so far from those of the training cells, of whom the scale is, that nobody measured them."""
    with np.errstate(invalid="ignore"):  # NaN is not far
        return np.asarray(np.abs((x - scale.mean) / scale.sd) > FAR_SD)
