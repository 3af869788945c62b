"""The cluster task: kinds of units without labels, by deep embedded clustering. Its data and phases."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from sklearn.neighbors import NearestNeighbors

from spiketype.edge import PyTree, UserError
from spiketype.models import autoencoder
from spiketype.train.task import Experiment, Phase, Task, member_keys
from spiketype.train.tasks.cluster import judge, partitions, problem
from spiketype.train.tasks.cluster.config import PRESETS, ClusterConfig
from spiketype.train.tasks.cluster.data import Units, read
from spiketype.train.tasks.cluster.model import ClusterModel, evaluate, predict
from spiketype.train.tasks.cluster.number import Choice, most_clusters


def prepare(config: ClusterConfig) -> Experiment:
    """Load the units and set up a member for every seed: pretraining, then clustering.

    Raises:
        UserError: no data, units that cannot be used, or a number of clusters that they cannot have.
    """
    if config.data is None:
        raise UserError("--data is missing: give a file or folder of waveforms, or digits")
    units = read(config, config.data)
    most = most_clusters(config, units)
    net = problem.network(config, units.form)
    change = problem.changes(config, units.form.shape)
    choice = Choice(config, units, most)
    members = config.members
    common = (jnp.asarray(units.x), jnp.asarray(neighbours(config, units.x)))
    data = (common, jnp.zeros((len(members), 1)))
    count = len(units.x)
    first = {
        f"pretraining, layer {k + 1}": problem.layer(config, net, count, change, k)
        for k in range(len(config.hidden) + 1)
        if config.pretrain == "layers" and isinstance(net, autoencoder.Dense)
    }
    first["pretraining"] = problem.pretraining(config, net, count, change)
    clustering = problem.clustering(config, net, count, change, most, sizes(config, most))
    rounds = -(-config.cluster_steps // config.interval)
    begin = partial(first_centres, config, net, units, most, choice)
    return Experiment(
        phases=(
            *(Phase(name, each, lambda step: data, config.steps) for name, each in first.items()),
            Phase("clustering", clustering, lambda step: data, rounds * config.interval, begin),
        ),
        names=tuple(f"seed {member.seed}" for member in members),
        keys=member_keys(members, fold=False),
        batch=config.batch,
        judge=partial(judge.judge, config, net, units, choice),
    )


def neighbours(config: ClusterConfig, x: Float[np.ndarray, "unit feature"]) -> Int[np.ndarray, "unit neighbour"]:
    """Return the numbers of the nearest units of each, or its own."""
    if not (config.contrast and config.neighbours):
        return np.arange(len(x), dtype=np.int32)[:, None]
    count = min(config.neighbours, len(x) - 1)
    found = NearestNeighbors(n_neighbors=count + 1).fit(x).kneighbors(x, return_distance=False)
    return np.asarray(found[:, 1:], np.int32)


def sizes(config: ClusterConfig, most: int) -> Float[Array, " cluster"] | None:
    """Return the shares of all units that the target presses clusters to, largest first; None: as they are found."""
    if config.sizes == "free":
        return None
    known = np.full(most, 1 / most) if isinstance(config.sizes, str) else np.sort(config.sizes)[::-1]
    return jnp.asarray(known / known.sum(), jnp.float32)


def first_centres(
    config: ClusterConfig,
    net: problem.Net,
    units: Units,
    most: int,
    choice: Choice,
    params: PyTree,
    state: PyTree,
) -> tuple[PyTree, PyTree]:
    """Return parameters and state of the clustering phase: centres on the pretrained code, and its scale."""
    codes = problem.encode(net, params["net"], units.x)
    clusters = choice.clusters(codes)
    partition = partitions.INITS[config.init]
    label = np.stack([partition(z, clusters, m.seed) for z, m in zip(codes, config.members, strict=True)])
    centre = np.stack([partitions.means(z, c, most) for z, c in zip(codes, label, strict=True)])
    distance = codes - np.take_along_axis(centre, label[:, :, None], axis=1)
    scale = np.sqrt(np.maximum((distance**2).sum(axis=2).mean(axis=1), 1e-12))
    members, count = label.shape
    new = problem.fresh_state(members, count, most, net.code)
    new |= {
        "alive": jnp.tile(jnp.arange(most)[None] < clusters, (members, 1)),
        "scale": jnp.asarray(scale, jnp.float32),
        "pretrained": jnp.asarray(codes),
    }
    return {"net": params["net"], "centre": jnp.asarray(centre / scale[:, None, None], jnp.float32)}, new


TASKS = {"cluster": Task(ClusterConfig, PRESETS, prepare, ClusterModel.restore, evaluate, predict, judge.table)}
