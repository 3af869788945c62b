"""Data that changed are told from those that are the same but for rounding."""

import numpy as np
import pytest

from spiketype.train import identity

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 2, 20)).astype(np.float32)
X -= X.mean(axis=(1, 2), keepdims=True)
LABEL, NAMES = np.repeat([0, 1], 25).astype(np.int32), ("a", "b")
TRAIN, TEST = np.arange(40), np.arange(40, 50)
BEGUN = identity.of((X,), (LABEL,), (NAMES,), [(TRAIN, TEST)])
MOVED = RNG.permutation(50)


def test_rounding_and_the_order_inside_a_part_do_not_count() -> None:
    rounded = (X * (1 + 1e-6 * RNG.normal(size=X.shape))).astype(np.float64)
    assert identity.of((rounded,), (LABEL,), (NAMES,), [(TRAIN[::-1], TEST)]).same(BEGUN)
    gaps = np.where(X > 1, np.nan, X)
    assert identity.of((gaps,), (LABEL,), ()).same(identity.of((gaps,), (LABEL,), ()))


@pytest.mark.parametrize(
    "other",
    [
        identity.of((X[MOVED],), (LABEL,), (NAMES,), [(TRAIN, TEST)]),
        identity.of((X,), (LABEL[MOVED],), (NAMES,), [(TRAIN, TEST)]),
        identity.of((X,), (LABEL,), (("b", "a"),), [(TRAIN, TEST)]),
        identity.of((X,), (LABEL,), (NAMES,), [(TEST, TRAIN)]),
        identity.of((X,), (LABEL,), (NAMES,), [(TRAIN, TEST)] * 2),
        identity.of((X[:49],), (LABEL[:49],), (NAMES,), [(TRAIN, TEST[:-1])]),
    ],
)
def test_what_has_changed_is_told(other: identity.Identity) -> None:
    assert not other.same(BEGUN)


def test_a_row_counts_beside_a_huge_one_and_a_table_beside_one_of_other_sizes() -> None:
    huge = X.copy()
    huge[0] *= 1e6
    changed = huge.copy()
    changed[7] = changed[7, :, ::-1]
    assert not identity.of((changed,), (), ()).same(identity.of((huge,), (), ()))
    small = 1e-6 * X[:, 0]
    assert not identity.of((huge, small[::-1]), (), ()).same(identity.of((huge, small), (), ()))
    nothing = np.zeros((50, 0))
    assert identity.of((X, nothing, X[:0]), (), ()).same(identity.of((X, nothing, X[:0]), (), ()))


def test_one_value_that_jumps_does_not_count_but_those_of_a_part_do() -> None:
    width = RNG.uniform(0.3, 1, (1000, 50))
    begun, jumped, moved = width.copy(), width.copy(), width.copy()
    jumped[3, 2] += 1 / 32
    moved[:10] *= 1.1
    told = [identity.of((X,), (), (), jumping=(each,)) for each in (begun, jumped, moved)]
    assert [told[0].same(other) for other in told] == [True, True, False]
    before = identity.of((X,), (), ())  # a run of an older version did not look at it
    assert before.same(told[0])
    assert not told[0].same(before)


def test_columns_of_all_units_count() -> None:
    x = RNG.normal(size=(50, 3)) * [1e-4, 1, 1e3] + [1e-3, 0, 0]
    x[3, 1] = np.nan
    other = x.copy()
    other[:, 0] = other[::-1, 0]
    begun, changed = (identity.of((identity.by_column(each),), (), ()) for each in (x, other))
    assert not changed.same(begun)


def test_of_very_many_rows_each_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "MOST", 10)
    monkeypatch.setattr(identity, "PIECE", 21)
    x = RNG.normal(size=(48, 3))
    begun = identity.of((x,), (), ())
    assert len(begun.values) == 10
    for k in range(len(x) - 1):
        swapped = x.copy()
        swapped[[k, k + 1]] = x[[k + 1, k]]
        assert not identity.of((swapped,), (), ()).same(begun)
    assert identity.of((x * (1 + 1e-6),), (), ()).same(begun)
