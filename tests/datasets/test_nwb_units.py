"""NWB units: files that pynwb and AllenSDK write, against what pynwb reads from them; and files with faults."""

import contextlib
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spiketype.datasets import piped, waveforms
from spiketype.datasets.waveforms import histograms, nwb
from spiketype.edge import UserError
from tests.datasets import nwb_units


def trains(count, seed=0):
    rng = np.random.default_rng(seed)
    return [np.sort(rng.uniform(0, 20, rng.integers(0, 300))) for _ in range(count)]


def same(table, path, kept=None, factor=1e6):
    """Compare a table with all that pynwb says, for units whose electrodes are the table's channels."""
    each, about = nwb_units.read(path)
    kept = range(len(each)) if kept is None else kept
    for row, unit in enumerate(kept):
        mean, times_s, _ = each[unit]
        mean = mean[:, None] if mean.ndim == 1 else mean
        np.testing.assert_array_equal(table.waveform[row], (mean.T.astype(np.float64) * factor).astype(np.float32))
        if times_s is not None:
            times_ms = np.sort(times_s) * 1e3
            np.testing.assert_array_equal(table.isi[row], histograms.isi_histogram(times_ms))
            np.testing.assert_array_equal(table.autocorrelogram[row], histograms.autocorrelogram(times_ms))
    assert [table.unit_names[k] for k in table.unit] == [str(about["id"][k]) for k in kept]
    assert table.rate_kHz == about["rate_Hz"] / 1e3
    assert (table.animal_names, table.session_names) == ((about["subject"],), (about["session"],))
    return about


def test_a_table_as_the_schema_has_it(tmp_path, capsys):
    kinds = ["PV", "SST", "", "PV ", "n/a"]
    good = [True, False, True, True, True]
    file = nwb_units.add(
        nwb_units.new(),
        nwb_units.spikes((5, 40, 4)),
        [range(4)] * 5,
        trains(5),
        id=[3, 7, 8, 10, 99],
        kind=kinds,
        ok=good,
    )
    path = nwb_units.write(tmp_path / "a.nwb", file)
    table = waveforms.load(path, "kind")
    about = same(table, path)
    assert (table.units, table.class_names, table.label.tolist()) == ("uV", ("PV", "SST"), [0, 1, -1, 0, -1])
    np.testing.assert_array_equal(table.contact_um, about["position"])
    assert table.producer.startswith("NWB 2.")
    assert table.origin == ("Mus musculus", "area0")
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1, said  # nothing was doubtful
    assert waveforms.load(path, "ok").class_names == ("False", "True")
    assert waveforms.load(path, "location").class_names == ("area0",)
    assert waveforms.load(path).class_names == ()
    with pytest.raises(UserError, match=r"has no column 'x'; it has kind, ok, group \(of electrodes\)"):
        waveforms.load(path, "x")


def test_one_channel_and_no_electrodes_and_another_rate(tmp_path):
    file = nwb_units.add(nwb_units.new(()), nwb_units.spikes((4, 30, 1))[..., 0], rate_Hz=24_414.0625, times=trains(4))
    path = nwb_units.write(tmp_path / "a.nwb", file)
    table = waveforms.load(path)
    same(table, path)
    assert (table.waveform.shape, table.contact_um) == ((4, 1, 30), None)


def test_the_largest_channel_of_each_unit_stays_one_channel_and_says_where_it_is(tmp_path):
    mean = nwb_units.spikes((4, 30, 1))[..., 0]
    path = nwb_units.write(tmp_path / "a.nwb", nwb_units.add(nwb_units.new((2, 2)), mean, [[0], [3], [1], [2]]))
    table = waveforms.load(path, "location")
    assert table.waveform.shape == (4, 1, 30)
    assert [table.class_names[k] for k in table.label] == ["area0", "area1", "area0", "area1"]


