"""What the species task is compared with on the same parts, hyperparameters by inner folds of the training part.

Models of the training cells in the scale of these cells (raw transfer where they are mouse and the tested are human),
and support vectors after each species has been standardised by itself, which is what most would do.
"""

from collections.abc import Sequence

import numpy as np

from spiketype.datasets.allen.table import AllenTable
from spiketype.datasets.splits import Fold
from spiketype.train.judging import nested as allen_baselines
from spiketype.train.judging.nested import SVC_NAME
from spiketype.train.judging.scale import Scale
from spiketype.train.tasks.species.cells import (
    CLASSES,
    HUMAN,
    Domains,
    Part,
)

OWN_SCALE = "SVC, each species in its own scale"


def trained_rows(part: Part) -> np.ndarray:
    """The cells whose labels a part trains on."""
    return np.concatenate([part.mouse, part.human]) if part.labelled else part.mouse


def out_of_fold(
    table: AllenTable, parts: Sequence[Part], per_repeat: int, names: Sequence[str], seed: int
) -> dict[str, np.ndarray]:
    """Probabilities (repeat, cell, class) of models of those names, the commonest class and, for human, `OWN_SCALE`."""
    folds = [Fold(trained_rows(part), part.test, part.name) for part in parts]
    scales = [Scale.of(table.x[fold.train]) for fold in folds]
    usable = [name for name in allen_baselines.available() if name in names]
    y, donor = table.spiny, table.donor
    found = allen_baselines.out_of_fold(table.x, y, donor, len(CLASSES), folds, scales, per_repeat, seed, usable)
    if SVC_NAME in usable and (table.species[parts[0].test] == HUMAN).any():  # in mouse alone it would be the same
        found[OWN_SCALE] = np.zeros_like(found[SVC_NAME])
        for number, (part, fold) in enumerate(zip(parts, folds, strict=True)):
            domains = Domains.of(table, part)
            z = domains.apply(table.x, table.species, domains.rate)
            train = (z[fold.train], y[fold.train], donor[fold.train])
            said = allen_baselines.probability(SVC_NAME, *train, z[fold.test], len(CLASSES), seed)
            found[OWN_SCALE][number // per_repeat, fold.test] = said
    return found
