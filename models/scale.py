"""The scale of features in a training part: medians for what is missing, mean and standard deviation."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spiketype.edge import Json

ROUNDING = 1e-6  # standard deviation over the largest value, below which a column varies by rounding alone


def steady(sd: Float[np.ndarray, " feature"], x: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, " feature"]:
    """Return the standard deviations sd of the columns of x, but 1 for those that are constant but for rounding.

    Divided by what rounding makes, the least difference of a new row would count as millions of standard deviations.
    """
    return np.where(sd > ROUNDING * np.abs(x).max(axis=0, initial=0), sd, 1.0)


class Scale(NamedTuple):
    """Medians for what is missing, mean and standard deviation of the filled columns."""

    median: Float[np.ndarray, " feature"]
    mean: Float[np.ndarray, " feature"]
    sd: Float[np.ndarray, " feature"]

    @classmethod
    def of(cls, x: Float[np.ndarray, "row feature"]) -> "Scale":
        """Return the scale of training rows, NaN where not measured; a column that no row has is 0 everywhere."""
        known = np.isfinite(x).any(axis=0)
        median = np.zeros(x.shape[1])
        median[known] = np.nanmedian(x[:, known], axis=0)
        filled = np.where(np.isnan(x), median, x)
        return cls(median, filled.mean(axis=0), steady(filled.std(axis=0), filled))

    def fill(self, x: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, "row feature"]:
        """Return rows with the medians in place of NaN."""
        return np.where(np.isnan(x), self.median, x)

    def apply(self, x: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, "row feature"]:
        """Return standardised rows in float32, without NaN."""
        return np.asarray((self.fill(x) - self.mean) / self.sd, np.float32)

    def to_json(self) -> Json:
        """Return it as plain numbers."""
        return {name: value.tolist() for name, value in self._asdict().items()}

    @classmethod
    def from_json(cls, values: Json) -> "Scale":
        """Return what `to_json` took apart."""
        return cls(*(np.array(values[name]) for name in cls._fields))
