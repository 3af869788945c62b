"""The recording chain: against SciPy, against the physics of filters, and against the statistics of noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from spiketype.edge import UserError
from spiketype.simulator.eap import features, recording
from spiketype.simulator.eap.chain import Chain, check
from spiketype.simulator.eap.config import EapConfig

TIMES, DT_MS = 224, 2**-5
RATE_KHZ = 1 / DT_MS


def potentials(rows=3, seed=0):
    """Random walks from 0: rough, and with slow parts."""
    x = np.cumsum(np.random.default_rng(seed).normal(size=(rows, TIMES)), axis=1)
    return x - x[:, :1]


def spike():
    """A trough at 2 ms and a hump after it."""
    t = np.arange(TIMES) * DT_MS
    return -80 * np.exp(-(((t - 2) / 0.15) ** 2)) + 20 * np.exp(-(((t - 2.8) / 0.5) ** 2))


chains = st.builds(
    Chain,
    highpass_Hz=st.sampled_from([0.0, 150.0, 300.0]),
    lowpass_Hz=st.sampled_from([0.0, 3000.0, 6000.0]),
    order=st.integers(1, 4),
    phase=st.sampled_from(["causal", "zero"]),
)


@settings(max_examples=20, deadline=None)
@given(chains, st.sampled_from([30.0, 32.0, 24.0]), st.integers(0, 99))
def test_one_matrix_does_what_filter_and_resampling_do(chain, rate_kHz, seed):
    x = potentials(seed=seed)
    matrix = recording.matrix(TIMES, DT_MS, rate_kHz, chain)
    expected = recording.filtered(x, chain, RATE_KHZ) @ features.resample(TIMES, DT_MS, rate_kHz)
    np.testing.assert_allclose(x @ matrix, expected, atol=1e-4)


@pytest.mark.parametrize("phase", ["causal", "zero"])
def test_filters_are_those_of_scipy(phase):
    x, pad = potentials(), round(recording.PAD_MS / DT_MS)
    found = recording.filtered(x, Chain(300, 6000, 2, phase), RATE_KHZ)
    expected = np.pad(x, [(0, 0), (pad, pad)], mode="edge")
    for corner, kind in ((300, "highpass"), (6000, "lowpass")):
        sos = signal.butter(2, corner, kind, fs=1000 * RATE_KHZ, output="sos")
        run = signal.sosfilt if phase == "causal" else signal.sosfiltfilt
        expected = run(sos, expected, axis=1)
    np.testing.assert_allclose(found, expected[:, pad : pad + TIMES], atol=1e-6)


def test_a_constant_passes_a_low_pass_and_not_a_high_pass():
    x = np.full((1, TIMES), 7.0)
    np.testing.assert_allclose(recording.filtered(x, Chain(lowpass_Hz=3000, order=3), RATE_KHZ), 7)
    np.testing.assert_allclose(recording.filtered(x, Chain(highpass_Hz=300, order=3), RATE_KHZ), 0, atol=1e-12)


def test_a_causal_filter_moves_a_spike_and_a_zero_phase_one_does_not():
    x = spike()
    zero, causal = (
        recording.filtered(x[None], Chain(lowpass_Hz=2000, order=2, phase=p), RATE_KHZ)[0] for p in ("zero", "causal")
    )
    assert abs(int(zero.argmin()) - int(x.argmin())) <= 1
    assert causal.argmin() > x.argmin() + 2
    assert (recording.filtered(x[None], Chain(lowpass_Hz=2000), RATE_KHZ)[0][: x.argmin() - 20] > -1).all()


@pytest.mark.parametrize("noise", ["white", "pink"])
def test_noise_has_the_spectrum_of_the_chain(noise):
    chain = Chain(300, 6000, 2, "causal", noise)
    root = recording.colouring(TIMES, DT_MS, RATE_KHZ, chain)
    x = np.random.default_rng(0).normal(size=(20000, TIMES)) @ root
    assert np.std(x) == pytest.approx(1, abs=0.01)
    f_Hz, power = signal.welch(x, 1000 * RATE_KHZ, nperseg=TIMES, detrend=False, axis=1)
    power = power.mean(axis=0)
    gain = 1.0
    for corner, kind in ((300, "highpass"), (6000, "lowpass")):
        _, h = signal.sosfreqz(
            signal.butter(2, corner, kind, fs=1000 * RATE_KHZ, output="sos"), f_Hz, fs=1000 * RATE_KHZ
        )
        gain = gain * np.abs(h) ** 2
    expected = gain if noise == "white" else gain / np.maximum(f_Hz, recording.PINK_HZ)
    band = (f_Hz > 800) & (f_Hz < 7000)  # below, the window of 7 ms smears
    ratio = power[band] / expected[band]
    assert ratio.std() / ratio.mean() < 0.05


@pytest.mark.parametrize(
    ("chain", "said"),
    [
        (Chain(highpass_Hz=-1), "--highpass-hz is -1: it must be at least 0"),
        (Chain(lowpass_Hz=float("nan")), "--lowpass-hz is nan"),
        (Chain(highpass_Hz=600, lowpass_Hz=500), "--highpass-hz 600 is not below --lowpass-hz 500"),
        (Chain(order=9), "--filter-order is 9: it must be from 1 to 8"),
        (Chain(spikes=0), "--mean-of is 0: it must be at least 1"),
    ],
)
def test_impossible_chains_are_refused(chain, said):
    with pytest.raises(UserError, match=said):
        check(chain)
    with pytest.raises(UserError, match="--lowpass-hz is 16000: it must be below 16000, half of the 32 kHz"):
        recording.matrix(TIMES, DT_MS, 30.0, Chain(lowpass_Hz=16000))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"noise_spectrum": "pink"}, "--noise-spectrum is of the noise, and there is none: give --noise-uv"),
        ({"mean_of": 4}, "--mean-of is of the noise"),
        ({"filter_order": 2}, "--filter-order is of a filter, and there is none: give --highpass-hz or --lowpass-hz"),
        ({"filter_phase": "zero", "noise_uV": 3.0}, "--filter-phase is of a filter"),
        ({"highpass_Hz": 17_000.0}, "--highpass-hz is 17000: it must be below 16000, half of the 32 kHz"),
        ({"waveform_kHz": 0.1}, "--waveform-khz is 0.1: it must be more than 0.143, for two samples"),
    ],
)
def test_what_no_store_could_hold_is_refused_before_any_current(options, said):
    with pytest.raises(UserError, match=said):
        EapConfig(**options)


def test_what_has_something_to_act_on_is_not():
    EapConfig(noise_uV=1.0, noise_spectrum="pink", mean_of=4, lowpass_Hz=15_999.0, filter_order=2, filter_phase="zero")
    EapConfig(waveform_kHz=0.0, common_average=True)
    EapConfig(waveform_kHz=0.15)


@pytest.mark.parametrize(
    ("chain", "rate_kHz"),
    [
        (Chain(300.0, 6000.0), 30.0),
        (Chain(300.0, 6000.0), 8.0),
        (Chain(common_average=True), 8.0),
        (Chain(noise="pink"), 8.0),
    ],
)
def test_noise_is_as_large_at_the_ends_of_the_window_as_inside(chain, rate_kHz):
    found = recording.colouring(224, 1 / 32, rate_kHz, chain).astype(np.float64)
    np.testing.assert_allclose(np.sqrt((found**2).sum(axis=0)), 1, atol=0.01)


def test_without_a_chain_kept_waveforms_have_the_noise_that_the_help_says():
    sd = np.sqrt((features.resample(224, 1 / 32, 8.0).astype(float) ** 2).sum(axis=0))
    assert sd[0] == pytest.approx(0.7, abs=0.01)
    np.testing.assert_allclose(sd[1:], 0.5, atol=0.03)
