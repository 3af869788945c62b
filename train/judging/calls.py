"""What a model says of test rows, checked once: class probabilities with what judges them, and all that is read of it.

A *row* is what is called: a sample, a spike, a cell, a unit. A *repeat* is one more opinion of the same rows: another
training seed, another division of the data. Rates are means over repeats, and their intervals redraw groups (cell
models, donors, days, animals), all rows and repeats of one together, because a group is what a result generalises to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from spiketype.datasets.splits import Fold
from spiketype.edge import NO_CALL, Json
from spiketype.train.judging import metrics, predictions
from spiketype.train.judging.intervals import bootstrap
from spiketype.train.judging.metrics import MEASURES, Measure

RESAMPLES = 400
LACKING = 0.5  # share of resamples that lack a class, up to which the others tell of means over classes
NEVER: Mapping[str, np.ndarray] = {}  # no other reason not to call
UNSURE = "no class is likely enough"


@dataclass(frozen=True)
class Calls:
    """Class probabilities of rows.

    Attributes:
        probability: rows sum to one, nothing is NaN.
        label: index into `class_names`, -1 where it is not known.
        group: the group of each row: what intervals redraw.
        class_names: of the classes.
        row_names: what a user calls each row.
        measured: further columns of the table, one value a row; units in their names.

    Raises:
        ValueError: another shape, a row that is no distribution (it is named), a label that is no class, no row.
    """

    probability: Float[np.ndarray, "repeat row class"]
    label: Int[np.ndarray, " row"]
    group: Int[np.ndarray, " row"]
    class_names: tuple[str, ...]
    row_names: tuple[str, ...]
    measured: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows, classes = len(self.row_names), len(self.class_names)
        if not rows:
            raise ValueError("Calls: expected at least one row, got none")
        if self.probability.ndim != 3 or self.probability.shape[1:] != (rows, classes):
            raise ValueError(f"Calls.probability: expected (repeat, {rows}, {classes}), got {self.probability.shape}")
        for name, values in {"label": self.label, "group": self.group, **self.measured}.items():
            if np.shape(values) != (rows,):
                raise ValueError(f"Calls.{name}: expected shape ({rows},), got {np.shape(values)}")
        sums = np.sum(self.probability, axis=2, dtype=np.float64)
        wrong = ~((np.abs(sums - 1) < 1e-3) & np.all(self.probability >= 0, axis=2))  # NaN is wrong, too
        if wrong.any():
            repeat, row = np.argwhere(wrong)[0]
            found = self.probability[repeat, row]
            raise ValueError(f"Calls.probability: row {row} ({self.row_names[row]}) is no distribution: {found}")
        if self.label.min() < -1 or self.label.max() >= classes:
            raise ValueError(f"Calls.label: expected -1..{classes - 1}, got {self.label.min()}..{self.label.max()}")

    @property
    def mean(self) -> Float[np.ndarray, "row class"]:
        """Mean probability over repeats."""
        return np.asarray(self.probability.mean(axis=0))

    def take(self, rows: np.ndarray) -> "Calls":
        """Return the calls of some rows (indices or mask)."""
        chosen = np.arange(len(self.row_names))[rows]
        return replace(
            self,
            probability=self.probability[:, chosen],
            label=self.label[chosen],
            group=self.group[chosen],
            row_names=tuple(self.row_names[k] for k in chosen),
            measured={name: values[chosen] for name, values in self.measured.items()},
        )

    def of(self, probability: Float[np.ndarray, "repeat row class"]) -> "Calls":
        """Return what another model says of the same rows."""
        return replace(self, probability=probability)

    def rates(self, seed: int, measures: Mapping[str, Measure] = MEASURES) -> Json:
        """Return all measures, means over repeats with intervals over groups, and precision and recall by class."""

        def every(rows: np.ndarray) -> np.ndarray:
            y = self.label[rows]
            each = [[measure(y, p[rows]) for measure in measures.values()] for p in self.probability]
            undefined = self._undefined(y)
            return np.where([name in undefined for name in measures], np.nan, np.mean(each, axis=0))

        found = bootstrap(every, self.group, np.random.default_rng(seed), RESAMPLES, undefined=LACKING)
        result: Json = {name: found.at(k).to_json() for k, name in enumerate(measures)}
        precision, recall = np.mean([metrics.recalls(self.label, p) for p in self.probability], axis=0)
        # A class that is never called has no precision, one that does not occur no recall.
        result["precision"] = [None if np.isnan(v) else float(v) for v in precision]
        result["recall"] = [None if np.isnan(v) else float(v) for v in recall]
        return result

    def value(self, measure: Measure) -> float:
        """Return a measure, the mean over repeats."""
        return float(np.mean([measure(self.label, p) for p in self.probability]))

    def _undefined(self, y: Int[np.ndarray, " row"]) -> Sequence[str]:
        """Return which measures have no value for resampled labels: means over classes, of which one is not drawn."""
        there = [np.count_nonzero(np.bincount(label)) for label in (y, self.label)]
        return metrics.OVER_CLASSES if there[0] < there[1] else ()

    def difference(self, other: "Calls", seed: int, measure: str = "accuracy_percent") -> Json:
        """Return one of `MEASURES` of these calls minus that of others, paired: the same rows, groups redrawn.

        Raises:
            ValueError: the others are of other rows, labels or repeats.
        """
        if not np.array_equal(self.label, other.label) or self.probability.shape != other.probability.shape:
            raise ValueError("Calls.difference: expected calls of the same rows and repeats")

        def gap(rows: np.ndarray) -> np.ndarray:
            pairs = zip(self.probability, other.probability, strict=True)
            y, of = self.label[rows], MEASURES[measure]
            if measure in self._undefined(y):
                return np.array([np.nan])
            return np.array([np.mean([of(y, a[rows]) - of(y, b[rows]) for a, b in pairs])])

        found = bootstrap(gap, self.group, np.random.default_rng(seed), RESAMPLES, undefined=LACKING)
        return found.at(0).to_json()

    def confusion(self) -> list[list[int]]:
        """Return counts (true, called) over all repeats."""
        classes = len(self.class_names)
        count = np.zeros((classes, classes), int)
        for p in self.probability:
            np.add.at(count, (self.label, p.argmax(axis=1)), 1)
        return count.tolist()

    def abstention(self, certain: float) -> Json:
        """Return how many rows are not called below the probability `certain`, and how many of the others are right."""
        best = self.mean.max(axis=1)
        sure, right = best >= certain, self.mean.argmax(axis=1) == self.label
        return {
            "certain": certain,
            "abstained_percent": 100 * float((~sure).mean()),
            "accuracy_of_calls_percent": 100 * float(right[sure].mean()) if sure.any() else None,
        }

    def table(self, certain: float, never: Mapping[str, Bool[np.ndarray, " row"]] = NEVER) -> dict[str, np.ndarray]:
        """Return the columns of the table: row, call, probability, certain, reason, every p_CLASS, what is measured.

        Args:
            certain: probability of the likeliest class below which there is "no call".
            never: reason -> rows that get no call whatever the probability; the first reason that holds is told.
        """
        mean = self.mean
        reasons = {**never, UNSURE: mean.max(axis=1) < certain}
        reason = np.select(list(reasons.values()), list(reasons), "")
        sure = reason == ""
        return {
            "row": np.array(self.row_names),
            "call": np.where(sure, np.array(self.class_names)[mean.argmax(axis=1)], NO_CALL),
            "probability": mean.max(axis=1),
            "certain": np.where(sure, "yes", "no"),
            "reason": reason,
            **{f"p_{name}": mean[:, k] for k, name in enumerate(self.class_names)},
            **self.measured,
        }

    def write(self, path: Path, others: Mapping[str, "Calls"], name: str) -> None:
        """Write predictions.zarr: the probabilities of this model, called `name`, and of others on the same rows."""
        models = {name: self, **others}
        predictions.write(
            path,
            self.row_names,
            {
                "probability": (
                    ("model", "repeat", "class"),
                    np.stack([calls.probability for calls in models.values()], axis=2).transpose(1, 2, 0, 3),
                ),
                "label": ((), self.label),
                "group": ((), self.group),
            },
            {"model": tuple(models), "class": self.class_names},
            self.measured,
        )


def scatter(
    folds: Sequence[Fold], repeats: int, rows: int, found: Sequence[np.ndarray]
) -> Float[np.ndarray, "repeat row ..."]:
    """Return what folds say of their test rows as one array, NaN where a repeat does not test a row.

    Args:
        folds: of all repeats, as many in each.
        repeats: their number.
        rows: of the table.
        found: of each fold (test row, ...).
    """
    whole = np.full((repeats, rows, *found[0].shape[1:]), np.nan)
    per_repeat = len(folds) // repeats
    for number, (fold, each) in enumerate(zip(folds, found, strict=True)):
        whole[number // per_repeat, fold.test] = each
    return whole


def held_out(folds: Sequence[Fold]) -> Int[np.ndarray, " row"]:
    """Return the rows that folds test, ascending."""
    return np.unique(np.concatenate([fold.test for fold in folds]))
