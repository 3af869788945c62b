import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiketype.datasets import splits
from spiketype.edge import UserError

# 13 models, 4 excitatory, names not in alphabetical order on purpose.
NAMES = ("UTPC", "BP", "TTPC2", "BTC", "ChC", "DBC", "STPC", "LBC", "MC", "NBC", "TTPC1", "NGC", "SBC")
EXCITATORY = np.array([name in ("UTPC", "TTPC1", "TTPC2", "STPC") for name in NAMES])
BY_GROUP = st.sampled_from(["group", "leave-one-out"])
GROUP = np.repeat(np.arange(13), 20)
BINARY = EXCITATORY[GROUP].astype(int)


@st.composite
def tables(draw):
    """Label, group, names: 2 to 4 classes of 2 to 6 groups of 1 to 8 samples, in any order."""
    n_group = draw(st.lists(st.integers(2, 6), min_size=2, max_size=4))
    label_of_group = np.repeat(np.arange(len(n_group)), n_group)
    size = draw(st.lists(st.integers(1, 8), min_size=len(label_of_group), max_size=len(label_of_group)))
    group = np.random.default_rng(draw(st.integers(0, 99))).permutation(np.repeat(np.arange(len(size)), size))
    names = draw(st.permutations([f"cell{i}" for i in range(len(size))]))
    return label_of_group[group], group, names


def all_tests(split):
    return np.sort(np.concatenate([fold.test for fold in split.folds]))


@given(
    table=tables(),
    kind=st.sampled_from(["group", "leave-one-out"]),
    folds=st.integers(2, 6),
    seed=st.integers(0, 9),
)
def test_by_group_tests_every_group_once_and_trains_every_class(table, kind, folds, seed):
    label, group, names = table
    split = splits.make(kind, label, group, names, folds, seed)
    np.testing.assert_array_equal(all_tests(split), np.arange(len(label)))
    for fold in split.folds:
        np.testing.assert_array_equal(np.sort(np.r_[fold.train, fold.test]), np.arange(len(label)))
        assert not set(group[fold.train]) & set(group[fold.test])
        assert set(label[fold.train]) == set(label)
        assert kind == "leave-one-out" or set(label[fold.test]) == set(label)
    assert not split.optimistic
    assert split.by == "cell model"


@given(table=tables(), kind=BY_GROUP, data=st.data())
def test_by_group_does_not_see_the_order_of_samples_or_groups(table, kind, data):
    label, group, names = table
    order = np.array(data.draw(st.permutations(range(len(label)))))
    renumber = np.array(data.draw(st.permutations(range(len(names)))))
    new_names = [names[i] for i in np.argsort(renumber)]

    def test_groups(split, group, names):
        return [{names[g] for g in group[fold.test]} for fold in split.folds]

    one = splits.make(kind, label, group, names, 3, 7)
    other = splits.make(kind, label[order], renumber[group[order]], new_names, 3, 7)
    assert test_groups(one, group, names) == test_groups(other, renumber[group[order]], new_names)


