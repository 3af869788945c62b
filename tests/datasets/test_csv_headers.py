"""Names of columns in tables of text: blanks around them do not count, and a name may be there once."""

import numpy as np
import pytest

from spiketype.datasets import waveforms
from spiketype.datasets.allen import columns as allen_columns
from spiketype.datasets.allen.table import read_lines
from spiketype.datasets.raphe.sources import read_labels
from spiketype.edge import UserError

BLANKS = ["{}", " {}", "{} ", "\t{}  ", '" {} "', "\u00a0{}"]


def write(path, names, rows, blank="{}", start=""):
    lines = [",".join(blank.format(name) for name in names), *(",".join(map(str, row)) for row in rows)]
    path.write_text(start + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


UNITS = [[k, "PV" if k % 2 else "SOM", f"m{k % 2}", 30.0, k, -k - 1.5, k / 2] for k in range(1, 5)]
UNIT_NAMES = ["unit", "label", "animal", "rate_kHz", "t0", "t1", "t2"]


@pytest.mark.parametrize("start", ["", "\ufeff"])
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


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("blank", BLANKS)
def test_features_of_cells(tmp_path, blank, start):
    path = write(tmp_path / "a.csv", ["specimen_id", "vrest", "tau"], CELLS, blank, start)
    x, ids, missing = allen_columns.read_features(path, ("tau", "vrest", "sag"))
    np.testing.assert_array_equal(x[:, :2], [[17.2, -70.5], [18.2, -71.5]])
    assert (ids, missing) == (["565871768", "565871769"], ("sag",))


def test_features_with_a_name_twice(tmp_path):
    path = write(tmp_path / "a.csv", ["specimen_id", "vrest", " vrest"], CELLS)
    with pytest.raises(UserError, match=r"has the column vrest twice"):
        allen_columns.read_features(path, ("vrest",))


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
