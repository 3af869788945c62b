"""The table of waveforms: shared files, groups, inputs, and sources that are not what they should be."""

from dataclasses import replace
from pathlib import Path

import eap_store
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spiketype.datasets import waveforms
from spiketype.datasets.waveforms import npz
from spiketype.datasets.waveforms.inputs import inputs, resample
from spiketype.datasets.waveforms.table import build
from spiketype.edge import UserError
from tests import shared_data

MADE = Path("made")


def spikes(rows=6, channels=2, times=32, seed=0):
    """A trough at sample 10 of the first channel, half as deep on the others, with noise."""
    rng = np.random.default_rng(seed)
    shape = -np.exp(-((np.arange(times) - 10) ** 2) / 8)
    depth = np.r_[1, np.full(channels - 1, 0.5)][:, None]
    return (100 * depth * shape + rng.normal(size=(rows, channels, times))).astype(np.float32)


def save(path, **columns):
    np.savez(path, **{"waveform": spikes(), "rate_kHz": 20.0, **columns})
    return path


def test_shared_files():
    a1 = waveforms.load(shared_data.path("waveforms", "a1_lakunina2020.npz"), rate_kHz=30.0)
    assert a1.class_names == ("EXC", "PV", "SOM")
    assert list(np.bincount(a1.label[a1.label >= 0])) == [48, 121, 116]
    assert (a1.waveform.shape, a1.isi.shape, a1.level) == ((973, 1, 40), (973, 50), "unit")
    jia = waveforms.load(shared_data.path("waveforms", "jia2019_neuropixels2818.npz"), "area", 30.0)
    assert (len(jia.session_names), len(jia.unit_names), len(jia.class_names)) == (24, 2818, 8)
    with pytest.raises(UserError, match="does not say its sampling rate"):
        waveforms.load(shared_data.path("waveforms", "wavemap_pmd625.npz"))


def test_an_npz_and_a_zarr_group_are_read_back(tmp_path):
    columns = {"label": np.array(list("aabbb?")), "animal": [1.0, 1, 1, 2, 2, 2], "unit": [1, 1, 2, 1, 1, 1]}
    table = waveforms.load(save(tmp_path / "a.npz", **columns, isi=np.arange(30).reshape(6, 5)))
    assert (table.level, table.unit_names) == ("spike", ("1/1", "1/2", "2/1"))
    assert list(table.label) == [0, 0, 1, 1, 1, -1]
    npz.write(tmp_path / "b.npz", table)
    group = zarr.create_group(tmp_path / "c.zarr", attributes={"rate_kHz": 20.0})
    for name, values in np.load(tmp_path / "b.npz").items():
        if name not in ("rate_kHz", "units"):
            text = values.dtype.kind == "U"  # Zarr has no stable type for text of a fixed length
            group.create_array(name, shape=values.shape, dtype=str if text else values.dtype)[...] = values
    for path in ("b.npz", "c.zarr"):
        again = waveforms.load(tmp_path / path)
        for name in ("waveform", "label", "animal", "session", "unit", "isi"):
            np.testing.assert_array_equal(getattr(again, name), getattr(table, name))
        assert (again.unit_names, again.class_names, again.rate_kHz) == (table.unit_names, table.class_names, 20)
    assert list(table.take(table.label == 1).unit) == [1, 2, 2]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"waveform": np.ones((4, 32))}, r"row 0 \(unit 0\) is constant on all channels; 4 rows in all"),
        ({"waveform": np.where(np.arange(6)[:, None, None] == 3, np.nan, spikes())}, r"row 3 .* is not finite"),
        ({"waveform": spikes()[[0, 1, 2, 3, 4, 1]]}, r"rows 1 and 5 .* have the very same waveform"),
        ({"waveform": np.array(["a", "b"])}, "holds <U1, not numbers"),
        ({"waveform": spikes()[..., :2]}, "2 time samples: at least 3 are needed"),
        ({"waveform": np.zeros((0, 2, 32))}, "none empty"),
        ({"animal": [1, 2]}, "animal has 2 rows, the waveforms have 6"),
        ({"isi": np.ones((5, 4))}, "isi has 5 rows, the waveforms have 6"),
        ({"rate_kHz": [20.0, 20, 20, 30, 30, 30]}, r"2 sampling rates are mixed \(20, 30 kHz\)"),
        ({"rate_kHz": 0.0}, "0.0 kHz is not a sampling rate"),
        ({"isi": np.full((6, 4), -1)}, "isi of row 0 has a count that is negative"),
        ({"unit": [1, 1, 2, 2, 3, 3], "label": list("aabcdd")}, r"unit 2 have several labels \(b, c\)"),
    ],
)
def test_wrong_tables_are_named(tmp_path, columns, said):
    with pytest.raises(UserError, match=said) as error:
        waveforms.load(save(tmp_path / "bad.npz", **columns))
    assert "bad.npz" in str(error.value)


