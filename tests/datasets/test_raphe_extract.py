import contextlib
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spiketype.datasets.raphe import levels
from spiketype.datasets.raphe.abf import open_abf
from spiketype.datasets.raphe.extract import extract
from spiketype.datasets.raphe.options import SpikeOptions
from spiketype.datasets.raphe.recordings import from_array, open_recording
from spiketype.edge import UserError
from tests import shared_data
from tests.datasets.raphe_synthetic import recording
from tests.datasets.test_abf import abf2

TIMES = np.arange(0.3, 9.8, 0.5)


def as_recording(current, rate_Hz=40_000.0):
    return from_array(current, rate_Hz, Path("cell.npy"), "cell", "day")


@pytest.fixture(scope="module")
def current():
    return recording(TIMES, 10.0)


def test_spikes_their_times_and_quality(current):
    found = extract(as_recording(current + 20))
    assert found.spike_pA.shape == (19, 160)
    assert found.spike_pA.dtype == np.float32
    np.testing.assert_allclose(found.time_s, TIMES, atol=2e-4)
    np.testing.assert_allclose(found.baseline_pA, 20, atol=0.3)
    assert found.isi_ms[0] == -1
    np.testing.assert_allclose(found.isi_ms[1:], 500, atol=0.1)
    assert found.isi_cv < 1e-3
    assert found.rate_Hz == pytest.approx(1.9)
    assert found.noise_rms_pA == pytest.approx(3, rel=0.05)
    assert found.drift_pA < 0.5
    np.testing.assert_allclose(found.snr, 80 / 3, rtol=0.15)
    assert found.noise_pA.shape == (100, 160)
    assert np.abs(found.noise_pA).max() < 20


def test_an_inverted_recording_gives_the_same_spikes(current):
    found = extract(as_recording(-current))
    assert "positive in the file" in found.notes[0]
    np.testing.assert_array_equal(found.spike_pA, extract(as_recording(current)).spike_pA)
    with pytest.raises(UserError, match="no spike"):
        extract(as_recording(-current), SpikeOptions(polarity="negative"))


def test_drift_is_subtracted_and_reported(current):
    drift = np.linspace(-30, 30, len(current)).astype(np.float32)
    found = extract(as_recording(current + drift))
    assert len(found.spike_pA) == 19
    assert found.drift_pA == pytest.approx(48, abs=3)
    assert np.abs(found.spike_pA[:, :25].mean(axis=1)).max() < 2.5


def test_nothing_depends_on_where_a_piece_ends(current, monkeypatch):
    whole = extract(as_recording(current))
    for samples in (40_000, 52_345):
        monkeypatch.setattr("spiketype.datasets.raphe.extract.PIECE_SAMPLES", samples)
        monkeypatch.setattr(levels, "PIECE_SAMPLES", samples)
        pieces = extract(as_recording(current))
        np.testing.assert_array_equal(pieces.time_s, whole.time_s)
        np.testing.assert_allclose(pieces.spike_pA, whole.spike_pA, atol=1e-4)
        np.testing.assert_allclose(pieces.noise_pA, whole.noise_pA, atol=1e-4)


def test_spikes_cut_by_an_end_with_nan_or_beyond_the_limit_are_counted(current):
    spoiled = current[int(0.2995 * 40_000) : int(9.3012 * 40_000)].copy()
    spoiled[int(0.5 * 40_000) + 30] = np.nan
    found = extract(as_recording(spoiled), SpikeOptions(most=10))
    text = "; ".join(found.notes)
    assert len(found.spike_pA) == 10
    assert "2 of 19 spikes: cut by an end" in text
    assert "1 of 19 spikes: with NaN" in text
    assert "6 of 19 spikes: beyond the first 10" in text
    assert np.isfinite(found.spike_pA).all()


def test_threshold_by_noise_finds_small_spikes(current):
    small = as_recording(0.3 * current)
    with pytest.raises(UserError, match=r"no spike: nothing crosses -50.0 pA in 10.0 s .*give --mads"):
        extract(small)
    assert len(extract(small, SpikeOptions(mads=8.0)).spike_pA) == 19


def test_refractory_time():
    pairs = recording([1.0, 1.002, 2.0, 2.004], 3.0)
    assert extract(as_recording(pairs)).found == 3
    assert extract(as_recording(pairs), SpikeOptions(refractory_ms=1.0)).found == 4


