"""Training of the units classifier: labelled sets of laboratories, simulated units, and what is fitted to them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped
from sklearn.linear_model import LogisticRegression

from spiketype.datasets import store
from spiketype.datasets.waveforms import WaveformTable, shape
from spiketype.datasets.waveforms.shape import Shape
from spiketype.edge import Json
from spiketype.simulator.eap import recording
from spiketype.simulator.eap.chain import Chain
from spiketype.units.model import (
    Linear,
    UnitsModel,
    measures,
    neighbour,
    quantile_levels,
    says_excitatory,
    views,
)

NO_TYPE = frozenset({"Juxta"})  # a method of recording
PENALTY = 0.3  # inverse regularisation of every regression
SET, SIMULATED = 1.0, 1.0  # weight of a laboratory, and of all simulated units together
SLOWER = (2.0, 3.0)  # factors by which simulated time is divided: cell models are 2.2 to 2.8 times too slow
SCALES = np.exp(np.linspace(np.log(1.0), np.log(4.5), 25))
QUANTILES = 51
EXAMPLES = 800  # of each set that are kept, about
DOUBT = 0.995  # share of the training units that are not unusual
NEGATIVE_FIRST = 0.8  # the trough of a simulated unit over its largest peak, below which sorters align it elsewhere


class Labelled(NamedTuple):
    """Units of one laboratory, or simulated ones.

    Attributes:
        name: of the set.
        shape: measured.
        excitatory: else inhibitory.
        group: what intervals redraw and folds keep together: animals, cell models, or units.
        isi: histograms of intervals in bins of the set's own, None where there are none; no model sees them.
    """

    name: str
    shape: Shape
    excitatory: Bool[np.ndarray, " unit"]
    group: Int[np.ndarray, " unit"]
    isi: Num[np.ndarray, "unit bin"] | None = None

    def take(self, rows: Shaped[np.ndarray, " taken"]) -> "Labelled":
        """Return some units, by index or mask."""
        isi = None if self.isi is None else self.isi[rows]
        return Labelled(self.name, take(self.shape, rows), self.excitatory[rows], self.group[rows], isi)


def take(measured: Shape, rows: np.ndarray) -> Shape:
    """Return some rows of measures."""
    return Shape(*(values[rows] for values in measured))


def labelled(name: str, table: WaveformTable) -> Labelled:
    """Return the units of a table whose label is a type of cell."""
    words = np.array([*table.class_names, "unknown"])[table.label]
    known = (table.label >= 0) & ~np.isin(words, list(NO_TYPE))
    table, words = table.take(known), words[known]
    several = len(np.unique(table.animal)) > 1
    return Labelled(
        name,
        shape.measure(shape.largest(table.waveform), table.rate_kHz),
        says_excitatory(words),
        table.animal if several else np.arange(len(words)),
        table.isi,
    )


def simulated(path: Path, copies: int = 3, seed: int = 0, slower: tuple[float, float] = SLOWER) -> Labelled:
    """Return simulated units as a laboratory would have them: faster, and through a recording chain drawn at random.

    Args:
        path: an EAP store with waveforms.
        copies: of each sample, each with a factor of time and a chain of its own.
        seed: of both.
        slower: range of the factors, log-uniform.
    """
    x, rate_kHz = store.read(path, "eap_uV"), _rate_kHz(path)
    cell, excitatory = store.read(path, "cell"), store.read(path, "excitatory")
    x = shape.largest(x) if x.ndim == 3 else x
    parts: list[Shape] = []
    group: list[int] = []
    for copy in range(copies):
        for row in range(len(x)):
            rng = np.random.default_rng([seed, copy, row])
            factor = float(np.exp(rng.uniform(*np.log(slower))))
            wave = recording.filtered(x[row : row + 1] - x[row, 0], _chain(rng, factor * rate_kHz), factor * rate_kHz)
            if -wave.min() >= NEGATIVE_FIRST * wave.max():
                parts.append(shape.measure(wave, factor * rate_kHz))
                group.append(int(cell[row]))
    measured = Shape(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    return Labelled("simulated", measured, excitatory[group], np.array(group))


def _rate_kHz(path: Path) -> float:
    time_ms = store.read(path, "time_ms").astype(np.float64)
    return float((len(time_ms) - 1) / np.ptp(time_ms))


def _chain(rng: np.random.Generator, rate_kHz: float) -> Chain:
    """Draw a chain as laboratories have them: none, causal, or forth and back."""
    kind = int(rng.integers(3))
    if kind == 0:
        return Chain()
    low, high = float(rng.uniform(150, 500)), float(min(rng.uniform(4000, 9000), 400 * rate_kHz))
    return Chain(low, high, int(rng.integers(1, 4)), ("causal", "zero")[kind - 1])


def at_scales(path: Path, seed: int = 0) -> Float[np.ndarray, "scale 3 quantile"]:
    """Return quantiles of trough-to-peak, half width and peak of a store's units, were they faster by each of `SCALES`.

    Every unit has a recording chain of its own, the same at all scales.
    """
    levels = quantile_levels(QUANTILES)
    found = [simulated(path, 1, seed, (scale, scale)).shape.three for scale in SCALES]
    return np.stack([np.quantile(x, levels, axis=0).T for x in found])


def fit(sets: Sequence[Labelled], simulation: Labelled | None, card: Json, weight: float = SIMULATED) -> UnitsModel:
    """Fit the classifier to labelled sets and simulated units.

    Classes count alike in every set, and sets alike, however many units they have.

    Args:
        sets: of laboratories; may be none if there is a simulation.
        simulation: simulated units; may be None if there are sets.
        card: kept with the model.
        weight: of the simulation, over that of a set.
    """
    every = [(each, SET) for each in sets] + ([] if simulation is None else [(simulation, weight)])
    y = np.concatenate([each.excitatory for each, _ in every])
    w = np.concatenate([balanced(each.excitatory) * share for each, share in every])
    w *= len(w) / w.sum()
    seen = [np.concatenate(x) for x in zip(*(views(each.shape) for each, _ in every), strict=True)]
    experts = tuple(regress(x, y, w) for x in seen)
    x = np.concatenate([measures(each.shape) for each in sets or [each for each, _ in every]])
    spread = x.std(axis=0) + 1e-9
    examples = np.concatenate([measures(each.shape)[:: 1 + len(each.group) // EXAMPLES] for each, _ in every]) / spread
    return UnitsModel(
        experts=experts,
        calibration=np.array([1.0, 0.0]),
        examples=examples,
        spread=spread,
        usual=float(np.quantile(neighbour(examples, examples, 1), DOUBT)),
        scales=SCALES,
        quantiles=np.zeros((len(SCALES), 3, QUANTILES)),
        card=card,
    )


def balanced(excitatory: Bool[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
    """Return weights of sum 1 with which both classes count alike."""
    weight: np.ndarray = 0.5 / np.where(excitatory, excitatory.sum(), (~excitatory).sum())
    return weight


def regress(
    x: Float[np.ndarray, "unit input"],
    y: Bool[np.ndarray, " unit"],
    weight: Float[np.ndarray, " unit"],
    penalty: float = PENALTY,
) -> Linear:
    """Fit a logistic regression of standardised inputs."""
    share = weight / weight.sum()
    mean = share @ x
    sd = np.sqrt(share @ (x - mean) ** 2) + 1e-9
    found = LogisticRegression(C=penalty, max_iter=2000).fit((x - mean) / sd, y, sample_weight=weight)
    return Linear(mean, sd, found.coef_[0], np.asarray(found.intercept_[0]))


def calibration(held_out: Sequence[tuple[np.ndarray, np.ndarray]]) -> Float[np.ndarray, "2"]:
    """Return (slope, offset) for logits of laboratories that were not trained on, with their labels (Platt scaling)."""
    logit, y = (np.concatenate(values) for values in zip(*held_out, strict=True))
    w = np.concatenate([balanced(labels) for _, labels in held_out])
    found = LogisticRegression(C=1e6).fit(logit[:, None], y, sample_weight=w * len(w) / w.sum())
    return np.array([found.coef_[0, 0], found.intercept_[0]])


def leave_one_out(sets: Sequence[Labelled], simulation: Labelled | None) -> dict[str, Float[np.ndarray, " unit"]]:
    """Return what is said of each set by a model of all others and the simulation: logits, not calibrated."""
    return {
        tested.name: fit([each for each in sets if each is not tested], simulation, {}).shape_logit(tested.shape)
        for tested in sets
    }


def build(sets: Sequence[Labelled], path: Path, card: Json, copies: int = 3) -> UnitsModel:
    """Return the model of all sets and a simulated store, calibrated on sets that its like has not seen.

    Args:
        sets: of laboratories, one at least.
        path: an EAP store with waveforms.
        card: kept with the model.
        copies: of each simulated sample.
    """
    simulation = simulated(path, copies)
    held_out = leave_one_out(sets, simulation)
    return replace(
        fit(sets, simulation, card),
        calibration=calibration([(held_out[each.name], each.excitatory) for each in sets]),
        quantiles=at_scales(path),
    )
