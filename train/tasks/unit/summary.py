"""The numbers of the unit task, by unit and by spike, as JSON: intervals over what was held out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from spiketype.datasets.waveforms.table import NOT_SAID
from spiketype.train.judging import metrics as allen_metrics
from spiketype.train.judging.intervals import RESAMPLES, Estimate, bootstrap
from spiketype.train.tasks.unit.data import UnitData

BALANCED = "balanced_accuracy_percent"


def summary(config: Any, data: UnitData, models: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """All numbers of a judgement; models are probabilities (repeat, row, class), NaN where a row is not tested."""
    table = data.table
    first = next(iter(models.values()))
    tested = np.flatnonzero(np.isfinite(first).all(axis=(0, 2)))
    held_out = table.animal if data.split == "animal" else table.unit
    units, of_unit = np.unique(table.unit[tested], return_index=True)
    y, group = table.label[tested][of_unit], held_out[tested][of_unit]
    by_unit = {name: unit_means(said[:, tested], table.unit[tested]) for name, said in models.items()}
    rows = {name: plain(allen_metrics.rates(y, said, group, config.seed)) for name, said in by_unit.items()}
    ours, others = split_names(models)
    best = max(others, key=lambda name: rows[name][BALANCED]["value"], default=None)
    result = {
        "task": "unit",
        "split": data.split,
        "optimistic": data.optimistic,
        "classes": list(table.class_names),
        "units": len(units),
        "units_of_class": np.bincount(y, minlength=len(table.class_names)).tolist(),
        # None: the source does not say, and units of one animal may be on both sides.
        "animals": None if table.animal_names == (NOT_SAID,) else len(np.unique(table.animal[tested])),
        "rows": rows,
        "each_repeat": {
            name: [100 * allen_metrics.balanced_accuracy(y, repeat) for repeat in said]
            for name, said in by_unit.items()
        },
        "confusion": {
            name: sum(
                confusion_matrix(y, p.argmax(axis=1), labels=range(len(table.class_names))) for p in said
            ).tolist()
            for name, said in by_unit.items()
        },
    }
    if best is not None:
        result["over_best_baseline"] = {
            name: {
                "baseline": best,
                "percent": plain(
                    allen_metrics.difference(
                        y, by_unit[name], by_unit[best], group, config.seed, allen_metrics.MEASURES[BALANCED]
                    )
                ),
            }
            for name in ours
        }
    if table.level == "spike":
        label, of_spike = table.label[tested], held_out[tested]
        result["spikes"] = len(tested)
        result["by_spike"] = {
            name: plain(spike_rates(label, said[:, tested], of_spike, config.seed)) for name, said in models.items()
        }
    return result


def _confusion(y: np.ndarray, said: np.ndarray) -> list[list[int]]:
    """Counts (true, called) over all repeats of said (repeat, unit, class)."""
    return sum(confusion_matrix(y, p.argmax(axis=1), labels=range(said.shape[2])) for p in said).tolist()


def split_names(models: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The names of what has a network in it, and of the baselines."""
    ours = [name for name in models if "network" in name]
    return ours, [name for name in models if name not in ours]


def unit_means(said: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Mean probabilities (repeat, unit, class) over the rows of each unit (row,), in ascending order of units."""
    units, index, count = np.unique(unit, return_inverse=True, return_counts=True)
    sums = np.zeros((len(said), len(units), said.shape[2]))
    for one, each in zip(sums, said, strict=True):
        np.add.at(one, index, each)
    return sums / count[:, None]


def spike_rates(label: np.ndarray, said: np.ndarray, group: np.ndarray, seed: int) -> dict[str, Any]:
    """Accuracy and balanced accuracy (%) of single spikes; groups (row,) are redrawn as sums of their confusions."""
    classes = said.shape[2]
    groups, index = np.unique(group, return_inverse=True)
    counts = np.zeros((len(groups), classes, classes))
    for each in said:
        np.add.at(counts, (index, label, each.argmax(axis=1)), 1 / len(said))

    def both(rows: np.ndarray) -> np.ndarray:
        confusion = counts[rows].sum(axis=0)
        size = confusion.sum(axis=1)
        recall = np.diag(confusion)[size > 0] / size[size > 0]
        return 100 * np.array([np.trace(confusion) / size.sum(), recall.mean()])

    found = bootstrap(both, np.arange(len(groups)), np.random.default_rng(seed), RESAMPLES)
    return {
        name: Estimate(*(end[k] for end in found))._asdict() for k, name in enumerate(("accuracy_percent", BALANCED))
    }


def plain(value: Any) -> Any:
    """Nested dicts and lists with None for NaN, which JSON has not."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if value is None or isinstance(value, str):
        return value
    return float(value) if np.isfinite(value) else None
