"""Shapes of action potentials: a triangle whose phase plane is known, what is missing, what is damaged."""

import numpy as np
import pandas as pd
import pytest

from spiketype.datasets.allen import spikes
from spiketype.edge import UserError


def triangle(rise_ms=0.5, fall_ms=1.0):
    t_ms = np.arange(150) / 50 - 1
    up, down = 100 * (t_ms + rise_ms) / rise_ms, 100 * (1 - t_ms / fall_ms)
    return -70 + np.clip(np.minimum(up, down), 0, None)


def test_the_phase_plane_of_a_triangle():
    rise, fall, delay = np.split(spikes.shape(triangle()[None])[0], 3)
    np.testing.assert_allclose(rise, 100 / 0.5, rtol=1e-6)
    np.testing.assert_allclose(fall, -100 / 1.0, rtol=1e-6)
    np.testing.assert_allclose(delay, 1 - spikes.LEVELS, atol=0.021)  # of one sample


def test_shape_does_not_depend_on_the_voltage_offset_nor_on_other_cells():
    both = np.stack([triangle(), triangle(0.3, 0.6)])
    found = spikes.shape(both)
    np.testing.assert_allclose(spikes.shape(both[1:] + 7.0), found[1:], atol=1e-9)
    assert np.isnan(spikes.shape(np.full((1, 150), np.nan))).all()


def test_a_folder_with_both_and_cells_it_does_not_know(tmp_path):
    names = [f"{t}_t_{s}" for t in ("threshold", *spikes.TIMES) for s in spikes.STIMULI]
    pd.DataFrame([[7, *(0.001 * k for k in range(15))]], columns=["specimen_id", *names]).to_csv(
        tmp_path / "ephys_features.csv", index=False
    )
    np.savez(tmp_path / "single_spike.npz", w=triangle()[None], sid=np.array([8]))
    found = spikes.load(tmp_path, np.array([7, 8, 9]))
    assert found.shape == (3, len(spikes.SPIKE_NAMES))
    np.testing.assert_allclose(found[0, 48:], [3.0, 6, 9, 12] * 3)
    assert np.isnan(found[0, :48]).all()
    assert np.isfinite(found[1, :48]).all()
    assert np.isnan(found[2]).all()


def test_damaged_action_potentials_are_named(tmp_path):
    (tmp_path / "single_spike.npz").write_bytes(b"PK no")
    with pytest.raises(UserError, match=r"single_spike.npz cannot be read as .npz"):
        spikes.load(tmp_path, np.array([1]))
    np.savez(tmp_path / "single_spike.npz", w=np.zeros((2, 9)), sid=np.array([8, 9]))
    with pytest.raises(UserError, match=r"w is \(2, 9\)"):
        spikes.load(tmp_path, np.array([1]))
    np.savez(tmp_path / "single_spike.npz", w=np.zeros((2, 150)), sid=np.array([[8, 9], [8, 9]]))
    with pytest.raises(UserError, match=r"and sid \(2, 2\), not"):
        spikes.load(tmp_path, np.array([1]))
