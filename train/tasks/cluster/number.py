"""How many clusters there are, without labels: four criteria against the number, and whether there are any at all."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from spiketype.edge import Json, UserError
from spiketype.train.judging.intervals import Estimate, over_seeds
from spiketype.train.tasks.cluster.config import ClusterConfig
from spiketype.train.tasks.cluster.data import Units
from spiketype.train.tasks.cluster.partitions import fit_mixture

REPEATS, SHARE = 10, 0.8
STRONG = 0.8  # Tibshirani and Walther: 0.8 to 0.9 for well separated clusters
REFERENCES, DIRECTIONS = 39, 10
LEVEL = 0.05
MOST_UNITS = 3000
UNITS_PER_CLUSTER = 4  # on average, at least, in all numbers that are considered


def most_clusters(config: ClusterConfig, units: Units) -> int:
    """Return the number of clusters that is given, or the largest to consider.

    Raises:
        UserError: more clusters than units, a single one, or too few units to choose a number.
    """
    count = len(units.x)
    if config.clusters is None:
        if count < 2 * UNITS_PER_CLUSTER:
            raise UserError(f"{count} units of {units.source} are too few to choose a number: give --clusters")
        return min(config.most, count - 1)
    if config.clusters > count:
        raise UserError(f"--clusters {config.clusters} is more than the {count} units of {units.source}")
    if config.clusters < 2:
        raise UserError(f"--clusters {config.clusters}: the least is 2")
    return config.clusters


class Choice:
    """The number of clusters of a run: given, or chosen on the pretrained code; computed when first asked for."""

    def __init__(self, config: ClusterConfig, units: Units, most: int) -> None:
        self.config, self.units, self.most = config, units, most
        self._found: Json | None = None

    def clusters(self, codes: Float[np.ndarray, "member unit code"]) -> int:
        """Return the number; where there is no structure it is still two, and `found` says so."""
        if self.config.clusters is not None:
            return self.config.clusters
        return int(self.found(codes)["chosen"])

    def found(self, codes: Float[np.ndarray, "member unit code"]) -> Json:
        """Return the number, the curves of all criteria on the first member's code, and the test for structure."""
        if self._found is None:
            tested = structure(self.units.x, self.most, self.config.seed)
            each = curves(codes[0], self.most, self.config.seed)
            there, name = tested.p <= LEVEL, self.config.criterion
            self._found = {
                "structure": {"excess_sd": tested.excess, "p": tested.p, "found": there},
                "curves": {criterion: _to_json(curve, RULES[criterion](curve)) for criterion, curve in each.items()},
                "criterion": name,
                "chosen": RULES[name](each[name]) if there else 2,
            }
        return self._found


class Curve(NamedTuple):
    """A criterion at every number of clusters, with intervals over resamples.

    Attributes:
        clusters: (k,) numbers.
        estimate: (k,) values and ends.
    """

    clusters: Int[np.ndarray, " k"]
    estimate: Estimate


def _to_json(curve: Curve, chosen: int) -> Json:
    rounded = Estimate(*(np.round(ends, 5) for ends in curve.estimate))
    return {"clusters": curve.clusters.tolist(), **rounded.to_json(), "chosen": chosen}


def curves(z: Float[np.ndarray, "unit code"], most: int, seed: int) -> dict[str, Curve]:
    """Return all criteria for 2 to `most` clusters of points, from `REPEATS` resamples.

    ``stability``: adjusted Rand index of k-means on two random 80 % of the units, where they overlap (Ben-Hur 2002).
    ``strength``: the least share of pairs of a test half's cluster that the centres of the training half keep together
    (Tibshirani and Walther 2005). ``generalisation``: DEC's KL(p||q) on the half that centres were fitted to, over that
    of the other half (Xie et al. 2016, section 5). ``bic``: of a Gaussian mixture, per unit, on 80 %; smaller is
    better. More than `MOST_UNITS` units are a random choice of so many.
    """
    rng = np.random.default_rng(seed)
    if len(z) > MOST_UNITS:
        z = z[rng.choice(len(z), MOST_UNITS, replace=False)]
    z = np.asarray(z, np.float64)
    clusters = np.arange(2, min(most, len(z) // UNITS_PER_CLUSTER) + 1)
    found: dict[str, list[list[float]]] = {name: [[] for _ in clusters] for name in RULES}
    with threadpool_limits(1):  # thousands of small fits, for which threads wait for each other
        for _ in range(REPEATS):
            order, again = rng.permutation(len(z)), rng.permutation(len(z))
            part = int(SHARE * len(z))
            halves = z[order[: len(z) // 2]], z[order[len(z) // 2 :]]
            for i, k in enumerate(clusters.tolist()):
                found["stability"][i].append(_stability(z, order[:part], again[:part], k, seed))
                strength, ratio = _halves(*halves, k, seed)
                found["strength"][i].append(strength)
                found["generalisation"][i].append(ratio)
                found["bic"][i].append(_bic(z[order[:part]], k, seed))
    return {name: Curve(clusters, _estimates(rows)) for name, rows in found.items()}


def _estimates(rows: list[list[float]]) -> Estimate:
    each = [over_seeds(np.array(row)) for row in rows]
    return Estimate(*(np.array(ends) for ends in zip(*each, strict=True)))


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


def _bic(z: np.ndarray, clusters: int, seed: int) -> float:
    return float(fit_mixture(z, clusters, seed, starts=1).bic(z) / len(z))


def strongest(curve: Curve) -> int:
    """Return the most clusters whose mean prediction strength is at least 0.8, else the strongest number."""
    good = np.flatnonzero(curve.estimate.value >= STRONG)
    return int(curve.clusters[good[-1] if len(good) else np.argmax(curve.estimate.value)])


def steadiest(curve: Curve) -> int:
    """Return the most clusters whose stability is inside the interval of the best."""
    best = np.argmax(curve.estimate.value)
    good = np.flatnonzero(curve.estimate.value >= np.nan_to_num(curve.estimate.low[best]))
    return int(curve.clusters[good[-1]])


def before_the_drop(curve: Curve) -> int:
    """Return the number after which the ratio of losses falls most, as the paper reads its curve."""
    if len(curve.clusters) < 2:
        return int(curve.clusters[0])
    return int(curve.clusters[np.argmin(np.diff(curve.estimate.value))])


def least(curve: Curve) -> int:
    """Return the number with the smallest BIC."""
    return int(curve.clusters[np.argmin(curve.estimate.value)])


RULES = {"stability": steadiest, "strength": strongest, "generalisation": before_the_drop, "bic": least}


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
    if len(x) > MOST_UNITS:
        x = x[rng.choice(len(x), MOST_UNITS, replace=False)]
    with threadpool_limits(1):
        z = PCA(min(DIRECTIONS, *x.shape), random_state=seed).fit_transform(np.asarray(x, np.float64))
        sd = z.std(axis=0)
        samples = [z, *(rng.normal(size=z.shape) * sd for _ in range(REFERENCES))]
        clusters = np.unique(np.linspace(2, min(most, len(z) - 1), 5).astype(int))
        within = np.array([[np.log(_fit(s, k, seed).inertia_ + 1e-300) for k in clusters.tolist()] for s in samples])
    centre, spread = within[1:].mean(axis=0), within[1:].std(axis=0, ddof=1)
    excess = ((centre - within) / np.maximum(spread, 1e-12)).max(axis=1)
    return Structure(float(excess[0]), float(np.mean(excess >= excess[0] - 1e-9)))
