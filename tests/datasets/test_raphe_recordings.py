import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spiketype.datasets.raphe.recordings import day_of, open_recording
from spiketype.edge import UserError
from tests import shared_data

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


def test_arrays(tmp_path):
    values = np.arange(20_000, dtype=np.float64).reshape(-1, 2)
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
