import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spiketype.datasets.raphe.abf import open_abf
from spiketype.datasets.raphe.recordings import day_of, open_recording
from spiketype.edge import UserError
from tests import shared_data
from tests.datasets.test_abf import abf2, samples

FAST = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_the_channel_of_current_is_chosen_and_its_unit_converted():
    path = shared_data.path("abf", "File_axon_6.abf")  # mV, nA
    chosen = open_recording(path)
    assert "channel 1 (IN 1) of 2, in nA" in chosen.notes[0]
    plain = open_recording(path, channel="IN 1", units="pA")
    np.testing.assert_allclose(chosen.read(0, 500), 1000 * plain.read(0, 500), rtol=1e-6)
    assert "the file says nA" in plain.notes[0]


def test_wrong_channels_and_units_are_named():
    two, volts = shared_data.path("abf", "File_axon_6.abf"), shared_data.path("abf", "17o05028_ic_steps.abf")
    with pytest.raises(UserError, match=r"has no channel 'x': it has 0 \(_Ipatch, mV\), 1 \(IN 1, nA\)"):
        open_recording(two, channel="x")
    with pytest.raises(UserError, match="in mV, which is no unit of current"):
        open_recording(two, channel="0")
    with pytest.raises(UserError, match="no channel is a current"):
        open_recording(volts)
    with pytest.raises(UserError, match="'mV' is no unit of current"):
        open_recording(volts, units="mV")
    assert open_recording(volts, units="pA").segments[1] == (60_000, 120_000)


@pytest.mark.parametrize("name", ["I_Com", "Cmd 0", "Command", "ICmd", "I_MTest 1", "Stim", "AO #0", "OUT 0"])
def test_a_command_is_not_taken_as_the_recording(tmp_path, name):
    path = abf2(tmp_path / "a.abf", samples(2), [("Potential", "mV", 0.01), (name, "pA", 0.01)])
    with pytest.raises(UserError) as error:
        open_recording(path)
    assert f"channel 1 ({name}, pA) is a command and no recording" in str(error.value)
    assert f"it has 0 (Potential, mV), 1 ({name}, pA)" in str(error.value)
    assert "give --channel 1" in str(error.value)
    chosen = open_recording(path, channel="1")
    assert f"by its name, {name} is a command" in chosen.notes[1]
    np.testing.assert_array_equal(chosen.read(0, 9), open_abf(path).read(1, 0, 9))


def test_a_current_is_taken_before_a_command(tmp_path):
    path = abf2(tmp_path / "a.abf", samples(2), [("I_Com", "pA", 0.01), ("Imemb", "pA", 0.01)])
    assert "channel 1 (Imemb) of 2, in pA" in open_recording(path).notes[0]
    assert len(open_recording(path).notes) == 1


def test_other_channels_of_current_are_named_where_none_was_given(tmp_path):
    path = abf2(tmp_path / "a.abf", samples(3), [("IN 0", "pA", 0.01), ("Cmd", "pA", 0.01), ("IN 1", "nA", 0.01)])
    assert "the first of 2 channels of current was taken; the others are 2 (IN 1, nA)" in open_recording(path).notes[1]
    assert len(open_recording(path, channel="2").notes) == 1


def test_a_rate_that_is_given_is_for_arrays_that_do_not_say_it(tmp_path):
    np.savez(tmp_path / "a.npz", current=np.zeros(100), rate_Hz=20_000.0)
    found = open_recording(tmp_path / "a.npz", rate_Hz=40_000.0)
    assert found.rate_Hz == 20_000
    assert "the rate is the file's own" in found.notes[1]


def test_a_current_beside_a_potential_is_pointed_out(tmp_path):
    about = [("IN 0", "mV", 0.01), ("IN 1", "pA", 0.01)]
    assert "recorded, or injected?" in open_recording(abf2(tmp_path / "a.abf", samples(2), about)).notes[1]
    about[0] = ("V command", "mV", 0.01)  # voltage clamp
    assert len(open_recording(abf2(tmp_path / "b.abf", samples(2), about)).notes) == 1


def test_a_unit_that_the_user_gives_needs_a_channel_where_there_are_several(tmp_path):
    path = abf2(tmp_path / "a.abf", samples(2), [("IN 0", "mV", 0.01), ("IN 1", "V", 0.01)])
    with pytest.raises(UserError, match=r"no channel is a current.*give --channel and --units"):
        open_recording(path, units="pA")
    assert "channel 1 (IN 1) of 2, in pA (the file says V)" in open_recording(path, "1", units="pA").notes[0]


