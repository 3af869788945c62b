import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spiketype.edge import UserError
from spiketype.simulator.eap.features import Features, extract, resample

DT_MS = 2.0**-5


def slow_features(v: np.ndarray, dt: float, threshold: float = 5.0) -> tuple[float, ...]:
    """One waveform, one step at a time."""
    n = len(v)
    trough = 0
    for i in range(n):
        if v[i] < v[trough]:
            trough = i
    peak = trough
    for i in range(trough, n):
        if v[i] > v[peak]:
            peak = i
    amplitude = v[peak] - v[trough]
    if amplitude < threshold:
        return 0.0, n * dt, n * dt, 0.0, 0.0
    half = v[trough] / 2
    left = trough
    while left > 0 and v[left] <= half:
        left -= 1
    left_at = left + (half - v[left]) / (v[left + 1] - v[left]) if v[left] > half else 0.0
    right = trough
    while right < n - 1 and v[right] <= half:
        right += 1
    right_at = right - (v[right] - half) / (v[right] - v[right - 1]) if v[right] > half else n - 1.0
    fall = min([(v[i + 1] - v[i]) / dt for i in range(trough)], default=0.0)
    rise = max([(v[i + 1] - v[i]) / dt for i in range(trough, peak)], default=0.0)
    return amplitude, (peak - trough) * dt, (right_at - left_at) * dt, min(fall, 0.0), max(rise, 0.0)


def spikes(count: int = 40, n_time: int = 224) -> np.ndarray:
    rng = np.random.default_rng(0)
    t = np.arange(n_time) * DT_MS
    depth, width, late = (
        rng.uniform(3, 200, (count, 1)),
        rng.uniform(0.1, 0.8, (count, 1)),
        rng.uniform(0, 7, (count, 1)),
    )
    up = 0.4 * np.exp(-(((t - late - 2.5 * width) / (2 * width)) ** 2))
    return (depth * (up - np.exp(-(((t - late) / width) ** 2)))).astype(np.float32)


WAVES = {
    "spikes": spikes(),
    "noise": np.random.default_rng(1).normal(size=(60, 50)).astype(np.float32) * 8,
    "walks": np.random.default_rng(2).normal(size=(60, 50)).astype(np.float32).cumsum(axis=1) * 5 - 20,
    "steps": np.random.default_rng(3).integers(-3, 3, (80, 12)).astype(np.float32) * 10,  # many equal samples
    "falling": np.linspace(0, -100, 30, dtype=np.float32)[None],  # negative peak at the last sample
    "rising": np.linspace(-100, 0, 30, dtype=np.float32)[None],  # and at the first
    "flat": np.zeros((2, 9), np.float32),
}


@pytest.mark.parametrize("name", WAVES)
def test_features_are_those_of_the_slow_loop(name):
    waves = WAVES[name]
    expected = np.array([slow_features(v.astype(float), DT_MS) for v in waves]).T
    got = extract(jnp.asarray(waves), DT_MS)
    for field, ours, theirs in zip(Features._fields, got, expected, strict=True):
        scale = max(1.0, np.abs(theirs).max())
        np.testing.assert_allclose(ours, theirs, atol=3e-6 * scale, err_msg=field)


def test_a_drawn_waveform():
    wave = jnp.array([0.0, 0, -10, -40, -20, 0, 10, 20, 10, 0], jnp.float32)
    got = extract(wave, 0.5)
    assert got.amplitude_uV == 60
    assert got.width_ms == 2
    np.testing.assert_allclose(got.fwhm_ms, (4 - (2 + 1 / 3)) * 0.5, rtol=1e-6)
    assert got.depolarising_uV_per_ms == -60
    assert got.repolarising_uV_per_ms == 40


def test_below_the_threshold_nothing_was_seen():
    wave = jnp.asarray(spikes(1))
    amplitude = float(extract(wave, DT_MS).amplitude_uV[0])
    below, above = (extract(wave * factor * 5 / amplitude, DT_MS) for factor in (0.999, 1.001))
    assert (below.amplitude_uV[0], below.width_ms[0], below.fwhm_ms[0]) == (0, 7, 7)
    assert (below.depolarising_uV_per_ms[0], below.repolarising_uV_per_ms[0]) == (0, 0)
    assert above.amplitude_uV[0] > 5
    assert above.width_ms[0] < 7
    assert extract(wave, DT_MS, threshold_uV=amplitude + 1).width_ms == 7


@pytest.mark.parametrize("shape", [(224,), (2, 3, 4, 224)])
def test_leading_axes_are_free(shape):
    waves = jnp.asarray(spikes(24)[: int(np.prod(shape[:-1]))].reshape(shape))
    got = jax.jit(extract, static_argnums=1)(waves, DT_MS)
    assert {x.shape for x in got} == {shape[:-1]}
    flat = extract(waves.reshape(-1, 224), DT_MS)
    np.testing.assert_allclose(got.amplitude_uV.ravel(), flat.amplitude_uV, rtol=1e-6)


def test_a_waveform_that_is_not_a_number_shows():
    assert np.isnan(extract(jnp.full((1, 224), jnp.nan), DT_MS).amplitude_uV).all()


@pytest.mark.parametrize("rate_kHz", [8.0, 10.0, 20.0, 24.414, 30.0, 32.0, 40.0, 64.0])
def test_resampling_keeps_constants_and_slow_waves(rate_kHz):
    matrix = resample(224, DT_MS, rate_kHz)
    assert matrix.dtype == np.float32
    assert matrix.shape[1] == pytest.approx(7 * rate_kHz, abs=1)
    np.testing.assert_allclose(matrix.sum(axis=0), 1, atol=1e-6)
    t, new_t = np.arange(224) * DT_MS, np.arange(matrix.shape[1]) / rate_kHz
    inside = (new_t > 1.5) & (new_t < 5.5)
    for frequency_kHz in (0.3, 1.0, 2.5):
        wave, new = (np.sin(2 * np.pi * frequency_kHz * x + 0.3) for x in (t, new_t))
        np.testing.assert_allclose((wave @ matrix)[inside], new[inside], atol=6e-3)


def test_resampling_removes_what_would_be_aliased():
    t = np.arange(224) * DT_MS
    new = np.sin(2 * np.pi * 7.0 * t) @ resample(224, DT_MS, 8.0)  # 7 kHz would appear as 1 kHz
    assert np.abs(new[10:-10]).max() < 0.01


def test_the_same_rate_is_the_identity():
    np.testing.assert_allclose(resample(224, DT_MS, 32.0), np.eye(224), atol=1e-3)


@pytest.mark.parametrize("rate_kHz", [0.0, -8.0, float("nan"), float("inf"), 0.1])
def test_impossible_rates_are_refused(rate_kHz):
    with pytest.raises(UserError, match=f"sampling rate {rate_kHz} kHz"):
        resample(224, DT_MS, rate_kHz)
