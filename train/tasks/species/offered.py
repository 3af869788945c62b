"""Support vectors on species brought to one scale: the mouse weighted to the class frequencies of the human.

Where there are no human labels the frequencies are estimated, again and again (models.label_shift). A trained one is a
few arrays, so that it is kept without pickles and calls cells with NumPy alone.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.svm import SVC

from spiketype.datasets.allen.table import AllenTable
from spiketype.models import label_shift
from spiketype.train.tasks.species.cells import CLASSES, Domains, Part

C, GAMMA = 3.0, 0.01  # not tuned here: fixed for all settings before a human cell was called
INNER = 5


class Svc(NamedTuple):
    """vectors (vector, feature), dual (vector,) and offset of the decision value; Platt's slope and intercept of it."""

    vectors: np.ndarray
    dual: np.ndarray
    offset: np.ndarray
    slope: np.ndarray
    intercept: np.ndarray

    @classmethod
    def fit(cls, z: np.ndarray, y: np.ndarray, weight: np.ndarray, donor: np.ndarray, seed: int = 0) -> "Svc":
        """Of standardised cells z (cell, feature); probabilities from inner folds with donors apart (Platt 1999)."""
        inside = np.zeros(len(y))
        for train, test in StratifiedGroupKFold(INNER, shuffle=True, random_state=seed).split(z, y, donor):
            one = SVC(C=C, gamma=GAMMA).fit(z[train], y[train], sample_weight=weight[train])
            inside[test] = one.decision_function(z[test])
        platt = LogisticRegression(C=1e3).fit(inside[:, None], y, sample_weight=weight)
        whole = SVC(C=C, gamma=GAMMA).fit(z, y, sample_weight=weight)
        return cls(
            vectors=whole.support_vectors_,
            dual=whole.dual_coef_[0],
            offset=whole.intercept_[0],
            slope=platt.coef_[0, 0],
            intercept=platt.intercept_[0],
        )

    def decision(self, z: np.ndarray) -> np.ndarray:
        """Decision values (cell,): positive is spiny."""
        return rbf_kernel(z, self.vectors, gamma=GAMMA) @ self.dual + self.offset

    def probability(self, z: np.ndarray) -> np.ndarray:
        """Probabilities (cell, class) of standardised cells z (cell, feature)."""
        spiny = expit(self.slope * self.decision(z) + self.intercept)
        return np.stack([1 - spiny, spiny], axis=1)

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        return {name: value.tolist() for name, value in self._asdict().items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Svc":
        """What `to_json` gave."""
        return cls(*(np.array(values[name]) for name in cls._fields))


class AlignedSvc(NamedTuple):
    """A fitted `Svc`, the scales it stands on, and the estimates of the class frequencies (iteration, class)."""

    svc: Svc
    domains: Domains
    prior: np.ndarray

    @classmethod
    def fit(cls, table: AllenTable, part: Part, setting: str, seed: int) -> "AlignedSvc":
        """Of the training cells of a part; in the setting "mouse" without human cells, in "both" with their labels."""
        domains, y = Domains.of(table, part), table.spiny[part.mouse]
        if setting == "mouse-to-human":
            return cls(*_without_labels(table, part, domains, seed))
        prior = domains.rate
        if setting == "both":
            prior = np.bincount(table.spiny[part.human], minlength=len(CLASSES)) / len(part.human)
        rows = np.concatenate([part.mouse, part.human[: len(part.human) * part.labelled]])
        weight = np.ones(len(rows))
        weight[: len(y)] = label_shift.importance(y, prior)
        z = domains.apply(table.x[rows], table.species[rows], prior)
        return cls(Svc.fit(z, table.spiny[rows], weight, table.donor[rows], seed), domains, prior[None])

    def probability(self, x: np.ndarray, species: np.ndarray) -> np.ndarray:
        """Probabilities (cell, class) of cells x (cell, feature) as measured, with NaN."""
        return self.svc.probability(self.domains.apply(x, species, self.prior[-1]))

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        return {"svc": self.svc.to_json(), "domains": self.domains.to_json(), "prior": self.prior.tolist()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "AlignedSvc":
        """What `to_json` gave."""
        return cls(Svc.from_json(values["svc"]), Domains.from_json(values["domains"]), np.array(values["prior"]))


def _without_labels(table: AllenTable, part: Part, domains: Domains, seed: int) -> tuple[Svc, Domains, np.ndarray]:
    """Of mouse labels alone; the last frequencies are those of the last fit."""
    donor, fitted = table.donor[part.mouse], []

    def fit_predict(z: np.ndarray, y: np.ndarray, weight: np.ndarray, target: np.ndarray) -> np.ndarray:
        fitted.append(Svc.fit(z, y, weight, donor, seed))
        return fitted[-1].probability(target)

    filled = [
        np.where(np.isnan(table.x[rows]), scale.median, table.x[rows])
        for rows, scale in ((part.mouse, domains.mouse), (part.human, domains.human))
    ]
    found = label_shift.align(filled[0], table.spiny[part.mouse], filled[1], fit_predict)
    return fitted[-1], domains, found.prior[:-1]
