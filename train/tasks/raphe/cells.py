"""The cells that are called: what networks and mean spikes tell of each, and the calls made from it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from spiketype.datasets.raphe.extract import CLIPPED, LARGEST_PA, UNKNOWN
from spiketype.datasets.raphe.shape import features
from spiketype.datasets.raphe.spikes import shape
from spiketype.datasets.raphe.table import RapheTable
from spiketype.models import evidence
from spiketype.models.evidence import Evidence, Probability, Stages
from spiketype.models.usual import Usual
from spiketype.train.judging.calls import Calls

UNUSUAL = "a spike unlike all that were trained on"
EITHER = "the interval has both classes: few spikes of this cell, or few cells were trained on"
TOO_LARGE = f"spikes of more than {LARGEST_PA:g} pA are no loose-seal spikes: is the unit right?"
MIXED = "some of its spikes are surely of the one class and some of the other: are they of two cells?"
CUT_OFF = "spikes are cut off at a limit of the recorded current: lower the gain"

SURE = 0.9  # vote for a class, 0 to 1, from which a spike is surely of it
# Of 153 simulated cells 4 have so many spikes that are surely of each class, of mixtures of two cells most have
# (docs/results/raphe.md).
CONTRARY_SHARE, CONTRARY_SPIKES = 0.1, 3


class Tested(NamedTuple):
    """Cells that are called by networks which have not seen them.

    Attributes:
        cells: indices into the table's.
        arriving: evidence of each, as spikes arrive.
        fold: that tests it.
        mean_pA: mean spikes.
        contrary: how many spikes of each are surely of the class that fewer are surely of.
    """

    cells: Int[np.ndarray, " cell"]
    arriving: list[Evidence]
    fold: Int[np.ndarray, " cell"]
    mean_pA: Float32[np.ndarray, "cell 160"]
    contrary: Int[np.ndarray, " cell"]

    def after(self, stages: Sequence[Stages]) -> list[Probability]:
        """Return the probability (count,) of serotonergic of each cell as spikes arrive, by the stages of its fold."""
        pairs = zip(self.arriving, self.fold, strict=True)
        return [evidence.as_spikes_arrive(known, stages[fold]) for known, fold in pairs]


def collect(
    table: RapheTable,
    tests: Sequence[Int[np.ndarray, " _spike"]],
    shares: Sequence[Float[np.ndarray, "_network _spike"]],
) -> Tested:
    """Collect the votes, 0 to 1, for the tested samples of each fold by cell; of several folds the first counts.

    Cells are in the order of the table, whatever the folds.
    """
    cells: list[int] = []
    arriving, folds, means, contrary = [], [], [], []
    for number, (test, share) in enumerate(zip(tests, shares, strict=True)):
        for cell in np.setdiff1d(table.cell[test], np.array(cells, int)):
            mine = table.cell[test] == cell
            spike_pA = table.spike_pA[test[mine]]
            cells.append(int(cell))
            arriving.append(evidence.of_cell(2 * share[:, mine] - 1, spike_pA, features))
            folds.append(number)
            means.append(spike_pA.mean(axis=0))
            contrary.append(contrary_spikes(share[:, mine].mean(axis=0)))
    order = np.argsort(cells)
    return Tested(
        np.array(cells)[order],
        [arriving[k] for k in order],
        np.array(folds)[order],
        np.stack(means)[order],
        np.array(contrary)[order],
    )


def contrary_spikes(vote: Float[np.ndarray, " spike"]) -> int:
    """Return how many spikes of a cell are surely of the class that fewer are surely of, from their votes, 0 to 1."""
    return int(min((vote > SURE).sum(), (vote < 1 - SURE).sum()))


def calls(table: RapheTable, tested: Tested, after: Sequence[Probability], shapes: Sequence[Usual]) -> Calls:
    """Return the calls of cells from all their spikes, with all that qualifies them; what is not known is NaN.

    `after` are their probabilities as spikes arrive, `shapes` those that are usual in each fold.
    """
    rows, day = tested.cells, table.cell_day[tested.cells]
    value, low, high = (np.array([end[-1] for end in ends]) for ends in zip(*after, strict=True))
    pairs = list(zip(tested.fold, tested.mean_pA, strict=True))
    cut_off = shape(tested.mean_pA).cut_off  # the hump may peak behind the window: its interval is not known
    distance = np.array([shapes[fold].distance(mean_pA[None])[0] for fold, mean_pA in pairs])
    limit = np.array([shapes[fold].limit for fold in tested.fold])
    measured = {
        "day": np.array(table.day_names)[day],
        "low_serotonergic": low,
        "high_serotonergic": high,
        "spikes": np.array([known.spikes[-1] for known in tested.arriving]),
        "settled_after": np.array(
            [evidence.settled_after(known.spikes, p.value) for known, p in zip(tested.arriving, after, strict=True)]
        ),
        "unusual": np.where(distance > limit, "yes", "no"),
        "contrary_spikes": tested.contrary,
        "published_vote": published(tested),
        "trough_pA": tested.mean_pA.min(axis=1),
        "distance_over_limit": distance / limit,
    }
    for name, values in (
        ("udi_ms", np.where(cut_off, UNKNOWN, table.cell_udi_ms[rows])),
        ("rate_Hz", table.rate_Hz[rows]),
        ("isi_cv", table.isi_cv[rows]),
        ("noise_rms_pA", table.noise_rms_pA[rows]),
        ("clipped", table.clipped[rows]),
    ):
        measured[name] = np.where(values < 0, np.nan, values)
    names = tuple(table.cell_names[cell] for cell in rows)
    return Calls(of_serotonergic(value), table.cell_label[rows], day, table.class_names, names, measured)


def table_of(calls: Calls, certain: float) -> dict[str, np.ndarray]:
    """Return the table of calls of cells; there is none of a cell that the networks cannot know."""
    low, high = calls.measured["low_serotonergic"], calls.measured["high_serotonergic"]
    never = {
        CUT_OFF: calls.measured["clipped"] >= CLIPPED,
        TOO_LARGE: calls.measured["trough_pA"] < -LARGEST_PA,
        UNUSUAL: calls.measured["unusual"] == "yes",
        MIXED: is_mixed(calls.measured["contrary_spikes"], calls.measured["spikes"]),
        EITHER: (low < 0.5) & (high > 0.5),
    }
    return calls.table(certain, never)


def is_mixed(contrary: Int[np.ndarray, " cell"], spikes: Int[np.ndarray, " cell"]) -> Bool[np.ndarray, " cell"]:
    """Return which cells have so many spikes that are surely of each class that they may be two cells each."""
    return contrary >= np.maximum(CONTRARY_SPIKES, CONTRARY_SHARE * spikes)


def published(tested: Tested) -> Float[np.ndarray, " cell"]:
    """Return the published vote of cells, 0 to 1: the mean over networks and spikes."""
    return 0.5 + 0.5 * np.array([known.x[-1, 0] for known in tested.arriving])


def of_serotonergic(probability: Float[np.ndarray, " cell"]) -> Float[np.ndarray, "1 cell 2"]:
    """Return the probabilities of both classes from that of the second, as `Calls` takes them."""
    return np.stack([1 - probability, probability], axis=1)[None]