@pytest.mark.parametrize(
    ("option", "value"),
    [("refractory_ms", np.inf), ("mads", np.inf), ("threshold_pA", -np.inf), ("refractory_ms", np.nan)],
)
def test_options_are_finite(option, value):
    with pytest.raises(UserError, match="--" + option.lower().replace("_", "-")):
        SpikeOptions(**{option: value})


def test_thresholds_that_noise_crosses_and_rates_of_no_such_cell_are_pointed_out(current):
    low = extract(as_recording(current), SpikeOptions(mads=3.5))
    assert "WARNING: noise alone crosses 3.5 of its deviations" in "; ".join(low.notes)
    fast = extract(as_recording(recording(np.arange(0.01, 1, 0.008), 1.0)))
    assert "WARNING: 124 spikes a second" in "; ".join(fast.notes)
    assert "WARNING" not in "; ".join(extract(as_recording(current), SpikeOptions(mads=6)).notes)


@pytest.mark.parametrize(("low", "high"), [(-60, 1000), (-1000, 8), (-1000, 5)])
@pytest.mark.parametrize("sign", [1, -1])
def test_spikes_that_are_cut_off_are_pointed_out(current, low, high, sign):
    found = extract(as_recording(sign * np.clip(current, low, high)), SpikeOptions(polarity="auto"))
    assert found.clipped > 0.9
    assert "of the spikes are cut off at " in found.notes[-1]


@pytest.mark.parametrize(("low", "high"), [(-60, 1000), (-1000, 8)])
@pytest.mark.parametrize("sign", [1, -1])
def test_spikes_that_are_cut_off_in_one_half_are_pointed_out(current, low, high, sign):
    """A gain is lowered on the way, or an artefact goes further than the spikes do."""
    half, late = len(current) // 2, current.copy()
    late[:half] = np.clip(late[:half], low, high)
    found = extract(as_recording(sign * late), SpikeOptions(polarity="negative" if sign > 0 else "positive"))
    assert found.clipped == pytest.approx(0.5, abs=0.11)
    assert "of the spikes are cut off at " in found.notes[-1]
    burst = np.clip(current, low, high)
    burst[1000:1020] = [-2000, 2000] * 10
    found = extract(as_recording(sign * burst), SpikeOptions(polarity="negative" if sign > 0 else "positive"))
    assert found.clipped > 0.8


@pytest.mark.parametrize("step_pA", [0, 0.3, 1, 3, 5])
def test_whole_spikes_are_not_called_cut_off(current, step_pA):
    found = extract(as_recording(np.round(current / step_pA) * np.float32(step_pA) if step_pA else current))
    assert found.clipped == 0
    assert "cut off" not in "; ".join(found.notes)


def test_no_real_recording_is_called_cut_off():
    for name in ("05210017_vc_abf1", "130618-1-12", "File_axon_1", "opto_aps_bad_units", "pclamp11_4ch"):
        for channel in range(len(open_abf(path := shared_data.path("abf", f"{name}.abf")).names)):
            for polarity in ("negative", "positive"):
                with contextlib.suppress(UserError):  # some have no spike
                    found = extract(open_recording(path, str(channel), "pA"), SpikeOptions(mads=6, polarity=polarity))
                    assert found.clipped == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_artefacts_far_larger_than_the_spikes_are_left_out(current, sign):
    struck = current.copy()
    for at in (2_000, 90_000):
        struck[at : at + 200] += 3000 * np.exp(-np.arange(200) / 10) * np.where(np.arange(200) < 20, 1, -1)
    found = extract(as_recording(sign * struck))
    plain = extract(as_recording(sign * current))
    np.testing.assert_allclose(found.spike_pA, plain.spike_pA, atol=0.1)
    np.testing.assert_allclose(found.isi_ms, plain.isi_ms, atol=0.1)
    assert (found.found, found.rate_Hz) == (plain.found, plain.rate_Hz)
    assert "left out 2 of 21 spikes: over 4 times as large as most" in "; ".join(found.notes)


def test_sweeps_are_not_joined(current):
    sweeps = replace(as_recording(current), segments=((0, 80_000), (80_000, 160_000), (300_000, 400_000)))
    found = extract(sweeps)
    assert (found.isi_ms == -1).sum() == 3
    assert found.duration_s == pytest.approx(6.5)


