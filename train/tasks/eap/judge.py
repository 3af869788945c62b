"""The judgement of the tasks on EAP stores: on test parts, on other stores; and calls of samples without labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from spiketype import reading
from spiketype.datasets import eap
from spiketype.datasets.eap import EapTable, Inputs
from spiketype.datasets.splits import Split
from spiketype.edge import Json
from spiketype.location import Location
from spiketype.models import classifiers
from spiketype.train.judging.calls import Calls, scatter
from spiketype.train.judging.figures import calls_confusion, reliability_figure, training_figure
from spiketype.train.judging.report import number, text_table
from spiketype.train.task import History, Judgement, Variables, known_labels, new_where
from spiketype.train.tasks.eap import figures, metrics
from spiketype.train.tasks.eap.config import EapTaskConfig
from spiketype.train.tasks.eap.metrics import AMPLITUDE, DISTANCE, Resampling
from spiketype.train.tasks.eap.model import EapModel, classes_of, other_inputs, seen_of
from spiketype.train.tasks.eap.origin import RECORDED_OTHERWISE, rotation, tell_differences
from spiketype.train.tasks.eap.positions import Positions, position_summary

BASELINE_SAMPLES = 20_000
POSITION_RESAMPLES = 500  # of draws for the intervals of positions
TITLES = {"mtype": "m-type", "binary": "excitatory or inhibitory", "location": "soma position"}
MAJORITY, LOGISTIC = "majority class", "logistic regression"


def judge(
    config: EapTaskConfig,
    table: EapTable,
    inputs: Inputs,
    label: np.ndarray | None,
    split: Split,
    make_model: Callable[[Variables], EapModel],
    variables: Variables,
    history: History,
) -> Judgement:
    """Judge all members on their test parts."""
    model = make_model(variables)
    tests = np.zeros((len(model.members), len(table.cell)), bool)
    for mine, member in zip(tests, model.members, strict=True):
        mine[split.folds[member["fold"]].test] = True
    found, rows = _of_seeds(model, inputs, tests)
    test = Tested(
        config.task,
        f"{_what(config)}, rotations {rotation(table.store)}",
        split.kind,
        len(split.folds),
        Resampling(not split.optimistic, config.seed),
        history,
    )
    if label is None:
        means = [np.tile(table.position_um[f.train].mean(axis=0), (len(f.test), 1)) for f in split.folds]
        mean_um = scatter(split.folds, 1, len(table.cell), means)[0, rows]
        judgement = of_positions(_positions(table, rows, found), mean_um, test)
    else:
        calls = _calls(table, rows, found, label[rows], model.classes)
        others = _baselines(calls, rows, inputs, label, split, config.seed)
        judgement = of_calls(table.cell_names, calls, others, test)
    return replace(judgement, model=model, figures={"inputs": _examples(table, inputs), **judgement.figures})


def _what(config: EapTaskConfig) -> str:
    """Return in words what is learned, and from what."""
    seen = [figures.LABELS[name].partition(" (")[0] for name in eap.IMAGES[config.features]]
    inputs = "waveforms" if config.features == "waveform" else f"images of {' and '.join(seen)}"
    return f"{TITLES[config.task]} from {inputs}"


class Tested(NamedTuple):
    """What a judgement is of: the task, the title of pictures, the split's name, folds, intervals, and the training."""

    task: str
    title: str
    split: str
    folds: int
    how: Resampling
    history: History


