"""Sweeps of NWB 2 in current clamp: files that pynwb writes, against what pynwb reads from them; and faults."""

import contextlib
import datetime
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spiketype.damage import readable
from spiketype.datasets.allen import icephys
from spiketype.datasets.allen.__main__ import noise_command
from spiketype.edge import UserError
from tests.datasets import allen_nwb

pynwb = pytest.importorskip("pynwb", reason="needs pynwb: uv sync --extra allen")
MANY = [50 + 40 * k for k in range(12)]
SWEEPS = {  # number -> stimulus, times of spikes (ms)
    3: ("C1LSCOARSE150216_DA_0", MANY),
    7: ("C1NSSEED_1150216_DA_0", MANY[:10]),  # too few
    12: ("C1NSSEED_2150216_DA_0[1]", MANY),
    15: ("Noise 1", MANY),
}


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pynwb|hdmf")
        yield


def write(
    path,
    sweeps=SWEEPS,
    counts="numbers",
    spikes=True,
    dtype=np.float32,
    conversion=1.0,
    offset=0.0,
    electrodes=1,
    **more,
):
    """Write sweeps; counts: how series are joined (numbers, table of sweeps, or of recordings)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = pynwb.NWBFile("a test", "1", datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC))
        amplifier = file.create_device("amplifier")
        patch = [
            file.create_icephys_electrode(name=f"e{k}", description="a pipette", device=amplifier)
            for k in range(electrodes)
        ]
        module = file.create_processing_module("spikes", "detected spikes") if spikes else None
        rate = more.get("rate_Hz", 50_000.0)
        for number, (name, times_ms) in sweeps.items():
            v, i = allen_nwb.spiking(times_ms, rate_kHz=rate / 1e3, seed=number)
            for e, electrode in enumerate(patch):
                about = {"sweep_number": number} if counts in ("numbers", "table") else {}
                about |= {"electrode": electrode, "stimulus_description": name, "rate": rate, "offset": offset}
                about |= {"conversion": conversion, "gain": 2.0, "starting_time": 3.0 * number}
                stored = [((values - offset) / conversion).astype(dtype) for values in (v + e * 1e-3, i)]
                stored[0][len(v) - more.get("zeros", 0) :] = 0
                response = pynwb.icephys.CurrentClampSeries(f"data_{number:05}_AD{e}", stored[0], **about)
                shift = {"starting_time": about["starting_time"] + more.get("late_s", 0.0)}
                stimulus = pynwb.icephys.CurrentClampStimulusSeries(
                    f"data_{number:05}_DA{e}", stored[1][: len(i) - more.get("fewer", 0)], **(about | shift)
                )
                file.add_acquisition(response)
                if more.get("stimulus", True):
                    file.add_stimulus(stimulus)
                if counts == "recordings":
                    own = {"stimulus": stimulus} if more.get("stimulus", True) else {}
                    file.add_intracellular_recording(electrode, response=response, **own)
            if spikes:
                times_s = np.array(times_ms) / 1e3
                module.add(pynwb.TimeSeries(f"Sweep_{number}", times_s, unit="seconds", timestamps=times_s))
        clamp = pynwb.icephys.VoltageClampSeries("data_00099_AD0", np.ones(9, np.float32), patch[0], 1.0, rate=rate)
        file.add_acquisition(clamp)
        with pynwb.NWBHDF5IO(path, "w") as io:
            io.write(file, cache_spec=False)
    if counts == "table":
        with_table(path)
    return path


def with_table(path):
    """Move the sweep numbers into a table of sweeps, as pynwb wrote it until it was deprecated."""
    with h5py.File(path, "r+") as file:
        series = [
            s for g in ("acquisition", "stimulus/presentation") for s in file[g].values() if "sweep_number" in s.attrs
        ]
        table = file.create_group("general/intracellular_ephys/sweep_table")
        numbers = sorted({int(s.attrs["sweep_number"]) for s in series})
        own = [[s.ref for s in series if s.attrs["sweep_number"] == n] for n in numbers]
        columns = {
            "id": np.arange(len(numbers)),
            "sweep_number": np.array(numbers, np.uint32),
            "series": np.array([ref for refs in own for ref in refs], h5py.ref_dtype),
            "series_index": np.cumsum([len(refs) for refs in own]).astype(np.uint8),
        }
        kinds = {"id": "ElementIdentifiers", "series_index": "VectorIndex"}
        for name, values in columns.items():
            table[name] = values
            kind = kinds.get(name, "VectorData")
            about = {"namespace": "hdmf-common", "neurodata_type": kind, "object_id": name, "description": name}
            table[name].attrs.update(about)
        table["series_index"].attrs["target"] = table["series"].ref
        about = {"namespace": "core", "neurodata_type": "SweepTable", "object_id": "t", "description": "of a test"}
        table.attrs.update(about | {"colnames": ["series", "sweep_number"]})
        for s in series:
            del s.attrs["sweep_number"]


def theirs(path, number, electrode=0):
    """What pynwb gives, in mV, pA and kHz."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pynwb.NWBHDF5IO(path, "r") as io:
            file = io.read()
            response = file.acquisition[f"data_{number:05}_AD{electrode}"]
            if file.sweep_table is not None:
                assert response in file.sweep_table.get_series(number)
            stimulus = file.stimulus[f"data_{number:05}_DA{electrode}"]
            assert (response.unit, stimulus.unit) == ("volts", "amperes")
            both = [np.asarray(s.get_data_in_units(), np.float64) for s in (response, stimulus)]
            return both[0] * 1e3, both[1] * 1e12, response.rate / 1e3


