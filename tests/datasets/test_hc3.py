"""The reader of CRCNS hc-3: which cell a cluster is, by the tables; and what is left out of a damaged recording."""

import csv
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketype.datasets import waveforms
from spiketype.datasets.waveforms import hc3, hc3_tables
from spiketype.edge import UserError
from spiketype.simulator.shank import files
from tests import shared_data

CELLS = [(2, "p", 3, 0), (3, "i", 0, 2), (4, "n", 0, 0), (5, "p", 1, 1)]  # cluster, type, excites, inhibits


def spikes(rows=24, channels=8, seed=0):
    """Spikes (spike, channel, 32) whose units differ in depth."""
    rng = np.random.default_rng(seed)
    shape = -np.exp(-((np.arange(32) - 12) ** 2) / 6)
    depth = 100 * (1 + np.arange(rows) % len(CELLS))[:, None, None]
    return np.round(depth * shape * rng.random((1, channels, 1)) + rng.normal(0, 5, (rows, channels, 32))).astype(
        np.int16
    )


def session(root, topdir="ec013.28", name="ec013.412", seed=0, rate_kHz=20.0, channels=8):
    """A session of two groups of four clusters; the second has a spike of cluster 1."""
    shank, cluster = np.repeat([1, 2], 12), np.tile([c[0] for c in CELLS], 6)
    cluster[-1] = 1
    base = root / topdir / name / name
    files.write_session(base, spikes(seed=seed, channels=channels), shank, cluster, np.arange(24) * 100, rate_kHz)
    return base.with_name(f"{name}.xml")


def cell(topdir, animal, group, cluster, region="CA1", excites=0, inhibits=0, kind="n"):
    """A row of the table of cells."""
    return [*map(str, (1, topdir, animal, group, cluster, region, excites, inhibits, 0, 0, 0, 0, 1.0, 1.0)), kind]


def tables(root, sessions, cells=None):
    """Write both tables; `sessions` are (topdir, session), and all topdirs have `CELLS` if no `cells` are given."""
    files.write_table(
        root / "hc3-session.csv", [[str(k), *pair, "linear", "1", "60.5"] for k, pair in enumerate(sessions)]
    )
    rows = [
        cell(topdir, "ec014", group, cluster, "CA1", out, down, kind)
        for topdir in dict.fromkeys(t for t, _ in sessions)
        for group in (1, 2)
        for cluster, kind, out, down in CELLS
    ]
    files.write_table(root / "hc3-cell.csv", rows if cells is None else cells)


def two_sessions(root):
    xml = session(root), session(root, name="ec013.27", seed=1)
    tables(root, [("ec013.28", "ec013.412"), ("ec013.28", "ec013.27"), ("ec013.41", "ec013.4"), ("ec013.27", "a")])
    return xml


def told(capsys, path, label=None):
    table = hc3.load(path, label)
    return table, capsys.readouterr().err


def classes(table):
    """Unit -> class word."""
    words = (*table.class_names, "unknown")
    pairs = {(table.unit_names[u], words[k]) for u, k in zip(table.unit, table.label, strict=True)}
    assert len(pairs) == len(table.unit_names)
    return dict(pairs)


def test_a_session_and_its_labels(tmp_path, capsys):
    xml, _ = two_sessions(tmp_path)
    table, said = told(capsys, xml)
    assert "1 spikes of clusters 0 and 1" in said
    assert "left out," not in said
    assert "unknown" not in said
    np.testing.assert_array_equal(table.waveform, spikes()[:-1])
    assert table.unit_names == tuple(f"ec013.28/{g}.{c}" for g in (1, 2) for c in (2, 3, 4, 5))
    assert (table.animal_names, table.rate_kHz, table.class_names) == (("ec014",), 20.0, ("interneuron", "pyramidal"))
    assert table.session_names == ("ec013.412",)
    assert list(table.label[:4]) == [1, 0, -1, 1]
    assert list(hc3.load(xml, "exc-inh").label[:4]) == [0, 1, -1, -1]
    assert hc3.load(xml, "region").class_names == ("CA1",)
    # Unit 1.2 fires at 0, 400 and 800 samples: two intervals of 20 ms, and one pair 40 ms apart.
    assert table.isi[0].sum() == 2
    assert list(np.flatnonzero(table.autocorrelogram[0])) == [10, 20]


