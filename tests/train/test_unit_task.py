"""The unit task from the command line, on small made-up units: run, resume, evaluate, predict, bad input, leaks."""

import contextlib
import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
import run_folder
import xarray as xr
from optimizers import adam
from sklearn.metrics import balanced_accuracy_score

from spiketype.datasets import waveforms
from spiketype.datasets.fingerprint import of_names
from spiketype.edge import NO_CALL, UserError
from spiketype.models import classifiers, unit_nets
from spiketype.models.augment import of_waveforms, shift_and_noise
from spiketype.train import asked, checked, checkpoints, evaluate, execute, predict, run, runs
from spiketype.train.judging import baselines
from spiketype.train.tasks.eap.config import EapTaskConfig
from spiketype.train.tasks.unit import beginning, judge, model
from spiketype.train.tasks.unit import task as unit
from spiketype.train.tasks.unit.config import UnitConfig

MODELS = classifiers.MODELS
SMALL = ("--width", "8", "--steps", "60", "--batch", "32", "--folds", "2", "--seeds", "1")
TUNING = ("--finetune", "4", "--finetune-steps", "100")
TUNED = judge.TUNED.format(4)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Optax under strict promotion, small forests, and nothing to choose for the baselines."""
    monkeypatch.setattr(optax, "adam", adam)
    forest = classifiers.RandomForestClassifier
    small = {name: (make, {key: values[:1] for key, values in grid.items()}) for name, (make, grid) in MODELS.items()}
    small |= {classifiers.FOREST_NAME: (lambda: forest(10, random_state=0), {"max_features": ["sqrt"]})}
    monkeypatch.setattr(classifiers, "MODELS", small)


def write(path: Path, spikes: int = 1, animals: int = 3, seed: int = 0, **columns) -> Path:
    """Units of two classes, ten of each in every animal, narrow or wide; of each one row, or several spikes.

    Another seed makes other animals.
    """
    rng = np.random.default_rng(seed)
    units = 20 * animals
    wide = np.arange(units) % 2
    width = np.where(wide, 9.0, 3.0) * np.exp(rng.normal(0, 0.2, units))
    shape = -np.exp(-((np.arange(24) - 8) ** 2)[None] / width[:, None])
    waveform = 80 * np.repeat(shape, spikes, axis=0)[:, None] * np.array([1.0, 0.4])[:, None]
    waveform = waveform + rng.normal(0, 6, waveform.shape)
    unit_number = np.repeat(np.arange(units), spikes)
    animal = [f"{letter}{seed or ''}" for letter in "abcdef"[:animals]]
    isi = rng.poisson(np.where(wide[unit_number][:, None], np.arange(8), np.arange(8)[::-1]) + 1)
    np.savez(path, **{
        "waveform": waveform, "rate_kHz": 20.0, "label": np.where(wide[unit_number], "wide", "narrow"),
        "animal": np.array(animal)[unit_number // 20], "unit": unit_number, "isi": isi, **columns,
    })  # fmt: skip
    return path


@pytest.fixture(scope="module")
def spikes(tmp_path_factory):
    return write(tmp_path_factory.mktemp("spikes") / "spikes.npz", spikes=4)


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    return write(tmp_path_factory.mktemp("units") / "units.npz", seed=2)


@pytest.fixture(scope="module")
def trained(spikes, tmp_path_factory):
    """A run on single spikes, animals held out."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optax, "adam", adam)
        run.main(["--task", "unit", "--data", str(spikes), "--out", str(folder), *SMALL])
    return folder


def no_baselines(x, label, group, classes, folds, scales, repeats, seed, names, **options):
    """In place of baselines that take their time: every class is equally likely."""
    return {name: np.full((repeats, len(x), classes), 1 / classes) for name in (*names, baselines.MAJORITY)}


def summary_of(folder):
    found = json.loads((folder / runs.SUMMARY).read_text(), parse_constant=pytest.fail)
    return {name: value for name, value in found.items() if name != "sha256"} | {"seconds": 0}


def params_of(path, *names):
    """Arrays of a msgpack file, from the names down."""
    tree = checked.read_msgpack(path, "")
    for name in names:
        tree = tree[name]
    return jax.tree.leaves(tree)


