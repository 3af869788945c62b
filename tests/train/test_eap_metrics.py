"""Intervals, accuracies, baselines and summaries against scikit-learn, scipy and simulated truth."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

from spiketype.train.judging import baselines
from spiketype.train.judging.baselines import logistic_baseline, majority_baseline
from spiketype.train.judging.intervals import (
    bootstrap,
    percentile,
    resample_means,
    wilson,
)
from spiketype.train.tasks.eap.metrics import (
    Judge,
    accuracy_against,
    balanced_accuracy,
    confusion,
    difference,
    over_cells,
    per_cell,
    sd_over_seeds,
)
from spiketype.train.tasks.eap.predictions import Locations, Predictions, samples
from spiketype.train.tasks.eap.summary import location_summary, summary

RANDOM, GROUP = Judge(by_group=False, resamples=400), Judge(by_group=True, resamples=400)


def make(cells=13, per=40, seeds=2, classes=13, accuracy=0.8, rng=0) -> Predictions:
    """Synthetic predictions: each right with probability accuracy, independently."""
    rng = np.random.default_rng(rng)
    n = cells * per
    cell = np.tile(np.repeat(np.arange(cells), per), seeds)
    label = cell % classes
    said = np.where(rng.random(n * seeds) < accuracy, label, (label + rng.integers(1, classes, n * seeds)) % classes)
    distance, amplitude = rng.uniform(10, 60, n), rng.lognormal(4.5, 0.6, n)
    return Predictions(
        probability=np.eye(classes, dtype=np.float32)[said],
        label=label,
        cell=cell,
        seed=np.repeat(np.arange(seeds), n),
        fold=np.zeros(n * seeds, int),
        index=np.tile(rng.permutation(10 * n)[:n], seeds),
        distance_um=np.tile(distance, seeds),
        amplitude_uV=np.tile(amplitude, seeds),
        class_names=tuple(f"class{k}" for k in range(classes)),
        cell_names=tuple(f"cell{k}" for k in range(cells)),
    )


def make_locations(per=30, seeds=2, cells=5, sd=(3.0, 5.0, 5.0)) -> Locations:
    rng = np.random.default_rng(1)
    n = per * cells
    true = np.tile(rng.uniform((10, -75, -75), (60, 75, 75), (n, 3)), (seeds, 1))
    return Locations(
        predicted_um=true + rng.normal(size=true.shape) * sd,
        true_um=true,
        cell=np.tile(np.repeat(np.arange(cells), per), seeds),
        seed=np.repeat(np.arange(seeds), n),
        fold=np.zeros(n * seeds, int),
        index=np.tile(np.arange(n), seeds),
        cell_names=tuple(f"cell{k}" for k in range(cells)),
    )


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (7, 20), (95, 100), (1, 1000)])
def test_wilson_agrees_with_scipy(k, n):
    expected = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n)[1:] == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_published_value():
    # Newcombe, Stat. Med. 17, 1998, 857, Table I, method 3: 81/263.
    assert wilson(81, 263)[1:] == pytest.approx((0.2553, 0.3662), abs=5e-5)


@given(st.floats(0, 1), st.integers(1, 10**6), st.floats(0.5, 0.999))
def test_wilson_contains_its_proportion(share, n, confidence):
    p, low, high = wilson(share * n, n, confidence)
    assert 0 <= low <= p <= high <= 1


def test_wilson_edges():
    assert np.isnan(wilson(0, 0)).all()
    with pytest.raises(ValueError, match="successes"):
        wilson(3, 2)


def test_group_interval_covers_in_simulation():
    """Thirteen groups with a spread of their own: about 95 of 100 intervals hold the true mean."""
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        means = rng.normal(0.7, 0.1, 13)
        draws = means[rng.integers(13, size=(400, 13))].mean(axis=1)
        _, low, high = percentile(means.mean(), draws, units=13)
        hits += low <= 0.7 <= high
    assert 0.92 <= hits / 400 <= 0.985


@pytest.mark.parametrize("share", [0.7, 0.97, 0.998])
def test_mean_over_cells_covers_in_simulation(share):
    """Also near 100 %, where a bootstrap alone would often have no width."""
    judge, hits = Judge(by_group=False, resamples=300), 0
    for trial in range(200):
        mean = over_cells(samples(make(per=60, seeds=1, accuracy=share, rng=trial)), judge)["mean"]
        hits += mean.low <= share <= mean.high
    assert hits / 200 >= 0.91


def test_seeds_do_not_narrow_intervals():
    one = make(seeds=1)
    again = {name: np.concatenate([getattr(one, name)] * 8) for name in ("probability", "label", "cell", "fold")}
    again |= {name: np.concatenate([getattr(one, name)] * 8) for name in ("index", "distance_um", "amplitude_uV")}
    eight = replace(one, seed=np.repeat(np.arange(8), len(one.label)), **again)
    assert over_cells(samples(eight), RANDOM) == over_cells(samples(one), RANDOM)
    assert sd_over_seeds(eight) == pytest.approx(0, abs=1e-12)
    assert np.isnan(sd_over_seeds(one))


def test_resampled_means_are_those_of_the_plain_bootstrap():
    rng = np.random.default_rng(0)
    values, stratum = rng.integers(0, 4, 90) / 3, np.repeat([2, 5], [30, 60])
    draws = resample_means(values, stratum, rng, 20000)
    for column, name in enumerate((2, 5)):
        chosen = values[stratum == name]
        assert draws[:, column].mean() == pytest.approx(chosen.mean(), abs=5e-3)
        assert draws[:, column].std() == pytest.approx(chosen.std() / np.sqrt(len(chosen)), rel=0.03)


def test_bootstrap_draws_units_whole():
    values = np.array([1.0, -1.0, 2.0, -2.0, 5.0, -5.0])
    mean = bootstrap(lambda rows: values[rows].mean(), np.array([7, 7, 1, 1, 4, 4]), np.random.default_rng(0), 100)
    assert tuple(mean) == (0, 0, 0)  # every unit sums to zero, single rows do not


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(2, 6), st.floats(0, 1), st.integers(0, 1000))
def test_one_seed_agrees_with_scikit_learn(cells, per, classes, accuracy, rng):
    p = make(cells, per, 1, classes, accuracy, rng)
    s, said = samples(p), p.probability.argmax(axis=1)
    names, sizes, each = per_cell(s, RANDOM)
    expected = [accuracy_score(p.label[p.cell == c], said[p.cell == c]) for c in names]
    np.testing.assert_allclose(each.value, expected)
    assert sizes.sum() == len(p.label)
    statistics = over_cells(s, RANDOM)
    for name, function in (("mean", np.mean), ("median", np.median), ("max", np.max), ("min", np.min)):
        assert statistics[name].value == pytest.approx(function(expected))
        low, high = statistics[name][1:]
        assert np.isnan(low) or 0 <= low <= high <= 1
    present = np.unique(p.label)
    recalls = [accuracy_score(p.label[p.label == c], said[p.label == c]) for c in present]
    assert balanced_accuracy(s, RANDOM).value == pytest.approx(np.mean(recalls))
    _, shares = confusion(s, RANDOM)
    sk = confusion_matrix(p.label, said, labels=np.arange(classes))[present]
    np.testing.assert_allclose(shares.value[present], sk / sk.sum(axis=1, keepdims=True))


def test_balanced_accuracy_is_scikit_learns():
    p = make(cells=13, classes=3, seeds=1)
    expected = balanced_accuracy_score(p.label, p.probability.argmax(axis=1))
    for judge in (RANDOM, GROUP):
        value, low, high = balanced_accuracy(samples(p), judge)
        assert value == pytest.approx(expected)
        assert low < value < high


def test_groups_widen_and_single_groups_are_unknown():
    p = make(cells=12, classes=2, seeds=1, per=200)
    said = np.where(p.cell < 4, 1 - p.label, p.label)  # four whole cells wrong
    p = replace(p, probability=np.eye(2, dtype=np.float32)[said])
    s = samples(p)
    wide, narrow = over_cells(s, GROUP)["mean"], over_cells(s, RANDOM)["mean"]
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    single = samples(make())  # one cell per class
    assert np.isnan(balanced_accuracy(single, GROUP)[1:]).all()
    assert np.isnan(confusion(single, GROUP)[1].low).all()


def test_accuracy_against_distance():
    p = make(seeds=1, per=400)
    near = p.distance_um < 35
    probability = np.where(near[:, None], np.eye(13)[p.label], np.eye(13)[(p.label + 1) % 13])
    s = samples(replace(p, probability=probability))
    curve = accuracy_against(s, s.distance_um, RANDOM, bins=5)
    assert curve.samples.sum() == len(s.label)
    assert curve.accuracy.value[0] == 1
    assert curve.accuracy.value[-1] == 0
    assert accuracy_against(s, np.ones(len(s.label)), GROUP).samples.tolist() == [len(s.label)]


def test_paired_difference():
    ours, theirs = make(accuracy=0.9), make(accuracy=0.8)  # the same random numbers: paired
    for judge in (RANDOM, GROUP):
        value, low, high = difference(ours, theirs, judge)
        assert value == pytest.approx(
            over_cells(samples(ours), judge)["mean"].value - over_cells(samples(theirs), judge)["mean"].value
        )
        assert 0 < low < value < high
    assert tuple(difference(ours, ours, RANDOM)) == (0, 0, 0)
    with pytest.raises(ValueError, match="same samples"):
        difference(ours, make(rng=5), RANDOM)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("probability", np.zeros((3, 2)), r"probability: expected shape \(1040, 13\), got \(3, 2\)"),
        ("cell", np.zeros(4, int), r"cell: expected shape \(1040,\), got \(4,\)"),
        ("label", np.full(1040, 13), r"label: expected 0..12, got 13..13"),
        ("probability", np.full((1040, 13), np.nan), "row 0 is no distribution"),
        ("cell", np.arange(1040) % 12, "cell: differs"),
    ],
)
def test_predictions_say_what_is_wrong(field, value, message):
    with pytest.raises(ValueError, match=message):
        replace(make(), **{field: value})


def test_majority_baseline():
    probability = majority_baseline(np.array([0, 1, 1, 1]), test_count=5, n_class=3)
    assert probability.shape == (5, 3)
    assert (probability.argmax(axis=1) == 1).all()


def test_logistic_baseline_learns_and_pads_absent_classes():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    x = np.eye(4)[y] * [1e4, 1, 1e-3, 1] + rng.normal(size=(600, 4)) * [1e3, 0.1, 1e-4, 1]
    probability = logistic_baseline(x[:400].reshape(-1, 2, 2), y[:400], x[400:].reshape(-1, 2, 2), n_class=5)
    assert probability.shape == (200, 5)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert (probability[:, 3:] == 0).all()
    assert (probability.argmax(axis=1) == y[400:]).mean() > 0.97


def test_logistic_baseline_says_when_it_has_not_converged(monkeypatch, caplog):
    monkeypatch.setattr(baselines, "MAX_ITERATIONS", 1)
    rng = np.random.default_rng(0)
    with caplog.at_level(logging.WARNING):
        logistic_baseline(rng.normal(size=(50, 4)), rng.integers(0, 2, 50), rng.normal(size=(3, 4)))
    assert "not converged" in caplog.text


@pytest.mark.parametrize("split_by_group", [False, True])
def test_summary_is_json(split_by_group):
    p = make(cells=6, classes=2)
    majority = replace(p, probability=majority_baseline(p.label, len(p.label), 2))
    result = summary(p, split_by_group, baselines={"majority": majority})
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result == summary(p, split_by_group, baselines={"majority": majority})
    assert result["optimistic"] is not split_by_group
    assert (result["samples"], result["seeds"], result["cells"]) == (240, 2, 6)
    assert result["over_cells_percent"]["mean"]["value"] == pytest.approx(80, abs=8)
    assert result["baselines"]["majority"]["over_cells_percent"]["mean"]["value"] == pytest.approx(50)
    margin = result["baselines"]["majority"]["ours_minus_this_percent"]
    assert margin["value"] == pytest.approx(30, abs=8)
    assert (margin["low"] > 0) is not split_by_group  # the majority class is right about half of the cells


def test_summary_of_a_single_cell_is_json():
    json.dumps(summary(make(cells=1, classes=2, seeds=1, per=1), split_by_group=True), allow_nan=False)


@pytest.mark.parametrize("split_by_group", [False, True])
def test_location_summary(split_by_group):
    p = make_locations()
    result = location_summary(p, split_by_group, np.array([35.0, 0, 0]), resamples=100)
    json.dumps(result, allow_nan=False)
    error = p.predicted_um - p.true_um
    assert result["error_um"]["x_mean_abs"]["value"] == pytest.approx(np.abs(error[:, 0]).mean())
    assert result["error_um"]["y_rms"]["value"] == pytest.approx(np.sqrt((error[:, 1] ** 2).mean()))
    length = np.linalg.norm(error, axis=1)
    assert result["error_um"]["percentile_90_3d"]["value"] == pytest.approx(np.quantile(length, 0.9))
    assert result["baseline_error_um"]["mean_3d"]["value"] > 40
    assert result["ours_minus_baseline_um"]["mean_3d"]["high"] < 0
    assert [row["samples"] for row in result["per_cell"]] == [30] * 5


def test_locations_say_what_is_wrong():
    p = make_locations()
    with pytest.raises(ValueError, match=r"predicted_um: expected shape \(300, 3\), got \(300, 2\)"):
        replace(p, predicted_um=p.predicted_um[:, :2])
    with pytest.raises(ValueError, match="row 1 is not finite"):
        replace(p, predicted_um=np.where(np.arange(300)[:, None] == 1, np.nan, p.predicted_um))
