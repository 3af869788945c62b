"""Measures of clusterings against labels: brute force and invariances."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiketype.train.tasks.cluster import scores

RNG = np.random.default_rng(0)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 10**6))
def test_accuracy_is_the_best_of_all_one_to_one_maps(classes: int, clusters: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, cluster = rng.integers(0, classes, 30), rng.integers(0, clusters, 30)
    names = [*range(classes), *[-1] * clusters]
    best = max(np.mean(np.array(m)[cluster] == label) for m in set(itertools.permutations(names, clusters)))
    assert scores.accuracy(label, cluster) == pytest.approx(100 * best)


def test_names_of_clusters_do_not_matter() -> None:
    label, cluster = RNG.integers(0, 3, 50), RNG.integers(0, 5, 50)
    renamed = np.array([3, 0, 4, 1, 2])[cluster]
    for measure in scores.MEASURES.values():
        assert measure(label, cluster) == pytest.approx(measure(label, renamed))
    np.testing.assert_allclose(scores.recalls(label, cluster, 3), scores.recalls(label, renamed, 3))


def test_recalls_make_the_accuracy() -> None:
    label, cluster = RNG.integers(0, 4, 200), RNG.integers(0, 4, 200)
    size = np.bincount(label)
    assert scores.recalls(label, cluster, 4) @ size / 200 == pytest.approx(scores.accuracy(label, cluster))


def test_majority_is_the_accuracy_of_one_cluster() -> None:
    label = np.array([0] * 7 + [1] * 3)
    assert scores.accuracy(label, np.zeros(10, int)) == pytest.approx(70)