def test_a_name_of_two_channels_is_refused(tmp_path):
    path = abf2(tmp_path / "a.abf", samples(2), [("IN 0", "pA", 0.01), ("IN 0", "pA", 0.02)])
    with pytest.raises(UserError, match="2 channels are named 'IN 0': give its number"):
        open_recording(path, channel="IN 0")
    assert "channel 1" in open_recording(path, channel="1").notes[0]


def test_what_an_npz_says_of_its_array_is_heeded(tmp_path):
    raw = np.arange(100, dtype=np.int16) % 90
    np.savez(tmp_path / "a.npz", current=raw, rate_kHz=20.0, units="nA\x00 ", gain=0.5, offset=-3.0)
    found = open_recording(tmp_path / "a.npz")
    assert found.rate_Hz == 20_000
    assert "gain 0.5 and offset -3" in found.notes[1]
    np.testing.assert_allclose(found.read(0, 100), (raw * 0.5 - 3) * 1000)


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"rate_kHz": 30_000.0}, "Hz was probably meant"),
        ({"rate_kHz": 30.0, "rate_Hz": 20_000.0}, "store only one"),
        ({"rate_Hz": 20_000.0, "gain": 0.0}, "gain is 0"),
        ({"rate_Hz": 20_000.0, "gain": np.nan}, "one finite number"),
        ({"rate_Hz": [20_000.0, 1.0]}, "one finite number"),
    ],
)
def test_what_an_npz_says_and_cannot_be_is_refused(tmp_path, about, reason):
    np.savez(tmp_path / "a.npz", current=np.arange(100), **about)
    with pytest.raises(UserError, match=reason):
        open_recording(tmp_path / "a.npz")


def test_arrays(tmp_path):
    values = np.random.default_rng(0).integers(-99, 99, (10_000, 2)).astype(np.float64)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "b.npz", current=values[:, 1], rate_Hz=20_000.0, units="nA")
    a = open_recording(tmp_path / "a.npy", channel="1", rate_Hz=40_000.0)
    b = open_recording(tmp_path / "b.npz")
    np.testing.assert_array_equal(a.read(5, 9), values[5:9, 1])
    np.testing.assert_allclose(b.read(5, 9), 1000 * values[5:9, 1])
    assert (b.rate_Hz, b.duration_s) == (20_000.0, 0.5)
    assert a.day == tmp_path.name
    with pytest.raises(UserError, match="give --rate-hz"):
        open_recording(tmp_path / "a.npy")
    with pytest.raises(UserError, match=r"which of 2 columns is the current\? give its number, from 0, as --channel"):
        open_recording(tmp_path / "a.npy", rate_Hz=40_000.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint32, np.int64])
def test_a_column_of_times_is_no_current(tmp_path, dtype):
    current = np.random.default_rng(0).integers(0, 99, 4000)
    np.save(tmp_path / "a.npy", np.stack([np.arange(4000), current], axis=1).astype(dtype))
    with pytest.raises(UserError, match=r"column 0 ascends .* give another --channel"):
        open_recording(tmp_path / "a.npy", channel="0", rate_Hz=40_000.0)
    assert open_recording(tmp_path / "a.npy", channel="1", rate_Hz=40_000.0).duration_s == 0.1


def test_the_day_comes_from_name_header_or_folder(tmp_path):
    assert day_of(tmp_path / "F160411#014.abf", "200101") == "F160411"
    assert day_of(tmp_path / "cell3.abf", "200101") == "200101"
    assert day_of(tmp_path / "cell3.abf") == tmp_path.name


@FAST
@given(
    suffix=st.sampled_from([".npy", ".npz"]),
    head=st.sampled_from([b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04"]),
    body=st.binary(max_size=400),
)
def test_random_bytes_are_opened_or_refused(tmp_path, suffix, head, body):
    path = tmp_path / f"random{suffix}"
    path.write_bytes(head + body)
    with pytest.raises(UserError, match="random"):
        open_recording(path, rate_Hz=40_000.0)


@FAST
@given(
    values=hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int16, np.complex64, np.dtype("U3"), bool]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9),
    )
)
def test_random_shapes_are_opened_or_refused(tmp_path, values):
    path = tmp_path / "shape.npy"
    np.save(path, values)
    try:
        found = open_recording(path, rate_Hz=40_000.0)
    except UserError as error:
        if "shape" not in str(error):
            raise
    else:
        assert values.ndim in (1, 2)
        assert found.read(0, len(values)).shape == (len(values),)
