"""The data of the unit task: labelled waveforms as one matrix, and what of them trains, adapts and tests."""

import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from spiketype.datasets import splits, waveforms
from spiketype.datasets.fingerprint import fingerprint
from spiketype.datasets.splits import Fold
from spiketype.datasets.waveforms import inputs as waveform_inputs
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.edge import UserError
from spiketype.train.tasks.unit.config import Split, UnitConfig

KINDS: dict[Split, str] = {"animal": "group", "unit": "group", "spike": "kfold"}


@dataclass(frozen=True)
class UnitData:
    """Labelled rows and their folds.

    Attributes:
        table: the rows with a label.
        x: waveforms of all channels and times, then what the histograms say.
        shape: (channel, time) of the waveforms.
        folds: of all repeats.
        adapt: rows of each fold's animal that fine-tune, which no model is tested on; None without fine-tuning.
        split: what is held out.
        optimistic: units have spikes on both sides.
    """

    table: WaveformTable
    x: Float[np.ndarray, "row feature"]
    shape: tuple[int, int]
    folds: tuple[Fold, ...]
    adapt: tuple[np.ndarray, ...] | None
    split: Split
    optimistic: bool


def read(
    config: UnitConfig, path: Path, shape: Sequence[int] | None = None, rate_kHz: float | None = None
) -> tuple[WaveformTable, Float[np.ndarray, "row feature"], tuple[int, int]]:
    """Return the table of a path, its inputs and their (channel, time), at `rate_kHz` and of `shape` if given.

    Raises:
        UserError: as `waveforms.load`; waveforms of another shape than `shape`.
    """
    table = waveforms.load(path, config.label, config.rate_kHz)
    x = waveform_inputs.inputs(table, rate_kHz, config.window_ms, config.channels, config.normalise)
    if shape is not None and x.shape[1:] != tuple(shape):
        raise UserError(
            f"{path} has waveforms of {x.shape[1]} channels x {x.shape[2]} times at {rate_kHz:g} kHz, the network was"
            f" trained on {shape[0]} x {shape[1]}: train with --channels largest and a --window-ms that both have"
        )
    features = [x.reshape(len(x), -1)]
    if config.histograms:
        features.append(waveform_inputs.histograms(table))
    return table, np.concatenate(features, axis=1), (x.shape[1], x.shape[2])


def prepare(config: UnitConfig, path: Path) -> UnitData:
    """Load the labelled rows and divide them.

    Raises:
        UserError: no classes, a single class or unit, a split that the data do not allow.
    """
    table, x, shape = read(config, path)
    keep = table.label >= 0
    if not keep.any():
        raise UserError(f"{path} has no labels: name their column with --label")
    if not keep.all():
        print(f"{path}: {int((~keep).sum())} of {len(keep)} rows without a label are not used", file=sys.stderr)
    table, x = table.take(keep), x[keep]
    units, classes = len(np.unique(table.unit)), len(np.unique(table.label))
    if min(units, classes) < 2:
        raise UserError(
            f"{path} has {units} labelled unit(s) of {classes} class(es): training needs two of both at least"
        )
    split = config.split or natural_split(table)
    folds, optimistic = _folds(config, table, split)
    adapt = None
    if config.finetune:
        chosen = [_adapting(config, table, fold) for fold in folds]
        adapt = tuple(rows for rows, _ in chosen)
        folds = [Fold(fold.train, test, fold.name) for fold, (_, test) in zip(folds, chosen, strict=True)]
    return UnitData(table, x, shape, tuple(folds), adapt, split, optimistic)


def natural_split(table: WaveformTable) -> Split:
    """Return what a result generalises to: animals if the table has several, else units."""
    return "animal" if len(np.unique(table.animal)) > 1 else "unit"


def labelled_fingerprint(table: WaveformTable) -> str:
    """Return what identifies the labelled waveforms of a table, whatever else it has."""
    return fingerprint(table.waveform[table.label >= 0])


def _folds(config: UnitConfig, table: WaveformTable, split: Split) -> tuple[list[Fold], bool]:
    if split == "spike" and table.level == "unit":
        raise UserError(f"{table.source} has one row for each unit: --split spike needs single spikes, choose unit")
    by_animal = split == "animal"
    group, names = (table.animal, table.animal_names) if by_animal else (table.unit, table.unit_names)
    kind = "leave-one-out" if config.finetune else KINDS[split]
    if by_animal and len(np.unique(group)) < 2:
        raise UserError(f"{table.source} has a single animal: choose --split unit")
    if split == "unit" and table.level == "unit":
        kind = "kfold"  # the same with fewer words: a group of one row is a row
    found = [
        splits.make(kind, table.label, group, names, config.folds, config.seed + repeat, by=split)
        for repeat in range(config.repeats)
    ]
    return [fold for split_ in found for fold in split_.folds], found[0].optimistic


def _adapting(config: UnitConfig, table: WaveformTable, fold: Fold) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of --finetune units of the tested animal, of every class in turn, and those of its others."""
    name = table.animal_names[table.animal[fold.test[0]]]
    rng = np.random.default_rng([config.seed, zlib.crc32(name.encode())])
    units, first = np.unique(table.unit[fold.test], return_index=True)
    order = rng.permutation(len(units))
    label = table.label[fold.test][first][order]
    turn = np.zeros(len(units), int)
    for k in np.unique(label):
        turn[label == k] = np.arange(np.sum(label == k))
    chosen = units[order][np.lexsort([np.arange(len(units)), turn])][: config.finetune]
    adapts = np.isin(table.unit[fold.test], chosen)
    if adapts.all():
        raise UserError(f"--finetune {config.finetune}: animal {name} has {len(units)} units, none is left to test on")
    return fold.test[adapts], fold.test[~adapts]