def test_a_cell_in_two_sessions_is_one_unit(tmp_path, capsys):
    two_sessions(tmp_path)
    table, said = told(capsys, tmp_path)
    assert table.unit_names == tuple(f"ec013.28/{g}.{c}" for g in (1, 2) for c in (2, 3, 4, 5))
    assert table.session_names == ("ec013.27", "ec013.412")
    assert (table.animal_names, table.level) == (("ec014",), "spike")
    assert [int((table.session[table.unit == u] == s).sum()) for u in (0, 7) for s in (0, 1)] == [3, 3, 2, 2]
    # The intervals of both sessions, and none between them.
    assert (table.isi[0].sum(), table.autocorrelogram[0].sum()) == (4, 6)
    assert "unknown" not in said
    assert hc3.load(tmp_path, None).unit_names == table.unit_names


@pytest.mark.parametrize("given", ["", "ec013.28", "ec013.28/ec013.412", "ec013.28/ec013.412/ec013.412.xml"])
def test_the_tables_are_found_from_every_level(tmp_path, given, monkeypatch, capsys):
    two_sessions(tmp_path)
    assert hc3.is_hc3(tmp_path / given)
    for path in (tmp_path / given, Path(given)):
        monkeypatch.chdir(tmp_path)
        table, said = told(capsys, path)
        assert table.animal_names == ("ec014",)
        assert table.class_names == ("interneuron", "pyramidal")
        assert "unknown" not in said
    (tmp_path / "docs" / "hc3-metadata-tables").mkdir(parents=True)
    for name in (hc3_tables.CELLS, hc3_tables.SESSIONS):
        shutil.move(tmp_path / name, tmp_path / "docs" / "hc3-metadata-tables" / name)
    assert hc3.load(tmp_path / given, None).animal_names == ("ec014",)


def test_sessions_without_the_folders_of_their_topdirs(tmp_path, capsys):
    """The table says the topdir where the folder above is no topdir."""
    session(tmp_path, "downloads")
    tables(tmp_path, [("ec013.28", "ec013.412"), ("ec013.41", "ec013.5")])
    table, said = told(capsys, tmp_path)
    assert table.unit_names[0] == "ec013.28/1.2"
    assert list(table.label[:4]) == [1, 0, -1, 1]
    assert "unknown" not in said


NAME = st.text(st.sampled_from("12."), max_size=3).map("a".__add__).filter(lambda name: name[-1] != ".")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_pairing_follows_the_tables_whatever_names_begin_with(data):
    topdirs = data.draw(st.lists(NAME, min_size=1, max_size=6, unique=True))
    sessions = data.draw(st.dictionaries(NAME, st.sampled_from(topdirs), min_size=1))
    known = {(topdir, 1, 2): hc3_tables.Cell(topdir, "0", "0", "p") for topdir in topdirs}
    there = hc3_tables.Tables(
        known, {t: f"animal of {t}" for t in topdirs}, {s: [t] for s, t in sessions.items()}, frozenset(topdirs)
    )
    name, folder = data.draw(st.one_of(NAME, st.sampled_from([*sessions]))), data.draw(NAME)
    found = hc3_tables.pair(there, name, folder)
    right = sessions.get(name)
    if right is not None and (folder == right or folder not in topdirs):
        assert (found.doubt, found.topdir, found.animal) == ("", right, f"animal of {right}")
        assert found.cell(1, 2).region == right
        assert found.unit(1, 2) == f"{right}/1.2"
    else:
        assert found.doubt
        assert found.topdir == folder
        assert found.cell(1, 2) is None
        assert name in found.unit(1, 2).split("/")
        assert found.animal == (f"animal of {folder}" if folder in topdirs else folder)


