"""The cluster task: kinds of units without labels, by deep embedded clustering. Its options, data and phases."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.neighbors import NearestNeighbors
from tyro.conf import arg

from spiketype.datasets.waveforms.inputs import Normalise
from spiketype.edge import UserError
from spiketype.models import autoencoder
from spiketype.train.task import Experiment, Phase, Task
from spiketype.train.tasks.cluster import data as cluster_data
from spiketype.train.tasks.cluster import judge as cluster_judge
from spiketype.train.tasks.cluster import partitions
from spiketype.train.tasks.cluster import problem as cluster_problem
from spiketype.train.tasks.cluster.assign import assign
from spiketype.train.tasks.cluster.choice import Choice
from spiketype.train.tasks.cluster.data import Units
from spiketype.train.tasks.cluster.report import cluster_table


@dataclass(frozen=True)
class ClusterConfig:
    """Cluster units by deep embedding, without labels; labels, if there are any, judge the result and nothing else."""

    task: Literal["cluster"] = "cluster"
    """Kinds of units, unnamed."""
    data: Annotated[Path | None, arg(metavar="PATH")] = None
    """Waveforms as of --task unit: .npz, Zarr, int16 streams, hc-3, EAP stores, templates; or digits, a benchmark."""
    label: str | None = None
    """Column of classes for the judgement; by default the source's own, if it has one."""
    rate_kHz: Annotated[float | None, arg(name="rate-khz")] = None
    """Sampling rate of the data, if they do not say it."""
    channels: Literal["all", "largest"] = "all"
    """Channels to see: all, or the one with the largest amplitude."""
    window_ms: tuple[float, float] | None = None
    """Time to see before and after the trough; by default waveforms are taken as they are."""
    normalise: Normalise = "amplitude"
    """Divide by the largest channel's amplitude, standardise each waveform, or neither."""
    histograms: bool = False
    """See the histograms of intervals and the autocorrelogram, too, where the data have them."""
    clusters: int | None = None
    """Number of clusters; by default chosen without labels among 2 to --most, or none if there is no structure."""
    most: int = 12
    """Largest number of clusters to consider."""
    criterion: Literal["strength", "stability", "generalisation", "bic"] = "strength"
    """What chooses it: prediction strength, stability under resampling, DEC's ratio of losses, a mixture's BIC."""
    network: Literal["dense", "conv", "vae"] = "dense"
    """Autoencoder: dense, convolutional over channels x time, or variational."""
    hidden: tuple[int, ...] = (128, 128, 512)
    """Widths of the encoder (published: 500 500 2000); of a convolutional one, features of each layer."""
    code: int = 10
    """Numbers in the code, which is what is clustered."""
    pretrain: Literal["whole", "layers"] = "whole"
    """Train the autoencoder end to end, or before that layer by layer."""
    corruption: float = 0.0
    """Share of inputs that are set to zero where the autoencoder reads (published, layer by layer: 0.2)."""
    contrast: float = 1.0
    """Weight of drawing the codes of neighbours together and those of others apart, in pretraining; 0: none."""
    neighbours: int = 15
    """Nearest units that count as neighbours; 0: a unit's own changed copy alone."""
    augment: Literal["none", "time", "image"] = "none"
    """Change training inputs: move waveforms in time; or move and turn images."""
    shift: float = 0.5
    """Largest move of --augment, in samples or pixels."""
    turn_deg: float = 10.0
    """Largest turn of --augment image."""
    beta: float = 1.0
    """Weight of a variational code's divergence."""
    steps: int = 1500
    """Steps of pretraining; layer by layer, of each layer and of the whole. Rounded up to intervals."""
    batch: int = 256
    """Units in a step."""
    learning_rate: float = 1e-3
    """Adam's step size in pretraining."""
    init: Literal["kmeans", "gmm", "ward", "umap"] = "kmeans"
    """First centres: k-means, Gaussian mixture or Ward's hierarchy on the code, or UMAP of it and a mixture (N2D)."""
    loss: Literal["dec", "idec", "joint"] = "idec"
    """Divergence from the target; plus the reconstruction; or that with a target made anew for every batch."""
    gamma: float = 0.1
    """Weight of the divergence beside the reconstruction."""
    sizes: tuple[float, ...] | Literal["equal", "free"] = "equal"
    """Sizes that the target presses clusters to: equal (published), as they are found, or shares that are known."""
    interval: int = 30
    """Steps between two targets."""
    cluster_steps: int = 1500
    """Steps of clustering, at most."""
    tolerance: float = 1e-3
    """Share of units that change their cluster between two targets, below which a training has ended."""
    optimizer: Literal["sgd", "adam"] = "adam"
    """Of clustering: with momentum 0.9 (published of DEC), or Adam."""
    cluster_rate: float = 3e-4
    """Step size of clustering."""
    seed: int = 0
    """Seed of the first training."""
    seeds: int = 5
    """Number of trainings, with seeds from --seed on, all at once."""

    def __post_init__(self) -> None:
        least_of = {"most": 2, "code": 1, "neighbours": 0, "steps": 1, "batch": 2, "interval": 1, "cluster_steps": 1}
        least_of |= {"seed": 0, "seeds": 1, "shift": 0, "turn_deg": 0, "contrast": 0, "beta": 0, "gamma": 0}
        for name, least in {**least_of, "tolerance": 0}.items():
            if not getattr(self, name) >= least:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}: it must be at least {least}")
        for name in ("learning_rate", "cluster_rate"):
            if not getattr(self, name) > 0:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}: it must be positive")
        if not 0 <= self.corruption < 1:
            raise UserError(f"--corruption is {self.corruption}: it must be at least 0 and below 1")
        if not self.hidden or min(self.hidden) < 1:
            raise UserError(f"--hidden is {self.hidden}: give at least one width")
        if self.pretrain == "layers" and self.network != "dense":
            raise UserError(f"--pretrain layers is for --network dense, not {self.network}")
        if self.network == "conv" and self.histograms:
            raise UserError("--network conv sees waveforms alone: use --no-histograms, or --network dense")
        if not isinstance(self.sizes, str) and (self.clusters != len(self.sizes) or min(self.sizes) <= 0):
            raise UserError(f"--sizes is {self.sizes}: give a positive share for each of --clusters")


