"""The subclass task: its measures against scikit-learn, and the command line on a small table."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

from spiketype.datasets import allen
from spiketype.datasets.allen.features import FEATURES
from spiketype.edge import UserError
from spiketype.train import evaluate, predict, run
from spiketype.train.judging import metrics as allen_metrics
from spiketype.train.judging import nested as allen_baselines
from tests.datasets import allen_synthetic


def test_measures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, said = rng.integers(0, 5, 200), rng.dirichlet(np.ones(5), 200)
    called = said.argmax(axis=1)
    assert allen_metrics.balanced_accuracy(y, said) == pytest.approx(balanced_accuracy_score(y, called))
    assert allen_metrics.macro_f1(y, said) == pytest.approx(f1_score(y, called, average="macro"))
    assert allen_metrics.nll(y, said) == pytest.approx(log_loss(y, said, labels=range(5)))


def test_calibration_and_selection():
    said = np.tile([0.8, 0.2], (10, 1))
    y = np.array([0] * 8 + [1] * 2)
    assert allen_metrics.ece(y, said) == pytest.approx(0)
    assert allen_metrics.ece(np.zeros(10, int), said) == pytest.approx(0.2)
    sure = np.concatenate([np.tile([0.99, 0.01], (8, 1)), said[:2]])
    assert allen_metrics.selective(y, sure, 0.8) == 1


def test_gates_that_are_the_same_are_stable():
    opened = np.tile(np.random.default_rng(0).random((1, 2, 30, 5)), (3, 1, 1, 1))
    found = allen_metrics.gates(opened)
    assert found["correlation"] == pytest.approx(1)
    assert found["jaccard"] == pytest.approx(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty cells of thirty donors, five classes apart in the first features, some values missing."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("allen")
    y = np.repeat(np.arange(5), 24)
    x = rng.normal(size=(len(y), 41))
    x[np.arange(len(y)), y] += 6
    x = [f.usual for f in FEATURES.values()] * (1 + x / 20)
    x[rng.random(x.shape) < 0.02] = np.nan
    table = pd.DataFrame(x, columns=list(allen.FEATURES_41))
    ids = 1000 + np.arange(len(y))
    table = table.assign(
        file_name=[f"{i}_1" for i in ids],
        transgenic_line=[allen.CLASSES[k] for k in y],
        dendrite_type=np.where(y == 0, "spiny", "aspiny"),
    )
    table.to_csv(path / "mouse_ephys_data.csv", index=False)
    donors = pd.DataFrame({"specimen__id": ids, "donor__id": 50 + np.arange(len(y)) // 2})
    donors.to_csv(path / allen.DETAILS, index=False)
    return path


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """A run on the folder, judged against one baseline."""
    out = tmp_path_factory.mktemp("runs") / "run"
    options = ["--data", str(folder), "--steps", "200", "--folds", "2", "--repeats", "1", "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(allen_baselines, "available", lambda: (allen_baselines.LOGISTIC_NAME,))
        run.main(["--task", "subclass", *options])
    return out


def rows_of(path):
    with open(path) as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_run_judges_and_draws(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert not summary["optimistic"]
    assert summary["rows"]["LSPIN"]["accuracy_percent"]["value"] > 80
    assert summary["rows"]["support vectors and networks"]["accuracy_percent"]["value"] > 90
    assert summary["rows"]["majority"]["accuracy_percent"]["value"] < 40
    assert summary["gates"]["jaccard"] is not None
    # The classes of these cells are in the first five features.
    assert set(np.argsort(-np.mean(summary["importance_nats"], axis=0))[:5]) == set(range(5))
    for name in ("confusion", "gates", "importances", "reliability", "embedding"):
        assert (finished / "figures" / f"{name}.png").stat().st_size > 5000


@pytest.mark.slow
def test_calls_of_new_cells_with_columns_missing_unknown_and_in_another_order(folder, finished, tmp_path, capsys):
    new = pd.read_csv(folder / "mouse_ephys_data.csv").drop(columns=["transgenic_line", "dendrite_type", "tau"])
    new[new.columns[::-1]].assign(mood=1).to_csv(tmp_path / "cells.csv", index=False)
    predict.main(finished, tmp_path / "cells.csv", tmp_path / "calls.csv")
    told = capsys.readouterr().err
    assert "medians of the training cells are used for the missing: tau" in told
    assert "columns that the model does not know are not used: mood" in told
    assert "no action potentials: the model without them is used" in told
    rows = rows_of(tmp_path / "calls.csv")
    right = [row["likeliest"] == allen.CLASSES[k] for row, k in zip(rows, np.repeat(np.arange(5), 24), strict=True)]
    assert np.mean(right) > 0.9
    assert all(row["missing_features"] != "0" for row in rows)
    new.iloc[5:6].to_csv(tmp_path / "one.csv", index=False)
    predict.main(finished, tmp_path / "one.csv", tmp_path / "one-call.csv")
    (one,) = rows_of(tmp_path / "one-call.csv")
    assert one["likeliest"] == rows[5]["likeliest"]
    assert float(one["probability"]) == pytest.approx(float(rows[5]["probability"]), rel=1e-3)


@pytest.mark.slow
def test_evaluation_wants_labelled_cells_that_are_new(folder, finished, tmp_path, capsys):
    table = pd.read_csv(folder / "mouse_ephys_data.csv")
    with pytest.raises(UserError, match="trained on these cells"):
        evaluate.main(finished, folder)
    table["file_name"] = [f"{int(name.split('_')[0]) + 5000}_1" for name in table["file_name"]]
    table.to_csv(tmp_path / "new.csv", index=False)
    evaluate.main(finished, tmp_path / "new.csv")
    found = json.loads((finished / "evaluation-new" / "summary.json").read_text())
    assert found["rows"]["model offered"]["accuracy_percent"]["value"] > 90
    table.drop(columns="transgenic_line").to_csv(tmp_path / "bare.csv", index=False)
    with pytest.raises(UserError, match="has no labels"):
        evaluate.main(finished, tmp_path / "bare.csv")


def test_a_folder_without_tables_is_named(tmp_path):
    with pytest.raises(UserError, match=r"has neither mouse_ephys_data\.csv nor human_ephys_data\.csv"):
        run.main(["--task", "subclass", "--data", str(tmp_path), "--out", str(tmp_path / "run")])


@pytest.mark.slow
def test_another_table_of_lines_and_the_features_of_the_database(tmp_path, monkeypatch):
    monkeypatch.setattr(allen_baselines, "available", lambda: (allen_baselines.LOGISTIC_NAME,))
    rows = np.tile([1, 2], 40)  # Pvalb and Sst lines of the synthetic database, told apart by one ratio
    cells = allen_synthetic.details().iloc[rows].assign(specimen__id=1 + np.arange(80))
    cells.assign(donor__id=500 + np.arange(80) // 2 // 2).to_csv(tmp_path / allen.DETAILS, index=False)
    x = pd.concat([allen_synthetic.features(seed).iloc[rows[:2]] for seed in range(40)])
    x = x.assign(specimen_id=1 + np.arange(80), upstroke_downstroke_ratio_long_square=np.where(rows == 1, 1.5, 3.5))
    x.to_csv(tmp_path / "ephys_features.csv", index=False)
    lines = tmp_path / "lines.csv"
    lines.write_text("line,dendrite,class\nPvalb-IRES-Cre,aspiny,fast\nSst-IRES-Cre,aspiny,slow\n")
    options = ["--features", "27", "--lines", str(lines), "--steps", "50", "--folds", "2", "--repeats", "1"]
    run.main(["--task", "subclass", "--data", str(tmp_path), *options, "--out", str(tmp_path / "run")])
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["classes"], len(summary["features"])) == (["fast", "slow"], 27)
    assert summary["rows"]["support vectors and networks"]["accuracy_percent"]["value"] > 90
    predict.main(tmp_path / "run", tmp_path, tmp_path / "calls.csv")
    likeliest = [row["likeliest"] for row in rows_of(tmp_path / "calls.csv")]
    assert np.mean(np.array(likeliest) == np.where(rows == 1, "fast", "slow")) > 0.9
