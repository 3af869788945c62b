"""What tells the data of a run from others: a run that continues has those that it began with."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from spiketype.datasets.fingerprint import fingerprint

MOST = 100_000  # numbers that are kept of a table: of each row or, where they are more, of as many rows together
PIECE = 4_000_000  # values that are looked at together
ROUNDING = 1e-4  # of a row: simulated on another kind of device, or read on another CPU, values are the same so
PARTS, JUMPS = 100, 10  # of what jumps: means of so many parts of the rows are compared, to so many times the rounding


class Identity(NamedTuple):
    """What is compared of data.

    Attributes:
        digest: of what has no rounding: labels, groups, their names, and the rows of each part of each fold.
        values: a number that comes of the values of each row, or of some rows together.
        sizes: how large it may be by the size of the values, those of small rows the usual one.
    """

    digest: str
    values: Float32[np.ndarray, " number"]
    sizes: Float32[np.ndarray, " number"]

    def same(self, other: "Identity") -> bool:
        """Say whether the other is of the same data, but for rounding.

        A run of an older version has fewer tables: those that it has are compared, which come first.
        """
        count = len(self.values)
        if self.digest != other.digest or count > len(other.values):
            return False
        return bool((np.abs(self.values - other.values[:count]) <= ROUNDING * self.sizes).all())


def of(
    tables: Sequence[Float[np.ndarray, "_ ..."]],
    exact: Sequence[Shaped[np.ndarray, "_ ..."]],
    names: Sequence[Sequence[str]],
    folds: Sequence[Sequence[Int[np.ndarray, " _"]]] = (),
    jumping: Sequence[Float[np.ndarray, "_ ..."]] = (),
) -> Identity:
    """Return the identity of data.

    Args:
        tables: values, NaN where unknown, of each kind a table of its own: those of a row are compared together. Folds
            are of the rows of the first.
        exact: what else is known of each row: whole numbers, such as labels and groups.
        names: of classes, groups and features.
        folds: the rows of each part (training, test) of each fold.
        jumping: tables of values that jump where what they are measured on rounds otherwise, such as the time of the
            largest sample: of these, many rows are compared together.
    """
    parts = np.zeros((len(folds), len(tables[0])), np.uint8)
    for row, fold in zip(parts, folds, strict=True):
        for number, part in enumerate(fold):
            row[part] |= 1 << number
    digest = fingerprint(*exact, *(np.array(each, str) for each in names), parts)
    of_means = [(values, JUMPS * sizes) for values, sizes in map(_numbers, map(_means, jumping))]
    values, sizes = zip(*map(_numbers, tables), *of_means, strict=True)
    return Identity(digest, np.concatenate(values), np.concatenate(sizes))


def by_column(x: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, "row feature"]:
    """Return features in units of their largest, so that each counts whatever its unit is."""
    largest = np.nanmax(np.abs(x), axis=0, keepdims=True, initial=0)
    return np.asarray(x / np.where(largest > 0, largest, 1))


def _means(x: Float[np.ndarray, "row ..."]) -> Float[np.ndarray, "part ..."]:
    """Return the means of parts of the rows."""
    return np.stack([part.mean(axis=0) for part in np.array_split(x, min(PARTS, len(x)))])


def _numbers(x: Float[np.ndarray, "row ..."]) -> tuple[Float32[np.ndarray, " number"], Float32[np.ndarray, " number"]]:
    """Return the values and sizes of a table, as of `Identity`."""
    points = int(np.prod(x.shape[1:]))
    # Weights that rise, so that a row of mean 0 has a value of its own, and rows are not taken for one another.
    weight, together = np.linspace(1, 2, points, dtype=np.float32), max(1, -(-len(x) // MOST))
    values, sizes = np.zeros((2, len(x)), np.float32)
    rows = max(1, PIECE // max(1, points))
    for first in range(0, len(x), rows):
        some = np.nan_to_num(x[first : first + rows].astype(np.float32))
        some = some.reshape(len(some), points)
        values[first : first + rows], sizes[first : first + rows] = some @ weight, np.abs(some) @ weight
    if not len(x):
        return values, sizes
    values *= 1 + np.arange(len(x), dtype=np.float32) % together / together
    begins = np.arange(0, len(x), together)
    sizes = np.maximum(sizes, np.median(sizes))
    return np.add.reduceat(values, begins), np.add.reduceat(sizes, begins)
