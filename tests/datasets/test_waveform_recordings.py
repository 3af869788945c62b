"""The reader of the published int16 stream with its parameter text, and histograms of when units fire."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketype.datasets import waveforms
from spiketype.datasets.waveforms import histograms
from spiketype.datasets.waveforms.stream import parameters, write
from spiketype.datasets.waveforms.table import NOT_SAID
from spiketype.edge import UserError

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


def test_a_stream_and_its_labels(tmp_path):
    table = waveforms.load(stream(tmp_path))
    np.testing.assert_array_equal(table.waveform, spikes())
    assert (table.level, table.rate_kHz, table.animal_names, table.session_names) == (
        *("spike", 20.0),
        *((NOT_SAID,), ("ec014.42",)),
    )
    assert table.class_names == ("interneuron", "pyramidal")
    assert list(table.label[:4]) == [1, 0, -1, 1]
    by_synapse = waveforms.load(tmp_path / "ec014.42.dat", "exc-inh")
    assert [(*by_synapse.class_names, "unknown")[k] for k in by_synapse.label[:4]] == [
        *("excitatory", "inhibitory", "unknown", "unknown")
    ]


def test_the_name_of_a_file_is_not_its_animal(tmp_path, capsys):
    """Names as in the tables of hc-3: by what is before the dot, ec015.03 would not be ec014, nor vvp01 one animal."""
    names = {"ec014.42": "ec014", "ec015.03": "ec014", "vvp01-4-9": "vvp01", "vvp01-4-10": "vvp01"}
    for k, name in enumerate(names):
        stream(tmp_path, name, seed=k)
    table = waveforms.load(tmp_path)
    assert (table.animal_names, len(table.session_names), len(table.unit_names)) == ((NOT_SAID,), 4, 16)
    assert "animals are not said, there is no animals.csv (session, animal)" in capsys.readouterr().err
    rows = "".join(f" {name} ,{animal}\n" for name, animal in names.items())
    (tmp_path / "animals.csv").write_text(f"session, animal\n{rows}\nabsent,other\n", encoding="utf-8-sig")
    for path in (tmp_path, tmp_path / "ec015.03.dat"):
        table = waveforms.load(path)
        animal = {
            table.session_names[s]: table.animal_names[a] for s, a in zip(table.session, table.animal, strict=True)
        }
        assert animal == {name: names[name] for name in table.session_names}
        assert len(animal) == (4 if path == tmp_path else 1)
    assert "not said" not in capsys.readouterr().err
    (tmp_path / "animals.csv").write_text("session,animal\nec014.42,ec014\nvvp01-4-9,vvp01\n")
    assert waveforms.load(tmp_path).session_names == ("ec014.42", "vvp01-4-9")
    assert "left out 2 files whose animal animals.csv does not name: ec015.03, vvp01-4-10" in capsys.readouterr().err
    assert waveforms.load(tmp_path / "ec015.03.dat").animal_names == (NOT_SAID,)
    assert "animals are not said, animals.csv names none of its files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected a table"),
        (b"\xff\xfe", "cannot be read as a table"),
        (b"name,animal\nx,a\n", "names the columns session and animal"),
        (b"session,animal, animal\nx,a,b\n", "names the columns session and animal, once"),
        (b"session,animal\nx\n", "line 2: give both a session and its animal"),
        (b"session,animal\nx,a\nx,b\n", "line 3: session x is of a and of b: keep one"),
    ],
)
def test_tables_of_animals_that_cannot_be_used(tmp_path, content, said):
    path = stream(tmp_path)
    (tmp_path / "animals.csv").write_bytes(content)
    with pytest.raises(UserError, match=rf"animals\.csv.*{said}"):
        waveforms.load(path)


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
        (".dat", bytes(512 * 24), "constant on all channels: row 0"),
        (".parameters.txt", None, "is a recording.*a stream of spikes has NAME.parameters.txt beside it"),
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


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=1200), st.binary(max_size=200))
def test_any_bytes_give_a_table_or_a_message(tmp_path_factory, data, text):
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "x.dat").write_bytes(data)
    (folder / "x.parameters.txt").write_bytes(text)
    with pytest.raises(UserError, match="x"):
        waveforms.load(folder / "x.dat")


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
