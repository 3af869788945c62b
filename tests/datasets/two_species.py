"""Small tables of mouse and human cells, as the database's users keep them."""

import numpy as np
import pandas as pd

from spiketype.datasets.allen import database as allen_database
from spiketype.datasets.allen import features as allen_features

SIZES = {"mouse": (80, 80), "human": (15, 45)}  # aspiny, spiny


def frame(name, rng, first):
    """Cells of two classes apart in two features; human features are moved and stretched."""
    y = np.repeat([0, 1], SIZES[name])
    x = rng.normal(size=(len(y), 41))
    x[:, :2] += 4.0 * y[:, None]
    x = 1.5 * x + 2 if name == "human" else x
    usual = np.array([f.usual for f in map(allen_features.FEATURES.get, allen_features.FEATURES_41)])
    table = pd.DataFrame(usual * (0.1 * x + 1), columns=list(allen_features.FEATURES_41))
    return table.assign(
        file_name=[f"{first + k}_1" for k in range(len(y))],
        dendrite_type=np.where(y, "spiny", "aspiny"),
        **({"transgenic_line": np.where(y, "Glutamatergic", "Sst+")} if name == "mouse" else {}),
    )


def write(folder, tables, cells_of_donor=2):
    """The tables and the donors of their cells."""
    folder.mkdir(exist_ok=True)
    ids = [int(name.split("_")[0]) for table in tables.values() for name in table["file_name"]]
    for name, table in tables.items():
        table.to_csv(folder / f"{name}_ephys_data.csv", index=False)
    about = {
        "specimen__id": ids,
        "donor__id": [k // cells_of_donor for k in ids],
        "line_name": "",
        "structure__layer": "3",
    }
    pd.DataFrame(about | {"tag__dendrite_type": "spiny"}).to_csv(folder / allen_database.DETAILS, index=False)
    return folder


def tables():
    """The tables of both species."""
    rng = np.random.default_rng(0)
    return {name: frame(name, rng, first) for name, first in (("mouse", 1000), ("human", 5000))}


def folder(path):
    """Their folder, with some values missing."""
    both = tables()
    both["mouse"].iloc[::9, 2] = np.nan
    return write(path, both)
