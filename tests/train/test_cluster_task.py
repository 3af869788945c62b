"""The cluster task through its command line, on small planted waveforms: phases, resumption, assignment, bad input."""

import contextlib
import csv
import itertools
import json
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
from optimizers import adam

from spiketype.edge import UserError, guard
from spiketype.train import (
    loop,
    predict,
    run,
    runs,
)
from spiketype.train.config import from_json, to_json
from spiketype.train.tasks.cluster import data as cluster_data
from spiketype.train.tasks.cluster import partitions
from spiketype.train.tasks.cluster import task as cluster

SMALL = ("--hidden", "16", "16", "--code", "3", "--batch", "32", "--seeds", "2", "--rate-khz", "30")
SHORT = ("--steps", "100", "--cluster-steps", "60", "--interval", "10", "--neighbours", "5")
KINDS = 3


@pytest.fixture(autouse=True)
def lenient_adam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optax, "adam", adam)
    monkeypatch.setattr(partitions, "UMAP_BASELINES", {})  # numba compiles for a minute
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def planted(path: Path, each: int = 40, seed: int = 0, **columns: Any) -> Path:
    """Waveforms of three kinds, told apart by when they turn."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(KINDS), each)
    time_ = np.arange(30)
    peak = 14 + 5 * label[:, None] + 0.5 * rng.normal(size=(len(label), 1))
    x = -np.exp(-(((time_ - 9) / 2) ** 2)) + 0.6 * np.exp(-(((time_ - peak) / 3) ** 2))
    x = x + 0.03 * rng.normal(size=x.shape)
    animal = np.arange(len(label)) % 4
    np.savez(path, waveform=x, label=np.array(["a", "b", "c"])[label], animal=animal, **columns)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted(tmp_path_factory.mktemp("data") / "units.npz")


def train(data: Path, out: Path, *options: str) -> dict[str, Any]:
    run.main(
        ["--task", "cluster", "--data", str(data), "--label", "label", "--out", str(out), *SMALL, *SHORT, *options]
    )
    return json.loads((out / runs.SUMMARY).read_text())


@pytest.mark.slow
def test_planted_kinds_are_found_drawn_and_assigned(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    summary = train(data, out, "--clusters", "3", "--augment", "time")
    rows = summary["labelled"]["rows"]
    assert rows["DEC"]["accuracy_percent"]["value"] > 90
    assert rows["majority"]["accuracy_percent"]["value"] == pytest.approx(100 / KINDS)
    assert {"k-means", "GMM", "PCA + GMM", "Ward", "autoencoder + k-means"} <= rows.keys()
    assert summary["stability"]["DEC"]["value"] > 0.8
    for name in ("embedding", "waveforms", "stability", "confusion", "convergence"):
        assert (out / "figures" / f"{name}.png").stat().st_size > 5000
    new = planted(tmp_path / "new.npz", each=10, seed=1)
    odd = np.load(new)
    x = np.concatenate([odd["waveform"], -odd["waveform"][:1]])
    np.savez(new, waveform=x)
    predict.main(out, new, tmp_path / "clusters.csv")
    with open(tmp_path / "clusters.csv") as file:
        found = list(csv.DictReader(file))
    label = np.repeat(np.arange(KINDS), 10)
    said = np.array([int(row["cluster"]) for row in found])
    assert all(len(set(said[:-1][label == k].tolist())) == 1 for k in range(KINDS))
    assert len(set(said[:-1].tolist())) == KINDS
    assert found[-1]["outlier"] == "outlier"
    assert sum(row["outlier"] == "outlier" for row in found[:-1]) < 5
    assert all(0.3 < float(row["confidence"]) <= 1 for row in found)


@pytest.mark.slow
def test_the_number_is_chosen_without_labels(data: Path, tmp_path: Path) -> None:
    summary = train(data, tmp_path / "run", "--most", "6")
    assert summary["clusters"] == KINDS
    assert summary["choice"]["structure"]["found"]
    assert (tmp_path / "run" / "figures" / "clusters.png").exists()


@pytest.mark.slow
def test_noise_has_no_clusters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "noise.npz"
    rng = np.random.default_rng(0)
    np.savez(path, waveform=rng.normal(size=(150, 20)))
    options = ["--task", "cluster", "--data", str(path), "--normalise", "none", "--most", "5", *SMALL, *SHORT]
    run.main([*options, "--out", str(tmp_path / "run")])
    assert "NO CLUSTER STRUCTURE" in capsys.readouterr().out


THREE_PHASES = ("--clusters", "3", "--pretrain", "layers", "--steps", "60", "--tolerance", "0", "--seeds", "1")
THREE_PHASES += ("--hidden", "8", "--cluster-steps", "100")


@pytest.mark.slow
def test_killed_in_any_phase_and_resumed_is_never_stopped(data: Path, tmp_path: Path) -> None:
    """Two layers and the whole autoencoder, 60 steps each, then 100 of clustering; looks every 50 and at their ends."""
    whole = train(data, tmp_path / "whole", *THREE_PHASES)
    config = runs.open_config(tmp_path / "whole")[1]
    for look, kill_at in ((3, 100), (7, 200)):
        folder = tmp_path / str(kill_at)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run, "_stopping", _stop_at(look))
            with pytest.raises(KeyboardInterrupt):
                run.execute(cluster.TASKS["cluster"], config, folder)
        assert runs.reached(folder) == kill_at
        again = run.execute(cluster.TASKS["cluster"], config, folder)
        assert {**again, "seconds": 0} == {**whole, "seconds": 0}
        assert runs.read_metrics(folder) == runs.read_metrics(tmp_path / "whole")
        ours, theirs = (runs.load_model(place)[0] for place in (folder, tmp_path / "whole"))
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def _stop_at(look: int) -> Any:
    """Stands for `run._stopping`: asks to stop at that look at the metrics, counted from 1."""

    @contextlib.contextmanager
    def stopping() -> Any:
        looks = itertools.count(1)
        yield lambda: next(looks) >= look

    return stopping


def test_a_member_that_has_finished_stays_as_it_is(data: Path) -> None:
    config = cluster.ClusterConfig(data=data, clusters=3, rate_kHz=30.0, hidden=(8,), code=2, seeds=2, tolerance=1.1)
    experiment = cluster.prepare(config)
    phase = experiment.more[-1]
    mesh = loop.member_mesh(2, config.batch)
    begin = loop.start(phase.problem, experiment.keys, mesh)
    begin = begin._replace(state={**begin.state, "changed": begin.state["changed"] * 0})  # both are ready
    before = jax.device_get(begin.params)
    steps = []
    end = loop.fit(
        phase.problem,
        experiment.keys,
        phase.data,
        phase.steps,
        mesh,
        experiment.names,
        begin=(0, begin),
        report=lambda step, metrics: steps.append(step),
    )
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(end.params), before)
    assert len(steps) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--clusters", "500"), r"--clusters 500 is more than the 120 units"),
        (("--clusters", "1"), r"--clusters 1: the least is 2"),
        (("--clusters", "3", "--sizes", "0.5", "0.5"), r"--sizes .* give a positive share for each of --clusters"),
        (("--tolerance", "-1"), r"--tolerance is -1.0"),
        (("--network", "conv", "--pretrain", "layers"), r"--pretrain layers is for --network dense"),
    ],
)
def test_options_that_cannot_be_are_named(
    data: Path, tmp_path: Path, options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped, guard():
        train(data, tmp_path / "run", *options)
    assert stopped.value.code == 2
    assert re.search(words, re.sub(r"[\s│]+", " ", capsys.readouterr().err))
    assert not (tmp_path / "run").exists()


def test_units_that_cannot_be_clustered_are_named(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5, 20))
    for change, words in ((np.nan, "row 2 .* is not finite"), (0.0, "row 2 .* is constant")):
        bad = x.copy()
        bad[2] = change
        np.savez(tmp_path / "bad.npz", waveform=bad)
        with pytest.raises(UserError, match=words):
            run.main(["--task", "cluster", "--data", str(tmp_path / "bad.npz"), *SMALL, "--out", str(tmp_path / "r")])
    np.savez(tmp_path / "one.npz", waveform=x[:1])
    with pytest.raises(UserError, match="one unit"):
        run.main(["--task", "cluster", "--data", str(tmp_path / "one.npz"), *SMALL, "--out", str(tmp_path / "r")])


def test_digits_are_found_again_from_the_configuration_of_a_run() -> None:
    config = cluster.ClusterConfig(data=Path("digits"))
    again = from_json(cluster.ClusterConfig, to_json(config), Path("config.json"))
    units = cluster_data.read(again, again.data)
    assert units.x.shape == (1797, 64)
    assert units.class_names == tuple("0123456789")
