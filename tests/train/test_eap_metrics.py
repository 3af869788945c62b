"""Intervals, accuracies, baselines and summaries against scikit-learn, scipy and simulated truth."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

from spiketype.train.judging.calls import Calls
from spiketype.train.judging.intervals import bootstrap, percentile, resample_means, wilson
from spiketype.train.tasks.eap import figures
from spiketype.train.tasks.eap.metrics import (
    Resampling,
    accuracy_against,
    balanced_accuracy,
    confusion,
    difference,
    over_cells,
    per_cell,
    pooled,
    samples,
    sd_over_seeds,
    summary,
)
from spiketype.train.tasks.eap.positions import Positions, position_summary

RANDOM, GROUP = Resampling(by_group=False, resamples=400), Resampling(by_group=True, resamples=400)


def names(word: str, count: int) -> tuple[str, ...]:
    return tuple(f"{word}{k}" for k in range(count))


def make(cells=13, per=40, seeds=2, classes=13, accuracy=0.8, rng=0) -> Calls:
    """Synthetic calls: each right with probability accuracy, independently."""
    rng = np.random.default_rng(rng)
    n = cells * per
    cell = np.repeat(np.arange(cells, dtype=np.int32), per)
    label = cell % np.int32(classes)
    right = rng.random((seeds, n)) < accuracy
    called = np.where(right, label, (label + rng.integers(1, classes, (seeds, n))) % classes)
    return Calls(
        probability=np.eye(classes)[called],
        label=label,
        group=cell,
        class_names=names("class", classes),
        row_names=names("sample", n),
        measured={"distance_um": rng.uniform(10, 60, n), "amplitude_uV": rng.lognormal(4.5, 0.6, n)},
    )


def make_positions(per=30, seeds=2, cells=5, sd=(3.0, 5.0, 5.0)) -> Positions:
    rng = np.random.default_rng(1)
    n = per * cells
    true = rng.uniform((10, -75, -75), (60, 75, 75), (n, 3))
    predicted = true + rng.normal(size=(seeds, n, 3)) * sd
    return Positions(predicted, true, np.repeat(np.arange(cells), per), names("cell", cells), names("sample", n))


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
    how, hits = Resampling(by_group=False, resamples=300), 0
    for trial in range(200):
        mean = over_cells(samples(make(per=60, seeds=1, accuracy=share, rng=trial)), how)["mean"]
        hits += mean.low <= share <= mean.high
    assert hits / 200 >= 0.91


def test_seeds_do_not_narrow_intervals():
    one = make(seeds=1)
    eight = one.of(np.repeat(one.probability, 8, axis=0))
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
    s, called = samples(p), p.probability[0].argmax(axis=1)
    tested, sizes, each = per_cell(s, RANDOM)
    expected = [accuracy_score(p.label[p.group == c], called[p.group == c]) for c in tested]
    np.testing.assert_allclose(each.value, expected)
    assert sizes.sum() == len(p.label)
    statistics = over_cells(s, RANDOM)
    for name, function in (("mean", np.mean), ("median", np.median), ("max", np.max), ("min", np.min)):
        assert statistics[name].value == pytest.approx(function(expected))
        low, high = statistics[name][1:]
        assert np.isnan(low) or 0 <= low <= high <= 1
    present = np.unique(p.label)
    recalls = [accuracy_score(p.label[p.label == c], called[p.label == c]) for c in present]
    assert balanced_accuracy(s, RANDOM).value == pytest.approx(np.mean(recalls))
    _, shares = confusion(s, RANDOM)
    sk = confusion_matrix(p.label, called, labels=np.arange(classes))[present]
    np.testing.assert_allclose(shares.value[present], sk / sk.sum(axis=1, keepdims=True))


def test_balanced_accuracy_is_scikit_learns():
    p = make(cells=13, classes=3, seeds=1)
    expected = balanced_accuracy_score(p.label, p.probability[0].argmax(axis=1))
    for how in (RANDOM, GROUP):
        value, low, high = balanced_accuracy(samples(p), how)
        assert value == pytest.approx(expected)
        assert low < value < high


def test_groups_widen_and_single_groups_are_unknown():
    p = make(cells=12, classes=2, seeds=1, per=200)
    called = np.where(p.group < 4, 1 - p.label, p.label)  # four whole cells wrong
    s = samples(p.of(np.eye(2)[called][None]))
    wide, narrow = over_cells(s, GROUP)["mean"], over_cells(s, RANDOM)["mean"]
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    single = samples(make())  # one cell per class
    assert np.isnan(balanced_accuracy(single, GROUP)[1:]).all()
    assert np.isnan(confusion(single, GROUP)[1].low).all()


def test_accuracy_against_distance():
    p = make(seeds=1, per=400)
    distance = p.measured["distance_um"]
    near = distance < 35
    probability = np.where(near[:, None], np.eye(13)[p.label], np.eye(13)[(p.label + 1) % 13])
    s = samples(p.of(probability[None]))
    curve = accuracy_against(s, distance, RANDOM, "um", bins=5)
    assert sum(row["samples"] for row in curve) == len(s.label)
    assert curve[0]["accuracy_percent"]["value"] == 100
    assert curve[-1]["accuracy_percent"]["value"] == 0
    assert [row["samples"] for row in accuracy_against(s, np.ones(len(s.label)), GROUP, "um")] == [len(s.label)]


@pytest.mark.parametrize("how", [RANDOM, GROUP])
def test_few_samples_leave_bins_out_that_have_none(how):
    s = samples(make(cells=2, classes=2, seeds=1, per=3))
    curve = accuracy_against(s, np.array([1.0, 1.1, 1.2, 9.0, 9.1, 9.2]), how, "um")
    assert sum(row["samples"] for row in curve) == 6
    assert all(row["samples"] for row in curve)
    assert np.isnan(pooled(np.zeros((0, 3)), np.zeros(0, int), how)).all()


def test_new_cell_models_that_are_all_right_do_not_tell_that_all_are():
    p = make(cells=4, classes=2, seeds=1)
    s = samples(p.of(np.eye(2)[p.label][None]))
    low = wilson(4, 4).low
    for found in (over_cells(s, GROUP)["mean"], over_cells(s, GROUP)["median"], balanced_accuracy(s, GROUP)):
        assert (found.value, found.low, found.high) == (1, pytest.approx(low), 1)
    assert over_cells(s, RANDOM)["mean"].low > 0.9


def test_paired_difference():
    ours, theirs = make(accuracy=0.9), make(accuracy=0.8)  # the same random numbers: paired
    for how in (RANDOM, GROUP):
        value, low, high = difference(ours, theirs, how)
        assert value == pytest.approx(
            over_cells(samples(ours), how)["mean"].value - over_cells(samples(theirs), how)["mean"].value
        )
        assert 0 < low < value < high
    assert tuple(difference(ours, ours, RANDOM)) == (0, 0, 0)
    with pytest.raises(ValueError, match="same samples"):
        difference(ours, ours.take(ours.label > 0), RANDOM)


@pytest.mark.parametrize("by_group", [False, True])
def test_summary_is_json(by_group):
    p, how = make(cells=6, classes=2), Resampling(by_group)
    majority = p.of(np.full(p.probability.shape, 0.5))
    result = summary(p, names("cell", 6), how, "group", 1, {"majority": majority})
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result == summary(p, names("cell", 6), how, "group", 1, {"majority": majority})
    assert result["optimistic"] is not by_group
    assert (result["samples"], result["seeds"], result["cells"]) == (240, 2, 6)
    assert result["over_cells_percent"]["mean"]["value"] == pytest.approx(80, abs=8)
    assert result["baselines"]["majority"]["over_cells_percent"]["mean"]["value"] == pytest.approx(50)
    margin = result["baselines"]["majority"]["ours_minus_this_percent"]
    assert margin["value"] == pytest.approx(30, abs=8)
    assert (margin["low"] > 0) is not by_group  # the majority class is right about half of the cells


@pytest.mark.parametrize("cells", [12, 50])
def test_of_very_many_cells_the_worst_are_drawn(cells):
    result = summary(make(cells=cells, classes=2, seeds=1), names("cell", cells), Resampling(True), "group", 4)
    axes = figures.cells_figure(result, "title").axes[0]
    drawn = [label.get_text() for label in axes.get_xticklabels()]
    value = {row["cell"]: row["accuracy_percent"]["value"] for row in result["per_cell"]}
    assert len(drawn) == min(cells, figures.MOST_BARS)
    assert max(value[name] for name in drawn) <= min([v for k, v in value.items() if k not in drawn] or [100])
    assert ("40 of 50 that are called worst" in axes.get_title()) == (cells == 50)


def test_summary_of_a_single_cell_is_json():
    one = make(cells=1, classes=2, seeds=1, per=1)
    json.dumps(summary(one, names("cell", 1), Resampling(True), "group", 1), allow_nan=False)


@pytest.mark.parametrize("by_group", [False, True])
def test_position_summary(by_group):
    p = make_positions()
    baseline_um = np.tile([35.0, 0, 0], (150, 1))
    result = position_summary(p, baseline_um, Resampling(by_group, 0, 100), "group", 1)
    json.dumps(result, allow_nan=False)
    error = p.predicted_um - p.true_um
    assert result["error_um"]["x_mean_abs"]["value"] == pytest.approx(np.abs(error[..., 0]).mean())
    assert result["error_um"]["y_rms"]["value"] == pytest.approx(np.sqrt((error[..., 1] ** 2).mean()))
    length = np.linalg.norm(error, axis=2)
    assert result["error_um"]["percentile_90_3d"]["value"] == pytest.approx(np.quantile(length, 0.9))
    assert result["baseline_error_um"]["mean_3d"]["value"] > 40
    assert result["ours_minus_baseline_um"]["mean_3d"]["high"] < 0
    assert [row["samples"] for row in result["per_cell"]] == [30] * 5


def test_positions_say_what_is_wrong():
    p = make_positions()
    with pytest.raises(ValueError, match="row 1 is not finite"):
        replace(p, predicted_um=np.where(np.arange(150)[:, None] == 1, np.nan, p.predicted_um))
    with pytest.raises(ValueError, match="expected 20 rows"):
        replace(p, row_names=p.row_names[:20])
