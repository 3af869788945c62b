"""The Allen feature tables: published counts, and tables that are not what they should be."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketype.datasets.allen import columns
from spiketype.datasets.allen import database as allen_database
from spiketype.datasets.allen import table as allen
from spiketype.datasets.allen.database import sampling_rates
from spiketype.datasets.allen.features import FEATURES, FEATURES_27, FEATURES_41
from spiketype.datasets.allen.table import SHIPPED
from spiketype.edge import UserError
from tests import shared_data
from tests.datasets import allen_synthetic, two_species


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


def test_no_cell_of_either_species_is_in_another_unit_and_any_that_is_is_named():
    table = allen.load(shared_data.path("allen"))
    for species in (0, 1):
        x = table.x[table.species == species]
        usual = np.nanmedian(x, axis=0)
        for row in x:
            columns.check_units(table.source, row[None], usual, FEATURES_41)
        for k, name in enumerate(FEATURES_41):
            for factor in (1e3, 1e-3):
                with pytest.raises(UserError, match=f"column {name}: median"):
                    columns.check_units(table.source, factor * x[:, k : k + 1], usual[k : k + 1], [name])


def test_the_rule_of_lines_and_dendrites_gives_the_published_subclasses():
    folder = shared_data.path("allen")
    named, ruled = allen.load(folder), allen.load(folder, lines=SHIPPED)
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
        np.testing.assert_array_equal(sampling_rates(table.source, spikes["sid"]), spikes["fs"] / 1000)


def test_columns_may_be_missing_extra_and_in_any_order(tmp_path):
    table = frame()
    path = tmp_path / "cells.csv"
    table[list(table.columns[::-1])].drop(columns=["tau", "ri"]).assign(note="x").to_csv(path, index=False)
    x, ids, missing = columns.read_features(path, FEATURES_41)
    assert set(missing) == {"tau", "ri"}
    assert ids[0] == "100_7"
    assert np.isnan(x[:, FEATURES_41.index("tau")]).all()
    np.testing.assert_allclose(x[:, 0], table["threshold_v"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.assign(sag="much"), "row 2, column sag: 'much' is not a finite number"),
        (lambda t: t.assign(file_name="1_2"), "cell 1_2 occurs twice in column file_name"),
        (lambda t: t.rename(columns={n: f"my_{n}" for n in FEATURES_41}), "has no cell with one of the features"),
        (lambda t: t.iloc[:0], "has no cell"),
        (lambda t: t.assign(sag=np.inf), "is not a finite number"),
        (lambda t: t.assign(file_name=np.nan), "row 2: column file_name, which names the cells, is empty"),
        (lambda t: t.rename(columns={"sag": "ri"}), "has the column ri twice"),
    ],
)
def test_wrong_tables_are_named(tmp_path, change, said):
    path = tmp_path / "cells.csv"
    change(frame()).to_csv(path, index=False)
    with pytest.raises(UserError, match=said) as error:
        columns.read_features(path, FEATURES_41)
    assert str(path) in str(error.value)


def test_units_off_by_a_thousand_are_named(tmp_path):
    x, usual = frame()[list(FEATURES_41)].to_numpy(copy=True), np.ones(41)
    columns.check_units(tmp_path, x, usual, FEATURES_41)
    x[:, 3] *= 1000
    with pytest.raises(UserError, match=r"column peak_i: median .* where 1 is usual"):
        columns.check_units(tmp_path, x, usual, FEATURES_41)


@pytest.mark.parametrize("filler", [-9999, -999, 9999, 1e30])
def test_what_programs_write_where_nothing_was_measured_counts_as_not_measured(tmp_path, capsys, filler):
    both = two_species.tables()
    both["human"].loc[3:6, "ri"] = filler
    table = allen.load(two_species.write(tmp_path / "filled", both))
    assert (
        f"4 values are no measurements, and count as not measured: ri of 5003_1 ({filler:.4g})"
        in capsys.readouterr().err
    )
    both["human"].loc[3:6, "ri"] = np.nan
    np.testing.assert_array_equal(table.x, allen.load(two_species.write(tmp_path / "emptied", both)).x)
    both["human"]["ri"] = -9999
    with pytest.raises(UserError, match="column ri is empty in every cell"):
        allen.load(two_species.write(tmp_path / "all", both))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("vrest", -1000),
        ("vrest", -0.0722),
        ("vrest", 72),
        ("tau", 0.0174),
        ("tau", 1740),
        ("sag", 5.9),
        ("latency", 36),
    ],
)
def test_a_column_that_is_in_another_unit_in_some_rows_counts_as_not_measured_there(tmp_path, capsys, name, wrong):
    both = two_species.tables()
    both["mouse"].loc[3:20, name] = wrong
    table = allen.load(two_species.write(tmp_path / "mixed", both))
    assert f"18 values are no measurements, and count as not measured: {name} of 1003_1" in capsys.readouterr().err
    both["mouse"].loc[3:20, name] = np.nan
    np.testing.assert_array_equal(table.x, allen.load(two_species.write(tmp_path / "emptied", both)).x)


def test_no_published_value_counts_as_not_measured():
    """Results stand on them."""
    folder = shared_data.path("allen")
    for name, features in (
        ("mouse_ephys_data", FEATURES_41),
        ("human_ephys_data", FEATURES_41),
        ("ephys_features", FEATURES_27),
    ):
        x, cells, _ = columns.read_features(folder / f"{name}.csv", features)
        usual = [FEATURES[each].usual for each in features]
        np.testing.assert_array_equal(columns.measured(folder, x, cells, usual, features), x)


@pytest.fixture
def database(tmp_path):
    """The database's own two files of a few cells."""
    allen_synthetic.details().to_csv(tmp_path / allen_database.DETAILS, index=False)
    allen_synthetic.features().to_csv(tmp_path / "ephys_features.csv", index=False)
    return tmp_path


