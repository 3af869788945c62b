"""The cluster task through its command line, on small planted waveforms: phases, resumption, assignment, bad input."""

import contextlib
import csv
import itertools
import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import run_folder
import xarray as xr

from spiketype.datasets.waveforms.matrix import Units, read_units
from spiketype.edge import NO_CALL, UserError, guard
from spiketype.models import partitions
from spiketype.train import asked, checkpoints, evaluate, execute, loop, predict, run, runs
from spiketype.train.config import from_json, to_json
from spiketype.train.tasks.cluster import judge
from spiketype.train.tasks.cluster.config import ClusterConfig
from spiketype.train.tasks.cluster.model import OUTLIER, ClusterModel, encode, network
from spiketype.train.tasks.cluster.task import TASKS, prepare, tell_unused

SMALL = ("--hidden", "16", "16", "--code", "3", "--batch", "32", "--seeds", "2", "--rate-khz", "30")
SHORT = ("--steps", "100", "--cluster-steps", "60", "--interval", "10", "--neighbours", "5")
KINDS = 3


@pytest.fixture(autouse=True)
def _quick(lenient_adam: None, monkeypatch: pytest.MonkeyPatch) -> None:
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
    return runs.read_summary(out)


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
    assert list(found[0]) == ["row", "call", "probability", "certain", "reason", "p_0", "p_1", "p_2", "outlier"]
    called = np.array([np.argmax([float(row[f"p_{k}"]) for k in range(KINDS)]) for row in found])
    assert all(row["call"] in (str(k), "no call") for k, row in zip(called, found, strict=True))
    assert (found[-1]["call"], found[-1]["reason"]) == ("no call", OUTLIER)
    with open(out / "predictions.csv") as file:  # of the units that were clustered, at the end of the run
        assert len(list(csv.DictReader(file))) == 3 * 40
    assert all(len(set(called[:-1][label == k].tolist())) == 1 for k in range(KINDS))
    assert len(set(called[:-1].tolist())) == KINDS
    assert found[-1]["outlier"] == "yes"
    assert sum(row["outlier"] == "yes" for row in found[:-1]) < 5
    assert all(0.3 < float(row["probability"]) <= 1 for row in found)
    stored = xr.open_zarr(out / runs.PREDICTIONS, consolidated=False)
    assert stored["probability"].sizes == {"sample": 3 * 40, "model": 1, "repeat": 2, "class": KINDS}
    assert stored["data_label"].to_numpy().tolist() == np.repeat(["a", "b", "c"], 40).tolist()
    assert (stored["label"] == -1).all()
    assert {"cluster_k_means", "cluster_pca_gmm", "cluster_autoencoder_k_means"} <= set(stored)
    with pytest.raises(UserError, match="judged when it is trained"):
        evaluate.main(out, new)


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
    for table in (tmp_path / "run" / "predictions.csv", tmp_path / "new.csv"):
        if not table.exists():
            predict.main(tmp_path / "run", path, table)
        called = pd.read_csv(table)
        assert set(called["call"]) == {NO_CALL}
        assert called["reason"].str.startswith("no cluster structure was found").all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"clusters": 3, "most": 5, "criterion": "bic"}, "--most and --criterion: not used, because --clusters gives"),
        ({"turn_deg": 5.0}, "--turn-deg: not used, because --augment is none"),
        ({"turn_deg": 5.0, "augment": "image"}, ""),
        ({}, ""),
    ],
)
def test_options_that_do_nothing_are_told(given: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    tell_unused(ClusterConfig(**given))
    found = capsys.readouterr().err
    assert said in found
    assert bool(said) == bool(found)


THREE_PHASES = ("--clusters", "3", "--pretrain", "layers", "--steps", "60", "--tolerance", "0", "--seeds", "1")
THREE_PHASES += ("--hidden", "8", "--cluster-steps", "100")


@pytest.mark.slow
def test_killed_in_any_phase_and_resumed_is_never_stopped(data: Path, tmp_path: Path) -> None:
    """Two layers and the whole autoencoder, 60 steps each, then 100 of clustering; looks every 50 and at their ends."""
    whole = train(data, tmp_path / "whole", *THREE_PHASES)
    config = asked.open_config(tmp_path / "whole")
    for look, kill_at in ((3, 100), (7, 200)):
        folder = tmp_path / str(kill_at)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(execute, "_stopping", _stop_at(look))
            with pytest.raises(KeyboardInterrupt):
                execute.execute(TASKS["cluster"], config, folder)
        assert checkpoints.newest(folder).step == kill_at
        again = execute.execute(TASKS["cluster"], config, folder)
        assert {**again, "seconds": 0} == {**whole, "seconds": 0}
        assert run_folder.metrics(folder) == run_folder.metrics(tmp_path / "whole")
        ours, theirs = (runs.load_model(place)[2] for place in (folder, tmp_path / "whole"))
        assert ours.manifest() == theirs.manifest()
        jax.tree.map(np.testing.assert_array_equal, ours.arrays(), theirs.arrays())


def _stop_at(look: int) -> Any:
    """Stands for `execute._stopping`: asks to stop at that look at the metrics, counted from 1."""

    @contextlib.contextmanager
    def stopping() -> Any:
        looks = itertools.count(1)
        yield lambda: next(looks) >= look

    return stopping


def test_a_member_that_has_finished_stays_as_it_is(data: Path) -> None:
    config = ClusterConfig(data=data, clusters=3, rate_kHz=30.0, hidden=(8,), code=2, seeds=2, tolerance=1.1)
    experiment = prepare(config)
    phase = experiment.phases[-1]
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


@pytest.mark.slow
def test_an_interrupted_judging_leaves_no_model_and_is_finished(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    options = ("--clusters", "3", "--steps", "10", "--hidden", "8", "--seeds", "1")
    options += ("--cluster-steps", "200", "--tolerance", "1.1")  # it has finished long before
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "others", _interrupt)
        with pytest.raises(SystemExit):
            train(data, out, *options)
    assert not (out / runs.MODEL).exists()
    with pytest.raises(SystemExit), guard():
        predict.main(out, data)
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith(f"error: {out} has no model yet: finish the run with --resume {out}")
    before = run_folder.metrics(out)
    assert before[-1]["step"] < 10 + 200
    run.main(["--resume", str(out)])
    assert run_folder.metrics(out) == before
    predict.main(out, data)
    assert (out / "predictions-units.csv").exists()


def _interrupt(*arguments: Any) -> None:
    raise KeyboardInterrupt


def test_phases_are_named_and_only_clustering_is_rounded_up_to_intervals(data: Path) -> None:
    config = ClusterConfig(
        data=data, clusters=3, rate_kHz=30.0, hidden=(8, 4), code=2, steps=7, cluster_steps=50, pretrain="layers"
    )
    phases = prepare(config).phases
    assert [(phase.name, phase.steps) for phase in phases] == [
        ("pretraining, layer 1", 7),
        ("pretraining, layer 2", 7),
        ("pretraining, layer 3", 7),
        ("pretraining", 7),
        ("clustering", 60),
    ]
    assert all(phase.steps % phase.problem.interval == 0 for phase in phases)


def model_of_permuted_centres(config: ClusterConfig, units: Units) -> ClusterModel:
    """Two members with one network, untrained, and the same three centres in another order; two more are not alive."""
    net = network(config, units.form)
    params = net.init(jax.random.key(0), units.x[:1])["params"]
    both = jax.tree.map(lambda a: jnp.stack([a, a]), params)
    code = encode(net, both, units.x)[0]
    label = partitions.kmeans(code, KINDS, 0)
    centre = np.concatenate([partitions.means(code, label, KINDS), np.zeros((2, config.code))])
    variables = {
        "params": {"net": both, "centre": np.stack([centre, centre[[2, 0, 1, 3, 4]]]).astype(np.float32)},
        "alive": np.tile(np.arange(5) < KINDS, (2, 1)),
        "scale": np.ones(2, np.float32),
    }
    return ClusterModel.fit(config, net, variables, units, None)


def test_all_seeds_name_clusters_alike_and_the_model_comes_back(data: Path) -> None:
    config = ClusterConfig(data=data, rate_kHz=30.0, hidden=(8,), code=2, seeds=2)
    units = read_units(config, data)
    model = model_of_permuted_centres(config, units)
    found = model.probability(units.x)
    assert found.shape == (2, len(units.x), KINDS)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
    sizes = np.bincount(found[0].argmax(axis=1), minlength=KINDS)
    assert sizes.tolist() == sorted(sizes.tolist(), reverse=True)
    again = ClusterModel.restore(config, model.arrays(), json.loads(json.dumps(model.manifest())))
    np.testing.assert_array_equal(again.probability(units.x), found)
    table = again.calls(units, again.see(units.x)).table(certain=0.9)
    unsure = table["probability"] < 0.9
    assert unsure.any()
    np.testing.assert_array_equal(table["call"] == "no call", unsure)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--clusters", "500"), r"--clusters 500 is more than the 120 units"),
        (("--clusters", "1"), r"--clusters 1: the least is 2"),
        (("--clusters", "0"), r"--clusters 0: the least is 2"),
        (("--certain", "1"), r"--certain is 1.0: it must be at least 0 and below 1"),
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
    for change in (np.nan, 0.0):
        np.savez(tmp_path / "bad.npz", waveform=np.full_like(x, change))
        with pytest.raises(UserError, match="none of 5 rows can be used"):
            run.main(["--task", "cluster", "--data", str(tmp_path / "bad.npz"), *SMALL, "--out", str(tmp_path / "r")])
    np.savez(tmp_path / "one.npz", waveform=x[:1])
    with pytest.raises(UserError, match="one unit"):
        run.main(["--task", "cluster", "--data", str(tmp_path / "one.npz"), *SMALL, "--out", str(tmp_path / "r")])
    np.savez(tmp_path / "few.npz", waveform=x)
    with pytest.raises(UserError, match=r"5 units .* too few to choose a number: give --clusters"):
        run.main(["--task", "cluster", "--data", str(tmp_path / "few.npz"), *SMALL, "--out", str(tmp_path / "r")])


def test_new_data_of_another_form_are_named(data: Path, tmp_path: Path) -> None:
    config = ClusterConfig(data=data, rate_kHz=30.0)
    form = read_units(config, data).form
    np.savez(tmp_path / "short.npz", waveform=np.load(data)["waveform"][:, :20])
    with pytest.raises(UserError, match="1 channels x 20 times at 30 kHz, the network was trained on 1 x 30"):
        read_units(config, tmp_path / "short.npz", form)
    with pytest.raises(UserError, match="digits gives 64 inputs, the network was trained on 30"):
        read_units(config, Path("digits"), form)


def test_digits_are_found_again_from_the_configuration_of_a_run() -> None:
    config = ClusterConfig(data=Path("digits"))
    again = from_json(ClusterConfig, to_json(config), Path("config.json"))
    assert again.data is not None
    units = read_units(again, again.data)
    assert units.x.shape == (1797, 64)
    assert units.class_names == tuple("0123456789")


def test_first_centres_that_cannot_be_made_are_refused_before_training(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--init umap: UMAP is not installed: uv (sync|pip install)"):
        prepare(ClusterConfig(data=data, rate_kHz=30.0, init="umap"))
    monkeypatch.setattr(partitions, "MOST_WARD", 10)
    with pytest.raises(UserError, match=r"--init ward keeps all pairs of .* units, the most is 10"):
        prepare(ClusterConfig(data=data, rate_kHz=30.0, init="ward"))
