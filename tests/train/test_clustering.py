"""Measures of clusterings and the choice of their number, against scikit-learn, brute force and planted groups."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from spiketype.train.tasks.cluster import number, partitions, scores

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


def test_consensus_undoes_names_and_outvotes_errors() -> None:
    truth = RNG.integers(0, 4, 300)
    names = [np.array(p) for p in ((0, 1, 2, 3), (3, 1, 0, 2), (1, 2, 3, 0), (2, 3, 0, 1), (0, 2, 1, 3))]
    wrong = [np.where(RNG.random(300) < 0.2, RNG.integers(0, 4, 300), truth) for _ in names]
    each = np.stack([name[w] for name, w in zip(names, wrong, strict=True)])
    cluster, confidence, name_of = scores.consensus(each, 4)
    assert adjusted_rand_score(truth, cluster) > max(adjusted_rand_score(truth, w) for w in wrong)
    right = scores.match(scores.contingency(truth, cluster, 4, 4))[cluster] == truth
    assert confidence[right].mean() > confidence[~right].mean()
    renamed = np.take_along_axis(name_of, each, axis=1)
    assert all(adjusted_rand_score(a, b) == 1 for a, b in zip(each, renamed, strict=True))
    assert np.mean(renamed == cluster) > 0.7
    assert scores.consensus(each[:1], 4).confidence.min() == 1


def test_an_empty_cluster_of_one_seed_still_has_a_name_among_the_others() -> None:
    full = np.repeat(np.arange(3), 10)
    found = scores.consensus(np.stack([full, full, np.minimum(full, 1)]), 3)
    np.testing.assert_array_equal(found.cluster, full)
    assert [sorted(names.tolist()) for names in found.name_of] == [[0, 1, 2]] * 3


@pytest.mark.slow
def test_planted_groups_are_counted() -> None:
    x, _ = make_blobs(300, centers=15 * np.eye(4), random_state=0)
    found = number.curves(x, 7, seed=0)
    for name in ("stability", "strength", "bic"):
        assert number.RULES[name](found[name]) == 4, name
    assert found["stability"].estimate.value[2] == pytest.approx(1)
    assert number.structure(x, 7, seed=0).p < 0.05


@pytest.mark.slow
def test_noise_has_no_structure() -> None:
    x = np.random.default_rng(1).normal(size=(300, 6)) * [5, 3, 2, 1, 1, 1]
    assert number.structure(x, 7, seed=0).p > 0.05


@pytest.mark.parametrize("name", ["k-means", "GMM", "PCA + GMM", "Ward"])
def test_partitions_find_groups_that_are_apart(name: str) -> None:
    x, y = make_blobs(90, centers=20 * np.eye(3), random_state=0)
    assert adjusted_rand_score(y, partitions.BASELINES[name](x, 3, 0)) == 1


def test_means_are_of_the_units_of_a_cluster() -> None:
    x = RNG.normal(size=(10, 2))
    cluster = np.array([0] * 4 + [2] * 6)
    found = partitions.means(x, cluster, 3)
    np.testing.assert_allclose(found, [x[:4].mean(axis=0), x.mean(axis=0), x[4:].mean(axis=0)])
