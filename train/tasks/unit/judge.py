"""The judgement of the unit task: what networks and baselines say of tested units and spikes; other data."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from spiketype.datasets.fingerprint import of_names
from spiketype.datasets.options import UnitSplit
from spiketype.datasets.waveforms.divide import natural
from spiketype.datasets.waveforms.seen import Seen, seen
from spiketype.datasets.waveforms.table import NOT_SAID, WaveformTable
from spiketype.edge import Json, UserError
from spiketype.models.options import FOREST_NAME, LOGISTIC_NAME, SVC_NAME
from spiketype.models.scale import Scale
from spiketype.models.unit_nets import UnitNet
from spiketype.train.config import Member
from spiketype.train.judging import baselines
from spiketype.train.judging.baselines import MAJORITY
from spiketype.train.judging.calls import Calls, held_out, scatter
from spiketype.train.judging.metrics import MEASURES, balanced_accuracy
from spiketype.train.judging.report import number, text_table
from spiketype.train.task import TRAINING_PARTS, History, Judgement, Variables, known_labels, new_where
from spiketype.train.tasks.unit import beginning
from spiketype.train.tasks.unit.config import UnitConfig
from spiketype.train.tasks.unit.figures import figures
from spiketype.train.tasks.unit.model import (
    UnitData,
    UnitModel,
    by_spike,
    by_unit,
    ensemble,
    inputs_of,
    known_by,
    usual_of,
)

TRAINED = "trained"  # the parameters that fine-tuning began with, beside those that it has left
NETWORK, TUNED = "network", "network, tuned on {} units of the animal"
AVERAGE = f"average of network, {SVC_NAME} and {LOGISTIC_NAME}"
BASELINES = (LOGISTIC_NAME, FOREST_NAME, SVC_NAME)
MOST_ROWS = 500  # of a table of spikes, of all units alike: the inner folds then take seconds, not hours
BALANCED = "balanced_accuracy_percent"
OF_SPIKES = {name: MEASURES[name] for name in ("accuracy_percent", BALANCED)}


def judge(
    config: UnitConfig,
    net: UnitNet,
    data: UnitData,
    scales: Sequence[Scale],
    members: Sequence[Member],
    variables: Variables,
    history: History,
) -> Judgement:
    """Judge all models on rows that their training parts do not have; what is offered is the network as it ends."""
    folds, split = data.division.folds, data.division.by
    ended = {"params": variables["params"]}
    networks = {NETWORK: {"params": variables.get(TRAINED, variables["params"])}}
    if config.finetune:
        networks[TUNED.format(config.finetune)] = ended
    models = {
        name: scatter(folds, config.repeats, len(data.x), ensemble(net, each, members, data, scales))
        for name, each in networks.items()
    }
    table, classes = data.table, data.table.class_names
    models |= baselines.out_of_fold(
        data.x, table.label, table.unit, len(classes), folds, scales, config.repeats, config.seed, BASELINES,
        most=MOST_ROWS if table.level == "spike" else None, even=True,
    )  # fmt: skip
    models = {AVERAGE: baselines.average(models, (NETWORK, SVC_NAME, LOGISTIC_NAME))} | models
    rows = held_out(folds)
    offered = UnitModel(
        net=net,
        variables=ended,
        members=tuple(members),
        scales=tuple(scales),
        classes=classes,
        form=data.form,
        seen=known_by(table).ravel(),
        groups=tuple(name for name in np.array(table.animal_names)[np.unique(table.animal)] if name != NOT_SAID),
        usual=usual_of(config, table),
    )
    parts = {name: each[:, rows] for name, each in models.items()}
    last, optimistic = list(networks)[-1], data.division.optimistic
    table = table.take(rows)
    judgement = _judgement(
        config, table, seen(config, table), data.x[rows, -1], split, optimistic, parts, last, history
    )
    names, adapt = np.array(table.unit_names), data.division.adapt or [np.zeros(0, int)] * len(folds)
    trained = [data.table.unit[np.r_[fold.train, rows]] for fold, rows in zip(folds, adapt, strict=True)]
    said = judgement.summary | {TRAINING_PARTS: [of_names(names[units].tolist()) for units in trained]}
    return dataclasses.replace(judgement, model=offered, summary=said)


def evaluate(config: UnitConfig, model: UnitModel, path: Path) -> Judgement:
    """Judge the network offered on other labelled waveforms, of units and of animals that it was not trained on.

    Raises:
        UserError: the waveforms of the training itself, or of its animals; no labels; classes that the network does
            not know; as `inputs_of`.
    """
    table, x = inputs_of(config, model, path)
    known = np.flatnonzero(table.label >= 0)
    if not len(known):
        raise UserError(f"{path} has no labels: use spiketype predict, or name their column with --label when training")
    before = np.logical_or.reduce(np.isin(known_by(table.take(known)), model.seen))
    new = new_where(~before, path, "waveforms")
    known = known[~np.isin(table.unit[known], table.unit[known[~new]])]  # all spikes of a unit
    if not len(known):
        raise UserError(f"{path}: the run was trained on spikes of all its units: give others")
    table = table.take(known)
    kept = _of_new_groups(model, table, path)
    table, x = table.take(kept), x[known][kept]
    label = known_labels(model.classes, table.class_names, table.label, path)
    table = dataclasses.replace(table, label=label, class_names=model.classes)
    models = {NETWORK: model.probability(x)[None]}
    shown = seen(config, table, model.form.rate_kHz)
    return _judgement(config, table, shown, x[:, -1], natural(table), False, models, NETWORK, [])


def _of_new_groups(model: UnitModel, table: WaveformTable, path: Path) -> Int[np.ndarray, " kept"]:
    """Return the rows of animals that were not trained on, and say on stderr how many units are of others.

    Raises:
        UserError: all of them were.
    """
    name = np.array(table.animal_names)[table.animal]
    known = np.isin(name, model.groups)
    shared, word = ", ".join(np.unique(name[known])[:3]), table.group_word
    if known.all():
        raise UserError(
            f"{path}: the run was trained on units of every {word} here ({shared}): give others, or other names if the "
            "names alone are the same"
        )
    if known.any():
        units = len(np.unique(table.unit[known]))
        print(f"{path}: {units} units left out: their {word}s were trained on ({shared})", file=sys.stderr)
    return np.flatnonzero(~known)


def _judgement(
    config: UnitConfig,
    table: WaveformTable,
    shown: Seen,
    last: np.ndarray,
    split: UnitSplit,
    optimistic: bool,
    models: Mapping[str, np.ndarray],
    name: str,
    history: History,
) -> Judgement:
    """Judge probabilities (repeat, row, class) of a table by unit and, of spikes, by spike; `name` is offered.

    shown: the waveforms of the rows, for the pictures.
    last: column of the inputs (row,), with ``--init`` what that model says.
    """
    units = {model: by_unit(table, each, split) for model, each in models.items()}
    spikes = {model: by_spike(table, each, split) for model, each in models.items() if table.level == "spike"}
    result: Json = {"task": config.task, "split": split, "optimistic": optimistic, "classes": list(table.class_names)}
    # None: the source does not say, and units of one animal may be on both sides.
    result["group"] = table.group_word
    result["animals"] = None if table.animal_names == (NOT_SAID,) else len(np.unique(table.animal))
    result |= summary(config.seed, units, spikes)
    if config.init is not None:
        said = np.bincount(table.unit, last)[np.unique(table.unit)] / np.unique(table.unit, return_counts=True)[1]
        result["init"] = {"model": config.init} | beginning.against(with_network(units), said, config.seed)
    result["abstention"] = {"model": name, **units[name].abstention(config.certain)}
    rows = spikes or units
    return Judgement(
        summary=result,
        calls=rows[name],
        figures=figures({model: units[model] for model in _shown(result)}, words(result), shown, table, history),
        others={model: calls for model, calls in rows.items() if model != name},
        name=name,
    )


def summary(seed: int, units: Mapping[str, Calls], spikes: Mapping[str, Calls]) -> Json:
    """Return the rates of all models by unit and, if there are any, by spike, and what those with a network gain."""
    first = next(iter(units.values()))
    rates = {name: calls.rates(seed) for name, calls in units.items()}
    result: Json = {
        "units": len(first.label),
        "units_of_class": np.bincount(first.label, minlength=len(first.class_names)).tolist(),
        "rows": rates,
        "each_repeat": {
            name: [100 * balanced_accuracy(calls.label, p) for p in calls.probability] for name, calls in units.items()
        },
        "confusion": {name: calls.confusion() for name, calls in units.items()},
    }
    simple = [name for name in units if name not in with_network(units)]
    if simple:
        best = baselines.best(rates, simple, BALANCED)
        result["over_best_baseline"] = {
            name: {"baseline": best, "percent": calls.difference(units[best], seed, BALANCED)}
            for name, calls in with_network(units).items()
        }
    if spikes:
        result["spikes"] = len(next(iter(spikes.values())).label)
        result["by_spike"] = {name: calls.rates(seed, OF_SPIKES) for name, calls in spikes.items()}
    return result


def with_network(models: Mapping[str, Calls]) -> dict[str, Calls]:
    """Return those that are no baselines."""
    return {name: calls for name, calls in models.items() if name not in (*BASELINES, MAJORITY)}


def _shown(result: Json) -> list[str]:
    """Return the models in the pictures: those with a network, and the best baseline."""
    gains = result.get("over_best_baseline")
    return [*gains, next(iter(gains.values()))["baseline"]] if gains else [NETWORK]


def unit_table(result: Json) -> str:
    """Return a line for every model, by unit and, of spikes, by spike; and what the numbers are of."""
    by_spike = result.get("by_spike", {})
    rows = []
    for name, row in result["rows"].items():
        line = [name, number(row[BALANCED]), number(row["accuracy_percent"]), number(row["nll"], 3)]
        line += ["-" if r is None else f"{100 * r:.0f}" for r in row["recall"]]
        rows.append(line + ([number(by_spike[name][BALANCED])] if by_spike else []))
    header = ["model", "balanced accuracy (%)", "accuracy (%)", "NLL", *(f"recall {c} (%)" for c in result["classes"])]
    header += ["balanced, single spikes (%)"] if by_spike else []
    began = f"\n\n{beginning_table(result['init'])}" if "init" in result else ""
    return f"{text_table(header, rows)}\n{words(result)}\n{no_call(result['abstention'])}{began}"


def beginning_table(result: Json) -> str:
    """Return how well excitatory units are told from others, beside the model that training began with."""
    name = result["model"]
    header = ["excitatory or not", "balanced accuracy (%)", f"over {name} alone"]
    rows = [[f"{name} alone", number(result["alone"][BALANCED]), ""]]
    rows += [
        [model, number(rates[BALANCED]), number(result["gain"][model])] for model, rates in result["models"].items()
    ]
    return text_table(header, rows)


def words(result: Json) -> str:
    """Return what was tested and how, in a sentence or two."""
    word, count = result.get("group", "animal"), result["animals"]  # summaries of older versions do not say it
    held_out = {"animal": f"{word}s held out", "unit": "units held out", "spike": "spikes held out at random"}
    of = "animals not said" if count is None else f"of {count} {word}{'s' * (count != 1)}"
    text = f"{result['units']} units ({of}), {held_out[result['split']]}"
    if "spikes" in result:
        text += f"; a unit's call is the mean over its spikes ({result['spikes']} in all)"
    if result["optimistic"]:
        text += "\nOPTIMISTIC: tested units have spikes that were trained on; this is recognising known units again"
    over = f"{word}s" if result["split"] == "animal" else "units"
    return f"{text}; 95 % intervals over {over}"


def no_call(rest: Json) -> str:
    """Return how many units the model offered does not call, and how many of its calls are right."""
    text = (
        f"{rest['model']}: no call below probability {rest['certain']:g} for {rest['abstained_percent']:.1f} % of units"
    )
    right = rest["accuracy_of_calls_percent"]
    return text if right is None else f"{text}; {right:.1f} % of the others are right"
