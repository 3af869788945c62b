"""The judgement of a raphe run: calls of every cell by networks that have not seen it, and what they have to beat."""

from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from spiketype.datasets.raphe.shape import MEASURES, measures
from spiketype.datasets.raphe.table import RapheTable
from spiketype.datasets.splits import Split
from spiketype.edge import Json
from spiketype.models import evidence
from spiketype.models.classifiers import logistic, plain
from spiketype.models.evidence import Stages
from spiketype.train.config import Member
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.metrics import auc
from spiketype.train.task import History, Judgement, Variables
from spiketype.train.tasks.raphe import cells
from spiketype.train.tasks.raphe.cells import Tested
from spiketype.train.tasks.raphe.config import RapheTaskConfig
from spiketype.train.tasks.raphe.figures import figures
from spiketype.train.tasks.raphe.model import RapheModel, usual_of
from spiketype.train.tasks.raphe.networks import shares
from spiketype.train.tasks.raphe.summary import CALIBRATED, PUBLISHED, summary

RHYTHM = ("rate_Hz", "isi_cv")


def judge(
    config: RapheTaskConfig,
    table: RapheTable,
    split: Split,
    members: Sequence[Member],
    origin: Json,
    variables: Variables,
    history: History,
) -> Judgement:
    """Judge all members on their test parts.

    A cell is called by the networks that did not see its fold. Its calibration is fitted on the other folds' cells,
    each called by networks that did not see it; at the end one calibration of all cells is kept for new recordings.
    """
    tests = [fold.test for fold in split.folds]
    votes = []
    for number, test in enumerate(tests):
        mine = [(m, int(member.variant or 0)) for m, member in enumerate(members) if member.fold == number]
        votes.append(shares(config, variables, mine, table.spike_pA[test]))
    tested = cells.collect(table, tests, votes)
    after = tested.after([_calibration(table, tested, fold) for fold in range(len(tests))])
    calls = cells.calls(table, tested, after, [usual_of(table, fold.train) for fold in split.folds])
    others, single = _baselines(config, table, split, tested, calls)
    others = {PUBLISHED: calls.of(cells.of_serotonergic(cells.published(tested))), **others}
    models = {CALIBRATED: calls, **others}
    result = summary(config, table, tested, after, models, single, split)
    result["per_spike"] = _per_spike(table, tests, votes)
    if not split.optimistic:
        result["calibrated_on"] = "cells of other folds, called by networks that had not seen them"
    drawn = figures(result, table, tested.cells, models, history)
    model = RapheModel.fit(config, variables, table, tested, origin)
    return Judgement(result, calls, drawn, model, others, CALIBRATED)


def _calibration(table: RapheTable, tested: Tested, fold: int) -> Stages:
    """Return that of cells of the other folds; of all where there is one fold alone (optimistic, and said to be)."""
    label, rows = table.cell_label[tested.cells], tested.fold != fold
    rows = rows if len(np.unique(label[rows])) == 2 else np.ones(len(rows), bool)
    return evidence.calibrate_stages([tested.arriving[row] for row in np.flatnonzero(rows)], label[rows])


def _baselines(
    config: RapheTaskConfig, table: RapheTable, split: Split, tested: Tested, calls: Calls
) -> tuple[dict[str, Calls], dict[str, Calls]]:
    """Return the calls of each baseline by name, and of every single feature by name.

    Features are those of a cell's mean spike, which is what an electrophysiologist measures. A split by spike trains
    and tests on the same cells.
    """
    x = np.log(measures(tested.mean_pA)[0])
    rhythm = np.stack([getattr(table, name)[tested.cells] for name in RHYTHM], axis=1)
    both = np.concatenate([x, np.where(rhythm < 0, np.nan, rhythm)], axis=1)
    trees = HistGradientBoostingClassifier(random_state=config.seed, min_samples_leaf=5)
    pair = [MEASURES.index("udi_ms"), MEASURES.index("half_width_ms")]
    parts = [[np.isin(tested.cells, table.cell[part]) for part in (fold.train, fold.test)] for fold in split.folds]
    folds = [(np.flatnonzero(train), np.flatnonzero(test)) for train, test in parts]

    def called(model: HistGradientBoostingClassifier | Pipeline, x: np.ndarray) -> Calls:
        return calls.of(cells.of_serotonergic(plain(model, x, calls.label, folds)))

    single = {name: called(logistic(), x[:, [k]]) for k, name in enumerate(MEASURES)}
    return {
        "UDI alone": single["udi_ms"],
        "trough-to-peak and half width": called(logistic(), x[:, pair]),
        "shape features, logistic": called(logistic(), x),
        "shape, rate, regularity: boosted trees": called(trees, both),
    }, single


def _per_spike(table: RapheTable, tests: Sequence[np.ndarray], votes: Sequence[np.ndarray]) -> Json:
    """Return how the published votes call single spikes."""
    share = np.concatenate([vote.mean(axis=0) for vote in votes])
    label = table.label[np.concatenate(list(tests))]
    return {"accuracy_percent": 100 * float(((share > 0.5) == (label == 1)).mean()), "auc": auc(label, share)}
