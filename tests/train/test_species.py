"""The species task: its networks, and the command line on small tables."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from optimizers import adam

from spiketype.datasets.allen import database as allen_database
from spiketype.datasets.allen import table as allen
from spiketype.datasets.allen.features import FEATURES
from spiketype.datasets.allen.species import HUMAN, parts, read_species, usable, whole
from spiketype.datasets.fingerprint import of_names
from spiketype.edge import Json, UserError
from spiketype.models import explain
from spiketype.models.species import Cells
from spiketype.train import evaluate, loop, predict, run
from spiketype.train.judging import calls, metrics
from spiketype.train.tasks.species import networks, task
from spiketype.train.tasks.species.config import FOLDS, METHODS, SpeciesConfig
from spiketype.train.tasks.species.model import SpeciesModel, TrainingCells, fit
from spiketype.train.tasks.species.model import evaluate as evaluate_species
from spiketype.train.tasks.species.networks import cells_of
from tests import shared_data
from tests.datasets import two_species
from tests.datasets.two_species import write


@pytest.fixture(autouse=True)
def _strict_and_quick(monkeypatch):
    monkeypatch.setattr(optax, "adam", adam)
    monkeypatch.setattr(explain, "shapley", lambda probability, z, background, seed: (np.arange(len(z)), 0 * z))


@pytest.fixture
def tables():
    return two_species.tables()


@pytest.fixture
def folder(tables, tmp_path):
    tables["mouse"].iloc[::9, 2] = np.nan
    return write(tmp_path / "data", tables)


def test_the_domain_gradient_is_turned_only_for_the_adversarial(folder):
    """A step of a domain loss alone moves the domain head for all, the features for adversarial members alone."""
    config = SpeciesConfig(l2=0.0, schedule="constant", dropout=0.0, optimizer="sgd", steps=1)
    net, table = networks.network(config), usable(allen.load(folder), "impute")
    part = parts(table, "mouse-to-human", 1, 1, 0)[0]
    problem = networks.make_problem(config, net, 41)
    params, state = problem.init(jax.random.key(0))
    params["class"]["kernel"] *= 0  # features get no gradient from the class
    moved = {}

    @jax.jit
    def slope(params, state, member):
        batch = problem.draw(jnp.asarray(table.spiny), member, jax.random.key(1))
        return jax.grad(problem.loss, has_aux=True)(params, state, batch, jax.random.key(2))

    for method in METHODS:
        domains = networks.domains_of(table, part)
        prior = np.array([0.25, 0.75]) if METHODS[method].weighted else domains.rate
        member = networks.member_data(table, part, domains, method, prior)
        gradient, _ = slope(params, state, member)
        moved[method] = float(np.abs(gradient["layer_0"]["kernel"]).max())
        assert np.abs(gradient["domain"]["kernel"]).max() > 0
        batch = problem.draw(jnp.asarray(table.spiny), member, jax.random.key(1))
        share = batch.weight[:64] @ batch.label[:64].astype(jnp.float32) / 64
        assert float(share) == pytest.approx(prior[1], abs=0.12)  # of a batch of 64 mouse cells
    assert moved["plain"] == moved["aligned"] == 0
    assert min(moved["dann"], moved["corrected"]) > 0


@pytest.mark.slow
def test_training_that_stops_continues_to_the_same_numbers(folder):
    """The schedule of the turned gradient counts its own steps, which a checkpoint keeps."""
    config = SpeciesConfig(data=folder, seeds=1, steps=6, methods=("corrected",), hidden=(8,))
    experiment = task.prepare(config)
    (phase,) = experiment.phases
    mesh = loop.member_mesh(1, experiment.batch)

    def trained(steps, begin=None):
        arguments = (phase.problem, experiment.keys, phase.data, steps, mesh, experiment.names)
        return loop.fit(*arguments, begin=begin)

    whole = jax.device_get(trained(6))
    jax.tree.map(np.testing.assert_array_equal, whole, jax.device_get(trained(6, (3, trained(3)))))
    assert whole.state["progress"]["step"] == 6


def write_cells(table, folder):
    table.to_csv(folder / "cells.csv", index=False)
    return folder / "cells.csv"


TITLES = {method.title for method in METHODS.values()}
OPTIONS = ["--steps", "60", "--seeds", "1", "--baselines", "SVC"]


@pytest.mark.slow
def test_a_run_calls_of_new_cells_and_another_folder(folder, tables, tmp_path, capsys):
    out = tmp_path / "run"
    run.main(["--task", "species", "--data", str(folder), "--out", str(out), *OPTIONS])
    summary = json.loads((out / "summary.json").read_text())
    assert summary["transductive"]
    assert summary["training_parts"] == [of_names(name.split("_")[0] for name in tables["mouse"]["file_name"])]
    assert summary["offered"] == "aligned SVC"
    rows = summary["rows"]
    assert rows["aligned SVC"]["accuracy_percent"]["value"] > 90
    assert rows["aligned SVC"]["accuracy_percent"]["value"] >= rows["SVC"]["accuracy_percent"]["value"]
    assert set(rows) == {"aligned SVC", "SVC", "majority", "SVC, each species in its own scale"} | TITLES
    assert summary["abstention"]["certain"] == 0.8
    own = summary["separability"]["each species in its own scale"]
    assert summary["separability"]["features"]["a_distance"] > own["a_distance"]
    assert len(summary["shapley"]) == 41
    for name in ("models", "domains", "frequencies", "shapley", "confusion", "reliability", "training"):
        assert (out / "figures" / f"{name}.png").stat().st_size > 5000
    new = pd.concat([t.assign(species=name) for name, t in tables.items()]).drop(columns=["tau", "dendrite_type"])
    predict.main(out, write_cells(new, tmp_path), tmp_path / "calls.csv")
    assert "features that no cell has: tau" in capsys.readouterr().err
    with open(tmp_path / "calls.csv") as file:
        lines = list(csv.DictReader(file))
    columns = ["row", "call", "probability", "certain", "reason", "p_aspiny", "p_spiny", "species", "likeliest"]
    assert list(lines[0]) == [*columns, "missing_features"]
    assert {row["missing_features"] for row in lines} == {"1", "2"}
    truth = [kind for table in tables.values() for kind in table["dendrite_type"]]
    assert np.mean([row["likeliest"] == kind for row, kind in zip(lines, truth, strict=True)]) > 0.9
    one = new[new["species"] == "human"].iloc[:1].drop(columns="species")  # a cell alone can be called
    with pytest.raises(UserError, match=r"has no column species: give --species mouse or --species human"):
        predict.main(out, write_cells(one, tmp_path), tmp_path / "one-call.csv")
    predict.main(out, write_cells(one, tmp_path), tmp_path / "one-call.csv", species="human")
    assert (tmp_path / "one-call.csv").read_text().splitlines()[1] == ",".join(lines[160].values())
    half = new.drop(columns=[name for name in FEATURES if name in new][::2])
    predict.main(out, write_cells(half, tmp_path), tmp_path / "half.csv")
    called = pd.read_csv(tmp_path / "half.csv")
    assert np.mean(called["likeliest"] == truth) > 0.9
    nothing = new.assign(**dict.fromkeys([name for name in FEATURES if name in new][4:], np.nan))
    predict.main(out, write_cells(nothing, tmp_path), tmp_path / "nothing.csv")
    called = pd.read_csv(tmp_path / "nothing.csv")
    assert set(called["reason"]) == {"fewer than 25 % of the features are measured"}
    assert called["p_spiny"].nunique() == 1
    features = [name for name in FEATURES if name in new]
    damaged = new.iloc[-30:].assign(**dict.fromkeys(features[2:7], -9999.0)).reset_index(drop=True)
    damaged.loc[5:, features] = new.iloc[-25:][features].to_numpy()  # most rows are right, so the medians are
    predict.main(out, write_cells(damaged, tmp_path), tmp_path / "damaged.csv")
    called = pd.read_csv(tmp_path / "damaged.csv")
    assert "25 values are far from all that were trained on" in capsys.readouterr().err
    assert np.mean(called["likeliest"] == truth[-30:]) > 0.9
    with pytest.raises(UserError, match=r"row 2: species is 'rat', not one of mouse, human"):
        predict.main(out, write_cells(new.assign(species="rat"), tmp_path), None)
    judged_again(out, folder, tables, rows, tmp_path)
    assert "160 of 220 cells left out: the run was trained on them" in capsys.readouterr().err


def judged_again(out: Path, folder: Path, tables: dict[str, pd.DataFrame], rows: Json, tmp_path: Path) -> None:
    """Evaluate a run on its own folder, on the human cells alone, which gives what it said, and on two cells."""
    evaluate.main(out, folder)
    evaluate.main(out, write(tmp_path / "human", {"human": tables["human"]}))
    again = json.loads((out / "evaluation-human" / "summary.json").read_text())
    assert again["transductive"]
    assert set(again["rows"]) == {"aligned SVC"} | TITLES
    for name in again["rows"]:
        assert again["rows"][name]["nll"] == pytest.approx(rows[name]["nll"])
    for name in ("confusion", "reliability"):
        assert (out / "evaluation-human" / "figures" / f"{name}.png").stat().st_size > 5000
    two = {"human": tables["human"].iloc[[0, -1]]}
    evaluate.main(out, write(tmp_path / "one", two, cells_of_donor=10_000))
    alone = json.loads((out / "evaluation-one" / "summary.json").read_text())
    assert alone["donors"] == 1
    assert alone["rows"]["network"]["nll"]["low"] is None


@pytest.mark.slow
def test_human_cells_of_one_donor_have_no_interval(tables, tmp_path):
    folder = write(tmp_path / "data", tables, cells_of_donor=2)
    details = pd.read_csv(folder / allen_database.DETAILS)
    details.loc[details["specimen__id"] >= 5000, "donor__id"] = 1
    details.to_csv(folder / allen_database.DETAILS, index=False)
    out = tmp_path / "run"
    run.main(["--task", "species", "--data", str(folder), "--out", str(out), *OPTIONS])
    summary = json.loads((out / "summary.json").read_text())
    assert summary["donors"] == 1
    assert summary["separability"] == {}
    assert summary["rows"]["aligned SVC"]["accuracy_percent"]["low"] is None
    assert summary["over_best_baseline"]["aligned SVC"]["percent"]["low"] is None


@pytest.mark.slow
@pytest.mark.parametrize("labels", ["mouse", pytest.param("both", marks=pytest.mark.long)])
def test_the_other_settings_hold_donors_out(folder, tables, tmp_path, labels):
    out, options = tmp_path / "run", ["--labels", labels, "--folds", "2", "--methods", "corrected", *OPTIONS]
    run.main(["--task", "species", "--data", str(folder), "--out", str(out), *options])
    summary = json.loads((out / "summary.json").read_text())
    assert not summary["transductive"]
    assert summary["rows"]["aligned SVC"]["accuracy_percent"]["value"] > 90
    if labels == "mouse":
        with pytest.raises(UserError, match="has human cells, and this run, --labels mouse, calls mouse cells alone"):
            predict.main(out, write_cells(tables["human"].assign(species="human"), tmp_path), None)
    fewer = write(tmp_path / "fewer", {name: table.iloc[2:] for name, table in tables.items()})
    with pytest.raises(
        UserError, match=r"has no mouse cell of a donor whose labels|holds the samples that the run was trained"
    ):
        evaluate.main(out, fewer)


def refused(tables, folder, words, *options):
    with pytest.raises(UserError, match=words):
        run.main(["--task", "species", "--data", str(write(folder, tables)), "--out", str(folder / "run"), *options])
    assert not (folder / "run").exists()


def test_a_run_without_one_domain_is_refused(tables, tmp_path):
    """The published network was trained on no human cell, because all lacked something and were dropped."""
    emptied = tables["human"].copy()
    emptied.loc[:39, "tau"] = emptied.loc[40:, "sag"] = np.nan
    both = {"mouse": tables["mouse"], "human": emptied}
    words = r"all 60 human cells lack a feature \(tau is empty in 67 % of them\) and were dropped"
    refused(both, tmp_path, words, "--incomplete", "drop")
    (tmp_path / "human_ephys_data.csv").unlink()
    refused({"mouse": tables["mouse"]}, tmp_path, r"has no human cell: give human_ephys_data\.csv")


def test_a_class_that_is_absent_is_named(tables, tmp_path):
    spiny = tables["human"][tables["human"]["dendrite_type"] == "spiny"]
    refused({"mouse": tables["mouse"], "human": spiny}, tmp_path, "all human cells are spiny, both classes are needed")


def test_options_that_make_no_sense_are_named(tables, tmp_path):
    for options, words in (
        ({"methods": ("drann",)}, "--methods: 'drann' is unknown, choose of plain"),
        ({"baselines": ("oracle",)}, "--baselines: 'oracle' is unknown"),
        ({"labels": "both", "folds": 1}, "--folds is 1: --labels both tests on donors held out"),
        ({"batch_size": 7}, "--batch-size is 7: it must be even"),
        ({"adversary": -1.0}, "--adversary is -1.0: it must be at least 0"),
        ({"certain": 0.4}, "--certain is 0.4: it must be at least 0.5 and below 1"),
        ({"methods": ()}, "--methods is empty: choose of plain"),
    ):
        with pytest.raises(UserError, match=words):
            SpeciesConfig(**options)
    refused(tables, tmp_path, "40 folds, but a class has cells of only", "--labels", "both", "--folds", "40")


@pytest.mark.slow
def test_human_cells_of_the_database_without_and_with_their_labels():
    table = usable(allen.load(shared_data.path("allen")), "impute")
    for labels, least in (("mouse-to-human", (0.963, 0.939)), ("both", (0.955, 0.93))):
        divided, found = parts(table, labels, FOLDS[labels], 1, 0), []
        for part in divided:
            model = fit(table, part, labels, 0)
            found.append(model.probability(cells_of(table, part.test)))
        folds = [part.fold for part in divided]
        rows = calls.held_out(folds)
        assert set(table.species[rows]) == {HUMAN}
        y, probability = table.spiny[rows], calls.scatter(folds, 1, len(table.x), found)[0, rows]
        assert metrics.accuracy(y, probability) >= least[0]
        assert metrics.balanced_accuracy(y, probability) >= least[1]


def test_cells_that_lack_features_are_called_at_the_frequencies_of_the_run(tables, tmp_path, monkeypatch, capsys):
    """By features in which classes overlap the human frequencies cannot be estimated: all would be of one class."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 0, 1], [100, 100, 60, 60])
    apart = np.repeat([4.0, 0.6], [4, 8])  # the first features tell classes apart, the others hardly
    x = rng.normal(size=(320, 12)) + (y[:, None] - 0.5) * apart
    x[200:] = 1.3 * x[200:] + 0.7
    training = TrainingCells(x[:200], x[200:], y[:200], np.arange(200) % 5)
    offered = training.fit("mouse-to-human")
    assert offered.prior[-1, 1] == pytest.approx(0.5, abs=0.05)
    few = np.where(apart > 1, np.nan, x[200:])
    none = networks.Networks(networks.network(SpeciesConfig()), (), (), np.zeros((0, 2)), {})
    model = SpeciesModel(offered, training, "mouse-to-human", none, {})
    called = model.probability(Cells(few, np.full(120, HUMAN))).argmax(axis=1)
    assert metrics.accuracy(y[200:], np.eye(2)[called]) > 0.65
    assert 0.3 < called.mean() < 0.7
    table = usable(allen.load(write(tmp_path / "data", tables)), "impute")
    (part,) = parts(table, "mouse-to-human", 1, 1, 0)
    capsys.readouterr()
    for given, told in ((training, False), (TrainingCells(x[:200, 6:9], x[200:, 6:9], *training[2:]), True)):
        monkeypatch.setattr(TrainingCells, "of", lambda *_, given=given: given)
        prior = fit(table, part, "mouse-to-human", 0).prior[-1]
        assert bool(prior.max() > 0.9) is told
        assert ("of the human cells are estimated to be spiny" in capsys.readouterr().err) is told


