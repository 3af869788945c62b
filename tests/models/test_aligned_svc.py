"""Two species on one scale, and support vectors that are kept as arrays, against scikit-learn."""

import flax.serialization
import numpy as np
from sklearn.svm import SVC

from spiketype.datasets.splits import inner_folds
from spiketype.models.species import GAMMA, C, Cells, Domains, Svc


def test_the_scale_at_the_mouse_frequencies_is_the_mouse_scale():
    rng = np.random.default_rng(0)
    species, y = np.repeat([0, 1], [160, 60]), rng.integers(0, 2, 220)
    x = (1.0 + species[:, None]) * (rng.normal(size=(220, 41)) + 2.0 * y[:, None]) + 3.0 * species[:, None]
    x[::9, 2] = np.nan
    domains, cells = Domains.of(x[species == 0], y[species == 0], x[species == 1]), Cells(x, species)
    z = domains.apply(cells, domains.rate)
    for k in (0, 1):
        np.testing.assert_allclose(z[species == k].mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(z[species == k].std(axis=0), 1, atol=1e-6)
    prior = np.array([0.2, 0.8])
    mouse = domains.apply(cells, prior)[species == 0]
    weight = (prior / domains.rate)[y[species == 0]]
    np.testing.assert_allclose(weight @ mouse / weight.sum(), 0, atol=1e-6)
    same = Domains.restore(kept(domains.arrays()))
    np.testing.assert_array_equal(same.apply(cells, prior)[: len(mouse)], mouse)


def kept(arrays):
    """Arrays as a run folder gives them back."""
    return flax.serialization.msgpack_restore(flax.serialization.msgpack_serialize(arrays))


def test_kept_support_vectors_say_what_those_of_scikit_learn_say():
    rng = np.random.default_rng(0)
    z, other = rng.normal(size=(120, 41)), rng.normal(size=(30, 41))
    y, weight = (z[:, 0] + 0.3 * rng.normal(size=120) > 0).astype(int), rng.uniform(0.5, 2, 120)
    ours = Svc(**kept(Svc.fit(z, y, weight, inner_folds(y, np.arange(120), 0))._asdict()))
    theirs = SVC(C=C, gamma=GAMMA).fit(z, y, sample_weight=weight).decision_function(other)
    np.testing.assert_allclose(ours.decision(other), theirs, atol=1e-9)
    probability = ours.probability(other)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert np.corrcoef(theirs, probability[:, 1])[0, 1] > 0.8
