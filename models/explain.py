"""What was learned: which inputs calls rest on (permutation, Shapley values), and how far apart domains are."""

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Int, Shaped
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from spiketype.edge import install

SHUFFLES = 3
EXPLAINED, BACKGROUND = 120, 40  # rows
FOLDS, TREES = 5, 100  # of the classifier of domains
REMEDY = install("spiketype[explain]")

PerFeature = Float[np.ndarray, "class feature"]


def drops(
    probability: Callable[[np.ndarray], np.ndarray],
    x: Float[np.ndarray, "row input"],
    label: Int[np.ndarray, " row"],
    features: int,
    classes: int,
    seed: int,
) -> PerFeature:
    """Return the mean loss of log probability (nats) of the true class when a feature is shuffled among test rows.

    Over the rows of each class, NaN where there are none (Breiman 2001; features that tell the same share their
    importance). The first `features` inputs are features.

    Args:
        probability: inputs (row, input) -> probability (row, class).
        x: inputs of rows that the model was not trained on.
        label: their classes.
        features: their number.
        classes: their number.
        seed: of the shuffles.
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(len(x))

    def log_probability(inputs: np.ndarray) -> np.ndarray:
        return np.asarray(np.log(np.clip(probability(inputs)[rows, label], 1e-12, 1)))

    whole, found = log_probability(x), np.full((classes, features), np.nan)
    for k in range(features):
        shuffled = np.zeros(len(x))
        for _ in range(SHUFFLES):
            other = x.copy()
            other[:, k] = x[rng.permutation(len(x)), k]
            shuffled += log_probability(other) / SHUFFLES
        for c in np.unique(label):
            found[c, k] = (whole - shuffled)[label == c].mean()
    return found


def mean_known(found: Sequence[PerFeature]) -> PerFeature:
    """Return the mean over folds of what is known, 0 where nothing is."""
    known = np.isfinite(found)
    return np.asarray(np.where(known, found, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def shapley(
    probability: Callable[[np.ndarray], np.ndarray],
    z: Float[np.ndarray, "row feature"],
    background: Float[np.ndarray, "background feature"],
    seed: int,
) -> tuple[Int[np.ndarray, " explained"], Shaped[np.ndarray, "explained feature"]] | None:
    """Return rows of z that were explained, at most `EXPLAINED`, and their Shapley values.

    A value is what knowing a feature adds to the probability, on average over the order in which features become
    known; unknown ones take values of `BACKGROUND` rows of background. The values of a row add up to its probability
    minus the mean of the background's (Lundberg and Lee, NeurIPS 2017). None without the library shap, an optional
    extra, and stderr tells so.

    Args:
        probability: inputs (row, feature) -> probability (row,).
        z: inputs.
        background: inputs that unknown features are taken from.
        seed: of the choice of rows and of the order of features.
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
        explainer = shap.explainers.Permutation(probability, known, seed=seed)
        found = explainer(z[rows], max_evals=2 * z.shape[1] + 1, silent=True)
    finally:
        np.random.set_state(state)
    return rows, np.asarray(found.values)


def _mean_auc(domain: np.ndarray, second: np.ndarray, parts: Sequence[np.ndarray]) -> float:
    """Return the mean AUC over the parts that have rows of both domains."""
    found = [roc_auc_score(domain[rows], second[rows]) for rows in parts if len(np.unique(domain[rows])) == 2]
    return float(np.mean(found)) if found else float("nan")


def separability(
    z: Shaped[np.ndarray, "row feature"],
    domain: Int[np.ndarray, " row"],
    label: Int[np.ndarray, " row"],
    group: Int[np.ndarray, " row"],
    seed: int,
) -> dict[str, float]:
    """Return what a random forest that sees features knows of the domain, 0 or 1, of rows in groups held out.

    ``auc``, the mean over folds: over all of them together it falls below chance where few rows of a domain in a fold
    are many in the others (Airola et al. 2011); ``auc_within_class``, the mean over classes, which differences in class
    frequency leave alone; ``balanced_accuracy_percent``; ``a_distance``, the proxy 2 (1 - 2 error) of Ben-David et al.
    (Machine Learning 79, 2010, 151) with the balanced error: 0 for the same, 2 for apart.
    """
    forest = RandomForestClassifier(TREES, class_weight="balanced", min_samples_leaf=3, random_state=seed)
    folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(z, domain, group))
    second = cross_val_predict(forest, z, domain, cv=folds, method="predict_proba")[:, 1]
    balanced = balanced_accuracy_score(domain, second > 0.5)
    tests = [test for _, test in folds]
    within = [_mean_auc(domain, second, [test[label[test] == k] for test in tests]) for k in np.unique(label)]
    return {
        "auc": _mean_auc(domain, second, tests),
        "auc_within_class": float(np.nanmean(within)),
        "balanced_accuracy_percent": float(100 * balanced),
        "a_distance": float(max(0.0, 2 * (2 * balanced - 1))),
    }
