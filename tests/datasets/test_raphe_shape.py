"""The shape of mean spikes in numbers: known shapes, other sizes, any current."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiketype.datasets.raphe.shape import FRACTIONS, MEASURES, TIMES, features, measures, spectrum


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


def test_the_spectrum_of_a_hum_is_at_its_frequency_whatever_its_level():
    noise = np.sin(2 * np.pi * 12 * np.arange(160) / 160) + np.array([[0.0], [5.0]])
    found = spectrum(noise)
    assert found.argmax() == 12 - 1
    assert found[[0, 40]].max() < 1e-6 * found.max()
