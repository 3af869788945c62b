"""What LSPIN is compared with on the same folds: hyperparameters chosen by inner folds, donors apart, of the training.

Support vectors have no probabilities: a logistic regression on out-of-fold decision values of the inner folds gives
them (Platt 1999, for several classes at once).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_predict
from sklearn.svm import SVC

from datasets.allen import CLASSES, AllenTable
from datasets.edge import progress
from datasets.splits import Fold
from train.baselines import majority_baseline

SVC_NAME, LOGISTIC_NAME, FOREST_NAME, MAJORITY = "SVC", "logistic regression", "random forest", "majority"
INNER = 4
GRIDS: dict[str, tuple[Any, dict[str, list[Any]]]] = {
    SVC_NAME: (SVC(), {"C": [3.0, 10.0, 30.0], "gamma": [0.005, 0.01, 0.02]}),
    LOGISTIC_NAME: (LogisticRegression(max_iter=500, tol=1e-3), {"C": [0.1, 0.3, 1.0]}),
    FOREST_NAME: (RandomForestClassifier(300, random_state=0), {"max_features": ["sqrt", 0.3]}),
}


def out_of_fold(
    table: AllenTable, folds: Sequence[Fold], scales: Sequence[Any], per_repeat: int, seed: int
) -> dict[str, np.ndarray]:
    """Probabilities (repeat, cell, class) of each model for the tested cells of folds, in `per_repeat` a repeat."""
    shape = (len(folds) // per_repeat, len(table.x), len(CLASSES))
    found = {name: np.zeros(shape) for name in (*GRIDS, MAJORITY)}
    with progress() as bar:
        shown = bar.add_task("baselines", total=len(folds) * len(GRIDS))
        for number, (fold, scale) in enumerate(zip(folds, scales, strict=True)):
            x, repeat = scale.apply(table.x).astype(np.float64), number // per_repeat
            train = (x[fold.train], table.subclass[fold.train], table.donor[fold.train])
            for name in GRIDS:
                found[name][repeat, fold.test] = _probability(name, *train, x[fold.test], seed)
                bar.advance(shown)
            found[MAJORITY][repeat, fold.test] = majority_baseline(train[1], len(fold.test), len(CLASSES))
    return found


def _probability(name: str, x: np.ndarray, y: np.ndarray, donor: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    inner = list(StratifiedGroupKFold(INNER, shuffle=True, random_state=seed).split(x, y, donor))
    model, grid = GRIDS[name]
    search = GridSearchCV(model, grid, cv=inner).fit(x, y)
    if name != SVC_NAME:
        return search.predict_proba(test)
    inside = cross_val_predict(search.best_estimator_, x, y, cv=inner, method="decision_function")
    platt = LogisticRegression(max_iter=500).fit(inside, y)
    return platt.predict_proba(search.decision_function(test))
