"""Cells of three classes as arrays, for tests of the subclass models."""

import numpy as np


def cells():
    """Two hundred cells of a hundred donors, three classes, five features and an action potential of eight numbers."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(100) % 3, 2)
    x = rng.normal(size=(200, 13))
    x[np.arange(200), label] += 2
    x[:, 5:] += x[:, :1]
    x[rng.random(x.shape) < 0.02] = np.nan
    return x, label, np.repeat(np.arange(100), 2)
