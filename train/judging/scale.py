"""What a training part says of the features: medians for what is missing, mean and standard deviation."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Scale(NamedTuple):
    """Medians for what is missing, mean and standard deviation of the filled columns; each (feature,)."""

    median: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> "Scale":
        """Of training cells x (cell, feature) with NaN; a column that nobody has is 0 everywhere."""
        known = np.isfinite(x).any(axis=0)
        median = np.zeros(x.shape[1])
        median[known] = np.nanmedian(x[:, known], axis=0)
        filled = np.where(np.isnan(x), median, x)
        sd = filled.std(axis=0)
        return cls(median, filled.mean(axis=0), np.where(sd > 0, sd, 1.0))

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Standardised x (cell, feature) float32, without NaN."""
        filled = np.where(np.isnan(x), self.median, x)
        return ((filled - self.mean) / self.sd).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        return {name: value.tolist() for name, value in self._asdict().items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Scale":
        """What `to_json` gave."""
        return cls(*(np.array(values[name]) for name in cls._fields))
