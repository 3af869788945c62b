"""The data of the cluster task: units as one matrix in comparable scales, with what judges a clustering of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.datasets import load_digits

from spiketype.datasets import waveforms
from spiketype.datasets.fingerprint import fingerprint
from spiketype.datasets.waveforms import inputs as waveform_inputs
from spiketype.edge import Json, UserError
from spiketype.train.tasks.cluster.config import ClusterConfig

DIGITS = "digits"
DIGIT_LEVELS = 16.0


class Form(NamedTuple):
    """What a matrix of units looks like: new data are brought into the form of those that were trained on.

    Attributes:
        features: columns of the matrix.
        shape: (channel, time) of the waveforms, or (row, column) of the digits.
        sd: what waveforms and histograms were divided by.
        rate_kHz: sampling rate of the waveforms; None for digits.
    """

    features: int
    shape: tuple[int, int]
    sd: tuple[float, ...]
    rate_kHz: float | None

    @classmethod
    def from_json(cls, values: Json) -> "Form":
        """Return what `_asdict` took apart."""
        channels, times = values["shape"]
        return cls(values["features"], (channels, times), tuple(values["sd"]), values["rate_kHz"])


@dataclass(frozen=True)
class Units:
    """What is clustered.

    Attributes:
        x: waveforms of all channels and times, then what the histograms say; each of the two divided by its standard
            deviation over units and features, so that shapes stay.
        form: of x.
        label: index into `class_names`, -1 unknown: for the judgement alone.
        class_names: empty without labels.
        animal: index into `animal_names`.
        animal_names: of the groups.
        unit_names: for tables.
        source: for messages.
        fingerprint: of the samples as they were read.
    """

    x: Float[np.ndarray, "unit feature"]
    form: Form
    label: Int[np.ndarray, " unit"]
    class_names: tuple[str, ...]
    animal: Int[np.ndarray, " unit"]
    animal_names: tuple[str, ...]
    unit_names: tuple[str, ...]
    source: str
    fingerprint: str

    @property
    def traces(self) -> Float[np.ndarray, "unit channel time"]:
        """Waveforms in the scale of x."""
        channels, times = self.form.shape
        return self.x[:, : channels * times].reshape(len(self.x), channels, times)

    @property
    def group(self) -> Int[np.ndarray, " unit"]:
        """What intervals redraw: animals, or units where there is one animal."""
        return self.animal if len(np.unique(self.animal)) > 1 else np.arange(len(self.animal))


def read(config: ClusterConfig, data: Path, like: Form | None = None) -> Units:
    """Return the units of --data, in the form of those that a run was trained on, if one is given.

    Raises:
        UserError: as `waveforms.load`; a single unit to train on; data that cannot be brought into the form.
    """
    digits = data.name == DIGITS and not data.exists()  # a run's configuration has it as an absolute path
    units = _digits() if digits else _waveforms(config, data, like)
    if like and units.form.features != like.features:
        raise UserError(
            f"{data} has {units.form.features} numbers for each unit, the run was trained on {like.features}"
        )
    return units


def _waveforms(config: ClusterConfig, data: Path, like: Form | None) -> Units:
    rate_kHz = like.rate_kHz if like else None
    table = waveforms.load(data, None if like else config.label, config.rate_kHz)
    x = waveform_inputs.inputs(table, rate_kHz, config.window_ms, config.channels, config.normalise)
    shape = (x.shape[1], x.shape[2])
    if like and shape != like.shape:
        raise UserError(
            f"{data} has waveforms of {shape[0]} channels x {shape[1]} times, the run was trained on"
            f" {like.shape[0]} x {like.shape[1]}: train with --channels largest and a --window-ms both have"
        )
    if len(x) < 2 and not like:
        raise UserError(f"{data} has one unit: clustering needs several")
    parts = [x.reshape(len(x), -1)]
    seen = config.histograms and (like is None or len(like.sd) > 1)
    if seen and (found := waveform_inputs.histograms(table)).shape[1]:
        parts.append(found)
    sd = like.sd if like else tuple(float(part.std(axis=0).mean()) for part in parts)
    if len(sd) != len(parts):
        raise UserError(f"{data} has no histograms of intervals, the run was trained with them: use --no-histograms")
    whole = np.concatenate([part / by for part, by in zip(parts, sd, strict=True)], axis=1).astype(np.float32)
    return Units(
        x=whole,
        form=Form(whole.shape[1], shape, sd, rate_kHz or table.rate_kHz),
        label=table.label,
        class_names=table.class_names,
        animal=table.animal,
        animal_names=table.animal_names,
        unit_names=tuple(table.unit_names[k] for k in table.unit),
        source=str(data),
        fingerprint=fingerprint(table.waveform),
    )


def _digits() -> Units:
    """Return scikit-learn's handwritten digits, 1797 of 8 x 8: the benchmark of clustering without a download."""
    found = load_digits()
    x, count = (found.data / DIGIT_LEVELS).astype(np.float32), len(found.target)
    return Units(
        x=x,
        form=Form(x.shape[1], (8, 8), (1.0,), None),
        label=found.target.astype(np.int32),
        class_names=tuple(map(str, range(10))),
        animal=np.zeros(count, np.int32),
        animal_names=("all",),
        unit_names=tuple(map(str, range(count))),
        source=DIGITS,
        fingerprint=fingerprint(x),
    )
