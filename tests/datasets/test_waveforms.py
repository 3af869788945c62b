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

from spiketype import reading
from spiketype.datasets import waveforms
from spiketype.datasets.waveforms import npz
from spiketype.datasets.waveforms.inputs import inputs, resample
from spiketype.datasets.waveforms.seen import seen
from spiketype.datasets.waveforms.table import build
from spiketype.edge import UserError
from spiketype.train.tasks.unit.config import UnitConfig
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
        (
            {"waveform": np.ones((4, 32))},
            r"none of 4 rows can be used(?s:.*)constant on all channels: row 0",
        ),
        ({"waveform": np.full((6, 32), np.inf)}, r"none of 6 rows can be used(?s:.*)not finite"),
        ({"animal": [[1, 2]] * 6}, r"animal has shape \(6, 2\); expected one value a row"),
        ({"isi": [1.0] * 6}, r"isi has shape \(6,\) of float64; expected numbers \(row, bin\)"),
        ({"waveform": np.array(["a", "b"])}, "holds <U1, not numbers"),
        ({"waveform": spikes()[..., :2]}, "2 time samples: at least 3 are needed"),
        ({"waveform": np.zeros((0, 2, 32))}, "none empty"),
        ({"animal": [1, 2]}, "animal has 2 rows, the waveforms have 6"),
        ({"isi": np.ones((5, 4))}, "isi has 5 rows, the waveforms have 6"),
        ({"rate_kHz": [20.0, 20, 20, 30, 30, 30]}, r"2 sampling rates are mixed \(20, 30 kHz\)"),
        ({"rate_kHz": 0.0}, "0.0 kHz is not a sampling rate"),
        ({"isi": np.full((6, 4), -1)}, r"isi with a count that is negative or not finite: row 0 \(unit 0\)"),
        ({"unit": [1, 1, 1, 2, 2, 2], "label": list("abbcdd")}, "spikes of units with several labels: unit 1, unit 2"),
    ],
)
def test_wrong_tables_are_named(tmp_path, columns, said):
    with pytest.raises(UserError, match=said) as error:
        waveforms.load(save(tmp_path / "bad.npz", **columns))
    assert "bad.npz" in str(error.value)


def test_bad_rows_are_left_out_and_told_in_one_list(tmp_path, capsys):
    waveform = spikes(9, 1)[:, 0]
    waveform[[1, 2, 3, 5]] = np.array([np.nan, 0, 7, np.inf])[:, None]
    waveform[7] = waveform[0]
    isi = np.ones((9, 4))
    isi[8, 2] = np.nan
    animal, label = list("aabbbccdd"), ["PV", "x", "y", "y", "PV ", "NA", " SST", "SST", "SST"]
    path = save(tmp_path / "a.npz", waveform=waveform, animal=animal, label=label, isi=isi)
    table = waveforms.load(path)
    np.testing.assert_array_equal(table.waveform[:, 0], waveform[[0, 4, 6]])
    assert (table.unit_names, table.animal_names, table.class_names) == (
        ("0", "4", "6"),
        ("a", "b", "c"),
        ("PV", "SST"),
    )
    assert (list(table.label), table.isi.shape, table.level) == ([0, 0, 1], (3, 4), "unit")
    said = capsys.readouterr().err
    assert said.count("a.npz") == 2  # what is left out, and what was read
    assert "6 of 9 rows are left out:" in said
    assert "not finite (NaN or infinite): row 1 (unit 1), row 5 (unit 5)\n" in said
    assert "constant on all channels: row 2 (unit 2), row 3 (unit 3)\n" in said
    assert "row 7 (unit 7) as row 0 (unit 0, labelled PV there and SST here)\n" in said
    assert "isi with a count that is negative or not finite: row 8 (unit 8)\n" in said


def test_unknown_words_blanks_and_single_values(tmp_path):
    label = np.array([b"PV ", b"NA", b" PV", b"n/a", b"SST", b"caf\xe9"])
    table = waveforms.load(save(tmp_path / "a.npz", label=label, animal="m1", session=[1.0, 2, np.inf, 1, 1, 1]))
    assert (table.class_names, list(table.label)) == (("PV", "SST", "caf\ufffd"), [0, -1, 0, -1, 1, 2])
    assert (table.animal_names, table.session_names) == (("m1",), ("1.0", "2.0", "inf"))


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.float64, (5, 4), elements=st.sampled_from([0.0, 1, -3, 2.5, np.nan, -np.inf, 1e300])))
def test_whatever_rows_are_bad_the_others_are_kept(waveform):
    good = [i for i, w in enumerate(waveform) if (np.abs(w) < 1e38).all() and np.ptp(w) > 0]
    first = [i for i in good if not any(np.array_equal(waveform[j], waveform[i]) for j in good if j < i)]
    if first:
        table = build(MADE, waveform, 20.0)
        np.testing.assert_array_equal(table.waveform[:, 0], waveform[first].astype(np.float32))
        assert table.unit_names == tuple(map(str, first))
    else:
        with pytest.raises(UserError, match="none of 5 rows can be used"):
            build(MADE, waveform, 20.0)


