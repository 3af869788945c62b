import contextlib
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
RATE_HZ, RANGE, RESOLUTION = 20_000, 10.0, 32768
SIGNAL_TYPE = {1: 1410, 2: 512 + 138}  # where the two versions have it, as `abf1` and `abf2` write them
ADC_BYTE, ADC_BYTES = 1024, 128


def samples(n=2, count=6000, seed=0):
    """Stored numbers (sample, channel)."""
    return np.random.default_rng(seed).integers(-30_000, 30_000, (count, n)).astype("<i2")


def channels(raw):
    """Names and units as Axon's programs give them, and a scale of its own for each."""
    return [(f"IN {c}", "pA" if c % 2 == 0 else "mV", 0.01 * (1 + c)) for c in range(raw.shape[1])]


def abf1(path, raw, about=None, version=1.83, mode=3, sweeps=(), unit_us=0.0):
    """Write an ABF1 file; sweeps are (start in units, length in samples of one channel)."""
    about, n = about or channels(raw), raw.shape[1]
    header = bytearray(6144 if version > 1.59 else 2048)
    content = raw.tobytes() + bytes(-raw.nbytes % 512)

    def put(code, at, *values):
        struct.pack_into(f"<{code}", header, at, *values)

    put("4sf", 0, b"ABF ", version)
    put("h", 8, mode)
    put("i", 10, raw.size)
    put("ii", 16, max(1, len(sweeps)), 20200131)
    put("i", 40, len(header) // 512)
    put("hf", 120, n, 1e6 / RATE_HZ / n)
    put("f", 130, unit_us)
    put("i", 138, raw.size // max(1, len(sweeps)))
    put("ffii", 244, RANGE, RANGE, RESOLUTION, RESOLUTION)
    put("16h", 410, *range(n), *[-1] * (16 - n))
    for c, (name, units, scale) in enumerate(about):
        put("10s", 442 + 10 * c, name.encode("latin-1").ljust(10))
        put("8s", 602 + 8 * c, units.encode("latin-1").ljust(8))
        for at, value in ((730, 1.0), (922, scale), (1050, 1.0)):
            put("f", at + 4 * c, value)
    if sweeps:
        put("ii", 92, (len(header) + len(content)) // 512, len(sweeps))
        content += b"".join(struct.pack("<ii", start, length * n) for start, length in sweeps)
    path.write_bytes(bytes(header) + content)
    return path


def abf2(path, raw, about=None, mode=3, sweeps=(), unit_us=0.0):
    """Write an ABF2 file: header, protocol, channels, strings, samples, table of sweeps."""
    about, n = about or channels(raw), raw.shape[1]
    texts = b"".join(t.encode("latin-1") + b"\x00" for name, units, _ in about for t in (name, units))
    strings = struct.pack("<4sIIII24x", b"SSCH", 1, 2 * n, 16, len(texts)) + texts
    data = 4096 + len(strings) + -len(strings) % 512
    end = data + raw.nbytes + -raw.nbytes % 512
    file = bytearray(end + 8 * len(sweeps))

    def put(code, at, *values):
        struct.pack_into(f"<{code}", file, at, *values)

    put("4s4B", 0, b"ABF2", 0, 0, 6, 2)
    put("IIII", 8, 512, max(1, len(sweeps)), 20200131, 0)
    for at, byte, width, count in (
        (76, 512, 512, 1),
        (92, ADC_BYTE, ADC_BYTES, n),
        (220, 4096, len(strings), 2 * n),
        (236, data, 2, raw.size),
        (316, end, 8, len(sweeps)),
    ):
        put("IIq", at, byte // 512 if count else 0, width, count)
    put("hf", 512, mode, 1e6 / RATE_HZ)
    put("f", 512 + 14, unit_us)
    put("i", 512 + 22, raw.size // max(1, len(sweeps)))
    put("ffii", 512 + 110, RANGE, RANGE, RESOLUTION, RESOLUTION)
    for c, (_, _, scale) in enumerate(about):
        e = ADC_BYTE + ADC_BYTES * c
        put("h", e, c)
        put("fff", e + 28, 1.0, 1.0, 0.0)
        put("ffff", e + 40, scale, 0.0, 1.0, 0.0)
        put("ii", e + 74, 2 * c + 1, 2 * c + 2)
    file[4096 : 4096 + len(strings)] = strings
    file[data : data + raw.nbytes] = raw.tobytes()
    for i, (start, length) in enumerate(sweeps):
        put("ii", end + 8 * i, start, length * n)
    path.write_bytes(file)
    return path


WRITERS = {1: abf1, 2: abf2}


def patch(path, *changes):
    """Overwrite fields: (byte, code, value)."""
    content = bytearray(path.read_bytes())
    for at, code, value in changes:
        struct.pack_into(f"<{code}", content, at, value)
    path.write_bytes(content)
    return path


def gain_fields(version, channel):
    """Where a header has signal gain, signal offset, telegraph and telegraphed gain of a channel."""
    if version == 1:
        return 1050 + 4 * channel, 1114 + 4 * channel, 4512 + 2 * channel, 4576 + 4 * channel
    entry = ADC_BYTE + ADC_BYTES * channel
    return entry + 48, entry + 52, entry + 2, entry + 6


def whole(file, channel):
    return np.concatenate([file.read(channel, start, stop) for start, stop in file.segments])


def neo_reader(path):
    rawio = pytest.importorskip("neo.rawio")
    reader = rawio.AxonRawIO(str(path))
    reader.parse_header()
    return reader


@pytest.fixture
def written(tmp_path):
    data = np.random.default_rng(0).normal(0, 20, (3, 5000))
    writeABF1(data, str(tmp_path / "A131024#089.abf"), 40_000)
    return tmp_path / "A131024#089.abf", data


def test_every_shared_file_reads_as_pyabf_reads_it_bit_by_bit():
    for path in sorted(shared_data.path("abf").glob("*.abf")):
        ours, theirs = open_abf(path), pyabf.ABF(str(path))
        assert ours.names == tuple(theirs.adcNames)
        assert ours.units == tuple(theirs.adcUnits)
        assert ours.rate_Hz == theirs.dataRate
        assert len(ours.segments) == theirs.sweepCount
        for channel in range(theirs.channelCount):
            np.testing.assert_array_equal(whole(ours, channel), theirs.data[channel])
            for sweep, (start, stop) in enumerate(ours.segments):
                theirs.setSweep(sweep, channel)
                np.testing.assert_array_equal(ours.read(channel, start, stop), theirs.sweepY)


def test_the_sweeps_of_every_shared_file_begin_when_neo_says():
    for path in sorted(shared_data.path("abf").glob("*.abf")):
        ours, theirs = open_abf(path), neo_reader(path)
        if theirs.segment_count(0) != len(ours.segments):  # neo joins the sweeps of a file without a table
            assert ours.start_s == (-1.0,) * 3
            continue
        expected = [theirs.segment_t_start(0, i) for i in range(len(ours.segments))]
        np.testing.assert_allclose(ours.start_s, expected, rtol=1e-9)


@pytest.mark.parametrize("version", [1, 2])
def test_what_the_tests_write_is_read_by_pyabf_and_neo_as_by_us(tmp_path, version):
    raw = samples(3)
    path = WRITERS[version](tmp_path / "a.abf", raw, mode=5, sweeps=[(0, 2000), (4000, 4000)], unit_us=100.0)
    ours, theirs, third = open_abf(path), pyabf.ABF(str(path)), neo_reader(path)
    assert ours.names == ("IN 0", "IN 1", "IN 2") == tuple(theirs.adcNames)
    assert ours.units == ("pA", "mV", "pA") == tuple(theirs.adcUnits)
    assert (ours.segments, ours.day) == (((0, 2000), (2000, 6000)), "200131")
    for channel in range(3):
        np.testing.assert_array_equal(whole(ours, channel), theirs.data[channel])
        for sweep, (start, stop) in enumerate(ours.segments):
            chunk = third.get_analogsignal_chunk(0, sweep, stream_index=0, channel_indexes=[channel])
            scaled = third.rescale_signal_raw_to_float(chunk, "float64", stream_index=0, channel_indexes=[channel])
            np.testing.assert_allclose(ours.read(channel, start, stop), scaled[:, 0], rtol=1e-5)
            assert ours.start_s[sweep] == pytest.approx(third.segment_t_start(0, sweep))


@pytest.mark.parametrize("version", [1, 2])
def test_a_signal_conditioner_counts_only_where_there_is_one(tmp_path, version):
    """ABFH_GetADCtoUUFactors of Axon's library; pyABF and neo always divide."""
    path = WRITERS[version](tmp_path / "a.abf", samples(2))
    plain = whole(open_abf(path), 1)
    gain, offset, *_ = gain_fields(version, 1)
    patch(path, (gain, "f", 5.0), (offset, "f", 3.0))
    np.testing.assert_array_equal(whole(open_abf(path), 1), plain)
    patch(path, (SIGNAL_TYPE[version], "h", 1))
    np.testing.assert_array_equal(whole(open_abf(path), 1), pyabf.ABF(str(path)).data[1])
    np.testing.assert_allclose(whole(open_abf(path), 1), plain / 5 - 3, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("version", [1, 2])
def test_a_telegraphed_gain_is_applied_where_it_is_on(tmp_path, version):
    path = WRITERS[version](tmp_path / "a.abf", samples(2))
    plain = whole(open_abf(path), 1)
    *_, on, gain = gain_fields(version, 1)
    patch(path, (gain, "f", 20.0))
    np.testing.assert_array_equal(whole(open_abf(path), 1), plain)
    patch(path, (on, "h", 1))
    np.testing.assert_array_equal(whole(open_abf(path), 1), pyabf.ABF(str(path)).data[1])
    np.testing.assert_allclose(whole(open_abf(path), 1), plain / 20, rtol=1e-5)


@pytest.mark.parametrize("version", [1.3, 1.5])
def test_samples_behind_a_short_header_are_no_telegraph(tmp_path, version):
    raw = samples(1)
    path = abf1(tmp_path / "a.abf", raw, version=version)
    expected = whole(open_abf(path), 0)
    inside = raw.copy()
    inside[(4512 - 2048) // 2], inside[(4576 - 2048) // 2 : (4580 - 2048) // 2, 0] = 1, (0, 0x4120)  # on; 10.0
    path = abf1(tmp_path / "a.abf", inside, version=version)
    assert pyabf.ABF(str(path)).data[0, 0] == pytest.approx(expected[0] / 10)
    np.testing.assert_array_equal(open_abf(path).read(0, 0, 1000), expected[:1000])


def test_a_short_file_of_a_short_header_is_read(tmp_path):
    path = abf1(tmp_path / "a.abf", samples(1, 100), version=1.3)
    assert open_abf(path).segments == ((0, 100),)


def test_the_telegraph_of_a_short_header_is_that_of_one_input(tmp_path):
    path = abf1(tmp_path / "a.abf", samples(2), version=1.3)
    plain = [whole(open_abf(path), c) for c in (0, 1)]
    patch(path, (262, "h", 1), (264, "h", 1), (268, "f", 20.0))
    np.testing.assert_array_equal(whole(open_abf(path), 0), plain[0])
    np.testing.assert_allclose(whole(open_abf(path), 1), plain[1] / 20, rtol=1e-5)


@pytest.mark.parametrize(("width", "code"), [(2, "<i2"), (4, "<f4")])
def test_ignored_points_and_floats_of_abf1_are_as_neo_has_them(tmp_path, width, code):
    raw = samples(2)
    path = abf1(tmp_path / "a.abf", raw if width == 2 else raw.view("<f4").reshape(-1, 1))
    stored = raw if width == 2 else np.random.default_rng(0).normal(0, 9, (6000, 2)).astype(code)
    header = bytearray(path.read_bytes()[:6144])
    path.write_bytes(header + bytes(10 * width) + stored.tobytes())
    patch(path, (10, "i", stored.size), (14, "h", 10), (100, "h", width // 4), (120, "h", 2), (122, "f", 25.0))
    patch(path, (412, "h", 1), (734, "f", 1.0), (926, "f", 0.02), (1054, "f", 1.0))
    ours, theirs = open_abf(path), neo_reader(path)
    for channel in (0, 1):
        chunk = theirs.get_analogsignal_chunk(0, 0, stream_index=0, channel_indexes=[channel])
        scaled = theirs.rescale_signal_raw_to_float(chunk, "float64", stream_index=0, channel_indexes=[channel])
        np.testing.assert_allclose(whole(ours, channel), scaled[:, 0], rtol=1e-5)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("units", ["pA\x00\x00\x00\x00", "pA  ", " pA", "pA\x00xyz"])
def test_padding_of_units_is_no_part_of_them(tmp_path, version, units):
    if version == 2 and units.endswith("xyz"):
        pytest.skip("NUL parts the strings of ABF2")
    path = WRITERS[version](tmp_path / "a.abf", samples(1), [("IN 0", units.rstrip("\x00"), 0.01)])
    if version == 1:
        path = patch(path, (602, "8s", units.encode()))
    assert open_abf(path).units == ("pA",)
    assert "in pA" in open_recording(path).notes[0]


@pytest.mark.parametrize("version", [1, 2])
def test_microampere_is_not_ampere(tmp_path, version):
    path = WRITERS[version](tmp_path / "a.abf", samples(1), [("IN 0", "\u00b5A", 0.01)])
    assert open_abf(path).units == ("uA",)
    np.testing.assert_allclose(open_recording(path).read(0, 9), 1e6 * open_abf(path).read(0, 0, 9), rtol=1e-6)


@pytest.mark.parametrize("version", [1, 2])
def test_sweeps_begin_when_the_table_says(tmp_path, version):
    raw, table = samples(2), [(0, 2000), (50_000, 2000), (75_000, 2000)]
    path = WRITERS[version](tmp_path / "a.abf", raw, mode=5, sweeps=table, unit_us=100.0)
    assert open_abf(path).start_s == pytest.approx((0, 5, 7.5))
    assert open_recording(path).start_s == open_abf(path).start_s
    patch(path, (130 if version == 1 else 526, "f", 0.0))
    assert open_abf(path).start_s == (-1, -1, -1)  # samples of one channel, or of both? readers disagree
    one = WRITERS[version](tmp_path / "b.abf", raw[:, :1], mode=5, sweeps=table)
    assert open_abf(one).start_s == pytest.approx((0, 2.5, 3.75))


@pytest.mark.parametrize("version", [1, 2])
def test_times_that_cannot_be_are_unknown_and_said(tmp_path, version):
    table = [(0, 2000), (100, 2000), (75_000, 2000)]  # the second begins within the first
    path = WRITERS[version](tmp_path / "a.abf", samples(1), mode=5, sweeps=table, unit_us=100.0)
    assert open_abf(path).start_s == (-1, -1, -1)
    assert "times of spikes are unknown" in open_recording(path).notes[-1]


@pytest.mark.parametrize("version", [1, 2])
def test_a_gap_free_recording_is_parted_at_pauses_alone(tmp_path, version):
    table = [(420, 2000), (1420, 2000), (50_000, 2000)]  # a thousand units of 100 us after the first: no pause
    path = WRITERS[version](tmp_path / "a.abf", samples(2), mode=3, sweeps=table, unit_us=100.0)
    file = open_abf(path)
    assert file.segments == ((0, 4000), (4000, 6000))
    assert file.start_s == pytest.approx((0, 4.958))
    np.testing.assert_array_equal(whole(file, 0), pyabf.ABF(str(path)).data[0])


@pytest.mark.parametrize("version", [1, 2])
def test_a_table_of_sweeps_that_contradicts_the_samples_is_refused(tmp_path, version):
    for table in ([(0, 2000), (5000, 3000)], [(0, 2000), (5000, 2000), (9000, 2001)]):
        path = WRITERS[version](tmp_path / "a.abf", samples(1), mode=5, sweeps=table, unit_us=100.0)
        with pytest.raises(UserError, match="header contradicts itself"):
            open_abf(path)


@pytest.mark.parametrize("version", [1, 2])
def test_event_driven_sweeps_have_the_lengths_of_the_table(tmp_path, version):
    """In samples, also where starts have a unit: GetSynchEntry of Axon's library. Neo divides them by it."""
    raw, table = samples(2), [(300, 500), (9000, 4100), (80_000, 1400)]
    path = WRITERS[version](tmp_path / "a.abf", raw, mode=1, sweeps=table, unit_us=100.0)
    file = open_abf(path)
    assert file.segments == ((0, 500), (500, 4600), (4600, 6000))
    assert file.start_s == pytest.approx((0.03, 0.9, 8.0))
    path = WRITERS[version](tmp_path / "b.abf", raw, mode=1, sweeps=table)
    ours, theirs = open_abf(path), neo_reader(path)
    assert ours.segments == file.segments
    for sweep, (start, stop) in enumerate(ours.segments):
        for channel in range(2):
            chunk = theirs.get_analogsignal_chunk(0, sweep, stream_index=0, channel_indexes=[channel])
            scaled = theirs.rescale_signal_raw_to_float(chunk, "float64", stream_index=0, channel_indexes=[channel])
            np.testing.assert_allclose(ours.read(channel, start, stop), scaled[:, 0], rtol=1e-5)


@pytest.mark.parametrize("version", [1, 2])
def test_event_driven_sweeps_without_their_table_are_refused(tmp_path, version):
    """They would be parted evenly, or be one stretch: events far apart would be neighbours."""
    path = WRITERS[version](tmp_path / "a.abf", samples(1), mode=1)
    for sweeps in (1, 3):
        patch(path, (16 if version == 1 else 12, "i", sweeps))
        with pytest.raises(UserError, match=r"event-driven.*without the table .*\.npy"):
            open_abf(path)


def test_sweeps_without_a_table_begin_as_often_as_the_header_says(written):
    assert open_abf(written[0]).start_s == (-1, -1, -1)
    patch(written[0], (178, "f", 2.5))
    assert open_abf(written[0]).start_s == (0, 2.5, 5)


@pytest.mark.parametrize("version", [1, 2])
def test_only_the_channel_whose_scale_is_impossible_is_refused(tmp_path, version):
    path = WRITERS[version](tmp_path / "a.abf", samples(2))
    *_, on, _ = gain_fields(version, 1)
    good = whole(open_abf(path), 0)
    for change in ((on, "h", 1), (on, "h", 7), (922 + 4 if version == 1 else ADC_BYTE + ADC_BYTES + 40, "f", np.nan)):
        patch(path, change)  # at first: on, with a gain of 0
        np.testing.assert_array_equal(whole(open_abf(path), 0), good)
        with pytest.raises(UserError, match=r"channel 1 \(IN 1\)"):
            open_recording(path, channel="1", units="pA")


def test_inputs_that_are_named_twice_are_refused(tmp_path):
    path = patch(abf1(tmp_path / "a.abf", samples(2)), (412, "h", 0))
    with pytest.raises(UserError, match="inputs 0, 0, which must differ"):
        open_abf(path)


@pytest.mark.parametrize(("date", "day"), [(180618, "180618"), (970412, "970412"), (20991399, ""), (-1, ""), (7, "")])
def test_dates_with_two_digits_of_the_year(tmp_path, date, day):
    assert open_abf(patch(abf1(tmp_path / "a.abf", samples(1)), (20, "i", date))).day == day


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
            return None
        raise
    for start, stop in file.segments[:3]:
        for channel, trouble in enumerate(file.trouble):
            if not trouble:
                assert len(file.read(channel, start, min(stop, start + 100))) == min(stop - start, 100)
    return file


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


def test_a_gain_that_makes_samples_infinite_is_told(written):
    content = bytearray(written[0].read_bytes())
    content[262], content[270] = 1, 1  # what hypothesis found: a scale of 1e37
    changed = written[0].with_name("infinite.abf")
    changed.write_bytes(content)
    with pytest.raises(UserError, match="impossible scale in its header"):
        open_abf(changed)


def as_pyabf(path, version, trouble):
    """What pyABF reads once told that no signal conditioner has no gain, and without channels that we refuse."""
    kept = path.read_bytes()
    for number, wrong in enumerate(trouble):
        c = struct.unpack_from("<h", kept, 410 + 2 * number)[0] if version == 1 else number
        gain, offset, on, _ = gain_fields(version, c)
        if wrong or not struct.unpack_from("<h", kept, SIGNAL_TYPE[version])[0]:
            patch(path, (gain, "f", 1.0), (offset, "f", 0.0))
        if wrong:
            patch(path, (on, "h", 0), (730 + 4 * c if version == 1 else gain - 20, "f", 1.0))
            patch(path, (922 + 4 * c if version == 1 else gain - 8, "f", 1.0))
        for at in (74, 78) if version == 2 else ():  # a string that is not there
            if not 0 <= struct.unpack_from("<i", kept, gain - 48 + at)[0] <= 4:
                patch(path, (gain - 48 + at, "i", 0))
    try:
        return pyabf.ABF(str(path))
    finally:
        path.write_bytes(kept)


NUMBERS = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 0.5, 20.0, float("nan"), float("inf"), 1e-30, 1e30]),
    st.floats(0.0625, 128, width=32),
)
COUNTS = st.one_of(st.integers(-2, 20), st.integers(-(2**15), 2**15 - 1))
FLOATS_1 = [122, 126, 130, 178, 244, 730, 734, 922, 926, 986, 990, 1050, 1054, 1114, 1118, 4576, 4580]
WHOLE_1 = [8, 10, 12, 16, 18, 20, 38, 40, 92, 96, 100, 120, 138, 252, 254, 378, 410, 412, 1410, 4512, 4514]
FLOATS_2 = [512 + at for at in (2, 14, 62, 110)] + [
    ADC_BYTE + ADC_BYTES * c + at for c in (0, 1) for at in (6, 28, 40, 44, 48, 52)
]
WHOLE_2 = [
    12,
    16,
    30,
    76,
    80,
    84,
    92,
    96,
    100,
    220,
    228,
    236,
    240,
    244,
    316,
    320,
    324,
    512,
    518,
    534,
    630,
    650,
] + [ADC_BYTE + ADC_BYTES * c + at for c in (0, 1) for at in (0, 2, 74, 78)]
FIELDS = {1: (FLOATS_1, WHOLE_1), 2: (FLOATS_2, WHOLE_2)}


@settings(FAST, max_examples=150)
@given(data=st.data(), version=st.sampled_from([1, 2]), with_table=st.booleans())
def test_a_header_with_wrong_fields_is_refused_or_read_as_pyabf_reads_it(tmp_path, data, version, with_table):
    table = [(0, 300), (50_000, 300)] if with_table else []
    path = WRITERS[version](tmp_path / "a.abf", samples(2, 600), mode=5, sweeps=table, unit_us=100.0)
    floats, wholes = FIELDS[version]
    for _ in range(data.draw(st.integers(1, 3))):
        if data.draw(st.booleans()):
            patch(path, (data.draw(st.sampled_from(floats)), "f", data.draw(NUMBERS)))
        else:
            patch(path, (data.draw(st.sampled_from(wholes)), "h", data.draw(COUNTS)))
    ours = open_or_refuse(path)
    if ours is None:
        return
    with np.errstate(all="ignore"):
        theirs = as_pyabf(path, version, ours.trouble)
    assert len(ours.names) == theirs.channelCount
    assert ours.rate_Hz == pytest.approx(1 / theirs.dataSecPerPoint, rel=0.01)
    for channel in range(theirs.channelCount):
        if not ours.trouble[channel]:
            np.testing.assert_array_equal(whole(ours, channel), theirs.data[channel])
            if theirs.nOperationMode == 3:  # where pyABF joins what a pause parts
                continue
            for sweep, (start, stop) in enumerate(ours.segments):
                with contextlib.suppress(Exception):  # its epochs, of which we know nothing, may be nonsense
                    theirs.setSweep(sweep, channel)
                np.testing.assert_array_equal(ours.read(channel, start, stop), theirs.sweepY)


@settings(FAST, max_examples=30)
@given(version=st.sampled_from([1, 2]), length=st.integers(0, 40_000))
def test_a_file_that_is_cut_off_is_refused(tmp_path, version, length):
    path = WRITERS[version](tmp_path / "a.abf", samples(2), mode=5, sweeps=[(0, 6000)], unit_us=100.0)
    content = path.read_bytes()
    path.write_bytes(content[:length])
    if length < len(content):
        with pytest.raises(UserError):
            open_abf(path)
