"""Two species brought to one scale, and support vectors on it that name spiny and aspiny cells.

The mouse is weighted to the class frequencies of the human. Where there are no human labels the frequencies are
estimated, again and again (`models.label_shift`). What is fitted is a few arrays, so that cells are called with NumPy
alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

from spiketype.edge import PyTree
from spiketype.models import label_shift
from spiketype.models.calibration import platt
from spiketype.models.scale import Scale

MOUSE, HUMAN = 0, 1
ASPINY, SPINY = 0, 1
C, GAMMA = 3.0, 0.01  # not tuned here: fixed for all settings before a human cell was called
STRENGTH = 1e3  # of the calibration

Features = Float[np.ndarray, "cell feature"]
Labels = Int[np.ndarray, " cell"]
Folds = Sequence[tuple[np.ndarray, np.ndarray]]  # rows that train, rows that test
PerClass = Float[np.ndarray, " class"]


class Cells(NamedTuple):
    """Cells as measured, NaN where not; species are `MOUSE` or `HUMAN`."""

    x: Float[np.ndarray, "cell feature"]
    species: Int[np.ndarray, " cell"]


class Domains(NamedTuple):
    """How cells are brought to one scale.

    The mean of mouse cells in which classes had the frequencies p is p @ first, whatever p is.

    Attributes:
        mouse: scale of the mouse cells that are trained on.
        human: scale of the human cells.
        rate: frequencies of the mouse's classes.
        first: means of the standardised features of each class of the mouse.
        second: means of their squares.
    """

    mouse: Scale
    human: Scale
    rate: PerClass
    first: Float[np.ndarray, "class feature"]
    second: Float[np.ndarray, "class feature"]

    @classmethod
    def of(cls, mouse: Float[np.ndarray, "mouse feature"], y: Int[np.ndarray, " mouse"], human: Features) -> "Domains":
        """Return the domains of mouse cells, with their classes, and of human cells."""
        scale = Scale.of(mouse)
        z = scale.apply(mouse).astype(np.float64)
        each = [z[y == k] for k in (ASPINY, SPINY)]
        first, second = (np.stack([(e**power).mean(axis=0) for e in each]) for power in (1, 2))
        return cls(scale, Scale.of(human), _rate(y), first, second)

    def apply(self, cells: Cells, prior: PerClass) -> Features:
        """Return standardised cells: mouse cells in the scale that they have where classes have the frequencies prior.

        float64, without NaN.
        """
        mean = prior @ self.first
        sd = np.sqrt(np.maximum(prior @ self.second - mean**2, 1e-6))
        mouse = (self.mouse.apply(cells.x) - mean) / sd
        return np.where((cells.species == MOUSE)[:, None], mouse, self.human.apply(cells.x)).astype(np.float64)

    def arrays(self) -> PyTree:
        """Return it as nested dicts of arrays."""
        return self._asdict() | {"mouse": self.mouse._asdict(), "human": self.human._asdict()}

    @classmethod
    def restore(cls, arrays: PyTree) -> "Domains":
        """Return what `arrays` took apart."""
        return cls(**(arrays | {name: Scale(**arrays[name]) for name in ("mouse", "human")}))


def _rate(y: np.ndarray) -> np.ndarray:
    return np.bincount(y, minlength=2) / len(y)


class Svc(NamedTuple):
    """Support vectors of two classes.

    Attributes:
        vectors: standardised cells.
        dual: their weights in the decision value.
        offset: of the decision value.
        slope: of the logit of the probability against the decision value (Platt 1999).
        intercept: of the logit.
    """

    vectors: Float[np.ndarray, "vector feature"]
    dual: Float[np.ndarray, " vector"]
    offset: Float[np.ndarray, ""]
    slope: Float[np.ndarray, ""]
    intercept: Float[np.ndarray, ""]

    @classmethod
    def fit(cls, z: Features, y: Labels, weight: Float[np.ndarray, " cell"], folds: Folds) -> "Svc":
        """Return what is fitted to standardised cells; probabilities are calibrated by inner folds, donors apart."""
        inside = np.zeros(len(y))
        for train, test in folds:
            one = SVC(C=C, gamma=GAMMA).fit(z[train], y[train], sample_weight=weight[train])
            inside[test] = one.decision_function(z[test])
        weights, bias = platt(inside[:, None], y, 2, weight, STRENGTH)
        whole = SVC(C=C, gamma=GAMMA).fit(z, y, sample_weight=weight)
        numbers = (np.asarray(value) for value in (whole.intercept_[0], weights[1, 0], bias[1]))
        return cls(whole.support_vectors_, whole.dual_coef_[0], *numbers)

    def decision(self, z: Features) -> Float[np.ndarray, " cell"]:
        """Return decision values: positive is spiny."""
        return np.asarray(rbf_kernel(z, self.vectors, gamma=GAMMA) @ self.dual + self.offset)

    def probability(self, z: Features) -> Float[np.ndarray, "cell class"]:
        """Return the probabilities of standardised cells."""
        spiny = expit(self.slope * self.decision(z) + self.intercept)
        return np.stack([1 - spiny, spiny], axis=1)


class AlignedSvc(NamedTuple):
    """A fitted `Svc`, the scales it stands on, and the estimates of the human class frequencies."""

    svc: Svc
    domains: Domains
    prior: Float[np.ndarray, "iteration class"]

    @classmethod
    def fit(
        cls,
        mouse: Float[np.ndarray, "mouse feature"],
        mouse_y: Int[np.ndarray, " mouse"],
        human: Float[np.ndarray, "human feature"],
        human_y: Int[np.ndarray, " human"] | None,
        folds: Folds,
        prior: PerClass | None = None,
    ) -> "AlignedSvc":
        """Return what is fitted to the mouse cells and, where their labels are given, the human cells behind them.

        Args:
            mouse: features, as are those of human cells.
            mouse_y: classes.
            human: gives the human scale.
            human_y: classes, or None.
            folds: inner ones of the cells that are fitted to, donors apart.
            prior: human class frequencies, where they are known; else those of the labels.
        """
        domains = Domains.of(mouse, mouse_y, human)
        if prior is None:
            prior = domains.rate if human_y is None else _rate(human_y)
        x, y, species = mouse, mouse_y, np.full(len(mouse), MOUSE)
        if human_y is not None:
            x, y = np.concatenate([x, human]), np.concatenate([y, human_y])
            species = np.concatenate([species, np.full(len(human), HUMAN)])
        weight = np.ones(len(y))
        weight[: len(mouse)] = label_shift.importance(mouse_y, prior)
        return cls(Svc.fit(domains.apply(Cells(x, species), prior), y, weight, folds), domains, prior[None])

    @classmethod
    def fit_unlabelled(
        cls,
        mouse: Float[np.ndarray, "mouse feature"],
        mouse_y: Int[np.ndarray, " mouse"],
        human: Float[np.ndarray, "human feature"],
        folds: Folds,
    ) -> "AlignedSvc":
        """Return what is fitted to mouse labels, at estimated human frequencies: the last are those of the last fit."""
        domains, fitted = Domains.of(mouse, mouse_y, human), list[Svc]()

        def fit_predict(z: np.ndarray, y: np.ndarray, weight: np.ndarray, target: np.ndarray) -> np.ndarray:
            fitted.append(Svc.fit(z, y, weight, folds))
            return fitted[-1].probability(target)

        found = label_shift.align(domains.mouse.fill(mouse), mouse_y, domains.human.fill(human), fit_predict)
        return cls(fitted[-1], domains, found.prior[:-1])

    def probability(self, cells: Cells) -> Float[np.ndarray, "cell class"]:
        """Return the probabilities of cells."""
        return self.svc.probability(self.domains.apply(cells, self.prior[-1]))

    def arrays(self) -> PyTree:
        """Return it as nested dicts of arrays."""
        return {"svc": self.svc._asdict(), "domains": self.domains.arrays(), "prior": self.prior}

    @classmethod
    def restore(cls, arrays: PyTree) -> "AlignedSvc":
        """Return what `arrays` took apart."""
        return cls(Svc(**arrays["svc"]), Domains.restore(arrays["domains"]), arrays["prior"])
