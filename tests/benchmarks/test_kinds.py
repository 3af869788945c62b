"""Benchmarks of public files, of digits and of spikes: made, and scored as the task of the same data scores."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spiketype.bench import predictions
from spiketype.bench.make import make
from spiketype.bench.score import score
from spiketype.datasets.benchmarks import folder, specification
from spiketype.datasets.benchmarks.folder import Made
from spiketype.datasets.benchmarks.samples import Samples
from spiketype.datasets.benchmarks.specification import Specification
from spiketype.edge import Json, UserError
from spiketype.simulator.eap.means import Means
from spiketype.train.judging.calls import Calls
from spiketype.train.tasks.cluster import scores
from spiketype.train.tasks.raphe import metrics as raphe
from tests import shared_data
from tests.benchmarks import tiny

PUBLIC = ("units-real", "allen-subclass", "allen-species")


def scored(made: Made, question: str, path: Path) -> Json:
    read = predictions.read(path, made.specification.questions[question], None)
    return score(made, question, [read])._asdict()


@pytest.mark.parametrize("name", PUBLIC)
def test_public_files_are_divided_as_it_was_frozen(name: str, tmp_path: Path) -> None:
    sources = shared_data.path("waveforms").parent
    place = make(name, tmp_path / "b", sources, Means())
    assert folder.verify(place) == len(tiny.content(place)) - 1
    made = folder.read(place, name)
    for question, about in made.specification.questions.items():
        part = made.samples[question]
        tests = part > 0 if part.dtype.kind == "i" else part == "test"
        rng, names = np.random.default_rng(0), made.samples["id"][tests]
        truth = np.array([about.classes.index(word) for word in made.samples[about.label][tests]])
        p = 0.5 * np.eye(len(about.classes))[truth] + 0.5 * rng.dirichlet(np.ones(len(about.classes)), len(names))
        columns = {f"p_{each}": p[:, k].tolist() for k, each in enumerate(about.classes)}
        found = scored(made, question, tiny.csv(tmp_path / "p.csv", names.tolist(), columns))
        group = np.unique(made.samples[about.group], return_inverse=True)[1][tests]
        expected = Calls(p[None], truth, group, about.classes, tuple(names)).rates(0)
        assert found["summary"] == expected
        assert found["numbers"][about.metric]["value"] > 90
    with pytest.raises(UserError, match=f"{name} is made at once: leave out --block-range"):
        make(name, tmp_path / "c", sources, Means(block_range="1/2"))


def test_digits_are_scored_as_the_cluster_task_does(tmp_path: Path) -> None:
    made = folder.read(make("cluster-digits", tmp_path / "b", None, Means()), "cluster-digits")
    assert not list((tmp_path / "b" / folder.SPLITS).iterdir())
    label = made.samples["digit"].astype(int)
    cluster = np.where(np.random.default_rng(0).random(len(label)) < 0.8, label, 3)
    named = [f"kind {k}" for k in (cluster + 5) % 10]
    found = scored(made, "digits", tiny.csv(tmp_path / "p.csv", made.samples["id"].tolist(), {"cluster": named}))
    for name, measure in scores.MEASURES.items():
        assert found["numbers"][name]["value"] == pytest.approx(measure(label, cluster))
    assert found["numbers"]["accuracy_percent"]["low"] < found["numbers"]["accuracy_percent"]["value"] < 95
    one = tiny.csv(tmp_path / "p.csv", made.samples["id"].tolist(), {"cluster": [0] * len(label)})
    assert scored(made, "digits", one)["numbers"]["ari"]["value"] == 0


def spikes(found: Specification) -> Samples:
    """Three spikes of each of two cells on every day."""
    tests = found.questions["cells-days"].split.tests
    days = sorted(day for fold in tests for day in fold)
    fold = {day: k + 1 for k, test in enumerate(tests) for day in test}
    day = np.repeat(days, 6)
    cell = np.array([f"{name}#{k % 6 // 3}" for k, name in enumerate(day.tolist())])
    serotonergic = np.where(np.arange(len(day)) % 6 < 3, "serotonergic", "non-serotonergic")
    part = np.array([fold[name] for name in day.tolist()], np.int32)
    return {
        "id": np.array([f"{name}/{k % 3}" for k, name in enumerate(cell.tolist())]),
        "cell": cell,
        "day": day,
        "serotonergic": serotonergic,
        "atypical": np.where((serotonergic == "serotonergic") & (np.arange(len(day)) // 6 % 4 == 0), "yes", "no"),
        "cells-days": part,
        "spikes-days": part,
    }


def test_cells_are_called_once_each_and_judged_as_the_raphe_task_does(tmp_path: Path) -> None:
    about = specification.load("raphe-sim")
    made = Made(about, spikes(about))
    frame = pd.DataFrame(made.samples).drop_duplicates("cell")
    p = np.random.default_rng(0).random(len(frame))
    columns = {"p_serotonergic": p.tolist(), "p_non-serotonergic": (1 - p).tolist()}
    found = scored(made, "cells-days", tiny.csv(tmp_path / "p.csv", frame["cell"].tolist(), columns))
    assert found["rows"] == len(frame) == 2 * len(set(frame["day"]))
    label, names = (frame["serotonergic"] == "serotonergic").to_numpy(int), tuple(frame["cell"])
    group = np.unique(frame["day"], return_inverse=True)[1]
    both = np.stack([1 - p, p], axis=1)[None]
    calls = Calls(both, label, group, ("non-serotonergic", "serotonergic"), names)
    assert found["summary"] == raphe.rates(calls, (frame["atypical"] == "yes").to_numpy(int), 0)
    assert set(found["numbers"]) >= {"balanced_accuracy_percent", "auc", "atypical_sensitivity_percent"}
    names = made.samples["id"].tolist()
    by_spike = tiny.csv(tmp_path / "q.csv", names, {name: [0.5] * len(names) for name in columns})
    with pytest.raises(UserError, match=r"row 2 \(\S+/0\) is unknown: names are such as"):
        scored(made, "cells-days", by_spike)


@pytest.mark.parametrize("name", ["raphe-sim", "raphe-confound"])
def test_every_question_has_its_metric(name: str, tmp_path: Path) -> None:
    about = specification.load(name)
    made = Made(about, spikes(about))
    for question, each in about.questions.items():
        names = list(dict.fromkeys(made.samples[each.row].tolist()))
        columns = {f"p_{word}": [0.5] * len(names) for word in each.classes}
        numbers = scored(made, question, tiny.csv(tmp_path / "p.csv", names, columns))["numbers"]
        assert numbers[each.metric]["value"] == 50
