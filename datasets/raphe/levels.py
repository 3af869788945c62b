"""First look at a recording: its baseline, noise and extremes second by second, and which way its spikes point."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from spiketype.datasets.raphe.options import Polarity
from spiketype.datasets.raphe.recordings import Recording
from spiketype.edge import UserError

PIECE_SAMPLES = 1_000_000  # read at once
BIN_S, MEDIAN_SAMPLES = 1.0, 5_000  # a baseline a second, from so many samples of it
DOUBTFUL = (1 / 3, 2 / 3)  # share of the seconds that say negative
MAX_CURRENT_PA = 1e5  # no patch-clamp amplifier gives more: the unit is mistaken


@dataclass(frozen=True)
class Levels:
    """Measures of each second ("bin") of a recording.

    Attributes:
        edge: first and end sample.
        segment: of the recording.
        baseline, sigma: median and scaled median absolute deviation, pA.
        low, high: how far the extremes lie below and above the baseline, pA.
        missing: samples that are NaN or infinite.
    """

    edge: Int[np.ndarray, "bin 2"]
    segment: Int[np.ndarray, " bin"]
    baseline: Float[np.ndarray, " bin"]
    sigma: Float[np.ndarray, " bin"]
    low: Float[np.ndarray, " bin"]
    high: Float[np.ndarray, " bin"]
    missing: int

    @property
    def ends_pA(self) -> tuple[float, float]:
        """Return the smallest and the largest current, exactly as the file has them."""
        return float((self.baseline - self.low).min()), float((self.baseline + self.high).max())

    def at(self, sample: Int[np.ndarray, " sample"], segment: int) -> Float[np.ndarray, " sample"]:
        """Return the baseline at samples of a segment, on straight lines between the middles of its bins."""
        mine = self.segment == segment
        if not mine.any():  # NaN throughout
            return np.zeros(len(sample))
        found: np.ndarray = np.interp(sample, self.edge[mine].mean(axis=1), self.baseline[mine])
        return found


def measure(recording: Recording, advance: Callable[[float], None]) -> Levels:
    """Measure a recording piece by piece.

    Args:
        recording: the current.
        advance: told half the seconds that are done: the second half is for finding spikes.

    Raises:
        UserError: all samples are NaN, or currents are larger than any amplifier gives.
    """
    edges, of, rows, missing = [], [], [], 0
    for number, (start, stop) in enumerate(recording.segments):
        count = max(1, round((stop - start) / (BIN_S * recording.rate_Hz)))
        cuts = np.linspace(start, stop, count + 1).astype(np.int64)
        per_piece = max(1, int(PIECE_SAMPLES / (BIN_S * recording.rate_Hz)))
        for first in range(0, count, per_piece):
            last = min(first + per_piece, count)
            piece = recording.read(int(cuts[first]), int(cuts[last]))
            finite = np.isfinite(piece)
            missing += int((~finite).sum())
            for b in range(first, last):
                part = slice(int(cuts[b] - cuts[first]), int(cuts[b + 1] - cuts[first]))
                values = piece[part][finite[part]]
                if len(values):
                    edges.append((cuts[b], cuts[b + 1]))
                    of.append(number)
                    rows.append(_level(values))
            advance(0.5 * len(piece) / recording.rate_Hz)
    if not rows:
        raise UserError(f"{recording.path}: all samples are NaN or infinite")
    table = np.array(rows)
    if np.abs(table).max() > MAX_CURRENT_PA:
        raise UserError(
            f"{recording.path}: currents up to {np.abs(table).max():.3g} pA, which no amplifier gives: "
            "the unit is mistaken; give --units"
        )
    baseline, sigma, low, high = table.T
    return Levels(np.array(edges), np.array(of), baseline, sigma, low, high, missing)


def _level(values: np.ndarray) -> tuple[float, float, float, float]:
    """Return the median, sigma by the median absolute deviation, and the extremes below and above the median."""
    some = values[:: max(1, len(values) // MEDIAN_SAMPLES)]
    middle = float(np.median(some))
    sigma = 1.4826 * float(np.median(np.abs(some - np.float32(middle))))
    return middle, sigma, middle - float(values.min()), float(values.max()) - middle


def polarity(levels: Levels, wanted: Polarity, limit_pA: float, path: Path) -> tuple[float, str]:
    """Return +1 if spikes are negative in the file, else -1, and how that is known.

    Each second with an extreme beyond the limit has a vote: spikes may be in few of them, and one artefact must not
    decide.

    Args:
        levels: of the recording.
        wanted: what the user says.
        limit_pA: which noise does not reach.
        path: of the recording, for messages.

    Raises:
        UserError: as many seconds say the one as the other.
    """
    if wanted != "auto":
        return (1.0 if wanted == "negative" else -1.0), f"spikes {wanted}, as told"
    above = np.maximum(levels.low, levels.high) > limit_pA
    some = above if above.any() else np.ones(len(above), bool)
    low, high = float(np.median(levels.low[some])), float(np.median(levels.high[some]))
    down = float(np.mean(levels.low[some] >= levels.high[some]))
    if above.any() and DOUBTFUL[0] < down < DOUBTFUL[1]:
        raise UserError(
            f"{path}: whether its spikes are negative or positive cannot be told: of {int(above.sum())} seconds with"
            f" peaks beyond {limit_pA:.0f} pA, {100 * down:.0f} % have the larger one below: give --polarity"
        )
    sign = 1.0 if down >= 0.5 else -1.0
    return sign, f"spikes {'negative' if sign > 0 else 'positive'} in the file: peaks {-low:.0f} and {high:+.0f} pA"
