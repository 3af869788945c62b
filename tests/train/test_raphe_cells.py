"""The raphe task's parts without a network: how good calls are, and baselines."""

from pathlib import Path

import numpy as np
import pytest

from spiketype.datasets.raphe.extract import CellSpikes
from spiketype.datasets.raphe.table import LabelledCell, of_cells
from spiketype.models.classifiers import logistic, plain
from spiketype.models.evidence import Probability
from spiketype.models.usual import Usual
from spiketype.train.judging.calls import UNSURE, Calls
from spiketype.train.judging.metrics import auc, top_calibration_error
from spiketype.train.tasks.raphe import cells, metrics


def calls(label, probability, day):
    names = tuple(f"cell {k}" for k in range(len(label)))
    return Calls(cells.of_serotonergic(probability), label, day, ("non-serotonergic", "serotonergic"), names)


def test_auc_counts_pairs():
    rng = np.random.default_rng(1)
    label, value = rng.integers(0, 2, 50), rng.integers(0, 6, 50) / 5
    pairs = [(a > b) + 0.5 * (a == b) for a in value[label == 1] for b in value[label == 0]]
    assert auc(label, value) == pytest.approx(np.mean(pairs))
    assert np.isnan(auc(np.ones(3, int), np.ones(3)))


def test_the_calibration_error_is_of_the_likelier_class():
    probability = cells.of_serotonergic(np.array([0.95, 0.95, 0.05, 0.05]))[0]
    assert top_calibration_error(np.array([1, 1, 0, 0]), probability) == pytest.approx(0.05)
    assert top_calibration_error(np.array([0, 0, 1, 1]), probability) == pytest.approx(0.95)


def test_calibrated_calls_have_an_error_that_comes_of_their_number():
    rng = np.random.default_rng(0)
    error = []
    for count in (100, 10_000):
        p = rng.random(count)
        found = calls((rng.random(count) < p).astype(int), p, np.arange(count))
        error.append(metrics.expected_top_calibration_error(found, 0))
        assert error[-1] == pytest.approx(top_calibration_error(found.label, found.mean), rel=0.6)
    assert error[1] < error[0] / 5


def test_rates_are_of_the_true_class_and_predictive_values_of_the_call():
    label = np.array([1] * 10 + [0] * 5)
    probability = np.array([0.9] * 8 + [0.2] * 2 + [0.1] * 4 + [0.7])
    atypical = np.array([0] * 7 + [1] * 3 + [0] * 5)
    found = metrics.rates(calls(label, probability, np.arange(15) % 5), atypical, 0)
    value = {name: found[f"{name}_percent"]["value"] for name in metrics.RATES}
    assert value["sensitivity"] == pytest.approx(80)
    assert value["specificity"] == pytest.approx(80)
    assert value["ppv"] == pytest.approx(100 * 8 / 9)
    assert value["npv"] == pytest.approx(100 * 4 / 6)
    assert value["typical_sensitivity"] == pytest.approx(100)
    assert value["atypical_sensitivity"] == pytest.approx(100 / 3)
    assert found["confusion"] == [[4, 1], [2, 8]]
    for name in metrics.RATES:
        ends = found[f"{name}_percent"]
        assert ends["low"] <= ends["value"] <= ends["high"]
        assert ends["high"] - ends["low"] > 10  # never without width


def test_a_class_that_is_not_there_gives_no_number():
    found = metrics.rates(calls(np.ones(4, int), np.full(4, 0.9), np.arange(4)), np.zeros(4, int), 0)
    assert found["specificity_percent"]["value"] is None
    assert found["auc"]["value"] is None


def test_one_day_gives_no_interval():
    label, day = np.array([0, 1] * 5), np.zeros(10, int)
    ours, theirs = (calls(label, np.where(label == 1, p, 0.2), day) for p in (0.9, 0.4))
    found = metrics.rates(ours, np.zeros(10, int), 0)
    assert found["accuracy_percent"] == {"value": 100.0, "low": None, "high": None}
    assert found["auc"] == {"value": 1.0, "low": None, "high": None}
    assert found["top_calibration_error"]["low"] is None
    assert metrics.difference(ours, theirs, 0) == {"value": 50.0, "low": None, "high": None}


