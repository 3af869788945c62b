"""The subclass task: its options, its model, and the command line on a small table."""

import csv
import json
import re

import numpy as np
import pandas as pd
import pytest

from spiketype.datasets.allen import database as allen_database
from spiketype.datasets.allen import table as allen
from spiketype.datasets.allen.cells import NewCells
from spiketype.datasets.allen.features import FEATURES
from spiketype.datasets.splits import inner_folds, part_of_each
from spiketype.edge import UserError
from spiketype.models.ensemble import fit
from spiketype.models.options import LOGISTIC_NAME
from spiketype.train import evaluate, predict, run, runs
from spiketype.train.judging import baselines
from spiketype.train.tasks.subclass.config import SubclassConfig
from spiketype.train.tasks.subclass.model import SubclassModel
from tests.datasets import allen_synthetic, five_subclasses
from tests.models import three_classes


def test_options_that_cannot_be_are_named():
    for options, said in (
        ({"folds": 1}, "--folds is 1: it must be at least 2"),
        ({"gate_rate": 0.0}, "--gate-rate is 0.0: it must be positive"),
        ({"together": -1.0}, "--together is -1.0: it must be at least 0"),
        ({"certain": 1.0}, "--certain is 1.0: it must be at least 0 and below 1"),
        ({"seed": 2**32 - 1}, "give at least one, from 0 on and below"),
    ):
        with pytest.raises(UserError, match=re.escape(said)):
            SubclassConfig(**options)


@pytest.fixture(scope="module")
def cells():
    return three_classes.cells()


@pytest.fixture(scope="module")
def fitted(cells):
    x, label, donor = cells
    return fit(x, label, inner_folds(label, donor, 0), features=5, classes=3)


def model_of(x, label, donor, calibrations, features="vwxyz"):
    part = part_of_each(inner_folds(label, donor, 0), len(x))
    return SubclassModel(x, label, part, calibrations, tuple("abc"), tuple(features), (), ())


def test_refitting_with_the_calibration_that_was_kept_gives_the_same(cells, fitted):
    x, label, donor = cells
    model = model_of(x, label, donor, {13: fitted.calibration})
    again = SubclassModel.restore(SubclassConfig(), model.arrays(), model.manifest())
    x = x[np.isfinite(x).all(axis=1)]
    np.testing.assert_array_equal(again.probability(x), fitted.probability(x))


def test_cells_with_and_without_action_potentials_get_the_model_for_them(cells, fitted):
    x, label, donor = cells
    alone = fit(x[:, :5], label, inner_folds(label, donor, 0), 5, 3)
    calibrations = {13: fitted.calibration, 5: alone.calibration}
    model = model_of(x, label, donor, calibrations)
    new = x[np.isfinite(x).all(axis=1)][:4].copy()
    new[2:, 5:] = np.nan
    np.testing.assert_array_equal(model.sees_spike(new), [True, True, False, False])
    expected = np.concatenate([fitted.probability(new[:2]), alone.probability(new[2:, :5])])
    np.testing.assert_allclose(model.probability(new), expected, atol=1e-12)


def test_a_cell_that_lacks_features_gets_the_model_of_those_that_it_has(cells):
    """As if the run had been trained on these features alone; with hardly any, the frequencies of the classes."""
    x, label, donor = cells
    x = x[:, :8]
    folds = inner_folds(label, donor, 0)
    whole, fewer = (fit(x[:, :width], label, folds, width, 3) for width in (8, 6))
    model = model_of(x, label, donor, {8: whole.calibration}, "stuvwxyz")
    new = x[np.isfinite(x).all(axis=1)][:6].copy()
    new[2:4, 6:] = new[4:, 1:] = np.nan
    expected = [
        whole.probability(new[:2]),
        fewer.probability(new[2:4, :6]),
        np.tile(np.bincount(label) / len(x), (2, 1)),
    ]
    np.testing.assert_allclose(model.probability(new), np.concatenate(expected), atol=1e-12)


def test_new_cells_in_other_units_are_not_believed_where_values_scatter(capsys, tmp_path):
    """A time constant in s is within eight standard deviations of those in ms."""
    rng, names = np.random.default_rng(0), ("tau", "ri", "latency", "sag", "width")
    usual = np.array([FEATURES[name].usual for name in names])
    x = usual * rng.lognormal(0, 0.8, (60, 5))
    model = model_of(x, np.arange(60) % 3, np.arange(60), {}, names)
    new = np.tile(usual, (3, 1))
    new[1, 0] /= 1000
    new[2, :2] /= 1000
    found, odd = model.believed(NewCells(new, ("a", "b", "c"), ("",) * 3, ("",) * 3), tmp_path / "new.csv")
    np.testing.assert_array_equal(np.isnan(found.x).sum(axis=1), [0, 1, 2])
    np.testing.assert_array_equal(odd, [False, False, True])
    assert "3 values are far from all that were trained on" in capsys.readouterr().err


