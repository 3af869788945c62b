"""The Allen feature tables: published counts, and tables that are not what they should be."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import allen
from datasets.edge import UserError
from tests import shared_data


def frame(cells=6, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(1, 0.1, (cells, 41)), columns=list(allen.FEATURES_41))
    return table.assign(file_name=[f"{100 + k}_7" for k in range(cells)])


def test_published_counts():
    table = allen.load(shared_data.path("allen"))
    mouse = table.take(table.species == 0)
    assert list(np.bincount(mouse.subclass)) == [700, 199, 231, 173, 121]
    assert list(np.bincount(table.spiny[table.species == 1])) == [68, 231]
    assert len(np.unique(mouse.donor)) == 809
    assert np.isfinite(mouse.x).all(axis=1).sum() == 1382
    for donor in np.unique(mouse.donor)[:50]:
        assert len(np.unique(mouse.subclass[mouse.donor == donor])) == 1


def test_lines_layers_and_recording_eras():
    table = allen.load(shared_data.path("allen"))
    mouse = table.take(table.species == 0)
    count = dict(zip(table.line_names, np.bincount(mouse.line), strict=True))
    assert (count["Rorb-IRES2-Cre"], count["Htr3a-Cre_NO152"], count["Chat-IRES-Cre-neo"]) == (140, 124, 50)
    assert (table.line[table.species == 1] == -1).all()
    assert set(table.layer_names) == {"1", "2", "2/3", "3", "4", "5", "6", "6a", "6b"}
    fast = [int((mouse.rate_kHz[mouse.subclass == k] == 200).sum()) for k in range(5)]
    assert fast == [404, 88, 115, 86, 3]  # of 700, 199, 231, 173, 121
    assert (table.rate_kHz[table.species == 1] == 200).sum() == 11
    with np.load(shared_data.path("allen", "single_spike.npz")) as spikes:  # made from the recordings themselves
        np.testing.assert_array_equal(
            allen.sampling_rates(table.source / allen.EPHYS, spikes["sid"]), spikes["fs"] / 1000
        )


def test_columns_may_be_missing_extra_and_in_any_order(tmp_path):
    table = frame()
    path = tmp_path / "cells.csv"
    table[list(table.columns[::-1])].drop(columns=["tau", "ri"]).assign(note="x").to_csv(path, index=False)
    x, ids, missing = allen.read_features(path, allen.FEATURES_41)
    assert set(missing) == {"tau", "ri"}
    assert ids[0] == "100_7"
    assert np.isnan(x[:, allen.FEATURES_41.index("tau")]).all()
    np.testing.assert_allclose(x[:, 0], table["threshold_v"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.assign(sag="much"), "row 2, column sag: 'much' is no number"),
        (lambda t: t.assign(file_name="1_2"), "cell 1_2 occurs twice in column file_name"),
        (lambda t: t.rename(columns=dict.fromkeys(allen.FEATURES_41, "other")), "has no cell with one of the features"),
        (lambda t: t.iloc[:0], "has no cell"),
        (lambda t: t.assign(sag=np.inf), "is no number"),
    ],
)
def test_wrong_tables_are_named(tmp_path, change, said):
    path = tmp_path / "cells.csv"
    change(frame()).to_csv(path, index=False)
    with pytest.raises(UserError, match=said) as error:
        allen.read_features(path, allen.FEATURES_41)
    assert str(path) in str(error.value)


def test_units_off_by_a_thousand_are_named(tmp_path):
    x, usual = frame()[list(allen.FEATURES_41)].to_numpy(copy=True), np.ones(41)
    allen.check_units(tmp_path, x, usual, allen.FEATURES_41)
    x[:, 3] *= 1000
    with pytest.raises(UserError, match=r"column peak_i: median .* where 1 is usual"):
        allen.check_units(tmp_path, x, usual, allen.FEATURES_41)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_a_table_or_a_message(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "cells.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cells\.csv"):
        allen.read_features(path, allen.FEATURES_41)
