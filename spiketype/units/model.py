"""The units classifier: excitatory or inhibitory, from the shape of the spike.

Linear on purpose. Inside the labelled sets the time from trough to peak is all but the ceiling of one contact, and what
boosted trees and rich waveforms learn beyond it is the individuals, which does not reach another laboratory; smooth
models do (docs/results/real-units.md). Three logistic regressions see the trough-to-peak time, three measures of the
shape, and the waveform; their logits are averaged and calibrated on laboratories they have not seen.

Intervals between spikes are not used: the one labelled set that has their histogram does not say its bins.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from spiketype import models
from spiketype.damage import Archive, readable
from spiketype.datasets.waveforms.shape import NEEDED_MS, WAVE_MS, Shape
from spiketype.edge import Json, UserError, read_json, whole_file, write_json

CLASSES = ("excitatory", "inhibitory")
EXCITATORY = frozenset({"exc", "excitatory", "pyr", "pyramidal", "pyramidal cell"})  # words of labels, in lower case
EXPERTS = ("width", "shape", "wave")  # what each sees: `views`
WEIGHTS = Path(models.__path__[0]) / "weights"
NAME = "units-v1"
ARRAYS = ("calibration", "examples", "spread", "scales", "quantiles")
TOLD = ("regions", "trained_on", "held_out", "not_tested_on")  # of the card, in words
NEIGHBOURS = 5
LEAST = 1e-9  # of what is divided by, as weights and measures are of order one; and 1 / LEAST is more than any of them


class Linear(NamedTuple):
    """A logistic regression of standardised inputs.

    Attributes:
        mean, sd: of the inputs.
        weight, bias: of the logit.
    """

    mean: Float[np.ndarray, " input"]
    sd: Float[np.ndarray, " input"]
    weight: Float[np.ndarray, " input"]
    bias: Float[np.ndarray, ""]

    def logit(self, x: Float[np.ndarray, "row input"]) -> Float[np.ndarray, " row"]:
        """Return the logit of excitatory."""
        found: np.ndarray = (x - self.mean) / self.sd @ self.weight + self.bias
        return found


@dataclass(frozen=True)
class UnitsModel:
    """What `spiketype units` asks.

    Attributes:
        experts: of `EXPERTS`, in order.
        calibration: (slope, offset) of the mean of their logits.
        examples: measures of training units, each over its spread.
        spread: of the measures.
        usual: distance to the nearest others within which nearly all training units are.
        scales: factors of time.
        quantiles: of trough-to-peak, half width and peak of simulated units at each of these factors.
        card: what it was trained on, and how it did on laboratories it had not seen.
    """

    experts: tuple[Linear, ...]
    calibration: Float[np.ndarray, "2"]
    examples: Float[np.ndarray, "example measure"]
    spread: Float[np.ndarray, " measure"]
    usual: float
    scales: Float[np.ndarray, " scale"]
    quantiles: Float[np.ndarray, "scale 3 quantile"]
    card: Json

    def shape_logit(self, shape: Shape) -> Float[np.ndarray, " row"]:
        """Return the calibrated logit of excitatory, both classes being equally frequent."""
        each = [expert.logit(x) for expert, x in zip(self.experts, views(shape), strict=True)]
        slope, offset = self.calibration
        found: np.ndarray = slope * np.mean(each, axis=0) + offset
        return found

    def distance(self, shape: Shape) -> Float[np.ndarray, " row"]:
        """Return the distance of each row to the nearest training units, over that which is usual among these."""
        found: np.ndarray = neighbour(measures(shape) / self.spread, self.examples) / self.usual
        return found

    def time_scale(self, shape: Shape) -> float:
        """Return the factor by which simulated units are slower than these, fitted without labels.

        It minimises the sum of the Wasserstein distances of trough-to-peak, half width and peak, each over its spread.
        """
        levels = quantile_levels(self.quantiles.shape[2])
        x = shape.three
        theirs = np.quantile(x, levels, axis=0).T
        spread = np.maximum(x.std(axis=0), 1e-6)
        distance = (np.abs(self.quantiles - theirs).mean(axis=2) / spread).sum(axis=1)
        return float(self.scales[distance.argmin()])

    def save(self, folder: Path, name: str = NAME) -> None:
        """Write the weights as arrays, and the card as JSON."""
        arrays = {
            f"{kind}_{field}": value
            for kind, each in zip(EXPERTS, self.experts, strict=True)
            for field, value in each._asdict().items()
        }
        arrays |= {field: getattr(self, field) for field in ARRAYS} | {"usual": np.asarray(self.usual)}
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / f"{name}.npz") as partial, open(partial, "wb") as file:
            np.savez_compressed(file, **{k: np.asarray(v, np.float64) for k, v in arrays.items()})  # type: ignore[arg-type]
        write_json(folder / f"{name}.json", self.card)


def load(folder: Path = WEIGHTS, name: str = NAME) -> UnitsModel:
    """Read what `UnitsModel.save` wrote, by default the model that is shipped.

    Raises:
        UserError: it is not there, or damaged.
    """
    path = folder / f"{name}.npz"
    remedy = (
        "install spiketype again" if folder == WEIGHTS else "copy it again, or train it with scripts/train_units.py"
    )
    with readable(path, "the weights of the model", remedy):
        archive = Archive(path, remedy)
        arrays = {each: archive.read(each) for each in archive.names}
        inputs = [[arrays[f"{kind}_{field}"] for field in Linear._fields] for kind in EXPERTS]
        others = {field: arrays[field] for field in (*ARRAYS, "usual")}
    card = read_json(folder / f"{name}.json", f"{folder} is damaged: {remedy}")
    if not (_are_numbers(arrays.values()) and _fit(inputs, **others) and _has_words(card)):
        raise UserError(f"{folder} is damaged: {remedy}")
    usual = float(others.pop("usual"))
    return UnitsModel(experts=tuple(Linear(*each) for each in inputs), card=card, usual=usual, **others)


def _are_numbers(arrays: Iterable[np.ndarray]) -> bool:
    return all(x.dtype.kind == "f" and (np.abs(x) < 1 / LEAST).all() for x in arrays)  # NaN is not


def _fit(
    inputs: Sequence[Sequence[np.ndarray]],
    calibration: np.ndarray,
    examples: np.ndarray,
    spread: np.ndarray,
    scales: np.ndarray,
    quantiles: np.ndarray,
    usual: np.ndarray,
) -> bool:
    """Say whether arrays have shapes that go together, and what is divided by is positive."""
    measured, count = 4 + len(WAVE_MS[::3]), scales.size
    known, levels = examples.size // measured, quantiles.size // (3 * count or 1)
    expected = [[(n,), (n,), (n,), ()] for n in (1, 3, len(WAVE_MS))]
    shapes = [x.shape for x in (calibration, examples, spread, scales, quantiles, usual)]
    if [[x.shape for x in each] for each in inputs] != expected:
        return False
    if shapes != [(2,), (known, measured), (measured,), (count,), (count, 3, levels), ()]:
        return False
    return (
        known >= NEIGHBOURS
        and levels > 0
        and all((x > LEAST).all() for x in (*(sd for _, sd, *_ in inputs), spread, usual))
    )


def _has_words(card: Json) -> bool:
    """Say whether a card has what is told of the model."""
    lists = [card.get(name, []) for name in ("origin", "fingerprints")]
    return all(isinstance(card.get(name), str) for name in TOLD) and all(
        isinstance(words, list) and all(isinstance(word, str) for word in words) for words in lists
    )


def views(shape: Shape) -> tuple[Float[np.ndarray, "row _"], ...]:
    """Return what each of the `EXPERTS` sees."""
    return shape.trough_to_peak_ms[:, None], shape.three, shape.wave


def measures(shape: Shape) -> Float[np.ndarray, "row measure"]:
    """Return what a unit is compared by with those of the training: the shape, and the waveform in a few points."""
    return np.concatenate([shape.three, shape.pre_peak[:, None], shape.wave[:, ::3]], axis=1)


def neighbour(
    x: Float[np.ndarray, "row measure"], examples: Float[np.ndarray, "example measure"], skip: int = 0
) -> Float[np.ndarray, " row"]:
    """Return the distance of each row to the `NEIGHBOURS`-th nearest example, those nearest `skip` not counted."""
    distance, _ = cKDTree(examples).query(x, NEIGHBOURS + skip)
    found: np.ndarray = distance[:, -1]
    return found


def quantile_levels(count: int) -> Float[np.ndarray, " quantile"]:
    """Return the levels at which distributions are compared."""
    return (np.arange(count) + 0.5) / count


def says_excitatory(words: Iterable[str]) -> Bool[np.ndarray, " word"]:
    """Say which labels are words for excitatory units."""
    return np.array([word.lower() in EXCITATORY for word in words], bool)


def usable(shape: Shape) -> Bool[np.ndarray, " row"]:
    """Say which rows are measured as the training units were."""
    found: np.ndarray = ~shape.positive & ~shape.clipped & (shape.after_ms >= NEEDED_MS)
    return found
