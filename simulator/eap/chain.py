"""What a recording chain is: filters, the spectrum of its noise, means of spikes. `recording` says what it does."""

from dataclasses import dataclass
from typing import Literal

from spiketype.edge import UserError

Phase = Literal["causal", "zero"]
Spectrum = Literal["white", "pink"]


@dataclass(frozen=True)
class Chain:
    """A recording chain; by default, none.

    Attributes:
        highpass_Hz, lowpass_Hz: corners of Butterworth filters; 0 is no filter.
        order: of each.
        phase: "causal" as an amplifier filters, "zero" as software filters forth and back, which doubles the order.
        noise: spectrum of the noise before the filters: "white", or "pink" (power 1/f, as of a brain).
        spikes: how many aligned spikes a waveform is the mean of.
        common_average: the mean over contacts is subtracted.
    """

    highpass_Hz: float = 0.0
    lowpass_Hz: float = 0.0
    order: int = 1
    phase: Phase = "causal"
    noise: Spectrum = "white"
    spikes: int = 1
    common_average: bool = False

    @property
    def filters(self) -> bool:
        """Whether there is any filter."""
        return bool(self.highpass_Hz or self.lowpass_Hz)


def check(chain: Chain) -> None:
    """Refuse a chain that cannot be at any rate.

    Raises:
        UserError: corners that are negative, not numbers, or crossed; an order outside 1 to 8; no spikes.
    """
    for flag, corner in _corners(chain).items():
        if not 0 <= corner < float("inf"):
            raise UserError(f"{flag} is {corner:g}: it must be at least 0")
    if chain.highpass_Hz and chain.lowpass_Hz and chain.highpass_Hz >= chain.lowpass_Hz:
        raise UserError(f"--highpass-hz {chain.highpass_Hz:g} is not below --lowpass-hz {chain.lowpass_Hz:g}")
    if not 1 <= chain.order <= 8:
        raise UserError(f"--filter-order is {chain.order}: it must be from 1 to 8")
    if chain.spikes < 1:
        raise UserError(f"--mean-of is {chain.spikes}: it must be at least 1")


def check_used(chain: Chain, noise_uV: float) -> None:
    """Refuse what changes neither the potential nor its noise, but would make features those of the recording.

    Raises:
        UserError: the kind of a filter without a corner; the kind of noise, or its mean, without noise.
    """
    without_filter = {"--filter-order": chain.order != Chain.order, "--filter-phase": chain.phase != Chain.phase}
    without_noise = {"--noise-spectrum": chain.noise != Chain.noise, "--mean-of": chain.spikes != Chain.spikes}
    if not chain.filters and (given := [flag for flag, changed in without_filter.items() if changed]):
        raise UserError(f"{given[0]} is of a filter, and there is none: give --highpass-hz or --lowpass-hz as well")
    if not noise_uV and (given := [flag for flag, changed in without_noise.items() if changed]):
        raise UserError(f"{given[0]} is of the noise, and there is none: give --noise-uv as well")


def check_rate(chain: Chain, rate_kHz: float) -> None:
    """Refuse corners that are not below half the sampling rate at which the filters run.

    Raises:
        UserError: it names the flag.
    """
    for flag, corner in _corners(chain).items():
        if corner >= 500 * rate_kHz:
            raise UserError(
                f"{flag} is {corner:g}: it must be below {500 * rate_kHz:g}, half of the {rate_kHz:g} kHz at which"
                " filters run"
            )


def _corners(chain: Chain) -> dict[str, float]:
    return {"--highpass-hz": chain.highpass_Hz, "--lowpass-hz": chain.lowpass_Hz}
