"""The judgement of the species task: what all models say of the tested cells, and numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn.metrics import confusion_matrix

from spiketype.datasets.allen.table import SPECIES, AllenTable
from spiketype.models.dann import DANN
from spiketype.train.judging import metrics as allen_metrics
from spiketype.train.judging.nested import MAJORITY
from spiketype.train.judging.predictions import write_predictions
from spiketype.train.judging.report import number, text_table
from spiketype.train.tasks.species import baselines as species_baselines
from spiketype.train.tasks.species import domains as species_domains
from spiketype.train.tasks.species import figures as species_draw
from spiketype.train.tasks.species.cells import (
    CLASSES,
    HUMAN,
    TESTED,
    Domains,
    Part,
)
from spiketype.train.tasks.species.networks import NAMES
from spiketype.train.tasks.species.offered import AlignedSvc
from spiketype.train.tasks.species.shapley import shapley
from spiketype.train.tasks.species.trained import Trained

OFFERED = "aligned SVC"
PIECE = 4096


def judge(
    config: Any,
    net: DANN,
    table: AllenTable,
    parts: Sequence[Part],
    aligned: Sequence[AlignedSvc],
    about: dict[str, Any],
    variables: Any,
    history: list[dict[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    """Judge all models on the tested cells; write predictions and figures."""
    shape = (config.repeats, len(table.x), len(CLASSES))
    models = {OFFERED: np.zeros(shape)} | {NAMES[m]: np.zeros(shape) for m in config.methods}
    trained = Trained(net, about, variables)
    for fold, (part, one) in enumerate(zip(parts, aligned, strict=True)):
        cells, repeat = (table.x[part.test], table.species[part.test]), fold // config.fold_count
        models[OFFERED][repeat, part.test] = one.probability(*cells)
        for k, member in enumerate(trained.members):
            if member.part == fold:
                models[NAMES[member.method]][repeat, part.test] += trained.say(k, *cells)[0] / config.seeds
    models |= species_baselines.out_of_fold(table, parts, config.fold_count, config.baselines, config.seed)
    result = summary(config, table, parts, models, aligned)
    views, spread = look(table, parts[0], trained, config.seed)
    result["separability"] = spread
    explained = explain(table, parts[0], trained, config.seed)
    if explained is not None:
        result["shapley"] = dict(zip(table.feature_names, np.abs(explained[1]).mean(axis=0).tolist(), strict=True))
    write_predictions(folder, models, table.spiny, table.specimen_id, CLASSES)
    rows = np.concatenate([parts[0].mouse, parts[0].human])
    species_draw.write(folder / "figures", result, views, table.take(rows), history, trained.members, explained)
    return result


def summary(
    config: Any,
    table: AllenTable,
    parts: Sequence[Part],
    models: Mapping[str, np.ndarray],
    aligned: Sequence[AlignedSvc],
) -> dict[str, Any]:
    """All numbers about calls; models are probabilities (repeat, cell, class)."""
    tested = np.unique(np.concatenate([part.test for part in parts]))
    y, donor = table.spiny[tested], table.donor[tested]
    said = {name: p[:, tested] for name, p in models.items()}
    rows = {name: allen_metrics.rates(y, p, donor, config.seed) for name, p in said.items()}
    for name, p in said.items():
        rows[name]["accuracy_of_repeats_percent"] = [100 * allen_metrics.accuracy(y, each) for each in p]
    others = [name for name in models if name not in (OFFERED, *NAMES.values())]
    best = max(others, key=lambda name: rows[name]["accuracy_percent"]["value"])
    return {
        "task": "species",
        "labels": config.labels,
        "tested": SPECIES[TESTED[config.labels]],
        "transductive": any(np.isin(part.test, part.human).any() for part in parts),
        "cells": len(tested),
        "donors": len(np.unique(donor)),
        "offered": OFFERED,
        "rows": rows,
        "over_best_baseline": {
            name: {
                "baseline": best,
                "percent": allen_metrics.difference(y, said[name], said[best], donor, config.seed),
            }
            for name in models
            if name not in others
        },
        "confusion": {
            name: sum(confusion_matrix(y, each.argmax(axis=1), labels=(0, 1)) for each in p).tolist()
            for name, p in said.items()
        },
        "spiny_share": {
            "true": float(table.spiny[table.species == HUMAN].mean()),
            "by_iteration": [one.prior[:, 1].tolist() for one in aligned],
        },
    }


def look(table: AllenTable, part: Part, trained: Trained, seed: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The training cells of the first part before and after: features (cell, feature), how far apart species are."""
    rows = np.concatenate([part.mouse, part.human])
    x, species = table.x[rows], table.species[rows]
    domains = Domains.of(table, part)
    found = {
        "features": domains.mouse.apply(x).astype(np.float64),
        "each species in its own scale": domains.apply(x, species, domains.rate),
    }
    for method in dict.fromkeys(m.method for m in trained.members):
        found[f"learned by {NAMES[method]}"] = trained.say(trained.number(0, method), x, species)[1]
    spread = {
        name: species_domains.separability(z, species, table.spiny[rows], table.donor[rows], seed)
        for name, z in found.items()
    }
    return found, spread


def explain(table: AllenTable, part: Part, trained: Trained, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Inputs (cell, feature) of tested cells of the first part and Shapley values of the last method's network."""
    k = trained.number(0, trained.members[-1].method)
    apply = jax.jit(lambda z: trained.apply(k, z)[0][:, 1])

    def spiny(z: np.ndarray) -> np.ndarray:
        padded = np.zeros((-(-len(z) // PIECE) * PIECE, z.shape[1]), np.float32)  # one shape, one compilation
        padded[: len(z)] = z
        return np.asarray(apply(padded), np.float64)[: len(z)]

    z, background = (trained.inputs(k, table.x[rows], table.species[rows]) for rows in (part.test, part.mouse))
    found = shapley(spiny, z, background, seed)
    return None if found is None else (z[found[0]], found[1])


def species_table(result: Mapping[str, Any]) -> str:
    """A line for every model, how far apart the species are, and what the numbers are of."""
    names = ("accuracy_percent", "balanced_accuracy_percent", "macro_f1_percent")
    rows = [
        [
            name + (" (offered)" if name == result["offered"] else ""),
            *(number(row[key]) for key in names),
            *("-" if value is None else f"{100 * value:.1f}" for value in row["recall"]),
            number(row["nll"], 3),
            number(row["ece"], 3),
            f"{row['accuracy_at_90_percent']['value']:.1f}",
        ]
        for name, row in result["rows"].items()
        if name != MAJORITY or len(result["rows"]) > 1
    ]
    header = ["model", "accuracy (%)", "balanced (%)", "macro F1 (%)", *(f"{c} found (%)" for c in CLASSES)]
    header += ["NLL", "ECE", "accuracy of the surest 90 % (%)"]
    words = f"{result['cells']} {result['tested']} cells of {result['donors']} donors, --labels {result['labels']}"
    if result["transductive"]:
        words += "; the tested cells, without labels, gave the human scale and class frequencies"
    parts = [text_table(header, rows), f"{words}; 95 % intervals over donors"]
    if "separability" in result:
        spread = [
            [name, f"{v['auc']:.3f}", f"{v['auc_within_class']:.3f}", f"{v['a_distance']:.2f}"]
            for name, v in result["separability"].items()
        ]
        parts += [text_table(["mouse from human by", "AUC", "AUC within class", "proxy A-distance"], spread)]
    return "\n\n".join(parts)
