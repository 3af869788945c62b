"""Clusterings: partitions, their consensus, and the choice of their number, against planted groups."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from spiketype.models import agreement, cluster_number, partitions

RNG = np.random.default_rng(0)


def test_consensus_undoes_names_and_outvotes_errors() -> None:
    truth = RNG.integers(0, 4, 300)
    names = [np.array(p) for p in ((0, 1, 2, 3), (3, 1, 0, 2), (1, 2, 3, 0), (2, 3, 0, 1), (0, 2, 1, 3))]
    wrong = [np.where(RNG.random(300) < 0.2, RNG.integers(0, 4, 300), truth) for _ in names]
    each = np.stack([name[w] for name, w in zip(names, wrong, strict=True)])
    cluster, confidence, name_of = agreement.consensus(each, 4)
    assert adjusted_rand_score(truth, cluster) > max(adjusted_rand_score(truth, w) for w in wrong)
    right = agreement.match(agreement.contingency(truth, cluster, 4, 4))[cluster] == truth
    assert confidence[right].mean() > confidence[~right].mean()
    renamed = np.take_along_axis(name_of, each, axis=1)
    assert all(adjusted_rand_score(a, b) == 1 for a, b in zip(each, renamed, strict=True))
    assert np.mean(renamed == cluster) > 0.7
    assert agreement.consensus(each[:1], 4).confidence.min() == 1


def test_an_empty_cluster_of_one_seed_still_has_a_name_among_the_others() -> None:
    full = np.repeat(np.arange(3), 10)
    found = agreement.consensus(np.stack([full, full, np.minimum(full, 1)]), 3)
    np.testing.assert_array_equal(found.cluster, full)
    assert [sorted(names.tolist()) for names in found.name_of] == [[0, 1, 2]] * 3


@pytest.mark.slow
def test_planted_groups_are_counted() -> None:
    x, _ = make_blobs(300, centers=15 * np.eye(4), random_state=0)
    clusters, values = cluster_number.curves(x, 7, seed=0)
    for name in ("stability", "strength", "bic"):
        mean = values[name].mean(axis=1)
        assert cluster_number.choose(name, clusters, mean, mean) == 4, name
    assert values["stability"][2].mean() == pytest.approx(1)
    assert cluster_number.structure(x, 7, seed=0).p < 0.05


@pytest.mark.slow
def test_noise_has_no_structure() -> None:
    x = np.random.default_rng(1).normal(size=(300, 6)) * [5, 3, 2, 1, 1, 1]
    assert cluster_number.structure(x, 7, seed=0).p > 0.05


@pytest.mark.parametrize("name", ["k-means", "GMM", "PCA + GMM", "Ward"])
def test_partitions_find_groups_that_are_apart(name: str) -> None:
    x, y = make_blobs(90, centers=20 * np.eye(3), random_state=0)
    assert adjusted_rand_score(y, partitions.BASELINES[name](x, 3, 0)) == 1


def test_means_are_of_the_units_of_a_cluster() -> None:
    x = RNG.normal(size=(10, 2))
    cluster = np.array([0] * 4 + [2] * 6)
    found = partitions.means(x, cluster, 3)
    np.testing.assert_allclose(found, [x[:4].mean(axis=0), x.mean(axis=0), x[4:].mean(axis=0)])
