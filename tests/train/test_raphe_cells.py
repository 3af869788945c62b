"""The raphe task's parts without a network: batches, calls, measures, baselines."""

import hypothesis.extra.numpy as hnp
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from spiketype.train.judging.baselines import logistic, plain
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.intervals import CONFIDENCE
from spiketype.train.judging.metrics import auc, top_calibration_error
from spiketype.train.tasks.raphe import batches, cells, evidence, metrics, usual
from spiketype.train.tasks.raphe.shape import FRACTIONS, MEASURES, TIMES, features, measures

# ---- batches


@pytest.mark.parametrize("balance", ["cell", "class", "none"])
def test_batches_hold_training_samples_in_the_wanted_shares(balance):
    cell = np.repeat(np.arange(5), [400, 20, 10, 60, 10])
    label = np.array([0, 0, 1, 1, 1])[cell]
    train = np.flatnonzero(np.arange(500) % 2 == 0)
    plan = batches.plan(train, label, cell, balance, 400, 7)
    drawn = np.concatenate([np.asarray(batches.indices(plan, jax.random.key(k), 500)) for k in range(40)])
    assert set(drawn) <= set(train)
    share = np.bincount(cell[drawn], minlength=5) / len(drawn)
    size = np.array([200, 10, 5, 30, 5])
    wanted = {
        "cell": [1 / 4, 1 / 4, 1 / 6, 1 / 6, 1 / 6],
        "class": np.concatenate([size[:2] / 420, size[2:] / 80]),
        "none": size / 250,
    }
    np.testing.assert_allclose(share, wanted[balance], atol=0.012)


# ---- calls


def test_calibration_finds_the_true_relation():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (4000, 2))

    def truth(x):
        return expit(0.5 + 1.5 * x[:, 0] + np.sin(2 * x[:, 1]))  # a feature's meaning may turn round

    label = (rng.random(4000) < truth(x)).astype(int)
    found = evidence.calibrate(x, label)
    assert np.sqrt(np.mean((evidence.probability(found, x, np.zeros(4000)).value - truth(x)) ** 2)) < 0.05
    assert found.weight[1] / found.scale[0] == pytest.approx(1.5, abs=0.2)
    beyond = np.array([[0.0, 2.0], [0.0, 50.0]])
    assert np.ptp(evidence.probability(found, beyond, np.zeros(2)).value) < 0.01


def test_calibration_is_the_logistic_regression_of_scikit_learn():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(150, 3))
    label = (x.sum(axis=1) + rng.normal(size=150) > 0).astype(int)
    found = evidence.calibrate(x, label)
    theirs = LogisticRegression(C=1e6, max_iter=1000).fit(x, label)
    expected = theirs.predict_proba(x)[:, 1]
    ours = evidence.probability(found, x, np.zeros(150)).value  # the same but for a weak prior
    assert np.corrcoef(ours, expected)[0, 1] > 0.99


def test_separate_classes_give_finite_probabilities():
    vote = np.array([-3.0, -2, -2.5, 2, 3, 2.5])
    found = evidence.calibrate(np.stack([vote, vote], axis=1), np.array([0, 0, 0, 1, 1, 1]))
    called = evidence.probability(found, np.array([[-3.0, -3], [0, 0], [3, 3]]), np.zeros(3))
    assert (called.value > 0).all()
    assert (called.value < 1).all()
    assert (called.low < called.value).all()
    assert (called.high > called.value).all()
    assert called.value[0] < 0.3 < 0.7 < called.value[2]
    assert CONFIDENCE == 0.95


def test_few_spikes_mean_wider_intervals():
    x = np.stack([np.linspace(-3, 3, 100), np.zeros(100)], axis=1)  # its one feature is the same for all
    found = evidence.calibrate(x, (np.arange(100) >= 50).astype(int))
    few, many = (evidence.probability(found, np.array([[1.0, 0.0]]), np.array([v])) for v in (1.0, 0.001))
    assert few.value == many.value
    assert few.low < many.low < many.value < many.high < few.high


def test_a_shape_counts_less_where_it_is_measured_on_few_spikes():
    rng = np.random.default_rng(0)
    label = np.arange(600) % 2
    known = []
    for kind in label:  # a feature whose error falls with the spikes, and a vote that says nothing
        spikes = np.array([1, 3, 10, 30, 100])
        feature = 2.0 * kind + rng.normal(0, 0.2) + rng.normal(0, 4, 5) / np.sqrt(spikes)
        known.append(evidence.Evidence(np.stack([rng.normal(size=5), feature], axis=1), np.zeros(5), spikes))
    stages = evidence.calibrate_stages(known, label)
    found = np.array([evidence.as_spikes_arrive(each, stages).value for each in known])
    sure = np.abs(found - 0.5).mean(axis=0)
    assert (np.diff(sure) > 0.02).all()
    error = [top_calibration_error(label, cells.of_serotonergic(row)[0]) for row in found.T]
    assert max(error) < 0.06
    late = evidence.as_spikes_arrive(known[0]._replace(spikes=np.array([2, 4, 20, 50, 900])), stages).value
    np.testing.assert_array_equal(late, found[0])  # between stages the one before counts


