"""What a simulated store holds: the one source of defaults and of the help of its command line."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from spiketype.edge import UserError
from spiketype.simulator.eap.box import DEFAULT_BOX, Box
from spiketype.simulator.eap.chain import Chain, Phase, Spectrum, check, check_rate, check_used
from spiketype.simulator.neuron.cells import BBP
from spiketype.simulator.neuron.portal import AxonOption
from spiketype.simulator.neuron.protocol import Protocol

Rotation = Literal["norot", "xrot", "yrot", "zrot", "physrot", "3drot"]


@dataclass(frozen=True)
class EapConfig:
    """An EAP store: this and the program's versions determine every byte of it."""

    rotation: Rotation = "3drot"
    """How cells are turned: not, about one axis, physiologically, or Haar-uniformly."""
    per_cell: int = 1000
    """Accepted samples of each cell model."""
    seed: int = 0
    """Seed of all placements and noise."""
    probe: str = "mea10x10"
    """Name of a layout (mea10x10, neuropixels1, neuropixels2, tetrode, linear16, ...) or a probeinterface JSON file."""
    box: Box = DEFAULT_BOX
    """The box in which the soma is uniform (um)."""
    threshold_uV: Annotated[float, arg(name="threshold-uv")] = 30.0
    """Smallest peak-to-peak amplitude (uV) that the largest contact of an accepted sample has, before noise."""
    noise_uV: Annotated[float, arg(name="noise-uv")] = 0.0
    """Standard deviation (uV) of white noise added to every contact and time sample, before the features: at the 32 kHz
    of the simulation. A waveform that is kept at 8 kHz has half of it, 0.7 at its first sample, which is held beyond
    the window; with a recording chain all of it, at all samples."""
    waveform_kHz: Annotated[float, arg(name="waveform-khz")] = 8.0
    """Sampling rate (kHz) of the waveforms kept in the store; 0 keeps features only."""
    highpass_Hz: Annotated[float, arg(name="highpass-hz")] = Chain.highpass_Hz
    """Corner (Hz) of a Butterworth high-pass of the recording; 0: none. With any option of the recording, features are
    those of the recorded waveform, at its sampling rate."""
    lowpass_Hz: Annotated[float, arg(name="lowpass-hz")] = Chain.lowpass_Hz
    """Corner (Hz) of a Butterworth low-pass of the recording; 0: none."""
    filter_order: int = Chain.order
    """Order of each filter. Filters run at the 32 kHz of the simulation, before the change of rate."""
    filter_phase: Phase = Chain.phase
    """Filter as an amplifier does, or forth and back, which moves no peak and doubles the order."""
    noise_spectrum: Spectrum = Chain.noise
    """Spectrum of the noise before the filters: flat, or 1/f; its standard deviation is that after them."""
    mean_of: int = Chain.spikes
    """Aligned spikes that a waveform is the mean of: noise is smaller by the root of it."""
    common_average: bool = Chain.common_average
    """Subtract the mean over the contacts."""
    dtype: Literal["float32", "float16"] = "float32"
    """Number format of the waveforms in the store; features are float32."""
    source: Literal["line", "point"] = "line"
    """Current source of a segment: spread along its axis, or in its middle."""
    sigma_S_per_m: Annotated[float, arg(name="sigma-s-per-m")] = 0.3
    """Conductivity (S/m) of the homogeneous medium."""
    contact_points: int = 1
    """Points over which the potential of a contact is averaged; 1 is its centre."""
    error_uV: Annotated[float, arg(name="error-uv")] = 1e-3
    """Largest error (uV) allowed to the low-rank form of the currents."""
    cell_models: tuple[str, ...] = (BBP,)
    """Cell models: bbp (the 13 of layer 5 in the MEArec package), folders of the same layout, and folders or zip
    archives of NetPyNE files (NAME_cellParams.json)."""
    exclude: tuple[str, ...] = ()
    """Cell models to leave out: names, or patterns such as '*_cSTUT*'."""
    axon: AxonOption = "as-given"
    """Axons of models in the portal's layout: stubs of 60 um, those of the morphologies, or as their files say. NetPyNE
    files keep theirs."""
    variants: int = 0
    """Biophysical variants of each cell model, in its place; 0: the models as published."""
    variant_width: float = 1.0
    """Stretches the (logarithmic) ranges from which variants are drawn; 0: all are at the centre."""

    def __post_init__(self) -> None:
        least = {"per_cell": 1, "contact_points": 1, "threshold_uV": 0, "noise_uV": 0, "waveform_kHz": 0}
        least |= {"variants": 0, "variant_width": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= low):
                raise UserError(f"{_flag(name)} is {value}: it must be at least {low}")
        for name in ("sigma_S_per_m", "error_uV"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"{_flag(name)} is {value}: it must be positive")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed is {self.seed}: it must be from 0 to 2**32 - 1")
        check(self.chain)
        check_used(self.chain, self.noise_uV)
        check_rate(self.chain, 1 / Protocol.dt_ms)
        window_ms = Protocol.before_ms + Protocol.after_ms
        if 0 < self.waveform_kHz * window_ms <= 1:
            raise UserError(
                f"--waveform-khz is {self.waveform_kHz:g}: it must be more than {1 / window_ms:.3g}, for two samples of"
                f" the {window_ms:g} ms of a spike, or 0 to keep features only"
            )

    @property
    def chain(self) -> Chain:
        """The recording chain."""
        filters = self.highpass_Hz, self.lowpass_Hz, self.filter_order, self.filter_phase
        return Chain(*filters, self.noise_spectrum, self.mean_of, self.common_average)


def _flag(name: str) -> str:
    return "--" + name.lower().replace("_", "-")
