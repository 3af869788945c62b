"""Tables of waveforms in files that other programs write: gains, units, dimensions, text, MATLAB, archives."""

import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketype.datasets import waveforms
from spiketype.edge import UserError

FACTOR = {"V": 1e6, "mV": 1e3, "uV": 1, "µV": 1, "furlong": 1, None: 1}
NAMES = [
    ("unit", "channel", "time"),
    ("cell", "electrode", "sample"),
    ("sample", "contact", "time"),
    ("unit_id", None, "t"),
]


def made(rows=5, channels=3, times=20, seed=0):
    rng = np.random.default_rng(seed)
    shape = -80 * np.exp(-((np.arange(times) - 8) ** 2) / 6)
    return (np.linspace(1, 0.3, channels)[:, None] * shape + rng.normal(size=(rows, channels, times))).round(2)


def same(table, expected, **options):
    np.testing.assert_allclose(table.waveform, np.asarray(expected, np.float32), rtol=1e-6, **options)


def to_zarr(data, path, **options):
    """Write a store without what Zarr says of its format 3; reading must be quiet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.to_zarr(path, **options)


def outcome(path):
    """What a user sees of a file that may be damaged: the source of a table, or a message."""
    try:
        return str(waveforms.load(path, None, 20.0).source)
    except UserError as error:
        return str(error)


def test_a_packed_trough_is_its_value_and_a_fill_value_is_no_trough(tmp_path, capsys):
    values = made()
    values[1, 0, 8], values[2, 1, 3] = -82.0, np.nan
    packed = {"dtype": "int16", "scale_factor": 0.015, "add_offset": 1.2655, "_FillValue": -32768}
    data = xr.Dataset({"waveform": (("unit", "channel", "time"), values, {"units": "uV"})}, attrs={"rate_kHz": 20.0})
    to_zarr(data, tmp_path / "a.zarr", encoding={"waveform": packed})
    assert abs(int(zarr.open_group(tmp_path / "a.zarr")["waveform"][1, 0, 8]) + 5551) <= 1
    table = waveforms.load(tmp_path / "a.zarr")
    assert table.waveform[1, 0, 8] == pytest.approx(-82, abs=0.01)
    assert (table.units, table.unit_names) == ("uV", ("0", "1", "3", "4"))
    assert "1 of 5 rows are left out:\n  not finite (NaN or infinite): row 2 (unit 2)" in capsys.readouterr().err


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_stores_of_xarray_are_read_as_xarray_reads_them(tmp_path_factory, data):
    """Dtype, scale, fill value, order and names of dimensions, units and the format of Zarr are free."""
    path = tmp_path_factory.mktemp("xarray") / "a.zarr"
    dims = data.draw(st.sampled_from(NAMES))
    units = data.draw(st.sampled_from(list(FACTOR)))
    dtype = data.draw(st.sampled_from(["int16", "int32", "float32", "float64"]))
    per_uV = 1 / FACTOR[units]
    values = made(seed=data.draw(st.integers(0, 99))) * per_uV
    values = values[:, 0] if dims[1] is None else values
    dims = tuple(d for d in dims if d)
    missing = dtype != "int32" and data.draw(st.booleans())
    if missing:
        values[1, ..., 2] = np.nan
    encoding = {"dtype": dtype}
    if dtype.startswith("int"):
        encoding |= {"scale_factor": data.draw(st.floats(0.01, 0.4)) * per_uV, "_FillValue": -32768}
        encoding["add_offset"] = data.draw(st.floats(-50, 50)) * per_uV
    order = data.draw(st.permutations(dims))
    attrs = {} if units is None else {"units": units}
    label = np.array(list("abcab"), dtype=object)
    store = xr.Dataset(
        {"waveform": (dims, values, attrs), "label": (dims[0], label), "animal": (dims[0], np.arange(5))},
        coords={dims[-1]: (dims[-1], np.arange(20) / 25, {"units": "ms"}), dims[0]: np.arange(5) + 7},
    ).transpose(*order)
    to_zarr(store, path, encoding={"waveform": encoding}, zarr_format=data.draw(st.sampled_from([2, 3])))
    table = waveforms.load(path)
    with xr.open_zarr(path, decode_timedelta=False) as opened:
        expected = opened["waveform"].transpose(*dims).values.astype(np.float64) * FACTOR[units]
    expected = expected[:, None] if expected.ndim == 2 else expected
    kept = [0, 2, 3, 4] if missing else [0, 1, 2, 3, 4]
    np.testing.assert_allclose(table.waveform, expected[kept], rtol=1e-5, atol=1e-5)
    assert table.units == ("as stored" if units in (None, "furlong") else "uV")
    assert (table.rate_kHz, table.unit_names) == (25, tuple(str(k + 7) for k in sorted(kept, key=lambda k: str(k + 7))))
    assert [table.class_names[k] for k in table.label] == [label[k] for k in kept]


def test_dimensions_that_say_no_order_are_refused(tmp_path):
    for k, dims in enumerate(
        (("unit", "x", "time"), ("channel", "time"), ("unit", "cell", "time"), ("sample", "channel"))
    ):
        to_zarr(xr.Dataset({"waveform": (dims, np.ones((4,) * len(dims)))}), tmp_path / f"{k}.zarr")
        with pytest.raises(UserError, match=r"rename them to unit, channel and time"):
            waveforms.load(tmp_path / f"{k}.zarr", None, 20.0)


def test_a_name_without_end_is_cut_in_a_message(tmp_path):
    columns = {"waveform": (("unit", "time"), np.ones((4, 20))), "unit": (("x" * 30_000,), np.arange(3))}
    to_zarr(xr.Dataset(columns), tmp_path / "a.zarr")
    with pytest.raises(UserError, match=r"unit has dimensions \('xxx.*, none of them 'unit'") as refused:
        waveforms.load(tmp_path / "a.zarr", None, 20.0)
    assert len(str(refused.value)) < 500


def test_units_that_are_unknown_are_said(tmp_path, capsys):
    store = xr.Dataset({"waveform": (("unit", "time"), made()[:, 0], {"units": "furlong"})}, attrs={"rate_Hz": 20_000})
    to_zarr(store, tmp_path / "a.zarr")
    table = waveforms.load(tmp_path / "a.zarr")
    assert (table.units, table.rate_kHz) == ("as stored", 20)
    assert "units 'furlong' are unknown: its waveforms are taken as stored" in capsys.readouterr().err


def test_attributes_of_arrays_without_named_dimensions_count_too(tmp_path):
    group = zarr.create_group(tmp_path / "a.zarr", attributes={"rate_kHz": 20.0, "units": "mV"})
    counts = np.round(made() * 10).astype(np.int16)
    group.create_array("waveform", data=counts, attributes={"scale_factor": 1e-4, "add_offset": 0.0})
    same(waveforms.load(tmp_path / "a.zarr"), counts * 0.1)


def test_two_rates_that_contradict_each_other_are_refused(tmp_path, capsys):
    time = ("time", np.arange(20) / 30, {"units": "ms"})
    store = xr.Dataset({"waveform": (("unit", "time"), made()[:, 0])}, {"time": time}, {"rate_kHz": 20.0})
    to_zarr(store, tmp_path / "a.zarr")
    with pytest.raises(UserError, match="says 20 kHz, its times 30 kHz: give the right one with --rate-khz"):
        waveforms.load(tmp_path / "a.zarr")
    assert waveforms.load(tmp_path / "a.zarr", None, 30.0).rate_kHz == 30
    assert "--rate-khz 30 is used" in capsys.readouterr().err


def test_damaged_groups_give_a_message(tmp_path):
    to_zarr(xr.Dataset({"waveform": (("unit", "time"), made()[:, 0])}), tmp_path / "a.zarr")
    for file in [p for p in (tmp_path / "a.zarr").rglob("*") if p.is_file()]:
        before = file.read_bytes()
        for content in (b"", b"{}", b"[1]", b"\xff" + before, before[: len(before) // 2]):
            file.write_bytes(content)
            assert "a.zarr" in outcome(tmp_path / "a.zarr")
        file.write_bytes(before)


@pytest.mark.parametrize("gain", [0.195, [0.5, 1, 2], [1.0, 2, 3, 4, 5], [[0.195]], -1.0])
def test_a_gain_is_applied(tmp_path, gain):
    counts = np.round(made() * 5).astype(np.int16)
    np.savez(tmp_path / "a.npz", waveform=counts, gain=gain, rate_kHz=20.0)
    table = waveforms.load(tmp_path / "a.npz")
    scale = np.asarray(gain)
    same(table, counts * (scale[:, None] if scale.size == 3 else scale.reshape(-1, 1, 1)))
    assert table.units == "uV"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"gain": 0.0}, "gain must be numbers other than 0"),
        ({"gain": [1.0, 2]}, r"gain has shape \(2,\); expected one for all"),
        ({"gain": 0.195, "units": "uV"}, "remove the gain if they are, or the units if they are counts"),
        ({"units": np.array(["uV", "mV", "uV", "uV", "uV"])}, "waveforms in 2 units are mixed"),
        ({"rate_kHz": 30000.0}, "30000 kHz: was Hz meant. give --rate-khz 30"),
        ({"rate_kHz": np.array("x")}, "rate_kHz is not a number"),
        ({"rate_Hz": 20.0}, "20 Hz: was kHz meant. give --rate-khz 20"),
        ({"rate_kHz": 20.0, "rate_Hz": 30_000}, r"2 sampling rates are mixed \(20, 30 kHz\)"),
        ({"rate_kHz": 20.0, "animal": np.array({})}, "without pickles"),
    ],
)
def test_doubts_are_refused(tmp_path, columns, said):
    np.savez(tmp_path / "a.npz", waveform=made(), **columns)
    with pytest.raises(UserError, match=said):
        waveforms.load(tmp_path / "a.npz")


def test_the_rate_that_a_message_asks_for_helps(tmp_path, capsys):
    for columns in ({"rate_kHz": 30000.0}, {"rate_Hz": 30.0}, {"rate_kHz": 0.0}):
        np.savez(tmp_path / "a.npz", waveform=made(), **columns)
        assert waveforms.load(tmp_path / "a.npz", None, 30.0).rate_kHz == 30
        assert "--rate-khz 30 is used" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"--rate-khz: 30000 kHz: was Hz meant. give --rate-khz 30"):
        waveforms.load(tmp_path / "a.npz", None, 30_000.0)
    np.savez(tmp_path / "b.npz", waveform=made(), rate_Hz=30_000, units="mV")
    table = waveforms.load(tmp_path / "b.npz")
    assert table.rate_kHz == 30
    same(table, made() * 1000)


def test_npy(tmp_path):
    for values in (made(), made()[:, 0]):
        np.save(tmp_path / "a.npy", values)
        same(waveforms.load(tmp_path / "a.npy", None, 20.0), values.reshape(5, -1, 20))
    with pytest.raises(UserError, match="does not say its sampling rate"):
        waveforms.load(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array([{}, None]), allow_pickle=True)
    np.save(tmp_path / "c.npy", np.array([("a", 1)], dtype=[("a", "U1"), ("b", int)]))
    for name, said in (("b", r"\(pickles\), which are not read"), ("c", "not numbers")):
        with pytest.raises(UserError, match=said):
            waveforms.load(tmp_path / f"{name}.npy")


def frame(prefix="t", **columns):
    return pd.DataFrame(made()[:, 0], columns=[f"{prefix}{k}" for k in range(20)]).assign(**columns)


@pytest.mark.parametrize("options", [{}, {"sep": ";", "decimal": ","}, {"sep": "\t"}, {"encoding": "utf-8-sig"}])
@pytest.mark.parametrize("prefix", ["t", "", "wf_", "wf-", "ch1 t."])
@pytest.mark.parametrize("index", [True, False])
def test_csv_with_names(tmp_path, options, prefix, index):
    table = frame(
        prefix, label=["PV", "PV ", "NA", "", "SST"], animal=["1", "1", "2", "2", "10"], depth=[5, 4, 3, 2, 1]
    )
    table.to_csv(tmp_path / "a.csv", index=index, **options)
    found = waveforms.load(tmp_path / "a.csv", None, 20.0)
    same(found, made()[:, :1])
    assert (found.class_names, list(found.label)) == (("PV", "SST"), [0, 0, -1, -1, 1])
    assert list(found.animal) == [0, 0, 2, 2, 1]


def test_csv_without_names_and_with_times_as_names(tmp_path, capsys):
    np.savetxt(tmp_path / "a.csv", made()[:, 0], delimiter=",")
    same(waveforms.load(tmp_path / "a.csv", None, 20.0), made()[:, :1])
    table = pd.DataFrame(made()[:, 0], columns=[f"{k / 20 - 0.4:.2f}" for k in range(20)])
    table.insert(0, "rate_Hz", 20_000)
    for prefix in ("", "t", "wf "):
        named = table.rename(columns=lambda name, p=prefix: name if name == "rate_Hz" else f"{p}{name}")
        named.sample(frac=1, axis=1, random_state=1).to_csv(tmp_path / "b.csv", index=False)
        same(waveforms.load(tmp_path / "b.csv"), made()[:, :1])
    table = frame(type=list("aabbc"), PC1=[1, 2, 3, 4, 5], PC2=0, PC3=1)
    table.to_csv(tmp_path / "c.csv")
    found = waveforms.load(tmp_path / "c.csv", "type", 20.0)
    same(found, made()[:, :1])
    assert found.class_names == ("a", "b", "c")
    said = capsys.readouterr().err
    assert "t0 to t19 are times; not used: PC1, PC2, PC3" in said
    assert "its first column, which has no name, is taken for the units' names" in said


def test_csv_whose_order_is_in_doubt_is_refused(tmp_path):
    two = frame("a").join(frame("b"))
    missing = frame().drop(columns="t7")
    nameless = pd.concat([pd.Series(list("abcab"), name="x"), frame()], axis=1)
    for table, said, options in (
        (two, "columns 'a0' and 'b0' both count", {}),
        (missing, "columns 't6' and 't8' are not in even steps: a time is missing", {}),
        (nameless, "the first line has no names", {"header": False}),
        (frame().iloc[:, :2], "2 columns of numbers: at least 3 times are needed", {}),
    ):
        table.to_csv(tmp_path / "a.csv", index=False, **options)
        with pytest.raises(UserError, match=said):
            waveforms.load(tmp_path / "a.csv", None, 20.0)


def test_csv_cells_that_are_no_numbers_cost_a_row(tmp_path, capsys):
    table = frame().astype(str)
    table.iloc[1, 4], table.iloc[3, 0] = "1.2a", ""
    table.to_csv(tmp_path / "a.csv", index=False)
    found = waveforms.load(tmp_path / "a.csv", None, 20.0)
    same(found, made()[[0, 2, 4], :1])
    assert "row 1 (unit 1), row 3 (unit 3)" in capsys.readouterr().err


@settings(max_examples=40, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text("0123456789,;\t\n\"'eE.-ax", max_size=200).map(str.encode)))
@pytest.mark.parametrize("suffix", [".csv", ".npy", ".mat", ".zip"])
def test_any_bytes_give_a_table_or_a_message(tmp_path_factory, suffix, content):
    path = tmp_path_factory.mktemp("bytes") / f"a{suffix}"
    path.write_bytes(content)
    assert path.name in outcome(path)


def cells(words):
    found = np.empty((len(words), 1), object)
    found[:, 0] = words
    return found


def hdf5(path, **columns):
    """Write as MATLAB 7.3 does: HDF5 after 512 bytes, dimensions reversed, text as numbers, cells as references."""
    with h5py.File(path, "w", userblock_size=512) as file:

        def put(name, value, group=file):
            if isinstance(value, str):
                item = group.create_dataset(name, data=np.array([[ord(c)] for c in value], np.uint16))
                item.attrs["MATLAB_class"] = np.bytes_(b"char")
            elif isinstance(value, np.ndarray) and value.dtype == object:
                parts = [put(f"{name}{k}", v, file.require_group("#refs#")).ref for k, v in enumerate(value.flat)]
                item = group.create_dataset(name, data=np.array(parts, h5py.ref_dtype).reshape(value.shape[::-1]))
                item.attrs["MATLAB_class"] = np.bytes_(b"cell")
            else:
                item = group.create_dataset(name, data=np.atleast_2d(np.asarray(value, float)).T)
                item.attrs["MATLAB_class"] = np.bytes_(b"double")
            return item

        for name, value in columns.items():
            put(name, value)


@pytest.mark.parametrize("write", [lambda p, **c: scipy.io.savemat(p, c), hdf5])
@pytest.mark.parametrize("rows", [5, 1])
def test_matlab_matrices(tmp_path, write, rows):
    waveform = made(rows)
    columns = {
        "label": cells(["PV", "SST", "PV ", "NA", "SST"][:rows]),
        "animal": np.arange(rows)[:, None],
        "isi": np.arange(4 * rows).reshape(rows, 4),
    }
    write(tmp_path / "a.mat", waveform=waveform, rate_kHz=20.0, units="mV", **columns)
    table = waveforms.load(tmp_path / "a.mat")
    same(table, waveform * 1000)
    assert [(*table.class_names, "?")[k] for k in table.label] == ["PV", "SST", "PV", "?", "SST"][:rows]
    assert (table.rate_kHz, table.units, table.animal_names) == (20, "uV", tuple(map(str, range(rows))))
    np.testing.assert_array_equal(table.isi, columns["isi"])
    write(tmp_path / "b.mat", WF=waveform[:, 0], rate_Hz=20_000.0, celltype=columns["label"])
    if rows > 1:
        table = waveforms.load(tmp_path / "b.mat", "celltype")
        same(table, waveform[:, :1])
        assert table.class_names == ("PV", "SST")
        write(tmp_path / "c.mat", a=waveform[:, 0], b=waveform[:, 0], text="x")
        with pytest.raises(UserError, match="has no array 'waveform'; it has a, b, text"):
            waveforms.load(tmp_path / "c.mat")


def zipped(path: Path, *inside: Path, folder=""):
    with zipfile.ZipFile(path, "w") as archive:
        for top in inside:
            for file in [top] if top.is_file() else [p for p in top.rglob("*") if p.is_file()]:
                archive.write(file, f"{folder}{file.relative_to(top.parent if top.is_file() or folder else top)}")
        archive.writestr("__MACOSX/._a.npz", b"x")
    return path


def test_archives(tmp_path, capsys):
    values = made()
    values[3] = 0
    np.savez(tmp_path / "a.npz", waveform=values, rate_kHz=20.0)
    np.savez(tmp_path / "b.npz", waveform=values, rate_kHz=20.0)
    store = xr.Dataset({"waveform": (("time", "unit"), values[:, 0].T)}, attrs={"rate_kHz": 20.0})
    to_zarr(store, tmp_path / "c.zarr")
    for path in (
        zipped(tmp_path / "1.zip", tmp_path / "a.npz", folder="x/"),
        zipped(tmp_path / "2.zip", tmp_path / "c.zarr", folder="x/"),
        zipped(tmp_path / "3.zip", tmp_path / "c.zarr"),
        (tmp_path / "b.npz").rename(tmp_path / "4.zip"),
    ):
        table = waveforms.load(path)
        same(table, values[[0, 1, 2, 4], : table.waveform.shape[1]])
        assert table.source == path
        said = capsys.readouterr().err
        assert f"{path}" in said
        assert "/tmp" not in said.replace(str(tmp_path), "")
    with pytest.raises(UserError, match=r"5\.zip holds 2 tables \(a\.npz, c\.zarr"):
        waveforms.load(zipped(tmp_path / "5.zip", tmp_path / "a.npz", tmp_path / "c.zarr", folder="./"))
    with pytest.raises(UserError, match=r"6\.zip holds no Zarr group and no file"):
        waveforms.load(zipped(tmp_path / "6.zip"))
    np.savez(tmp_path / "d.npz", waveform=values)
    with pytest.raises(UserError, match=r"7\.zip/d\.npz does not say its sampling rate"):
        waveforms.load(zipped(tmp_path / "7.zip", tmp_path / "d.npz"))


@pytest.mark.parametrize("channels", [4, 6, 32, 64])
def test_times_before_channels_are_refused_where_nothing_names_the_axes(tmp_path, channels):
    """Probes of any number of channels, the peak on a channel of its own or always on the middle one."""
    rng = np.random.default_rng(1)
    time = np.arange(48) - 16
    for centred in (False, True):
        peak = np.full(40, channels // 2) if centred else rng.integers(0, channels, 40)
        width = rng.uniform(2, 4, (40, 1, 1))
        shape = -np.exp(-((time / width) ** 2)) + 0.4 * np.exp(-(((time - 9) / width) ** 2) / 4)
        size = np.exp(-np.abs(np.arange(channels) - peak[:, None]) / rng.uniform(0.7, 2, (40, 1)))
        x = 100 * size[:, :, None] * shape + rng.normal(size=(40, channels, 48))
        np.savez(tmp_path / "right.npz", waveform=x, rate_kHz=30.0)
        assert waveforms.load(tmp_path / "right.npz").waveform.shape == x.shape
        if channels >= 32:
            np.savez(tmp_path / "wrong.npz", waveform=x.swapaxes(1, 2), rate_kHz=30.0)
            if channels < 48 or not centred:
                with pytest.raises(UserError, match=r"they look like \(row, time, channel\)(?s:.*)swapaxes"):
                    waveforms.load(tmp_path / "wrong.npz")


def test_channels_that_are_copies_or_sorted_by_size_are_channels(tmp_path):
    """Where rows have their troughs at places of their own."""
    rng = np.random.default_rng(1)
    time = np.arange(40) - rng.integers(10, 20, (40, 1))
    one = -100 * np.exp(-((time / 3.0) ** 2)) + rng.normal(size=(40, 40))
    alike = one[:, None] * np.array([1, 0.85, 0.7, 0.6])[:, None] + rng.normal(size=(40, 4, 40))
    for x in (np.stack([one, one], axis=1), alike):
        np.savez(tmp_path / "right.npz", waveform=x, rate_kHz=30.0)
        assert waveforms.load(tmp_path / "right.npz").waveform.shape == x.shape


def test_noise_of_curators_and_numbers_of_spikes_in_any_table(tmp_path, capsys):
    columns = {"quality": np.array(["good", "noise", "mua", "good", "good"]), "n_spikes": np.arange(5)}
    np.savez(tmp_path / "a.npz", waveform=made(), rate_kHz=20.0, **columns)
    table = waveforms.load(tmp_path / "a.npz")
    assert table.spikes.tolist() == [0, 2, 3, 4]
    said = capsys.readouterr().err
    assert "noise, by quality: row 1" in said
    assert "1 units are multi-unit activity, by quality" in said


@pytest.mark.parametrize(
    ("column", "word"), [("quality", "artifact"), ("bombcell_label", "noise"), ("unitrefine_label", "noise")]
)
def test_what_spikeinterface_calls_no_unit_is_left_out(tmp_path, capsys, column, word):
    words = np.array(["good", word, "good", "good", "good"])
    np.savez(tmp_path / "a.npz", waveform=made(), rate_kHz=20.0, **{column: words})
    assert len(waveforms.load(tmp_path / "a.npz").waveform) == 4
    assert f"by {column}: row 1" in capsys.readouterr().err
