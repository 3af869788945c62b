"""What a model of units that exists already, such as units-v1, brings to a training, and whether training beats it."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from spiketype import reading
from spiketype.datasets.waveforms import WaveformTable, shape
from spiketype.datasets.waveforms.divide import labelled_fingerprint
from spiketype.edge import Json, UserError
from spiketype.train.judging.calls import Calls
from spiketype.units import model
from spiketype.units.model import CLASSES, EXCITATORY, UnitsModel, says_excitatory

MOST = 6.0  # of a logit: what is surer than that is no surer in another laboratory
UNIT = 3.0  # logits in the unit of the column, which thus is of order 1, as standardised columns are
BALANCED = "balanced_accuracy_percent"


@lru_cache
def load(init: str) -> UnitsModel:
    """Return the model that ``--init`` names.

    Raises:
        UserError: it is neither shipped nor a folder with a model.
    """
    if init == model.NAME:
        return model.load()
    folder = Path(init)
    if not (folder / f"{model.NAME}.npz").is_file():
        raise UserError(f"--init {init}: neither {model.NAME} nor a folder with {model.NAME}.npz")
    return model.load(folder)


def column(init: str, table: WaveformTable) -> Float[np.ndarray, "row 1"]:
    """Return what the model says of each row, 0 where it cannot measure it; a note, if it was trained on these units.

    The logit of excitatory, in units of `UNIT`.
    """
    known = load(init)
    if labelled_fingerprint(table) in known.card.get("fingerprints", ()):
        reading.note(table.source, f"{init} was trained on these units: what it says of them is too good")
    measured = shape.measure(shape.largest(table.waveform), table.rate_kHz)
    logit = np.where(model.usable(measured), known.shape_logit(measured), 0.0)
    return np.clip(logit, -MOST, MOST)[:, None] / UNIT


def directions(class_names: tuple[str, ...], source: Path) -> tuple[float, ...]:
    """Return how much the column adds to the logit of each class: the sum of it for excitatory over others.

    Raises:
        UserError: not both kinds are among the classes.
    """
    excitatory = says_excitatory(class_names)
    if excitatory.all() or not excitatory.any():
        raise UserError(
            f"--init tells excitatory units from others, and the classes of {source} are {', '.join(class_names)}:"
            f" call one of them {sorted(EXCITATORY)[0]} or {CLASSES[0]}, and others anything else"
        )
    return tuple(np.where(excitatory, UNIT / 2, -UNIT / 2).tolist())


def against(models: Mapping[str, Calls], said: Float[np.ndarray, " unit"], seed: int) -> Json:
    """Return how well models, and the one they began with, tell excitatory units from all others.

    Args:
        models: calls of the same units.
        said: the column's mean of each unit.
        seed: of the intervals.
    """
    first = next(iter(models.values()))
    p = 1 / (1 + np.exp(-UNIT * said))
    alone = _two(first, np.tile(np.stack([p, 1 - p], axis=1), (len(first.probability), 1, 1)))
    others = {name: _two(calls, _in_two(calls)) for name, calls in models.items()}
    return {
        "alone": alone.rates(seed),
        "models": {name: calls.rates(seed) for name, calls in others.items()},
        "gain": {name: calls.difference(alone, seed, BALANCED) for name, calls in others.items()},
    }


def _in_two(calls: Calls) -> Float[np.ndarray, "repeat unit two"]:
    """Return probabilities of excitatory and other, as if these two were equally frequent, and not all classes."""
    excitatory = says_excitatory(calls.class_names)
    pair = [calls.probability[..., chosen].mean(axis=-1) for chosen in (excitatory, ~excitatory)]
    found = np.stack(pair, axis=-1)
    return np.asarray(found / found.sum(axis=-1, keepdims=True))


def _two(calls: Calls, probability: Float[np.ndarray, "repeat unit two"]) -> Calls:
    label = np.where(says_excitatory(calls.class_names)[calls.label], 0, 1).astype(np.int32)
    return replace(calls, probability=probability, label=label, class_names=CLASSES)