def test_a_run_by_animal(trained, spikes):
    summary = summary_of(trained)
    table, _, _, division = unit.load(asked.open_config(trained), spikes)
    names = [np.array(table.unit_names)[table.unit[fold.train]].tolist() for fold in division.folds]
    assert summary["training_parts"] == list(map(of_names, names))
    assert (summary["split"], summary["optimistic"], summary["units"], summary["animals"]) == ("animal", False, 60, 3)
    assert summary["rows"]["network"]["balanced_accuracy_percent"]["value"] > 80
    assert summary["rows"]["majority"]["balanced_accuracy_percent"]["value"] == 50
    assert set(summary["by_spike"]) == set(summary["rows"])
    by_spike = summary["by_spike"]["network"]["balanced_accuracy_percent"]
    assert by_spike["low"] <= by_spike["value"] <= summary["rows"]["network"]["balanced_accuracy_percent"]["value"] + 5
    assert summary["abstention"]["model"] == "network"
    for name in ("confusion", "reliability", "waveforms", "training"):
        assert (trained / "figures" / f"{name}.png").stat().st_size > 5000


def test_predictions_have_a_row_for_each_spike(trained, spikes):
    with xr.open_zarr(trained / runs.PREDICTIONS, consolidated=False) as found:
        found = found.load()
    assert list(found["model_name"].values)[:2] == ["network", judge.AVERAGE]
    assert (found.sizes["sample"], found.sizes["repeat"]) == (240, 1)
    assert list(found["row"].values[:5]) == ["0:0", "0:1", "0:2", "0:3", "1:0"]
    assert list(found["unit"].values[:5]) == ["0", "0", "0", "0", "1"]
    by_spike = summary_of(trained)["by_spike"]["network"]["accuracy_percent"]["value"]
    called = found["probability"].values[:, 0, 0].argmax(axis=1)
    assert by_spike == pytest.approx(100 * np.mean(called == found["label"].values))


