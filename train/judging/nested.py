"""What a model is compared with on the same folds: hyperparameters chosen by inner folds with donors apart.

Support vectors have no probabilities: a logistic regression on out-of-fold decision values of the inner folds gives
them (Platt 1999, for several classes at once).
"""

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from spiketype.datasets.splits import Fold
from spiketype.edge import progress
from spiketype.train.judging.baselines import majority_baseline
from spiketype.train.judging.scale import Scale

SVC_NAME, LOGISTIC_NAME, FOREST_NAME, MAJORITY = "SVC", "logistic regression", "random forest", "majority"
TREES_NAME, NETWORK_NAME = "boosted trees", "plain network"
INNER, MOST = 4, 10.0
REMEDY = "uv sync --extra trees, or pip install 'spiketype[trees]'"


def _trees() -> Any:
    from lightgbm import LGBMClassifier  # imported here: an optional library

    return LGBMClassifier(
        n_estimators=200, learning_rate=0.05, subsample=0.8, subsample_freq=1, colsample_bytree=0.5,
        reg_lambda=3.0, random_state=0, n_jobs=1, deterministic=True, force_row_wise=True, verbosity=-1,
    )  # fmt: skip


# Name: the estimator, and its grid.
MODELS: dict[str, tuple[Callable[[], Any], dict[str, list[Any]]]] = {
    SVC_NAME: (SVC, {"C": [3.0, 10.0, 30.0], "gamma": [0.005, 0.01, 0.02]}),
    LOGISTIC_NAME: (lambda: LogisticRegression(max_iter=500, tol=1e-3), {"C": [0.1, 0.3, 1.0]}),
    FOREST_NAME: (lambda: RandomForestClassifier(300, random_state=0), {"max_features": ["sqrt", 0.3]}),
    TREES_NAME: (_trees, {"num_leaves": [7, 15]}),
    NETWORK_NAME: (
        lambda: MLPClassifier((64, 32), solver="adam", learning_rate_init=3e-3, max_iter=60, random_state=0),
        {"alpha": [1.0, 3.0]},
    ),
}


def available() -> tuple[str, ...]:
    """The models that can be fitted here: boosted trees need an optional library, and are said to be left out."""
    if find_spec("lightgbm"):
        return tuple(MODELS)
    print(f"{TREES_NAME} are left out: they need LightGBM ({REMEDY})", file=sys.stderr)
    return tuple(name for name in MODELS if name != TREES_NAME)


def out_of_fold(
    x: np.ndarray,
    label: np.ndarray,
    donor: np.ndarray,
    classes: int,
    folds: Sequence[Fold],
    scales: Sequence[Scale],
    per_repeat: int,
    seed: int,
    names: Sequence[str],
) -> dict[str, np.ndarray]:
    """Probabilities (repeat, cell, class) of each model, and of `MAJORITY`, for the tested cells of folds.

    x (cell, feature) as measured, with NaN; label, donor (cell,); the first `per_repeat` folds are the first repeat.
    Cells that no fold of a repeat tests keep probability 0.
    """
    found = {name: np.zeros((len(folds) // per_repeat, len(x), classes)) for name in (*names, MAJORITY)}
    with progress() as bar:
        shown = bar.add_task("baselines", total=len(folds) * len(names))
        for number, (fold, scale) in enumerate(zip(folds, scales, strict=True)):
            z, repeat = scale.apply(x).astype(np.float64), number // per_repeat
            train = (z[fold.train], label[fold.train], donor[fold.train])
            for name in names:
                found[name][repeat, fold.test] = probability(name, *train, z[fold.test], classes, seed)
                bar.advance(shown)
            found[MAJORITY][repeat, fold.test] = majority_baseline(train[1], len(fold.test), classes)
    return found


def probability(
    name: str, x: np.ndarray, label: np.ndarray, donor: np.ndarray, test: np.ndarray, classes: int, seed: int
) -> np.ndarray:
    """Probabilities (test cell, class) of a model fitted to standardised x (cell, feature), label and donor (cell,).

    Classes that the training part lacks get 0.
    """
    inner = inner_folds(label, donor, seed)
    make, grid = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is meant
        search = GridSearchCV(make(), grid, cv=inner).fit(x, label)
    found = np.zeros((len(test), classes))
    if name != SVC_NAME:
        found[:, search.classes_] = search.predict_proba(test)
        return found
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Number of classes in training fold")
        inside = cross_val_predict(search.best_estimator_, x, label, cv=inner, method="decision_function")
    inside = np.clip(_columns(inside), -MOST, MOST)  # a class that an inner part lacks is given minus infinity
    platt = LogisticRegression(max_iter=500).fit(inside, label)
    found[:, platt.classes_] = platt.predict_proba(_columns(search.decision_function(test)))
    return found


def inner_folds(label: np.ndarray, donor: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows (training, test) of each of `INNER` parts of a training part, donors apart."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # one rarer than there are parts
        return list(StratifiedGroupKFold(INNER, shuffle=True, random_state=seed).split(label, label, donor))


def _columns(values: np.ndarray) -> np.ndarray:
    """Decision values (cell, class); of two classes they are one number a cell."""
    return values.reshape(len(values), -1)