def change(path, edit):
    edit(pd.read_csv(path)).to_csv(path, index=False)


def test_cells_are_joined_grouped_and_what_is_left_out_is_counted(database):
    table = allen.load(database, features=27)
    assert [table.class_names[k] if k >= 0 else "" for k in table.subclass] == allen_synthetic.CLASSES
    assert list(table.rate_kHz) == [200, *[50] * 6]
    assert table.line_names[table.line[0]] == "Rorb-IRES2-Cre"
    assert list(table.line[table.species == 1]) == [-1, -1]
    assert dict(table.left_out) == {
        "line Vip-IRES-Cre with spiny dendrites has no class in lines.csv": 1,
        "sparsely spiny dendrites": 1,
        "line Newly-Made-Cre is not in lines.csv": 1,
    }


def test_a_table_of_lines_of_ones_own(database):
    lines = database / "mine.csv"
    lines.write_text("line,dendrite,class\nNewly-Made-Cre,spiny,new\nSst-IRES-Cre,aspiny,old\nVip-IRES-Cre,aspiny,\n")
    table = allen.load(database, 27, lines)
    mouse = table.take(table.species == 0)
    assert table.class_names == ("new", "old")
    assert sorted((table.line_names[a], b) for a, b in zip(mouse.line, mouse.subclass, strict=True)) == [
        ("Newly-Made-Cre", 0),
        ("Sst-IRES-Cre", 1),
    ]
    assert dict(table.left_out)["line Vip-IRES-Cre with aspiny dendrites has no class in mine.csv"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("line,dendrite\na,spiny\n", "has no column class"),
        ("line,dendrite,Class\na,spiny,x\n", r"has no column class; it has 'Class': rename it\?"),
        ("line,dendrite,class\na,smooth,x\n", "row 2: dendrite is 'smooth', not aspiny or spiny"),
        ("line,dendrite,class\na,spiny,x\na,spiny,y\n", "row 3: a with spiny dendrites occurs twice"),
        ("line,dendrite,class\na,spiny,\n", "gives no line a class"),
    ],
)
def test_wrong_tables_of_lines_are_named(database, text, said):
    (database / "mine.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        allen.load(database, 27, database / "mine.csv")


@pytest.mark.parametrize(
    ("file", "edit", "said"),
    [
        ("ephys_features.csv", lambda t: t.drop(columns="tau"), r"ephys_features\.csv has no column tau"),
        ("ephys_features.csv", lambda t: t.rename(columns={"tau": "Tau"}), r"column tau; it has 'Tau': rename it\?"),
        ("ephys_features.csv", lambda t: t.assign(tau=np.nan), "column tau is empty in all 7 cells"),
        ("ephys_features.csv", lambda t: t.assign(tau=t.tau / 1e3), r"csv, column tau: median 0\.01.* where 17\.4 is"),
        ("ephys_features.csv", lambda t: t.assign(width=1).assign(latency="soon"), "row 2, column latency: 'soon'"),
        ("ephys_features.csv", lambda t: pd.concat([t, t[:1]]), "specimen 700000 is in rows 2 and 12: keep one"),
        ("ephys_features.csv", lambda t: t.assign(specimen_id="x"), "row 2: 'x' is not a specimen"),
        ("ephys_features.csv", lambda t: t[8:8], r"no cell is left\n  9: not in ephys_features\.csv"),
        (allen_database.DETAILS, lambda t: pd.concat([t, t[:1]]), "specimen 700000 is in rows 2 and 12: keep one"),
        (allen_database.DETAILS, lambda t: t.drop(columns="donor__id"), "has no column donor__id"),
        (allen_database.DETAILS, lambda t: t.assign(donor__id=np.nan), "cell 700000 has no donor__id"),
        (
            allen_database.DETAILS,
            lambda t: t.assign(donor__species="Rattus"),
            "no cell is left\n  10: species is Rattus",
        ),
    ],
)
def test_wrong_files_of_the_database_are_named(database, file, edit, said):
    change(database / file, edit)
    with pytest.raises(UserError, match=said) as error:
        allen.load(database, features=27)
    assert str(database) in str(error.value)


def test_columns_of_the_database_in_any_order_and_more_of_them_give_the_same(database):
    before = allen.load(database, features=27)
    change(database / "ephys_features.csv", lambda t: t[t.columns[::-1]].assign(mine="x").iloc[::-1])
    after = allen.load(database, features=27)
    np.testing.assert_array_equal(before.x, after.x)
    np.testing.assert_array_equal(before.specimen_id, after.specimen_id)


def test_columns_without_a_name_are_left_out(database):
    path = database / allen_database.DETAILS
    change(path, lambda t: t.drop(columns="line_name"))
    before = allen.load(database, features=27)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([f",{lines[0]},", *(f"{k},{line},x" for k, line in enumerate(lines[1:]))]))
    after = allen.load(database, features=27)
    np.testing.assert_array_equal(before.specimen_id, after.specimen_id)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            lambda t: t.assign(transgenic_line="Vip"),
            "row 2: transgenic_line 'Vip' is unknown, not one of Glut",
        ),
        (lambda t: t.assign(dendrite_type="bare"), "row 2: dendrite_type 'bare' is unknown, not one of aspiny, spiny"),
        (lambda t: t.drop(columns="width"), "has no column width"),
        (lambda t: t.assign(file_name=["700000_1", "700000_2"]), "specimen 700000 is in rows 2 and 3: keep one"),
        (lambda t: t.assign(file_name=["1_1", "2_2"]), "does not know 2 of its cells, the first is 1"),
        (lambda t: t.assign(width=0.8), r"mouse_.*, column width: median 0\.8 where 0\.000843 is usual"),
        (lambda t: t.assign(width=""), "column width is empty in every cell"),
    ],
)
def test_wrong_published_tables_are_named(database, edit, said):
    table = pd.DataFrame({name: [feature.usual] * 2 for name, feature in FEATURES.items()})
    table = table.assign(file_name=["700000_1", "700001_1"], transgenic_line=["Glutamatergic", "Pvalb+"])
    path = database / "mouse_ephys_data.csv"
    table.assign(dendrite_type=["spiny", "aspiny"]).to_csv(path, index=False)
    assert list(allen.load(database).subclass) == [0, 2]
    change(path, edit)
    with pytest.raises(UserError, match=said) as error:
        allen.load(database)
    assert str(database) in str(error.value)


