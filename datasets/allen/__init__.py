"""Whole-cell features of the Allen Cell Types Database: its own files, allensdk's cache, published tables."""
