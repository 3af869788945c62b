"""How far apart two species are in some features: what a classifier of the species reaches, and a map to look at."""

from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.manifold import TSNE
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from threadpoolctl import threadpool_limits

FOLDS, TREES = 5, 100


def separability(z: np.ndarray, species: np.ndarray, label: np.ndarray, donor: np.ndarray, seed: int) -> dict[str, Any]:
    """What a random forest that sees features z (cell, feature) knows of the species (cell,) of donors held out.

    ``auc``; ``auc_within_class``, the mean over classes, which differences in class frequency leave alone;
    ``balanced_accuracy_percent``; ``a_distance``, the proxy 2 (1 - 2 error) of Ben-David et al. (Machine Learning 79,
    2010, 151) with the balanced error: 0 for the same, 2 for apart.
    """
    forest = RandomForestClassifier(TREES, class_weight="balanced", min_samples_leaf=3, random_state=seed)
    folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(z, species, donor))
    said = cross_val_predict(forest, z, species, cv=folds, method="predict_proba")[:, 1]
    balanced = balanced_accuracy_score(species, said > 0.5)
    within = [roc_auc_score(species[label == k], said[label == k]) for k in np.unique(label)]
    return {
        "auc": float(roc_auc_score(species, said)),
        "auc_within_class": float(np.mean(within)),
        "balanced_accuracy_percent": float(100 * balanced),
        "a_distance": float(max(0.0, 2 * (2 * balanced - 1))),
    }


def plane(z: np.ndarray, seed: int) -> np.ndarray:
    """Features z (cell, feature) in two dimensions (cell, 2) by t-SNE, neighbours kept near each other."""
    perplexity = min(30.0, (len(z) - 1) / 3)
    with threadpool_limits(1, "openmp"):  # with so few cells threads do little but wait for each other
        return TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(z)
