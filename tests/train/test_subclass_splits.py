"""What is held out in the subclass task: sizes of the published split, donors apart, absent classes named."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from spiketype.datasets import allen
from spiketype.edge import UserError
from spiketype.train.tasks.subclass import splits as subclass_splits
from tests import shared_data


@pytest.fixture(scope="module")
def mouse():
    shared_data.path("allen", "mouse_ephys_data.csv")
    table = allen.load(shared_data.path("allen"))
    return table.take(table.subclass >= 0)


def made(kind, table):
    config = SimpleNamespace(split=kind, folds=5, repeats=2, seed=0)
    table = subclass_splits.usable(kind, table)
    return table, *subclass_splits.make(config, table)


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
        assert len(fold.test) >= subclass_splits.LEAST
        assert {table.line_names[k] for k in table.line[fold.test]} == {fold.name}
        assert subclass_splits.absent(table, fold) == []


def test_a_class_that_does_not_train_is_named(mouse):
    vip = mouse.class_names.index("Vip+")
    fold = subclass_splits.Fold(np.flatnonzero(mouse.subclass != vip), np.flatnonzero(mouse.subclass == vip), "x")
    assert subclass_splits.absent(mouse, fold) == ["Vip+"]


def test_one_era_alone_is_refused(mouse):
    one = mouse.take(mouse.rate_kHz == 50)
    with pytest.raises(UserError, match="1 sampling rates: --split era needs two"):
        subclass_splits.usable("era", one)