def test_an_action_potential_with_gaps_is_none(cells):
    x, label, donor = cells
    folds = inner_folds(label, donor, 0)
    both, alone = (fit(x[:, :width], label, folds, 5, 3) for width in (13, 5))
    model = model_of(x, label, donor, {13: both.calibration, 5: alone.calibration})
    new = np.tile(x[np.isfinite(x).all(axis=1)][:1], (2, 1))
    new[1, 6:] = np.nan  # one number of eight
    np.testing.assert_array_equal(model.sees_spike(new), [True, False])
    np.testing.assert_allclose(model.probability(new)[1:], alone.probability(new[1:, :5]), atol=1e-12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return five_subclasses.folder(tmp_path_factory.mktemp("allen"))


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """A run on the folder, judged against one baseline."""
    out = tmp_path_factory.mktemp("runs") / "run"
    options = ["--data", str(folder), "--steps", "200", "--folds", "2", "--repeats", "1", "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "available", lambda: (LOGISTIC_NAME,))
        run.main(["--task", "subclass", *options])
    return out


def rows_of(path):
    with open(path) as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_run_judges_and_draws(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert len(set(summary["training_parts"])) == 2
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
def test_the_model_of_a_run_is_fitted_again_when_it_is_first_asked_and_only_then(finished):
    _, _, model = runs.load_model(finished)
    assert model.x.dtype == np.float64
    assert not model.fitted
    first = model.probability(model.x)
    np.testing.assert_allclose(first.sum(axis=1), 1)
    ((key, kept),) = model.fitted.items()
    assert sum(key) == 41  # these cells have no action potentials
    np.testing.assert_array_equal(model.probability(model.x), first)
    assert model.fitted[key] is kept


@pytest.mark.slow
def test_calls_of_new_cells_with_columns_missing_unknown_and_in_another_order(folder, finished, tmp_path, capsys):
    new = pd.read_csv(folder / "mouse_ephys_data.csv").drop(columns=["transgenic_line", "dendrite_type", "tau"])
    features = [name for name in new.columns if name in FEATURES]
    whole = new.dropna().iloc[0]
    for many in (30, 29, 20):  # with tau 31, 30 and 21 of 41 are missing
        new.loc[len(new)] = {**whole, **dict.fromkeys(features[:many], np.nan), "file_name": f"9999_{many}"}
    new.loc[len(new)] = {"file_name": "9999_1"}
    new[new.columns[::-1]].assign(mood=1).to_csv(tmp_path / "cells.csv", index=False)
    predict.main(finished, tmp_path / "cells.csv", tmp_path / "calls.csv")
    told = capsys.readouterr().err
    assert "features that no cell has: tau" in told
    assert "columns that the model does not know are not used: mood" in told
    assert "no action potentials: the model without them is used" in told
    *rows, few, enough, half, nothing = rows_of(tmp_path / "calls.csv")
    assert few["call"] == "no call"
    assert few["reason"] == nothing["reason"] == "fewer than 25 % of the features are measured"
    assert few["probability"] == nothing["probability"]  # the frequency of the largest class
    assert {enough["reason"], half["reason"]} <= {"", "no class is likely enough"}
    assert half["likeliest"] == rows[0]["likeliest"]
    columns = ["row", "call", "probability", "certain", "reason", *(f"p_{name}" for name in allen.CLASSES)]
    assert list(nothing) == [*columns, "likeliest", "missing_features", "action_potential"]
    assert (nothing["row"], nothing["call"], nothing["missing_features"]) == ("9999_1", "no call", "41")
    right = [row["likeliest"] == allen.CLASSES[k] for row, k in zip(rows, np.repeat(np.arange(5), 24), strict=True)]
    assert np.mean(right) > 0.9
    assert all(row["missing_features"] != "0" for row in rows)
    new.iloc[5:6].to_csv(tmp_path / "one.csv", index=False)
    predict.main(finished, tmp_path / "one.csv", tmp_path / "one-call.csv")
    (one,) = rows_of(tmp_path / "one-call.csv")
    assert one["likeliest"] == rows[5]["likeliest"]
    assert float(one["probability"]) == pytest.approx(float(rows[5]["probability"]), rel=1e-3)


@pytest.mark.slow
def test_values_that_nobody_measured_are_not_believed(folder, finished, tmp_path, capsys):
    new = pd.read_csv(folder / "mouse_ephys_data.csv").drop(columns=["transgenic_line", "dendrite_type"])
    features = [name for name in new.columns if name in FEATURES]
    whole = new.dropna().iloc[0]
    wrong = {"few": dict.fromkeys(features[8:12], -9999.0), "many": dict.fromkeys(features[8:30], 1e9)}
    for name, values in wrong.items():
        new.loc[len(new)] = {**whole, **values, "file_name": f"9999_{name}"}
    new.iloc[5:].to_csv(tmp_path / "cells.csv", index=False)
    predict.main(finished, tmp_path / "cells.csv", tmp_path / "calls.csv")
    assert "26 values are far from all that were trained on, and count as not measured" in capsys.readouterr().err
    *_, few, many = rows_of(tmp_path / "calls.csv")
    assert (few["missing_features"], few["reason"] in ("", "no class is likely enough")) == ("4", True)
    assert (many["call"], many["reason"]) == (
        "no call",
        "25 % or more of the values are far from all that were trained on",
    )


@pytest.mark.slow
def test_cells_that_were_trained_on_are_left_out_whatever_they_are_called(folder, finished, tmp_path, capsys):
    table = pd.read_csv(folder / "mouse_ephys_data.csv").drop(columns="file_name")
    new = table.iloc[:3].assign(tau=table["tau"] * 1.01)
    pd.concat([table.iloc[:50], new]).to_csv(tmp_path / "mixed.csv", index=False)
    evaluate.main(finished, tmp_path / "mixed.csv")
    told = capsys.readouterr()
    assert "50 of 53 cells left out: the run was trained on them" in told.err
    assert "3 cells, whose donors are not said" in told.out
    assert json.loads((finished / "evaluation-mixed" / "summary.json").read_text())["donors"] is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("counts", "options", "said"),
    [
        ({0: 3, 1: 3, 2: 3}, ["--folds", "2", "--split", "cell"], "do not divide into|calibration needs"),
        ({2: 40, 3: 2}, [], "do not divide into|a single donor"),
        ({0: 5, 1: 5}, ["--split", "line"], r"no line has 10 cells"),
    ],
)
def test_too_few_cells_are_refused_before_anything_is_trained(folder, tmp_path, counts, options, said):
    table = pd.read_csv(folder / "mouse_ephys_data.csv")
    chosen = pd.concat([table.iloc[24 * k : 24 * k + min(n, 24)] for k, n in counts.items()])
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / allen_database.DETAILS).write_bytes((folder / allen_database.DETAILS).read_bytes())
    chosen.to_csv(tmp_path / "few" / "mouse_ephys_data.csv", index=False)
    out = tmp_path / "run"
    with pytest.raises(UserError, match=said):
        run.main(["--task", "subclass", "--data", str(tmp_path / "few"), "--out", str(out), "--steps", "2", *options])


@pytest.mark.slow
def test_evaluation_wants_labelled_cells_that_are_new(folder, finished, tmp_path, capsys):
    table = pd.read_csv(folder / "mouse_ephys_data.csv")
    with pytest.raises(UserError, match="holds the samples that the run was trained on"):
        evaluate.main(finished, folder)
    table.iloc[:60].to_csv(tmp_path / "some.csv", index=False)
    with pytest.raises(UserError, match="holds the samples that the run was trained on"):
        evaluate.main(finished, tmp_path / "some.csv")
    table["file_name"] = [f"{int(name.split('_')[0]) + 5000}_1" for name in table["file_name"]]
    table.to_csv(tmp_path / "renamed.csv", index=False)
    with pytest.raises(UserError, match="holds the samples that the run was trained on"):
        evaluate.main(finished, tmp_path / "renamed.csv")
    table["tau"] *= 1.01
    table.to_csv(tmp_path / "new.csv", index=False)
    evaluate.main(finished, tmp_path / "new.csv")
    found = json.loads((finished / "evaluation-new" / "summary.json").read_text())
    assert found["rows"]["model offered"]["accuracy_percent"]["value"] > 90
    assert found["rows"]["model offered"]["accuracy_percent"]["low"] is not None
    for name in ("confusion", "reliability"):
        assert (finished / "evaluation-new" / "figures" / f"{name}.png").stat().st_size > 5000
    table.iloc[:1].to_csv(tmp_path / "one.csv", index=False)  # a single donor tells no interval
    evaluate.main(finished, tmp_path / "one.csv")
    found = json.loads((finished / "evaluation-one" / "summary.json").read_text())
    assert found["donors"] is None
    assert {found["rows"]["model offered"]["nll"][end] for end in ("low", "high")} == {None}
    table.drop(columns="transgenic_line").to_csv(tmp_path / "bare.csv", index=False)
    with pytest.raises(UserError, match="has no labels"):
        evaluate.main(finished, tmp_path / "bare.csv")


def test_a_folder_without_tables_is_named(tmp_path):
    with pytest.raises(UserError, match=r"has neither mouse_ephys_data\.csv nor human_ephys_data\.csv"):
        run.main(["--task", "subclass", "--data", str(tmp_path), "--out", str(tmp_path / "run")])


@pytest.mark.slow
def test_another_table_of_lines_and_the_features_of_the_database(tmp_path, monkeypatch):
    monkeypatch.setattr(baselines, "available", lambda: (LOGISTIC_NAME,))
    rows = np.tile([1, 2], 40)  # Pvalb and Sst lines of the synthetic database, told apart by one ratio
    cells = allen_synthetic.details().iloc[rows].assign(specimen__id=1 + np.arange(80))
    cells.assign(donor__id=500 + np.arange(80) // 2 // 2).to_csv(tmp_path / allen_database.DETAILS, index=False)
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
