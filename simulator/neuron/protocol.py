"""The published current-step protocol, and whether a current gives the wanted number of spikes."""

import enum
import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """Values of Buccino et al. (EMBC 2018) as in their code, which MEArec repeats."""

    celsius: float = 34.0
    v_init_mV: float = -70.0
    dt_ms: float = 2**-5
    delay_ms: float = 200.0
    duration_ms: float = 1000.0
    start_nA: float = 0.23
    """Where the search begins for a cell about which nothing is known."""
    increase: float = 1.25
    decrease: float = 0.75
    more_than: int = 10
    """Fewer spikes than one more than this are too few."""
    at_most: int = 30
    max_tries: int = 20
    """Runs before a cell model is given up; 20 steps of 1.25 are a factor of 87."""
    threshold_mV: float = -30.0
    """A spike is an upward crossing of this at the soma."""
    keep: int = 10
    skip: int = 1
    """Spikes left out at the beginning of the train: the first starts from rest, unlike all that follow."""
    before_ms: float = 2.0
    after_ms: float = 5.0
    """What is kept around each somatic peak; also the longest that a peak may follow the crossing."""

    @property
    def end_ms(self) -> float:
        """When the current step, and with it the simulation, ends."""
        return self.delay_ms + self.duration_ms

    @property
    def wanted(self) -> int:
        """How many spikes are cut out, the skipped ones included."""
        return self.skip + self.keep

    @property
    def cut_ms(self) -> float:
        """How long after its crossing of the threshold a spike can be cut out whole."""
        return 2 * self.after_ms


class Verdict(enum.Enum):
    """What a current step was judged to be."""

    TOO_WEAK = "too weak"
    TOO_STRONG = "too strong"
    ACCEPTED = "accepted"


# How many of the latest intervals between spikes must be long enough for a run to be accepted before its end.
_RECENT = 5


def judge(spike_ms: Sequence[float], now_ms: float, protocol: Protocol) -> Verdict | None:
    """Return the verdict on a run that has come to ``now_ms`` with spikes at ``spike_ms``; None: go on.

    A run ends early when what follows would not change the result: at the first spike too many; or when the
    spikes to keep are complete and even the shortest of the last five intervals, repeated to the end of the
    step, would not bring the count above ``at_most``. The second is a projection, not a proof: these cells
    adapt or fire regularly, so intervals do not shorten. For all 13 default models the full run was seen to
    give the same verdict and the same spikes.
    """
    count, wanted = len(spike_ms), protocol.wanted
    if count > protocol.at_most:
        return Verdict.TOO_STRONG
    enough = count > protocol.more_than and count >= wanted and now_ms >= spike_ms[wanted - 1] + protocol.cut_ms
    if now_ms >= protocol.end_ms:
        return Verdict.ACCEPTED if enough else Verdict.TOO_WEAK
    if not enough:
        return None
    recent = spike_ms[-_RECENT - 1 :]
    shortest_ms = min(after - before for before, after in itertools.pairwise(recent))
    return Verdict.ACCEPTED if count + (protocol.end_ms - now_ms) / shortest_ms <= protocol.at_most else None