def test_values_that_nobody_measured_are_not_judged_by(tables, tmp_path, capsys):
    """`predict` of the same table takes none of them at face value."""
    table = usable(allen.load(write(tmp_path / "data", tables)), "impute")
    training = TrainingCells.of(table, whole(table, "mouse-to-human"), "mouse-to-human", 0)
    none = networks.Networks(networks.network(SpeciesConfig()), (), (), np.zeros((0, 2)), {})
    about = {"features": list(table.feature_names), "donors": [], "adapted": []}
    model = SpeciesModel(training.fit("mouse-to-human"), training, "mouse-to-human", none, about)
    damaged = tables["human"].copy()
    columns = ["threshold_i", "peak_i"]
    damaged.loc[damaged.index[::2], columns] *= 10.0
    capsys.readouterr()
    found = evaluate_species(SpeciesConfig(), model, write(tmp_path / "other", {"human": damaged}))
    said = capsys.readouterr().err
    assert "60 values are far from all that were trained on, and count as not measured: threshold_i of 5000" in said
    damaged.loc[damaged.index[::2], columns] = np.nan
    emptied = evaluate_species(SpeciesConfig(), model, write(tmp_path / "emptied", {"human": damaged}))
    np.testing.assert_array_equal(found.calls.probability, emptied.calls.probability)
    with pytest.raises(
        UserError, match=r"human_ephys_data\.csv is not a folder: runs of species are judged on a folder"
    ):
        evaluate_species(SpeciesConfig(), model, tmp_path / "other" / "human_ephys_data.csv")