@settings(max_examples=20, deadline=None)
@given(st.lists(NAME, min_size=1, max_size=3, unique=True), st.data())
def test_files_with_names_that_begin_alike(tmp_path_factory, topdirs, data):
    """The label of every unit is that of its own cell, which the region names."""
    root = tmp_path_factory.mktemp("alike")
    sessions = data.draw(st.dictionaries(NAME, st.sampled_from(topdirs), min_size=1, max_size=4))
    for k, (name, topdir) in enumerate(sessions.items()):
        session(root, topdir, name, seed=k)
    cells = [cell(t, f"rat of {t}", g, c, f"{t}:{g}.{c}") for t in topdirs for g in (1, 2) for c in range(2, 6)]
    tables(root, [(t, s) for s, t in sessions.items()], cells)
    table = hc3.load(root, "region")
    assert classes(table) == {
        f"{t}/{g}.{c}": f"{t}:{g}.{c}" for t in sessions.values() for g in (1, 2) for c in range(2, 6)
    }
    assert set(table.animal_names) == {f"rat of {t}" for t in sessions.values()}
    assert set(table.session_names) == set(sessions)


def test_the_real_tables(tmp_path, capsys):
    """A spike of every cell in every session of the tables, written as hc-3 has them: topdir, animal and labels."""
    real = shared_data.path("hc3")
    cell_rows, session_rows = (
        list(csv.reader((real / name).read_text().splitlines())) for name in (hc3_tables.CELLS, hc3_tables.SESSIONS)
    )
    for name in (hc3_tables.CELLS, hc3_tables.SESSIONS):
        shutil.copy(real / name, tmp_path / name)
    of_topdir = defaultdict(list)
    for row in cell_rows:
        of_topdir[row[1]].append(row)
    rng = np.random.default_rng(0)
    for _, topdir, name, *_ in session_rows:
        shank, cluster = (np.array([int(row[k]) for row in of_topdir[topdir]]) for k in (3, 4))
        waveform = rng.integers(-99, 99, (len(shank), 2, 4)).astype(np.int16)
        files.write_session(tmp_path / topdir / name / name, waveform, shank, cluster, np.arange(len(shank)), 20.0)
    table, said = told(capsys, tmp_path)
    words = {"p": "pyramidal", "i": "interneuron", "n": "unknown"}
    assert classes(table) == {f"{r[1]}/{int(r[3])}.{int(r[4])}": words[r[14]] for r in cell_rows}
    assert set(table.animal_names) == {row[2] for row in cell_rows}
    assert set(table.session_names) == {row[2] for row in session_rows}
    assert "unknown" not in said
    animal = {f"{r[1]}/{int(r[3])}.{int(r[4])}": r[2] for r in cell_rows}
    assert all(
        animal[table.unit_names[u]] == table.animal_names[a] for u, a in zip(table.unit, table.animal, strict=True)
    )
    assert any(r[2] != r[1].partition(".")[0] for r in cell_rows)  # the name of a topdir is not that of its animal


@pytest.mark.parametrize(
    ("missing", "said", "units", "animals", "labelled"),
    [
        (
            ["hc3-cell.csv"],
            ["no hc3-cell.csv", "labels are unknown", "topdir (ec013.28) is not known"],
            8,
            "ec013.28",
            0,
        ),
        (
            ["hc3-session.csv"],
            ["no hc3-session.csv in a folder", "the folder above a session is its topdir"],
            8,
            "ec014",
            2,
        ),
        (
            ["hc3-cell.csv", "hc3-session.csv"],
            [
                "no hc3-cell.csv",
                "no hc3-session.csv",
                "2 sessions (ec013.28/ec013.27, ec013.28/ec013.412) are without",
                "a unit is that of one session",
                "the topdir stands for it",
            ],
            *(16, "ec013.28", 0),
        ),
    ],
)
def test_missing_tables_are_told(tmp_path, capsys, missing, said, units, animals, labelled):
    two_sessions(tmp_path)
    for name in missing:
        (tmp_path / name).unlink()
    table, text = told(capsys, tmp_path)
    for part in said:
        assert part in text
    assert (len(table.unit_names), table.animal_names, len(table.class_names)) == (units, (animals,), labelled)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("ec013.28", "ec013.41")], "1 session (ec013.28/ec013.412) is not in hc3-session.csv: labels are unknown"),
        (
            [("ec013.41", "ec013.412"), ("ec013.28", "b")],
            "is in the folder of another topdir than hc3-session.csv says",
        ),
        ([("ec013.41", "ec013.412"), ("ec013.2", "ec013.412")], "is in several topdirs by hc3-session.csv"),
    ],
)
def test_a_session_that_the_tables_do_not_place(tmp_path, capsys, rows, said):
    """No label, not even where a name begins alike."""
    xml = session(tmp_path)
    tables(tmp_path, rows)
    table, text = told(capsys, xml)
    assert said in text
    assert set(table.label.tolist()) == {-1}
    assert table.unit_names[0] == "ec013.28/ec013.412/1.2"
    known = "ec013.28" in dict(rows)
    assert table.animal_names == (("ec014",) if known else ("ec013.28",))
    assert ("the animal of 1 topdir (ec013.28) is not known: the topdir stands for it" in text) != known


