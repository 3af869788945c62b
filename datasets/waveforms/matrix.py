"""Units as one matrix: what a model reads, in the form of the data that it was trained on; and what judges it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.datasets import load_digits

from spiketype import reading
from spiketype.datasets.fingerprint import fingerprint
from spiketype.datasets.options import WaveformOptions
from spiketype.datasets.waveforms import contacts
from spiketype.datasets.waveforms.inputs import histograms, inputs
from spiketype.datasets.waveforms.read import load
from spiketype.datasets.waveforms.seen import Seen, seen
from spiketype.datasets.waveforms.shape import NEEDED_KHZ, WAVE_MS, largest, measure
from spiketype.datasets.waveforms.table import GroupWord, WaveformTable
from spiketype.edge import Json, UserError

DIGITS = "digits"
DIGIT_LEVELS = 16.0


class Form(NamedTuple):
    """What a matrix of units looks like: new data are brought into the form of those that were trained on.

    Attributes:
        features: columns of the matrix.
        shape: (channel, time) of the waveforms, or (row, column) of the digits.
        sd: what waveforms and histograms were divided by; empty: nothing.
        rate_kHz: sampling rate of the waveforms; None for digits.
        contact_um: positions of the channels, where all are seen and their places are known.
    """

    features: int
    shape: tuple[int, int]
    sd: tuple[float, ...]
    rate_kHz: float | None
    contact_um: tuple[tuple[float, ...], ...] | None = None

    @classmethod
    def from_json(cls, values: Json) -> "Form":
        """Return what `_asdict` took apart."""
        channels, times = values["shape"]
        places = values.get("contact_um")
        contact_um = None if places is None else tuple(tuple(place) for place in places)
        return cls(values["features"], (channels, times), tuple(values.get("sd", ())), values["rate_kHz"], contact_um)


def read(
    options: WaveformOptions, path: Path, like: Form | None = None, labels: bool = True
) -> tuple[WaveformTable, list[Float[np.ndarray, "row _"]], Form]:
    """Return the table of a path, its waveforms (row, channel x time), what else is seen of them, and their form.

    After the waveforms come the measures of a shape, and the histograms.

    Args:
        options: of the task.
        path: of the data.
        like: the form of the data that a model was trained on.
        labels: read them.

    Raises:
        UserError: as `load` and `inputs`; data that cannot be brought into the form.
    """
    table = load(path, options.label if labels else None, options.rate_kHz, options.flip)
    if like:
        table = _in_order(path, table, like, _places(options, table))
    parts, shape, rate_kHz = (_shape if options.inputs == "shape" else _samples)(options, path, table, like)
    rest = None if like is None else like.features - sum(part.shape[1] for part in parts)
    if options.histograms and (found := histograms(table)).shape[1]:
        if rest == 0:
            reading.note(path, "its histograms are not used: the network was trained on data without any")
        else:
            parts.append(found)
    form = Form(sum(part.shape[1] for part in parts), shape, (), rate_kHz, _places(options, table))
    check_features(path, form, like)
    return table, parts, form


def _places(options: WaveformOptions, table: WaveformTable) -> tuple[tuple[float, ...], ...] | None:
    """Return the positions of the channels, None where one channel is seen or they are not known."""
    if options.inputs == "shape" or options.channels != "all" or table.contact_um is None or len(table.contact_um) < 2:
        return None
    return tuple(tuple(place) for place in table.contact_um.tolist())


def _in_order(
    path: Path, table: WaveformTable, like: Form, places: tuple[tuple[float, ...], ...] | None
) -> WaveformTable:
    """Return a table with its channels in the order of those that were trained on.

    Raises:
        UserError: they are at other places.
    """
    if like.contact_um is None or places is None or len(places) != len(like.contact_um):
        if like.shape[0] > 1 and (like.contact_um is None) != (places is None):
            reading.note(path, "of these data, or of those trained on, it is not known where the channels are")
        return table
    order = contacts.order(np.array(places), np.array(like.contact_um))
    if order is None:
        raise UserError(
            f"{path} has its {len(places)} channels at other places than the data that the network was trained on:"
            " train with --inputs shape, or with --channels largest and a --window-ms that both have"
        )
    if (order != np.arange(len(order))).any():
        reading.note(path, "its channels are read in the order of those trained on, by their positions")
    return replace(table, waveform=table.waveform[:, order], contact_um=np.array(like.contact_um))


_Inputs = tuple[list[Float[np.ndarray, "row _"]], tuple[int, int], float]  # parts, (channel, time), sampling rate


def _samples(options: WaveformOptions, path: Path, table: WaveformTable, like: Form | None) -> _Inputs:
    rate_kHz = like.rate_kHz if like else None
    x = inputs(table, rate_kHz, options.window_ms, options.channels, options.normalise)
    shape, rate_kHz = (x.shape[1], x.shape[2]), rate_kHz or table.rate_kHz
    if like and shape != like.shape:
        raise UserError(
            f"{path} has waveforms of {shape[0]} channels x {shape[1]} times at {rate_kHz:g} kHz, the network was"
            f" trained on {like.shape[0]} x {like.shape[1]}: train with --inputs shape, or with --channels largest and"
            " a --window-ms that both have"
        )
    return [x.reshape(len(x), -1)], shape, rate_kHz


def _shape(options: WaveformOptions, path: Path, table: WaveformTable, like: Form | None) -> _Inputs:
    if options.window_ms is not None:
        raise UserError("--window-ms is for --inputs samples: a shape has a window of its own")
    if table.rate_kHz < NEEDED_KHZ:
        told = f"below {NEEDED_KHZ:g} kHz the width of a spike is a matter of two or three samples"
        reading.note(path, f"has {table.rate_kHz:g} kHz: {told}, so that calls of its shape are doubtful")
    measured = measure(largest(table.waveform), table.rate_kHz)
    wave, widths = measured.wave.astype(np.float32), measured.three.astype(np.float32)
    return [wave, widths], (1, wave.shape[1]), 1 / float(WAVE_MS[1] - WAVE_MS[0])


def check_features(path: Path, form: Form, like: Form | None) -> None:
    """Refuse data with more or fewer inputs than a model was trained on.

    Raises:
        UserError: it gives both numbers.
    """
    if like and form.features != like.features:
        raise UserError(
            f"{path} gives {form.features} inputs, the network was trained on {like.features}: it needs the same"
            " histograms (isi, autocorrelogram) with as many bins, or train with --no-histograms"
        )


@dataclass(frozen=True)
class Units:
    """Units without regard to their labels, which judge a clustering of them.

    Attributes:
        x: waveforms of all channels and times, then what the histograms say; each of the two divided by its standard
            deviation over units and features, so that shapes stay.
        form: of x.
        label: index into `class_names`, -1 unknown.
        class_names: empty without labels.
        animal: index into `animal_names`.
        animal_names: of the groups.
        group_word: what an animal is here, as `WaveformTable.group_word`.
        unit_names: for tables.
        source: for messages.
        fingerprint: of the samples as they were read.
        seen: the waveforms, for pictures; None of digits.
    """

    x: Float[np.ndarray, "unit feature"]
    form: Form
    label: Int[np.ndarray, " unit"]
    class_names: tuple[str, ...]
    animal: Int[np.ndarray, " unit"]
    animal_names: tuple[str, ...]
    group_word: GroupWord
    unit_names: tuple[str, ...]
    source: str
    fingerprint: str
    seen: Seen | None = None

    @property
    def group(self) -> Int[np.ndarray, " unit"]:
        """What intervals redraw: animals (or what stands for them), or units where there is one."""
        return self.animal if len(np.unique(self.animal)) > 1 else np.arange(len(self.animal))


def read_units(options: WaveformOptions, path: Path, like: Form | None = None) -> Units:
    """Return the units of a path, or scikit-learn's handwritten digits; labels are read where nothing is `like`.

    Raises:
        UserError: as `read`; a single unit to train on.
    """
    if path.name == DIGITS and not path.exists():  # a run's configuration has it as an absolute path
        units = _digits()
        check_features(path, units.form, like)
        return units
    table, parts, form = read(options, path, like, labels=like is None)
    if len(table.waveform) < 2 and not like:
        raise UserError(f"{path} has one unit: clustering needs several")
    sd = like.sd if like else tuple(float(part.std(axis=0).mean()) for part in parts)
    whole = np.concatenate([part / by for part, by in zip(parts, sd, strict=True)], axis=1).astype(np.float32)
    return Units(
        x=whole,
        form=form._replace(sd=sd),
        label=table.label,
        class_names=table.class_names,
        animal=table.animal,
        animal_names=table.animal_names,
        group_word=table.group_word,
        unit_names=tuple(table.unit_names[k] for k in table.unit),
        source=str(path),
        fingerprint=fingerprint(table.waveform),
        seen=seen(options, table, form.rate_kHz),
    )


def _digits() -> Units:
    """Return handwritten digits, 1797 of 8 x 8: the benchmark of clustering without a download."""
    found = load_digits()
    x, count = (found.data / DIGIT_LEVELS).astype(np.float32), len(found.target)
    return Units(
        x=x,
        form=Form(x.shape[1], (8, 8), (1.0,), None),
        label=found.target.astype(np.int32),
        class_names=tuple(map(str, range(10))),
        animal=np.zeros(count, np.int32),
        animal_names=("all",),
        group_word="animal",
        unit_names=tuple(map(str, range(count))),
        source=DIGITS,
        fingerprint=fingerprint(x),
    )
