"""The judgement of the subclass task: out-of-fold probabilities of what is offered, of LSPIN and of the baselines."""

import sys
from collections.abc import Mapping, Sequence
from statistics import mean, stdev

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from spiketype.datasets.allen import splits
from spiketype.datasets.allen.cells import with_shapes
from spiketype.datasets.allen.table import AllenTable
from spiketype.datasets.fingerprint import of_names
from spiketype.datasets.splits import Fold, inner_folds
from spiketype.edge import Json, progress
from spiketype.models import explain, lspin
from spiketype.models.ensemble import Inputs, fit
from spiketype.models.explain import PerFeature
from spiketype.models.lspin import LSPIN
from spiketype.models.options import FOREST_NAME
from spiketype.models.scale import Scale
from spiketype.train.config import Member
from spiketype.train.judging import baselines, metrics
from spiketype.train.judging.calls import Calls, held_out, scatter
from spiketype.train.judging.figures import calls_confusion, reliability_figure
from spiketype.train.judging.intervals import plain
from spiketype.train.judging.metrics import MEASURES
from spiketype.train.judging.report import number, text_table
from spiketype.train.task import TRAINING_PARTS, History, Judgement, Variables, of_member
from spiketype.train.tasks.subclass import figures
from spiketype.train.tasks.subclass.config import SubclassConfig
from spiketype.train.tasks.subclass.model import SubclassModel, headline, widths

LSPIN_NAME, OFFERED = "LSPIN", "support vectors and networks"
WITH_SPIKES = f"{OFFERED}, with action potentials"
OURS = (WITH_SPIKES, OFFERED, LSPIN_NAME)
COMPARED = ("accuracy_percent", "macro_f1_percent", "nll")
COLUMNS = {
    "accuracy (%)": ("accuracy_percent", 1),
    "balanced (%)": ("balanced_accuracy_percent", 1),
    "macro F1 (%)": ("macro_f1_percent", 1),
    "NLL": ("nll", 3),
    "ECE": ("top_calibration_error", 3),
    "at 90 % coverage": ("accuracy_at_90_percent", 1),
    "at 80 %": ("accuracy_at_80_percent", 1),
}

Parts = Sequence[Sequence[Fold]]  # the folds of each repeat
PerRepeat = Float[np.ndarray, "repeat cell class"]


def judge(
    config: SubclassConfig,
    net: LSPIN,
    table: AllenTable,
    parts: Parts,
    optimistic: bool,
    scales: Sequence[Scale],
    members: Sequence[Member],
    variables: Variables,
    history: History,
) -> Judgement:
    """Judge all models on the cells that their training parts do not have.

    The model offered is fitted to all cells at the end, for predictions of new ones.
    """
    for fold in parts[0]:
        if missing := splits.absent(table, fold):
            print(f"{fold.name}: no cell of {', '.join(missing)} is trained on, all are called wrong", file=sys.stderr)
    x, folds = with_shapes(table), [fold for part in parts for fold in part]
    found, importance = _offered(table, x, parts, config.seed)
    first = next(iter(found))
    seeds, opened = _lspin(net, table, folds, len(parts), scales, members, variables)
    names = baselines.available()
    found |= {LSPIN_NAME: seeds.mean(axis=0)}
    found |= baselines.out_of_fold(
        table.x, table.subclass, table.donor, len(table.class_names), folds, scales, len(parts), config.seed, names
    )
    rows = held_out(folds)
    part, opened = table.take(rows), opened[:, :, rows]
    known = (part.subclass, part.donor, part.class_names, tuple(map(str, part.specimen_id)))
    models = {name: Calls(p[:, rows], *known) for name, p in found.items()}
    result = summary(config, table, parts, optimistic, models) | {
        TRAINING_PARTS: [of_names(table.specimen_id[fold.train].astype(str).tolist()) for fold in folds],
        "gates": lspin.stability(opened),
        "importance_nats": importance.tolist(),
        "lspin_each_seed_percent": [models[first].of(p[:, rows]).value(MEASURES["accuracy_percent"]) for p in seeds],
    }
    drawn = draw(result, part, models, opened.mean(axis=(0, 1)), importance)
    model = SubclassModel.fit(table, x, config.seed)
    return Judgement(result, models.pop(first), drawn, model, models, first)


