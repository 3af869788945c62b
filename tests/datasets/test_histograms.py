"""Histograms of when units fire, of the readers and of the exporter, against counts of whole samples."""

import functools
import sys
import time
import types
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spiketype.datasets.waveforms import histograms
from spiketype.edge import UserError

EXPORT = Path(__file__).parents[2] / "scripts" / "export_units.py"
HOURS = 10**9  # samples since the start of a recording that is ten hours long
RATES_HZ = [20_000.0, 24_414.0625, 24_414.062, 25_000.0, 30_000.0, 29_999.954846, 30_000.390639, 32_000.0, 32_552.083]


class Analyzer:
    """What the exporter needs of a SortingAnalyzer: one unit in one segment."""

    unit_ids = ("a",)

    def __init__(self, sample, rate_Hz):
        self.sample, self.sampling_frequency = sample, rate_Hz

    @property
    def sorting(self):
        return self

    def get_num_segments(self):
        return 1

    def get_unit_spike_train(self, unit, segment_index):
        return self.sample


@pytest.fixture(scope="module")
def exporter():
    """The script, with an empty module in the place of SpikeInterface."""
    script = types.ModuleType("export_units")
    there = sys.modules.get("spikeinterface")
    sys.modules["spikeinterface"] = types.ModuleType("spikeinterface")
    try:
        exec(compile(EXPORT.read_text(), str(EXPORT), "exec"), script.__dict__)
    finally:
        del sys.modules["spikeinterface"]
        if there is not None:
            sys.modules["spikeinterface"] = there
    return script


def counted(sample, rate_Hz):
    """Intervals and lags of whole samples, counted one by one with fractions."""
    ms = Fraction(1000) / Fraction(rate_Hz)
    isi_edges = [Fraction(edge) for edge in histograms.ISI_EDGES_MS]
    isi, acg = np.zeros(len(isi_edges) - 1, int), np.zeros(histograms.LAG_BINS, int)
    width_ms = Fraction(histograms.LAG_MS) / histograms.LAG_BINS
    for k, first in enumerate(sample):
        for apart, later in enumerate(sample[k + 1 :], start=1):
            lag_ms = (later - first) * ms
            if lag_ms < Fraction(histograms.LAG_MS):
                acg[int(lag_ms / width_ms)] += 1
            if apart == 1 and lag_ms <= isi_edges[-1]:
                isi[min(sum(edge <= lag_ms for edge in isi_edges) - 1, len(isi) - 1)] += 1
    return isi, acg


def check(exporter, sample, rate_Hz):
    isi, acg = counted(sample, rate_Hz)
    sample = np.array(sample, np.int64)
    ours = [  # as the readers of hc-3, and of phy and SpikeInterface have it
        histograms.histograms(time_ms, np.zeros(len(sample)), np.zeros(1))
        for time_ms in (sample / (rate_Hz / 1000), sample * (1000 / rate_Hz))
    ]
    for found in (*ours, exporter.histograms(Analyzer(sample, rate_Hz))):
        np.testing.assert_array_equal(found[0][0], isi)
        np.testing.assert_array_equal(found[1][0], acg)


def near_edges(rate_Hz):
    """Whole samples around the edges of bins."""
    edges_ms = [*np.linspace(0, histograms.LAG_MS, histograms.LAG_BINS + 1), *histograms.ISI_EDGES_MS]
    return sorted({max(0, round(edge * rate_Hz / 1000) + k) for edge in edges_ms for k in (-1, 0, 1)})


@settings(deadline=None)
@given(st.data())
def test_lags_and_intervals_are_counted_as_whole_samples(exporter, data):
    rate_Hz = data.draw(st.sampled_from(RATES_HZ) | st.integers(1000, 200_000).map(float))
    start = data.draw(st.integers(0, HOURS))
    steps = data.draw(st.lists(st.sampled_from(near_edges(rate_Hz)) | st.integers(0, 3000), max_size=12))
    check(exporter, [start, *(start + np.cumsum(steps)).tolist()], rate_Hz)


@settings(deadline=None)
@given(rate_Hz=st.floats(1000, 200_000), start=st.integers(0, HOURS), edge=st.integers(0, 50), off=st.integers(-1, 1))
@example(rate_Hz=24_414.0625, start=HOURS, edge=16, off=0)
def test_any_rate(exporter, rate_Hz, start, edge, off):
    lag = max(0, round(edge * 2 * rate_Hz / 1000) + off)
    exact_ms = Fraction(lag) * 1000 / Fraction(rate_Hz)
    nearest = min(abs(exact_ms - Fraction(float(e))) for e in [*range(0, 101, 2), *histograms.ISI_EDGES_MS])
    if 0 < nearest < Fraction(1, 10**6):  # a nanosecond
        return  # too near for times of hours in floats, and no rate of an amplifier
    check(exporter, [start, start + lag], rate_Hz)