def test_calls_settle():
    nothing, one = np.zeros(7), np.ones(1)  # one feature of six splines, none of which counts
    stage = evidence.Calibration(0 * one, one, nothing, nothing + 1, np.eye(8)[1], 1e-4 * np.eye(8))
    found = (stage,) * len(evidence.STAGES)
    votes, spikes = np.array([[-2.0, 1, 1, 1, 1, 1]]), np.zeros((6, 160))
    known = evidence.of_cell(votes, spikes, lambda mean_pA: mean_pA[:, :1], (1, 3, 4, 10))
    np.testing.assert_allclose(known.x[:, 0], [-2, 0, 0.25, 0.5])  # after 1, 3, 4 and all 6
    assert list(known.spikes) == [1, 3, 4, 6]
    after = evidence.as_spikes_arrive(known, found).value
    assert after[0] < 0.5 < after[-1]
    assert evidence.settled_after(known.spikes, after) == 4
    certain = evidence.of_cell(np.ones((2, 5)), spikes[:5], lambda mean_pA: mean_pA[:, :1], (1, 3))
    assert evidence.settled_after(certain.spikes, evidence.as_spikes_arrive(certain, found).value) == 1


def test_unusual_shapes_are_flagged():
    rng = np.random.default_rng(0)
    t = np.arange(160) / 40 - 1
    width = rng.uniform(0.8, 1.6, 60)[:, None]
    known = -80 * np.exp(-((t / 0.08) ** 2)) + 14 * np.exp(-(((t - width) / 0.4) ** 2)) + rng.normal(0, 0.3, (60, 160))
    shapes = usual.usual(known[:50])
    assert (shapes.distance(known[50:]) > shapes.limit).sum() <= 1
    strange = np.stack([np.sin(8 * t), -known[0], known[0][::-1]])
    assert (shapes.distance(strange) > 2 * shapes.limit).all()


# ---- measures


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


def test_one_day_gives_wilson_intervals_and_none_where_there_are_none():
    label, day = np.array([0, 1] * 5), np.zeros(10, int)
    ours, theirs = (calls(label, np.where(label == 1, p, 0.2), day) for p in (0.9, 0.4))
    found = metrics.rates(ours, np.zeros(10, int), 0)
    assert found["accuracy_percent"]["low"] == pytest.approx(100 * 10 / (10 + 1.96**2), abs=0.1)
    assert found["auc"] == {"value": 1.0, "low": None, "high": None}
    assert found["top_calibration_error"]["low"] is None
    assert metrics.difference(ours, theirs, 0) == {"value": 50.0, "low": None, "high": None}


# ---- baselines


def gaussians(t_ms, trough_ms=0.1, interval_ms=1.2, hump_ms=0.3, hump_pA=14.0):
    hump = np.exp(-0.5 * ((t_ms - interval_ms) / hump_ms) ** 2)
    return -80 * np.exp(-0.5 * (t_ms / trough_ms) ** 2) + hump_pA * hump


def test_measures_of_a_known_shape():
    half = np.sqrt(2 * np.log(2))
    for offset in (0.0, 0.007, 0.012):  # between samples: no measure jumps by a sample of 0.025 ms
        spike = gaussians(np.arange(160) / 40 - 1.05 - offset)
        found = dict(zip(MEASURES, measures(spike[None])[0][0], strict=True))
        assert found["udi_ms"] == pytest.approx(1.2, abs=0.02)
        assert found["fall_ms"] == pytest.approx(0.1 * half, abs=0.002)
        assert found["half_width_ms"] == pytest.approx(0.2 * half, abs=0.004)
        assert found["rise_ms"] == pytest.approx(0.3 * half, abs=0.03)
        assert found["decay_50_ms"] == pytest.approx(0.3 * half, abs=0.03)
        assert found["decay_25_ms"] == pytest.approx(0.3 * np.sqrt(2 * np.log(4)), abs=0.03)
        assert found["hump_ratio"] == pytest.approx(14 / 80, abs=0.01)


def test_features_do_not_depend_on_the_size_of_a_spike():
    spikes = gaussians(np.arange(160) / 40 - 1.05) * np.array([[1.0], [0.6]])
    found = features(spikes)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6)
    assert found.shape == (2, len(TIMES) + 1 + len(FRACTIONS))


@given(hnp.arrays(np.float32, (2, 160), elements=st.floats(-200, 200, width=32)))
def test_any_current_has_finite_features(spikes):
    assert np.isfinite(features(spikes)).all()


def test_baselines_see_training_rows_alone():
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(40, 1)), np.arange(40) % 2
    x[:, 0] += 4 * label
    folds = [(np.arange(20), np.arange(20, 40))]
    found = plain(logistic(), x, label, folds)
    assert np.isnan(found[:20]).all()
    assert ((found[20:] > 0.5) == (label[20:] == 1)).mean() > 0.9
