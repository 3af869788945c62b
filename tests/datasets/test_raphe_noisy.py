import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr

from spiketype.datasets import store
from spiketype.datasets.raphe import noisy, spikes
from spiketype.datasets.raphe import table as raphe
from spiketype.datasets.raphe.extract import CellSpikes
from spiketype.datasets.raphe.options import NoisyConfig
from spiketype.datasets.raphe.table import LabelledCell, write
from spiketype.edge import UserError
from tests.datasets.raphe_synthetic import wave

TIME_MS = (np.arange(160) - 42) / 40


def cell(index, n, windows=30):
    rng = np.random.default_rng(index)
    blank = np.full(n, -1.0, np.float32)
    spike = (wave(TIME_MS) * (1 + index / 20) + rng.normal(0, 3, (n, 160))).astype(np.float32)
    # Windows of a cell are told apart by their mean.
    noise = (10 * index + rng.normal(0, 1, (windows, 160))).astype(np.float32)
    return CellSpikes(spike, blank, blank, blank, blank, noise, n, -1.0, -1.0, 3.0, -1.0, -1.0)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    cells = [LabelledCell(f"c{i}", f"day{i // 2}", i % 2, cell(i, 20 + i), "made", -1.0) for i in range(6)]
    return raphe.load(write(tmp_path_factory.mktemp("noisy") / "raphe.zarr", cells, {}))


def test_smoothing_is_the_mean_over_three_points():
    row = np.array([[1.0, 2, 6, 4]], np.float32)
    np.testing.assert_allclose(noisy.smooth(row), [[4 / 3, 3, 4, 14 / 3]], rtol=1e-6)


def test_noisy_is_a_clean_spike_plus_a_window_of_the_part(table):
    train = np.flatnonzero(table.day != 2)
    part = noisy.masks(table, train, m_max=200)
    assert set(table.noise_cell[part.order]) == {0, 1, 2, 3}
    assert int(part.size) == 120
    base, row = jnp.asarray(noisy.smooth(table.spike_pA)), jnp.asarray(train[:50].astype(np.int32))
    made = jax.jit(noisy.noisy)(jax.random.key(0), base, row, jnp.asarray(table.noise_pA), part)
    added = np.asarray(made - base[row])
    distance = np.abs(added[:, None] - table.noise_pA[None]).max(axis=2)
    assert distance.min(axis=1).max() < 1e-4
    assert set(table.noise_cell[distance.argmin(axis=1)]) <= {0, 1, 2, 3}
    assert len(set(distance.argmin(axis=1))) > 25
    again = noisy.noisy(jax.random.key(0), base, row, jnp.asarray(table.noise_pA), part)
    np.testing.assert_array_equal(made, again)


def test_the_signal_to_noise_ratio_is_as_asked(table):
    train = np.arange(len(table.cell))
    base = jnp.asarray(noisy.templates(table, train))
    row, part = jnp.asarray(table.cell), noisy.masks(table, train)
    made = noisy.noisy(jax.random.key(1), base, row, jnp.asarray(table.noise_pA), part, snr=(5.0, 10.0))
    rms = np.sqrt(np.mean(np.asarray(made - base[row]) ** 2, axis=1))
    ratio = -np.asarray(base[row]).min(axis=1) / rms
    assert 5 <= ratio.min() < 6
    assert 9 < ratio.max() <= 10.001


def test_templates_hold_nothing_of_the_test_part(table):
    train = np.flatnonzero(table.cell != 3)
    made = noisy.templates(table, train)
    np.testing.assert_array_equal(made[3], 0)
    np.testing.assert_allclose(made[1], table.spike_pA[table.cell == 1].mean(axis=0), atol=1e-4)


def test_a_split_by_spike_uses_the_windows_of_its_cells(table):
    part = noisy.masks(table, np.arange(0, len(table.cell), 2))
    assert int(part.size) == 180


def test_the_store(table, tmp_path, monkeypatch):
    monkeypatch.setattr(noisy, "BLOCK", 500)
    config = NoisyConfig(serotonergic=700, other=650, masks=60, per_spike=20, days_out=("day2",))
    out = noisy.generate(table, config, tmp_path / "n.zarr")
    store.validate(out, "raphe-noisy", ("spike_pA",))
    group = {n: store.read(out, n) for n in ("spike_pA", "label", "cell", "spike", "window", "window_row")}
    assert np.bincount(group["label"]).tolist() == [650, 700]
    np.testing.assert_array_equal(group["label"], table.label[group["spike"]])
    assert group["cell"].max() < 4
    assert set(table.noise_cell[group["window_row"]]) == {0, 1, 2, 3}
    expected = noisy.smooth(table.spike_pA)[group["spike"]] + table.noise_pA[group["window_row"][group["window"]]]
    np.testing.assert_allclose(group["spike_pA"], expected, rtol=1e-6)
    pairs = np.unique(np.stack([group["spike"], group["window"]]), axis=1)
    assert pairs.shape[1] == 1350  # no pair twice while runs last
    assert (np.diff(group["label"]) != 0).mean() > 0.4  # mixed


def test_an_interrupted_store_is_continued_to_the_same_bytes(table, tmp_path, monkeypatch):
    monkeypatch.setattr(noisy, "BLOCK", 500)
    config = NoisyConfig(serotonergic=700, other=650, masks=60, per_spike=20, snr=(4.0, 12.0), base="template")
    whole = noisy.generate(table, config, tmp_path / "whole.zarr")
    again = noisy.generate(table, config, tmp_path / "again.zarr")
    group = zarr.open_group(again, mode="r+")
    group["done"][1] = False
    group["spike_pA"][500:1000] = 0
    noisy.generate(table, config, again)
    np.testing.assert_array_equal(store.read(whole, "spike_pA"), store.read(again, "spike_pA"))
    with pytest.raises(UserError, match="other settings"):
        noisy.generate(table, NoisyConfig(masks=60), again)


def test_the_default_numbers_are_the_published_ones():
    config = NoisyConfig()
    assert (config.masks, config.serotonergic, config.other) == (600, 6_675_300, 6_025_300)
    assert config.serotonergic + config.other == 12_700_600
    assert spikes.POINTS == 160


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"days_out": ("day9",)}, "has no day day9; it has day0"),
        ({"masks": 5000}, "180 spike-free windows in this part"),
        ({"days_out": ("day0", "day1", "day2")}, "no non-serotonergic spike"),
    ],
)
def test_what_cannot_be_made_is_refused(table, tmp_path, options, reason):
    with pytest.raises(UserError, match=reason):
        noisy.generate(table, NoisyConfig(**options), tmp_path / "n.zarr")
    assert not (tmp_path / "n.zarr").exists()
    for bad in ({"masks": 0}, {"seed": -1}, {"serotonergic": 0, "other": 0}, {"snr": (5.0, 2.0)}):
        with pytest.raises(UserError):
            NoisyConfig(**bad)