def test_units_on_tetrodes_have_the_channels_of_their_own(tmp_path, capsys):
    own = [range(4), range(4, 8), range(4), range(4, 8)]
    file = nwb_units.add(nwb_units.new((4, 4)), nwb_units.spikes((4, 30, 4)), own, trains(4))
    path = nwb_units.write(tmp_path / "a.nwb", file)
    table = waveforms.load(path, "location")
    same(table, path)
    assert table.contact_um is None
    assert [table.class_names[k] for k in table.label] == ["area0", "area1", "area0", "area1"]
    assert "units have the channels of their own group" in capsys.readouterr().err


@pytest.mark.parametrize("padding", [0, np.nan])
def test_sparse_units_are_zero_on_the_electrodes_of_others(tmp_path, capsys, padding):
    own = [[0, 1, 2], [5, 4], [2, 3, 4], [4, 5]]
    mean = nwb_units.spikes((4, 30, 3))
    for k, electrodes in enumerate(own):
        mean[k][:, len(electrodes) :] = padding
    path = nwb_units.write(tmp_path / "a.nwb", nwb_units.add(nwb_units.new((6,)), mean, own))
    table = waveforms.load(path)
    each, about = nwb_units.read(path)
    right = np.zeros((4, 6, 30))
    for k, (block, _, electrodes) in enumerate(each):
        right[k][electrodes] = block.T[: len(electrodes)]
    np.testing.assert_array_equal(table.waveform, (right * 1e6).astype(np.float32))
    np.testing.assert_array_equal(table.contact_um, about["position"])
    assert "units have electrodes of their own: on the others of 6 channels they are 0" in capsys.readouterr().err


def test_units_of_fewer_electrodes_on_which_all_agree(tmp_path):
    mean = nwb_units.spikes((3, 30, 2))
    path = nwb_units.write(tmp_path / "a.nwb", nwb_units.add(nwb_units.new((6,)), mean, [[4, 1]] * 3))
    table = waveforms.load(path)
    same(table, path)
    np.testing.assert_array_equal(table.contact_um, nwb_units.read(path)[1]["position"][[4, 1]])


def test_channels_before_times_are_told_by_the_electrodes_or_refused(tmp_path, capsys):
    mean = nwb_units.spikes((3, 30, 4)).swapaxes(1, 2)
    path = nwb_units.write(tmp_path / "a.nwb", nwb_units.add(nwb_units.new(), mean, [range(4)] * 3))
    np.testing.assert_array_equal(waveforms.load(path).waveform, (mean * np.float64(1e6)).astype(np.float32))
    assert "waveform_mean is (unit, channel, time), as the electrodes of the units say" in capsys.readouterr().err
    for electrodes in (None, [[2], [0], [1]]):
        path = nwb_units.write(tmp_path / "b.nwb", nwb_units.add(nwb_units.new(), mean, electrodes))
        with pytest.raises(UserError, match=r"\(4, 30\) of a unit's waveform_mean does not say which are channels"):
            waveforms.load(path)


