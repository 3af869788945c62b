"""What the networks have to beat, cell by cell and on the same folds; and the noise-only control.

Features are those of a cell's mean spike, which is what an electrophysiologist measures.
"""

import warnings
from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from spiketype.datasets.raphe.table import RapheTable
from spiketype.train.tasks.raphe.shape import MEASURES, measures

TRAIN = ("rate_Hz", "isi_cv")
LEAST_WINDOWS = 5
DAY_PARTS, CELL_PARTS = 24, 12  # a fit for each two of them
RIDGE = 100.0
DEALT, SUSPICIOUS_P = 999, 0.01


Fold = tuple[np.ndarray, np.ndarray]  # rows of the cells that train and of those that are tested


def probabilities(x: np.ndarray, label: np.ndarray, folds: Sequence[Fold], model: Any) -> np.ndarray:
    """Out-of-fold probability of serotonergic (cell,) from features (cell, feature); NaN where never tested."""
    found = np.full(len(label), np.nan)
    for train, test in folds:
        # Threads of so small fits do little but wait for each other.
        with warnings.catch_warnings(), threadpool_limits(1):
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
    """Name the class from spike-free windows alone: at chance unless days betray classes.

    Ridge regression on the logarithm of the mean power spectrum of a cell's windows. ``auc`` with days left out,
    ``chance`` the middle 95 % of what it is when the labels are dealt anew to the cells, ``p`` how often that reaches
    it, and ``suspicious`` where that is hardly ever. ``known_days``: the same with cells left out whose day's others
    are known, which shows that days have noise of their own and classes days of their own, though no new day may be
    named by it.
    """
    count = np.bincount(table.noise_cell, minlength=len(table.cell_names))
    cells = cells[count[cells] >= LEAST_WINDOWS]
    label, day = table.cell_label[cells], table.cell_day[cells]
    days, place = np.unique(day, return_inverse=True)
    if any(len(np.unique(day[label == k])) < 3 for k in (0, 1)):
        nothing = {"auc": None, "chance": None, "p": None, "suspicious": False}
        return {**nothing, "cells": len(cells), "known_days": nothing}
    x = np.log(np.stack([_spectrum(table.noise_pA[table.noise_cell == c]) for c in cells]))
    rng = np.random.default_rng(seed)
    dealt = np.stack([label, *(rng.permutation(label) for _ in range(DEALT))])
    by_day = (rng.permutation(len(days)) % DAY_PARTS)[place]
    by_cell = rng.permutation(len(cells)) % CELL_PARTS
    with threadpool_limits(1):
        said = [_against_chance(paired_auc(x, dealt, part)) for part in (by_day, by_cell)]
    return {**said[0], "cells": len(cells), "known_days": said[1]}


def paired_auc(x: np.ndarray, label: np.ndarray, part: np.ndarray) -> np.ndarray:
    """AUC (labelling,) of ridge regression for labels (labelling, cell), each pair of cells by a fit without either.

    Calls of cells left out one part at a time must not be pooled for an AUC: who is left out is missing from the mean
    of its own class, which alone puts noise below chance. Where both of a pair are left out they are exchangeable, and
    noise is at 1/2 on average (Airola et al., Comput. Stat. Data Anal. 55, 2011, 1828).

    Args:
        x: (cell, feature).
        label: (labelling, cell) of 0 and 1.
        part: (cell,) numbers; cells of a part are left out together, and with each other part in turn.
    """
    z = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)
    above = np.zeros(len(label))
    for a, b in combinations_with_replacement(np.unique(part), 2):
        rest = (part != a) & (part != b)
        centre = z[rest].mean(axis=0)
        square = (z[rest] - centre).T @ (z[rest] - centre) + RIDGE * np.eye(z.shape[1])
        weight = np.linalg.solve(square, (z[rest] - centre).T @ label.T[rest])
        for one, other in {(a, b), (b, a)}:
            yes, no = label[:, part == one, None] == 1, label[:, None, part == other] == 0
            gap = (z[part == one] @ weight).T[:, :, None] - (z[part == other] @ weight).T[:, None, :]
            above += np.where(yes & no, (np.sign(gap) + 1) / 2, 0).sum(axis=(1, 2))
    return above / (label.sum(axis=1) * (label == 0).sum(axis=1))


def _against_chance(auc: np.ndarray) -> dict[str, Any]:
    """Of AUCs (labelling,), the first that of the true labels."""
    low, high = np.quantile(auc[1:], [0.025, 0.975])
    p = float(np.mean(auc >= auc[0]))  # the true labels are one of the ways to deal them
    return {"auc": float(auc[0]), "chance": [float(low), float(high)], "p": p, "suspicious": p <= SUSPICIOUS_P}


def noise_words(control: dict[str, Any]) -> str:
    """An AUC of `noise_control` beside what chance gives."""
    low, high = control["chance"]
    return f"AUC {control['auc']:.2f} (chance {low:.2f} to {high:.2f}, p {control['p']:.3f})"


def _spectrum(noise_pA: np.ndarray) -> np.ndarray:
    """Mean power (frequency,) of windows (window, 160), the mean of each taken off."""
    centred = (noise_pA - noise_pA.mean(axis=1, keepdims=True)) * np.hanning(noise_pA.shape[1])
    return (np.abs(np.fft.rfft(centred, axis=1)) ** 2).mean(axis=0)[1:] + 1e-9