def ours(path):
    with h5py.File(path) as file:
        assert icephys.is_nwb_2(file)
        return icephys.noise_sweep(path, file, 10)


def same(sweep, right, end=None):
    np.testing.assert_allclose(sweep.voltage_mV, right[0][:end], rtol=1e-6)
    np.testing.assert_allclose(sweep.current_pA, right[1][:end], rtol=1e-6)
    assert sweep.rate_kHz == right[2]


@pytest.mark.parametrize("counts", ["numbers", "table", "recordings"])
def test_the_first_noise_sweep_with_more_than_ten_spikes_is_that_of_pynwb(tmp_path, counts):
    path = write(tmp_path / "a.nwb", counts=counts)
    if counts == "recordings":  # rows are the numbers, but not those of the listed spikes: these are counted
        pytest.importorskip("allensdk", reason="needs allensdk: uv sync --extra allen")
    sweep = ours(path)
    assert sweep.number == (2 if counts == "recordings" else 12)
    same(sweep, theirs(path, 12))


@pytest.mark.parametrize(
    ("dtype", "conversion", "offset"), [(np.int16, 1e-5, 0.0), (np.float64, 1e-3, 0.0), (np.float32, 1.0, 0.01)]
)
def test_conversion_and_offset_are_applied(tmp_path, dtype, conversion, offset):
    if dtype == np.int16:  # of the response alone: currents would be 0
        path = write(tmp_path / "a.nwb", dtype=np.float64)
        with h5py.File(path, "r+") as file:
            data = file["acquisition/data_00012_AD0/data"]
            values, about = np.round(data[()] / conversion).astype(dtype), dict(data.attrs)
            del file["acquisition/data_00012_AD0/data"]
            file["acquisition/data_00012_AD0/data"] = values
            file["acquisition/data_00012_AD0/data"].attrs.update(about | {"conversion": np.float32(conversion)})
    elif offset:
        path = write(tmp_path / "a.nwb")
        with h5py.File(path, "r+") as file:
            file["acquisition/data_00012_AD0/data"].attrs["offset"] = np.float32(offset)
    else:
        path = write(tmp_path / "a.nwb", dtype=dtype, conversion=conversion)
    same(ours(path), theirs(path, 12))


def test_millivolts_and_picoamperes_are_taken_and_other_units_refused(tmp_path):
    path = write(tmp_path / "a.nwb", conversion=1e-3)
    right = theirs(path, 12)
    for where, unit, conversion in (
        ("acquisition/data_00012_AD0", "mV", 1.0),
        ("stimulus/presentation/data_00012_DA0", "pA", 1e9),
    ):
        with h5py.File(path, "r+") as file:
            file[f"{where}/data"].attrs.update(unit=unit, conversion=conversion)
    same(ours(path), right)
    for unit in ("counts", "", "MV"):
        with h5py.File(path, "r+") as file:
            file["acquisition/data_00012_AD0/data"].attrs["unit"] = unit
        with pytest.raises(UserError, match=rf"a\.nwb, sweep 12, response: unit '{unit}' is unknown"):
            ours(path)


def test_the_zeros_after_a_sweep_was_stopped_are_cut(tmp_path):
    path = write(tmp_path / "a.nwb", zeros=4000)
    right = theirs(path, 12)
    sweep = ours(path)
    assert len(sweep.voltage_mV) == len(right[0]) - 4000
    same(sweep, right, -4000)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"late_s": 0.1}, "sweep 12: the response begins at 36 s with 50 kHz, the stimulus at 36.1 s"),
        ({"fewer": 7}, "sweep 12: 30000 samples of the response, 29993 of the stimulus"),
        ({"stimulus": False}, "sweep 12: 0 currents of its electrode, expected one"),
        ({"electrodes": 2}, "are both responses: give a file with those of one cell"),
        ({"conversion": 1e-3, "sizes": 1e3}, r"sweep 12, response: 7e\+04 where 20 to 150 mV is usual"),
        ({"counts": "nothing"}, "has no sweep number: add a table of intracellular recordings"),
        ({"counts": "recordings", "stimulus": False}, "sweep 1: 0 currents of its electrode, expected one"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path, more, message):
    sizes = more.pop("sizes", None)
    path = write(tmp_path / "a.nwb", **more)
    if sizes:
        with h5py.File(path, "r+") as file:
            file["acquisition/data_00012_AD0/data"].attrs["conversion"] = 1.0
    with pytest.raises(UserError, match=message):
        ours(path)


