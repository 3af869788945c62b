"""The command lines, on small stores: what a run leaves, bad input, interruption and continuation."""

import contextlib
import csv
import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eap_store
import jax
import numpy as np
import optax
import pytest
import run_folder
import tyro
import xarray as xr
import zarr
from optimizers import adam

from spiketype import reading
from spiketype.datasets import batches, eap, manifest
from spiketype.edge import UserError, guard
from spiketype.simulator.eap import generate as generator
from spiketype.simulator.eap.config import EapConfig
from spiketype.train import (
    asked,
    checkpoints,
    evaluate,
    predict,
    run,
    runs,
)
from spiketype.train.tasks.eap import origin
from spiketype.train.tasks.eap.config import PAPER, EapTaskConfig
from spiketype.train.tasks.eap.model import EapModel
from spiketype.train.tasks.eap.task import find_store, prepare, turnable

pytestmark = pytest.mark.usefixtures("lenient_adam")
SMALL = ("--network", "xs", "--batch", "32", "--steps", "60")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return eap_store.write(tmp_path_factory.mktemp("store") / "eap.zarr")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return eap_store.write(tmp_path_factory.mktemp("other") / "other.zarr", seed=1)


@pytest.fixture(scope="module")
def trained(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two seeds."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optax, "adam", adam)
        run.main(["--task", "mtype", "--store", str(store), "--seeds", "2", "--out", str(folder), *SMALL])
    return folder


def train(task: str, store: Path, folder: Path, *options: str) -> dict[str, Any]:
    run.main(["--task", task, "--store", str(store), "--out", str(folder), *SMALL, *options])
    return runs.read_summary(folder)


def fails(capsys: pytest.CaptureFixture[str], main: Callable[..., None], *arguments: Any) -> str:
    """Run a command line that must fail with a message, without a traceback; return the message."""
    with pytest.raises(SystemExit) as stopped, guard():
        main(*arguments)
    assert stopped.value.code not in (0, None)
    told = re.sub(r"[\s│]+", " ", capsys.readouterr().err)
    assert "Traceback" not in told
    return told


def test_a_run_folder_is_complete(trained: Path, store: Path) -> None:
    left = {path.name for path in trained.iterdir()}
    assert left == {"config.json", "metrics.jsonl", "checkpoints", "predictions.zarr", "figures", "summary.json"}
    figures = {path.name for path in (trained / "figures").iterdir()}
    assert figures == run_folder.drawn("inputs", "confusion", "reliability", "cells", "curves", "training")
    summary = runs.read_summary(trained)
    assert (summary["seeds"], summary["cells"]) == (2, 8)
    assert summary["seconds"] > 0
    assert [row["step"] for row in run_folder.metrics(trained)] == [50, 60]
    config = json.loads((trained / asked.CONFIG).read_text())
    assert config["config"]["data"] == str(store)
    predictions = xr.open_zarr(trained / "predictions.zarr", consolidated=False)
    np.testing.assert_allclose(predictions["probability"].sum("class"), 1, rtol=1e-5)
    assert predictions["probability"].sizes == {"sample": 160, "model": 3, "repeat": 2, "class": 4}
    assert list(predictions["model_name"].values) == ["network", "majority class", "logistic regression"]


def test_a_run_learns(trained: Path) -> None:
    summary = runs.read_summary(trained)
    majority = summary["baselines"]["majority class"]["over_cells_percent"]["mean"]["value"]
    assert summary["over_cells_percent"]["mean"]["value"] > majority + 10
    first, last = (np.mean(row["loss"]) for row in run_folder.metrics(trained))
    assert last < first


@pytest.mark.parametrize("balanced", ["--balanced", "--no-balanced"])
def test_a_run_does_not_depend_on_what_fits_in_memory(
    balanced: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a store in which one cell in four is excitatory: the shares of a batch are those of the classes, or equal."""
    cells = [(f"{name}_{n}", name, name == "STPC") for n in (1, 2) for name in ("BP", "LBC", "NGC", "STPC")]
    path = eap_store.write(tmp_path / "s.zarr", cells, per_cell=12)
    options = ("--seeds", "2", "--split", "group", "--folds", "2", balanced)
    memory = train("binary", path, tmp_path / "memory", *options)
    seen: list[float] = []
    stream = eap.Inputs.stream

    def watched(self: eap.Inputs, drawn: Any) -> Any:
        excitatory = eap.load(path).excitatory
        for sample, x in stream(self, drawn):
            assert sample.shape == (4, 32)  # of two seeds and two folds
            seen.extend(excitatory[sample].mean(axis=1).tolist())
            yield sample, x

    with monkeypatch.context() as patch:
        patch.setattr(batches, "fits", lambda n_bytes: False)
        patch.setattr(batches, "rows_ahead", lambda row_bytes: 500)
        patch.setattr(eap.Inputs, "stream", watched)
        disk = train("binary", path, tmp_path / "disk", *options)
    assert {**disk, "seconds": 0} == {**memory, "seconds": 0}
    assert run_folder.metrics(tmp_path / "disk") == run_folder.metrics(tmp_path / "memory")
    assert len(seen) == 60 * 4
    assert np.mean(seen) == pytest.approx(0.5 if balanced == "--balanced" else 0.25, abs=0.02)
    assert np.ptp(seen) == 0 if balanced == "--balanced" else np.ptp(seen) > 0.2


def test_resuming_a_finished_run_judges_it_again(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    run.main(["--resume", str(copy)])
    assert without_seconds(copy) == without_seconds(trained)


def test_a_run_is_not_continued_with_other_lists(store: Path, tmp_path: Path) -> None:
    parts = [[name for name, _, _ in eap_store.CELLS if name.endswith(end)] for end in ("_1", "_2")]
    lists = tmp_path / "lists.json"
    lists.write_text(json.dumps(dict(zip(("train", "test"), parts, strict=True))))
    config = EapTaskConfig("mtype", data=store, split="lists", lists=lists, network="xs")
    runs.create(tmp_path / "run", config, prepare(config).identity)
    lists.write_text(json.dumps(dict(zip(("test", "train"), parts, strict=True))))
    with pytest.raises(UserError, match="began with other data, labels or --lists than there are now"):
        run.main(["--resume", str(tmp_path / "run")])


def test_evaluate_and_predict_on_another_store(
    trained: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate.main(trained, other)
    summary = runs.read_summary(trained / "evaluation-other")
    assert summary["samples"] == 160
    assert "other store" in summary["split"]
    predict.main(trained, other, tmp_path / "out.csv")
    with open(tmp_path / "out.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 160
    assert list(rows[0])[:5] == ["row", "call", "probability", "certain", "reason"]
    assert {row["call"] for row in rows} <= {"BP", "LBC", "STPC", "TTPC1", "no call"}
    assert all((row["call"] == "no call") == (row["certain"] == "no") for row in rows)
    total = sum(float(value) for name, value in rows[0].items() if name.startswith("p_"))
    assert total == pytest.approx(1, abs=1e-2)
    assert "160 predictions" in capsys.readouterr().out


@pytest.mark.slow
def test_location_from_waveforms(store: Path, other: Path, tmp_path: Path) -> None:
    summary = train("location", store, tmp_path / "run", "--features", "waveform", "--split", "kfold", "--folds", "2")
    assert (summary["folds"], summary["samples"]) == (2, 160)
    ours, constant = (summary[name]["mean_3d"]["value"] for name in ("error_um", "baseline_error_um"))
    assert ours < 0.8 * constant
    assert (tmp_path / "run" / "figures" / "location.png").exists()
    evaluate.main(tmp_path / "run", other)
    predict.main(tmp_path / "run", other)
    with open(tmp_path / "run" / "predictions-other.csv") as file:
        rows = list(csv.DictReader(file))
    said = np.array([[float(row[f"{axis}_um"]) for axis in "xyz"] for row in rows])
    true = xr.open_zarr(other, consolidated=False)["position_um"].values
    assert np.linalg.norm(said - true, axis=1).mean() < 0.8 * np.linalg.norm(true - true.mean(axis=0), axis=1).mean()


@pytest.mark.slow
@pytest.mark.parametrize(("split", "trained_on"), [("auto", 4), ("group", 6)])
def test_binary_holds_out_types_or_cell_models(store: Path, tmp_path: Path, split: str, trained_on: int) -> None:
    """Of two types of a class, each with two cell models: by default both models of a type are on one side."""
    summary = train("binary", store, tmp_path / "run", "--features", "afw", "--split", split)
    assert not summary["optimistic"]
    assert summary["split"] == {"auto": "type", "group": "group"}[split]
    about = json.loads((tmp_path / "run" / runs.MANIFEST).read_text())
    assert about["classes"] == ["inhibitory", "excitatory"]
    for member in about["members"]:
        assert len(member["trained_on"]) == trained_on
        types = {name.rpartition("_")[0] for name in member["trained_on"]}
        assert len(types) == (2 if split == "auto" else 4)


@pytest.mark.slow
def test_paper_preset_leaving_one_cell_out(store: Path, tmp_path: Path) -> None:
    options = ("--preset", "paper", "--split", "leave-one-out", "--features", "fw")
    summary = train("binary", store, tmp_path / "run", *options)
    assert summary["folds"] == 8
    config = json.loads((tmp_path / "run" / asked.CONFIG).read_text())["config"]
    given = {"split": "leave-one-out", "steps": 60, "batch": 32}
    assert {name: config[name] for name in PAPER} == PAPER | given


def test_paper_preset_is_the_published_protocol() -> None:
    config = asked.configure([], "mtype", "paper", run.PROG)
    assert (config.steps, config.batch, config.learning_rate, config.dropout) == (5000, 1000, 5e-4, 0.7)
    assert (config.network, config.split, config.features, config.schedule) == ("l", "random", "aw", "constant")


# ---- interruption


def without_seconds(folder: Path) -> dict[str, Any]:
    summary = runs.read_summary(folder)
    return {name: value for name, value in summary.items() if name != "seconds"}


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "train.run", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def await_lines(process: subprocess.Popen[str], folder: Path, lines: int) -> None:
    """Wait until metrics.jsonl has so many lines."""
    for _ in range(12_000):
        if process.poll() is not None or len(run_folder.metrics(folder)) >= lines:
            return
        time.sleep(0.01)
    process.kill()
    pytest.fail(f"no {lines} lines in {folder} after two minutes")


@pytest.mark.slow
def test_interrupted_and_killed_runs_continue_to_the_same_numbers(store: Path, tmp_path: Path) -> None:
    """From a list of cell models, so that --split lists is tried, too."""
    lists = tmp_path / "lists.json"
    parts = ([name for name, _, _ in eap_store.CELLS if name.endswith(end)] for end in ("_1", "_2"))
    lists.write_text(json.dumps(dict(zip(("train", "test"), parts, strict=True))))
    options = ["--task", "mtype", "--store", str(store), "--split", "lists", "--lists", str(lists), *SMALL]
    options += ["--steps", "1500"]
    run.main([*options, "--out", str(tmp_path / "whole")])

    folder = tmp_path / "run"
    process = start(*options, "--out", str(folder))
    await_lines(process, folder, 2)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130, told
    assert f"--resume {folder}" in told
    assert "Traceback" not in told
    assert (folder / checkpoints.LAST).exists()
    assert not (folder / runs.SUMMARY).exists()
    stopped = len(run_folder.metrics(folder))

    process = start("--resume", str(folder))
    await_lines(process, folder, stopped + 2)
    process.kill()
    process.communicate()
    assert len(run_folder.metrics(folder)) < 30

    run.main(["--resume", str(folder)])
    assert (folder / runs.METRICS).read_text() == (tmp_path / "whole" / runs.METRICS).read_text()
    assert without_seconds(folder) == without_seconds(tmp_path / "whole")


# ---- mistakes of the user's


def simulate(config: EapConfig, out: Path) -> Path:
    """The beginning of simulator.eap.generate, which refuses what cannot be; nothing is simulated."""
    generator.cells.catalogue(config.cell_models)
    generator.probe(config.probe)
    pytest.fail("this would be simulated")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--task is missing: choose one of binary, mtype, location, raphe, subclass"),
        (["--task", "mtpye"], "--task is mtpye: choose one of binary, mtype, location, raphe, subclass"),
        (["--task"], "--task needs a value"),
        (["--task", "mtype", "--out", "--seeds", "2"], "--out needs a value"),
        (["--task", "mtype", "--preset", "papr"], "--preset is papr: choose one of default, paper"),
        (["--task", "mtype", "--rotation", "3dro"], "norot"),
        (["--task", "mtype", "--features", "wa"], "waveform"),
        (["--task", "mtype", "--split", "leave"], "leave-one-out"),
        (["--task", "mtype", "--network", "xxl"], "xl"),
        (["--task", "mtype", "--steps", "many"], "--steps"),
        (["--task", "mtype", "--steps"], "--steps"),
        (["--task", "mtype", "--stpes", "3"], "--stpes"),
        (["--task", "mtype", "--save-every", "soon"], "--save-every is soon: give seconds, at least 0"),
        (["--task", "mtype", "--save-every", "-1"], "--save-every is -1: give seconds, at least 0"),
        (["--task", "mtype", "--steps", "0"], "--steps is 0: it must be at least 1"),
        (["--task", "mtype", "--batch", "-3"], "--batch is -3: it must be at least 1"),
        (["--task", "mtype", "--dropout", "1"], "--dropout is 1.0: it must be at least 0 and below 1"),
        (["--task", "mtype", "--learning-rate", "nan"], "--learning-rate is nan: it must be positive"),
        (["--task", "mtype", "--noise-uv", "-1"], "--noise-uv is -1.0: it must be at least 0"),
        (["--task", "mtype", "--seed", "-1"], "--seed is -1"),
        (["--task", "mtype", "--seed", "4294967296"], "--seed is 4294967296"),
        (["--task", "mtype", "--folds", "1"], "--folds is 1: it must be at least 2"),
        (["--task", "mtype", "--probe", "mea"], "neuropixels1"),
        (["--task", "mtype", "--cell-models", "nowhere"], "nowhere"),
        (["--task", "mtype", "--split", "lists"], "--split lists needs --lists FILE"),
        (["--task", "mtype", "--lists", "a.json"], "--lists needs --split lists, and --split is auto: give both"),
        (["--task", "mtype", "--store", "nowhere"], "nowhere does not exist"),
        (["--resume", "nowhere"], "nowhere is no run folder"),
        (["--resume", "a", "--steps", "3"], "--resume RUN takes no other options but --save-every"),
        (["--resume", "a", "--out", "b"], "--resume RUN takes no other options but --save-every"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(generator, "generate", simulate)
    assert told in fails(capsys, run.main, arguments)
    assert not list(tmp_path.iterdir())  # no run folder without a run


def test_mistakes_with_folders_are_told(trained: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = ["--task", "mtype", "--store", str(store), "--out"]
    assert "holds a run already" in fails(capsys, run.main, [*new, str(trained)])
    assert "a file is in the way" in fails(capsys, run.main, [*new, str(trained / runs.SUMMARY)])
    assert "is no run folder" in fails(capsys, evaluate.main, store, store)
    assert "is no run folder" in fails(capsys, predict.main, store, store)
    assert "the samples that the run was trained on" in fails(capsys, evaluate.main, trained, store)
    assert "--out" in fails(capsys, predict.main, trained, store, store / "no" / "where.csv")
    assert "--out" in fails(capsys, predict.main, trained, store, store)


def broken_schema(path: Path) -> None:
    zarr.open_group(path).attrs["schema_version"] = 99


def broken_kind(path: Path) -> None:
    zarr.open_group(path).attrs["kind"] = "raphe"


def broken_chunk(path: Path) -> None:
    chunk = next(file for file in (path / "amplitude_uV" / "c").rglob("*") if file.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-10])


def broken_value(path: Path) -> None:
    zarr.open_group(path)["amplitude_uV"][37, 5] = np.nan


def broken_features(path: Path) -> None:
    shutil.rmtree(path / "width_ms")


def broken_grid(path: Path) -> None:
    zarr.open_group(path).attrs["probe_grid"] = [3, 3]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (broken_schema, "has schema version 99, not 2"),
        (broken_kind, "holds 'raphe', not an 'eap' store"),
        (broken_chunk, "amplitude_uV: the chunk of samples"),
        (broken_value, "sample 37 is not finite"),
        (broken_features, "has no width_ms"),
        (broken_grid, "are no images of a grid of [3, 3]"),
    ],
)
def test_damaged_stores_are_told(
    damage: Callable[[Path], None], told: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = eap_store.write(tmp_path / "eap.zarr", per_cell=10, seed=3)
    damage(path)
    if damage is not broken_chunk:
        manifest.write(path)  # so it was written
    training = ["--task", "mtype", "--store", str(path), "--out", str(tmp_path / "run")]
    for message in (
        fails(capsys, run.main, training),
        fails(capsys, evaluate.main, trained, path),
        fails(capsys, predict.main, trained, path),
    ):
        assert told in message
        assert str(path) in message
    assert not (tmp_path / "run").exists()
    assert not (trained / "evaluation-eap").exists()


@pytest.mark.parametrize("name", [asked.CONFIG, runs.MODEL, runs.MANIFEST])
def test_a_damaged_run_is_told(
    name: str, trained: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    content = (folder / name).read_bytes()
    for position, bit in ((len(content) // 2, 0), (len(content) - 40, 3)):
        (folder / name).write_bytes(
            content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]
        )
        for main in (evaluate.main, predict.main):
            told = fails(capsys, main, folder, other)
            assert str(folder / name) in told
    assert not list(folder.glob("predictions-*"))


def test_a_run_is_continued_from_the_checkpoint_before_a_damaged_one(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--steps", "150", "--save-every", "0", "--split", "kfold", "--folds", "2")
    whole = train("mtype", store, tmp_path / "run", *options)
    last = tmp_path / "run" / checkpoints.LAST
    last.write_bytes(last.read_bytes()[:-1])
    (tmp_path / "run" / runs.METRICS).unlink()  # nothing is read from it
    (tmp_path / "run" / ".config.json.7.partial").touch()
    run.main(["--resume", str(tmp_path / "run"), "--save-every", "1e9"])
    assert "last.msgpack: is damaged: checkpoints/previous.msgpack" in capsys.readouterr().err
    assert [row["step"] for row in run_folder.metrics(tmp_path / "run")] == [50, 100, 150]
    again = runs.read_summary(tmp_path / "run")
    assert {**again, "seconds": 0} == {**whole, "seconds": 0}
    assert not list((tmp_path / "run").rglob("*.partial"))


def test_an_unfinished_store_is_told(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = eap_store.write(tmp_path / "eap.zarr", per_cell=10, finished=False)
    told = fails(capsys, run.main, ["--task", "mtype", "--store", str(path)])
    assert "is unfinished: 1 of 8 blocks are missing (7)" in told


def test_a_store_that_does_not_fit_the_run_is_told(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = eap_store.write(tmp_path / "small.zarr", per_cell=10, grid=(4, 4))
    for main in (evaluate.main, predict.main):
        assert "images of 4x4 contacts; the network was trained on 2 of 10x10" in fails(capsys, main, trained, path)
    path = eap_store.write(tmp_path / "long.zarr", per_cell=10, probe=staggered(24))
    told = "3 images of 11x11 nodes of a lattice; the network was trained on 2 of 10x10"
    assert told in fails(capsys, predict.main, trained, path)
    path = eap_store.write(tmp_path / "new.zarr", (("NGC_1", "NGC", False),), per_cell=10, seed=2)
    assert "classes that the network does not know: NGC" in fails(capsys, evaluate.main, trained, path)


def test_a_grid_of_another_pitch_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eap_store, "PITCH_UM", 30.0)
    path = eap_store.write(tmp_path / "wide.zarr", per_cell=10)
    told = "has contacts 30 x 30 um apart, and those that the network was trained on are 15 x 15 um apart: make a store"
    for main in (evaluate.main, predict.main):
        assert f"{told} with --probe mea10x10" in fails(capsys, main, trained, path)


def test_no_call_of_samples_that_were_recorded_otherwise(
    trained: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filtered = eap_store.write(tmp_path / "f.zarr", per_cell=2, seed=1, highpass_Hz=300.0, threshold_uV=40.0)
    predict.main(trained, filtered, tmp_path / "out.csv")
    told = re.sub(r"\s+", " ", capsys.readouterr().err)
    assert "f.zarr: was made otherwise than the store that the run was trained on: filters from 300 Hz (order 1" in told
    assert (
        "causal), there none; features at 2 kHz, there at the rate of the simulation; threshold 40 uV, there 30 uV"
        in told
    )
    with open(tmp_path / "out.csv") as file:
        rows = list(csv.DictReader(file))
    assert {(row["call"], row["reason"]) for row in rows} == {("no call", origin.RECORDED_OTHERWISE)}
    evaluate.main(trained, filtered)
    notes = runs.read_summary(trained / "evaluation-f")["data"]["notes"]
    assert any("filters from 300 Hz" in each for each in notes)
    ours = {"store": origin.made(store), "grid": [10, 10]}
    placed = eap_store.write(tmp_path / "p.zarr", per_cell=2, rotation="norot")
    assert not origin.tell_differences(ours, placed)  # a note alone
    assert "rotations norot, there 3drot" in capsys.readouterr().err
    assert not origin.tell_differences(ours, store)
    assert not origin.tell_differences({}, filtered)  # a run of before
    ours["store"]["contact_um"].reverse()
    assert not origin.tell_differences(ours, store)  # the order of contacts is none of a lattice
    origin.check_probe({"grid": [10, 10]}, filtered)
    assert not capsys.readouterr().err


def test_another_recording_of_the_placements_is_new_to_members_that_do_not_know_the_cell(
    trained: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = shutil.copytree(store, tmp_path / "noisy.zarr")
    (noisy / manifest.FILE).unlink()
    amplitude_uV = zarr.open_group(noisy)["amplitude_uV"]
    assert isinstance(amplitude_uV, zarr.Array)
    amplitude_uV[:] = np.asarray(amplitude_uV[:]) * 1.01
    evaluate.main(trained, noisy)
    assert runs.read_summary(trained / "evaluation-noisy")["samples"] == 160
    train("location", store, tmp_path / "run", "--split", "random", "--steps", "2")
    assert "the samples that the run was trained on" in fails(capsys, evaluate.main, tmp_path / "run", noisy)
    task, config, model = runs.load_model(tmp_path / "run")
    assert isinstance(model, EapModel)
    with reading.recorded(silent=True) as told:  # a run of an older version
        task.evaluate(config, dataclasses.replace(model, seen=model.seen[0]), noisy)
    assert "knows its samples by their amplitudes alone" in "".join(told.notes)


def test_a_store_that_does_not_say_how_it_was_made_is_not_turned(store: Path, tmp_path: Path) -> None:
    silent = shutil.copytree(store, tmp_path / "silent.zarr")
    (silent / manifest.FILE).unlink()
    zarr.open_group(silent).attrs["config"] = "{}"
    assert turnable(store)
    assert not turnable(silent)


def test_options_of_a_simulation_that_the_store_does_not_have_are_told(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = EapTaskConfig(data=store, noise_uV=20, rotation="norot", per_cell=20, cell_models=("a", "b"))
    assert find_store(given) == store
    told = capsys.readouterr().err
    assert "--rotation norot, the store has 3drot; --noise-uv 20, the store has 0.0; --cell-models a b" in told
    assert "per-cell" not in told
    assert origin.rotation(store) == "3drot"


# ---- the real thing, once


@pytest.mark.slow
def test_the_process_prints_one_line_for_a_mistake() -> None:
    done = start("--task", "mtpye")
    _, told = done.communicate()
    assert done.returncode == 2
    assert told.startswith("error: --task is mtpye: choose one of binary, mtype, location, raphe, subclass")
    assert told.count("\n") == 1


def staggered(count: int) -> np.ndarray:
    """Contacts in two columns of which one is moved: no grid."""
    k = np.arange(count)
    return np.stack([0 * k, 20.0 * (k % 2) - 10, 10.0 * (k - (count - 1) / 2)], axis=1).astype(np.float32)


def test_networks_see_any_probe_and_go_from_one_to_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = eap_store.write(tmp_path / "long.zarr", probe=staggered(24))
    short = eap_store.write(tmp_path / "short.zarr", probe=staggered(15), seed=1)
    array = eap_store.write(tmp_path / "array.zarr", seed=2)
    folder = tmp_path / "run"
    summary = train("mtype", long, folder, "--features", "waveform")
    majority = summary["baselines"]["majority class"]["over_cells_percent"]["mean"]["value"]
    assert summary["over_cells_percent"]["mean"]["value"] > majority + 10
    for place in (short, array):
        evaluate.main(folder, place)
        found = runs.read_summary(folder / f"evaluation-{place.stem}")
        assert found["over_cells_percent"]["mean"]["value"] > majority + 10
    told = re.sub(r"\s+", " ", capsys.readouterr().err)
    assert "array.zarr: was made otherwise than the store that the run was trained on: 100 contacts over 135 x" in told
    assert "15 contacts over 20 x 140 um, there 24 contacts over 20 x 230 um" in told
    assert (folder / "figures" / "inputs.png").stat().st_size > 10_000


def test_positions_are_learned_around_the_largest_contact(tmp_path: Path) -> None:
    """The images of a sample say nothing of how far along the probe it is; its middle does."""
    probe = staggered(24)
    path = eap_store.write(tmp_path / "a.zarr", probe=probe)
    summary = train("location", path, tmp_path / "run", "--features", "aw")
    ours, constant = (summary[name]["mean_3d"]["value"] for name in ("error_um", "baseline_error_um"))
    assert ours < 0.8 * constant
    _, _, model = runs.load_model(tmp_path / "run")
    inputs = eap.Inputs(path, "aw", scaled=True)
    nothing = dataclasses.replace(model, variables=jax.tree.map(np.zeros_like, model.variables))
    np.testing.assert_array_equal(nothing.outputs(0, inputs, np.arange(160)), inputs.middle_um)


# ---- help


def help_of(capsys: pytest.CaptureFixture[str], call: Callable[[], Any]) -> str:
    with contextlib.suppress(SystemExit):
        call()
    return re.sub(r"[\s│]+", " ", capsys.readouterr().out)


def test_help_documents_every_field(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    shown = help_of(capsys, lambda: run.main(["--task", "mtype", "--help"]))
    flags = set(re.findall(r"--[\w-]+", shown))
    assert all(flag == flag.lower() for flag in flags)
    for name in EapTaskConfig.__dataclass_fields__:
        assert f"--{name.lower().replace('_', '-')}" in flags
    assert {"--balanced", "--no-balanced", "--noise-uv"} <= flags
    assert "--preset (default, paper)" in shown
    general = help_of(capsys, lambda: run.main(["--help"]))
    for name in ("--task", "--preset", "--out", "--resume", "binary, mtype, location"):
        assert name in general
    for main in (evaluate.main, predict.main):
        told = help_of(capsys, lambda main=main: tyro.cli(main, args=["--help"]))  # type: ignore[misc]
        assert "--data" in told
        assert "RUN The run folder" in told
