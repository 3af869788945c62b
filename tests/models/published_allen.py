"""The tables of Ophir et al. 2024 and their splits, for the tests that their published weights must pass."""

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from tests import shared_data

CLASSES = ["Glutamatergic", "Htr3a+|Vip-", "Pvalb+", "Sst+", "Vip+"]
REST = ("transgenic_line", "neurotransmitter", "reporter_status", "dendrite_type", "layer", "file_name")


def read(species):
    table = pd.read_csv(shared_data.path("allen", f"{species}_ephys_data.csv"))
    x = table.drop(columns=[name for name in REST if name in table]).to_numpy(float)
    return x, table


def weights(name):
    return dict(np.load(shared_data.path("allen", f"{name}_weights.npz")))


def subclass():
    """Complete mouse rows (1382, 41), their class, and the rows of training, validation and test."""
    x, table = read("mouse")
    whole = np.isfinite(x).all(axis=1)
    y = table["transgenic_line"].map(CLASSES.index).to_numpy()[whole]
    outer, test = train_test_split(np.arange(whole.sum()), train_size=0.8, random_state=1)
    train, validation = train_test_split(outer, train_size=0.8, random_state=1)
    return x[whole], y, train, validation, test


def species():
    """Per species (row, 41) and 1 for spiny, complete rows of the last 20 % in file order and of those before."""
    found = {}
    for name in ("mouse", "human"):
        x, table = read(name)
        spiny = (table["dendrite_type"] == "spiny").to_numpy(int)
        first = int(0.8 * len(x))
        parts = []
        for rows in (np.arange(first), np.arange(first, len(x))):
            rows = rows[np.isfinite(x[rows]).all(axis=1)]
            parts.append((x[rows], spiny[rows]))
        found[name] = parts
    return found