# DEC without what was added since: no neighbours in pretraining, no reconstruction in clustering, its optimizer.
PLAIN = {"contrast": 0.0, "loss": "dec", "optimizer": "sgd", "cluster_rate": 0.01}
# Xie et al. 2016: the layers, denoised one by one, and the steps between two targets of its code.
PAPER = PLAIN | {"hidden": (500, 500, 2000), "pretrain": "layers", "corruption": 0.2, "interval": 160}
PRESETS = {"plain": PLAIN, "paper": PAPER | {"cluster_steps": 8000}}


def network(config: ClusterConfig, size: int, shape: tuple[int, int]) -> autoencoder.Dense | autoencoder.Conv:
    """The autoencoder of every member."""
    return autoencoder.make(config.network, size, shape, config.code, config.hidden)


def neighbours(config: ClusterConfig, x: np.ndarray) -> np.ndarray:
    """Numbers (unit, neighbour) of the nearest units of each, or of itself."""
    if not (config.contrast and config.neighbours):
        return np.arange(len(x), dtype=np.int32)[:, None]
    count = min(config.neighbours, len(x) - 1)
    found = NearestNeighbors(n_neighbors=count + 1).fit(x).kneighbors(x, return_distance=False)
    return found[:, 1:].astype(np.int32)


def prepare(config: ClusterConfig) -> Experiment:
    """Load the units and set up a member for every seed: pretraining, then clustering."""
    if config.data is None:
        raise UserError("--data is missing: give a file or folder of waveforms, or digits")
    units = cluster_data.read(config, config.data)
    most = config.clusters or min(config.most, len(units.x) - 1)
    cluster_data.check_clusters(units, [most])
    net = network(config, units.x.shape[1], units.shape)
    change = cluster_problem.changes(config, units.shape)
    seeds = np.arange(config.seed, config.seed + config.seeds, dtype=np.uint32)
    nothing = jnp.zeros((len(seeds), 1))
    shared = (jnp.asarray(units.x), jnp.asarray(neighbours(config, units.x)))
    data = (shared, nothing)
    choice = Choice(config, units, seeds, most)
    about = {
        "shape": list(units.shape),
        "sd": list(units.sd),
        "rate_kHz": None if np.isnan(units.rate_kHz) else units.rate_kHz,
        "seeds": seeds.tolist(),
        "classes": list(units.class_names),
    }
    whole = cluster_problem.pretraining(config, net, len(units.x), change)
    layers = [
        cluster_problem.layer(config, net, len(units.x), change, k)
        for k in range(len(config.hidden) + 1)
        if config.pretrain == "layers" and isinstance(net, autoencoder.Dense)
    ]
    first, *others = [*layers, whole]
    more = [Phase("pretraining", other, lambda step: data, config.steps, lambda p, s: (p, s)) for other in others]
    clustering = cluster_problem.clustering(config, net, len(units.x), change, most, _share(config, most))
    begin = partial(first_centres, config, net, units, seeds, most, choice)
    rounds = -(-config.cluster_steps // config.interval)
    more.append(Phase("clustering", clustering, lambda step: data, rounds * config.interval, begin))
    return Experiment(
        problem=first,
        names=tuple(f"seed {s}" for s in seeds),
        keys=jnp.stack([jax.random.key(s) for s in seeds]),
        data=lambda step: data,
        batch=config.batch,
        about=about,
        judge=partial(cluster_judge.judge, config, net, units, choice, about),
        more=tuple(more),
    )


def _share(config: ClusterConfig, most: int) -> jax.Array | None:
    if config.sizes == "free":
        return None
    known = np.full(most, 1 / most) if isinstance(config.sizes, str) else np.sort(config.sizes)[::-1]
    return jnp.asarray(known / known.sum(), jnp.float32)


def first_centres(
    config: ClusterConfig,
    net: Any,
    units: Units,
    seeds: np.ndarray,
    most: int,
    choice: Choice,
    params: Any,
    state: Any,
) -> tuple[Any, Any]:
    """Parameters and state of the clustering phase: centres on the pretrained code, and its scale."""
    codes = cluster_problem.encode(net, params["net"], units.x)
    clusters = choice.clusters(codes)
    label = np.stack([_initial(config, z, clusters, int(s)) for z, s in zip(codes, seeds, strict=True)])
    centre = np.stack([partitions.means(z, c, most) for z, c in zip(codes, label, strict=True)])
    distance = codes - np.take_along_axis(centre, label[:, :, None], axis=1)
    scale = np.sqrt(np.maximum((distance**2).sum(axis=2).mean(axis=1), 1e-12))
    members, count = label.shape
    new = cluster_problem.fresh_state(members, count, most, net.code)
    new |= {
        "alive": jnp.tile(jnp.arange(most)[None] < clusters, (members, 1)),
        "scale": jnp.asarray(scale, jnp.float32),
        "pretrained": jnp.asarray(codes),
    }
    return {"net": params["net"], "centre": jnp.asarray(centre / scale[:, None, None], jnp.float32)}, new


def _initial(config: ClusterConfig, z: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    found = partitions.umap_gmm if config.init == "umap" else partitions.INITS[config.init]
    return found(z, clusters, seed)


def evaluate(config: ClusterConfig, about: dict[str, Any], variables: Any, data: Path, folder: Path) -> Any:
    """Refused: what judges a clustering are the units that it is of."""
    raise UserError("a cluster run is judged when it is trained: see summary.json, or use train.predict")


def predict(config: ClusterConfig, about: dict[str, Any], variables: Any, data: Path) -> dict[str, Any]:
    """Cluster, confidence and an outlier flag for every unit of a table."""
    units = cluster_data.read(config, data, about)
    return assign(config, about, network(config, units.x.shape[1], units.shape), variables, units)


TASKS = {"cluster": Task(ClusterConfig, PRESETS, prepare, evaluate, predict, cluster_table)}