def _offered(table: AllenTable, x: Inputs, parts: Parts, seed: int) -> tuple[dict[str, PerRepeat], PerFeature]:
    """Return probabilities of the model with and without action potentials, and importances of the latter.

    The probabilities are NaN where not tested. Importances: see `explain.drops`, means over the folds of the first
    repeat.
    """
    features, classes, drops = table.x.shape[1], len(table.class_names), []
    inputs = {OFFERED if width == features else WITH_SPIKES: x[:, :width] for width in widths(x, features)}
    found: dict[str, list[np.ndarray]] = {name: [] for name in inputs}
    folds = [fold for part in parts for fold in part]
    with progress() as bar:
        shown = bar.add_task("model offered", total=len(inputs) * len(folds))
        for number, fold in enumerate(folds):
            y = table.subclass[fold.train]
            inner = inner_folds(y, table.donor[fold.train], seed)
            for name, seen in inputs.items():
                model = fit(seen[fold.train], y, inner, features, classes)
                found[name].append(model.probability(seen[fold.test]))
                bar.advance(shown)
            if number < len(parts[0]):
                test = (seen[fold.test], table.subclass[fold.test])
                drops.append(explain.drops(model.probability, *test, features, classes, seed))
    whole = {name: scatter(folds, len(parts), len(table.x), each) for name, each in found.items()}
    return whole, explain.mean_known(drops)


def _lspin(
    net: LSPIN,
    table: AllenTable,
    folds: Sequence[Fold],
    repeats: int,
    scales: Sequence[Scale],
    members: Sequence[Member],
    variables: Variables,
) -> tuple[Float[np.ndarray, "seed repeat cell class"], Float[np.ndarray, "seed repeat cell feature"]]:
    """Return the probabilities and gates of each seed, NaN where not tested."""
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for k, member in enumerate(members):  # the folds of a seed are in order
        z = scales[member.fold].apply(table.x[folds[member.fold].test])
        found.setdefault(member.seed, []).append(lspin.predict(net, of_member(variables, k), z))
    probability, opened = (
        np.stack([scatter(folds, repeats, len(table.x), [fold[which] for fold in each]) for each in found.values()])
        for which in (0, 1)
    )
    return probability, opened.astype(np.float32)


def summary(
    config: SubclassConfig, table: AllenTable, parts: Parts, optimistic: bool, models: Mapping[str, Calls]
) -> Json:
    """Return the numbers of all models."""
    result = headline(config.split, optimistic, models, config.seed)
    ours = [name for name in OURS if name in models]
    best = baselines.best(result["rows"], [name for name in models if name not in ours], "accuracy_percent")
    rows = held_out([fold for part in parts for fold in part])
    whole = np.isfinite(table.x[rows]).all(axis=1)
    return result | {
        "features": list(table.feature_names),
        "complete_cells": {"cells": int(whole.sum())}
        | {name: {m: models[name].take(whole).value(MEASURES[m]) for m in MEASURES} for name in ours if whole.any()},
        "over_best_baseline": {
            name: {"baseline": best} | {m: models[name].difference(models[best], 0, m) for m in COMPARED}
            for name in ours
        },
        "folds": [_fold(table, fold, rows, models) for fold in parts[0]],
        "confusion": {name: calls.confusion() for name, calls in models.items()},
    }


