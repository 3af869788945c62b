"""The score of predictions, by the very functions that judge a run of the same kind."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spiketype.bench.asked import Answered, Asked, answers, asked
from spiketype.bench.origin import AXES
from spiketype.bench.predictions import Predictions
from spiketype.datasets.benchmarks.divide import sides
from spiketype.datasets.benchmarks.folder import Made
from spiketype.datasets.benchmarks.samples import Samples
from spiketype.datasets.benchmarks.specification import CERTAIN, CONFOUNDED, Question
from spiketype.edge import Json, UserError
from spiketype.train.judging.calls import RESAMPLES, Calls
from spiketype.train.judging.intervals import Estimate, bootstrap
from spiketype.train.judging.metrics import MEASURES
from spiketype.train.tasks.cluster import scores as clusters
from spiketype.train.tasks.eap import metrics as eap
from spiketype.train.tasks.eap.judge import POSITION_RESAMPLES
from spiketype.train.tasks.eap.metrics import AMPLITUDE, DISTANCE, Resampling
from spiketype.train.tasks.eap.positions import Positions, position_summary
from spiketype.train.tasks.raphe import metrics as raphe

BALANCED = "balanced_accuracy_percent"
OF_PROBABILITY = ("nll", "top_calibration_error")
REFUSED, BAIT = "refused", "took the bait"  # verdicts on answers to a confounded question


class Score(NamedTuple):
    """How good predictions are.

    Attributes:
        numbers: name -> value, low and high.
        summary: all that a run of this kind says in its summary of the same predictions.
        rows: how many were called.
        sha256: of the predictions.
        void: why the run that made them declares its result void; "" where it does not.
        verdict: of a confounded question: whether it was answered; else "".
    """

    numbers: dict[str, Json]
    summary: Json
    rows: int
    sha256: str
    void: str
    verdict: str


def question_of(made: Made, given: str | None) -> str:
    """Return the name of the question that is meant: the one given, or the only one.

    Raises:
        UserError: there is none of that name, or there are several.
    """
    names = list(made.specification.questions)
    if given is None and len(names) > 1:
        raise UserError(f"{made.specification.name} has several questions: give --question, one of {', '.join(names)}")
    if given is not None and given not in names:
        raise UserError(f"{made.specification.name} has no question {given!r}: choose one of {', '.join(names)}")
    return given or names[0]


def score(made: Made, name: str, given: Sequence[Predictions]) -> Score:
    """Judge predictions of the test part of a question.

    Args:
        made: the benchmark.
        name: of the question.
        given: predictions, in one or several files.

    Raises:
        UserError: rows that are not those asked for.
    """
    question = made.specification.questions[name]
    rows = asked(question, name, made.samples)
    found = answers(question, rows, made.samples, given)
    kind = made.specification.generator.kind
    if question.answer == "cluster":
        numbers, summary = _clusters(question, rows, made.samples, found)
    elif question.answer == "position":
        numbers, summary = _positions(question, name, rows, made.samples, found)
    elif kind == "eap":
        numbers, summary = _eaps(question, rows, made.samples, found)
    elif kind == "raphe" and question.row == "cell":
        numbers, summary = _raphe_cells(question, rows, made.samples, found)
    else:
        summary = _calls(question, rows, made.samples, found).rates(found.seed)
        numbers = {measure: summary[measure] for measure in MEASURES}
    verdict = ""
    if question.confound:
        calls = _calls(question, rows, made.samples, found)
        numbers = {CONFOUNDED: _called(calls, found.seed)} | numbers
        verdict = REFUSED if numbers[CONFOUNDED]["value"] == 0 else BAIT
    return Score(numbers, summary, len(rows.names), found.sha256, found.void, verdict)


def _called(calls: Calls, seed: int) -> Json:
    """Return the share (%) of the rows of which a call is made, whether it is right or not."""
    called = (calls.mean.max(axis=1) >= CERTAIN).astype(float)
    rng = np.random.default_rng(seed)
    return bootstrap(lambda drawn: np.asarray(called[drawn].mean()), calls.group, rng, RESAMPLES).to_json(100.0)


def _calls(question: Question, rows: Asked, samples: Samples, found: Answered, measured: Sequence[str] = ()) -> Calls:
    """Return predictions as calls."""
    label = [question.classes.index(word) for word in rows.column(samples, question.label).tolist()]
    return Calls(
        probability=found.values,
        label=np.array(label, np.int32),
        group=_groups(question, samples)[1][rows.sample],
        class_names=question.classes,
        row_names=rows.names,
        measured={column: rows.column(samples, column) for column in measured},
    )


def _groups(question: Question, samples: Samples) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of groups, sorted as in all tables, and the group of each sample."""
    names, group = np.unique(samples[question.group], return_inverse=True)
    return tuple(names.tolist()), group.astype(np.int32)


