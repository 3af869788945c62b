"""Benchmarks of public files, of digits and of spikes: made, and scored as the task of the same data scores."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts import benchmark_table
from spiketype.bench import predictions
from spiketype.bench import results as results_of
from spiketype.bench.make import make
from spiketype.bench.score import score
from spiketype.datasets.benchmarks import folder, specification
from spiketype.datasets.benchmarks.folder import Made
from spiketype.datasets.benchmarks.samples import Samples
from spiketype.datasets.benchmarks.specification import Specification
from spiketype.edge import Json, UserError
from spiketype.simulator.eap.means import Means
from spiketype.train import runs
from spiketype.train.judging.calls import Calls
from spiketype.train.tasks.cluster import scores
from spiketype.train.tasks.raphe import metrics as raphe
from tests import shared_data
from tests.benchmarks import tiny
from tests.benchmarks.test_made import bench

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
    for empty in ("", "nan"):
        gap = tiny.csv(tmp_path / "p.csv", made.samples["id"].tolist(), {"cluster": [*named[:3], empty, *named[4:]]})
        with pytest.raises(UserError, match=r"row 5: cluster is empty"):
            scored(made, "digits", gap)
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


def test_every_question_of_spikes_has_its_metric(tmp_path: Path) -> None:
    about = specification.load("raphe-sim")
    made = Made(about, spikes(about))
    for question, each in about.questions.items():
        names = list(dict.fromkeys(made.samples[each.row].tolist()))
        columns = {f"p_{word}": [0.5] * len(names) for word in each.classes}
        numbers = scored(made, question, tiny.csv(tmp_path / "p.csv", names, columns))["numbers"]
        assert numbers[each.metric]["value"] == 50


@pytest.fixture
def confounded(monkeypatch: pytest.MonkeyPatch) -> Made:
    """raphe-confound, of made-up spikes, as if it had been made."""
    made = Made(specification.load("raphe-confound"), spikes(specification.load("raphe-confound")))
    monkeypatch.setattr(folder, "read", lambda *_: made)
    return made


def asked(made: Made, path: Path, sure: float, share: float = 1.0) -> Path:
    """Every cell called right with a probability, or so many of them; the others not at all."""
    frame = pd.DataFrame(made.samples).drop_duplicates("cell")
    right = np.where(frame["serotonergic"] == "serotonergic", sure, 1 - sure)
    p = np.where(np.arange(len(frame)) < share * len(frame), right, 0.5)
    columns = {"p_serotonergic": p.tolist(), "p_non-serotonergic": (1 - p).tolist()}
    return tiny.csv(path, frame["cell"].tolist(), columns)


def test_who_is_right_where_noise_tells_the_class_took_the_bait(confounded: Made, tmp_path: Path, capsys) -> None:
    """The best answer to a question with a confound is none, and a wrong call is as much of a call as a right one."""
    results = tmp_path / "r"
    words = ("--question", "cells-days", "--results", results, "--save", "--method")

    def told(path: Path, method: str) -> str:
        status, out, err = bench(capsys, "score", "raphe-confound", path, *words, method)
        assert status == 0, err
        return out

    right = told(asked(confounded, tmp_path / "right.csv", 0.95), "right")
    assert "TOOK THE BAIT: Days have noise, hum and interference of their own" in right
    assert "A high accuracy is evidence of that, and not of skill." in right
    half = told(asked(confounded, tmp_path / "half.csv", 0.05, 0.5), "half of them, wrong")
    assert "by called_percent: place 1 beside 1 known, the best of them 100 (right)" in half
    assert "REFUSED: " in (none := told(asked(confounded, tmp_path / "none.csv", 0.79), "no call"))
    assert "place 1 beside 2 known, the best of them 50 (half of them, wrong)" in none
    kept = {read["method"]: read for read in map(results_of.read, (results / "raphe-confound").iterdir())}
    assert {name: (each["verdict"], each["numbers"]["called_percent"]["value"]) for name, each in kept.items()} == {
        "right": ("took the bait", 100), "half of them, wrong": ("took the bait", 50), "no call": ("refused", 0)
    }  # fmt: skip
    assert kept["right"]["numbers"]["balanced_accuracy_percent"]["value"] == 100  # and is last
    assert "spike-free windows alone name the class" in kept["right"]["confound"]
    page = benchmark_table.page(results)
    assert "**Confounded**: Days have noise" in page
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in page.splitlines() if line.startswith("|")]
    assert rows[0] == ["method", "verdict", "called percent"]
    assert [row[:2] for row in rows[2:]] == [
        ["no call", "refused"], ["half of them, wrong", "took the bait"], ["right", "took the bait"]
    ]  # fmt: skip


def test_a_run_that_declares_its_result_void_calls_nothing(confounded: Made, tmp_path: Path, capsys) -> None:
    """But what else is in its folder, such as a baseline, did not."""
    frame = pd.DataFrame(confounded.samples).drop_duplicates("cell")
    label = (frame["serotonergic"] == "serotonergic").to_numpy(np.int32)
    classes = ("non-serotonergic", "serotonergic")
    calls = Calls(np.eye(2)[None, label], label, np.zeros(len(label), np.int32), classes, tuple(frame["cell"]))
    run = tmp_path / "run"
    run.mkdir()
    calls.write(run / runs.PREDICTIONS, {"UDI alone": calls}, "ours")
    words = ("score", "raphe-confound", run, "--question", "cells-days", "--results", tmp_path / "r")
    assert "TOOK THE BAIT" in bench(capsys, *words)[1]
    (run / runs.SUMMARY).write_text('{"void": "windows alone reach AUC 0.83"}')
    status, out, err = bench(capsys, *words, "--save", "--method", "ours")
    assert status == 0, err
    assert "VOID by its own word: windows alone reach AUC 0.83\nREFUSED: Days have noise" in out
    (kept,) = map(results_of.read, (tmp_path / "r" / "raphe-confound").iterdir())
    assert (kept["void"], kept["verdict"]) == ("windows alone reach AUC 0.83", "refused")
    assert "TOOK THE BAIT" in bench(capsys, *words, "--model", "UDI alone")[1]
