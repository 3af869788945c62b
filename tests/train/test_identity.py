"""Data that changed are told from those that are the same but for rounding."""

import numpy as np
import pytest

from spiketype.train import identity

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 2, 20)).astype(np.float32)
X -= X.mean(axis=(1, 2), keepdims=True)
LABEL, NAMES = np.repeat([0, 1], 25).astype(np.int32), ("a", "b")
TRAIN, TEST = np.arange(40), np.arange(40, 50)
BEGUN = identity.of(X, (LABEL,), (NAMES,), [(TRAIN, TEST)])
MOVED = RNG.permutation(50)


def test_rounding_and_the_order_inside_a_part_do_not_count() -> None:
    rounded = (X * (1 + 1e-6 * RNG.normal(size=X.shape))).astype(np.float64)
    assert identity.of(rounded, (LABEL,), (NAMES,), [(TRAIN[::-1], TEST)]).same(BEGUN)
    gaps = np.where(X > 1, np.nan, X)
    assert identity.of(gaps, (LABEL,), ()).same(identity.of(gaps, (LABEL,), ()))


@pytest.mark.parametrize(
    "other",
    [
        identity.of(X[MOVED], (LABEL,), (NAMES,), [(TRAIN, TEST)]),
        identity.of(X, (LABEL[MOVED],), (NAMES,), [(TRAIN, TEST)]),
        identity.of(X, (LABEL,), (("b", "a"),), [(TRAIN, TEST)]),
        identity.of(X, (LABEL,), (NAMES,), [(TEST, TRAIN)]),
        identity.of(X, (LABEL,), (NAMES,), [(TRAIN, TEST)] * 2),
        identity.of(X[:49], (LABEL[:49],), (NAMES,), [(TRAIN, TEST[:-1])]),
    ],
)
def test_what_has_changed_is_told(other: identity.Identity) -> None:
    assert not other.same(BEGUN)


def test_of_very_many_rows_some_are_kept() -> None:
    count = 3 * identity.MOST + 1
    x = RNG.normal(size=(count, 3))
    begun = identity.of(x, (), ())
    assert identity.MOST / 2 < len(begun.values) <= identity.MOST
    assert not identity.of(x[::-1], (), ()).same(begun)
