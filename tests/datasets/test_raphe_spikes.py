import numpy as np
import pytest

from spiketype.datasets.raphe import spikes
from tests.datasets.raphe_synthetic import wave


def cut_at(rate_kHz, shift, align):
    """Spikes of `wave` whose troughs lie `shift` (n,) samples off the sampling grid."""
    m = spikes.margin(rate_kHz)
    rows = []
    for s in shift:
        trace = wave((np.arange(6 * m) - 3 * m + s) / rate_kHz)
        at = spikes.crossings(trace, -50.0)[0]
        rows.append(trace[at - m : at + m + 1])
    return spikes.cut(np.array(rows), rate_kHz, -50.0, align)


@pytest.mark.parametrize("align", ["crossing", "trough", "slope"])
@pytest.mark.parametrize("rate_kHz", [20.0, 25.0, 33.3333, 50.0, 100.0])
def test_any_rate_and_any_place_between_samples_gives_the_same_spike(rate_kHz, align):
    shift = np.linspace(-0.5, 0.5, 11)
    found, reference = cut_at(rate_kHz, shift, align), cut_at(40.0, shift, align)
    assert found.shape == (11, 160)
    # Of 80 pA; the slope is 500 pA/ms, so that 0.5 pA is a microsecond.
    assert np.abs(found - reference.mean(axis=0)).max() < (0.6 if rate_kHz > 20 else 1.0)


def test_what_is_at_index_40():
    shift = np.linspace(-0.5, 0.5, 9)
    np.testing.assert_allclose(cut_at(40.0, shift, "crossing")[:, 40], -50, atol=0.15)
    trough = cut_at(40.0, shift, "trough")
    assert np.all(trough.argmin(axis=1) == 40)
    slope = np.diff(cut_at(40.0, shift, "slope"), axis=1)
    assert np.all(np.abs(slope.argmin(axis=1) - 39.5) <= 0.5)
    t = (np.arange(160) - 40) / 40
    np.testing.assert_allclose(trough[4], wave(t), atol=0.15)


def test_a_constant_stays_constant_and_high_frequencies_do_not_alias():
    at = 60 + np.arange(40)[None] * 2.5
    np.testing.assert_allclose(spikes.interpolate(np.full((1, 300), 7.0), at, 0.4), 7.0, rtol=1e-6)
    tone = np.sin(2 * np.pi * 0.35 * np.arange(300))[None]  # 35 kHz of 100, beyond the 20 kHz that 40 kHz can hold
    assert np.abs(spikes.interpolate(tone, at, 0.4)).max() < 0.01


def test_crossings_and_refractory_time():
    trace = np.zeros(100)
    trace[[10, 11, 12, 14, 40, 43, 46, 90]] = -60
    trace[20:30] = np.nan
    found = spikes.crossings(trace, -50.0)
    assert found.tolist() == [10, 14, 40, 43, 46, 90]
    assert spikes.apart(found, 5, -100).tolist() == [10, 40, 46, 90]
    assert spikes.apart(found, 5, 8).tolist() == [14, 40, 46, 90]


@pytest.mark.parametrize("udi_ms", [0.2, 0.4, 0.8, 1.3, 2.0])
def test_the_interval_is_that_of_the_waveform(udi_ms):
    t = (np.arange(160) - 42.3) / 40
    width = min(0.35 * udi_ms, 0.5)
    row = -80 * np.exp(-0.5 * (t / 0.05) ** 2) + 14 * np.exp(-0.5 * ((t - udi_ms) / width) ** 2)
    clean = spikes.shape(row[None])
    assert clean.udi_ms[0] == pytest.approx(udi_ms, abs=0.02)
    assert not clean.cut_off[0]
    noisy = row + np.random.default_rng(0).normal(0, 3, (200, 160))
    assert np.median(spikes.shape(noisy).udi_ms) == pytest.approx(udi_ms, rel=0.12)


def test_an_interval_beyond_the_window_is_marked():
    t = (np.arange(160) - 42) / 40
    row = -80 * np.exp(-0.5 * (t / 0.05) ** 2) + 14 * np.exp(-0.5 * ((t - 3.7) / 0.8) ** 2)
    assert spikes.shape(row[None]).cut_off[0]
