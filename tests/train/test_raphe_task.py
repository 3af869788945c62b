"""The raphe task from the command line, on a small simulation: run, resume, evaluate, predict, bad input, warnings."""

import contextlib
import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import optax
import pytest
import run_folder
import zarr
from optimizers import adam

from spiketype.datasets.raphe import read, sources
from spiketype.datasets.raphe import table as raphe
from spiketype.datasets.raphe import table as raphe_table
from spiketype.datasets.raphe.options import ReadOptions, SpikeOptions
from spiketype.edge import Json, UserError, guard
from spiketype.simulator.raphe import generate as simulator
from spiketype.train import asked, checked, evaluate, predict, run, runs
from spiketype.train.tasks.raphe import control
from spiketype.train.tasks.raphe.config import RapheTaskConfig
from spiketype.train.tasks.raphe.model import RapheModel
from spiketype.train.tasks.raphe.summary import cell_table
from spiketype.train.tasks.raphe.task import find_store, prepare
from tests.datasets.raphe_synthetic import recording

pytestmark = pytest.mark.usefixtures("lenient_adam")
SMALL = ("--widths", "3", "5", "--steps", "30", "--batch", "32", "--folds", "2")


def simulated(
    seed: int, most: int, confound: bool = False, noise: bool = True, days: int = 23
) -> list[raphe_table.LabelledCell]:
    """Return the first `most` cells of each class and of each of some days, with a dozen spikes each."""
    config = simulator.RapheConfig(seed=seed, confound=confound, most_spikes=12)
    wanted = sorted({cell.day for cell in simulator.cells(config)})[:days]
    count: Counter[tuple[str, bool]] = Counter()
    cells = []
    for cell in simulator.cells(config):
        count[cell.day, cell.serotonergic] += 1
        if count[cell.day, cell.serotonergic] <= most and cell.day in wanted:
            cells.append(simulator.simulate(config, cell))
    if not noise:
        return [replace(c, spikes=replace(c.spikes, noise_pA=np.zeros((0, 160), np.float32))) for c in cells]
    return cells


EXTRACTED: Json = {"spikes": asdict(SpikeOptions())}  # what every laboratory's store says that has default options


def write(path: Path, cells: list[raphe_table.LabelledCell], config: Json = EXTRACTED) -> Path:
    """Write a store as that of extracted recordings."""
    return raphe_table.write(path, cells, config)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("store") / "raphe.zarr", simulated(seed=3, most=2))


@pytest.fixture(scope="module")
def trained(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optax, "adam", adam)
        run.main(["--task", "raphe", "--data", str(store), "--out", str(folder), *SMALL])
    return folder


def summary_of(folder: Path) -> dict[str, Any]:
    return runs.read_summary(folder)


def fails(capsys: pytest.CaptureFixture[str], main: Callable[..., None], *arguments: Any) -> str:
    """Run a command line that must fail with a message, without a traceback; return the message."""
    with pytest.raises(SystemExit) as stopped, guard():
        main(*arguments)
    assert stopped.value.code not in (0, None)
    told = re.sub(r"[\s│]+", " ", capsys.readouterr().err)
    assert "Traceback" not in told
    return told


def test_a_run_folder_is_complete(trained: Path) -> None:
    figures = {path.name for path in (trained / "figures").iterdir()}
    assert figures == run_folder.drawn("spikes", "confusion", "roc", "calibration", "settling", "training")
    summary = summary_of(trained)
    assert not summary["optimistic"]
    assert summary["days"] == 23
    assert len(summary["per_cell"]) == summary["cells"]
    assert {"UDI alone", "trough-to-peak and half width"} < set(summary["rows"])
    for row in summary["rows"].values():
        for name in ("accuracy", "sensitivity", "specificity", "ppv", "npv"):
            assert 0 <= row[f"{name}_percent"]["value"] <= 100
    assert summary["rows"]["consensus and shape, calibrated"]["accuracy_percent"]["value"] > 70
    uncalled = np.mean([cell["certain"] == "no" for cell in summary["per_cell"]])
    assert summary["as_predicted"]["no_call_percent"] == pytest.approx(100 * uncalled)
    assert f"no call for any reason, as in predict: {100 * uncalled:.1f} % of cells" in cell_table(summary)
    assert "for any reason" not in cell_table({k: v for k, v in summary.items() if k != "as_predicted"})
    assert set(summary["targets"]) == {
        "accuracy_percent", "over_best_single_feature_percent", "atypical_percent", "top_calibration_error"
    }  # fmt: skip
    manifest = json.loads((trained / runs.MANIFEST).read_text())
    assert manifest["spikes"] == asdict(SpikeOptions())
    assert manifest["thresholds"]["certain"] == 0.8
    assert len(manifest["members"]) == 2 * 2
    days = [set(member["trained_on_days"]) for member in manifest["members"]]
    assert len(days[0] | days[2]) == 23
    assert days[0] != days[2]