def allen(path, blocks, probes=(30_000.0,)):
    """A file by AllenSDK's own functions: ragged blocks (channel, time), rates on the probes."""
    from spiketype.datasets.allen.download import allensdk

    allensdk()
    from allensdk.brain_observatory.ecephys import nwb_util

    count = len(blocks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = nwb_units.new((), session="715093703")
        for k, rate in enumerate(probes):
            *_, group = nwb_util.add_probe_to_nwbfile(file, k, rate, 1250.0, True, f"probe{k}")
            for e in range(3):
                file.add_electrode(id=900 + 10 * k + e, group=group, location=f"VIS{e}")
        frame = pd.DataFrame(
            {"quality": ["good"] * count, "peak_channel_id": [901] * count}, index=range(50, 50 + count)
        )
        frame.index.name = "id"
        nwb_util_units = nwb_units.pynwb.misc.Units.from_dataframe(frame, name="units")
        file.units = nwb_util_units
        data = dict(zip(frame.index, trains(count), strict=True)), dict(zip(frame.index, blocks, strict=True))
        for name, values in zip(("spike_times", "waveform_mean"), data, strict=True):
            nwb_util.add_ragged_data_to_dynamic_table(file.units, values, name, "of a test")
    return nwb_units.write(path, file)


def test_allensdk_writes_a_row_a_channel_in_microvolts(tmp_path, capsys):
    pytest.importorskip("allensdk", reason="needs allensdk: uv sync --extra allen")
    blocks = [b.T for b in nwb_units.spikes((5, 82, 3), scale=100.0)]
    blocks[3] = blocks[3][:2]
    path = allen(tmp_path / "a.nwb", blocks)
    table = waveforms.load(path, "location")
    each, about = nwb_units.read(path)
    kept = [0, 1, 2, 4]
    for row, unit in enumerate(kept):
        np.testing.assert_array_equal(each[unit][0], blocks[unit].astype(np.float64))
        np.testing.assert_array_equal(table.waveform[row], each[unit][0].astype(np.float32))
        np.testing.assert_array_equal(table.isi[row], histograms.isi_histogram(each[unit][1] * 1e3))
    assert (about["unit"], table.units, table.rate_kHz) == ("volts", "uV", 30.0)
    assert (table.unit_names, table.class_names) == (("50", "51", "52", "54"), ("VIS1",))
    said = capsys.readouterr().err
    assert "unit 53 left out: 2 channels, others have 3" in said
    assert "says volts, but its producer writes uV" in said
    assert "30000 Hz of the probes is taken" in said
    with pytest.raises(UserError, match="does not say its sampling rate"):  # which probe a unit is of is not asked
        waveforms.load(allen(tmp_path / "b.nwb", blocks, (30_000.0, 29_999.9)))


def test_an_index_that_starts_again_is_refused_and_for_spikes_only_said(tmp_path, capsys):
    pytest.importorskip("allensdk", reason="needs allensdk: uv sync --extra allen")
    path = allen(tmp_path / "a.nwb", [b.T for b in nwb_units.spikes((4, 82, 3), scale=100.0)])

    def again(name):
        def change(file):
            ends = file[f"units/{name}_index"][()]
            ends[2:] -= ends[1]
            file[f"units/{name}_index"][...] = ends

        return change

    nwb_units.edit(path, again("spike_times"))
    assert waveforms.load(path).isi is None
    assert "no histograms: spike_times_index does not ascend" in capsys.readouterr().err
    with pytest.raises(UserError, match="waveform_mean_index does not ascend to the 12 rows"):
        waveforms.load(nwb_units.edit(path, again("waveform_mean")))


@pytest.mark.parametrize(
    ("unit", "scale", "script", "units", "factor", "said"),
    [
        ("volts", 1e-4, None, "uV", 1e6, ""),
        ("microvolts", 100.0, None, "uV", 1.0, ""),
        ("mV", 0.1, None, "uV", 1e3, ""),
        ("volts", 100.0, "Created using NeuroConv v0.6.4", "uV", 1.0, "says volts, but its producer writes uV"),
        ("volts", 100.0, None, "as stored", 1.0, "cannot be in volts: waveforms are taken as stored"),
        ("volts", 1.0, "Created using NeuroConv v0.6.4", "as stored", 1.0, "cannot be in volts"),
        ("microvolts", 1e-4, None, "as stored", 1.0, "cannot be in microvolts"),
        ("bits", 100.0, None, "as stored", 1.0, "unknown units bits"),
    ],
)
def test_units_are_taken_where_the_amplitude_can_be_in_them(tmp_path, capsys, unit, scale, script, units, factor, said):
    about = {} if script is None else {"source_script": script, "source_script_file_name": "a.py"}
    mean = nwb_units.spikes((4, 30, 4), scale=scale)
    if unit == "volts" and scale == 1.0:
        mean *= 0.3
    path = nwb_units.write(
        tmp_path / "a.nwb", nwb_units.add(nwb_units.new(**about), mean, [range(4)] * 4, trains(4), unit=unit)
    )
    table = waveforms.load(path)
    assert table.units == units
    same(table, path, factor=factor)
    printed = capsys.readouterr().err
    assert said in printed
    assert len(printed.splitlines()) == 1 + bool(said)
    assert ("NeuroConv v0.6.4" in table.producer) == (script is not None)


def test_units_that_cannot_be_read_are_left_out_and_listed(tmp_path, capsys):
    own = [[0, 1, 2], [0, 1, 2], [0, 1], [2, 2, 1], [0, 1, 2], [], [1, 0, 2], [0, 1, 2]]
    mean, times = nwb_units.spikes((8, 30, 3)), trains(8)
    mean[1] = np.nan
    times[4] = np.array([0.1, np.nan])
    times[1] = np.array([0.1, 1e300])
    path = nwb_units.write(tmp_path / "a.nwb", nwb_units.add(nwb_units.new((3,)), mean, own, times))
    nwb_units.edit(
        path, lambda file: file["units/electrodes"].write_direct(np.array([77], np.int32), dest_sel=np.s_[-1:])
    )
    table = waveforms.load(path)
    assert table.unit_names == ("0", "6")
    np.testing.assert_array_equal(table.waveform[1], (mean[6].T[[1, 0, 2]] * np.float64(1e6)).astype(np.float32))
    said = capsys.readouterr().err
    for why in (
        "unit 2 left out: 2 electrodes, but 3 channels",
        "unit 3 left out: an electrode twice",
        "unit 1 left out: spike times that no recording has",
        "unit 4 left out: spike times that are not finite",
        "unit 5 left out: no electrodes",
        "unit 7 left out: an electrode that is not in the table",
    ):
        assert why in said
    mean[:] = np.nan
    path = nwb_units.write(tmp_path / "b.nwb", nwb_units.add(nwb_units.new((3,)), mean))
    with pytest.raises(UserError, match=r"none of 8 rows can be used"):
        waveforms.load(path)


def test_electrodes_that_are_only_the_largest_channel(tmp_path, capsys):
    mean = nwb_units.spikes((3, 30, 4))
    path = nwb_units.write(tmp_path / "a.nwb", nwb_units.add(nwb_units.new(), mean, [[1], [0], [3]]))
    same(waveforms.load(path), path)  # all four electrodes
    path = nwb_units.write(tmp_path / "b.nwb", nwb_units.add(nwb_units.new((9,)), mean, [[1], [0], [3]]))
    table = waveforms.load(path)
    same(table, path)
    assert table.contact_um is None
    assert "electrodes are not those of the 4 channels, which are taken as stored" in capsys.readouterr().err


def test_ids_that_occur_twice_stay_two_units(tmp_path, capsys):
    mean = nwb_units.spikes((3, 30, 4))
    path = nwb_units.write(tmp_path / "a.nwb", nwb_units.add(nwb_units.new(), mean))
    nwb_units.edit(path, lambda file: file["units/id"].write_direct(np.array([4, 4, 5])))
    table = waveforms.load(path)
    assert (table.unit_names, table.level) == (("4.0", "4.1", "5"), "unit")
    assert "ids of units occur twice" in capsys.readouterr().err


def test_a_folder_of_sessions_has_their_animals(tmp_path, capsys):
    for k, (subject, session, rate) in enumerate(
        [("m1", "a", 3e4), ("m1", "b", 3e4), ("m2", "a", 3e4), (None, "c", 3e4)]
    ):
        (tmp_path / f"sub-{subject}").mkdir(exist_ok=True)
        file = nwb_units.new(subject=subject, session=session)
        nwb_units.add(file, nwb_units.spikes((3, 30, 4), seed=k), times=trains(3), rate_Hz=rate, kind=["x", "y", "x"])
        nwb_units.write(tmp_path / f"sub-{subject}" / f"{session}.nwb", file)
    longer = nwb_units.add(nwb_units.new(subject="m3"), nwb_units.spikes((2, 31, 4)), kind=["x", "y"])
    nwb_units.write(tmp_path / "longer.nwb", longer)
    unlabelled = nwb_units.add(nwb_units.new(subject="m4"), nwb_units.spikes((2, 30, 4)))
    nwb_units.write(tmp_path / "unlabelled.nwb", unlabelled)
    no_rate = nwb_units.add(nwb_units.new(subject="m5"), nwb_units.spikes((2, 30, 4)), rate_Hz=None, kind=["x", "y"])
    nwb_units.write(tmp_path / "no_rate.nwb", no_rate)
    (tmp_path / "cut.nwb").write_bytes((tmp_path / "longer.nwb").read_bytes()[:9000])
    (tmp_path / "._cut.nwb").write_bytes(b"")
    table = waveforms.load(tmp_path, "kind")
    assert (len(table.waveform), table.animal_names) == (12, ("c", "m1", "m2"))
    assert table.session_names == ("c/c", "m1/a", "m1/b", "m2/a")
    assert (len(table.unit_names), table.level, table.label.tolist()) == (12, "unit", [0, 1, 0] * 4)
    assert table.contact_um is not None
    said = capsys.readouterr().err
    for why in (
        "longer.nwb left out: 4 channels x 31 times, uV; most units have 4 x 30",
        "unlabelled.nwb has no column 'kind'",
        "no_rate.nwb left out: it does not say its sampling rate",
        "cut.nwb cannot be read as NWB",
        "c.nwb names no subject: its session stands for the animal",
    ):
        assert why in said, said
    with pytest.raises(
        UserError, match=r"none of its 8 NWB files can be read, such as: .*cut.nwb cannot be read .*; .*has no column"
    ):
        waveforms.load(tmp_path, "nothing")


def test_a_session_in_two_files_has_both_files_units(tmp_path):
    for k in range(2):
        file = nwb_units.add(nwb_units.new(), nwb_units.spikes((2, 30, 4), seed=k))
        nwb_units.write(tmp_path / f"probe{k}.nwb", file)
    table = waveforms.load(tmp_path)
    assert table.unit_names == ("probe0/0", "probe0/1", "probe1/0", "probe1/1")
    assert (table.level, table.session_names) == ("unit", ("s1",))


def test_units_among_processed_data(tmp_path, capsys):
    file = nwb_units.new()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        units = nwb_units.pynwb.misc.Units(name="sorted", waveform_rate=2e4)
        for waveform in nwb_units.spikes((3, 30, 4)):
            units.add_unit(waveform_mean=waveform, spike_times=[0.1])
        file.create_processing_module("ecephys", "of a test").add(units)
        file.add_unit(spike_times=[0.1, 0.2])
    path = nwb_units.write(tmp_path / "a.nwb", file)
    table = waveforms.load(path)
    each, _ = nwb_units.read(path, lambda file: file.processing["ecephys"]["sorted"])
    np.testing.assert_array_equal(table.waveform[1], (each[1][0].T.astype(np.float64) * 1e6).astype(np.float32))
    assert table.rate_kHz == 20
    assert "units are those of /processing/ecephys/sorted" in capsys.readouterr().err


def test_what_is_not_read_is_said_with_the_remedy(tmp_path, monkeypatch):
    file = nwb_units.new()
    file.add_unit(spike_times=[0.1])
    path = nwb_units.write(tmp_path / "a.nwb", file)
    with pytest.raises(UserError, match=r"its units have no mean waveforms: add them with pynwb .*export_units\.py"):
        waveforms.load(path)
    with pytest.raises(UserError, match="has no units: sort its recording first"):
        waveforms.load(nwb_units.write(tmp_path / "b.nwb", nwb_units.new()))
    with h5py.File(tmp_path / "c.nwb", "w") as hdf:
        hdf["nwb_version"] = "NWB-1.0.5"
    with pytest.raises(UserError, match=r"c\.nwb is NWB 1"):
        waveforms.load(tmp_path / "c.nwb")
    with h5py.File(tmp_path / "d.nwb", "w") as hdf:
        hdf["x"] = 1
    with pytest.raises(UserError, match=r"d\.nwb is HDF5, but not NWB"):
        waveforms.load(tmp_path / "d.nwb")
    (tmp_path / "e.nwb.zarr").mkdir()
    (tmp_path / "e.nwb.zarr" / ".zattrs").write_text('{"neurodata_type": "NWBFile", "nwb_version": "2.7.0"}')
    (tmp_path / "e.nwb.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    with pytest.raises(UserError, match=r"is NWB in Zarr, which is not read .* export it to HDF5"):
        waveforms.load(tmp_path / "e.nwb.zarr")


def test_a_rate_in_khz_is_refused_and_the_users_is_taken_where_there_is_none(tmp_path):
    mean = nwb_units.spikes((3, 30, 4))
    path = nwb_units.write(tmp_path / "a.nwb", nwb_units.add(nwb_units.new(), mean, rate_Hz=30.0))
    with pytest.raises(UserError, match="30 Hz: was kHz meant"):
        waveforms.load(path)
    assert waveforms.load(path, rate_kHz=30.0).rate_kHz == 30
    path = nwb_units.write(tmp_path / "b.nwb", nwb_units.add(nwb_units.new(), mean, rate_Hz=None))
    with pytest.raises(UserError, match="does not say its sampling rate"):
        waveforms.load(path)
    assert waveforms.load(path, rate_kHz=25.0).rate_kHz == 25


def test_labels_of_an_enumeration_and_of_a_ragged_column(tmp_path):
    file = nwb_units.add(nwb_units.new(), nwb_units.spikes((3, 30, 4)), times=trains(3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.units.add_column("kind", "of a test", data=[1, 0, 1], enum=["PV", "SST"])
        file.units.add_column("several", "of a test", data=["a", "b", "c", "d"], index=[2, 3, 4])
    path = nwb_units.write(tmp_path / "a.nwb", file)
    table = waveforms.load(path, "kind")
    assert [table.class_names[k] for k in table.label] == ["SST", "PV", "SST"]
    with pytest.raises(UserError, match="has no column 'several'; it has kind"):
        waveforms.load(path, "several")


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_units_are_read_as_pynwb_reads_them(tmp_path_factory, data):
    units, times, channels = (data.draw(st.integers(1, n)) for n in (6, 12, 5))
    times += 3
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.int16]))
    mean = nwb_units.spikes((units, times, channels), data.draw(st.integers(0, 99)), 500 if dtype == np.int16 else 1e-4)
    mean = mean.astype(dtype)
    layout = data.draw(st.sampled_from(["none", "all", "sparse"]))
    everything = data.draw(st.permutations(range(channels)))
    own = [everything] * units
    if layout == "sparse":
        own = [data.draw(st.permutations(range(channels))) for _ in range(units)]
        own = [rows[: data.draw(st.integers(1, channels))] if k else rows for k, rows in enumerate(own)]
        for block, rows in zip(mean, own, strict=True):
            block[:, len(rows) :] = 0
    spiking = data.draw(st.booleans())
    number = data.draw(st.lists(st.integers(0, 2**31), min_size=units, max_size=units, unique=True))
    kinds = data.draw(st.lists(st.sampled_from(["PV", "SST", "unknown"]), min_size=units, max_size=units))
    rate = data.draw(st.floats(1e3, 1e5))
    file = nwb_units.add(
        nwb_units.new((channels,) if layout != "none" else ()),
        mean,
        None if layout == "none" else own,
        trains(units) if spiking else None,
        rate,
        "microvolts" if dtype == np.int16 else "volts",
        id=number,
        kind=kinds,
    )
    path = nwb_units.write(tmp_path_factory.mktemp("random") / "a.nwb", file)
    each, about = nwb_units.read(path)
    transposed = layout == "all" and channels == times
    table = waveforms.load(path, "kind")
    assert table.rate_kHz == about["rate_Hz"] / 1e3
    assert (table.isi is not None) == spiking
    factor = 1.0 if dtype == np.int16 else 1e6
    names = [table.unit_names[k] for k in table.unit]
    assert names == [str(k) for k in number]  # none is left out
    for row, (block, times_s, electrodes) in enumerate(each):
        right = block.T.astype(np.float64)
        if layout == "sparse" and channels > 1 and len({tuple(o) for o in own}) > 1:
            dense = np.zeros_like(right)
            dense[electrodes] = right[: len(electrodes)]
            right = dense
        if not transposed:
            np.testing.assert_array_equal(table.waveform[row], (right * factor).astype(np.float32))
        if spiking:
            np.testing.assert_array_equal(table.isi[row], histograms.isi_histogram(times_s * 1e3))
        label = table.class_names[table.label[row]] if table.label[row] >= 0 else "unknown"
        assert label == str(about["columns"]["kind"][row])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    file = nwb_units.add(
        nwb_units.new(), nwb_units.spikes((5, 12, 4)), [range(4)] * 5, trains(5), kind=["PV", "SST", "PV", "SST", "x"]
    )
    return nwb_units.write(tmp_path_factory.mktemp("whole") / "a.nwb", file)


def test_a_crash_of_hdf5_over_a_damaged_file_is_survived(whole, monkeypatch):
    done = piped.subprocess.CompletedProcess([], -11, b"", b"")  # a segmentation fault
    monkeypatch.setattr(piped.subprocess, "run", lambda *a, **k: done)
    with pytest.raises(UserError, match=r"a\.nwb cannot be read as NWB: it is damaged, and its reader crashed over it"):
        waveforms.load(whole)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12),
    st.floats(0, 1),
    st.sampled_from(["kind", "location", None]),
)
def test_damage_is_read_or_refused_with_a_message(tmp_path_factory, whole, flips, kept, label):
    content = bytearray(whole.read_bytes())
    for place, value in flips:
        content[int(place * len(content))] = value
    path = tmp_path_factory.mktemp("damaged") / "a.nwb"
    path.write_bytes(content[: int(kept * len(content))] if len(flips) % 2 else content)
    with contextlib.suppress(UserError):
        assert np.isfinite(nwb.load(path, label, None).waveform).all()


