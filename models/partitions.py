"""Clusterings by scikit-learn and, as an extra, UMAP: what a network starts from, and what it has to beat.

Each is a function of points, a number of clusters and a seed, and returns the cluster of each point.
"""

import contextlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import spmatrix
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from spiketype.edge import UserError, install

if TYPE_CHECKING:
    from umap import UMAP

RESTARTS, COMPONENTS = 20, 10
LEAST_UMAP = 12  # units: with fewer there are no neighbours to speak of
MOST_WARD = 20_000  # pairs of units in memory
NEIGHBOURS, RESOLUTION = 20, 1.5  # WaveMAP: Lee et al., eLife 10:e67490, 2021

Points = Float[np.ndarray, "unit feature"]
Clusters = Int[np.ndarray, " unit"]
Partition = Callable[[np.ndarray, int, int], np.ndarray]


def check(init: str, units: int) -> None:
    """Refuse first centres that could not be made, before anything is trained.

    Raises:
        UserError: it names what is missing, or too many.
    """
    if init == "umap" and importlib.util.find_spec("umap") is None:
        raise UserError(f"--init umap: UMAP is not installed: {install('spiketype[umap]')}, or choose another --init")
    if init == "ward" and units > MOST_WARD:
        raise UserError(f"--init ward keeps all pairs of {units} units, the most is {MOST_WARD}: choose another --init")


def kmeans(x: Points, clusters: int, seed: int) -> Clusters:
    """Return the best of 20 starts of k-means."""
    return np.asarray(KMeans(clusters, n_init=RESTARTS, random_state=seed).fit_predict(x))


def gmm(x: Points, clusters: int, seed: int) -> Clusters:
    """Return the likeliest components of the Gaussian mixture of `fit_mixture`."""
    return np.asarray(fit_mixture(x, clusters, seed).predict(x))


def fit_mixture(x: Points, clusters: int, seed: int, starts: int = 5) -> GaussianMixture:
    """Fit a Gaussian mixture, the best of some starts from k-means: full covariances, ridge 0.1 % of the variance."""
    ridge = 1e-3 * float(x.var(axis=0).mean())
    model = GaussianMixture(clusters, n_init=starts, random_state=seed, reg_covar=max(ridge, 1e-9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(np.asarray(x, np.float64))


def ward(x: Points, clusters: int, seed: int) -> Clusters:
    """Cut Ward's hierarchy; the seed changes nothing.

    Raises:
        UserError: more units than memory for their pairs.
    """
    if len(x) > MOST_WARD:
        raise UserError(f"Ward's clustering keeps all pairs of {len(x)} units: the most is {MOST_WARD}")
    return np.asarray(AgglomerativeClustering(clusters).fit_predict(x))


def reduced(inner: Partition, x: Points, clusters: int, seed: int) -> Clusters:
    """Apply another partition to the first principal components."""
    return inner(PCA(min(COMPONENTS, *x.shape), random_state=seed).fit_transform(x), clusters, seed)


BASELINES: Mapping[str, Partition] = {
    "k-means": kmeans,
    "GMM": gmm,
    "PCA + GMM": partial(reduced, gmm),
    "Ward": ward,
}


def umap_points(x: Points, seed: int, min_dist: float, size: int) -> tuple[Float[np.ndarray, "unit {size}"], spmatrix]:
    """Return UMAP's embedding, and its graph of neighbours (unit, unit).

    Raises:
        UserError: UMAP is not installed.
    """
    try:
        umap = _umap()
    except ImportError as error:
        raise UserError(f"UMAP is not installed: {install('spiketype[umap]')}") from error
    neighbours = min(NEIGHBOURS, len(x) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reducer = umap(
            n_neighbors=neighbours, min_dist=min_dist, n_components=size, random_state=seed, n_jobs=1, init="pca"
        ).fit(x)
    return reducer.embedding_, reducer.graph_


@cache
def _umap() -> "type[UMAP]":
    """Import UMAP, and have numba keep its compiled functions on disk: compiling takes each process ten seconds."""
    from numba.core.registry import CPUDispatcher
    from umap import UMAP

    modules = [module for name, module in sys.modules.items() if name.startswith("umap.")]
    for function in {one for module in modules for one in vars(module).values() if isinstance(one, CPUDispatcher)}:
        with contextlib.suppress(RuntimeError):  # there is no place to keep it in
            function.enable_caching()
    found: type[UMAP] = UMAP
    return found


def umap_gmm(x: Points, clusters: int, seed: int) -> Clusters:
    """Reduce by UMAP to ten dimensions, then a Gaussian mixture."""
    return gmm(umap_points(x, seed, 0.0, min(COMPONENTS, x.shape[1], len(x) - 1))[0], clusters, seed)


def umap_louvain(x: Points, clusters: int, seed: int) -> Clusters:
    """Return WaveMAP's Louvain communities of UMAP's graph; their number is their own, `clusters` is not used."""
    graph = umap_points(x, seed, 0.1, 2)[1]
    import networkx

    found = networkx.community.louvain_communities(
        networkx.from_scipy_sparse_array(graph), resolution=RESOLUTION, seed=seed
    )
    cluster = np.zeros(len(x), int)
    for k, members in enumerate(sorted(found, key=len, reverse=True)):
        cluster[list(members)] = k
    return cluster


INITS: Mapping[str, Partition] = {"kmeans": kmeans, "gmm": gmm, "ward": ward, "umap": umap_gmm}
UMAP_BASELINES: Mapping[str, Partition] = {"UMAP + GMM": umap_gmm, "UMAP + Louvain": umap_louvain}


def nearest(x: Points, count: int) -> Int[np.ndarray, "unit neighbour"]:
    """Return the numbers of the nearest other units of each, as many as there are up to `count`."""
    count = min(count, len(x) - 1)
    found = NearestNeighbors(n_neighbors=count + 1).fit(x).kneighbors(x, return_distance=False)
    return np.asarray(found[:, 1:], np.int32)


def means(x: Points, cluster: Clusters, clusters: int) -> Float[np.ndarray, "{clusters} feature"]:
    """Return the mean of the units of each cluster; a cluster without units has the mean of all."""
    size = np.bincount(cluster, minlength=clusters)
    total = np.zeros((clusters, x.shape[1]))
    np.add.at(total, cluster, x)
    return np.where(size[:, None] > 0, total / np.maximum(size, 1)[:, None], x.mean(axis=0))
