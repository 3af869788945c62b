"""The shape of a spike: against curves whose widths are known, and for any gain, rate, offset and length."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketype.datasets.waveforms import shape


def spike(rate_kHz=30.0, to_peak_ms=0.5, before_ms=0.6, after_ms=1.2, peak=0.3):
    """A Gaussian trough of half width .2 ms and depth 1, and a Gaussian hump whose top comes `to_peak_ms` later."""
    t = np.arange(-round(before_ms * rate_kHz), round(after_ms * rate_kHz) + 1) / rate_kHz
    sd = 0.2 / 2.355
    return -np.exp(-((t / sd) ** 2) / 2) + peak * np.exp(-(((t - to_peak_ms) / 0.1) ** 2) / 2)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.3, 0.6), st.sampled_from([20.0, 24.4140625, 30.0, 50.0]), st.floats(1e-3, 1e4), st.floats(-50, 50))
def test_widths_are_those_of_the_curve_whatever_rate_gain_and_offset(to_peak_ms, rate_kHz, gain, offset):
    x = gain * (spike(rate_kHz, to_peak_ms) + offset)
    found = shape.measure(shape.largest(x[None, None]), rate_kHz)
    assert found.trough_to_peak_ms[0] == pytest.approx(to_peak_ms, abs=0.02)
    assert found.half_width_ms[0] == pytest.approx(0.2, abs=0.02)
    assert found.peak[0] == pytest.approx(0.3, abs=0.02)
    assert not found.positive[0]
    assert not found.clipped[0]
    assert 1.0 < found.after_ms[0] < 1.2 + 1.1 / rate_kHz  # less where its end is flat to the last digit


def test_the_largest_channel_is_measured():
    x = np.stack([0.3 * spike(to_peak_ms=0.3), spike(to_peak_ms=0.5), np.zeros(len(spike()))])
    assert shape.measure(shape.largest(x[None]), 30.0).trough_to_peak_ms[0] == pytest.approx(0.5, abs=0.02)


def test_what_cannot_be_measured_is_marked():
    x = spike()
    clipped = np.maximum(x, -0.6)
    cut = x[: np.argmin(x) + 6]
    found = [shape.measure(w[None] - np.median(w), 30.0) for w in (x, -x, clipped, cut)]
    assert [f.positive[0] for f in found] == [False, True, False, False]
    assert [f.clipped[0] for f in found] == [False, False, True, False]
    assert found[3].after_ms[0] == pytest.approx(5 / 30)
    assert all(np.isfinite(v).all() for f in found for v in f)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(3, 40))
def test_any_waveform_has_finite_measures(seed, times):
    x = np.random.default_rng(seed).normal(size=(4, 2, times))
    assert all(np.isfinite(v).all() for v in shape.measure(shape.largest(x), 30.0))


def test_what_is_filled_up_behind_a_waveform_is_no_waveform():
    x = spike(30.0, 0.5)[None]
    trough = int(x[0].argmin())
    for value in (0.0, float(x[0, trough + 9])):  # zeros, or the last value held
        cut = x.copy()
        cut[:, trough + 10 :] = value
        assert shape.measure(cut, 30.0).after_ms[0] < shape.NEEDED_MS
    assert shape.measure(x, 30.0).after_ms[0] > 1.0


def test_equal_samples_that_are_no_neighbours_are_not_clipped():
    x = spike(30.0, 0.5)
    trough = int(x.argmin())
    far, near = x.copy(), x.copy()
    far[[2, 5]] = x[trough]
    near[[trough - 1, trough + 1]] = x[trough]
    assert not shape.measure(far[None], 30.0).clipped[0]
    assert shape.measure(near[None], 30.0).clipped[0]
