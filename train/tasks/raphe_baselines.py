"""What the networks have to beat, cell by cell and on the same folds; and the noise-only control.

Features are those of a cell's mean spike, which is what an electrophysiologist measures.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from datasets.raphe import RapheTable
from train.intervals import bootstrap
from train.tasks.raphe_metrics import RESAMPLES, auc, estimate
from train.tasks.raphe_shape import MEASURES, measures

TRAIN = ("rate_Hz", "isi_cv")
LEAST_WINDOWS = 5
SUSPICIOUS_AUC = 0.6


Fold = tuple[np.ndarray, np.ndarray]  # rows of the cells that train and of those that are tested


def probabilities(x: np.ndarray, label: np.ndarray, folds: Sequence[Fold], model: Any) -> np.ndarray:
    """Out-of-fold probability of serotonergic (cell,) from features (cell, feature); NaN where never tested."""
    found = np.full(len(label), np.nan)
    for train, test in folds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fit that has not converged is still a baseline
            found[test] = model.fit(x[train], label[train]).predict_proba(x[test])[:, 1]
    return found


def logistic(strength: float = 1.0, balanced: bool = False) -> Any:
    """Logistic regression on standardised features."""
    weight = "balanced" if balanced else None
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, class_weight=weight, max_iter=500))


def baselines(
    mean_pA: np.ndarray, table: RapheTable, cells: np.ndarray, label: np.ndarray, folds: Sequence[Fold], seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Out-of-fold probabilities (cell,): of each baseline by name; and of every single feature by name."""
    x = np.log(measures(mean_pA)[0])
    train = np.stack([getattr(table, name)[cells] for name in TRAIN], axis=1)
    both = np.concatenate([x, np.where(train < 0, np.nan, train)], axis=1)
    trees = HistGradientBoostingClassifier(random_state=seed, min_samples_leaf=5)
    pair = [MEASURES.index("udi_ms"), MEASURES.index("half_width_ms")]
    single = {name: probabilities(x[:, [k]], label, folds, logistic()) for k, name in enumerate(MEASURES)}
    return {
        "UDI alone": single["udi_ms"],
        "trough-to-peak and half width": probabilities(x[:, pair], label, folds, logistic()),
        "shape features, logistic": probabilities(x, label, folds, logistic()),
        "shape, rate, regularity: boosted trees": probabilities(both, label, folds, trees),
    }, single


def noise_control(table: RapheTable, cells: np.ndarray, seed: int) -> dict[str, Any]:
    """Name the class from spike-free windows alone, each day left out in turn: at chance unless days betray classes.

    Logistic regression on the logarithm of the mean power spectrum of a cell's windows, classes weighted equally.
    AUC with its interval over days; ``suspicious`` where the interval is above 1/2 and the AUC above 0.6.
    """
    count = np.bincount(table.noise_cell, minlength=len(table.cell_names))
    cells = cells[count[cells] >= LEAST_WINDOWS]
    label, day = table.cell_label[cells], table.cell_day[cells]
    days = np.unique(day)
    if len(days) < 3 or any(len(np.unique(day[label == k])) < 2 for k in (0, 1)):
        return {"auc": None, "accuracy_percent": None, "cells": len(cells), "suspicious": False}
    x = np.log(np.stack([_spectrum(table.noise_pA[table.noise_cell == c]) for c in cells]))
    folds = [(np.flatnonzero(day != d), np.flatnonzero(day == d)) for d in days]
    said = probabilities(x, label, folds, logistic(0.01, balanced=True))
    found = bootstrap(
        lambda rows: np.asarray(auc(label[rows], said[rows])), day, np.random.default_rng(seed), RESAMPLES
    )
    right = ((said > 0.5) == (label == 1)).astype(float)
    balanced = np.mean([right[label == k].mean() for k in (0, 1)])
    return {
        "auc": estimate(found),
        "balanced_accuracy_percent": 100 * float(balanced),
        "cells": len(cells),
        "suspicious": bool(found.low > 0.5 and found.value > SUSPICIOUS_AUC),
    }


def _spectrum(noise_pA: np.ndarray) -> np.ndarray:
    """Mean power (frequency,) of windows (window, 160), the mean of each taken off."""
    centred = (noise_pA - noise_pA.mean(axis=1, keepdims=True)) * np.hanning(noise_pA.shape[1])
    return (np.abs(np.fft.rfft(centred, axis=1)) ** 2).mean(axis=0)[1:] + 1e-9
