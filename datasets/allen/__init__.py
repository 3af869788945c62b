"""Whole-cell features of the Allen Cell Types Database: its own files, allensdk's cache, published tables."""

from spiketype.datasets.allen.columns import check_units, read_features
from spiketype.datasets.allen.database import DETAILS
from spiketype.datasets.allen.features import FEATURES, FEATURES_41
from spiketype.datasets.allen.table import CLASSES, SPECIES, AllenTable, find, load

__all__ = [
    "CLASSES",
    "DETAILS",
    "FEATURES",
    "FEATURES_41",
    "SPECIES",
    "AllenTable",
    "check_units",
    "find",
    "load",
    "read_features",
]
