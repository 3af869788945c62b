import struct
import tracemalloc

import numpy as np
import pyabf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyabf.abfWriter import writeABF1

from spiketype.datasets.raphe.abf import open_abf
from spiketype.datasets.raphe.recordings import open_recording
from spiketype.edge import UserError
from tests import shared_data

FAST = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def written(tmp_path):
    data = np.random.default_rng(0).normal(0, 20, (3, 5000))
    writeABF1(data, str(tmp_path / "A131024#089.abf"), 40_000)
    return tmp_path / "A131024#089.abf", data


def test_every_shared_file_reads_as_pyabf_reads_it_bit_by_bit():
    for path in sorted(shared_data.path("abf").glob("*.abf")):
        ours, theirs = open_abf(path), pyabf.ABF(str(path))
        assert ours.names == tuple(theirs.adcNames)
        assert ours.rate_Hz == theirs.dataRate
        assert len(ours.segments) == theirs.sweepCount
        for channel in range(theirs.channelCount):
            pieces = [ours.read(channel, start, stop) for start, stop in ours.segments]
            np.testing.assert_array_equal(np.concatenate(pieces), theirs.data[channel])


@pytest.mark.parametrize("name", ["18425108", "pclamp11_4ch"])
def test_the_two_versions_of_a_recording_give_the_same_samples(name):
    two, one = (open_abf(shared_data.path("abf", f"{name}{suffix}.abf")) for suffix in ("", "_abf1"))
    assert two.version.startswith("2")
    assert one.version.startswith("1")
    assert (two.rate_Hz, two.units, two.segments) == (one.rate_Hz, one.units, one.segments)
    assert two.gain is not None
    for channel, step in enumerate(two.gain):
        ours, theirs = (f.read(channel, 0, f.segments[-1][1]) for f in (two, one))
        # The program that converted them rounds anew: a sample may be one step of the converter away.
        assert np.abs(ours - theirs).max() <= 1.001 * step


def test_a_written_file_comes_back(written):
    path, data = written
    file = open_abf(path)
    assert file.segments == ((0, 5000), (5000, 10_000), (10_000, 15_000))
    assert file.units == ("pA",)
    np.testing.assert_allclose(file.read(0, 5000, 10_000), data[1], atol=file.gain[0] * 1.01)
    np.testing.assert_array_equal(file.read(0, 1234, 5678), file.read(0, 0, 15_000)[1234:5678])


def test_an_undated_file_takes_the_day_of_its_name(written):
    assert open_abf(written[0]).day == ""
    assert open_recording(written[0]).day == "A131024"


@pytest.mark.parametrize("interval_us", [33.333332, 22.675737])
def test_the_rate_is_not_truncated(written, interval_us):
    path = written[0]
    content = bytearray(path.read_bytes())
    struct.pack_into("f", content, 122, interval_us)
    path.write_bytes(content)
    assert open_abf(path).rate_Hz == pytest.approx(1e6 / interval_us, rel=1e-6)
    assert open_abf(path).rate_Hz in (30_000.0, 44_100.0)


def test_pieces_of_a_long_file_need_the_memory_of_a_piece(tmp_path):
    path = tmp_path / "long.abf"
    writeABF1(np.zeros((1, 2000)), str(path), 40_000)
    samples = 50_000_000  # twenty minutes, 100 MB
    with open(path, "r+b") as file:
        file.seek(10)
        file.write(struct.pack("i", samples))
        file.seek(138)
        file.write(struct.pack("i", samples))
        file.truncate(2048 + 2 * samples)
    file = open_abf(path)
    tracemalloc.start()
    for start in range(0, samples, 10_000_000):
        file.read(0, start, start + 100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert file.segments == ((0, samples),)
    assert peak < 5e6


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"time,current\n0,1\n", "not an ABF file"),
        (b"ABF ", "truncated"),
        (b"ABF2" + bytes(100), "truncated"),
        (b"ABF " + bytes(9000), "damaged"),
        (b"ABF2" + b"\xff" * 9000, "damaged"),
    ],
)
def test_what_is_no_recording_is_refused_by_name(tmp_path, content, reason):
    path = tmp_path / "bad.abf"
    path.write_bytes(content)
    with pytest.raises(UserError, match=reason) as error:
        open_abf(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        open_abf(tmp_path / "none.abf")


def test_a_truncated_file_is_refused(written):
    path = written[0]
    path.write_bytes(path.read_bytes()[:-8000])
    with pytest.raises(UserError, match="truncated: the header promises 15000 samples"):
        open_abf(path)


def test_a_truncated_abf2_file_is_refused(tmp_path):
    whole = shared_data.path("abf", "pclamp11_4ch.abf").read_bytes()
    for length in (600, 5000, 20_000, len(whole) - 20_000):
        (tmp_path / "cut.abf").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"truncated|damaged"):
            open_abf(tmp_path / "cut.abf")


def open_or_refuse(path):
    try:
        file = open_abf(path)
    except UserError as error:
        if str(path) in str(error):
            return
        raise
    for start, stop in file.segments[:3]:
        assert len(file.read(0, start, min(stop, start + 100))) == min(stop - start, 100)


@FAST
@given(head=st.sampled_from([b"", b"ABF ", b"ABF2"]), body=st.binary(max_size=8000))
def test_random_bytes_are_opened_or_refused(tmp_path, head, body):
    (tmp_path / "random.abf").write_bytes(head + body)
    open_or_refuse(tmp_path / "random.abf")


@FAST
@given(changes=st.lists(st.tuples(st.integers(4, 2047), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_header_with_wrong_bytes_is_opened_or_refused(written, changes):
    path = written[0]
    content = bytearray(path.read_bytes())
    for at, value in changes:
        content[at] = value
    changed = path.with_name("changed.abf")
    changed.write_bytes(content)
    open_or_refuse(changed)
