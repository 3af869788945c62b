"""Classifiers of scikit-learn, which a network has to beat: functions of rows to train on and rows to test.

Hyperparameters are chosen by inner folds of the training rows. Support vectors have no probabilities: a logistic
regression of their out-of-fold decision values gives them (Platt 1999, for several classes at once).
"""

import logging
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped
from sklearn.base import ClassifierMixin, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from spiketype.models.options import FOREST_NAME, LOGISTIC_NAME, NETWORK_NAME, SVC_NAME, TREES_NAME

logger = logging.getLogger(__name__)

MOST_DECISION = 10.0  # decision values beyond: of a class that an inner part lacks they are infinite
MAX_ITERATIONS = 100
MOST_INPUTS, COMPONENTS = 500, 200

Grid = dict[str, Sequence[float | str]]


def _trees() -> ClassifierMixin:
    from lightgbm import LGBMClassifier  # imported here: an optional library

    return LGBMClassifier(
        n_estimators=200, learning_rate=0.05, subsample=0.8, subsample_freq=1, colsample_bytree=0.5,
        reg_lambda=3.0, random_state=0, n_jobs=1, deterministic=True, force_row_wise=True, verbosity=-1,
    )  # fmt: skip


# Name: the estimator, and its grid.
MODELS: dict[str, tuple[Callable[[], ClassifierMixin], Grid]] = {
    SVC_NAME: (SVC, {"C": [3.0, 10.0, 30.0], "gamma": [0.005, 0.01, 0.02]}),
    LOGISTIC_NAME: (lambda: LogisticRegression(max_iter=500, tol=1e-3), {"C": [0.1, 0.3, 1.0]}),
    FOREST_NAME: (lambda: RandomForestClassifier(300, random_state=0), {"max_features": ["sqrt", 0.3]}),
    TREES_NAME: (_trees, {"num_leaves": [7, 15]}),
    NETWORK_NAME: (
        lambda: MLPClassifier((64, 32), solver="adam", learning_rate_init=3e-3, max_iter=60, random_state=0),
        {"alpha": [1.0, 3.0]},
    ),
}


def majority(label: Int[np.ndarray, " row"], tested: int, classes: int) -> Float[np.ndarray, "tested class"]:
    """Return the class frequencies of the training labels for every tested row."""
    return np.tile(np.bincount(label, minlength=classes) / len(label), (tested, 1))


def nested(
    name: str,
    x: Float[np.ndarray, "row feature"],
    label: Int[np.ndarray, " row"],
    inner: Sequence[tuple[np.ndarray, np.ndarray]],
    test: Float[np.ndarray, "tested feature"],
    classes: int,
) -> Float[np.ndarray, "tested class"]:
    """Return the probabilities of a model of `MODELS` fitted to standardised rows, its hyperparameters by inner folds.

    Classes that the training part lacks get 0.

    inner: rows that train and rows that test, of each inner fold.
    """
    make, grid = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is meant
        search = GridSearchCV(make(), grid, cv=inner).fit(x, label)
    found = np.zeros((len(test), classes))
    if name != SVC_NAME:
        found[:, search.classes_] = search.predict_proba(test)
        return found
    inside = np.clip(_decisions(search.best_estimator_, x, label, inner), -MOST_DECISION, MOST_DECISION)
    platt = LogisticRegression(max_iter=500).fit(inside, label)
    found[:, platt.classes_] = platt.predict_proba(_columns(search.decision_function(test)))
    return found


def _decisions(
    model: ClassifierMixin, x: np.ndarray, label: np.ndarray, inner: Sequence[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Return out-of-fold decision values (row, class), one column of two classes; those of an absent class are low."""
    classes = np.unique(label)
    found = np.full((len(x), len(classes)), -MOST_DECISION)
    for train, test in inner:
        fitted = clone(model).fit(x[train], label[train])
        values = fitted.decision_function(x[test])
        if values.ndim == 1:
            values = np.stack([-values, values], axis=1)
        found[np.ix_(test, np.searchsorted(classes, fitted.classes_))] = values
    return found[:, 1:] if len(classes) == 2 else found


def evened(
    probability: Float[np.ndarray, "row class"], label: Int[np.ndarray, " train"]
) -> Float[np.ndarray, "row class"]:
    """Return probabilities over the frequencies of the training labels, as if classes were equally frequent."""
    share = np.bincount(label, minlength=probability.shape[1]) / len(label)
    weighed = probability / np.where(share > 0, share, 1.0)
    return np.asarray(weighed / weighed.sum(axis=1, keepdims=True))


def plain(
    model: ClassifierMixin | Pipeline,
    x: Float[np.ndarray, "row feature"],
    label: Int[np.ndarray, " row"],
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
) -> Float[np.ndarray, " row"]:
    """Return the out-of-fold probability of class 1 by a model with nothing to choose; NaN where never tested.

    folds: rows that train and rows that test.
    """
    found = np.full(len(label), np.nan)
    for train, test in folds:
        # Threads of so small fits do little but wait for each other.
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that has not converged is still a baseline
            found[test] = model.fit(x[train], label[train]).predict_proba(x[test])[:, 1]
    return found


def logistic(strength: float = 1.0, balanced: bool = False) -> Pipeline:
    """Return a logistic regression on standardised features."""
    weight = "balanced" if balanced else None
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, class_weight=weight, max_iter=500))


def logistic_of_images(
    train_x: Shaped[np.ndarray, "train ..."],
    train_y: Int[np.ndarray, " train"],
    test_x: Shaped[np.ndarray, "test ..."],
    classes: int,
) -> Float[np.ndarray, "test class"]:
    """Return the class probabilities of a multinomial logistic regression on standardised, flattened inputs.

    Scaler and weights are fitted on the training part alone. Classes that it lacks get 0. More than MOST_INPUTS inputs
    are first reduced to COMPONENTS principal components. A fit that has not converged after MAX_ITERATIONS is used as
    it is, and the log says so.

    Raises:
        ValueError: scikit-learn's, for inputs that are not finite or a single class in train_y.
    """
    train_x, test_x = train_x.reshape(len(train_x), -1), test_x.reshape(len(test_x), -1)
    steps: list[StandardScaler | PCA | LogisticRegression] = [
        StandardScaler(),
        LogisticRegression(max_iter=MAX_ITERATIONS, tol=1e-3),
    ]
    if train_x.shape[1] > MOST_INPUTS:
        steps.insert(1, PCA(min(COMPONENTS, len(train_x)), svd_solver="randomized", iterated_power=2, random_state=0))
    model = make_pipeline(*steps)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(train_x, train_y)
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            logger.warning("logistic baseline: not converged after %d iterations", MAX_ITERATIONS)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    probability = np.zeros((len(test_x), classes))
    probability[:, model.classes_] = model.predict_proba(test_x)
    return probability


def _columns(values: np.ndarray) -> np.ndarray:
    """Return decision values (row, class); of two classes they are one number a row."""
    return values.reshape(len(values), -1)