@pytest.mark.parametrize(
    ("rate_Hz", "lag", "bin_"),
    [(30_000.0, 840, 14), (30_000.0, 839, 13), (25_000.0, 2450, 49), (24_414.0625, 782, 16), (24_414.0625, 781, 15)],
)
def test_a_lag_on_an_edge_is_in_the_bin_above(exporter, rate_Hz, lag, bin_):
    """At 30 kHz, 840 samples are 28 ms; at 24414.0625 Hz, 781 are 31.99 ms."""
    for start in (0, 1, 12_345, 123_456_789):
        sample = np.array([start, start + lag])
        for acg in (
            histograms.autocorrelogram(sample / (rate_Hz / 1000)),
            histograms.autocorrelogram(sample * (1000 / rate_Hz)),
            exporter.histograms(Analyzer(sample, rate_Hz))[1][0],
        ):
            assert np.flatnonzero(acg).tolist() == [bin_]


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=60), st.integers(0, HOURS))
def test_dense_spikes_are_counted_pair_by_pair(steps, start):
    time_ms = (start + np.cumsum(np.array(steps, np.int64) // 20)) / 30.0
    lag = np.array([b - a for k, a in enumerate(time_ms) for b in time_ms[k + 1 :]]).round(6)
    expected = np.histogram(lag, histograms.LAG_BINS, (0, histograms.LAG_MS))[0] if len(lag) else 0
    np.testing.assert_array_equal(histograms.autocorrelogram(time_ms), expected)


def test_few_pairs_are_formed_and_counted_as_many_that_are_not(monkeypatch):
    rng = np.random.default_rng(0)
    samples = np.sort(rng.integers(0, 30_000 * 600, 20_000))  # 33 a second: 3.3 pairs a spike
    unit, names = rng.integers(0, 9, len(samples)), np.array([3, 0, 12])
    few = histograms.histograms(samples / 30.0, unit, names)
    monkeypatch.setattr(histograms, "MOST_PAIRS", 0)
    many = histograms.histograms(samples / 30.0, unit, names)
    for a, b in zip(few, many, strict=True):
        np.testing.assert_array_equal(a, b)
    assert few[0][2].sum() == few[1][2].sum() == 0  # a unit without spikes
    np.testing.assert_array_equal(few[1][0], histograms.autocorrelogram(samples[unit == 3] / 30.0))


def test_the_work_does_not_grow_with_the_pairs():
    """All at once, 40 000 spikes are 8e8 pairs: twelve seconds one by one."""
    began = time.process_time()
    counts = histograms.autocorrelogram(np.full(40_000, 3.6e6))
    assert counts.tolist() == [40_000 * 39_999 // 2] + [0] * (histograms.LAG_BINS - 1)
    assert time.process_time() - began < 3


def test_what_cannot_be_samples_is_refused_with_the_likely_unit(tmp_path):
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(20), 3000)  # of 5 Hz for ten minutes
    time_s = rng.uniform(0, 600, len(unit))
    check = functools.partial(histograms.check_samples, tmp_path / "spike_times.npy", unit=unit, rate_Hz=30_000.0)
    check(np.round(time_s * 30_000))
    check(np.round(time_s * 30_000).astype(np.uint64))
    for wrong, told in (
        (time_s, r"one of them is .*: they are likely seconds, so multiply them by 30000 and round"),
        (np.round(time_s), r"a unit would fire 1.5e\+05 times a second: they are likely seconds"),
        (time_s * 1000, r"one of them is .*: they are likely milliseconds, so multiply them by 30 and round"),
        (time_s * 1e6, r"one of them is .*: they are likely microseconds, so multiply them by 0.03 and round"),
        (np.round(time_s * 30_000) - 50_000, r"one of them is -.*: export it again"),
        (np.full(len(unit), 7), r"a unit would fire inf times a second: export it again"),
    ):
        with pytest.raises(UserError, match=rf"spike_times.npy must hold numbers of samples at 30000 Hz, but {told}"):
            check(wrong)
    with pytest.raises(UserError, match=r"spike_times.npy: a spike is 9.74e\+06 years from .* start: it is damaged"):
        check(np.r_[np.round(time_s[1:] * 30_000).astype(np.int64), 2**63 - 1])
    few = unit < 1
    histograms.check_samples(tmp_path, np.arange(50), unit[few][:50], 30_000.0)  # a burst at every sample
