"""The unit task from the command line, on small made-up units: run, resume, evaluate, predict, bad input, leaks."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizers import adam
from sklearn.metrics import balanced_accuracy_score

from spiketype.edge import UserError
from spiketype.train import (
    evaluate,
    predict,
    run,
    runs,
)
from spiketype.train.judging import nested as allen_baselines
from spiketype.train.tasks.unit import (
    baselines as unit_baselines,
)
from spiketype.train.tasks.unit import (
    data as unit_data,
)
from spiketype.train.tasks.unit import (
    judge as unit_judge,
)
from spiketype.train.tasks.unit import (
    summary as unit_summary,
)
from spiketype.train.tasks.unit import (
    task as unit,
)
from spiketype.train.tasks.unit.task import UnitConfig

MODELS = allen_baselines.MODELS
SMALL = ("--width", "8", "--steps", "60", "--batch", "32", "--folds", "2", "--seeds", "1")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Optax under strict promotion, small forests, and nothing to choose for the baselines."""
    monkeypatch.setattr(optax, "adam", adam)
    forest = allen_baselines.RandomForestClassifier
    small = {name: (make, {key: values[:1] for key, values in grid.items()}) for name, (make, grid) in MODELS.items()}
    small |= {allen_baselines.FOREST_NAME: (lambda: forest(10, random_state=0), {"max_features": ["sqrt"]})}
    monkeypatch.setattr(allen_baselines, "MODELS", small)


