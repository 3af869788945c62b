"""A few cells as the Allen Cell Types Database describes them, with features near the usual ones."""

import numpy as np
import pandas as pd

from spiketype.datasets.allen.features import DATABASE

LINES = (
    ("Rorb-IRES2-Cre", "spiny", "Glutamatergic"),
    ("Pvalb-IRES-Cre", "aspiny", "Pvalb+"),
    ("Sst-IRES-Cre", "aspiny", "Sst+"),
    ("Htr3a-Cre_NO152", "aspiny", "Htr3a+|Vip-"),
    ("Vip-IRES-Cre", "aspiny", "Vip+"),
    ("Vip-IRES-Cre", "spiny", None),
    ("Sst-IRES-Cre", "sparsely spiny", None),
    ("Newly-Made-Cre", "spiny", None),
    (None, "spiny", ""),
    (None, "aspiny", ""),
)
OTHERS = (  # what allensdk reads besides
    *("cell_reporter_status", "csl__x", "csl__y", "csl__z", "csl__normalized_depth", "specimen__name"),
    *("specimen__hemisphere", "structure_parent__id", "structure_parent__acronym", "tag__apical"),
    *("nr__reconstruction_type", "donor__disease_state"),
)
CLASSES = [name for _, _, name in LINES if name is not None]  # of the cells that are kept; human ones have none


def details():
    """One cell a line: donors, layers, dendrites; the last two are human."""
    human = [name == "" for _, _, name in LINES]
    return pd.DataFrame(
        {
            "specimen__id": 700000 + np.arange(len(LINES)),
            "donor__id": 800000 + np.arange(len(LINES)) // 2,
            "line_name": [line for line, _, _ in LINES],
            "tag__dendrite_type": [dendrite for _, dendrite, _ in LINES],
            "structure__layer": "5",
            "donor__species": np.where(human, "Homo Sapiens", "Mus musculus"),
            **dict.fromkeys(OTHERS),
        }
    )


def features(seed=0):
    """The 27 features of the same cells, and the times that tell the sampling rate: 200 kHz for the first."""
    usual = np.array([feature.usual for feature in DATABASE.values()])
    x = usual * np.random.default_rng(seed).uniform(0.8, 1.25, (len(LINES), len(usual)))
    table = pd.DataFrame(x, columns=list(DATABASE))
    table["latency"] = 0.04
    table["peak_t_long_square"] = np.where(np.arange(len(LINES)) == 0, 1.060005, 1.06)
    return table.assign(specimen_id=details()["specimen__id"])
