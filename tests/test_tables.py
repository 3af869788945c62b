"""Tables in the format of their ending."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spiketype import tables
from spiketype.edge import UserError

COLUMNS = {
    "row": np.array(["0", "1, left", "11", "2"]),
    "probability": np.array([0.123456789, np.nan, 1.0, 0.5]),
    "spikes": np.array([1, 2, 3, 10_000]),
    "reason": np.array(["", "too\tfew", "", ""]),
}


@pytest.mark.parametrize(("ending", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_text_has_four_digits_and_nothing_where_missing(tmp_path: Path, ending: str, delimiter: str) -> None:
    path = tmp_path / f"table{ending}"
    tables.write(path, COLUMNS)
    with open(path, newline="") as file:
        head, *rows = list(csv.reader(file, delimiter=delimiter))
    assert head == list(COLUMNS)
    assert rows[0] == ["0", "0.1235", "1", ""]
    assert rows[1] == ["1, left", "", "2", "too\tfew"]
    assert [row[0] for row in rows] == COLUMNS["row"].tolist()


def test_parquet_has_all_digits_and_what_was_read(tmp_path: Path) -> None:
    tables.write(tmp_path / "table.parquet", COLUMNS, {"notes": ["one"]})
    found = pd.read_parquet(tmp_path / "table.parquet")
    assert list(found) == list(COLUMNS)
    np.testing.assert_array_equal(found["probability"], COLUMNS["probability"])
    assert found["spikes"].dtype == np.int64
    assert found.attrs == {"spiketype": '{"notes": ["one"]}'}
    assert [path.name for path in tmp_path.iterdir()] == ["table.parquet"]


@pytest.mark.parametrize("name", ["calls", "calls.xlsx", "calls.csv.gz"])
def test_other_endings_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"--out is {name}: give a name that ends in .csv, .tsv or .parquet"):
        tables.check_ending(Path(name))


def test_what_is_shown_has_units_below_names_and_keeps_what_is_wide(capsys):
    columns = {
        "row": np.array(["unit [1]", "b", "c"]),
        "width_ms": np.array([0.5, np.nan, 1.25]),
        "p_x": np.array([1, 2, 3]),
        "reason": np.array(["x" * 300, "", ""]),
    }
    tables.show(columns, most=2)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["width"]
    assert lines[1] == ["row", "(ms)", "p_x", "reason"]
    assert lines[3:] == [["unit", "[1]", "0.5", "1", "x" * 300], ["b", "2"], ["..."] * 4]
