"""The Allen feature tables: published counts, and tables that are not what they should be."""

import numpy as np
import pandas as pd
import pytest

from datasets import allen, allen_database, allen_lines, allen_tables
from datasets.allen_features import FEATURES, FEATURES_27, FEATURES_41
from datasets.edge import UserError
from tests import shared_data


def frame(cells=6, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(1, 0.1, (cells, 41)), columns=list(FEATURES_41))
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


def test_the_rule_of_lines_and_dendrites_gives_the_published_subclasses():
    folder = shared_data.path("allen")
    named, ruled = allen.load(folder), allen.load(folder, lines=allen_lines.SHIPPED)
    np.testing.assert_array_equal(named.specimen_id, ruled.specimen_id)
    np.testing.assert_array_equal(named.subclass, ruled.subclass)


def test_published_counts_with_the_features_of_the_database():
    table = allen.load(shared_data.path("allen"), features=27)
    assert (table.feature_names, table.class_names) == (FEATURES_27, allen.CLASSES)
    assert list(np.bincount(table.subclass[table.species == 0])) == [775, 221, 288, 195, 133]
    assert list(np.bincount(table.spiny[table.species == 1])) == [79, 321]
    left_out = dict(table.left_out)
    assert left_out["sparsely spiny dendrites"] == 120
    assert sum(left_out.values()) + len(table.x) == 2333
    published = allen.load(table.source)
    rows = {each: row for row, each in enumerate(table.specimen_id)}
    same = table.take(np.array([rows[each] for each in published.specimen_id]))
    np.testing.assert_allclose(same.x, published.x[:, 14:], rtol=1e-14, atol=1e-15)
    np.testing.assert_array_equal(same.subclass, published.subclass)


def test_usual_values_are_the_medians():
    table = allen.load(shared_data.path("allen"))
    np.testing.assert_allclose([FEATURES[n].usual for n in FEATURES_41], np.nanmedian(table.x, axis=0), rtol=6e-3)


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
        np.testing.assert_array_equal(allen_database.sampling_rates(table.source, spikes["sid"]), spikes["fs"] / 1000)


def test_columns_may_be_missing_extra_and_in_any_order(tmp_path):
    table = frame()
    path = tmp_path / "cells.csv"
    table[list(table.columns[::-1])].drop(columns=["tau", "ri"]).assign(note="x").to_csv(path, index=False)
    x, ids, missing = allen_tables.read_features(path, FEATURES_41)
    assert set(missing) == {"tau", "ri"}
    assert ids[0] == "100_7"
    assert np.isnan(x[:, FEATURES_41.index("tau")]).all()
    np.testing.assert_allclose(x[:, 0], table["threshold_v"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.assign(sag="much"), "row 2, column sag: 'much' is no number"),
        (lambda t: t.assign(file_name="1_2"), "cell 1_2 occurs twice in column file_name"),
        (lambda t: t.rename(columns={n: f"my_{n}" for n in FEATURES_41}), "has no cell with one of the features"),
        (lambda t: t.iloc[:0], "has no cell"),
        (lambda t: t.assign(sag=np.inf), "is no number"),
        (lambda t: t.assign(file_name=np.nan), "row 2: column file_name, which names the cells, is empty"),
        (lambda t: t.rename(columns={"sag": "ri"}), "has the column ri twice"),
    ],
)
def test_wrong_tables_are_named(tmp_path, change, said):
    path = tmp_path / "cells.csv"
    change(frame()).to_csv(path, index=False)
    with pytest.raises(UserError, match=said) as error:
        allen_tables.read_features(path, FEATURES_41)
    assert str(path) in str(error.value)


def test_units_off_by_a_thousand_are_named(tmp_path):
    x, usual = frame()[list(FEATURES_41)].to_numpy(copy=True), np.ones(41)
    allen_tables.check_units(tmp_path, x, usual, FEATURES_41)
    x[:, 3] *= 1000
    with pytest.raises(UserError, match=r"column peak_i: median .* where 1 is usual"):
        allen_tables.check_units(tmp_path, x, usual, FEATURES_41)
