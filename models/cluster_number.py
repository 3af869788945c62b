"""How many clusters there are, without labels: four criteria against the number, and whether there are any at all."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from spiketype.models.options import Criterion
from spiketype.models.partitions import fit_mixture

REPEATS, SHARE = 10, 0.8
STRONG = 0.8  # Tibshirani and Walther: 0.8 to 0.9 for well separated clusters
REFERENCES, DIRECTIONS = 39, 10
MOST_UNITS = 3000
UNITS_PER_CLUSTER = 4  # on average, at least, in all numbers that are considered


class Curves(NamedTuple):
    """The criteria at every number of clusters, one value for each resample."""

    clusters: Int[np.ndarray, " number"]
    values: dict[Criterion, Float[np.ndarray, "number resample"]]


def curves(z: Float[np.ndarray, "unit code"], most: int, seed: int) -> Curves:
    """Return all criteria for 2 to `most` clusters of points, from `REPEATS` resamples.

    ``stability``: adjusted Rand index of k-means on two random 80 % of the units, where they overlap (Ben-Hur 2002).
    ``strength``: the least share of pairs of a test half's cluster that the centres of the training half keep together
    (Tibshirani and Walther 2005). ``generalisation``: DEC's KL(p||q) on the half that centres were fitted to, over that
    of the other half (Xie et al. 2016, section 5). ``bic``: of a Gaussian mixture, per unit, on 80 %; smaller is
    better. More than `MOST_UNITS` units are a random choice of so many.
    """
    rng = np.random.default_rng(seed)
    z = np.asarray(_some(z, rng), np.float64)
    clusters = np.arange(2, min(most, len(z) // UNITS_PER_CLUSTER) + 1)
    shape = len(clusters), REPEATS
    stability, strength, generalisation, bic = (np.empty(shape) for _ in range(4))
    with threadpool_limits(1):  # thousands of small fits, for which threads wait for each other
        for r in range(REPEATS):
            order, again = rng.permutation(len(z)), rng.permutation(len(z))
            part = int(SHARE * len(z))
            halves = z[order[: len(z) // 2]], z[order[len(z) // 2 :]]
            for i, k in enumerate(clusters.tolist()):
                stability[i, r] = _stability(z, order[:part], again[:part], k, seed)
                strength[i, r], generalisation[i, r] = _halves(*halves, k, seed)
                bic[i, r] = fit_mixture(z[order[:part]], k, seed, starts=1).bic(z[order[:part]]) / part
    values: dict[Criterion, np.ndarray] = {"stability": stability, "strength": strength}
    return Curves(clusters, values | {"generalisation": generalisation, "bic": bic})


RULES: dict[Criterion, str] = {
    "strength": f"the most clusters at or above {STRONG:g}, else the strongest",
    "stability": "the most clusters that reach the interval of the best",
    "generalisation": "the last number before the steepest fall",
    "bic": "the smallest",
}


def choose(
    criterion: Criterion,
    clusters: Int[np.ndarray, " number"],
    value: Float[np.ndarray, " number"],
    low: Float[np.ndarray, " number"],
) -> int:
    """Return the number of clusters by a criterion's mean `value` and the lower end of its interval: by its `RULES`.

    That of generalisation is how the paper reads its curve.
    """
    match criterion:
        case "strength":
            good = np.flatnonzero(value >= STRONG)
            at = good[-1] if len(good) else np.argmax(value)
        case "stability":
            at = np.flatnonzero(value >= np.nan_to_num(low[np.argmax(value)]))[-1]
        case "generalisation":
            at = np.argmin(np.diff(value)) if len(value) > 1 else 0
        case "bic":
            at = np.argmin(value)
    return int(clusters[at])


def _some(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return x[rng.choice(len(x), MOST_UNITS, replace=False)] if len(x) > MOST_UNITS else x


def _fit(x: np.ndarray, clusters: int, seed: int) -> KMeans:
    return KMeans(clusters, n_init=2, random_state=seed).fit(x)


def _stability(z: np.ndarray, first: np.ndarray, second: np.ndarray, clusters: int, seed: int) -> float:
    both = np.intersect1d(first, second)
    return float(adjusted_rand_score(*(_fit(z[part], clusters, seed).predict(z[both]) for part in (first, second))))


def _halves(train: np.ndarray, test: np.ndarray, clusters: int, seed: int) -> tuple[float, float]:
    """Return prediction strength, and the ratio of losses."""
    ours, theirs = _fit(train, clusters, seed), _fit(test, clusters, seed)
    found = ours.predict(test)
    kept = []
    for k in range(clusters):
        size = np.bincount(found[theirs.labels_ == k], minlength=clusters)
        pairs = size.sum() * (size.sum() - 1)
        kept.append((size * (size - 1)).sum() / pairs if pairs else 0.0)
    losses = [_loss(part, ours.cluster_centers_) for part in (train, test)]
    return float(min(kept)), float(losses[0] / max(losses[1], 1e-12))


def _loss(z: np.ndarray, centre: np.ndarray) -> float:
    """Return KL(p||q) of DEC; distances in units of the root mean square distance to the nearest centre."""
    square = ((z[:, None] - centre[None]) ** 2).sum(axis=2)
    q = 1 / (1 + square / max(square.min(axis=1).mean(), 1e-12))
    q /= q.sum(axis=1, keepdims=True)
    p = q**2 / q.sum(axis=0)
    p /= p.sum(axis=1, keepdims=True)
    return float(np.mean(np.sum(p * np.log(p / q), axis=1)))


class Structure(NamedTuple):
    """Whether points are in clusters: how far they exceed a single Gaussian, and the p-value of that."""

    excess: float
    p: float


def structure(x: Float[np.ndarray, "unit feature"], most: int, seed: int) -> Structure:
    """Test points against one Gaussian of their own covariance.

    The statistic is the largest, over 2 to `most` clusters, of the gap between the log within-cluster sum of squares
    of Gaussian samples and of x, in standard deviations of the samples (gap statistic, Tibshirani et al. 2001; the
    null of SigClust, Liu et al. 2008); p is its rank among the same of the samples. All in at most ten principal
    components. It rejects for any shape that k-means halves better than a Gaussian: heavy tails are not enough, but a
    bent or two-ended continuum is. So p > 0.05 says that there is nothing to cluster, p < 0.05 only that there may be.
    """
    rng = np.random.default_rng(seed)
    x = _some(x, rng)
    with threadpool_limits(1):
        z = PCA(min(DIRECTIONS, *x.shape), random_state=seed).fit_transform(np.asarray(x, np.float64))
        sd = z.std(axis=0)
        samples = [z, *(rng.normal(size=z.shape) * sd for _ in range(REFERENCES))]
        clusters = np.unique(np.linspace(2, min(most, len(z) - 1), 5).astype(int))
        within = np.array([[np.log(_fit(s, k, seed).inertia_ + 1e-300) for k in clusters.tolist()] for s in samples])
    centre, spread = within[1:].mean(axis=0), within[1:].std(axis=0, ddof=1)
    excess = ((centre - within) / np.maximum(spread, 1e-12)).max(axis=1)
    return Structure(float(excess[0]), float(np.mean(excess >= excess[0] - 1e-9)))
