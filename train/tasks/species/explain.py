"""What was learned: how far apart two species are in some features, and which features a network's calls rest on."""

from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import Float

from spiketype.datasets.allen.species import HUMAN, MOUSE, Part
from spiketype.datasets.allen.table import AllenTable
from spiketype.edge import Json
from spiketype.models import explain
from spiketype.train.task import in_pieces
from spiketype.train.tasks.species.config import METHODS
from spiketype.train.tasks.species.networks import PIECE, Networks, cells_of

FEWEST = 20  # cells of a species, of which it is asked whether they can be told from the other's
Views = Mapping[str, Float[np.ndarray, "cell ..."]]  # features of the same cells


def views_of(table: AllenTable, part: Part, networks: Networks) -> Views:
    """Return features of the training cells of the first part, before and after: measured, aligned, learned."""
    rows = np.concatenate([part.mouse, part.human])
    cells, domains = cells_of(table, rows), networks.domains[0]
    found = {
        "features": domains.mouse.apply(cells.x).astype(np.float64),
        "each species in its own scale": domains.apply(cells, domains.rate),
    }
    for method in networks.methods:
        found[f"learned by {METHODS[method].title}"] = networks.learned(networks.numbers(method, fold=0)[0], cells)
    return found


def separability(views: Views, cells: AllenTable, seed: int) -> Json:
    """Return `explain.separability` of the species for each view of cells.

    Nothing where a species has a single donor, which cannot be both held out and known, or few cells: where one of two
    is held out, the other fold has more of its kind, and an AUC over all folds falls below chance.
    """
    donors = [len(np.unique(cells.donor[cells.species == k])) for k in (MOUSE, HUMAN)]
    few = min(np.bincount(cells.species, minlength=2)) < FEWEST
    known = cells.species, cells.spiny, cells.donor, seed
    return {name: explain.separability(z, *known) for name, z in views.items()} if min(donors) > 1 and not few else {}


def shapley(
    table: AllenTable, part: Part, networks: Networks, seed: int
) -> tuple[Float[np.ndarray, "cell feature"], Float[np.ndarray, "cell feature"]] | None:
    """Return inputs of tested cells of the first part, and Shapley values of the last method's network.

    None without the library shap.
    """
    number = networks.numbers(networks.methods[-1], fold=0)[0]
    softmax = jax.jit(jax.nn.softmax)

    def spiny(z: np.ndarray) -> np.ndarray:
        return np.asarray(in_pieces(softmax, networks.apply(number, z)[0], PIECE)[:, 1], np.float64)

    z, background = (networks.inputs(number, cells_of(table, rows)) for rows in (part.test, part.mouse))
    found = explain.shapley(spiny, z, background, seed)
    return None if found is None else (z[found[0]], found[1])
