"""What was learned: how far apart two species are in some features, and which features a network's calls rest on."""

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec

import jax
import numpy as np
from jaxtyping import Float, Int, Shaped
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from spiketype.datasets.allen.table import AllenTable
from spiketype.edge import Json
from spiketype.train.apply import in_pieces
from spiketype.train.tasks.species.cells import HUMAN, MOUSE, Cells, Domains, Part
from spiketype.train.tasks.species.config import METHODS
from spiketype.train.tasks.species.networks import PIECE, Networks

FOLDS, TREES = 5, 100  # of the classifier of the species
EXPLAINED, BACKGROUND = 120, 40  # cells
Views = Mapping[str, Float[np.ndarray, "cell ..."]]  # features of the same cells
REMEDY = "uv sync --extra explain, or pip install 'spiketype[explain]'"


def views_of(table: AllenTable, part: Part, networks: Networks) -> Views:
    """Return features of the training cells of the first part, before and after: measured, aligned, learned."""
    rows = np.concatenate([part.mouse, part.human])
    cells, domains = Cells.of(table, rows), Domains.of(table, part)
    found = {
        "features": domains.mouse.apply(cells.x).astype(np.float64),
        "each species in its own scale": domains.apply(cells, domains.rate),
    }
    for method in networks.methods:
        found[f"learned by {METHODS[method].title}"] = networks.learned(networks.numbers(method, fold=0)[0], cells)
    return found


def separability(views: Views, cells: AllenTable, seed: int) -> Json:
    """Return what a random forest that sees features knows of the species of donors held out, for each view of cells.

    ``auc``; ``auc_within_class``, the mean over classes, which differences in class frequency leave alone;
    ``balanced_accuracy_percent``; ``a_distance``, the proxy 2 (1 - 2 error) of Ben-David et al. (Machine Learning 79,
    2010, 151) with the balanced error: 0 for the same, 2 for apart. Nothing where a species has a single donor, which
    cannot be both held out and known.
    """
    donors = [len(np.unique(cells.donor[cells.species == k])) for k in (MOUSE, HUMAN)]
    return {name: _separability(z, cells, seed) for name, z in views.items()} if min(donors) > 1 else {}


def _separability(z: np.ndarray, cells: AllenTable, seed: int) -> Json:
    species, label = cells.species, cells.spiny
    forest = RandomForestClassifier(TREES, class_weight="balanced", min_samples_leaf=3, random_state=seed)
    folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(z, species, cells.donor))
    human = cross_val_predict(forest, z, species, cv=folds, method="predict_proba")[:, 1]
    balanced = balanced_accuracy_score(species, human > 0.5)
    within = [roc_auc_score(species[label == k], human[label == k]) for k in np.unique(label)]
    return {
        "auc": float(roc_auc_score(species, human)),
        "auc_within_class": float(np.mean(within)),
        "balanced_accuracy_percent": float(100 * balanced),
        "a_distance": float(max(0.0, 2 * (2 * balanced - 1))),
    }


def explain(
    table: AllenTable, part: Part, networks: Networks, seed: int
) -> tuple[Float[np.ndarray, "cell feature"], Float[np.ndarray, "cell feature"]] | None:
    """Return inputs of tested cells of the first part, and Shapley values of the last method's network.

    None without the library shap.
    """
    number = networks.numbers(networks.methods[-1], fold=0)[0]
    softmax = jax.jit(jax.nn.softmax)

    def spiny(z: np.ndarray) -> np.ndarray:
        return np.asarray(in_pieces(softmax, networks.apply(number, z)[0], PIECE)[:, 1], np.float64)

    z, background = (networks.inputs(number, Cells.of(table, rows)) for rows in (part.test, part.mouse))
    found = shapley(spiny, z, background, seed)
    return None if found is None else (z[found[0]], found[1])


def shapley(
    spiny: Callable[[np.ndarray], np.ndarray],
    z: Float[np.ndarray, "cell feature"],
    background: Float[np.ndarray, "background feature"],
    seed: int,
) -> tuple[Int[np.ndarray, " explained"], Shaped[np.ndarray, "explained feature"]] | None:
    """Return rows of z that were explained, at most `EXPLAINED`, and their Shapley values.

    A value is what knowing a feature adds to the probability of spiny, on average over the order in which features
    become known; unknown ones take values of `BACKGROUND` cells of background. The values of a cell add up to its
    probability minus the mean of the background's (Lundberg and Lee, NeurIPS 2017). None without the library shap, an
    optional extra, and stderr tells so.

    Args:
        spiny: standardised cells (cell, feature) -> probability (cell,).
        z: standardised cells.
        background: standardised cells that unknown features are taken from.
        seed: of the choice of cells and of the order of features.
    """
    if not find_spec("shap"):
        print(f"Shapley values are left out: they need shap ({REMEDY})", file=sys.stderr)
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own import warns of matplotlib's plans
        import shap
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(z))[:EXPLAINED])
    known = background[np.sort(rng.permutation(len(background))[:BACKGROUND])]
    state = np.random.get_state()  # the library draws from NumPy's global generator
    try:
        explainer = shap.explainers.Permutation(spiny, known, seed=seed)
        found = explainer(z[rows], max_evals=2 * z.shape[1] + 1, silent=True)
    finally:
        np.random.set_state(state)
    return rows, np.asarray(found.values)