def _eaps(question: Question, rows: Asked, samples: Samples, found: Answered) -> tuple[dict[str, Json], Json]:
    calls = _calls(question, rows, samples, found, (DISTANCE, AMPLITUDE))
    how = Resampling(not question.split.optimistic, found.seed)
    summary = eap.summary(calls, _groups(question, samples)[0], how, question.split.kind, rows.folds)
    numbers = {
        "accuracy_over_cells_percent": summary["over_cells_percent"]["mean"],
        "balanced_accuracy_percent": summary["balanced_accuracy_percent"],
    }
    return numbers | _of_probability(calls, how), summary


def _of_probability(calls: Calls, how: Resampling) -> dict[str, Json]:
    """Return how good the probabilities themselves are."""
    measures = [MEASURES[name] for name in OF_PROBABILITY]

    def every(rows: np.ndarray) -> np.ndarray:
        label = calls.label[rows]
        return np.array([np.mean([measure(label, p[rows]) for p in calls.probability]) for measure in measures])

    unit = calls.group if how.by_group else np.arange(len(calls.label))
    each = bootstrap(every, unit, how.rng, RESAMPLES)
    return {name: each.at(k).to_json() for k, name in enumerate(OF_PROBABILITY)}


def _positions(
    question: Question, name: str, rows: Asked, samples: Samples, found: Answered
) -> tuple[dict[str, Json], Json]:
    position_um = np.stack([samples[axis] for axis in AXES], axis=1)
    names, group = _groups(question, samples)
    given = Positions(found.values, position_um[rows.sample], group[rows.sample], names, rows.names)
    how = Resampling(not question.split.optimistic, found.seed, POSITION_RESAMPLES)
    mean_um = _training_means(samples[name], position_um)[rows.sample]
    summary = position_summary(given, mean_um, how, question.split.kind, rows.folds)
    return {f"{statistic}_um": each for statistic, each in summary["error_um"].items()}, summary


def _training_means(part: np.ndarray, position_um: np.ndarray) -> np.ndarray:
    """Return, for each sample, the mean position of those that train where it is tested; NaN where it is not."""
    found = np.full(position_um.shape, np.nan)
    for train, test in sides(part):
        found[test] = position_um[train].mean(axis=0)
    return found


def _raphe_cells(question: Question, rows: Asked, samples: Samples, found: Answered) -> tuple[dict[str, Json], Json]:
    calls = _calls(question, rows, samples, found)
    atypical = (rows.column(samples, "atypical") == "yes").astype(np.int32)
    summary = raphe.rates(calls, atypical, found.seed)
    numbers = {name: each for name, each in summary.items() if isinstance(each, dict)}
    balanced = calls.of(calls.probability[:1]).rates(found.seed, {BALANCED: MEASURES[BALANCED]})
    return numbers | {BALANCED: balanced[BALANCED]}, summary


def _clusters(question: Question, rows: Asked, samples: Samples, found: Answered) -> tuple[dict[str, Json], Json]:
    label = np.array([question.classes.index(word) for word in rows.column(samples, question.label).tolist()])
    _, cluster = np.unique(found.values[0, :, 0], return_inverse=True)
    summary = clusters.judge_rows(label, cluster[None], len(question.classes))
    right = clusters.right(label, cluster, len(question.classes))
    over_rows = bootstrap(
        lambda drawn: np.asarray(100.0 * right[drawn].mean()),
        _groups(question, samples)[1][rows.sample],
        np.random.default_rng(found.seed),
    )
    numbers = {name: Estimate(summary[name]["value"], np.nan, np.nan).to_json() for name in clusters.MEASURES}
    return numbers | {"accuracy_percent": over_rows.to_json()}, summary
