"""The trained networks of a run of the species task, in use."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from spiketype.models.dann import DANN
from spiketype.train.tasks.species.cells import Domains
from spiketype.train.tasks.species.networks import Member


class Trained(NamedTuple):
    """The network, what a run keeps about its members, and their variables, with a leading member axis."""

    net: DANN
    about: Mapping[str, Any]
    variables: Any

    @property
    def members(self) -> list[Member]:
        """In the order of the variables."""
        return [Member(**m) for m in self.about["members"]]

    def number(self, part: int, method: str) -> int:
        """Of the first member of a part with that method."""
        return next(k for k, m in enumerate(self.members) if (m.part, m.method) == (part, method))

    def inputs(self, number: int, x: np.ndarray, species: np.ndarray) -> np.ndarray:
        """What a member sees of cells x (cell, feature) of species (cell,): its class frequencies give the scale."""
        domains = Domains.from_json(self.about["domains"][self.members[number].part])
        return domains.apply(x, species, np.array(self.about["priors"][number])).astype(np.float32)

    def apply(self, number: int, z: Any) -> tuple[jax.Array, jax.Array]:
        """Probabilities (cell, class) and learned features (cell, hidden) of inputs z (cell, feature)."""
        own = self._own(number)
        said: Any = self.net.apply({name: own[name] for name in ("params", "batch_stats")}, z)
        return jax.nn.softmax(said[0]), said[2]

    def say(self, number: int, x: np.ndarray, species: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`apply` to cells as measured, with NaN; float64."""
        said, learned = self.apply(number, self.inputs(number, x, species))
        return np.asarray(said, np.float64), np.asarray(learned, np.float64)

    def _own(self, number: int) -> Any:
        return jax.tree.map(lambda a: a[number], self.variables)
