"""The subclass task: its measures against scikit-learn, and the command line on a small table."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

from datasets import allen
from datasets.edge import UserError
from train import predict, run
from train.tasks import allen_metrics


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
    donors.to_csv(path / allen.DONORS, index=False)
    return path


@pytest.mark.slow
def test_a_run_and_calls_of_new_cells(folder, tmp_path, capsys):
    out = tmp_path / "run"
    options = ["--data", str(folder), "--steps", "200", "--folds", "3", "--repeats", "1", "--out", str(out)]
    run.main(["--task", "subclass", *options])
    summary = json.loads((out / "summary.json").read_text())
    assert not summary["optimistic"]
    assert summary["rows"]["LSPIN"]["accuracy_percent"]["value"] > 80
    assert summary["rows"]["majority"]["accuracy_percent"]["value"] < 40
    assert summary["gates"]["jaccard"] is not None
    for name in ("confusion", "gates"):
        assert (out / "figures" / f"{name}.png").stat().st_size > 5000
    new = pd.read_csv(folder / "mouse_ephys_data.csv").drop(columns=["transgenic_line", "dendrite_type", "tau"])
    new.to_csv(tmp_path / "cells.csv", index=False)
    predict.main(out, tmp_path / "cells.csv", tmp_path / "calls.csv")
    assert "medians of the training cells are used: tau" in capsys.readouterr().err
    with open(tmp_path / "calls.csv") as file:
        rows = list(csv.DictReader(file))
    truth = np.repeat(np.arange(5), 24)
    right = [row["likeliest"] == allen.CLASSES[k] for row, k in zip(rows, truth, strict=True)]
    assert np.mean(right) > 0.8
    assert all(row["missing_features"] != "0" for row in rows)


def test_a_folder_without_tables_is_named(tmp_path):
    with pytest.raises(UserError, match=r"has neither mouse_ephys_data\.csv nor human_ephys_data\.csv"):
        run.main(["--task", "subclass", "--data", str(tmp_path), "--out", str(tmp_path / "run")])