def _fold(table: AllenTable, fold: Fold, rows: Int[np.ndarray, " tested"], models: Mapping[str, Calls]) -> Json:
    """Return what a fold held out, which classes it lacks, and how the models did; None where a class is not tested."""
    mine = {name: calls.take(np.isin(rows, fold.test)) for name, calls in models.items()}
    y = table.subclass[fold.test]
    return {
        "name": fold.name,
        "train_cells": np.bincount(table.subclass[fold.train], minlength=len(table.class_names)).tolist(),
        "test_cells": np.bincount(y, minlength=len(table.class_names)).tolist(),
        "absent": splits.absent(table, fold),
        "accuracy_percent": {name: 100 * metrics.accuracy(y, calls.probability[0]) for name, calls in mine.items()},
        "recall": {name: plain(metrics.recalls(y, calls.probability[0])[1]) for name, calls in mine.items()},
    }


def draw(
    result: Json,
    part: AllenTable,
    models: Mapping[str, Calls],
    opened: Float[np.ndarray, "cell feature"],
    importance: PerFeature,
) -> dict[str, Figure]:
    """Draw all pictures of a judgement of the cells `part`; the first model is the one offered."""
    first, title = next(iter(models)), f"held out: {result['split']}"
    accuracy = {name: number(result["rows"][name]["accuracy_percent"]) for name in (first, LSPIN_NAME)}
    compared = {f"{name}\naccuracy {text} %": models[name] for name, text in accuracy.items()}
    curves = {name: models[name] for name in (first, LSPIN_NAME, FOREST_NAME) if name in models}
    drawn = {
        "confusion": calls_confusion(compared, title),
        "importances": figures.importance_figure(importance, part),
        "reliability": reliability_figure(curves, title),
    }
    if len(part.x) > 2:
        wrong = models[first].mean.argmax(axis=1) != part.subclass
        drawn |= {"gates": figures.gates_figure(opened, part), "embedding": figures.map_figure(part, wrong)}
    return drawn


def subclass_table(result: Json) -> str:
    """Return a line for every model, what the numbers are of, and each part where it has a name."""
    rows = [
        [name, *(number(row[key], digits) for key, digits in COLUMNS.values())] for name, row in result["rows"].items()
    ]
    groups = "cells" if result["donors"] is None else "donors"
    words = f"{result['cells']} cells"
    words += ", whose donors are not said" if result["donors"] is None else f" of {result['donors']} donors"
    words += f", split: {result['split']}"
    words += " (optimistic: cells of tested donors are trained on)" if result["optimistic"] else ""
    text = [text_table(["model", *COLUMNS], rows), f"{words}; 95 % intervals over {groups}", _classes(result)]
    if "gates" in result and result["gates"]["jaccard"] is not None:
        opened = result["gates"]
        correlation = "unknown" if opened["correlation"] is None else f"{opened['correlation']:.2f}"
        text.append(
            f"LSPIN: {opened['open']:.1f} of {opened['features']} gates open in a cell; across seeds their correlation "
            f"is {correlation}, the Jaccard index of gates above 0.5 {opened['jaccard']:.2f}"
        )
    each = result.get("lspin_each_seed_percent", [])
    if len(each) > 1:
        text.append(f"one LSPIN alone: {mean(each):.1f} ± {stdev(each):.1f} % (mean and sd of {len(each)} seeds)")
    if result["split"] in ("era", "line"):
        text.append(_folds(result))
    return "\n".join(text)


def _classes(result: Json) -> str:
    name, row = next(iter(result["rows"].items()))
    share = [["-" if v is None else f"{100 * v:.1f}" for v in row[key]] for key in ("precision", "recall")]
    names = [each.replace("|", "\\|") for each in result["classes"]]  # a bar would end the cell of a table
    rows = [list(values) for values in zip(names, *share, strict=True)]
    return text_table([name, "precision (%)", "recall (%)"], rows)


def _folds(result: Json) -> str:
    models = list(result["rows"])
    rows = [
        [fold["name"], str(sum(fold["test_cells"])), ", ".join(fold["absent"]) or "-"]
        + [f"{fold['accuracy_percent'][name]:.1f}" for name in models]
        for fold in result["folds"]
    ]
    return "accuracy (%) of each part that is held out\n" + text_table(["part", "cells", "not trained", *models], rows)