def test_days_without_a_class_leave_the_interval_to_the_others():
    """Three of ten days have serotonergic cells, one of them all wrong: the interval is of days, not of cells."""
    day = np.repeat(np.arange(10), 6)
    label = (day < 3).astype(int)
    right = (day != 2) & (np.arange(60) < 55)
    probability = np.where(right == (label == 1), 0.9, 0.1) + np.linspace(0, 0.05, 60)
    found = metrics.rates(calls(label, probability, day), np.zeros(60, int), 0)
    assert (found["sensitivity_percent"]["low"], found["sensitivity_percent"]["high"]) == (0, 100)
    assert found["auc"]["low"] < found["auc"]["value"] - 0.1 < found["auc"]["value"] + 0.1 < found["auc"]["high"]
    half = metrics.rates(calls(label[:24], probability[:24], np.minimum(day[:24], 2)), np.zeros(24, int), 0)
    assert half["specificity_percent"]["low"] is None  # one of three days: 30 % of resamples have none


def test_baselines_see_training_rows_alone():
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(40, 1)), np.arange(40) % 2
    x[:, 0] += 4 * label
    folds = [(np.arange(20), np.arange(20, 40))]
    found = plain(logistic(), x, label, folds)
    assert np.isnan(found[:20]).all()
    assert ((found[20:] > 0.5) == (label[20:] == 1)).mean() > 0.9


def test_there_is_no_call_where_none_can_be_made():
    """A foreign recording: unusual, from one to three spikes, an interval from 0 to 1, amplitudes in another unit."""
    rows = 7
    found = Calls(
        probability=cells.of_serotonergic(np.array([0.99, 0.99, 0.99, 0.99, 0.6, 0.99, 0.99])),
        label=np.full(rows, -1),
        group=np.arange(rows),
        class_names=("non-serotonergic", "serotonergic"),
        row_names=tuple("abcdefg"),
        measured={
            "low_serotonergic": np.array([0.9, 0.9, 0.0, 0.9, 0.55, 0.9, 0.9]),
            "high_serotonergic": np.ones(rows),
            "unusual": np.array(["no", "yes", "no", "no", "no", "no", "no"]),
            "spikes": np.full(rows, 50),
            "contrary_spikes": np.array([4, 0, 0, 0, 0, 0, 5]),
            "trough_pA": np.array([-80.0, -80.0, -80.0, -5000.0, -80.0, -80.0, -80.0]),
            "clipped": np.array([0.0, np.nan, 0.0, 0.0, 0.05, 0.5, 0.0]),
        },
    )
    table = cells.table_of(found, 0.8)
    assert table["call"].tolist() == ["serotonergic", *["no call"] * 6]
    assert table["certain"].tolist() == ["yes", *["no"] * 6]
    reasons = ["", cells.UNUSUAL, cells.EITHER, cells.TOO_LARGE, UNSURE, cells.CUT_OFF, cells.MIXED]
    assert table["reason"].tolist() == reasons
    np.testing.assert_array_equal(table["probability"], [0.99, 0.99, 0.99, 0.99, 0.6, 0.99, 0.99])


@pytest.mark.parametrize(
    ("sure_of", "mixed"), [((30, 10), True), ((10, 30), True), ((37, 3), False), ((2, 2), False), ((40, 0), False)]
)
def test_spikes_that_are_surely_of_either_class_may_be_of_two_cells(sure_of, mixed):
    vote = np.repeat([0.97, 0.02], sure_of)
    contrary = cells.contrary_spikes(vote)
    assert contrary == min(sure_of)
    assert cells.is_mixed(np.array([contrary]), np.array([len(vote)]))[0] == mixed


def test_an_interval_that_is_cut_off_is_not_known():
    """The hump peaks at the end of the window, or behind it."""
    found = []
    for middle_ms in (1.2, 3.6):
        t_ms = (np.arange(160) - 40) / 40
        spike_pA = -80 * np.exp(-0.5 * (t_ms / 0.09) ** 2) + 14 * np.exp(-0.5 * ((t_ms - middle_ms) / 0.8) ** 2)
        mean_pA = spike_pA.astype(np.float32)[None]
        single = np.repeat(mean_pA, 4, axis=0)
        one = np.ones(4, np.float32)
        spikes = CellSpikes(single, -one, -one, one, one, single[:0], 4, -1.0, -1.0, 1.0, 0.0, -1.0)
        table = of_cells([LabelledCell("c", "d", 1, spikes, "c.npz")], [], Path("c.npz"))
        tested = cells.collect(table, [np.arange(4)], [np.ones((1, 4))])
        known = [Probability(*np.full((3, len(each.spikes)), 0.9)) for each in tested.arriving]
        called = cells.calls(table, tested, known, [Usual.of(np.random.default_rng(0).normal(size=(9, 160)))])
        found.append(called.measured["udi_ms"][0])
    assert found[0] == pytest.approx(1.2, abs=0.1)
    assert np.isnan(found[1])