def test_units_that_were_sorted_as_noise_are_left_out(tmp_path, capsys):
    quality = ["good", "noise", "good", "Noise"]
    path = nwb_units.write(
        tmp_path / "a.nwb", nwb_units.add(nwb_units.new(), nwb_units.spikes((4, 30, 1)), quality=quality)
    )
    table = waveforms.load(path)
    assert [table.unit_names[k] for k in table.unit] == ["0", "2"]
    assert "units 1, 3 left out: noise, by the column quality" in capsys.readouterr().err
    assert waveforms.load(path, "quality").class_names == ("Noise", "good", "noise")  # where just that is the label


def test_channels_before_times_without_electrodes_are_doubtful(tmp_path):
    path = nwb_units.write(
        tmp_path / "a.nwb", nwb_units.add(nwb_units.new((64, 64)), nwb_units.spikes((5, 40, 64)).swapaxes(1, 2))
    )
    with pytest.raises(
        UserError, match="does not say which are channels and which times: give each unit its electrodes"
    ):
        waveforms.load(path)
    path = nwb_units.write(tmp_path / "b.nwb", nwb_units.add(nwb_units.new((64,)), nwb_units.spikes((5, 40, 64))))
    assert waveforms.load(path).waveform.shape == (5, 64, 40)


def test_a_file_without_a_rate_gets_the_one_that_is_given(tmp_path):
    for seed, (name, rate_Hz) in enumerate((("a", 30_000.0), ("b", None))):
        file = nwb_units.add(nwb_units.new(session=name), nwb_units.spikes((3, 30, 1), seed), rate_Hz=rate_Hz)
        nwb_units.write(tmp_path / f"{name}.nwb", file)
    assert waveforms.load(tmp_path, rate_kHz=30.0).waveform.shape[0] == 6
    with pytest.raises(UserError, match="2 sampling rates are mixed"):
        waveforms.load(tmp_path, rate_kHz=20.0)


