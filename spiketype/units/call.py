"""Calls of sorted units: what is called, how surely, why not, and what to know of the recording as a whole."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

from spiketype.datasets.waveforms import WaveformTable, shape
from spiketype.datasets.waveforms.shape import NEEDED_KHZ, NEEDED_MS, Shape
from spiketype.edge import NO_CALL, Json, UserError
from spiketype.models.label_shift import prevalence
from spiketype.reading import shortened
from spiketype.units.model import CLASSES, NAME, UnitsModel, usable
from spiketype.units.options import CERTAIN, check_certain

UNSURE = "the two classes are about as likely"
FEWEST_UNITS = 20  # from which on the time scale and the share of excitatory units say anything
FEWEST_SPIKES = 10  # of which a mean is taken to be one of a unit
LIKELY_SCALE = (1.2, 3.6)  # of all labelled sets it is 1.5 to 2.7


@dataclass(frozen=True)
class UnitCalls:
    """What is said of the units of a recording.

    Attributes:
        columns: of the table, a value for each unit, in their order.
        shape: measured of each.
        facts: of the recording, as JSON.
        notes: what the reader of the table must know, a sentence each.
    """

    columns: dict[str, Shaped[np.ndarray, " unit"]]
    shape: Shape
    facts: Json
    notes: tuple[str, ...]


def call(table: WaveformTable, model: UnitsModel, certain: float = CERTAIN, share: float | None = None) -> UnitCalls:
    """Call the units of a table.

    Args:
        table: with one row for each unit, or spikes of units, which are averaged.
        model: the classifier.
        certain: probability of the likelier class below which there is no call.
        share: of excitatory units among all, if it is known; by default both classes are taken to be as frequent,
            because an estimate from the units themselves can be far off (docs/results/real-units.md).

    Raises:
        UserError: a share outside 0 to 1; a probability outside 0.5 to 1; a sampling rate below `NEEDED_KHZ`.
    """
    check_certain(certain)
    _check(table, share)
    table, rows = table.means()
    spikes = rows if table.spikes is None and rows.max() > 1 else table.spikes
    few = np.zeros(len(rows), bool) if spikes is None else spikes < FEWEST_SPIKES
    measured = shape.measure(shape.largest(table.waveform), table.rate_kHz)
    logit = model.shape_logit(measured)
    ok = usable(measured)
    even = _probability(logit)
    p = _probability(logit + (0.0 if share is None else np.log(share / (1 - share))))
    p = np.where(ok, p, np.nan)
    reason = _reasons(measured, model.distance(measured), np.nan_to_num(np.maximum(p, 1 - p)), certain, few)
    sure = reason == ""
    called = np.where(p >= 0.5, *CLASSES)
    columns = {
        "unit": np.array(table.unit_names)[table.unit],
        "call": np.where(sure, called, NO_CALL),
        "probability": np.maximum(p, 1 - p),
        "certain": np.where(sure, "yes", "no"),
        "reason": reason,
        "p_excitatory": p,
        "p_inhibitory": 1 - p,
        "trough_to_peak_ms": np.where(ok, measured.trough_to_peak_ms, np.nan),
        "half_width_ms": np.where(ok, measured.half_width_ms, np.nan),
    }
    facts, notes = _recording(table, model, measured, even, ok)
    if rows.max() > 1:
        notes = (f"{rows.sum()} spikes were averaged by unit", *notes)
    return UnitCalls(columns, measured, facts | {"certain": certain, "share_excitatory_given": share}, notes)


def _check(table: WaveformTable, share: float | None) -> None:
    if share is not None and not 0 < share < 1:
        raise UserError(f"--share is {share:g}: it must be between 0 and 1")
    if table.rate_kHz < NEEDED_KHZ:
        raise UserError(
            f"{table.source} has {table.rate_kHz:g} kHz: below {NEEDED_KHZ:g} kHz the width of a spike is a matter of"
            " two or three samples, and nothing is called; export the waveforms before downsampling"
        )


def _probability(logit: np.ndarray) -> np.ndarray:
    found: np.ndarray = 1 / (1 + np.exp(-logit))
    return found


def _reasons(
    measured: Shape, distance: np.ndarray, probability: np.ndarray, certain: float, few: np.ndarray
) -> Shaped[np.ndarray, " unit"]:
    """Return why a unit is not called, "" for those that are; the first reason that holds."""
    reasons = {
        "positive first: an axon, or stored upside down": measured.positive,
        "clipped: several samples at the lowest value": measured.clipped,
        f"less than {NEEDED_MS:g} ms after the trough": measured.after_ms < NEEDED_MS,
        f"the mean of fewer than {FEWEST_SPIKES} spikes": few,
        "unlike all units that were trained on": distance > 1,
        UNSURE: probability < certain,
    }
    return np.select(list(reasons.values()), list(reasons), "")


def _recording(
    table: WaveformTable,
    model: UnitsModel,
    measured: Shape,
    even: Float[np.ndarray, " unit"],
    ok: Bool[np.ndarray, " unit"],
) -> tuple[Json, tuple[str, ...]]:
    """Return what is known of the recording as a whole, and what of it is worth a sentence."""
    facts: Json = {"units": len(ok), "measured": int(ok.sum()), "time_scale": None, "share_excitatory_estimated": None}
    notes = []
    if ok.sum() >= FEWEST_UNITS:
        facts["time_scale"] = model.time_scale(Shape(*(values[ok] for values in measured)))
        facts["share_excitatory_estimated"] = prevalence(even[ok])
        low, high = LIKELY_SCALE
        if not low <= facts["time_scale"] <= high:
            notes.append(
                f"spikes are {facts['time_scale']:.2g} times as fast as those of cell models, and {low:g} to {high:g}"
                f" times in all laboratories that were looked at: is {table.rate_kHz:g} kHz the sampling rate?"
            )
    else:
        count = f"{int(ok.sum())} unit{'s are' if ok.sum() != 1 else ' is'}"
        notes.append(f"{count} too few to tell the time scale or the share of excitatory units")
    notes.append(_origin(table, model))
    if not ok.all():
        notes.append(f"{int((~ok).sum())} of {len(ok)} units cannot be measured, see their reasons")
    return facts, tuple(notes)


def _origin(table: WaveformTable, model: UnitsModel) -> str:
    """Return what the model was trained on, and whether the source says that it is of anything else."""
    trained = f"{NAME} was trained on {model.card['regions']}"
    if not table.origin:
        return f"the species and region of these units are not said: {trained}"
    strange = [word for word in table.origin if word.lower() not in model.card["origin"]]
    if strange:
        return f"these units are of {shortened(strange)}, and {trained}: calls of others were never tested"
    return f"{trained}, and these units are said to be of {shortened(list(table.origin))}"