@given(folds=st.integers(2, 20), seed=st.integers(0, 99))
def test_kfold_tests_every_sample_once_and_every_group_in_each_fold(folds, seed):
    split = splits.make("kfold", BINARY, GROUP, NAMES, folds, seed)
    np.testing.assert_array_equal(all_tests(split), np.arange(len(GROUP)))
    for fold in split.folds:
        count = np.bincount(GROUP[fold.test], minlength=13)
        assert count.min() >= 20 // folds
        assert count.max() <= -(-20 // folds)
        assert not set(fold.train) & set(fold.test)
    assert split.optimistic
    assert split.by == "sample"


def test_random_holds_out_a_tenth_of_every_group():
    (fold,) = splits.make("random", BINARY, GROUP, NAMES, 5, 0).folds
    np.testing.assert_array_equal(np.bincount(GROUP[fold.test]), 2)
    np.testing.assert_array_equal(np.sort(np.r_[fold.train, fold.test]), np.arange(len(GROUP)))


@pytest.mark.parametrize("kind", ["random", "kfold"])
def test_random_depends_on_the_groups_name_and_the_rank_in_it_alone(kind):
    one = splits.make(kind, BINARY, GROUP, NAMES, 5, 3).folds[0].test
    order = np.argsort(np.arange(len(GROUP)) % 20, kind="stable")  # interleaved, order inside a group kept
    other = splits.make(kind, BINARY[order], GROUP[order], NAMES, 5, 3).folds[0].test
    np.testing.assert_array_equal(np.sort(order[other]), one)
    fewer = splits.make(kind, BINARY[:100], GROUP[:100], NAMES, 5, 3).folds[0].test
    np.testing.assert_array_equal(fewer, one[one < 100])


@pytest.mark.parametrize("kind", ["random", "kfold", "group"])
def test_seed_decides(kind):
    def make(seed):
        return [tuple(fold.test) for fold in splits.make(kind, BINARY, GROUP, NAMES, 4, seed).folds]

    assert make(1) == make(1)
    assert len({tuple(make(seed)) for seed in range(5)}) == 5


@pytest.mark.parametrize("seed", range(20))
def test_four_excitatory_models_go_to_four_folds(seed):
    split = splits.make("group", BINARY, GROUP, NAMES, 5, seed)
    assert len(split.folds) == 4
    for fold in split.folds:
        held_out = np.unique(GROUP[fold.test])
        assert EXCITATORY[held_out].sum() == 1
        assert 2 <= (~EXCITATORY[held_out]).sum() <= 3


def test_donors_with_cells_of_several_classes_stay_together():
    rng = np.random.default_rng(0)
    donor, label = rng.integers(0, 40, 300), rng.integers(0, 3, 300)
    split = splits.make("group", label, donor, [f"d{i}" for i in range(40)], 5, 0, by="donor")
    np.testing.assert_array_equal(all_tests(split), np.arange(300))
    assert not any(len(splits.shared(fold, donor)) for fold in split.folds)
    assert split.by == "donor"


@pytest.mark.parametrize("kind", ["group", "leave-one-out"])
def test_one_model_per_class_cannot_be_held_out(kind):
    with pytest.raises(UserError, match=r"single cell model \(UTPC, BP, TTPC2 and 10 more\).*--split random"):
        splits.make(kind, GROUP, GROUP, NAMES, 5, 0)


def test_default_is_by_group_where_every_class_has_two():
    assert splits.default_kind(BINARY, GROUP) == "group"
    assert splits.default_kind(None, GROUP) == "group"
    assert splits.default_kind(GROUP, GROUP) == "random"
    assert splits.default_kind(BINARY, None) == "random"


def test_without_classes_and_without_groups():
    assert len(splits.make("group", None, GROUP, NAMES, 5, 0).folds) == 5
    split = splits.make("random", BINARY, None, (), 5, 0)
    assert not split.optimistic
    assert len(split.folds[0].test) == 26
    with pytest.raises(UserError, match="have no groups"):
        splits.make("group", BINARY, None, (), 5, 0)


def test_groups_too_small_to_divide_are_divided_by_class():
    donor = np.arange(200) // 2
    (fold,) = splits.make("random", donor % 2, donor, [f"d{i}" for i in range(100)], 5, 0).folds
    np.testing.assert_array_equal(np.bincount(donor[fold.test] % 2), [10, 10])


@pytest.mark.parametrize("size", [2, 3, 5, 7])
def test_a_tiny_store_still_tests_every_class(size):
    label = np.repeat(np.arange(13), size)
    (fold,) = splits.make("random", label, label, NAMES, 5, 0).folds
    assert set(label[fold.test]) == set(label[fold.train]) == set(range(13))


@pytest.mark.parametrize(
    ("kind", "folds", "fraction", "message"),
    [
        ("grup", 5, 0.1, "choose one of random, kfold, group"),
        ("kfold", 1, 0.1, "at least 2"),
        ("kfold", 200, 0.1, "class 0 has only 180 samples: give --folds 180"),
        ("random", 5, 0.0, "between 0 and 1"),
        ("lists", 5, 0.1, "needs a JSON file"),
    ],
)
def test_what_cannot_be_is_said(kind, folds, fraction, message):
    with pytest.raises(UserError, match=message):
        splits.make(kind, BINARY, GROUP, NAMES, folds, 0, fraction)


def from_lists(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return splits.make("lists", BINARY, GROUP, NAMES, 5, 0, lists=path)


def test_lists_by_name_and_by_index(tmp_path):
    split = from_lists(tmp_path / "mine.json", {"train": ["BP", "UTPC"], "test": ["MC", "STPC"]})
    (fold,) = split.folds
    assert {NAMES[g] for g in GROUP[fold.test]} == {"MC", "STPC"}
    assert {NAMES[g] for g in GROUP[fold.train]} == {"BP", "UTPC"}
    assert (split.optimistic, split.by, fold.name) == (False, "cell model", "mine")
    split = from_lists(tmp_path / "mine.json", {"train": [3, 1, 25], "test": [0, 20]})
    np.testing.assert_array_equal(split.folds[0].train, [1, 3, 25])
    assert (split.optimistic, split.by) == (True, "sample")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": ["BP", "UTPC"], "test": ["XX"]}, "unknown name 'XX': valid names are BP, BTC,"),
        (
            {"train": ["BP", "UTPC"], "test": ["BP"]},
            "20 samples are in both lists, the first is sample 20 of BP",
        ),
        ({"train": ["BP", "UTPC"], "test": [260]}, "valid are 0 to 259"),
        ({"train": ["BP", "UTPC"], "test": []}, "neither empty"),
        ({"train": ["BP"]}, "expected"),
        ({"train": ["BP"], "test": [["MC"]]}, "unknown name"),
        ({"train": ["BP"], "test": ["UTPC"]}, "not in the training part"),
        (["BP"], "expected"),
        ("{", "expected"),
    ],
)
def test_bad_lists_are_refused(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        from_lists(tmp_path / "mine.json", content)


def test_missing_lists_are_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.json: No such file"):
        splits.make("lists", BINARY, GROUP, NAMES, 5, 0, lists=tmp_path / "none.json")


def test_check_finds_leaks():
    leak = splits.Fold(np.arange(0, 250), np.arange(240, 260), "f")
    with pytest.raises(AssertionError, match="samples on both sides"):
        splits.check(splits.Split("random", (leak,), True, "sample"), BINARY, GROUP)
    leak = splits.Fold(np.arange(0, 250), np.arange(250, 260), "f")
    with pytest.raises(AssertionError, match="groups on both sides"):
        splits.check(splits.Split("group", (leak,), False, "cell model"), BINARY, GROUP)


def test_one_class_alone_to_train_on_is_refused_by_name(tmp_path):
    label, group = np.repeat([0, 1], 10), np.repeat(np.arange(4), 5)
    lists = tmp_path / "lists.json"
    lists.write_text(json.dumps({"train": ["a"], "test": ["b"]}))
    with pytest.raises(UserError, match=r"all samples to train on are of one class \(round\): choose another split"):
        splits.make("lists", label, group, list("abcd"), 2, 0, lists=lists, class_names=("round", "square"))
    assert len(splits.make("lists", None, group, list("abcd"), 2, 0, lists=lists).folds) == 1  # no classes at all
