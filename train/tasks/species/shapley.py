"""Which features a network's call rests on: Shapley values by the library shap, an optional extra."""

import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

REMEDY = "uv sync --extra explain, or pip install 'spiketype[explain]'"
CELLS, BACKGROUND = 120, 40


def shapley(
    spiny: Callable[[np.ndarray], np.ndarray], z: np.ndarray, background: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows (cell,) of z that were explained, at most `CELLS`, and their values (cell, feature).

    spiny: standardised cells (cell, feature) -> probability (cell,). A value is what knowing a feature adds to that
    probability, on average over the order in which features become known; unknown ones take values of `BACKGROUND`
    cells of background (cell, feature). The values of a cell add up to its probability minus the mean of the
    background's (Lundberg and Lee, NeurIPS 2017). None without the library, which is said on stderr.
    """
    if not find_spec("shap"):
        print(f"Shapley values are left out: they need shap ({REMEDY})", file=sys.stderr)
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own import warns of matplotlib's plans
        import shap
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(z))[:CELLS])
    known = background[np.sort(rng.permutation(len(background))[:BACKGROUND])]
    state = np.random.get_state()  # the library draws from NumPy's global generator
    try:
        explainer = shap.explainers.Permutation(spiny, known, seed=seed)
        found = explainer(z[rows], max_evals=2 * z.shape[1] + 1, silent=True)
    finally:
        np.random.set_state(state)
    return rows, np.asarray(found.values)
