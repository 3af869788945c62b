"""What a trained network said about test samples, ready to be judged: arrays on the host, checked once."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """Class probabilities for test samples, one row per sample and seed, with what judges them.

    probability (n, class), rows summing to one; label (n,) and cell (n,) count into class_names and
    cell_names; seed, fold (n,): which network; index (n,): the sample's number in its store; distance_um
    (n,): soma to the nearest contact or the array's centre, as the caller has it; amplitude_uV (n,): the
    sample's largest amplitude.

    Raises ValueError naming the field with the expected and actual shape, or the row at fault.
    """

    probability: np.ndarray
    label: np.ndarray
    cell: np.ndarray
    seed: np.ndarray
    fold: np.ndarray
    index: np.ndarray
    distance_um: np.ndarray
    amplitude_uV: np.ndarray
    class_names: tuple[str, ...]
    cell_names: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.label)
        if n == 0:
            raise ValueError("Predictions: expected at least one row, got none")
        check_shape("Predictions.probability", self.probability, (n, len(self.class_names)))
        for name in ("label", "cell", "seed", "fold", "index", "distance_um", "amplitude_uV"):
            check_shape(f"Predictions.{name}", getattr(self, name), (n,))
        sums = np.sum(self.probability, axis=1, dtype=np.float64)
        wrong = ~((np.abs(sums - 1) < 1e-3) & np.all(self.probability >= 0, axis=1))  # NaN is wrong, too
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"Predictions.probability: row {row} is no distribution: {self.probability[row]}")
        check_range("Predictions.label", self.label, len(self.class_names))
        check_range("Predictions.cell", self.cell, len(self.cell_names))
        _, first, inverse = np.unique(self.index, return_index=True, return_inverse=True)
        for name in ("label", "cell"):
            values = getattr(self, name)
            if not np.array_equal(values, values[first][inverse]):
                raise ValueError(f"Predictions.{name}: differs between predictions of the same sample")


def check_shape(name: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    """Raise ValueError unless array has the expected shape."""
    if np.shape(array) != expected:
        raise ValueError(f"{name}: expected shape {expected}, got {np.shape(array)}")


def check_range(name: str, values: np.ndarray, count: int) -> None:
    """Raise ValueError unless all values count into count names."""
    if values.min() < 0 or values.max() >= count:
        raise ValueError(f"{name}: expected 0..{count - 1}, got {values.min()}..{values.max()}")


@dataclass(frozen=True)
class Samples:
    """Predictions with their seeds averaged: one row per distinct sample, in the order of index."""

    index: np.ndarray
    label: np.ndarray
    cell: np.ndarray
    votes: np.ndarray  # (n, class): share of the sample's predictions for each class
    score: np.ndarray  # (n,): share that is right
    distance_um: np.ndarray
    amplitude_uV: np.ndarray


def samples(predictions: Predictions) -> Samples:
    """Average the predictions of each sample over seeds (and over folds, should it be tested in several)."""
    p = predictions
    index, first, inverse = np.unique(p.index, return_index=True, return_inverse=True)
    votes = np.zeros((len(index), len(p.class_names)))
    np.add.at(votes, (inverse, np.argmax(p.probability, axis=1)), 1)
    votes /= votes.sum(axis=1, keepdims=True)
    label = p.label[first]
    score = votes[np.arange(len(index)), label]
    return Samples(index, label, p.cell[first], votes, score, p.distance_um[first], p.amplitude_uV[first])


@dataclass(frozen=True)
class Locations:
    """Predicted soma positions of test samples, one row per sample and seed.

    predicted_um, true_um (n, 3): x, y, z in the array's frame; cell (n,) counts into cell_names; seed, fold
    (n,): which network; index (n,): the sample's number in its store. Raises ValueError as Predictions
    does.
    """

    predicted_um: np.ndarray
    true_um: np.ndarray
    cell: np.ndarray
    seed: np.ndarray
    fold: np.ndarray
    index: np.ndarray
    cell_names: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.cell)
        if n == 0:
            raise ValueError("Locations: expected at least one row, got none")
        for name in ("predicted_um", "true_um"):
            check_shape(f"Locations.{name}", getattr(self, name), (n, 3))
            if not (finite := np.isfinite(getattr(self, name)).all(axis=1)).all():
                raise ValueError(f"Locations.{name}: row {int(np.argmin(finite))} is not finite")
        for name in ("seed", "fold", "index"):
            check_shape(f"Locations.{name}", getattr(self, name), (n,))
        check_range("Locations.cell", self.cell, len(self.cell_names))
