"""Names of columns in tables of text: blanks around them do not count, and a name may be there once."""

import numpy as np
import pytest

from spiketype.datasets import waveforms
from spiketype.datasets.allen import columns as allen_columns
from spiketype.datasets.allen.table import read_lines
from spiketype.datasets.raphe.sources import read_labels
from spiketype.edge import UserError

STARTS = ["", "\ufeff", "\n \r\n"]  # blank lines are none
BLANKS = ["{}", " {}", "{} ", "\t{}  ", '" {} "', "\u00a0{}"]


def write(path, names, rows, blank="{}", start=""):
    lines = [",".join(blank.format(name) for name in names), *(",".join(map(str, row)) for row in rows)]
    path.write_text(start + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


UNITS = [[k, "PV" if k % 2 else "SOM", f"m{k % 2}", 30.0, k, -k - 1.5, k / 2] for k in range(1, 5)]
UNIT_NAMES = ["unit", "label", "animal", "rate_kHz", "t0", "t1", "t2"]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("blank", BLANKS)
def test_waveforms(tmp_path, blank, start):
    path = write(tmp_path / "a.csv", UNIT_NAMES, UNITS, blank, start)
    for label in (None, "label", " label "):
        table = waveforms.load(path, label)
        assert (table.class_names, table.animal_names, table.rate_kHz) == (("PV", "SOM"), ("m0", "m1"), 30.0)
        np.testing.assert_allclose(table.waveform[:, 0], [row[4:] for row in UNITS])
        assert table.unit_names == ("1", "2", "3", "4")


@pytest.mark.parametrize("twice", ["label", "t1"])
@pytest.mark.parametrize("blank", [" {}", "{} "])
def test_waveforms_with_a_name_twice(tmp_path, blank, twice):
    path = write(tmp_path / "a.csv", [*UNIT_NAMES, blank.format(twice)], [[*row, "1"] for row in UNITS])
    with pytest.raises(UserError, match=rf"column '{twice}' occurs twice"):
        waveforms.load(path)


CELLS = [["565871768", -70.5, 17.2], ["565871769", -71.5, 18.2]]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("blank", BLANKS)
def test_features_of_cells(tmp_path, blank, start):
    path = write(tmp_path / "a.csv", ["specimen_id", "vrest", "tau"], CELLS, blank, start)
    x, ids, missing = allen_columns.read_features(path, ("tau", "vrest", "sag"))
    np.testing.assert_array_equal(x[:, :2], [[17.2, -70.5], [18.2, -71.5]])
    assert (ids, missing) == (["565871768", "565871769"], ("sag",))


@pytest.mark.parametrize(("mark", "point"), [(";", "."), (";", ","), ("\t", "."), ("\t", ",")])
def test_features_between_other_marks(tmp_path, mark, point):
    lines = [["specimen_id", "vrest", "tau"], *CELLS]
    text = "".join(mark.join(str(each).replace(".", point) for each in line) + "\n" for line in lines)
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    x, ids, _ = allen_columns.read_features(tmp_path / "a.csv", ("vrest", "tau"))
    np.testing.assert_array_equal(x, [row[1:] for row in CELLS])
    assert ids == ["565871768", "565871769"]


def test_features_in_upper_case_are_named(tmp_path):
    path = write(tmp_path / "a.csv", ["SPECIMEN_ID", "VREST", "TAU"], CELLS)
    with pytest.raises(UserError, match="it has 'VREST': write the names of its columns as vrest"):
        allen_columns.read_features(path, ("tau", "vrest"))


def test_features_with_a_name_twice(tmp_path):
    path = write(tmp_path / "a.csv", ["specimen_id", "vrest", " vrest"], CELLS)
    with pytest.raises(UserError, match=r"has the column vrest twice"):
        allen_columns.read_features(path, ("vrest",))


@pytest.mark.parametrize("start", STARTS)
def test_lines_of_damage_that_would_fill_the_memory(tmp_path, start):
    (tmp_path / "a.csv").write_text(f"{start}{',' * 100_000}\n1,2,3\n", encoding="utf-8")
    for read in (waveforms.load, allen_columns.read):
        with pytest.raises(UserError, match="has 100001 columns in its first line: it is damaged, or no table"):
            read(tmp_path / "a.csv")


LINES = [["Pvalb-IRES-Cre", "aspiny", "Pvalb+"], ["Sst-IRES-Cre", " aspiny ", "Sst+"]]


@pytest.mark.parametrize("blank", BLANKS)
def test_lines(tmp_path, blank):
    lines = read_lines(write(tmp_path / "a.csv", ["line", "dendrite", "class"], LINES, blank))
    assert lines.of == {("Pvalb-IRES-Cre", "aspiny"): "Pvalb+", ("Sst-IRES-Cre", "aspiny"): "Sst+"}
    path = write(tmp_path / "b.csv", ["line", "dendrite", "class", "class "], [[*row, "x"] for row in LINES])
    with pytest.raises(UserError, match=r"has the column class twice"):
        read_lines(path)


@pytest.mark.parametrize("blank", BLANKS)
def test_labels_of_raphe_cells(tmp_path, blank):
    rows = [["c1", "SER", "131024"], ["c1", "NSER", "131025"]]
    labels = read_labels(write(tmp_path / "a.csv", ["cell", "label", "day"], rows, blank, "\ufeff"))
    assert labels.by_day == {("131024", "c1"): 1, ("131025", "c1"): 0}
    path = write(tmp_path / "b.csv", ["cell", "label", " label"], rows)
    with pytest.raises(UserError, match="column label occurs twice"):
        read_labels(path)


@pytest.mark.parametrize(
    "names",
    [[f"1.{k}" for k in range(1, 13)], ["007", "7", "1e3", "1000"], ["12345678901234567891", "12345678901234567892"]],
)
def test_names_that_look_like_numbers_stay_as_they_are_written(tmp_path, names):
    rng = np.random.default_rng(0)
    rows = [[name, name, 30.0, *rng.normal(size=5).round(3)] for name in names]
    table = waveforms.load(
        write(tmp_path / "a.csv", ["unit", "animal", "rate_kHz", *(f"t{k}" for k in range(5))], rows)
    )
    assert table.level == "unit"
    assert [table.unit_names[k] for k in table.unit] == names
    assert [table.animal_names[k] for k in table.animal] == names


@pytest.mark.parametrize("name", ["cluster_id", "unit_id", "unit_ids"])
def test_ids_under_other_names_are_ids(tmp_path, name):
    rows = [[k, 30.0, k, -k - 1.5, k / 2] for k in (30, 7, 11)]
    text = waveforms.load(write(tmp_path / "a.csv", [name, "rate_kHz", "t0", "t1", "t2"], rows))
    waveform, ids = np.array([row[2:] for row in rows]), np.array([row[0] for row in rows])
    np.savez(tmp_path / "a.npz", waveform=waveform, rate_kHz=30.0, **{name: ids})
    for table in (text, waveforms.load(tmp_path / "a.npz")):
        assert [table.unit_names[k] for k in table.unit] == ["30", "7", "11"]