def test_a_specimen_in_both_published_tables_is_named(database):
    table = pd.DataFrame({name: [feature.usual] for name, feature in FEATURES.items()})
    for species in allen.SPECIES:
        path = database / f"{species}_ephys_data.csv"
        table.assign(file_name="700000_1", dendrite_type="spiny").to_csv(path, index=False)
    with pytest.raises(UserError, match=r"specimen 700000 is in both .*mouse_ephys_data\.csv and .*human_ephys"):
        allen.load(database)


def test_the_command_line_counts_and_names_mistakes(database):
    def run(*options):
        command = [sys.executable, "-m", "datasets.allen", "count", "--data", str(database), *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run("--features", "27")
    assert done.returncode == 0, done.stderr
    assert "7 cells, 4 donors, 27 features" in done.stdout
    assert "left out, 1: line Newly-Made-Cre is not in lines.csv" in done.stdout
    (database / "mine.csv").write_text("line,dendrite,class\nSst-IRES-Cre,aspiny,a\nSst-Cre,aspiny,a\n")
    assert "no cell: line Sst-Cre of" in run("--features", "27", "--lines", str(database / "mine.csv")).stdout
    failed = run()
    assert failed.returncode == 2
    assert "noise_features.csv, which have features of noise sweeps: use the 27 features" in failed.stderr
    assert "Traceback" not in failed.stderr


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(
        [allen_database.DETAILS, "ephys_features.csv", "mouse_ephys_data.csv", "cells.json", "noise_features.csv"]
    ),
    st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)),
)
def test_any_bytes_for_a_file_give_a_message(tmp_path_factory, name, content):
    folder = tmp_path_factory.mktemp("allen")
    allen_synthetic.details().to_csv(folder / allen_database.DETAILS, index=False)
    allen_synthetic.features().to_csv(folder / "ephys_features.csv", index=False)
    (folder / name).write_bytes(content)
    if name == "cells.json":
        (folder / allen_database.DETAILS).unlink()
    with pytest.raises(UserError) as error:
        allen.load(folder, 41 if name in ("mouse_ephys_data.csv", "noise_features.csv") else 27)
    assert str(folder) in str(error.value)
