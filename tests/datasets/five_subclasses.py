"""A small table of mouse cells, as the subclass task reads it: five classes that are apart in the first features."""

from pathlib import Path

import numpy as np
import pandas as pd

from spiketype.datasets.allen import database, table
from spiketype.datasets.allen.features import FEATURES, FEATURES_41


def folder(path: Path) -> Path:
    """Write the folder: 120 cells of 60 donors, some values missing."""
    path.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(5), 24)
    x = rng.normal(size=(len(y), 41))
    x[np.arange(len(y)), y] += 6
    x = [f.usual for f in FEATURES.values()] * (1 + x / 20)
    x[rng.random(x.shape) < 0.02] = np.nan
    ids = 1000 + np.arange(len(y))
    pd.DataFrame(x, columns=list(FEATURES_41)).assign(
        file_name=[f"{i}_1" for i in ids],
        transgenic_line=[table.CLASSES[k] for k in y],
        dendrite_type=np.where(y == 0, "spiny", "aspiny"),
    ).to_csv(path / "mouse_ephys_data.csv", index=False)
    donors = pd.DataFrame({"specimen__id": ids, "donor__id": 50 + np.arange(len(y)) // 2})
    donors.to_csv(path / database.DETAILS, index=False)
    return path
