"""Clusters of new units by trained networks: the consensus over seeds, how sure it is, and which units fit none."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from spiketype.models import dec
from spiketype.train.tasks.cluster import problem as cluster_problem
from spiketype.train.tasks.cluster import scores as clustering
from spiketype.train.tasks.cluster.data import Units

RARE = 99.0  # percent of the trained units that are nearer to their centre than an outlier


def shares(net: Any, variables: Mapping[str, Any], x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What every member says of inputs x (unit, feature).

    Shares q (member, unit, cluster), distances to the nearest centre (member, unit) and codes (member, unit, code),
    both in units of the scale.
    """
    params = variables["params"]
    codes = cluster_problem.encode(net, params["net"], x) / np.asarray(variables["scale"])[:, None, None]
    q, distance = [], []
    for z, centre, alive in zip(codes, params["centre"], variables["alive"], strict=True):
        log_q = dec.log_assignment(jnp.asarray(z), jnp.asarray(centre), jnp.asarray(alive))
        q.append(np.exp(np.asarray(log_q, np.float64)))
        square = ((z[:, None] - np.asarray(centre)[None]) ** 2).sum(axis=2)
        distance.append(np.sqrt(np.where(np.asarray(alive)[None], square, np.inf).min(axis=1)))
    return np.stack(q), np.stack(distance), codes


def summarise(q: np.ndarray, distance: np.ndarray) -> dict[str, Any]:
    """What `assign` needs of the trained units, as JSON: names of the clusters across members, and what is far."""
    label = q.argmax(axis=2)
    cluster, _, central = clustering.consensus(label)
    count = q.shape[2]
    maps = [clustering.match(clustering.contingency(label[central], one, count, count)).tolist() for one in label]
    order = np.argsort(-np.bincount(cluster, minlength=count), kind="stable")
    rank = np.argsort(order)
    return {
        "of_member": [[int(rank[k]) for k in of_cluster] for of_cluster in maps],
        "far": np.percentile(distance, RARE, axis=1).tolist(),
    }


def combine(named: Mapping[str, Any], q: np.ndarray) -> np.ndarray:
    """Mean shares (unit, cluster) over members, clusters named alike."""
    total = np.zeros(q.shape[1:])
    for one, of_cluster in zip(q, named["of_member"], strict=True):
        total[:, of_cluster] += one / len(q)
    return total


def assign(config: Any, about: Mapping[str, Any], net: Any, variables: Any, units: Units) -> dict[str, Any]:
    """Columns of a table: cluster, the largest being 0, its share, and whether a unit fits none."""
    q, distance, _ = shares(net, variables, units.x)
    mean = combine(about["named"], q)
    outlier = (distance > np.array(about["named"]["far"])[:, None]).mean(axis=0) > 0.5
    table: dict[str, Any] = {
        "unit": np.array(units.unit_names),
        "cluster": mean.argmax(axis=1),
        "confidence": mean.max(axis=1),
        "outlier": np.where(outlier, "outlier", "-"),
    }
    return table | {f"p_{k}": mean[:, k] for k in np.flatnonzero(mean.max(axis=0) > 0)}
