"""The judgement of the subclass task: out-of-fold probabilities of what is offered, of LSPIN and of the baselines."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.metrics import confusion_matrix

from spiketype.datasets.allen import spikes as allen_spikes
from spiketype.datasets.allen.table import AllenTable
from spiketype.datasets.splits import Fold
from spiketype.edge import progress
from spiketype.models.lspin import LSPIN
from spiketype.train import runs
from spiketype.train.judging import metrics as allen_metrics
from spiketype.train.judging import nested as allen_baselines
from spiketype.train.judging import predictions as allen_output
from spiketype.train.judging.scale import Scale
from spiketype.train.tasks.subclass import (
    explain as subclass_explain,
)
from spiketype.train.tasks.subclass import (
    figures as subclass_figures,
)
from spiketype.train.tasks.subclass import (
    new as subclass_new,
)
from spiketype.train.tasks.subclass import (
    offered as subclass_ensemble,
)
from spiketype.train.tasks.subclass import (
    splits as subclass_splits,
)

LSPIN_NAME, OFFERED = "LSPIN", "support vectors and networks"
WITH_SPIKES = f"{OFFERED}, with action potentials"


class Member(NamedTuple):
    """One training: the number of its fold, over all repeats, and its seed."""

    fold: int
    seed: int


class Cells(NamedTuple):
    """Inputs of the model offered: x (cell, features + shape), the number of features, whether shapes are known."""

    x: np.ndarray
    features: int
    spikes: bool

    @classmethod
    def of(cls, table: AllenTable) -> "Cells":
        """Of a table, with the action potentials of its folder."""
        spikes = allen_spikes.load(table.source, table.specimen_id)
        return cls(np.concatenate([table.x, spikes], axis=1), table.x.shape[1], bool(np.isfinite(spikes).any()))


def say(net: LSPIN, variables: Any, member: int, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (cell, class) and gates (cell, feature) that a member gives to standardised cells z."""
    own = jax.tree.map(lambda a: a[member], variables)
    said: Any = net.apply(own, z)
    return np.asarray(jax.nn.softmax(said[0]), np.float64), np.asarray(said[2])


