"""From what a model says to probabilities: Platt's logistic regression of decision values, and temperature scaling.

Both are fitted to out-of-fold values of inner folds of a training part, groups apart, never to what is tested.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression

FLOOR = 1e-5  # the least probability that a model may give


def platt(
    decision: Float[np.ndarray, "row column"],
    label: Int[np.ndarray, " row"],
    classes: int,
    weight: Float[np.ndarray, " row"] | None = None,
    strength: float = 1.0,
) -> tuple[Float[np.ndarray, "class column"], Float[np.ndarray, " class"]]:
    """Return weights and bias of the logits of classes: logistic regression of the label (Platt 1999; several classes).

    A class that no row has gets the logit ln(`FLOOR`). Of two classes, the second's logit is that of the regression
    and the first's is 0.

    Args:
        decision: out-of-fold decision values.
        label: classes.
        classes: their number.
        weight: of the rows.
        strength: inverse of the regression's penalty.
    """
    fitted = LogisticRegression(C=strength, max_iter=500).fit(decision, label, sample_weight=weight)
    weights, bias = np.zeros((classes, decision.shape[1])), np.full(classes, np.log(FLOOR))
    if len(fitted.classes_) == 2:
        first, second = fitted.classes_
        bias[first], weights[second], bias[second] = 0.0, fitted.coef_[0], fitted.intercept_[0]
    else:
        weights[fitted.classes_], bias[fitted.classes_] = fitted.coef_, fitted.intercept_
    return weights, bias


def softmax(logits: Float[np.ndarray, "row class"]) -> Float[np.ndarray, "row class"]:
    """Return the softmax over classes."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def geometric_mean(
    a: Float[np.ndarray, "row class"], b: Float[np.ndarray, "row class"]
) -> Float[np.ndarray, "row class"]:
    """Return the normalised geometric mean of two models' probabilities, none below `FLOOR`."""
    both = np.sqrt(np.clip(a, FLOOR, 1) * np.clip(b, FLOOR, 1))
    return np.asarray(both / both.sum(axis=1, keepdims=True))


def sharpen(probability: Float[np.ndarray, "row class"], exponent: float) -> Float[np.ndarray, "row class"]:
    """Return probabilities raised to an exponent and normalised: temperature scaling with 1/T (Guo et al. 2017)."""
    return softmax(exponent * np.log(probability))


def best_exponent(probability: Float[np.ndarray, "row class"], label: Int[np.ndarray, " row"]) -> float:
    """Return the exponent of `sharpen`, from 1/2 to 2, with the least negative log likelihood."""

    def loss(exponent: float) -> float:
        true = sharpen(probability, exponent)[np.arange(len(label)), label]
        return float(-np.log(np.clip(true, 1e-12, 1)).mean())

    return float(minimize_scalar(loss, bounds=(0.5, 2.0), method="bounded").x)