def test_positive_spikes_are_told_once_and_can_be_flipped(tmp_path, capsys):
    path = save(tmp_path / "a.npz", waveform=-spikes())
    upside_down = waveforms.load(path)
    said = capsys.readouterr().err
    assert said.count("100 % of the units are positive first: if they are upside down, give --flip") == 1
    flipped = waveforms.load(path, flip=True)
    said = capsys.readouterr().err
    np.testing.assert_array_equal(flipped.waveform, -upside_down.waveform)
    assert "0 % positive first, flipped" in said
    assert "give --flip" not in said
    waveforms.load(save(tmp_path / "b.npz", waveform=spikes() + 500))
    waveforms.load(save(tmp_path / "c.npz", waveform=np.concatenate([-spikes()[:3], spikes()[3:]])))
    assert "give --flip" not in capsys.readouterr().err


def test_units_whose_spikes_have_several_labels_are_left_out(tmp_path, capsys):
    columns = {"unit": [1, 1, 2, 2, 3, 3], "label": ["a", "NA", "b", "c", "d", "d"]}
    table = waveforms.load(save(tmp_path / "a.npz", **columns))
    assert (table.unit_names, table.class_names, table.left_out) == (("1", "3"), ("a", "d"), 2)
    assert "2 of 6 rows are left out:\n  spikes of units with several labels: unit 2\n" in capsys.readouterr().err


def test_what_was_read_is_told_and_recorded(tmp_path, capsys):
    waveform = spikes(14, 2)
    waveform[1:13] = np.nan
    contact_um = np.array([[0.0, 0], [0, 20]])
    path = save(
        tmp_path / "a.npz", waveform=waveform, label=["PV"] + ["NA"] * 13, producer="Sorter 2", contact_um=contact_um
    )
    with reading.recorded() as read:
        table = waveforms.load(path)
        waveforms.load(path)
    np.testing.assert_array_equal(table.contact_um, contact_um)
    facts = read.to_json()["sources"]
    assert [f["path"] for f in facts] == [str(path)]  # the second time says nothing new
    told = {"producer": "Sorter 2", "rows": 2, "left_out": 12, "units": 2, "animals": None, "sessions": None}
    told |= {"channels": 2, "times": 32, "rate_kHz": 20.0, "positive_first_percent": 0.0, "flipped": False}
    assert facts[0].items() >= (told | {"classes": {"PV": 1}, "without_label": 1, "contacts_um": True}).items()
    assert "row 10 (unit 10)" in read.notes[0]
    assert "row 12 (unit 12)" in read.notes[0]
    said = capsys.readouterr().err
    assert "row 10 (unit 10) and 2 more" in said
    assert (
        said.count("Sorter 2, 2 units; 2 channels x 32 times at 20 kHz, as stored, 0 % positive first; PV 1; 1 without")
        == 1
    )
    with reading.recorded(silent=True):
        waveforms.load(path)
    assert capsys.readouterr().err == ""
    table = build(MADE, spikes(), 20.0, contact_um=np.zeros((7, 2)))
    assert table.contact_um is None
    assert "made: 7 contact positions do not fit 2 channels, and are not used" in capsys.readouterr().err


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


@pytest.mark.parametrize("normalise", ["amplitude", "zscore", "none"])
def test_what_is_shown_is_what_a_model_sees_where_there_are_data(normalise):
    table = build(MADE, spikes(), 20.0, units="uV")  # troughs at sample 10 of 32
    options = UnitConfig(window_ms=(0.3, 1.3), normalise=normalise)
    shown, model = seen(options, table, 40.0), inputs(table, 40.0, (0.3, 1.3), normalise=normalise)
    there = np.isfinite(shown.waveform)
    np.testing.assert_array_equal(shown.waveform[there], model[there])
    assert there[:, :, : there.shape[2] // 2].all()
    assert not there[:, :, -5:].any()  # 1.1 ms after the trough the recording has ended, and its last value is held
    assert np.ptp(model[:, :, -5:], axis=2).max() == 0
    at = np.nanargmin(shown.waveform[:, 0], axis=1)
    assert np.abs(shown.time_ms[at]).max() < 0.06
    assert shown.time == "time from the trough (ms)"
    assert ("µV" in shown.scale) == (normalise == "none")


def test_a_shape_is_shown_until_the_waveform_ends():
    shown = seen(UnitConfig(inputs="shape"), build(MADE, spikes(times=20), 20.0))
    assert (shown.time_ms[0], np.round(shown.time_ms[-1], 2)) == (-0.25, 0.65)
    assert np.isfinite(shown.waveform[:, 0, :12]).all()
    assert np.isnan(shown.waveform[:, 0, -2:]).all()


def test_groups_are_called_what_they_are(tmp_path, capsys):
    path = eap_store.write(tmp_path / "eap.zarr", per_cell=5, grid=(3, 3))
    table = waveforms.load(path)
    assert (table.group_word, table.summary()["group"]) == ("cell model", "cell model")
    told = capsys.readouterr().err
    assert "40 units, 8 cell models;" in told
    assert "animal" not in told
    sessions = save(tmp_path / "sessions.npz", session=list("aabbcc"))
    assert waveforms.load(sessions).group_word == "session"
    assert "6 units, 3 sessions;" in capsys.readouterr().err
    assert waveforms.load(save(tmp_path / "animals.npz", animal=list("aabbcc"))).group_word == "animal"
    assert "6 units, 3 animals, 3 sessions;" in capsys.readouterr().err


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
