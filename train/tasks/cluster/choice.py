"""The number of clusters of a run: given, or chosen on the pretrained code."""

from typing import Any

import numpy as np

from spiketype.train.tasks.cluster import number as number_of_clusters
from spiketype.train.tasks.cluster.data import Units
from spiketype.train.tasks.cluster.number import LEVEL, RULES, Structure


class Choice:
    """What chooses, and what it found: a pure function of the code, computed when first asked for."""

    def __init__(self, config: Any, units: Units, seeds: np.ndarray, most: int) -> None:
        """`seeds` of the members: the first one's code and seed are used."""
        self.config, self.units, self.seed, self.most = config, units, int(seeds[0]), most
        self._found: dict[str, Any] | None = None

    def clusters(self, codes: np.ndarray) -> int:
        """The number for codes (member, unit, code); where there is no structure, still two, and `found` says so."""
        if self.config.clusters:
            return self.config.clusters
        return self.found(codes)["chosen"]

    def found(self, codes: np.ndarray) -> dict[str, Any]:
        """Curves of all criteria, the test for structure in the inputs, and the number, as JSON."""
        if self._found is None:
            structure: Structure = number_of_clusters.structure(self.units.x, self.most, self.seed)
            curves = number_of_clusters.curves(codes[0], self.most, self.seed)
            any_structure = structure.p <= LEVEL
            name = self.config.criterion
            self._found = {
                "structure": {"excess_sd": structure.excess, "p": structure.p, "found": any_structure},
                "curves": number_of_clusters.to_json(curves),
                "criterion": name,
                "chosen": RULES[name](curves[name]) if any_structure else 2,
            }
        return self._found
