"""Readers of published recordings: the int16 stream with its parameter text, and the files of hc-3."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketype.datasets import waveforms
from spiketype.datasets.waveforms import hc3, histograms
from spiketype.datasets.waveforms.stream import parameters, write
from spiketype.edge import UserError
from spiketype.simulator.shank import files

CELLS = [(2, "p", 3, 0), (3, "i", 0, 2), (4, "n", 0, 0), (5, "p", 1, 1)]  # unit, type, excites, inhibits


def spikes(rows=24, seed=0):
    """Spikes (spike, 8, 32) whose units differ in depth."""
    rng = np.random.default_rng(seed)
    shape = -np.exp(-((np.arange(32) - 12) ** 2) / 6)
    depth = 100 * (1 + np.arange(rows) % len(CELLS))[:, None, None]
    return np.round(depth * shape * rng.random((1, 8, 1)) + rng.normal(0, 5, (rows, 8, 32))).astype(np.int16)


def fields(rows=24):
    """The parameters of `spikes`: units take turns."""
    unit, kind, excites, inhibits = (np.array([c[k] for c in CELLS])[np.arange(rows) % len(CELLS)] for k in range(4))
    names = ["spike", "a", "b", "c", "d", "unit", "type", "region", "excites", "inhibits", "rate"]
    found = {name: np.full(rows, "7") for name in names}
    return found | {"unit": unit, "type": kind, "excites": excites, "inhibits": inhibits}


def stream(folder, name="ec014.42", rows=24, seed=0):
    write(folder / f"{name}.dat", spikes(rows, seed), fields(rows))
    return folder / f"{name}.dat"


def session(folder, name="ec014.42", cells=True):
    """An hc-3 session of two groups; the second has a spike of cluster 1."""
    shank, cluster = np.repeat([1, 2], 12), np.tile([c[0] for c in CELLS], 6)
    cluster[-1] = 1
    base = folder / name / name
    files.write_session(base, spikes(), shank, cluster, np.arange(24) * 100, 20.0)
    if cells:
        rows = [
            [str(v) for v in (k, name, "ec014", 1 + k // 4, unit, "CA1", out, down, 0, 0, 0, 0, 1.0, 1.0, kind)]
            for k, (unit, kind, out, down) in enumerate(CELLS * 2)
        ]
        files.write_cells(folder / hc3.CELLS, rows)
    return base.with_name(f"{name}.xml")


def test_a_stream_and_its_labels(tmp_path):
    table = waveforms.load(stream(tmp_path))
    np.testing.assert_array_equal(table.waveform, spikes())
    assert (table.level, table.rate_kHz, table.animal_names, table.session_names) == (
        *("spike", 20.0),
        *(("ec014",), ("ec014.42",)),
    )
    assert table.class_names == ("interneuron", "pyramidal")
    assert list(table.label[:4]) == [1, 0, -1, 1]
    by_synapse = waveforms.load(tmp_path / "ec014.42.dat", "exc-inh")
    assert [(*by_synapse.class_names, "unknown")[k] for k in by_synapse.label[:4]] == [
        *("excitatory", "inhibitory", "unknown", "unknown")
    ]
    stream(tmp_path, "ec016.19", seed=1)
    both = waveforms.load(tmp_path)
    assert (both.animal_names, len(both.unit_names)) == (("ec014", "ec016"), 8)


def test_empty_fields_do_not_count(tmp_path):
    path = stream(tmp_path)
    text = tmp_path / "ec014.42.parameters.txt"
    text.write_text("_" + text.read_text().replace("_", "__") + "_\n")
    np.testing.assert_array_equal(waveforms.load(path).label, waveforms.load(stream(tmp_path)).label)


def test_memory_is_that_of_the_file(tmp_path):
    text = tmp_path / "long.parameters.txt"
    text.write_text("_".join("_".join(["1234567"] * 5 + ["3", "p", "CA1", "0", "1", "5.5"]) for _ in range(20_000)))
    tracemalloc.start()
    parameters(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 * text.stat().st_size


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (".dat", b"1 2 3 4\n" * 100, "is text, not a stream of int16"),
        (".dat", spikes().tobytes()[:-3], "not a whole number of spikes of 512 bytes"),
        (".dat", b"", "has 0 bytes"),
        (".dat", spikes()[:5].tobytes(), "parameters of 24 spikes, .* has 5 spikes"),
        (".dat", bytes(512 * 24), "row 0 .* is constant"),
        (".parameters.txt", None, "does not exist: the parameters"),
        (".parameters.txt", b"1_2_3", "has 3 fields, not a whole number"),
        (".parameters.txt", b"", "has 0 fields"),
        (".parameters.txt", b"_".join([b"abc"] * 11), "spike 0, field 5: 'abc' is not a whole number"),
        (".parameters.txt", b"_".join([b"1", b"\xc3\xa9"] * 11), "not ASCII"),
    ],
)
def test_damaged_streams_are_named(tmp_path, file, content, said):
    path = stream(tmp_path)
    damaged = tmp_path / f"ec014.42{file}"
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        waveforms.load(path)
    assert "ec014.42" in str(error.value)


def test_a_session_of_hc3_and_its_labels(tmp_path, capsys):
    table = waveforms.load(session(tmp_path))
    assert "1 spikes of clusters 0 and 1" in capsys.readouterr().err
    np.testing.assert_array_equal(table.waveform, spikes()[:-1])
    assert table.unit_names == ("1.2", "1.3", "1.4", "1.5", "2.2", "2.3", "2.4", "2.5")
    assert (table.animal_names, table.rate_kHz, table.class_names) == (("ec014",), 20.0, ("interneuron", "pyramidal"))
    assert list(table.label[:4]) == [1, 0, -1, 1]
    assert list(waveforms.load(tmp_path, "exc-inh").label[:4]) == [0, 1, -1, -1]
    assert waveforms.load(tmp_path, "region").class_names == ("CA1",)
    # Unit 1.2 fires at 0, 400 and 800 samples: two intervals of 20 ms, and one pair 40 ms apart.
    assert table.isi[0].sum() == 2
    assert list(np.flatnonzero(table.autocorrelogram[0])) == [10, 20]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: b.with_name("s.spk.1").write_bytes(spikes().tobytes()[:-5]), "s.spk.1 has .* it is cut off"),
        (lambda b: b.with_name("s.clu.1").write_text("5\n2\n3\n"), r"s.spk.1 has 12, s.clu.1 has 2, s.res.1 has 12"),
        (lambda b: b.with_name("s.res.2").write_text("1\n2\n"), "s.res.2 has 2: one of the files is cut off"),
        (lambda b: b.with_name("s.res.1").write_text("1.5\n"), "s.res.1: expected a whole number a line"),
        (lambda b: b.with_name("s.clu.1").write_text(""), "s.clu.1 is empty"),
        (lambda b: b.with_name("s.clu.2").unlink(), "s.clu.2 missing"),
        (lambda b: b.write_text("<parameters"), "s.xml does not describe a recording"),
        (lambda b: b.write_text("<parameters/>"), "s.xml does not describe a recording"),
        (lambda b: [b.with_name(f"s.{k}.{n}").unlink() for k in ("spk", "clu", "res") for n in (1, 2)], "no group has"),
    ],
)
def test_damaged_sessions_are_named(tmp_path, change, said):
    xml = session(tmp_path, "s")
    change(xml)
    with pytest.raises(UserError, match=said):
        waveforms.load(xml)


def test_recordings_of_two_rates_are_not_mixed(tmp_path):
    session(tmp_path, "a")
    xml = session(tmp_path, "b")
    xml.write_text(xml.read_text().replace("20000", "32552"))
    with pytest.raises(UserError, match=r"different rates .*20 kHz, 8 x 32; 32\.552 kHz, 8 x 32"):
        waveforms.load(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=1200), st.binary(max_size=200))
def test_any_bytes_give_a_table_or_a_message(tmp_path_factory, data, text):
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "x.dat").write_bytes(data)
    (folder / "x.parameters.txt").write_bytes(text)
    with pytest.raises(UserError, match="x"):
        waveforms.load(folder / "x.dat")
    xml = session(folder, "s", cells=False)
    xml.with_name("s.spk.1").write_bytes(data)
    with pytest.raises(UserError, match="spk"):
        waveforms.load(xml)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=40))
def test_the_autocorrelogram_counts_pairs(times):
    time_ms = np.sort(np.array(times, float))
    lags = (time_ms[None] - time_ms[:, None])[np.triu_indices(len(times), 1)]
    expected = np.histogram(lags[lags < histograms.LAG_MS], histograms.LAG_BINS, (0, histograms.LAG_MS))[0]
    np.testing.assert_array_equal(histograms.autocorrelogram(time_ms), expected)
    isi, acg = histograms.histograms(time_ms, np.zeros(len(times)), np.array([0.0, 1.0]))
    assert isi.shape == acg.shape == (2, 50)
    assert acg[1].sum() == 0