def test_timestamps_are_refused_and_no_noise_is_none(tmp_path):
    path = write(tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        del file["acquisition/data_00012_AD0/starting_time"]
        file["acquisition/data_00012_AD0/timestamps"] = np.arange(3.0)
    with pytest.raises(UserError, match="sweep 12, response: it has timestamps and no rate"):
        ours(path)
    assert ours(write(tmp_path / "b.nwb", {3: SWEEPS[3], 7: SWEEPS[7]})) is None


@pytest.mark.parametrize(
    ("name", "is_noise"),
    [
        ("Noise 1", True),
        ("Noise 2_DA_0", True),
        ("C1NSSEED_1", True),
        ("C1NSSEED_2150112_DA_0", True),
        ("C1NSSEED_2150112[3]", True),
        ("C1NSSEED", True),
        ("C1NSD1SHORT171103_DA_0", True),
        ("C2NSRMPRHE150112_DA_0", False),
        ("newNoise1", False),
        ("X4PS_SupraThresh_DA_0", False),
        ("Noise 12", False),
        ("", False),
    ],
)
def test_noise_is_told_by_ipfx_s_codes(name, is_noise):
    assert (icephys.NOISE.fullmatch(name) is not None) == is_noise


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.lists(st.integers(0, 999).filter(lambda n: n != 99), min_size=1, max_size=4, unique=True),
    names=st.lists(st.sampled_from(["Noise 1", "C1NSSEED_2150216_DA_0", "Ramp"]), min_size=4, max_size=4),
    few=st.lists(st.booleans(), min_size=4, max_size=4),
    counts=st.sampled_from(["numbers", "table"]),
    conversion=st.floats(1e-6, 1.0),
    offset=st.sampled_from([0.0, 0.0, 1e-3]),
    rate=st.floats(2e3, 2e5),
    zeros=st.integers(0, 50),
)
def test_random_sweeps_are_read_as_pynwb_reads_them(
    tmp_path_factory, numbers, names, few, counts, conversion, offset, rate, zeros
):
    sweeps = {n: (names[k], MANY[: 5 if few[k] else None]) for k, n in enumerate(numbers)}
    more = {"conversion": conversion, "offset": offset, "rate_Hz": rate, "zeros": 0 if offset else zeros}
    path = write(tmp_path_factory.mktemp("random") / "a.nwb", sweeps, counts, dtype=np.float64, **more)
    right = [n for n in sorted(numbers) if sweeps[n][0] != "Ramp" and len(sweeps[n][1]) > 10]
    sweep = ours(path)
    if not right:
        assert sweep is None
        return
    assert sweep.number == right[0]
    values = theirs(path, right[0])
    same(sweep, values, len(values[0]) - more["zeros"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("whole") / "a.nwb", {12: SWEEPS[12]}, rate_Hz=2000.0)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12), st.floats(0, 1))
def test_damage_is_read_or_refused_as_is_said(tmp_path_factory, whole, flips, kept):
    content = bytearray(whole.read_bytes())
    for place, value in flips:
        content[int(place * len(content))] = value
    path = tmp_path_factory.mktemp("damaged") / "a.nwb"
    path.write_bytes(content[: int(kept * len(content))] if len(flips) % 2 else content)
    with contextlib.suppress(UserError):
        with readable(path, "NWB"), h5py.File(path) as file:  # as its caller does: h5py raises what it likes
            sweep = icephys.noise_sweep(path, file, 10)
        assert sweep is None or np.isfinite(sweep.voltage_mV).all()


def test_spikes_that_nobody_lists_need_a_rate_at_which_they_are_found(tmp_path):
    path = write(tmp_path / "a.nwb", {12: SWEEPS[12]}, rate_Hz=2000.0)
    with h5py.File(path, "a") as file:
        del file["processing/spikes"]
        with pytest.raises(UserError, match=r"sweep 12: no spikes are listed, and 2 kHz is too low .* list them in"):
            icephys.noise_sweep(path, file, 10)


def test_a_cell_has_the_same_features_in_both_versions_of_nwb(tmp_path, capsys):
    pytest.importorskip("allensdk", reason="needs allensdk: uv sync --extra allen")
    write(tmp_path / "500001.nwb")
    allen_nwb.write(tmp_path / "500002.nwb", {12: ("Noise 2", MANY)})
    write(tmp_path / "500003.nwb", electrodes=2)
    write(tmp_path / "500004.nwb", {3: SWEEPS[3]})
    with h5py.File(tmp_path / "500005.nwb", "w") as file:
        file["x"] = 1
    noise_command(tmp_path)
    table = pd.read_csv(tmp_path / "noise_features.csv", index_col="specimen_id")
    assert table["sweep"].tolist() == [12, 12]
    np.testing.assert_allclose(table.loc[500001], table.loc[500002], rtol=1e-5)
    said = capsys.readouterr().out
    assert "500003.nwb: sweep 7: /acquisition/data_00007_AD0 and /acquisition/data_00007_AD1 are both responses" in said
    assert "500004.nwb: no sweep of Noise 1 or Noise 2 has more than 10 spikes" in said
    assert "500005.nwb: neither NWB 1 as the database has it, nor NWB 2" in said
