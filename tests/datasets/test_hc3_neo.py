"""Recordings of Neuroscope and Klusters against neo, which reads their .xml and .dat, and against the format's text.

A continuous recording is written; spikes are cut out of it as ndm_extractspikes does, nSamples of the channels of a
group around the samples in .res. What our reader gives must be what neo reads there, in uV.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketype.datasets import waveforms
from spiketype.datasets.waveforms import hc3
from spiketype.edge import UserError

neo = pytest.importorskip("neo.rawio")

BEFORE, TIMES = 10, 24  # samples before the one in .res, and in all


class Made(NamedTuple):
    xml: Path
    groups: list[list[int]]
    cluster: list[np.ndarray]
    sample: list[np.ndarray]


def xml_text(channels, groups, rate_Hz, bits=16, range_V=20, amplification=1000):
    """Return what ndmanager writes, with groups of spikes that are not those of the anatomy."""
    anatomy = "".join(f'<channel skip="0">{c}</channel>' for c in range(channels))
    listed = ["".join(f"<channel>{c}</channel>" for c in group) for group in groups]
    spikes = "".join(
        f"<group><channels>{each}</channels><nSamples>{TIMES}</nSamples>"
        f"<peakSampleIndex>{BEFORE}</peakSampleIndex><nFeatures>3</nFeatures></group>"
        for each in listed
    )
    gain = f"<voltageRange>{range_V}</voltageRange><amplification>{amplification}</amplification>" if range_V else ""
    return (
        '<?xml version="1.0"?>\n<parameters version="1.0" creator="ndManager-1.2.0"><acquisitionSystem>'
        f"<nBits>{bits}</nBits><nChannels>{channels}</nChannels><samplingRate>{rate_Hz:g}</samplingRate>{gain}"
        "<offset>0</offset></acquisitionSystem><fieldPotentials><lfpSamplingRate>1250</lfpSamplingRate>"
        f"</fieldPotentials><anatomicalDescription><channelGroups><group>{anatomy}</group></channelGroups>"
        f"</anatomicalDescription><spikeDetection><channelGroups>{spikes}</channelGroups></spikeDetection></parameters>"
    )


def write(folder, groups, rate_Hz=20_000.0, seed=0, channels=8, **about):
    """Write a session: .xml and .dat, and .spk, .clu and .res of each group."""
    rng = np.random.default_rng(seed)
    recording = rng.integers(-3000, 3000, (6000, channels)).astype("<i2")
    folder.mkdir(parents=True, exist_ok=True)
    xml = folder / f"{folder.name}.xml"
    xml.write_text(xml_text(channels, groups, rate_Hz, **about))
    recording.tofile(xml.with_suffix(".dat"))
    clusters, samples = [], []
    for number, group in enumerate(groups, start=1):
        sample = np.sort(rng.choice(np.arange(TIMES, len(recording) - TIMES), 30, replace=False))
        cluster = rng.integers(0, 5, len(sample))
        cut = np.stack([recording[t - BEFORE : t - BEFORE + TIMES, group] for t in sample])
        dtype = "<i4" if about.get("bits") == 32 else "<i2"
        cut.astype(dtype).tofile(xml.with_name(f"{xml.stem}.spk.{number}"))
        lines = "\n".join(map(str, [len(np.unique(cluster)), *cluster.tolist()]))
        xml.with_name(f"{xml.stem}.clu.{number}").write_text(f"{lines}\n")
        xml.with_name(f"{xml.stem}.res.{number}").write_text("".join(f"{t}\n" for t in sample.tolist()))
        clusters.append(cluster)
        samples.append(sample)
    return Made(xml, groups, clusters, samples)


def by_neo(made):
    """Return the waveforms (spike, channel, time) in uV that neo reads at the spikes, group after group."""
    reader = neo.NeuroScopeRawIO(str(made.xml))
    reader.parse_header()
    raw = reader.get_analogsignal_chunk(0, 0, stream_index=0)
    assert set(reader.header["signal_channels"]["units"].tolist()) == {"mV"}
    uV = 1000 * reader.rescale_signal_raw_to_float(raw, "float64", stream_index=0)
    cut = [
        uV[t - BEFORE : t - BEFORE + TIMES, group].T
        for group, cluster, sample in zip(made.groups, made.cluster, made.sample, strict=True)
        for t in sample[cluster > 1]
    ]
    return np.stack(cut), reader.get_signal_sampling_rate(0) / 1000


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_channel_by_channel_and_spike_by_spike(tmp_path_factory, data):
    size = data.draw(st.integers(1, 4))
    order = data.draw(st.permutations(range(8)))
    groups = [list(order[k : k + size]) for k in range(0, size * data.draw(st.integers(1, 8 // size)), size)]
    rate_Hz = data.draw(st.sampled_from([20_000.0, 24_414.0625, 30_000.0, 32_552.0]))
    about = {"range_V": data.draw(st.sampled_from([5, 10, 20])), "amplification": data.draw(st.integers(1, 5000))}
    made = write(tmp_path_factory.mktemp("neo") / "s", groups, rate_Hz, data.draw(st.integers(0, 99)), **about)
    table = waveforms.load(made.xml)
    expected, rate_kHz = by_neo(made)
    np.testing.assert_allclose(table.waveform, expected, rtol=1e-6, atol=1e-6)
    assert (table.rate_kHz, table.units) == (rate_kHz, "uV")
    names = [table.unit_names[u].rpartition("/")[2] for u in table.unit]
    assert names == [f"{g}.{c}" for g, cluster in enumerate(made.cluster, 1) for c in cluster[cluster > 1].tolist()]


@pytest.mark.parametrize("bits", [12, 14, 16, 32])
def test_bits(tmp_path, bits):
    """As Klusters has them (Data::loadClusters): 2 bytes a sample, 4 where there are 32 bits."""
    made = write(tmp_path / "s", [[0, 1, 2], [5, 4, 3]], bits=bits)
    table = waveforms.load(made.xml)
    step_uV = 20e6 / 2**bits / 1000
    raw = np.fromfile(made.xml.with_suffix(".dat"), "<i2").reshape(-1, 8)
    spikes = [raw[t - BEFORE : t - BEFORE + TIMES, g].T for g, c, s in zip(*made[1:], strict=True) for t in s[c > 1]]
    np.testing.assert_allclose(table.waveform, np.stack(spikes) * step_uV, rtol=1e-6)


def test_bits_that_klusters_has_not(tmp_path):
    made = write(tmp_path / "s", [[0, 1, 2]], bits=24)
    with pytest.raises(UserError, match=r"says samples of 24 bits \(nBits\): known are 12, 14, 16, 32"):
        waveforms.load(made.xml)


@pytest.mark.parametrize(("range_V", "amplification"), [(0, 1000), (20, 0), (20, "x"), ("nan", 1000), (20, 1e-9)])
def test_a_gain_that_is_not_said(tmp_path, range_V, amplification):
    made = write(tmp_path / "t" / "a", [[0, 1, 2]], range_V=range_V, amplification=amplification)
    table = waveforms.load(made.xml)
    assert table.units == "as recorded"
    np.testing.assert_array_equal(table.waveform, np.round(table.waveform))


def test_recordings_of_several_gains(tmp_path, capsys):
    """In uV they are comparable; where one does not say its gain, all stay as recorded, and that is said."""
    two = [write(tmp_path / "t" / name, [[0, 1, 2]], amplification=a) for name, a in (("a", 1000), ("b", 400))]
    table = waveforms.load(tmp_path)
    np.testing.assert_allclose(table.waveform, np.concatenate([by_neo(made)[0] for made in two]), rtol=1e-6, atol=1e-6)
    assert "0.3052, 0.7629 uV a step" in capsys.readouterr().err
    write(tmp_path / "t" / "b", [[0, 1, 2]], range_V=0)
    assert waveforms.load(tmp_path).units == "as recorded"
    assert "but not all .xml say the same nBits, voltageRange and amplification" in capsys.readouterr().err


def test_a_group_of_another_size_is_read_as_the_message_says(tmp_path, capsys):
    made = write(tmp_path / "t" / "s", [[0, 1, 2], [3, 4, 5], [7, 6]])
    assert waveforms.load(made.xml).waveform.shape[1:] == (3, TIMES)
    assert (
        "t/s, group 3: another rate or shape than most groups (20 kHz, 2 x 24, 20 kHz, 3 x 24): to read it, copy s.xml,"
        " s.spk.3, s.clu.3, s.res.3 into a folder of their own, and give that"
    ) in capsys.readouterr().err
    (tmp_path / "alone").mkdir()
    for name in ("s.xml", "s.spk.3", "s.clu.3", "s.res.3"):
        (tmp_path / "alone" / name).write_bytes(made.xml.with_name(name).read_bytes())
    found = waveforms.load(tmp_path / "alone")
    keep = Made(made.xml, made.groups[2:], made.cluster[2:], made.sample[2:])
    np.testing.assert_allclose(found.waveform, by_neo(keep)[0], rtol=1e-6, atol=1e-6)


def test_a_session_of_another_rate_is_read_as_the_message_says(tmp_path, capsys):
    for k, name in enumerate("abc"):
        write(tmp_path / "t" / name, [[0, 1, 2]], 32_552.0 if name == "b" else 20_000.0, seed=k)
    assert hc3.load(tmp_path, None).session_names == ("a", "c")
    other = tmp_path / "t" / "b" / "b.xml"
    said = capsys.readouterr().err
    assert "t/b, group 1: another rate or shape than most groups (32.552 kHz, 3 x 24, 20 kHz, 3 x 24)" in said
    assert f"to read it, give {other}" in said
    assert hc3.load(other, None).rate_kHz == 32.552
