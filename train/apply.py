"""Trained members in use: their variables one by one, inputs in pieces of one shape, so that one program serves all."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np

from spiketype.edge import PyTree
from spiketype.train.task import Variables


def of_member(variables: Variables, number: int) -> Variables:
    """Return the variables of one member out of those of all."""
    mine: Variables = jax.tree.map(lambda a: a[number], variables)
    return mine


def in_pieces(apply: Callable[[np.ndarray], PyTree], x: np.ndarray, size: int) -> PyTree:
    """Return what a jitted function of rows gives for x (row, ...), as NumPy arrays (row, ...).

    Args:
        apply: rows (size, ...) -> arrays (size, ...), in any pytree.
        x: rows; the last piece is padded with zeros, whose results are cut off.
        size: rows at once.
    """
    found = []
    for first in range(0, max(len(x), 1), size):
        part = x[first : first + size]
        padded = np.pad(part, ((0, size - len(part)), *[(0, 0)] * (x.ndim - 1)))
        found.append(jax.tree.map(partial(_first, len(part)), apply(padded)))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *found)


def _first(rows: int, array: jax.Array) -> np.ndarray:
    return np.asarray(array)[:rows]
