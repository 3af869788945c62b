"""Waveforms of sorted units, whatever program wrote them: one table, one reader a format."""

from spiketype.datasets.waveforms.read import load
from spiketype.datasets.waveforms.table import WaveformTable

__all__ = ["WaveformTable", "load"]
