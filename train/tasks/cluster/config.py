"""Options of the cluster task."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from spiketype.datasets.options import WaveformOptions
from spiketype.edge import Json, UserError
from spiketype.models.options import ClusterLoss, Criterion
from spiketype.train.config import Member, TaskOptions, check_least, check_positive, check_seeds, check_share


@dataclass(frozen=True)
class ClusterConfig(WaveformOptions):
    """Cluster units by deep embedding, without labels; labels, if there are any, judge the result and nothing else."""

    task: Literal["cluster"] = "cluster"
    """Kinds of units, unnamed."""
    data: Annotated[Path | None, arg(metavar="PATH")] = None
    """Waveforms as of --task unit: .npz, Zarr, int16 streams, hc-3, EAP stores, templates; or digits, a benchmark."""
    clusters: int | None = None
    """Number of clusters; by default chosen without labels among 2 to --most, or 2 where there is no structure."""
    most: int = 12
    """Largest number of clusters to consider."""
    criterion: Criterion = "strength"
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
    steps: int | None = None
    """Steps of pretraining; layer by layer, of each layer and of the whole; by default 1500, or 500 passes if fewer."""
    batch: int = 256
    """Units in a step; as many as there are where those are fewer."""
    learning_rate: float = 1e-3
    """Adam's step size in pretraining."""
    init: Literal["kmeans", "gmm", "ward", "umap"] = "kmeans"
    """First centres: k-means, Gaussian mixture or Ward's hierarchy on the code, or UMAP of it and a mixture (N2D)."""
    loss: ClusterLoss = "idec"
    """Divergence from the target; plus the reconstruction; or that with a target made anew for every batch."""
    gamma: float = 0.1
    """Weight of the divergence beside the reconstruction."""
    sizes: tuple[float, ...] | Literal["equal", "free"] = "equal"
    """Sizes that the target presses clusters to: equal (published), as they are found, or shares that are known."""
    interval: int = 30
    """Steps between two targets."""
    cluster_steps: int = 1500
    """Steps of clustering, at most; rounded up to whole intervals."""
    tolerance: float = 1e-3
    """Share of units that change their cluster between two targets, below which a training has ended."""
    optimizer: Literal["sgd", "adam"] = "adam"
    """Of clustering: with momentum 0.9 (published of DEC), or Adam."""
    cluster_rate: float = 3e-4
    """Step size of clustering."""
    certain: float = 0.0
    """Share of the likeliest cluster below which a unit is called "no call"; 0: every unit is put into a cluster."""
    seed: int = 0
    """Seed of the first training."""
    seeds: int = 5
    """Number of trainings, with seeds from --seed on, all at once."""

    def __post_init__(self) -> None:
        check_least(self, most=2, code=1, neighbours=0, batch=2, interval=1, cluster_steps=1)
        if self.steps is not None:
            check_least(self, steps=1)
        check_least(self, shift=0, turn_deg=0, contrast=0, beta=0, gamma=0, tolerance=0)
        check_positive(self, "learning_rate", "cluster_rate")
        check_share(self, corruption=0, certain=0)
        check_seeds(self.seed, self.seeds)
        if not self.hidden or min(self.hidden) < 1:
            raise UserError(f"--hidden is {self.hidden}: give at least one width")
        if self.pretrain == "layers" and self.network != "dense":
            raise UserError(f"--pretrain layers is for --network dense, not {self.network}")
        if self.network == "conv" and self.histograms:
            raise UserError("--network conv sees waveforms alone: use --no-histograms, or --network dense")
        if not isinstance(self.sizes, str) and (self.clusters != len(self.sizes) or min(self.sizes) <= 0):
            raise UserError(f"--sizes is {self.sizes}: give a positive share for each of --clusters")

    @property
    def members(self) -> tuple[Member, ...]:
        """The trainings."""
        return tuple(Member(seed) for seed in range(self.seed, self.seed + self.seeds))


# DEC without what was added since: no neighbours in pretraining, no reconstruction in clustering, its optimizer.
PLAIN: Json = {"contrast": 0.0, "loss": "dec", "optimizer": "sgd", "cluster_rate": 0.01}
# Xie et al. 2016: the layers, denoised one by one, and the steps between two targets of its code.
PAPER: Json = PLAIN | {"hidden": (500, 500, 2000), "pretrain": "layers", "corruption": 0.2, "interval": 160}
PRESETS: dict[str, Json] = {"plain": PLAIN, "paper": PAPER | {"cluster_steps": 8000}}
OPTIONS = TaskOptions(ClusterConfig, PRESETS)