def test_wrong_paths_columns_and_rates_are_named(tmp_path, capsys):
    path = save(tmp_path / "a.npz")
    for arguments, said in (
        ((tmp_path / "none.npz",), "does not exist"),
        ((path, "type"), "has no column 'type'; it has rate_kHz, waveform"),
    ):
        with pytest.raises(UserError, match=said):
            waveforms.load(*arguments)
    assert waveforms.load(path, None, 30.0).rate_kHz == 20
    assert "says 20 kHz, so --rate-khz 30 is not used" in capsys.readouterr().err
    np.savez(tmp_path / "b.npz", x=np.ones(3))
    with pytest.raises(UserError, match="has no array 'waveform'; it has x"):
        waveforms.load(tmp_path / "b.npz")


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_give_a_message(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "a.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npz"):
        waveforms.load(path)


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.int16, (7, 3, 12), unique=True, elements=st.integers(-3000, 3000)))
def test_inputs_do_not_depend_on_other_rows_or_gain(waveform):
    table = build(MADE, waveform, 20.0)
    for normalise in ("amplitude", "zscore"):
        found = inputs(table, 30.0, (0.2, 0.3), normalise=normalise)
        assert found.shape == (7, 3, 15)
        one = inputs(table.take(np.array([4])), 30.0, (0.2, 0.3), normalise=normalise)
        np.testing.assert_allclose(found[4:5], one, rtol=1e-4, atol=1e-4)
        louder = inputs(replace(table, waveform=2 * table.waveform), 30.0, (0.2, 0.3), normalise=normalise)
        np.testing.assert_allclose(louder, found, rtol=1e-4, atol=1e-4)


def test_the_trough_of_the_largest_channel_is_where_it_is_asked_for():
    made = spikes()
    shifted = np.stack([np.roll(w, k, axis=-1) for k, w in enumerate(made)])
    table = build(MADE, shifted, 20.0)
    found = inputs(table, window_ms=(0.4, 0.8), channels="largest")
    assert found.shape == (6, 1, 24)
    assert np.all(np.abs(found.argmin(axis=2) - 8) <= 1)
    assert np.all(np.ptp(found, axis=2) > 0.9)
    with pytest.raises(UserError, match="too short"):
        inputs(table, window_ms=(0.05, 0.05))


def test_resampling_keeps_a_slow_wave():
    time_ms = np.arange(64) / 20
    wave = np.sin(2 * np.pi * 0.7 * time_ms)[None, None]
    found = resample(wave, 20.0, 30.0)
    expected = np.sin(2 * np.pi * 0.7 * np.arange(found.shape[2]) / 30)
    np.testing.assert_allclose(found[0, 0, 15:-15], expected[15:-15], atol=5e-3)


def test_an_eap_store_is_a_table_of_units(tmp_path):
    path = eap_store.write(tmp_path / "eap.zarr", per_cell=5, grid=(3, 3))
    table = waveforms.load(path)
    assert table.waveform.shape == (40, 9, eap_store.N_TIME)
    assert (table.level, table.units, table.rate_kHz) == ("unit", "uV", 1 / eap_store.DT_MS)
    assert (table.class_names, len(table.animal_names)) == (("excitatory", "inhibitory"), 8)
    assert waveforms.load(path, "m_type").class_names == ("BP", "LBC", "STPC", "TTPC1")
    with pytest.raises(UserError, match="has no column 'type'; it has excitatory, m_type"):
        waveforms.load(path, "type")
    with pytest.raises(UserError, match="is unfinished"):
        waveforms.load(eap_store.write(tmp_path / "part.zarr", per_cell=5, grid=(3, 3), finished=False))
