"""Calls: what they refuse, rates against scikit-learn, paired differences, abstention, the table and the store."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score, log_loss, roc_auc_score

from spiketype.datasets import store
from spiketype.datasets.splits import Fold
from spiketype.train.judging import calls as judging
from spiketype.train.judging import metrics
from spiketype.train.judging.calls import Calls, scatter
from spiketype.train.judging.intervals import Estimate, over_seeds
from spiketype.train.judging.predictions import KIND


def make(rows=60, repeats=2, classes=3, groups=12, seed=0) -> Calls:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, rows)
    p = rng.dirichlet(np.ones(classes), (repeats, rows)) + 0.5 * np.eye(classes)[label]
    return Calls(
        probability=p / p.sum(axis=2, keepdims=True),
        label=label,
        group=np.arange(rows) % groups,
        class_names=tuple("abcdefg"[:classes]),
        row_names=tuple(f"unit {k}" for k in range(rows)),
        measured={"depth_um": rng.uniform(0, 100, rows)},
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.integers(0, 1000))
def test_rates_are_those_of_scikit_learn(classes, seed):
    calls = make(classes=classes, seed=seed, repeats=1)
    y, p = calls.label, calls.probability[0]
    rates = calls.rates(0)
    expected = {
        "accuracy_percent": 100 * accuracy_score(y, p.argmax(axis=1)),
        "balanced_accuracy_percent": 100 * balanced_accuracy_score(y, p.argmax(axis=1)),
        "macro_f1_percent": 100
        * f1_score(y, p.argmax(axis=1), average="macro", labels=range(classes), zero_division=0),
        "nll": log_loss(y, p, labels=range(classes)),
    }
    for name, value in expected.items():
        assert rates[name]["value"] == pytest.approx(value)
        assert rates[name]["low"] <= rates[name]["high"]
    np.testing.assert_array_equal(calls.confusion(), confusion_matrix(y, p.argmax(axis=1), labels=range(classes)))


def test_auc_is_scikit_learns():
    rng = np.random.default_rng(0)
    y, value = rng.integers(0, 2, 50), rng.integers(0, 9, 50) / 9  # with ties
    assert metrics.auc(y, value) == pytest.approx(roc_auc_score(y, value))
    assert np.isnan(metrics.auc(np.ones(4, int), value[:4]))


def test_a_single_group_has_no_interval_and_is_json():
    calls = make(groups=1)
    rates = calls.rates(0)
    assert rates["accuracy_percent"]["low"] is None
    gap = calls.difference(calls.of(calls.probability[::-1]), 0)
    assert (gap["low"], gap["high"]) == (None, None)
    json.dumps([rates, gap, Estimate(np.array([1.0, np.nan]), np.nan, np.inf).to_json(100)], allow_nan=False)


def test_means_over_classes_are_of_resamples_that_have_all_classes():
    group, names = np.repeat(np.arange(10), 6), tuple(map(str, range(60)))
    never = np.tile([1.0, 0.0], (60, 1))[None]  # the first class, whatever the row
    calls = Calls(never, (group > 7).astype(int), group, ("a", "b"), names)
    rates = calls.rates(0)
    half = {"value": 50.0, "low": 50.0, "high": 50.0}
    assert rates["balanced_accuracy_percent"] == half  # a resample that lacks the second class would have 100
    assert rates["accuracy_percent"]["high"] == 100
    gap = calls.difference(calls.of(never[..., ::-1]), 0, "balanced_accuracy_percent")
    assert gap == {"value": 0.0, "low": 0.0, "high": 0.0}
    each = np.eye(4)[np.maximum(group - 6, 0)][None]  # three classes of a group each, which few resamples have all
    rates = Calls(each, np.maximum(group - 6, 0), group, tuple("abcd"), names).rates(0)
    assert rates["balanced_accuracy_percent"] == {"value": 100.0, "low": None, "high": None}


def test_paired_differences():
    calls = make()
    worse = calls.of(np.full(calls.probability.shape, 1 / 3))
    gap = calls.difference(worse, 0)
    assert gap["value"] == pytest.approx(calls.value(metrics.MEASURES["accuracy_percent"])
                                         - worse.value(metrics.MEASURES["accuracy_percent"]))  # fmt: skip
    assert 0 < gap["low"] < gap["value"] < gap["high"]
    assert calls.difference(calls, 0) == {"value": 0.0, "low": 0.0, "high": 0.0}
    with pytest.raises(ValueError, match="the same rows"):
        calls.difference(make(seed=1), 0)


def test_a_certain_model_that_is_wrong_is_badly_calibrated():
    y = np.array([0] * 8 + [1] * 2)
    assert metrics.top_calibration_error(y, np.tile([0.8, 0.2], (10, 1))) == pytest.approx(0)
    assert metrics.top_calibration_error(1 - y, np.tile([0.8, 0.2], (10, 1))) == pytest.approx(0.6)
    # Of two classes the error of the likeliest is the same whichever is called class 1.
    p = np.random.default_rng(0).dirichlet((1, 1), 200)
    y = np.random.default_rng(1).integers(0, 2, 200)
    assert metrics.top_calibration_error(y, p) == pytest.approx(metrics.top_calibration_error(1 - y, p[:, ::-1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[..., :2] / p[..., :2].sum(axis=2, keepdims=True), r"expected \(repeat, 60, 3\), got \(2, 60, 2\)"),
        (lambda p: np.where(np.arange(60)[:, None] == 7, np.nan, p), r"row 7 \(unit 7\) is no distribution"),
        (lambda p: 2 * p, r"row 0 \(unit 0\) is no distribution"),
    ],
)
def test_calls_say_what_is_wrong(change, message):
    calls = make()
    with pytest.raises(ValueError, match=message):
        calls.of(change(calls.probability))


def test_calls_without_rows_or_of_unknown_classes_are_refused():
    with pytest.raises(ValueError, match="at least one row"):
        make().take(np.zeros(60, bool))
    calls = make()
    with pytest.raises(ValueError, match=r"label: expected -1..2, got 0..3"):
        Calls(calls.probability, np.where(calls.label == 2, 3, calls.label), calls.group, calls.class_names,
              calls.row_names)  # fmt: skip
    with pytest.raises(ValueError, match="depth_um: expected shape"):
        Calls(calls.probability, calls.label, calls.group, calls.class_names, calls.row_names, {"depth_um": np.ones(2)})


def test_the_table_of_calls():
    calls = make(repeats=3)
    table = calls.table(0.6, never={"the first": np.arange(60) == 0, "also": np.arange(60) < 2})
    assert list(table) == ["row", "call", "probability", "certain", "reason", "p_a", "p_b", "p_c", "depth_um"]
    sure = (calls.mean.max(axis=1) >= 0.6) & (np.arange(60) > 1)
    assert table["reason"][:2].tolist() == ["the first", "also"]
    np.testing.assert_array_equal(table["reason"][2:] == judging.UNSURE, ~sure[2:])
    np.testing.assert_array_equal(table["reason"] == "", sure)
    np.testing.assert_allclose(table["probability"], calls.mean.max(axis=1))
    np.testing.assert_array_equal(table["call"] == "no call", ~sure)
    np.testing.assert_array_equal(table["certain"] == "yes", sure)
    likeliest = np.array(calls.class_names)[calls.mean.argmax(axis=1)]
    np.testing.assert_array_equal(table["call"][sure], likeliest[sure])
    rest = calls.abstention(0.6)
    assert rest["abstained_percent"] == pytest.approx(100 * np.mean(calls.mean.max(axis=1) < 0.6))


def test_predictions_are_a_store_of_one_schema(tmp_path):
    calls = make()
    for _ in range(2):  # the second time in place of the first
        calls.write(tmp_path / "p.zarr", {"chance": calls.of(np.full(calls.probability.shape, 1 / 3))}, "ours")
    store.validate(tmp_path / "p.zarr", KIND, ("probability", "label", "group", "row"))
    with xr.open_zarr(tmp_path / "p.zarr", consolidated=False) as found:
        assert found["probability"].dims == ("sample", "model", "repeat", "class")
        assert list(found["model_name"].values) == ["ours", "chance"]
        assert list(found["class_name"].values) == ["a", "b", "c"]
        np.testing.assert_allclose(found["probability"].values[:, 0].transpose(1, 0, 2), calls.probability, rtol=1e-6)
        np.testing.assert_array_equal(found["label"].values, calls.label)
        assert found["depth_um"].attrs["units"] == "um"
        assert list(found["row"].values[:2]) == ["unit 0", "unit 1"]


def test_folds_are_scattered_to_rows():
    folds = [Fold(np.array([2, 3]), np.array([0, 1]), "a"), Fold(np.array([0, 1]), np.array([2]), "b")] * 2
    found = scatter(
        folds, 2, 4, [np.full((2, 3), 0.0), np.full((1, 3), 1.0), np.full((2, 3), 2.0), np.full((1, 3), 3.0)]
    )
    np.testing.assert_array_equal(found[:, :, 0], [[0, 0, 1, np.nan], [2, 2, 3, np.nan]])
    assert judging.held_out(folds).tolist() == [0, 1, 2]


def test_student_intervals_over_seeds():
    mean, low, high = over_seeds(np.array([1.0, 2.0, 3.0]))
    assert (mean, high - mean) == (2, pytest.approx(4.302653 / np.sqrt(3)))
    assert mean - low == pytest.approx(high - mean)
    assert np.isnan(over_seeds(np.array([1.0])).low)
    clipped = Estimate(0.9, 0.2, 1.4).within(0, 1)
    assert (clipped.low, clipped.high) == (0.2, 1)
