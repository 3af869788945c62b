"""The number of clusters of a run: given, or chosen without labels."""

import numpy as np
from jaxtyping import Float

from spiketype.datasets.waveforms.matrix import Units
from spiketype.edge import Json, UserError
from spiketype.models import cluster_number
from spiketype.models.cluster_number import RULES, UNITS_PER_CLUSTER
from spiketype.models.options import Criterion
from spiketype.train.judging.intervals import Estimate, over_seeds
from spiketype.train.tasks.cluster.config import ClusterConfig

LEVEL = 0.05
ENDS: dict[Criterion, tuple[float, float]] = {"stability": (-1, 1), "strength": (0, 1), "generalisation": (0, np.inf)}


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
    """The number of clusters, chosen on the pretrained code when first asked for."""

    def __init__(self, config: ClusterConfig, units: Units, most: int) -> None:
        self.config, self.units, self.most = config, units, most
        self._found: Json | None = None

    def clusters(self, codes: Float[np.ndarray, "member unit code"]) -> int:
        """Return the number; where there is no structure it is still two, and `found` says so."""
        return self.config.clusters or int(self.found(codes)["chosen"])

    def found(self, codes: Float[np.ndarray, "member unit code"]) -> Json:
        """Return the number, the curves of all criteria on the first member's code, and the test for structure."""
        if self._found is None:
            tested = cluster_number.structure(self.units.x, self.most, self.config.seed)
            clusters, values = cluster_number.curves(codes[0], self.most, self.config.seed)
            curves: Json = {}
            for name, each in values.items():
                value, low, high = np.array(
                    [over_seeds(row).within(*ENDS.get(name, (-np.inf, np.inf))) for row in each]
                ).T
                rounded = Estimate(*np.round([value, low, high], 5)).to_json()
                chosen = cluster_number.choose(name, clusters, value, low)
                curves[name] = {"clusters": clusters.tolist(), **rounded, "rule": RULES[name], "chosen": chosen}
            there = tested.p <= LEVEL
            self._found = {
                "structure": {"excess_sd": tested.excess, "p": tested.p, "found": there},
                "curves": curves,
                "criterion": self.config.criterion,
                "chosen": curves[self.config.criterion]["chosen"] if there else 2,
            }
        return self._found
