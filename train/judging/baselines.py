"""What a network has to beat: the commonest class, and logistic regression on the same inputs."""

import logging
import warnings
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

logger = logging.getLogger(__name__)

MAX_ITERATIONS = 100
MOST_INPUTS, COMPONENTS = 500, 200


def majority_baseline(train_y: np.ndarray, test_count: int, n_class: int) -> np.ndarray:
    """The training set's class frequencies for every test sample: (test_count, n_class)."""
    frequency = np.bincount(train_y, minlength=n_class) / len(train_y)
    return np.tile(frequency, (test_count, 1))


def logistic_baseline(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, n_class: int | None = None
) -> np.ndarray:
    """Multinomial logistic regression on standardised inputs: class probabilities (n, class) of test_x.

    train_x, test_x (n, ...) are flattened; scaler and weights are fitted on the training part alone. train_y (n,)
    integers below n_class, by default the largest plus one; classes absent from train_y get probability 0. More than
    MOST_INPUTS inputs are first reduced to COMPONENTS principal components of the training part. A fit that has not
    converged after MAX_ITERATIONS is used as it is and said to be so in the log. Raises ValueError (scikit-learn's)
    for non-finite inputs or a single class in train_y.
    """
    train_x, test_x = train_x.reshape(len(train_x), -1), test_x.reshape(len(test_x), -1)
    steps: list[Any] = [StandardScaler(), LogisticRegression(max_iter=MAX_ITERATIONS, tol=1e-3)]
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
    probability = np.zeros((len(test_x), n_class or int(np.max(train_y)) + 1))
    probability[:, model.classes_] = model.predict_proba(test_x)
    return probability