def test_rows_of_the_tables_that_cannot_be_used(tmp_path, capsys):
    xml = session(tmp_path)
    tables(tmp_path, [("ec013.28", "ec013.412")])
    file = tmp_path / "hc3-cell.csv"
    rows = list(csv.reader(file.read_text().splitlines()))
    rows[1][14] = "p"
    twice = [*rows[0][:14], "i"]
    names = ["id", *"abcdefghijklmn", "eDist", "RefracRatio", "RefracViol"]
    more = [[*row, "1.5", "0", "0"] for row in [*rows[:-1], twice, rows[2]]]  # as in the edition with 18 columns
    files.write_table(file, [names, *more, [], ["1", "ec013.28"], [*rows[-1][:3], "x", *rows[-1][4:]]])
    table, text = told(capsys, xml)
    found = classes(table)
    assert (found["ec013.28/1.2"], found["ec013.28/1.3"], found["ec013.28/2.5"]) == ("unknown", "pyramidal", "unknown")
    assert found["ec013.28/1.5"] == "pyramidal"
    assert "1 cell (ec013.28/1.2) is in" in text
    assert "2 lines (12, 13) are left out of" in text
    assert "1 unit (ec013.28/2.5) is not in hc3-cell.csv" in text
    file.write_text("nothing\n")
    with pytest.raises(UserError, match=r"hc3-cell\.csv has no row with 15 columns"):
        hc3.load(xml, None)
    file.write_bytes(b"\xff\xfe1,2\n")
    with pytest.raises(UserError, match=r"hc3-cell\.csv cannot be read as a table"):
        hc3.load(xml, None)


def test_a_topdir_of_two_animals_has_none(tmp_path, capsys):
    xml = session(tmp_path)
    tables(tmp_path, [("ec013.28", "ec013.412")], [cell("ec013.28", a, 1, c) for a, c in (("a", 2), ("b", 3))])
    table, text = told(capsys, xml)
    assert "1 topdir (ec013.28) is of several animals" in text
    assert table.animal_names == ("ec013.28",)


def test_one_spike_of_each_unit(tmp_path, capsys):
    """A table of units then, of which none is a copy of another."""
    one = spikes(rows=3)
    one[2] = one[0]
    for name in ("a", "b"):
        files.write_session(tmp_path / "t" / name / name, one, np.ones(3, int), np.arange(2, 5), np.arange(3), 20.0)
    tables(tmp_path, [("t", "a"), ("t", "b")])
    table, text = told(capsys, tmp_path / "t" / "a")
    assert (table.level, table.unit_names, table.session_names) == ("unit", ("t/1.2", "t/1.3"), ("a",))
    assert "the very same waveform as a row that is kept" in text
    table = hc3.load(tmp_path, None)
    assert (table.level, table.unit_names, len(table.session)) == ("spike", ("t/1.2", "t/1.3", "t/1.4"), 6)


def test_sessions_of_one_name_in_two_topdirs(tmp_path):
    for topdir in ("a", "b"):
        session(tmp_path, topdir, "s")
    tables(tmp_path, [("a", "s"), ("b", "s")])
    table = hc3.load(tmp_path, None)
    assert table.session_names == ("a/s", "b/s")
    assert len(table.unit_names) == 16


def test_a_copy_of_a_session_is_read_once(tmp_path, capsys):
    xml, _ = two_sessions(tmp_path)
    shutil.copytree(xml.parent, tmp_path / "backup" / xml.parent.name)
    table, text = told(capsys, tmp_path)
    assert len(table.waveform) == 46
    assert "session ec013.412 of ec013.28 is there already" in text


