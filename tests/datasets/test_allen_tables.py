"""Tables of cells: any columns, any text, any bytes give the right numbers or a message, never a traceback."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketype.datasets.allen.columns import read_features, specimens
from spiketype.datasets.allen.features import FEATURES_27, FEATURES_41
from spiketype.datasets.allen.table import read_lines
from spiketype.edge import UserError

NUMBERS = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))


def save(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "cells.csv"
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    return path


def attempt(reader, *arguments):
    """What the reader gives, or None and its message."""
    try:
        return reader(*arguments), ""
    except UserError as error:
        return None, str(error)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_shuffled_missing_and_extra_columns_give_the_right_numbers(tmp_path_factory, data):
    kept = data.draw(st.lists(st.sampled_from(FEATURES_27), min_size=1, unique=True))
    extra = data.draw(
        st.lists(st.text("abc_ ", min_size=1, max_size=4).map("x".__add__), unique_by=str.strip, max_size=3)
    )
    cells = data.draw(st.integers(1, 4))
    values = {name: data.draw(st.lists(NUMBERS, min_size=cells, max_size=cells)) for name in kept}
    columns = data.draw(st.permutations([*kept, *extra, "specimen_id"]))
    said = {**dict.fromkeys(extra, ["note"] * cells), **values, "specimen_id": [100 + k for k in range(cells)]}
    path = save(tmp_path_factory, [columns, *([said[c][k] for c in columns] for k in range(cells))])
    empty = {name for name in FEATURES_27 if name not in kept or all(v is None for v in values[name])}
    if len(empty) == len(FEATURES_27):
        with pytest.raises(UserError, match=r"cells\.csv has no cell"):
            read_features(path, FEATURES_27)
        return
    x, ids, missing = read_features(path, FEATURES_27)
    assert ids == [str(100 + k) for k in range(cells)]
    assert set(missing) == empty
    for name in kept:
        np.testing.assert_array_equal(x[:, FEATURES_27.index(name)], np.array(values[name], float))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.text(max_size=6), max_size=4), max_size=5), st.sampled_from(["sag", "tau", "specimen_id", ""])
)
def test_any_text_gives_a_table_or_a_message(tmp_path_factory, rows, column):
    path = save(tmp_path_factory, [["ri", column, "note"], *rows])
    found, message = attempt(read_features, path, FEATURES_41)
    if found:
        x, ids, _ = found
        assert len(x) == len(ids) == len(set(ids))
        assert not np.isinf(x).any()
    else:
        assert str(path) in message
    with pytest.raises(UserError, match=r"cells\.csv"):
        read_lines(path)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.integers(-5, 10**20).map(str), st.text("0123456789_. x", max_size=5)), max_size=4))
def test_specimens_are_numbers_or_a_message(names):
    found, message = attempt(specimens, Path("cells.csv"), pd.Series(names, dtype=object))
    if found is None:
        assert "cells.csv" in message
    else:
        assert [str(each) for each in found] == [name.split("_")[0].lstrip("0") or "0" for name in names]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_a_message(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "cells.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cells\.csv"):
        read_features(path, FEATURES_41)
    with pytest.raises(UserError, match=r"cells\.csv"):
        read_lines(path)