def _of_seeds(model: EapModel, inputs: Inputs, tests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means over the members of each seed that test a sample (seed, row, output), and the tested samples (row,).

    tests: (member, sample) bool.
    """
    seeds = sorted({member["seed"] for member in model.members})
    total: dict[int, np.ndarray] = {}
    count = np.zeros((len(seeds), tests.shape[1]))
    for m, member in enumerate(model.members):
        k, rows = seeds.index(member["seed"]), np.flatnonzero(tests[m])
        found = model.outputs(m, inputs, rows)
        total.setdefault(k, np.zeros((tests.shape[1], found.shape[1])))[rows] += found
        count[k, rows] += 1
    kept = np.flatnonzero((count > 0).all(axis=0))
    return np.stack([total[k][kept] / count[k, kept, None] for k in range(len(seeds))]), kept


def _calls(
    table: EapTable, rows: np.ndarray, probability: np.ndarray, label: np.ndarray, classes: Sequence[str]
) -> Calls:
    return Calls(
        probability=probability,
        label=label.astype(np.int32),
        group=table.cell[rows],
        class_names=tuple(classes),
        row_names=tuple(map(str, rows.tolist())),
        measured={DISTANCE: table.distance_um[rows], AMPLITUDE: table.amplitude_uV[rows]},
    )


def _positions(table: EapTable, rows: np.ndarray, predicted_um: np.ndarray) -> Positions:
    names = tuple(map(str, rows.tolist()))
    return Positions(predicted_um, table.position_um[rows], table.cell[rows], table.cell_names, names)


def _baselines(
    calls: Calls, rows: np.ndarray, inputs: Inputs, label: np.ndarray, split: Split, seed: int
) -> dict[str, Calls]:
    """Return the commonest class and logistic regression on the same inputs and folds (or 20,000 samples of them)."""
    classes = len(calls.class_names)
    found: dict[str, list[np.ndarray]] = {MAJORITY: [], LOGISTIC: []}
    for fold in split.folds:
        train = fold.train
        found[MAJORITY].append(classifiers.majority(label[train], len(fold.test), classes))
        if len(train) > BASELINE_SAMPLES:
            train = np.sort(np.random.default_rng(seed).choice(train, BASELINE_SAMPLES, replace=False))
        x = inputs.rows(train), inputs.rows(fold.test)
        found[LOGISTIC].append(classifiers.logistic_of_images(x[0], label[train], x[1], classes))
    whole = {name: scatter(split.folds, 1, len(label), each)[:, rows] for name, each in found.items()}
    return {name: calls.of(np.repeat(each, len(calls.probability), axis=0)) for name, each in whole.items()}


def _examples(table: EapTable, inputs: Inputs) -> Figure:
    """Draw the largest EAP of (up to 20) cell models as the network's inputs, as in Fig. 3; of a waveform its depth."""
    cells = np.unique(table.cell)[:20]
    largest = np.array([max(np.flatnonzero(table.cell == c), key=lambda i: table.amplitude_uV[i]) for c in cells])
    images = inputs.measured(largest)
    if inputs.lattice:
        images = np.where(images[..., -1:] > 0, images[..., :-1], np.nan)  # blank where no contact is near
    if inputs.images == eap.IMAGES["waveform"]:
        images = -images.min(axis=-1, keepdims=True)
    names = [table.cell_names[c].split("_")[1] if "_" in table.cell_names[c] else table.cell_names[c] for c in cells]
    title = "Inputs: the largest EAP of each cell model; where it is below 5 µV, its width is that of the window"
    return figures.feature_figure(
        np.moveaxis(images, -1, 1), names, [figures.LABELS[name] for name in inputs.images], title
    )


def of_calls(cell_names: tuple[str, ...], calls: Calls, others: Mapping[str, Calls], test: Tested) -> Judgement:
    """Judge calls of samples, whose groups are the cell models, beside others."""
    result = {"task": test.task} | metrics.summary(calls, cell_names, test.how, test.split, test.folds, others)
    heading = figures.heading(test.title, result)
    drawn = {
        "confusion": calls_confusion({"network": calls}, heading),
        "reliability": reliability_figure({"network": calls, **others}, heading),
        "cells": figures.cells_figure(result, test.title),
        "curves": figures.curves_figure(result, test.title),
        **_training(test, heading),
    }
    return Judgement(result, calls, drawn, others=others)


def of_positions(positions: Positions, mean_um: np.ndarray, test: Tested) -> Judgement:
    """Judge positions beside always saying `mean_um` (row, 3)."""
    how = test.how._replace(resamples=POSITION_RESAMPLES)
    result = {"task": test.task} | position_summary(positions, mean_um, how, test.split, test.folds)
    drawn = {"location": figures.location_figure(positions, result, test.title)}
    return Judgement(result, positions, drawn | _training(test, figures.heading(test.title, result)))


def _training(test: Tested, heading: str) -> dict[str, Figure]:
    return {"training": training_figure(test.history, heading)} if test.history else {}


def evaluate(config: EapTaskConfig, model: EapModel, data: Location) -> Judgement:
    """Judge a trained network on another store with labels: on cell models that a member was not trained on, if any.

    A seed's call of a sample is the mean over those of its members that were not trained on the sample's cell model.

    Raises:
        UserError: the samples of the training itself; classes that the network does not know.
    """
    table, inputs = eap.load(data), other_inputs(config, model.about, data)
    trained_on = [set(member["trained_on"]) for member in model.members]
    new = np.array([[name not in cells for name in table.cell_names] for cells in trained_on])[:, table.cell]
    by_group = bool(new.any(axis=1).all())
    same, placed = np.isin(seen_of(table), model.seen)
    # Another recording of a placement is new to members that do not know the cell, and to no others.
    fresh = new_where(~same if by_group else ~(same | placed), data, "samples")
    if not by_group and model.seen.ndim == 1 and model.seen.size:
        reading.note(
            data,
            "the run, of an older version, knows its samples by their amplitudes alone: if this is another recording of"
            " the same placements (the same seed, with other noise or another probe), it is judged on what it was"
            " trained on",
        )
    tell_differences(model.about, data)
    found, rows = _of_seeds(model, inputs, (new if by_group else np.ones_like(new)) & fresh)
    title, how = f"{_what(config)}, {data.name}", Resampling(by_group, config.seed)
    test = Tested(config.task, title, "other store", len(model.members), how, [])
    if not model.classes:
        mean_um = np.tile(np.mean([m["mean_um"] for m in model.members], axis=0), (len(rows), 1))
        return of_positions(_positions(table, rows, found), mean_um, test)
    label, names = classes_of(config, table)
    assert label is not None  # the model has classes
    known = known_labels(model.classes, names, label[rows], data)
    return of_calls(table.cell_names, _calls(table, rows, found, known, model.classes), {}, test)


def predict(config: EapTaskConfig, model: EapModel, data: Location) -> dict[str, np.ndarray]:
    """Return the columns of a table, one row a sample: the mean over members, and how far they differ.

    No class is called of samples with other noise or another recording chain: networks are sure of them, and wrong.
    """
    each = model.each(other_inputs(config, model.about, data))
    otherwise = tell_differences(model.about, data)
    names = np.arange(each.shape[1])
    mean, sd = each.mean(axis=0), each.std(axis=0)
    if not model.classes:
        axes = list(enumerate("xyz"))
        return {"row": names, **{f"{a}_um": mean[:, i] for i, a in axes}, **{f"{a}_sd_um": sd[:, i] for i, a in axes}}
    unknown = np.full(len(names), -1, np.int32)
    spread = {"sd_over_members": sd[names, mean.argmax(axis=1)]}
    calls = Calls(each, unknown, names.astype(np.int32), model.classes, tuple(map(str, names.tolist())), spread)
    return calls.table(config.certain, {RECORDED_OTHERWISE: np.full(len(names), otherwise)})


def cell_table(summary: Json) -> str:
    """Return Tables II and III of one run: a line per cell model, the statistics over cells, the baselines."""
    rows = [
        [row["cell"], row["class"], str(row["samples"]), number(row["accuracy_percent"])] for row in summary["per_cell"]
    ]
    for name in ("mean", "median", "max", "min", "sd"):
        rows.append([f"{name} over cells", "", "", number(summary["over_cells_percent"][name])])
    rows.append(["balanced accuracy", "", "", number(summary["balanced_accuracy_percent"])])
    for name, other in summary["baselines"].items():
        rows.append([f"{name}, mean over cells", "", "", number(other["over_cells_percent"]["mean"])])
    interval = f"{100 * summary['confidence']:.0f} % interval"
    return text_table(["cell model", "class", "samples", f"accuracy (%) [{interval}]"], rows)


def location_table(summary: Json) -> str:
    """Return errors in um: a line per statistic, ours, the constant baseline's and the difference."""
    interval = f"{100 * summary['confidence']:.0f} % interval"
    tables = [summary[name] for name in ("error_um", "baseline_error_um", "ours_minus_baseline_um")]
    rows = [[name.replace("_", " "), *(number(table[name]) for table in tables)] for name in summary["error_um"]]
    return text_table([f"error (um) [{interval}]", "network", "training mean", "difference"], rows)
