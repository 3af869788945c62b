"""Cells grouped by the features that they lack."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spiketype.models.missing import MOST_FILLED, alike, too_few

KNOWN = arrays(bool, st.tuples(st.integers(1, 12), st.integers(4, 25)), elements=st.booleans())


@given(KNOWN)
def test_every_cell_has_one_model_which_sees_nothing_that_it_lacks_but_a_little(known):
    x = np.where(known, 1.0, np.nan)
    groups = alike(x)
    assert sorted(np.concatenate([rows for rows, _ in groups])) == list(range(len(x)))
    for rows, kept in groups:
        for row in rows:
            filled = (kept & ~known[row]).mean()
            assert filled <= MOST_FILLED
            assert kept.all() or not filled  # medians stand in the model of all features alone
            assert not kept[~known[row]].any() or kept.all()
            assert kept.any() != too_few(x)[row]


@given(KNOWN, st.randoms(use_true_random=False))
def test_the_model_of_a_cell_does_not_depend_on_the_others(known, random):
    x = np.where(known, 1.0, np.nan)
    row = random.randrange(len(x))
    (alone,) = alike(x[[row]])
    (among,) = [kept for rows, kept in alike(x) if row in rows]
    np.testing.assert_array_equal(alone.kept, among)


def test_where_medians_end():
    x = np.ones((5, 40))
    x[1, :4] = x[2, :5] = x[3, 9:] = x[4, 10:] = np.nan
    found = [(rows.tolist(), int(kept.sum())) for rows, kept in alike(x)]
    assert found == [([3], 0), ([2], 35), ([4], 10), ([0, 1], 40)]