def test_predictions_are_those_of_the_summary(trained: Path) -> None:
    group = zarr.open_group(trained / runs.PREDICTIONS, mode="r")
    probability, summary = np.asarray(group["probability"]), summary_of(trained)
    assert list(group["model_name"][:]) == list(summary["rows"])
    np.testing.assert_allclose(probability.sum(axis=3), 1, atol=1e-6)
    per_cell = summary["per_cell"]
    assert list(group["row"][:]) == [cell["row"] for cell in per_cell]
    np.testing.assert_allclose(probability[:, 0, 0, 1], [cell["p_serotonergic"] for cell in per_cell], atol=1e-6)
    right = 100 * np.mean(probability.argmax(axis=3)[:, :, 0] == np.asarray(group["label"])[:, None], axis=0)
    for number, row in enumerate(summary["rows"].values()):
        assert right[number] == pytest.approx(row["accuracy_percent"]["value"])
    for cell in per_cell:
        assert cell["low_serotonergic"] <= cell["p_serotonergic"] <= cell["high_serotonergic"]


def test_a_model_is_the_same_when_it_is_opened_again(store: Path, trained: Path) -> None:
    table = read.labelled(store)
    _, config, model = runs.load_model(trained)
    assert isinstance(model, RapheModel)
    again = RapheModel.restore(config, model.arrays(), model.manifest())
    np.testing.assert_array_equal(again.probability(table), model.probability(table))
    assert again.manifest() == model.manifest()
    np.testing.assert_allclose(model.probability(table).sum(axis=1), 1, atol=1e-12)