def test_resuming_gives_the_same_numbers(trained, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    (copy / runs.SUMMARY).unlink()
    run.main(["--resume", str(copy)])
    ours, theirs = summary_of(copy), summary_of(trained)
    assert ours["rows"]["network"] == theirs["rows"]["network"]  # the forest has fewer trees here


def test_a_run_whose_rows_have_moved_is_not_continued(units, tmp_path):
    """Waveforms with their labels are in another order: units that were trained on would be held out."""
    path, folder = tmp_path / "units.npz", tmp_path / "run"
    shutil.copy(units, path)
    config = UnitConfig(data=path, seeds=1, width=8)
    runs.create(folder, config, unit.prepare(config).identity)
    runs.check_same_data(folder, unit.prepare(config).identity)
    with np.load(path) as found:
        arrays = dict(found)
    moved = np.random.default_rng(0).permutation(len(arrays["waveform"]))
    np.savez(path, **arrays | {name: arrays[name][moved] for name in ("waveform", "label")})
    with pytest.raises(UserError, match=f"{folder} began with other data, labels or --lists than there are now"):
        run.main(["--resume", str(folder)])


@pytest.mark.long
def test_a_run_that_is_stopped_inside_fine_tuning_continues_to_the_same_numbers(units, tmp_path, monkeypatch):
    monkeypatch.setattr(baselines, "out_of_fold", no_baselines)
    options = ["--task", "unit", "--data", str(units), *SMALL, *TUNING]
    run.main([*options, "--out", str(tmp_path / "whole")])
    stopped = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(
            execute, "_stopping", lambda: contextlib.nullcontext(lambda: len(run_folder.metrics(stopped)) > 2)
        )
        with pytest.raises(SystemExit):
            run.main([*options, "--out", str(stopped)])
    assert checkpoints.newest(stopped).step == 100  # of 60 + 100
    run.main(["--resume", str(stopped)])
    assert summary_of(stopped) == summary_of(tmp_path / "whole")
    assert run_folder.metrics(stopped) == run_folder.metrics(tmp_path / "whole")
    assert [row["step"] for row in run_folder.metrics(stopped)] == [50, 60, 100, 150, 160]

    # What is offered is the tuned network; what it began with is judged beside it.
    offered, state = stopped / runs.MODEL, stopped / checkpoints.LAST
    last, before = params_of(state, "state", "params"), params_of(state, "state", "state", judge.TRAINED)
    for ours, theirs in zip(params_of(offered, "params"), last, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not any(np.array_equal(a, b) for a, b in zip(last, before, strict=True))
    summary = summary_of(stopped)
    assert summary["abstention"]["model"] == TUNED
    assert summary["rows"]["network"]["nll"] != summary["rows"][TUNED]["nll"]
    assert (summary["units"], summary["animals"]) == (60 - 3 * 4, 3)


def test_fine_tuning_is_a_second_phase_that_keeps_what_it_begins_with(units):
    plain = unit.prepare(UnitConfig(data=units, seeds=1, width=8))
    tuned = unit.prepare(UnitConfig(data=units, seeds=1, width=8, finetune=4))
    assert [phase.name for phase in plain.phases] == ["training"]
    assert [phase.name for phase in tuned.phases] == ["training", "fine-tuning"]
    rows = [len(np.unique(phase.data(0)[1].plan.order[0])) for phase in tuned.phases]
    assert rows == [40, 44]  # the other animals' units, and four of the tested one's
    begun = tuned.phases[1].begin({"w": np.ones(2)}, {})
    begun[0]["w"] += 1
    np.testing.assert_array_equal(begun[1][judge.TRAINED]["w"], 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "lines", "more"),
    [
        (signal.SIGINT, 2, ()),
        pytest.param(signal.SIGKILL, 8, ("--finetune", "4", "--finetune-steps", "3000"), marks=pytest.mark.long),
    ],
)
def test_a_process_that_is_stopped_or_killed_continues_to_the_same_numbers(number, lines, more, spikes, tmp_path):
    options = ["--task", "unit", "--data", str(spikes), *SMALL, "--steps", "300", *more]
    command = [sys.executable, "-m", "train.run", *options, "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(run_folder.metrics(tmp_path / "run")) < lines:
        time.sleep(0.02)
    process.send_signal(number)
    _, told = process.communicate()
    assert process.returncode == (130 if number == signal.SIGINT else -number), told
    if more:  # inside fine-tuning; the checkpoint is that of the end of the first phase
        assert checkpoints.newest(tmp_path / "run").step == 300
    run.main(["--resume", str(tmp_path / "run")])
    run.main([*options, "--out", str(tmp_path / "whole")])
    assert summary_of(tmp_path / "run") == summary_of(tmp_path / "whole")


def test_beginning_with_units_v1_and_what_it_is_judged_by(units, tmp_path, monkeypatch, capsys):
    """Broad units are called excitatory by units-v1, and narrow ones are not; a network begins there and learns."""
    monkeypatch.setattr(baselines, "out_of_fold", no_baselines)
    with np.load(units) as arrays:
        columns = {name: arrays[name] for name in arrays.files}
    time_ms = np.arange(-12, 36) / 30
    wide = columns["label"] == "wide"
    peak_ms, rng = np.where(wide, 0.6, 0.25), np.random.default_rng(0)
    peak = 0.3 * np.exp(-(((time_ms - peak_ms[:, None]) / np.where(wide, 0.25, 0.12)[:, None]) ** 2))
    spike = peak - np.exp(-((time_ms / np.where(wide, 0.16, 0.1)[:, None]) ** 2))
    columns |= {"waveform": 80 * spike[:, None] + rng.normal(0, 1, (len(wide), 1, 48)), "rate_kHz": 30.0}
    # One unit in ten is called what it does not look like, and the network has to learn no more than the others.
    columns["label"] = np.where(wide ^ (np.arange(len(wide)) // 2 % 10 == 0), "Pyramidal", "PV")
    data = tmp_path / "data.npz"
    np.savez(data, **columns)
    options = ["--inputs", "shape", "--init", "units-v1", *SMALL]
    run.main(["--task", "unit", "--data", str(data), "--out", str(tmp_path / "run"), *options])
    found = summary_of(tmp_path / "run")["init"]
    assert found["model"] == "units-v1"
    assert found["alone"]["balanced_accuracy_percent"]["value"] == pytest.approx(90, abs=1)
    for name, gain in found["gain"].items():
        ours = found["models"][name]["balanced_accuracy_percent"]["value"]
        assert gain["value"] == pytest.approx(ours - found["alone"]["balanced_accuracy_percent"]["value"])
        assert gain["low"] <= gain["value"] <= gain["high"]
    assert "over units-v1 alone" in capsys.readouterr().out

    out = tmp_path / "calls.csv"
    predict.main(tmp_path / "run", data, out)
    with open(out) as file:
        assert len(list(csv.DictReader(file))) == 60

    for words, told in ((["wide", "narrow"], "tells excitatory units from others"), (["EXC", "exc"], "EXC, exc")):
        np.savez(data, **columns | {"label": np.where(wide, *words)})
        with pytest.raises(UserError, match=told):
            unit.prepare(UnitConfig(data=data, init="units-v1"))
    with pytest.raises(UserError, match="neither units-v1 nor a folder"):
        unit.prepare(UnitConfig(data=data, init="units-v9"))
    with pytest.raises(UserError, match="a shape has a window of its own"):
        unit.prepare(UnitConfig(data=data, inputs="shape", window_ms=(0.2, 0.6)))


def test_a_network_that_knows_nothing_yet_says_what_it_begins_with(units):
    columns = np.load(units)
    label = np.where(columns["label"] == "wide", "EXC", "SOM")
    data = units.with_name("exc.npz")
    np.savez(data, **{name: columns[name] for name in columns.files} | {"label": label})
    config = UnitConfig(data=data, init="units-v1", seeds=1, width=8)
    experiment, table = unit.prepare(config), waveforms.load(data)
    params, _ = experiment.phases[0].problem.init(jax.random.key(0))
    inputs = unit.load(config, data)
    said = beginning.column("units-v1", table)[:, 0]
    net = model.network(config, inputs.table.class_names, data)
    assert inputs.table.class_names == ("EXC", "SOM")
    z = model.scale_of(config, inputs.x).apply(inputs.x)
    logits = np.asarray(unit_nets.apply(net, {"params": params}, z, inputs.form.shape))
    np.testing.assert_allclose(logits[:, 0] - logits[:, 1], beginning.UNIT * said, rtol=1e-5, atol=1e-6)


def test_evaluate_and_predict_on_other_units(trained, spikes, tmp_path, capsys):
    other = write(tmp_path / "other.npz", seed=1, animals=2)
    evaluate.main(trained, other)
    found = summary_of(trained / "evaluation-other")
    assert found["rows"]["network"]["balanced_accuracy_percent"]["value"] > 80
    for name in ("confusion", "reliability", "waveforms"):
        assert (trained / "evaluation-other" / runs.FIGURES / f"{name}.png").stat().st_size > 5000
    predict.main(trained, other, tmp_path / "calls.csv")
    with open(tmp_path / "calls.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["row", "call", "probability", "certain", "reason", "p_narrow", "p_wide", "animal", "rows"]
    truth = {str(k): ("narrow", "wide")[k % 2] for k in range(40)}
    assert np.mean([max(("narrow", "wide"), key=lambda c: row[f"p_{c}"]) == truth[row["row"]] for row in rows]) > 0.8
    for row in rows:
        assert (row["certain"] == "yes") == (float(row["probability"]) >= 0.8) == (row["call"] != NO_CALL)
    assert {row["animal"] for row in rows} == {"a1", "b1"}
    faster = write(tmp_path / "faster.npz", rate_kHz=30.0)
    for data, said in (
        (spikes, "holds the samples that the run was trained on"),
        (faster, "2 channels x 16 times at 20 kHz, the network was trained on 2 x 24"),
        (write(tmp_path / "third.npz", seed=3, label=np.repeat(["wide", "deep"], 30)), "does not know: deep"),
        (write(tmp_path / "bins.npz", isi=np.ones((60, 5))), "gives 53 inputs, the network was trained on 56"),
    ):
        with pytest.raises(UserError, match=said):
            evaluate.main(trained, data)


def test_the_training_data_are_known_by_their_waveforms_wherever_they_lie(trained, tmp_path):
    again = write(tmp_path / "again.npz", spikes=4, isi=np.ones((240, 8)))  # other histograms, another file
    with pytest.raises(UserError, match="holds the samples that the run was trained on"):
        evaluate.main(trained, again)


@pytest.mark.parametrize("gain", [1e-3, 1.01])
def test_the_training_data_are_known_in_another_unit(trained, spikes, tmp_path, gain):
    known = dict(np.load(spikes))
    names = np.char.add("other ", known["animal"])
    np.savez(tmp_path / "mV.npz", **{**known, "waveform": gain * known["waveform"], "animal": names})
    with pytest.raises(UserError, match="holds the samples that the run was trained on"):
        evaluate.main(trained, tmp_path / "mV.npz")


def test_units_that_were_trained_on_are_left_out_of_a_larger_table(trained, tmp_path, capsys):
    old, new = (np.load(write(tmp_path / f"{seed}.npz", spikes=4, seed=seed)) for seed in (0, 1))
    mixed = {name: np.concatenate([old[name], new[name]]) for name in ("waveform", "label", "animal", "isi")}
    unit = np.concatenate([old["unit"], 1000 + new["unit"]])
    np.savez(tmp_path / "mixed.npz", **mixed, unit=unit, rate_kHz=old["rate_kHz"])
    evaluate.main(trained, tmp_path / "mixed.npz")
    assert f"{len(old['unit'])} of {len(unit)} waveforms left out" in capsys.readouterr().err


def test_other_units_of_animals_that_were_trained_on_are_left_out(trained, tmp_path, capsys):
    animal = np.repeat(["a", "new"], 20)
    evaluate.main(trained, write(tmp_path / "both.npz", seed=1, animals=2, animal=animal))
    assert "20 units left out: their animals were trained on (a)" in capsys.readouterr().err
    assert summary_of(trained / "evaluation-both")["units"] == 20
    with pytest.raises(UserError, match=r"trained on units of every animal here \(a\): give others, or other names"):
        evaluate.main(trained, write(tmp_path / "known.npz", seed=1, animals=2, animal=np.repeat("a", 40)))


def test_what_is_no_spike_that_is_known_gets_no_call(trained, tmp_path):
    new = dict(np.load(write(tmp_path / "new.npz", spikes=4, seed=1)))
    wrong = new["unit"] % 4 == 0
    rng = np.random.default_rng(0)
    shape = new["waveform"].shape
    new["waveform"] = np.where(wrong[:, None, None], 50 * rng.normal(size=shape), new["waveform"]).astype(np.float32)
    np.savez(tmp_path / "noise.npz", **new)
    predict.main(trained, tmp_path / "noise.npz", tmp_path / "calls.csv")
    called = pd.read_csv(tmp_path / "calls.csv")
    strange = called["row"] % 4 == 0
    assert (called["reason"] == "a waveform unlike all that were trained on")[strange].mean() > 0.9
    assert (called["reason"] == "a waveform unlike all that were trained on")[~strange].mean() < 0.2


def test_one_unit_has_no_interval(trained, tmp_path, capsys):
    whole = np.load(write(tmp_path / "whole.npz", seed=1, animals=1))
    one = tmp_path / "one.npz"
    np.savez(one, **{name: whole[name] if name == "rate_kHz" else whole[name][:1] for name in whole.files})
    evaluate.main(trained, one)
    found = summary_of(trained / "evaluation-one")["rows"]["network"]["accuracy_percent"]
    assert found["value"] in (0, 100)
    assert (found["low"], found["high"]) == (None, None)
    assert "1 units" in capsys.readouterr().out


def test_rows_without_a_label_are_predicted_and_not_judged(trained, tmp_path):
    labels = np.where(np.arange(40) < 10, "unknown", np.where(np.arange(40) % 2, "wide", "narrow"))
    some = write(tmp_path / "some.npz", seed=3, animals=2, label=labels)
    evaluate.main(trained, some)
    assert summary_of(trained / "evaluation-some")["units"] == 30
    predict.main(trained, some, tmp_path / "calls.csv")
    assert len((tmp_path / "calls.csv").read_text().splitlines()) == 41
    with pytest.raises(UserError, match=r"has no labels: use spiketype predict"):
        evaluate.main(trained, write(tmp_path / "none.npz", seed=3, animals=2, label=np.full(40, "unknown")))


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--split", "spike"), ("--finetune", "4", "--finetune-steps", "5")])
def test_a_split_by_spike_is_called_optimistic_and_fine_tuning_says_how(options, spikes, tmp_path, capsys):
    run.main(["--task", "unit", "--data", str(spikes), "--out", str(tmp_path / "run"), *SMALL, *options])
    summary = summary_of(tmp_path / "run")
    told = capsys.readouterr().out
    assert summary["optimistic"] == ("OPTIMISTIC" in told) == ("spike" in options)
    if "--finetune" in options:
        assert summary["units"] == 60 - 3 * 4
        assert TUNED in summary["rows"]


# ---- what trains, adapts and tests


def test_no_unit_leaks(spikes, tmp_path):
    for split, leaks in (("animal", False), ("unit", False), ("spike", True)):
        table, _, _, found = unit.load(UnitConfig(data=spikes, split=split, folds=3), spikes)
        shared = [np.intersect1d(table.unit[f.train], table.unit[f.test]) for f in found.folds]
        assert any(map(len, shared)) == found.optimistic == leaks
        if split == "animal":
            animals = [(set(table.animal[f.train]), set(table.animal[f.test])) for f in found.folds]
            assert all(trained.isdisjoint(tested) for trained, tested in animals)
        assert sorted(np.concatenate([f.test for f in found.folds])) == list(range(240))
    table, _, _, tuned = unit.load(UnitConfig(data=spikes, finetune=5), spikes)
    for fold, adapt in zip(tuned.folds, tuned.adapt, strict=True):
        units = [np.unique(table.unit[rows]) for rows in (fold.train, adapt, fold.test)]
        assert list(map(len, units)) == [40, 5, 15]
        assert len(np.unique(np.concatenate(units))) == 60
        assert len(np.unique(table.label[adapt])) == 2


def test_defaults_of_the_split(spikes, tmp_path):
    assert unit.load(UnitConfig(data=spikes), spikes).division.by == "animal"
    alone = write(tmp_path / "alone.npz", animals=1)
    assert unit.load(UnitConfig(data=alone), alone).division.by == "unit"


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        ({"label": np.full(20, "a")}, {}, r"20 labelled unit\(s\) of 1 class"),
        ({"label": np.full(20, "unknown")}, {}, "has no labels: name their column with --label"),
        ({"unit": np.zeros(20), "label": np.full(20, "a")}, {}, r"1 labelled unit\(s\) of 1 class"),
        ({"unit": np.zeros(20)}, {}, "spikes of units with several labels: unit 0"),
        ({}, {"split": "spike"}, "one row for each unit: --split spike needs single spikes"),
        ({}, {"split": "animal"}, "has a single animal: choose --split unit"),
        ({}, {"label": "type"}, "has no column 'type'"),
        ({"animal": np.repeat(["a", "b"], 10)}, {"finetune": 10}, "animal a has 10 units, none is left to test on"),
    ],
)
def test_data_that_do_not_serve_are_named(columns, options, said, tmp_path):
    path = write(tmp_path / "units.npz", animals=1, **columns)
    with pytest.raises(UserError, match=said):
        unit.load(UnitConfig(data=path, **options), path)


@pytest.mark.parametrize(
    "wrong", [{"folds": 1}, {"noise": -1.0}, {"learning_rate": 0.0}, {"dropout": 1.0}, {"certain": 1.0}]
)
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
    x = jnp.asarray(np.random.default_rng(0).normal(size=(50, 2 * 6 + 3)), jnp.float32)
    change = partial(shift_and_noise, sd=0.0)
    moved = of_waveforms(partial(change, largest=1), jax.random.key(0), x, (2, 6))
    np.testing.assert_array_equal(moved[:, 12:], x[:, 12:])
    by = {0}
    for before, after in zip(x[:, :12].reshape(-1, 2, 6), moved[:, :12].reshape(-1, 2, 6), strict=True):
        found = [k for k in (-1, 0, 1) if np.array_equal(after, before[:, np.clip(np.arange(6) + k, 0, 5)])]
        assert found
        by |= set(found)
    assert by == {-1, 0, 1}
    np.testing.assert_array_equal(of_waveforms(partial(change, largest=0), jax.random.key(0), x, (2, 6)), x)


def test_calls_of_units_and_of_spikes(spikes):
    table = waveforms.load(spikes)
    probability = np.random.default_rng(0).dirichlet(np.ones(2), (2, 240))
    by_unit, by_spike = model.by_unit(table, probability, "animal"), model.by_spike(table, probability, "animal")
    np.testing.assert_array_equal(by_unit.row_names, table.unit_names)
    of_unit = [probability[:, table.unit == unit].mean(axis=1) for unit in range(60)]
    np.testing.assert_allclose(by_unit.probability, np.stack(of_unit, axis=1))
    names = list(by_spike.row_names)
    assert len(set(names)) == 240
    assert all(names[row].split(":")[0] == table.unit_names[table.unit[row]] for row in range(240))
    assert len(np.unique(by_unit.group)) == len(np.unique(by_spike.group)) == 3
    assert len(np.unique(model.by_unit(table, probability, "unit").group)) == 60
    rates = by_spike.rates(0, judge.OF_SPIKES)
    expected = np.mean([100 * balanced_accuracy_score(table.label, p.argmax(axis=1)) for p in probability])
    assert rates["balanced_accuracy_percent"]["value"] == pytest.approx(expected)


def test_a_call_does_not_depend_on_the_batch():
    net = model.network(UnitConfig(width=8), ("a", "b"), Path("nowhere"))
    params = [net.init(jax.random.key(k), jnp.zeros((1, 1, 6)), jnp.zeros((1, 0)))["params"] for k in range(2)]
    variables = {"params": jax.tree.map(lambda *a: jnp.stack(a), *params)}
    z = np.random.default_rng(0).normal(size=(1200, 6)).astype(np.float32)
    whole = model.probability(net, variables, 1, z, (1, 6))
    np.testing.assert_allclose(model.probability(net, variables, 1, z[1100:1101], (1, 6))[0], whole[1100], rtol=1e-5)


def test_what_was_read_is_in_the_run_and_data_may_be_upside_down(trained, spikes, tmp_path, capsys):
    folder = trained
    read = summary_of(folder)["data"]
    assert [source["path"] for source in read["sources"]] == [str(spikes)]
    assert read["sources"][0].items() >= {"level": "spike", "channels": 2, "rate_kHz": 20.0, "flipped": False}.items()
    assert read["notes"] == []
    other = write(tmp_path / "other.npz", seed=5)
    with np.load(other) as arrays:
        np.savez(tmp_path / "flipped.npz", **{**arrays, "waveform": -arrays["waveform"]})
    columns = []
    for name, flags in (("other", []), ("flipped", ["--flip"])):
        predict.command_line([str(folder), "--data", str(tmp_path / f"{name}.npz"), *flags])
        columns.append((folder / f"predictions-{name}.csv").read_text())
    assert columns[0] == columns[1]
    evaluate.command_line([str(folder), "--data", str(tmp_path / "flipped.npz"), "--flip"])
    assert summary_of(folder / "evaluation-flipped")["data"]["sources"][0]["flipped"] is True
    capsys.readouterr()


def test_options_about_waveforms_are_for_tasks_that_have_them(trained):
    folder = trained
    config = asked.open_config(folder)
    assert asked.for_data(config, True, rate_kHz=20.0).rate_kHz == 20
    for given, told in (
        ({"seed": 1}, "there are --label, --rate-khz, --flip"),
        ({"rate_kHz": "20"}, "is '20', which it"),
    ):
        with pytest.raises(UserError, match=told):
            asked.for_data(config, False, **given)
    mtype = EapTaskConfig(task="mtype")
    assert asked.for_data(mtype, False, rate_kHz=None) == mtype
    with pytest.raises(UserError, match="--flip says nothing of data of the task mtype"):
        asked.for_data(mtype, True)
