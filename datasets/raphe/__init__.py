"""Loose-seal recordings of raphe neurons: from files to single spikes, and the table of them."""

from spiketype.datasets.raphe.table import CLASSES, KIND, RapheTable, load, of_cells

__all__ = ["CLASSES", "KIND", "RapheTable", "load", "of_cells"]