def without_samples(xml):
    xml.write_text(xml.read_text().replace("<nSamples>32</nSamples>", "", 1))


def grown(xml):
    for kind in hc3.FILES:
        shutil.copy(xml.with_name(f"s.{kind}.1"), xml.with_name(f"s.{kind}.3"))


def emptied(xml):
    for kind, content in (("spk", ""), ("clu", "1\n"), ("res", "")):
        xml.with_name(f"s.{kind}.1").write_text(content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: b.with_name("s.spk.1").write_bytes(spikes().tobytes()[:-5]), "s.spk.1 has "),
        (lambda b: b.with_name("s.spk.1").unlink(), "s.spk.1 missing"),
        (lambda b: b.with_name("s.clu.1").unlink(), "s.clu.1 missing"),
        (lambda b: b.with_name("s.clu.1").write_text("5\n2\n3\n"), "s.spk.1 has 12, s.clu.1 has 2, s.res.1 has 12"),
        (lambda b: b.with_name("s.res.1").write_text("1\n2\n"), "s.res.1 has 2: one of the files is cut off"),
        (lambda b: b.with_name("s.res.1").write_text(f"{2**62}\n" * 12), "s.res.1: a spike is 7.31e+06 years from"),
        (lambda b: b.with_name("s.res.1").write_text("1.5\n"), "s.res.1 cannot be read as a whole number a line"),
        (lambda b: b.with_name("s.clu.1").write_text(""), "s.clu.1 is empty"),
        (lambda b: b.with_name("s.spk.1").write_bytes(b""), "s.spk.1 has 0, s.clu.1 has 12"),
        (without_samples, "group 1 lacks channels, or the number of samples of a spike (nSamples)"),
        (emptied, "s.spk.1 holds no spike"),
    ],
)
def test_a_damaged_group_is_left_out_and_the_others_are_read(tmp_path, capsys, change, said):
    xml = session(tmp_path, "t", "s")
    tables(tmp_path, [("t", "s")])
    change(xml)
    for path in (xml, tmp_path):
        table, text = told(capsys, path)
        assert "left out, 1:" in text
        assert said in text
        np.testing.assert_array_equal(table.waveform, spikes()[12:-1])
        assert list(table.label[:4]) == [1, 0, -1, 1]
    session(tmp_path, "t", "s")
    grown(xml)
    table, text = told(capsys, xml)
    assert len(table.waveform) == 23
    assert "s.xml has no group 3" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: b.write_text("<parameters"), "s.xml cannot be read as the description of a recording"),
        (lambda b: b.write_text("<parameters/>"), "s.xml cannot be read as the description of a recording"),
        (lambda b: b.write_text(b.read_text().replace(">20000<", ">inf<")), "s.xml says a sampling rate of inf Hz"),
        (lambda b: b.write_bytes(b"\x00\xff"), "s.xml cannot be read as the description of a recording"),
        (
            lambda b: b.write_text("<?xml version='1.0' encoding='none-such'?><a/>"),
            "s.xml cannot be read as the description",
        ),
        (lambda b: [b.with_name(f"s.{k}.{n}").unlink() for k in hc3.FILES for n in (1, 2)], "no group has files"),
        (lambda b: [b.with_name(f"s.spk.{n}").unlink() for n in (1, 2)], "s.spk.1 missing.*s.spk.2 missing"),
        (lambda b: [b.with_name(f"s.clu.{n}").write_text("2\n" + "1\n0\n" * 6) for n in (1, 2)], "no spike belongs"),
    ],
)
def test_a_recording_of_which_nothing_is_left_is_refused(tmp_path, change, said):
    xml = session(tmp_path, "t", "s")
    change(xml)
    with pytest.raises(UserError, match=f"(?s){said}"):
        hc3.load(xml, None)


def test_a_damaged_session_does_not_stop_the_others(tmp_path, capsys):
    xml, _ = two_sessions(tmp_path)
    xml.write_text("<parameters")
    table, text = told(capsys, tmp_path)
    assert table.session_names == ("ec013.27",)
    assert "ec013.412.xml cannot be read as the description of a recording" in text


