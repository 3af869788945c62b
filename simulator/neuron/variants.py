"""Biophysical variants of a cell model: how fast its channels are, and how its membrane and conductances differ.

The published cortical models are 2.2 to 2.8 times too slow: the median time from trough to peak of their
extracellular spikes is about 1.5 ms in excitatory cells and .8 to 1.5 ms in inhibitory ones, where it is .6 to .7
and .3 ms in labelled recordings (docs/results/eap.md). The prior here covers the recorded widths, and is the same
for all cells, so that it tells nothing of their type. It was chosen after recorded widths had been seen: results must
be shown to depend little on it, by another ``--variant-width``.
"""

import dataclasses
import hashlib
import math
from dataclasses import dataclass

from spiketype.edge import UserError

TRANSIENT_SODIUM = {"NaTs2_t": "gNaTs2_tbar", "NaTa_t": "gNaTa_tbar"}
FAST_POTASSIUM = {"SKv3_1": "gSKv3_1bar"}
_BYTES = 6  # of a hash, for a number between 0 and 1


@dataclass(frozen=True)
class Kinetics:
    """By how much each property of a published model is multiplied."""

    rates: float
    """Of the gates of all ion channels."""
    transient_sodium: float
    """Conductance of NaTs2_t and NaTa_t."""
    fast_potassium: float
    """Conductance of SKv3_1."""
    capacitance: float
    axial_resistance: float


PRIOR = {
    "rates": (1.5, 2.6),
    "transient_sodium": (1.5, 4.0),
    "fast_potassium": (1.0, 6.0),
    "capacitance": (0.5, 1.0),
    "axial_resistance": (0.7, 1.4),
}
"""Ranges of `Kinetics`, each uniform in the logarithm."""
assert [*PRIOR] == [field.name for field in dataclasses.fields(Kinetics)]


def draw(seed: int, name: str, variant: int, width: float = 1.0) -> Kinetics:
    """Return the kinetics of a variant: a function of the arguments alone, whatever else is drawn.

    Args:
        seed: of the store.
        name: of the cell model.
        variant: from 1 on.
        width: by which the logarithmic ranges of `PRIOR` are stretched about their centres; with 0, all are there.
    """
    if not (math.isfinite(width) and width >= 0):
        raise UserError(f"--variant-width is {width}: it must be at least 0")
    digest = hashlib.sha256(f"{seed} {variant} {name}".encode()).digest()
    drawn = {}
    for index, (property_, (low, high)) in enumerate(PRIOR.items()):
        uniform = int.from_bytes(digest[index * _BYTES : (index + 1) * _BYTES]) / 256**_BYTES
        centre, half = math.log(low * high) / 2, math.log(high / low) / 2
        drawn[property_] = math.exp(centre + width * half * (2 * uniform - 1))
    return Kinetics(**drawn)