def write(path: Path, spikes: int = 1, animals: int = 3, seed: int = 0, **columns) -> Path:
    """Units of two classes, ten of each in every animal, narrow or wide; of each one row, or several spikes."""
    rng = np.random.default_rng(seed)
    units = 20 * animals
    wide = np.arange(units) % 2
    width = np.where(wide, 9.0, 3.0) * np.exp(rng.normal(0, 0.2, units))
    shape = -np.exp(-((np.arange(24) - 8) ** 2)[None] / width[:, None])
    waveform = 80 * np.repeat(shape, spikes, axis=0)[:, None] * np.array([1.0, 0.4])[:, None]
    waveform = waveform + rng.normal(0, 6, waveform.shape)
    unit_number = np.repeat(np.arange(units), spikes)
    isi = rng.poisson(np.where(wide[unit_number][:, None], np.arange(8), np.arange(8)[::-1]) + 1)
    np.savez(path, **{
        "waveform": waveform, "rate_kHz": 20.0, "label": np.where(wide[unit_number], "wide", "narrow"),
        "animal": np.array(list("abcdef"))[unit_number // 20], "unit": unit_number, "isi": isi, **columns,
    })  # fmt: skip
    return path


@pytest.fixture(scope="module")
def spikes(tmp_path_factory):
    return write(tmp_path_factory.mktemp("spikes") / "spikes.npz", spikes=4)


@pytest.fixture(scope="module")
def trained(spikes, tmp_path_factory):
    """A run on single spikes, animals held out."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optax, "adam", adam)
        run.main(["--task", "unit", "--data", str(spikes), "--out", str(folder), *SMALL])
    return folder


def summary_of(folder):
    return json.loads((folder / runs.SUMMARY).read_text()) | {"seconds": 0}


def test_a_run_by_animal(trained, capsys):
    summary = summary_of(trained)
    assert (summary["split"], summary["optimistic"], summary["units"], summary["animals"]) == ("animal", False, 60, 3)
    assert summary["rows"]["network"]["balanced_accuracy_percent"]["value"] > 80
    assert summary["rows"]["majority"]["balanced_accuracy_percent"]["value"] == 50
    assert set(summary["by_spike"]) == set(summary["rows"])
    by_spike = summary["by_spike"]["network"]["balanced_accuracy_percent"]
    assert by_spike["low"] <= by_spike["value"] <= summary["rows"]["network"]["balanced_accuracy_percent"]["value"] + 5
    for name in ("confusion", "waveforms", "training"):
        assert (trained / "figures" / f"{name}.png").stat().st_size > 5000


def test_resuming_gives_the_same_numbers(trained, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    (copy / runs.SUMMARY).unlink()
    run.main(["--resume", str(copy)])
    ours, theirs = summary_of(copy), summary_of(trained)
    assert ours["rows"]["network"] == theirs["rows"]["network"]  # the forest has fewer trees here


@pytest.mark.slow
def test_the_process_is_interrupted_and_continues_to_the_same_numbers(spikes, tmp_path):
    options = ["--task", "unit", "--data", str(spikes), *SMALL, "--steps", "300"]
    command = [sys.executable, "-m", "train.run", *options, "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(runs.read_metrics(tmp_path / "run")) < 2:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130, told
    run.main(["--resume", str(tmp_path / "run")])
    run.main([*options, "--out", str(tmp_path / "whole")])
    assert summary_of(tmp_path / "run") == summary_of(tmp_path / "whole")


def test_evaluate_and_predict_on_other_units(trained, spikes, tmp_path, capsys):
    other = write(tmp_path / "other.npz", seed=1, animals=2)
    evaluate.main(trained, other)
    found = json.loads((trained / "evaluation-other" / runs.SUMMARY).read_text())
    assert found["rows"]["network"]["balanced_accuracy_percent"]["value"] > 80
    predict.main(trained, other, tmp_path / "calls.csv")
    with open(tmp_path / "calls.csv") as file:
        rows = list(csv.DictReader(file))
    truth = {str(k): ("narrow", "wide")[k % 2] for k in range(40)}
    assert np.mean([row["call"] == truth[row["unit"]] for row in rows]) > 0.8
    assert {row["animal"] for row in rows} == {"a", "b"}
    faster = write(tmp_path / "faster.npz", rate_kHz=30.0)
    for data, said in (
        (spikes, "is what the run was trained on"),
        (faster, "2 channels x 16 times at 20 kHz, the network was trained on 2 x 24"),
        (write(tmp_path / "third.npz", label=np.repeat(["wide", "deep"], 30)), "does not know: deep"),
        (write(tmp_path / "bins.npz", isi=np.ones((60, 5))), "gives 53 inputs, the network was trained on 56"),
    ):
        with pytest.raises(UserError, match=said):
            evaluate.main(trained, data)


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--split", "spike"), ("--finetune", "4", "--finetune-steps", "5")])
def test_a_split_by_spike_is_called_optimistic_and_fine_tuning_says_how(options, spikes, tmp_path, capsys):
    run.main(["--task", "unit", "--data", str(spikes), "--out", str(tmp_path / "run"), *SMALL, *options])
    summary = summary_of(tmp_path / "run")
    told = capsys.readouterr().out
    assert summary["optimistic"] == ("OPTIMISTIC" in told) == ("spike" in options)
    if "--finetune" in options:
        assert summary["units"] == 60 - 3 * 4
        assert "network, tuned on 4 units of the animal" in summary["rows"]


# ---- what trains, adapts and tests


def test_no_unit_leaks(spikes, tmp_path):
    for split, leaks in (("animal", False), ("unit", False), ("spike", True)):
        data = unit_data.prepare(UnitConfig(data=spikes, split=split, folds=3))
        shared = [np.intersect1d(data.table.unit[f.train], data.table.unit[f.test]) for f in data.folds]
        assert any(map(len, shared)) == data.optimistic == leaks
        if split == "animal":
            animals = [(set(data.table.animal[f.train]), set(data.table.animal[f.test])) for f in data.folds]
            assert all(trained.isdisjoint(tested) for trained, tested in animals)
        assert sorted(np.concatenate([f.test for f in data.folds])) == list(range(240))
    tuned = unit_data.prepare(UnitConfig(data=spikes, finetune=5))
    for fold, adapt in zip(tuned.folds, tuned.adapt, strict=True):
        units = [np.unique(tuned.table.unit[rows]) for rows in (fold.train, adapt, fold.test)]
        assert list(map(len, units)) == [40, 5, 15]
        assert len(np.unique(np.concatenate(units))) == 60
        assert len(np.unique(tuned.table.label[adapt])) == 2


def test_defaults_of_the_split(spikes, tmp_path):
    assert unit_data.prepare(UnitConfig(data=spikes)).split == "animal"
    alone = write(tmp_path / "alone.npz", animals=1)
    assert unit_data.prepare(UnitConfig(data=alone)).split == "unit"


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        ({"label": np.full(20, "a")}, {}, r"20 labelled unit\(s\) of 1 class"),
        ({"label": np.full(20, "unknown")}, {}, "has no labels: name their column with --label"),
        ({"unit": np.zeros(20), "label": np.full(20, "a")}, {}, r"1 labelled unit\(s\) of 1 class"),
        ({"unit": np.zeros(20)}, {}, r"spikes of unit 0 have several labels \(narrow, wide\)"),
        ({}, {"split": "spike"}, "one row for each unit: --split spike needs single spikes"),
        ({}, {"split": "animal"}, "has a single animal: choose --split unit"),
        ({}, {"label": "type"}, "has no column 'type'"),
        ({"animal": np.repeat(["a", "b"], 10)}, {"finetune": 10}, "animal a has 10 units, none is left to test on"),
    ],
)
def test_data_that_do_not_serve_are_named(columns, options, said, tmp_path):
    path = write(tmp_path / "units.npz", animals=1, **columns)
    with pytest.raises(UserError, match=said):
        unit_data.prepare(UnitConfig(data=path, **options))


@pytest.mark.parametrize("wrong", [{"folds": 1}, {"noise": -1.0}, {"learning_rate": 0.0}, {"dropout": 1.0}])
def test_options_out_of_range_are_named(wrong):
    with pytest.raises(UserError, match=f"--{next(iter(wrong)).replace('_', '-')} is"):
        UnitConfig(**wrong)


def test_fine_tuning_excludes_other_splits():
    with pytest.raises(UserError, match="leave out --split"):
        UnitConfig(finetune=3, split="unit")
    with pytest.raises(UserError, match="--data is missing"):
        unit.prepare(UnitConfig())


# ---- pieces


def test_augmentation_moves_waveforms_and_leaves_histograms():
    config = UnitConfig(shift=1, noise=0.0)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(50, 2 * 6 + 3)), jnp.float32)
    moved = unit.augment(config, x, (2, 6), jax.random.key(0))
    np.testing.assert_array_equal(moved[:, 12:], x[:, 12:])
    by = {0}
    for before, after in zip(x[:, :12].reshape(-1, 2, 6), moved[:, :12].reshape(-1, 2, 6), strict=True):
        found = [k for k in (-1, 0, 1) if np.array_equal(after, before[:, np.clip(np.arange(6) + k, 0, 5)])]
        assert found
        by |= set(found)
    assert by == {-1, 0, 1}
    np.testing.assert_array_equal(unit.augment(replace(config, shift=0), x, (2, 6), jax.random.key(0)), x)


def test_probabilities_of_equally_frequent_classes():
    label = np.array([0] * 90 + [1] * 10)
    np.testing.assert_allclose(unit_baselines.balanced(np.array([[0.9, 0.1]]), label), [[0.5, 0.5]])


def test_some_rows_are_of_all_units_alike():
    of_unit = np.repeat(np.arange(5), [2, 30, 30, 30, 30])
    rows = unit_baselines.some(np.arange(len(of_unit)), of_unit, 42, 0)
    assert list(np.bincount(of_unit[rows])) == [2, 10, 10, 10, 10]
    assert np.all(np.diff(rows) > 0)
    np.testing.assert_array_equal(unit_baselines.some(np.arange(7), of_unit, 42, 0), np.arange(7))


def test_calls_of_units_and_of_spikes():
    rng = np.random.default_rng(0)
    of_unit, label = np.repeat(np.arange(30), 4), np.repeat(np.arange(30) % 3, 4)
    said = rng.dirichlet(np.ones(3), (2, 120))
    mean = unit_summary.unit_means(said, of_unit)
    np.testing.assert_allclose(mean, said.reshape(2, 30, 4, 3).mean(axis=2))
    rates = unit_summary.spike_rates(label, said, of_unit, 0)
    expected = np.mean([100 * balanced_accuracy_score(label, p.argmax(axis=1)) for p in said])
    assert rates["balanced_accuracy_percent"]["value"] == pytest.approx(expected)


def test_a_call_does_not_depend_on_the_batch():
    net = unit.network(UnitConfig(width=8), 2)
    params = [net.init(jax.random.key(k), jnp.zeros((1, 1, 6)), jnp.zeros((1, 0)))["params"] for k in range(2)]
    variables = {"params": jax.tree.map(lambda *a: jnp.stack(a), *params)}
    z = np.random.default_rng(0).normal(size=(1200, 6)).astype(np.float32)
    whole = unit_judge.say(net, variables, 1, z, (1, 6))
    np.testing.assert_allclose(unit_judge.say(net, variables, 1, z[1100:1101], (1, 6))[0], whole[1100], rtol=1e-5)