def test_units_that_were_curated_as_noise_in_a_group_are_left_out_and_multi_units_told(tmp_path, capsys):
    group = ["good", "noise", "mua"]
    path = nwb_units.write(
        tmp_path / "a.nwb", nwb_units.add(nwb_units.new(), nwb_units.spikes((3, 30, 1)), group=group)
    )
    table = waveforms.load(path)
    assert [table.unit_names[k] for k in table.unit] == ["0", "2"]
    told = capsys.readouterr().err
    assert "unit 1 left out: noise, by the column group" in told
    assert "1 units are multi-unit activity, by the column group" in told


@pytest.mark.parametrize(
    ("script", "producer"),
    [
        ("Created using NeuroConv v0.6.4", "NeuroConv v0.6.4"),
        ("NeuroConv provenance record\nneuroconv_version: 0.10.2\nsource_script: a.py", "NeuroConv 0.10.2"),
        ("NeuroConv provenance record", "NeuroConv"),
        ("made with neuroconv, by hand", "NeuroConv"),
    ],
)
def test_the_release_of_neuroconv_is_read_as_it_writes_it(tmp_path, script, producer):
    new = nwb_units.new(source_script=script, source_script_file_name="a.py")
    path = nwb_units.write(tmp_path / "a.nwb", nwb_units.add(new, nwb_units.spikes((3, 30, 1))))
    assert waveforms.load(path).producer.split(", ")[1:] == [producer]


