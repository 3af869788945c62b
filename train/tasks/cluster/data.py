"""The data of the cluster task: units as one matrix in comparable scales, with what judges a clustering of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from spiketype.datasets import waveforms
from spiketype.datasets.waveforms import inputs as waveform_inputs
from spiketype.edge import UserError

DIGITS = "digits"
DIGIT_LEVELS = 16.0


@dataclass(frozen=True)
class Units:
    """What is clustered.

    Attributes:
        x: (unit, feature) float32: waveforms of all channels and times, then what the histograms say; each of the two
            divided by its standard deviation over units and features, so that shapes stay.
        shape: (channel, time) of the waveforms, or (row, column) of the digits.
        sd: what the two parts were divided by.
        label: (unit,) index into `class_names`, -1 unknown: for the judgement alone.
        class_names: empty without labels.
        animal: (unit,) index into `animal_names`.
        animal_names: of the groups.
        unit_names: (unit,) for tables.
        rate_kHz: of the waveforms, NaN for digits.
        source: for messages.
    """

    x: np.ndarray
    shape: tuple[int, int]
    sd: tuple[float, ...]
    label: np.ndarray
    class_names: tuple[str, ...]
    animal: np.ndarray
    animal_names: tuple[str, ...]
    unit_names: tuple[str, ...]
    rate_kHz: float
    source: str

    @property
    def traces(self) -> np.ndarray:
        """Waveforms (unit, channel, time) in the scale of x."""
        return self.x[:, : self.shape[0] * self.shape[1]].reshape(len(self.x), *self.shape)


def read(config: Any, data: Path, like: Mapping[str, Any] | None = None) -> Units:
    """The units of --data; `like` (what `about` of a trained run has) fixes rate, shape and scale.

    Raises:
        UserError: as `waveforms.load`; fewer than two units; waveforms of another shape; spikes instead of units.
    """
    if data.name == DIGITS and not data.exists():  # a run's configuration has it as an absolute path
        return _digits()
    rate_kHz = like["rate_kHz"] if like else None
    table = waveforms.load(data, None if like else config.label, config.rate_kHz)
    x = waveform_inputs.inputs(table, rate_kHz, config.window_ms, config.channels, config.normalise)
    if like and list(x.shape[1:]) != list(like["shape"]):
        raise UserError(
            f"{data} has waveforms of {x.shape[1]} channels x {x.shape[2]} times, the run was trained on"
            f" {like['shape'][0]} x {like['shape'][1]}: train with --channels largest and a --window-ms both have"
        )
    if len(x) < 2 and not like:
        raise UserError(f"{data} has one unit: clustering needs several")
    parts = [x.reshape(len(x), -1)]
    if config.histograms and (found := waveform_inputs.histograms(table)).shape[1]:
        parts.append(found)
    sd = tuple(like["sd"]) if like else tuple(float(part.std(axis=0).mean()) for part in parts)
    if len(sd) != len(parts):
        raise UserError(f"{data} has no histograms of intervals, the run was trained with them: use --no-histograms")
    return Units(
        x=np.concatenate([part / by for part, by in zip(parts, sd, strict=True)], axis=1).astype(np.float32),
        shape=x.shape[1:],
        sd=sd,
        label=table.label,
        class_names=table.class_names,
        animal=table.animal,
        animal_names=table.animal_names,
        unit_names=tuple(table.unit_names[k] for k in table.unit),
        rate_kHz=rate_kHz or table.rate_kHz,
        source=str(data),
    )


def _digits() -> Units:
    """scikit-learn's handwritten digits, 1797 of 8 x 8: the benchmark of clustering without a download."""
    found = load_digits()
    count = len(found.target)
    return Units(
        x=(found.data / DIGIT_LEVELS).astype(np.float32),
        shape=(8, 8),
        sd=(1.0,),
        label=found.target.astype(np.int32),
        class_names=tuple(map(str, range(10))),
        animal=np.zeros(count, np.int32),
        animal_names=("all",),
        unit_names=tuple(map(str, range(count))),
        rate_kHz=float("nan"),
        source=DIGITS,
    )


def check_clusters(units: Units, clusters: Sequence[int]) -> None:
    """Refuse more clusters than units.

    Raises:
        UserError: names both.
    """
    if max(clusters) > len(units.x):
        raise UserError(f"--clusters {max(clusters)} is more than the {len(units.x)} units of {units.source}")
    if min(clusters) < 2:
        raise UserError(f"--clusters {min(clusters)}: the least is 2")