def test_times_include_the_pauses_between_sweeps_and_rates_do_not(current):
    sweeps = replace(as_recording(current), segments=((0, 200_000), (200_000, 400_000)), start_s=(1.0, 60.0))
    found = extract(sweeps)
    expected = np.where(TIMES < 5, 1 + TIMES, 55 + TIMES)  # the second sweep begins 55 s later than it lies
    np.testing.assert_allclose(found.time_s, expected, atol=2e-4)
    assert (found.duration_s, found.rate_Hz) == (10.0, pytest.approx(1.9))
    assert (found.isi_ms == -1).sum() == 2
    unknown = extract(replace(sweeps, start_s=(-1.0, -1.0)))
    np.testing.assert_array_equal(unknown.time_s, np.full(19, -1.0))
    np.testing.assert_array_equal(unknown.spike_pA, found.spike_pA)


@pytest.mark.parametrize("with_table", [True, False])
def test_the_times_of_an_abf_with_pauses(tmp_path, with_table):
    raw = np.round(current_of_sweeps() * 100).astype("<i2")[:, None]
    table = [(0, 40_000), (100_000, 40_000), (150_000, 40_000)]  # in units of 100 us: 0, 10 and 15 s
    path = abf2(
        tmp_path / "a.abf", raw, [("IN 0", "pA", 10 / 327.68)], 5 if with_table else 3, table * with_table, 100.0
    )
    found = extract(open_recording(path))
    within = np.array([0.3, 0.8, 1.3, 1.8])
    starts = (0, 10, 15) if with_table else (0, 2, 4)  # without a table it is gap-free
    np.testing.assert_allclose(found.time_s, np.concatenate([s + within for s in starts]), atol=2e-4)
    assert (found.duration_s, found.rate_Hz) == (6.0, pytest.approx(2))


def current_of_sweeps():
    return recording(np.arange(0.3, 6, 0.5), 6.0, 20_000.0)


@pytest.mark.parametrize(
    ("values", "rate_Hz", "reason"),
    [
        (np.full(80_000, np.nan, np.float32), 40_000.0, "all samples are NaN"),
        (np.zeros(80_000, np.float32), 40_000.0, "no spike"),
        (1e9 * np.sin(np.arange(80_000, dtype=np.float32)), 40_000.0, "the unit is mistaken"),
        (np.zeros(80_000, np.float32), 1_000.0, "1000 Hz is too low a sampling rate"),
        (np.zeros(1, np.float32), 40_000.0, "no spike"),
    ],
)
def test_recordings_without_spikes_are_refused_by_name(values, rate_Hz, reason):
    with pytest.raises(UserError, match=reason) as error:
        extract(as_recording(values, rate_Hz))
    assert "cell.npy" in str(error.value)


def test_a_unit_that_is_probably_wrong_is_pointed_out():
    loud = 30 * recording(TIMES, 10.0, noise_pA=0.1)
    assert "is the unit right?" in extract(as_recording(loud)).notes[-1]


def test_a_zero_noise_gives_no_threshold():
    with pytest.raises(UserError, match="noise is zero"):
        extract(as_recording(np.zeros(80_000, np.float32)), SpikeOptions(mads=5.0))


def test_half_an_hour_needs_no_more_memory_than_a_piece(current):
    n = 72_000_000  # 288 MB as float32
    length = len(current)

    def read(start, stop):
        return current[np.arange(start, stop) % length]

    long = replace(as_recording(current), segments=((0, n),), read=read)
    seconds = []
    tracemalloc.start()
    found = extract(long, None, seconds.append)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.found == 19 * 180
    assert len(found.spike_pA) == 700
    assert sum(seconds) == pytest.approx(1800)
    assert peak < 120e6


@pytest.mark.parametrize("seed", range(6))
def test_few_spikes_in_much_noise_point_the_way_they_do(seed):
    """They are in eight of 120 seconds: noise must not decide for the other ones."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 3, 120 * 40_000).astype(np.float32)
    for t_s in np.arange(7.3, 120, 15):
        at = int(t_s * 40_000)
        noise[at : at + 12] -= 100
        noise[at + 36 : at + 60] += 25
    for options in (SpikeOptions(), SpikeOptions(mads=6.0)):
        for sign in (1, -1):
            found = extract(as_recording(sign * noise), options)
            assert found.found == 8
            assert found.spike_pA.mean(axis=0).min() < -80


def test_spikes_of_either_way_in_as_many_seconds_are_refused(current):
    with pytest.raises(UserError, match=r"whether its spikes are negative or positive cannot be told.*give --polarity"):
        extract(as_recording(np.concatenate([current, -current])))


def test_an_array_of_two_samples_and_many_channels_is_named():
    with pytest.raises(UserError, match=r"it has 2 samples: is an array stored \(channel, sample\)\?"):
        extract(as_recording(np.arange(2, dtype=np.float32)))
