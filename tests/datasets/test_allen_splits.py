"""What is held out of mouse cells: sizes of the published split, donors apart, absent classes named."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from spiketype.datasets.allen import splits
from spiketype.datasets.allen import table as allen
from spiketype.datasets.allen.table import AllenTable
from spiketype.edge import UserError
from tests import shared_data


@pytest.fixture(scope="module")
def mouse():
    shared_data.path("allen", "mouse_ephys_data.csv")
    table = allen.load(shared_data.path("allen"))
    return table.take(table.subclass >= 0)


def made(kind, table):
    table = splits.usable(kind, table)
    return table, *splits.make(kind, table, folds=5, repeats=2, seed=0)


def test_the_published_split_has_its_sizes_and_is_called_optimistic(mouse):
    table, ((fold,),), optimistic = made("published", mouse)
    assert (len(table.x), len(fold.train), len(fold.test)) == (1382, 884, 277)
    assert optimistic
    _, test = train_test_split(np.arange(1382), train_size=0.8, random_state=1)
    np.testing.assert_array_equal(fold.test, np.sort(test))
    assert not np.isin(fold.train, test).any()


@pytest.mark.parametrize("kind", ["donor", "era", "line"])
def test_donors_of_tested_cells_do_not_train(mouse, kind):
    table, parts, optimistic = made(kind, mouse)
    assert not optimistic
    assert len(parts) == (2 if kind == "donor" else 1)
    for fold in (fold for part in parts for fold in part):
        assert not np.isin(table.donor[fold.train], table.donor[fold.test]).any()
    for part in parts:
        tested = np.concatenate([fold.test for fold in part])
        assert len(tested) == len(np.unique(tested))


def test_eras_are_trained_on_one_and_tested_on_the_other(mouse):
    table, ((slow, fast),), _ = made("era", mouse)
    assert (slow.name, fast.name) == ("50 kHz", "200 kHz")
    assert set(table.rate_kHz[slow.test]) == {50.0}
    assert set(table.rate_kHz[slow.train]) == {200.0}
    vip = table.class_names.index("Vip+")
    assert (table.subclass[slow.train] == vip).sum() < 5  # nearly absent at 200 kHz


def test_lines_with_ten_cells_are_left_out_one_at_a_time(mouse):
    table, (part,), _ = made("line", mouse)
    assert len(part) == 25
    for fold in part:
        assert len(fold.test) >= splits.LEAST
        assert {table.line_names[k] for k in table.line[fold.test]} == {fold.name}
        assert splits.absent(table, fold) == []


def test_a_class_that_does_not_train_is_named(mouse):
    vip = mouse.class_names.index("Vip+")
    fold = splits.Fold(np.flatnonzero(mouse.subclass != vip), np.flatnonzero(mouse.subclass == vip), "x")
    assert splits.absent(mouse, fold) == ["Vip+"]


def test_one_era_alone_is_refused(mouse):
    one = mouse.take(mouse.rate_kHz == 50)
    with pytest.raises(UserError, match="1 sampling rates: --split era needs two"):
        splits.usable("era", one)


def synthetic(donors):
    """120 cells of donors with two classes of two lines each, recorded in two eras."""
    number = np.arange(120)
    donor, label = (number % donors).astype(np.int32), (number % 2).astype(np.int32)
    return AllenTable(
        x=np.random.default_rng(0).normal(size=(120, 3)),
        subclass=label,
        spiny=label,
        species=np.zeros(120, np.int32),
        donor=donor,
        specimen_id=number,
        line=(donor % 4).astype(np.int32),
        layer=np.zeros(120, np.int32),
        rate_kHz=np.where(donor % 8 < 4, 50.0, 200.0),
        donor_names=tuple(map(str, range(donors))),
        line_names=("a", "b", "c", "d"),
        layer_names=("5",),
        feature_names=("x", "y", "z"),
        source=Path("synthetic"),
        class_names=("one", "other"),
    )


@pytest.mark.parametrize(
    ("kind", "folds"), [("donor", [5, 5]), ("cell", [5, 5]), ("published", [1]), ("era", [2]), ("line", [4])]
)
def test_every_split_divides_cells_and_says_whether_donors_are_shared(kind, folds):
    table, parts, optimistic = made(kind, synthetic(40))
    assert [len(part) for part in parts] == folds
    shared = [np.isin(table.donor[fold.test], table.donor[fold.train]).any() for part in parts for fold in part]
    assert any(shared) == optimistic
    for fold in (fold for part in parts for fold in part):
        assert not np.isin(fold.test, fold.train).any()


def test_a_training_part_of_too_few_donors_is_refused():
    with pytest.raises(UserError, match=r"fold 1 of 5: training cells of 3 donors, calibration needs 4"):
        made("cell", synthetic(3))
