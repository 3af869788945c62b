"""What command lines may say of data: words, and options that several tasks have; loading them loads no reader."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

EapFeatures = Literal["aw", "fw", "afw", "waveform"]
MouseSplit = Literal["donor", "cell", "published", "era", "line"]
SpeciesLabels = Literal["mouse-to-human", "mouse", "both"]
UnitSplit = Literal["animal", "unit", "spike"]
Normalise = Literal["amplitude", "zscore", "none"]
CallFormat = Literal["nwb", "cellexplorer", "analyzer"]  # into which calls of units are written


@dataclass(frozen=True)
class WaveformOptions:
    """What a model sees of waveforms: the options that all tasks on units have."""

    data: Annotated[Path | None, arg(metavar="PATH")] = None
    """Waveforms: .npz, Zarr, int16 streams, hc-3 sessions, EAP stores, templates of a phy or SpikeInterface folder."""
    label: str | None = None
    """Column of the classes; by default the source's own, if it has one."""
    rate_kHz: Annotated[float | None, arg(name="rate-khz")] = None
    """Sampling rate of the data, if they do not say it."""
    flip: bool = False
    """The waveforms are stored upside down: multiply them by -1."""
    inputs: Literal["samples", "shape"] = "samples"
    """The samples as recorded; or the shape that `spiketype units` sees: the largest channel around its trough, between
    the samples, with its widths, at any sampling rate."""
    channels: Literal["all", "largest"] = "all"
    """Channels to see: all, or the one with the largest amplitude."""
    window_ms: tuple[float, float] | None = None
    """Time to see before and after the trough; by default waveforms are taken as they are."""
    normalise: Normalise = "amplitude"
    """Divide by the largest channel's amplitude, standardise each waveform, or neither."""
    histograms: bool = False
    """See the histograms of intervals and the autocorrelogram, too, where the data have them."""
