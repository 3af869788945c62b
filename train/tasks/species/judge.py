"""The judgement of the species task: what all models call the tested cells, and how good that is."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from spiketype.datasets.allen.species import HUMAN, Part
from spiketype.datasets.allen.table import DENDRITES, AllenTable
from spiketype.datasets.fingerprint import of_names
from spiketype.datasets.splits import inner_folds
from spiketype.edge import Json
from spiketype.models.classifiers import nested
from spiketype.models.options import SVC_NAME
from spiketype.models.scale import Scale
from spiketype.models.species import AlignedSvc
from spiketype.train.judging.baselines import available, best, out_of_fold
from spiketype.train.judging.calls import Calls, held_out, scatter
from spiketype.train.judging.metrics import accuracy
from spiketype.train.judging.report import number, text_table
from spiketype.train.task import TRAINING_PARTS, History, Judgement, Variables
from spiketype.train.tasks.species import figures
from spiketype.train.tasks.species.config import METHODS, SpeciesConfig
from spiketype.train.tasks.species.explain import separability, shapley, views_of
from spiketype.train.tasks.species.model import OFFERED, calls_figures, calls_of, for_new_cells, headline
from spiketype.train.tasks.species.networks import Networks, cells_of, domains_of

OWN_SCALE = "SVC, each species in its own scale"
Probabilities = dict[str, Float[np.ndarray, "repeat cell class"]]  # of models, NaN where not tested


def judge(
    config: SpeciesConfig,
    table: AllenTable,
    about: Json,
    parts: Sequence[Part],
    aligned: Sequence[AlignedSvc],
    networks_of: Callable[[Variables], Networks],
    variables: Variables,
    history: History,
) -> Judgement:
    """Judge all models on the tested cells.

    `about` is the manifest; `parts` are those of all repeats, each with its `aligned` support vectors.
    """
    networks = networks_of(variables)
    found = of_parts(config, table, parts, aligned, networks) | baselines(config, table, parts)
    rows = held_out([part.fold for part in parts])
    calls = calls_of(table.take(rows), {name: probability[:, rows] for name, probability in found.items()})
    first = parts[0]
    views, trained = views_of(table, first, networks), table.take(np.concatenate([first.mouse, first.human]))
    summary = summarise(config, table, parts, aligned, calls)
    names = table.specimen_id.astype(str)
    summary[TRAINING_PARTS] = [of_names(names[part.fold.train].tolist()) for part in parts]
    summary["separability"] = separability(views, trained, config.seed)
    explained = shapley(table, first, networks, config.seed)
    if explained is not None:
        values = np.abs(explained[1]).mean(axis=0).tolist()
        summary["shapley"] = dict(zip(table.feature_names, values, strict=True))
    drawn = calls_figures(calls, summary)
    drawn |= figures.draw(summary, views, trained, history, networks.members, explained)
    model = for_new_cells(config, table, aligned, networks, about)
    return Judgement(summary, calls.pop(OFFERED), drawn, model, calls, OFFERED)


def of_parts(
    config: SpeciesConfig,
    table: AllenTable,
    parts: Sequence[Part],
    aligned: Sequence[AlignedSvc],
    networks: Networks,
) -> Probabilities:
    """Return what the support vectors and, averaged over seeds, the networks of each part give for its test cells."""
    folds, cells = [part.fold for part in parts], [cells_of(table, part.test) for part in parts]
    found = {OFFERED: [one.probability(each) for one, each in zip(aligned, cells, strict=True)]}
    for method in config.methods:
        found[METHODS[method].title] = [
            np.sum([networks.probability(k, each) / config.seeds for k in networks.numbers(method, fold)], axis=0)
            for fold, each in enumerate(cells)
        ]
    return {name: scatter(folds, config.repeats, len(table.x), each) for name, each in found.items()}


def baselines(config: SpeciesConfig, table: AllenTable, parts: Sequence[Part]) -> Probabilities:
    """Return what models of scikit-learn give for the test cells of parts, their hyperparameters by inner folds.

    All are in the scale of the cells whose labels they are trained on: raw transfer, where these are mouse and the
    tested are human. `OWN_SCALE` standardises each species by itself, which is what most would do.
    """
    folds = [part.fold for part in parts]
    scales = [Scale.of(table.x[fold.train]) for fold in folds]
    names = [name for name in available() if name in config.baselines]
    given = table.x, table.spiny, table.donor, len(DENDRITES)
    found = out_of_fold(*given, folds, scales, config.repeats, config.seed, names)
    if SVC_NAME in names and (table.species[parts[0].test] == HUMAN).any():  # in mouse alone it would be the same
        each = [_own_scale(table, part, config.seed) for part in parts]
        found[OWN_SCALE] = scatter(folds, config.repeats, len(table.x), each)
    return found


def _own_scale(table: AllenTable, part: Part, seed: int) -> np.ndarray:
    """Return probabilities (test cell, class) of support vectors on cells in the scale of their species."""
    domains, train = domains_of(table, part), part.fold.train
    z, test = (domains.apply(cells_of(table, rows), domains.rate) for rows in (train, part.test))
    inner = inner_folds(table.spiny[train], table.donor[train], seed)
    return nested(SVC_NAME, z, table.spiny[train], inner, test, len(DENDRITES))


def summarise(
    config: SpeciesConfig,
    table: AllenTable,
    parts: Sequence[Part],
    aligned: Sequence[AlignedSvc],
    calls: Mapping[str, Calls],
) -> Json:
    """Return all numbers about calls; arguments as of `judge`."""
    summary = headline(config, calls, any(np.isin(part.test, part.human).any() for part in parts))
    rows, ours = summary["rows"], (OFFERED, *(METHODS[method].title for method in config.methods))
    for name, each in calls.items():
        rows[name]["accuracy_of_repeats_percent"] = [100 * accuracy(each.label, p) for p in each.probability]
    baseline = best(rows, [name for name in calls if name not in ours], "accuracy_percent")
    gap = {name: calls[name].difference(calls[baseline], config.seed) for name in ours}
    return summary | {
        "over_best_baseline": {name: {"baseline": baseline, "percent": value} for name, value in gap.items()},
        "confusion": {name: each.confusion() for name, each in calls.items()},
        "spiny_share": {
            "true": float(table.spiny[table.species == HUMAN].mean()),
            "by_iteration": [one.prior[:, 1].tolist() for one in aligned],
        },
    }


def species_table(result: Json) -> str:
    """Return a line for every model, how far apart the species are, and what the numbers are of."""
    names = ("accuracy_percent", "balanced_accuracy_percent", "macro_f1_percent")
    rows = [
        [
            name + (" (offered)" if name == result["offered"] else ""),
            *(number(row[key]) for key in names),
            *("-" if value is None else f"{100 * value:.1f}" for value in row["recall"]),
            number(row["nll"], 3),
            number(row["top_calibration_error"], 3),
            f"{row['accuracy_at_90_percent']['value']:.1f}",
        ]
        for name, row in result["rows"].items()
    ]
    header = ["model", "accuracy (%)", "balanced (%)", "macro F1 (%)", *(f"{c} found (%)" for c in DENDRITES)]
    header += ["NLL", "ECE", "accuracy of the surest 90 % (%)"]
    words = f"{result['cells']} {result['tested']} cells of {result['donors']} donors, --labels {result['labels']}"
    if result["transductive"]:
        words += "; the tested cells, without labels, gave the human scale and class frequencies"
    pieces = [text_table(header, rows), f"{words}; 95 % intervals over donors"]
    if result.get("separability"):
        spread = [
            [name, f"{v['auc']:.3f}", f"{v['auc_within_class']:.3f}", f"{v['a_distance']:.2f}"]
            for name, v in result["separability"].items()
        ]
        pieces += [text_table(["mouse from human by", "AUC", "AUC within class", "proxy A-distance"], spread)]
    return "\n\n".join(pieces)