def judge(
    config: Any,
    net: LSPIN,
    table: AllenTable,
    parts: Sequence[Sequence[Fold]],
    scales: Sequence[Scale],
    members: Sequence[Member],
    about: dict[str, Any],
    variables: Any,
    history: list[dict[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    """Judge all models on the cells that their training parts do not have; write predictions and figures.

    The model offered is fitted to all cells at the end, for predictions of new ones.
    """
    for fold in parts[0]:
        if missing := subclass_splits.absent(table, fold):
            print(f"{fold.name}: no cell of {', '.join(missing)} is trained on, all are called wrong", file=sys.stderr)
    cells, folds = Cells.of(table), [fold for part in parts for fold in part]
    offered, drops = _offered(table, cells, parts, config.seed)
    seeds, gates = _lspin(config, net, table, parts, scales, members, variables)
    models = offered | {LSPIN_NAME: seeds.mean(axis=0)}
    classes, names = len(table.class_names), allen_baselines.available()
    models |= allen_baselines.out_of_fold(
        table.x, table.subclass, table.donor, classes, folds, scales, len(parts[0]), config.seed, names
    )
    tested = np.unique(np.concatenate([fold.test for fold in parts[0]]))
    result = summary(config, table, tested, parts, about, models, gates, drops)
    result["lspin_each_seed_percent"] = [_accuracy(table.subclass[tested], said[:, tested]) for said in seeds]
    allen_output.write_predictions(folder, models, table.subclass, table.specimen_id, table.class_names)
    subclass_figures.write(result, table, tested, models, gates, folder / "figures")
    runs.write_json(folder / runs.ABOUT, about | {subclass_new.KEPT: subclass_new.keep(table, cells.x, config.seed)})
    return result


def _offered(
    table: AllenTable, cells: Cells, parts: Sequence[Sequence[Fold]], seed: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Probabilities (repeat, cell, class) of the model with and without action potentials; importances of the first.

    Importances (class, feature): see `subclass_explain.drops`, means over the folds of the first repeat.
    """
    inputs = {WITH_SPIKES: cells.x} if cells.spikes else {}
    inputs |= {OFFERED: cells.x[:, : cells.features]}
    classes = len(table.class_names)
    found = {name: np.zeros((len(parts), len(table.x), classes)) for name in inputs}
    drops = []
    with progress() as bar:
        shown = bar.add_task("model offered", total=len(inputs) * sum(map(len, parts)))
        for repeat, part in enumerate(parts):
            for fold in part:
                for name, x in inputs.items():
                    train = (x[fold.train], table.subclass[fold.train], table.donor[fold.train])
                    model = subclass_ensemble.fit(*train, cells.features, classes, seed)
                    found[name][repeat, fold.test] = model.probability(x[fold.test])
                    bar.advance(shown)
                if repeat == 0:
                    test = (x[fold.test], table.subclass[fold.test])
                    drops.append(subclass_explain.drops(model, *test, cells.features, classes, seed))
    return found, subclass_explain.mean_known(drops)


def _lspin(
    config: Any,
    net: LSPIN,
    table: AllenTable,
    parts: Sequence[Sequence[Fold]],
    scales: Sequence[Scale],
    members: Sequence[Member],
    variables: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (seed, repeat, cell, class) and gates (seed, repeat, cell, feature)."""
    shape, per = (config.seeds, len(parts), len(table.x)), len(parts[0])
    ours = np.zeros((*shape, len(table.class_names)))
    gates = np.zeros((*shape, table.x.shape[1]), np.float32)
    for k, member in enumerate(members):
        repeat = member.fold // per
        test = parts[repeat][member.fold % per].test
        found = say(net, variables, k, scales[member.fold].apply(table.x[test]))
        seed = member.seed - config.seed
        ours[seed, repeat, test], gates[seed, repeat, test] = found
    return ours, gates


def summary(
    config: Any,
    table: AllenTable,
    tested: np.ndarray,
    parts: Sequence[Sequence[Fold]],
    about: dict[str, Any],
    models: Mapping[str, np.ndarray],
    gates: np.ndarray,
    drops: np.ndarray,
) -> dict[str, Any]:
    """All numbers of a judgement on the cells `tested`; models are probabilities (repeat, cell, class)."""
    y, donor = table.subclass[tested], table.donor[tested]
    said = {name: p[:, tested] for name, p in models.items()}
    rows = {name: allen_metrics.rates(y, p, donor, config.seed) for name, p in said.items()}
    ours = [name for name in (WITH_SPIKES, OFFERED, LSPIN_NAME) if name in models]
    others = [name for name in models if name not in ours]
    best = max(others, key=lambda name: rows[name]["accuracy_percent"]["value"])
    whole = np.isfinite(table.x[tested]).all(axis=1)
    return {
        "task": "subclass",
        "split": config.split,
        "optimistic": about["optimistic"],
        "classes": list(table.class_names),
        "features": list(table.feature_names),
        "cells": len(y),
        "donors": len(np.unique(donor)),
        "rows": rows,
        "complete_cells": {"cells": int(whole.sum())} | {name: _short(y[whole], said[name][:, whole]) for name in ours},
        "over_best_baseline": {
            name: {"baseline": best}
            | {
                m: allen_metrics.difference(y, said[name], said[best], donor, 0, measure)
                for m, measure in allen_metrics.MEASURES.items()
                if m in ("accuracy_percent", "macro_f1_percent", "nll")
            }
            for name in ours
        },
        "folds": [_fold(table, fold, {n: p[0] for n, p in models.items()}) for fold in parts[0]],
        "confusion": {
            name: np.sum([confusion_matrix(y, q.argmax(axis=1), labels=range(q.shape[1])) for q in p], axis=0).tolist()
            for name, p in said.items()
        },
        "gates": allen_metrics.gates(gates[:, :, tested]),
        "importance_nats": drops.tolist(),
    }


def _accuracy(y: np.ndarray, said: np.ndarray) -> float:
    return float(np.mean([allen_metrics.MEASURES["accuracy_percent"](y, p) for p in said]))


def _short(y: np.ndarray, said: np.ndarray) -> dict[str, float]:
    return {name: float(np.mean([measure(y, p) for p in said])) for name, measure in allen_metrics.MEASURES.items()}


def _fold(table: AllenTable, fold: Fold, models: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What a fold held out, which classes it lacks, and how the models did on it; None where a class is not tested."""
    y = table.subclass[fold.test]
    recall = {name: allen_metrics.recalls(y, p[fold.test])[1] for name, p in models.items()}
    return {
        "name": fold.name,
        "train_cells": np.bincount(table.subclass[fold.train], minlength=len(table.class_names)).tolist(),
        "test_cells": np.bincount(y, minlength=len(table.class_names)).tolist(),
        "absent": subclass_splits.absent(table, fold),
        "accuracy_percent": {name: 100 * allen_metrics.accuracy(y, p[fold.test]) for name, p in models.items()},
        "recall": {name: [None if np.isnan(v) else float(v) for v in each] for name, each in recall.items()},
    }