@pytest.mark.parametrize("factor", [1e5, 3e4])
def test_spike_times_that_are_no_seconds_give_no_histograms(tmp_path, capsys, factor):
    times = [np.sort(np.random.default_rng(k).uniform(0, 60, 300)) for k in range(3)]
    for name, scale in (("s", 1.0), ("other", factor)):
        file = nwb_units.add(nwb_units.new(), nwb_units.spikes((3, 30, 1)), times=[t * scale for t in times])
        nwb_units.write(tmp_path / f"{name}.nwb", file)
    table = waveforms.load(tmp_path / "s.nwb")
    assert table.isi.sum() > 800
    assert table.spikes.tolist() == [300] * 3
    assert "seconds" not in capsys.readouterr().err
    assert waveforms.load(tmp_path / "other.nwb").isi is None
    assert "no histograms: if its spike_times were seconds" in capsys.readouterr().err


def test_files_with_channels_in_other_orders_are_put_in_one(tmp_path, capsys):
    mean = nwb_units.spikes((4, 30, 4))
    order = [2, 0, 3, 1]
    for name, channels, rows in (("a", [0, 1, 2, 3], mean), ("b", order, mean[:, :, order] * np.float32(1.5))):
        file = nwb_units.add(nwb_units.new(subject=name, session=name), rows, electrodes=[channels] * 4)
        nwb_units.write(tmp_path / f"{name}.nwb", file)
    table = waveforms.load(tmp_path)
    np.testing.assert_allclose(table.waveform[4:], table.waveform[:4] * 1.5, rtol=1e-5)
    assert table.contact_um is not None
    assert "different places" not in capsys.readouterr().err
    file = nwb_units.new(groups=(2, 2), subject="c", session="c")
    nwb_units.write(tmp_path / "c.nwb", nwb_units.add(file, mean * np.float32(2), electrodes=[[0, 1, 2, 3]] * 4))
    assert waveforms.load(tmp_path).contact_um is None
    assert "its files have contacts at different places" in capsys.readouterr().err