def test_too_few_donors_to_calibrate_are_named(tables, tmp_path):
    table = usable(allen.load(write(tmp_path / "data", tables, cells_of_donor=50)), "impute")
    part = parts(table, "mouse-to-human", 1, 1, 0)[0]
    with pytest.raises(UserError, match="the labelled cells to train on are of 4 donors, and calibration needs 5"):
        fit(table, part, "mouse-to-human", 0)
    donor = np.where(table.spiny == 1, 0, 1 + np.arange(len(table.spiny)) % 6).astype(np.int32)
    with pytest.raises(UserError, match="160 samples of 7 groups to train on do not divide into 5 parts"):
        fit(replace(table, donor=donor), part, "mouse-to-human", 0)


def test_the_species_of_a_padded_column_is_read(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text("specimen_id, species \n1,Mouse\n2, human\n")
    assert list(read_species(path, None)) == [0, 1]
    with pytest.raises(UserError, match="row 2: species is mouse, and --species is human"):
        read_species(path, "human")
    path.write_text("specimen_id\n1\n2\n")
    assert list(read_species(path, "human")) == [HUMAN, HUMAN]
    with pytest.raises(UserError, match="has no column species: give --species mouse or --species human"):
        read_species(path, None)
    path.write_text("specimen_id,species\n1,\n")
    with pytest.raises(UserError, match="row 2: species is"):
        read_species(path, None)