def test_other_xml_files_beside_a_session(tmp_path, capsys):
    xml, _ = two_sessions(tmp_path)
    for name in ("amplifier.xml", "settings.xml", "._a.xml", "._ec013.412.xml"):
        xml.with_name(name).write_bytes(b"\x00\x05\x16\x07")
    xml.with_name("._ec013.412.spk.1").write_bytes(b"\x00\x05")
    table, text = told(capsys, tmp_path)
    assert len(table.waveform) == 46
    assert "left out, 4:" in text
    assert "amplifier.xml: not of a sorted session: no amplifier.spk.N" in text
    assert "._a.xml: a hidden file" in text


def test_groups_of_another_size_are_left_out(tmp_path, capsys):
    """Two groups of 8 channels and one of 7."""
    xml = session(tmp_path, "t", "s")
    seven = spikes(rows=8, channels=7, seed=3)
    lines = "<channel>{}</channel>"
    group = "".join(lines.format(k) for k in range(16, 23))
    xml.write_text(
        xml.read_text().replace(
            "</channelGroups>", f"<group><channels>{group}</channels><nSamples>32</nSamples></group></channelGroups>"
        )
    )
    seven.swapaxes(1, 2).tofile(xml.with_name("s.spk.3"))
    xml.with_name("s.clu.3").write_text("2\n" + "2\n" * 8)
    xml.with_name("s.res.3").write_text("1\n" * 8)
    table, text = told(capsys, xml)
    np.testing.assert_array_equal(table.waveform, spikes()[:-1])
    assert "left out, 1:" in text
    assert "t/s, group 3: another rate or shape than most groups (20 kHz, 7 x 32, 20 kHz, 8 x 32)" in text


def test_of_equally_common_sizes_that_of_most_channels(tmp_path, capsys):
    session(tmp_path, "t", "a", channels=7)
    session(tmp_path, "t", "b", seed=1)
    tables(tmp_path, [("t", "a"), ("t", "b")])
    table, text = told(capsys, tmp_path)
    np.testing.assert_array_equal(table.waveform, spikes(seed=1)[:-1])
    assert "left out, 2:" in text


def test_recordings_of_another_rate_are_left_out(tmp_path, capsys):
    for k, name in enumerate("abc"):
        session(tmp_path, "t", name, seed=k, rate_kHz=32.552 if name == "b" else 20.0)
    table, text = told(capsys, tmp_path)
    assert (table.rate_kHz, table.session_names) == (20.0, ("a", "c"))
    assert "t/b, group 2: another rate or shape than most groups (32.552 kHz, 8 x 32, 20 kHz, 8 x 32)" in text


def test_clusters_and_spikes_without_content(tmp_path, capsys):
    """A cluster of the table and of the .clu that has no spike, and a spike that is constant."""
    xml = session(tmp_path, "t", "s")
    tables(tmp_path, [("t", "s")], [cell("t", "rat", 1, c, kind="p") for c in (2, 3, 4, 5, 6)])
    clu, spk = xml.with_name("s.clu.1"), xml.with_name("s.spk.1")
    clu.write_text("7\n" + clu.read_text().partition("\n")[2])
    content = np.fromfile(spk, np.int16).reshape(12, -1)
    content[4] = 7
    content.tofile(spk)
    table, text = told(capsys, xml)
    assert "t/s, group 1: 1 spikes that are constant on all channels" in text
    assert len(table.waveform) == 22
    assert "t/1.6" not in table.unit_names
    assert table.isi[0].sum() == 2  # the time of the constant spike counts
    assert "4 units (t/2.2, t/2.3, t/2.4, t/2.5) are not in hc3-cell.csv" in text


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["spk.1", "clu.1", "res.1", "xml", "hc3-cell.csv", "hc3-session.csv"]), st.binary(max_size=1200))
def test_any_bytes_give_a_table_or_a_message(tmp_path_factory, name, content):
    folder = tmp_path_factory.mktemp("bytes")
    xml = session(folder, "t", "s")
    tables(folder, [("t", "s")])
    (folder / name if name.startswith("hc3") else xml.with_name(f"s.{name}")).write_bytes(content)
    try:
        assert isinstance(hc3.load(folder, None), waveforms.WaveformTable)
    except UserError as error:
        assert str(folder) in str(error)  # noqa: PT017
    with pytest.raises(UserError, match="has no column 'x'"):
        hc3.load(folder, "x")