def test_judging_writes_nothing(
    store: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = prepare(RapheTaskConfig(data=store, widths=(3, 5), steps=30, batch=32, folds=2))
    _, _, model = runs.load_model(trained)
    monkeypatch.chdir(tmp_path)
    judgement = experiment.judge(model.variables, [])
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out == ""
    assert "training" not in judgement.figures
    assert judgement.model is not None
    assert judgement.model.manifest() == model.manifest()
    assert judgement.summary | {"seconds": 0} == {k: v for k, v in summary_of(trained).items() if k != "data"} | {
        "seconds": 0
    }


def test_resuming_gives_the_same_numbers(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    (copy / runs.SUMMARY).unlink()
    run.main(["--resume", str(copy)])
    assert summary_of(copy) | {"seconds": 0} == summary_of(trained) | {"seconds": 0}


def test_a_simulated_store_has_its_place_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(simulator, "generate", lambda wanted, path: made.append(path) or path)
    assert find_store(RapheTaskConfig(store_seed=11)) == made[0]
    assert made[0] == tmp_path / "spiketype" / "raphe" / "seed11-5c62b0414fef7a2d.zarr"
    made[0].mkdir()
    assert find_store(RapheTaskConfig(store_seed=11)) == made[0]
    assert find_store(RapheTaskConfig(store_seed=11, copies=2)) == made[1] != made[0]
    assert len(made) == 2


@pytest.mark.slow
def test_the_process_is_interrupted_and_continues_to_the_same_numbers(store: Path, tmp_path: Path) -> None:
    options = ["--task", "raphe", "--data", str(store), *SMALL, "--steps", "400", "--widths", "3"]
    command = [sys.executable, "-m", "train.run", *options, "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(run_folder.metrics(tmp_path / "run")) < 2:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130, told
    assert "Traceback" not in told
    run.main(["--resume", str(tmp_path / "run")])
    run.main([*options, "--out", str(tmp_path / "whole")])
    assert summary_of(tmp_path / "run") | {"seconds": 0} == summary_of(tmp_path / "whole") | {"seconds": 0}


def test_a_split_by_spike_is_called_optimistic(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--split", "spike", *SMALL, "--steps", "5", "--augment", "smooth", "--widths", "3"]
    options += ["--columns", "time-current", "--outputs", "sigmoids", "--balance", "class"]
    run.main(["--task", "raphe", "--store", str(store), "--out", str(tmp_path / "run"), *options])
    assert summary_of(tmp_path / "run")["optimistic"]
    assert "WARNING: optimistic" in capsys.readouterr().out


def test_paper_preset_is_the_published_protocol() -> None:
    config = asked.configure([], "raphe", "paper", run.PROG)
    assert isinstance(config, RapheTaskConfig)
    assert config.widths == tuple(range(20, 32))
    assert (config.batch, config.learning_rate, config.dropout, config.steps) == (64, 1e-3, 0.5, 25 * 474)
    assert (config.split, config.columns, config.outputs) == ("spike", "time-current", "sigmoids")


# ---- the noise-only control


def test_the_noise_control_is_at_chance_on_noise_and_ranks_what_tells() -> None:
    rng = np.random.default_rng(0)
    label = np.stack([rng.permutation(np.repeat([0, 1], [12, 28])) for _ in range(300)])
    x, part = rng.normal(size=(40, 30)), np.arange(40) % 8
    on_noise = control.paired_auc(x, label, part)
    assert abs(on_noise.mean() - 0.5) < 4 * on_noise.std() / np.sqrt(300)
    told = control.paired_auc(x + 3 * label[0][:, None], label[:2], part)
    assert told[0] > 0.99 > 0.9 > told[1]


@pytest.mark.slow
def test_noise_names_the_class_only_where_days_betray_it(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for confound in (False, True):
        path = write(tmp_path / f"{confound}.zarr", simulated(seed=5, most=3, confound=confound))
        table = raphe.load(path)
        found = control.noise_control(table, np.arange(len(table.cell_names)), 0)
        assert found["suspicious"] == found["known_days"]["suspicious"] == confound
        assert (found["auc"] < found["chance"][1]) == (not confound)
        evaluate.main(trained, path)
        assert ("VOID: the class can be named without a spike" in capsys.readouterr().out) == confound
        summary = summary_of(trained / f"evaluation-{confound}")
        assert bool(summary["void"]) == confound
        assert bool(summary["targets"]) != confound


# ---- new recordings


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings as .abf, a folder of CSV spikes, and two files that are none."""
    folder = tmp_path_factory.mktemp("rig")
    config = simulator.RapheConfig(seed=11, most_spikes=15)
    cells = simulator.cells(config)
    for cell in (cells[0], cells[-1]):
        made = simulator.simulate(config, cell, folder)
    spikes = folder / "A170101#001"
    spikes.mkdir()
    for k, spike in enumerate(made.spikes.spike_pA[:4]):
        rows = np.stack([np.arange(160) / 40_000, spike], axis=1)
        np.savetxt(spikes / f"{spikes.name}_trigger_{k}.csv", rows, delimiter=",", header="t,I")
    np.savetxt(spikes / "short_trigger_9.csv", np.ones((150, 2)), delimiter=",", header="t,I")
    (folder / "text.abf").write_text("these are no data")
    (folder / "empty.abf").write_bytes(b"")
    return folder


COLUMNS = (
    "row", "call", "probability", "certain", "reason", "p_non-serotonergic", "p_serotonergic", "day",
    "low_serotonergic", "high_serotonergic", "spikes", "settled_after", "unusual", "contrary_spikes", "published_vote",
    "trough_pA", "distance_over_limit", "udi_ms", "rate_Hz", "isi_cv", "noise_rms_pA", "clipped",
)  # fmt: skip


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path) as file:
        return list(csv.DictReader(file))


def test_a_recording_gets_a_call_and_no_store(
    trained: Path, recordings: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a call needs no store on the disk")

    monkeypatch.setattr(raphe_table, "write", refuse)
    abf = sorted(recordings.glob("A*.abf"))[0]
    predict.main(trained, abf)
    (row,) = rows_of(trained / f"predictions-{abf.stem}.csv")
    assert tuple(row) == COLUMNS
    assert row["row"] == abf.stem
    assert row["day"] == abf.stem.split("#")[0]
    assert row["call"] in ("serotonergic", "non-serotonergic", "no call")
    assert (row["certain"] == "yes") == (row["call"] != "no call") == (row["reason"] == "")
    assert float(row["probability"]) >= 0.8 or row["call"] == "no call"
    assert float(row["low_serotonergic"]) <= float(row["p_serotonergic"]) <= float(row["high_serotonergic"])
    assert float(row["probability"]) == max(float(row["p_serotonergic"]), float(row["p_non-serotonergic"]))
    assert int(row["spikes"]) >= 15
    assert 1 <= int(row["settled_after"]) <= int(row["spikes"])
    assert row["unusual"] in ("yes", "no")
    assert float(row["rate_Hz"]) > 0
    assert abf.stem in capsys.readouterr().out


def test_recordings_are_no_labelled_store(trained: Path, recordings: Path) -> None:
    with pytest.raises(UserError, match=r"spiketype raphe extract .* --labels"):
        evaluate.main(trained, recordings)
    with pytest.raises(UserError, match=r"spiketype raphe extract .* --labels"):
        prepare(RapheTaskConfig(data=recordings))


def test_recordings_are_read_as_those_that_were_trained_on(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(trained, tmp_path / "run")
    manifest = json.loads((copy / runs.MANIFEST).read_text())
    del manifest[checked.KEY]
    assert manifest["read"] == asdict(ReadOptions())
    (copy / runs.MANIFEST).write_text(json.dumps(manifest | {"read": {"channel": "1"}}))
    times = np.arange(0.2, 4, 0.4)
    both = np.stack([recording(times, 4.2), recording(times[:7], 4.2)], axis=1)
    np.savez(tmp_path / "two.npz", current=both, rate_Hz=40_000)
    predict.main(copy, tmp_path / "two.npz", tmp_path / "calls.csv")
    assert rows_of(tmp_path / "calls.csv")[0]["spikes"] == "7"
    assert "read as the recordings that the run was trained on: channel 1" in capsys.readouterr().err
    np.savez(tmp_path / "one.npz", current=both[:, 0], rate_Hz=40_000)
    told = fails(capsys, predict.main, copy, tmp_path / "one.npz")
    assert "give one of them as --channel (an option of spiketype raphe extract: make a store with it" in told
    (copy / runs.MANIFEST).write_text(json.dumps({k: v for k, v in manifest.items() if k != "read"}))  # older runs
    predict.main(copy, tmp_path / "one.npz", tmp_path / "older.csv")


def test_stores_that_are_cut_otherwise_are_refused_or_noted(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = simulated(seed=4, most=1)
    trough = write(tmp_path / "trough.zarr", cells, {"spikes": asdict(SpikeOptions(align="trough"))})
    for main in (predict.main, evaluate.main):
        told = fails(capsys, main, trained, trough)
        assert "aligned by their trough, those that the run was trained on by their crossing" in told
        assert "spiketype raphe extract --align crossing" in told
    mads = write(tmp_path / "mads.zarr", cells, {"spikes": asdict(SpikeOptions(mads=6))})
    predict.main(trained, mads, tmp_path / "calls.csv")
    assert "cross 6 deviations of the noise, those that the run was trained on -50 pA" in capsys.readouterr().err
    silent = write(tmp_path / "silent.zarr", cells, {})
    predict.main(trained, silent, tmp_path / "silent.csv")
    assert "does not tell how its spikes were cut" in capsys.readouterr().err


def test_a_folder_of_recordings_gets_calls_and_a_list_of_what_was_left_out(
    trained: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict.main(trained, recordings, tmp_path / "calls.csv")
    rows = rows_of(tmp_path / "calls.csv")
    assert len(rows) == 3
    assert sorted(int(row["spikes"]) >= 15 for row in rows) == [False, True, True]
    for row in rows:  # single spikes do not tell the rhythm of their cell
        assert all((row[name] == "") == (int(row["spikes"]) < 15) for name in ("rate_Hz", "isi_cv"))
        assert float(row["udi_ms"]) > 0
        assert float(row["noise_rms_pA"]) > 0
    told = capsys.readouterr().err
    for name, why in (("text.abf", "not an ABF"), ("empty.abf", "empty"), ("short_trigger_9.csv", "150 rows")):
        assert re.search(rf"left out: \S*{name}: .*{why}", told)


def test_a_store_gets_calls_and_is_told_where_they_are_too_good(
    trained: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict.main(trained, store, tmp_path / "calls.csv")
    cells = summary_of(trained)["cells"]
    assert len(rows_of(tmp_path / "calls.csv")) == cells
    assert f"the run was trained on {cells} of {cells} cells: their calls are too good" in capsys.readouterr().err
    theirs = write(tmp_path / "theirs.zarr", simulated(seed=4, most=1))
    predict.main(trained, theirs, tmp_path / "theirs.csv")
    assert "too good" not in capsys.readouterr().err


# ---- other labelled stores


def test_another_laboratory_with_the_same_options_is_judged(trained: Path, store: Path, tmp_path: Path) -> None:
    theirs = write(tmp_path / "theirs.zarr", simulated(seed=4, most=1))
    assert read.spike_options(theirs) == read.spike_options(store)  # the configuration does not tell them apart
    evaluate.main(trained, theirs)
    summary = summary_of(trained / "evaluation-theirs")
    assert summary["split"] == "other store"
    assert list(summary["rows"]) == ["consensus and shape, calibrated", "consensus, published mean"]
    assert summary["rows"]["consensus and shape, calibrated"]["accuracy_percent"]["value"] > 70
    figures = {path.name for path in (trained / "evaluation-theirs" / "figures").iterdir()}
    assert figures == run_folder.drawn("spikes", "confusion", "roc", "calibration", "settling")


def test_the_training_spikes_are_refused_wherever_they_lie(
    trained: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "that the run was trained on" in fails(capsys, evaluate.main, trained, store)
    again = write(tmp_path / "again.zarr", simulated(seed=3, most=2), EXTRACTED | {"read": {"day": "another"}})
    assert "that the run was trained on" in fails(capsys, evaluate.main, trained, again)


def test_recordings_that_were_trained_on_are_known_though_cut_anew(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = [replace(c, spikes=replace(c.spikes, spike_pA=c.spikes.spike_pA + 0.01)) for c in simulated(3, most=1)]
    known = [replace(c, name=f"{c.name} again", day="180101") for c in known]
    anew = write(tmp_path / "anew.zarr", known)
    assert "that the run was trained on" in fails(capsys, evaluate.main, trained, anew)
    some = write(tmp_path / "some.zarr", [*known[:5], *simulated(seed=4, most=1)])
    evaluate.main(trained, some)
    assert re.search(r"\d+ of \d+ spikes left out: the run was trained on them", capsys.readouterr().err)
    assert summary_of(trained / "evaluation-some")["cells"] == len(simulated(seed=4, most=1))


def test_one_day_is_judged_without_intervals_over_days(trained: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "day.zarr", simulated(seed=4, most=3, days=1))
    evaluate.main(trained, path)
    summary = summary_of(trained / "evaluation-day")
    assert summary["days"] == 1
    assert summary["noise_only"]["auc"] is None
    row = summary["rows"]["consensus and shape, calibrated"]
    assert row["auc"]["value"] is not None
    assert row["auc"]["low"] is None
    assert row["top_calibration_error"]["high"] is None


# ---- mistakes


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--widths", "0"], "--widths is (0,): give one or more from 1 to 31"),
        (["--widths", "5", "32"], "from 1 to 31"),
        (["--widths", "5", "5"], "a width occurs twice"),
        (["--steps", "0"], "--steps is 0"),
        (["--certain", "0.3"], "--certain is 0.3"),
        (["--snr", "5", "2"], "--snr is (5.0, 2.0)"),
        (["--split", "days"], "leave-one-day-out"),
        (["--seeds", "0"], "--seeds 0: give at least one"),
        (["--seed", str(2**32)], "below 2**32"),
        (["--learning-rate", "0"], "--learning-rate is 0.0: it must be positive"),
        (["--data", "nowhere"], "nowhere does not exist"),
        (["--store", "nowhere"], "nowhere does not exist"),
    ],
)
def test_mistakes_are_told(
    options: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told in fails(capsys, run.main, ["--task", "raphe", *options])
    assert not list(tmp_path.iterdir())


def test_bad_data_are_told(
    trained: Path, store: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "not an ABF" in fails(capsys, predict.main, trained, recordings / "text.abf")
    assert "does not exist" in fails(capsys, predict.main, trained, recordings / "none.abf")
    cells, _ = sources.extract(
        [next(recordings.glob("A*.abf"))], SpikeOptions(), sources.ReadOptions(), sources.Labels({}, {})
    )
    unknown = write(tmp_path / "unknown.zarr", cells)
    assert "no cell is labelled" in fails(capsys, run.main, ["--task", "raphe", "--data", str(unknown)])
    assert "no cell is labelled" in fails(capsys, evaluate.main, trained, unknown)
    quiet = write(tmp_path / "quiet.zarr", simulated(seed=3, most=1, noise=False))
    assert "give --augment none" in fails(capsys, run.main, ["--task", "raphe", "--data", str(quiet), *SMALL])
    silent = write(tmp_path / "silent.zarr", simulated(seed=3, most=1), {})
    assert "does not tell how its spikes were cut" in fails(
        capsys, run.main, ["--task", "raphe", "--data", str(silent), *SMALL]
    )


def test_a_run_that_was_not_judged_says_so(
    trained: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    (copy / runs.MANIFEST).unlink()
    assert f"finish the run with --resume {copy}" in fails(capsys, predict.main, copy, store)


def test_help_documents_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        run.main(["--task", "raphe", "--help"])
    flags = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    for name in RapheTaskConfig.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in flags
