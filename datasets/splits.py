"""Which samples are trained on and which are tested: at random, by group, by hand. Nothing may leak.

Samples of one group (a cell model, a donor, a recording day) resemble each other more than samples of
another. A split that puts one group on both sides measures how well that group is recognised again, not how
well a new one is named. Such a split is called *optimistic*.

What a split depends on. By group: on the seed, the names of the groups and their labels, never on the order
of the samples. At random: on the seed, the name of a sample's group and the sample's rank inside it, so that
neither the order of the groups in a table nor a further group changes which samples of a group are held out.
"""

import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped
from sklearn.model_selection import StratifiedGroupKFold

from spiketype.edge import UserError, read_json
from spiketype.typed import short

KINDS = ("random", "kfold", "group", "leave-one-out", "lists")
INNER = 4  # parts of a training part, for calibration and the choice of hyperparameters
Rows = tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]  # those that train, those that test


@dataclass(frozen=True)
class Fold:
    """One division of the samples: ``train`` and ``test`` are ascending sample indices."""

    train: Int[np.ndarray, " train"]
    test: Int[np.ndarray, " test"]
    name: str


@dataclass(frozen=True)
class Split:
    """The folds of a split; ``by`` is what is held out: "sample", or the word for a group.

    ``optimistic`` is True if in some fold a group has samples on both sides.
    """

    kind: str
    folds: tuple[Fold, ...]
    optimistic: bool
    by: str


def default_kind(label: Shaped[np.ndarray, " sample"] | None, group: Int[np.ndarray, " sample"] | None) -> str:
    """Return "group" if every class has at least two groups, else "random", which is optimistic."""
    if group is None:
        return "random"
    return "group" if min(map(len, _groups_by_class(_classes(label, group), group))) >= 2 else "random"


def make(
    kind: str,
    label: Shaped[np.ndarray, " sample"] | None,
    group: Int[np.ndarray, " sample"] | None,
    group_names: Sequence[str],
    folds: int,
    seed: int,
    test_fraction: float = 0.1,
    lists: str | Path | None = None,
    by: str = "cell model",
    class_names: Sequence[str] = (),
    instead: str = "random",
) -> Split:
    """Divide the samples of a table into training and test parts.

    Args:
        kind: ``random``: one fold, ``test_fraction`` of every group (as in Buccino et al., EMBC 2018).
            ``kfold``: every sample is tested once, every group spread over all folds.
            ``group``: every group is tested once, in as many folds as asked for, but never more than the
            rarest class has groups. ``leave-one-out``: one fold for each group.
            ``lists``: one fold, from the file ``lists``.
        label: class of each sample, integers or booleans; None if there are no classes (regression).
        group: index into ``group_names``; None if there are no groups.
        group_names: names of the groups.
        folds: number of folds of ``kfold`` and ``group``.
        seed: of the random choices; not negative.
        test_fraction: of ``random``.
        lists: a JSON file ``{"train": [...], "test": [...]}`` of names of groups, or of sample indices.
        by: the word for one group, for messages and the report.
        class_names: of the labels, for messages; by default the labels themselves.
        instead: what the caller's option calls a split that tests groups which are trained on, for messages.

    Raises:
        UserError: unknown kind; a split that these data do not allow; lists that are empty, overlap, or hold
            unknown names; one class alone to train on.
    """
    if kind not in KINDS:
        raise UserError(f"unknown split {kind!r}: choose one of {', '.join(KINDS)}")
    if kind in ("kfold", "group") and folds < 2:
        raise UserError(f"a split needs at least 2 folds, not {folds}")
    if kind in ("group", "leave-one-out") and group is None:
        raise UserError(f"split {kind!r} needs groups, and these data have no groups: choose random, kfold or lists")
    classes = label is not None
    label = _classes(label, group)
    match kind:
        case "random":
            parts = _random(label, group, group_names, seed, test_fraction)
        case "kfold":
            parts = _kfold(label, group, group_names, folds, seed, class_names)
        case "lists":
            parts = _lists(len(label), group, group_names, lists)
        case _:
            assert group is not None
            parts = _by_group(kind, label, group, group_names, folds, seed, by, instead)
    optimistic = group is not None and any(len(shared(part, group)) for part in parts)
    split = Split(kind, tuple(parts), optimistic, "sample" if group is None or optimistic else by)
    check(split, label, group, class_names)
    if classes:
        _check_two(split, label, class_names)
    return split


def inner_folds(
    label: Int[np.ndarray, " row"], group: Int[np.ndarray, " row"], seed: int, parts: int = INNER
) -> list[Rows]:
    """Return the rows (training, test) of each of some parts of a training part, groups apart.

    Raises:
        UserError: too few groups, or samples of each class, to have two classes outside of every part.
    """
    groups, counts = len(np.unique(group)), np.unique(label, return_counts=True)[1]
    if groups >= parts and counts.max(initial=0) >= parts:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class")  # one rarer than there are parts
            split = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
            found = list(split.split(label, label, group))
        if all(len(np.unique(label[train])) > 1 for train, _ in found):
            return found
    raise UserError(
        f"{len(label)} samples of {groups} groups to train on do not divide into {parts} parts by which models are"
        " chosen and calibrated, each with two classes in the others: give more samples, and groups, of each class"
    )


def part_of_each(folds: Sequence[Rows], count: int) -> Int[np.ndarray, " row"]:
    """Return the number of the part that tests each row, of parts that test every row once."""
    found = np.zeros(count, np.int32)
    for number, (_, test) in enumerate(folds):
        found[test] = number
    return found


def rows_of(part: Int[np.ndarray, " row"]) -> list[Rows]:
    """Return the rows (training, test) of each part: the inverse of `part_of_each`."""
    return [(np.flatnonzero(part != number), np.flatnonzero(part == number)) for number in range(int(part.max()) + 1)]


def shared(fold: Fold, group: Int[np.ndarray, " sample"]) -> Int[np.ndarray, " shared"]:
    """Return the groups that have samples on both sides of a fold."""
    return np.intersect1d(group[fold.train], group[fold.test])


def check(
    split: Split,
    label: Shaped[np.ndarray, " sample"],
    group: Int[np.ndarray, " sample"] | None,
    class_names: Sequence[str] = (),
) -> None:
    """Check that no fold is empty, leaks a sample, or, where groups are held out, a group.

    Raises:
        UserError: a fold tests a class that it does not train, or one of its parts is empty.
        AssertionError: a leak, which is a mistake of this module.
    """
    for fold in split.folds:
        if not len(fold.train) or not len(fold.test):
            raise UserError(f"split {split.kind!r}, {fold.name}: nothing left to train or to test on")
        assert not len(np.intersect1d(fold.train, fold.test)), f"{fold.name}: samples on both sides"
        if group is not None and (not split.optimistic or split.kind in ("group", "leave-one-out")):
            assert not len(shared(fold, group)), f"{fold.name}: groups on both sides"
        unseen = np.setdiff1d(label[fold.test], label[fold.train])
        if len(unseen):
            names = ", ".join(class_names[int(k)] if class_names else str(k) for k in unseen)
            raise UserError(
                f"split {split.kind!r}, {fold.name}: classes {names} are tested, but not in the training part: choose "
                f"another split{' or other lists' * (split.kind == 'lists')}"
            )


def _check_two(split: Split, label: np.ndarray, class_names: Sequence[str]) -> None:
    """Refuse a training part of one class."""
    for fold in split.folds:
        if len(found := np.unique(label[fold.train])) == 1:
            only = class_names[int(found[0])] if class_names else found[0]
            raise UserError(
                f"split {split.kind!r}, {fold.name}: all samples to train on are of one class ({only}): choose another "
                "split, or give samples of two classes"
            )


def _random(
    label: np.ndarray, group: np.ndarray | None, names: Sequence[str], seed: int, test_fraction: float
) -> list[Fold]:
    if not 0 < test_fraction < 1:
        raise UserError(f"test fraction {test_fraction} is not between 0 and 1")
    test = [
        rng.permutation(members)[: min(max(1, round(test_fraction * len(members))), len(members) - 1)]
        for members, rng in _strata(label, group, names, seed, least=max(2, round(0.5 / test_fraction) + 1))
    ]
    return [_fold(len(label), np.concatenate(test), "random")]


def _kfold(
    label: np.ndarray,
    group: np.ndarray | None,
    names: Sequence[str],
    folds: int,
    seed: int,
    class_names: Sequence[str],
) -> list[Fold]:
    fold = np.empty(len(label), int)
    for members, rng in _strata(label, group, names, seed, least=folds):
        if len(members) < folds:
            number = int(label[members[0]])
            name = class_names[number] if class_names else number
            count = f"{len(members)} sample{'s' if len(members) > 1 else ''}"
            remedy = f"give --folds {len(members)} or" if len(members) > 1 else "leave it out, or"
            raise UserError(f"{folds} folds, but class {name} has only {count}: {remedy} more samples of it")
        # The offset keeps the first fold from getting the remainder of every stratum.
        fold[rng.permutation(members)] = (np.arange(len(members)) + rng.integers(folds)) % folds
    return [_fold(len(label), np.flatnonzero(fold == i), f"fold {i + 1} of {folds}") for i in range(folds)]


def _strata(
    label: np.ndarray, group: np.ndarray | None, names: Sequence[str], seed: int, least: int
) -> Iterable[tuple[np.ndarray, np.random.Generator]]:
    """Yield each stratum's samples and generator; groups too small to be divided give way to classes."""
    if group is not None and np.bincount(group)[np.unique(group)].min() >= least:
        by, key = group, {int(g): names[g] for g in np.unique(group)}
    else:
        by, key = label, {int(c): str(c) for c in np.unique(label)}
    for value, name in key.items():
        yield np.flatnonzero(by == value), np.random.default_rng([seed, zlib.crc32(name.encode())])


def _by_group(
    kind: str,
    label: np.ndarray,
    group: np.ndarray,
    names: Sequence[str],
    folds: int,
    seed: int,
    by: str,
    instead: str,
) -> list[Fold]:
    per_class = _groups_by_class(label, group)
    alone = [names[groups[0]] for groups in per_class if len(groups) == 1]
    if alone:
        more = f" and {len(alone) - 3} more" if len(alone) > 3 else ""
        raise UserError(
            f"whole {by}s are to be held out, but some classes have a single {by} ({', '.join(alone[:3])}{more}): held "
            f"out, they could not be learned. Choose --split {instead}, which tests on the {by}s it trains on "
            f"(optimistic), or add data with a second {by} per class"
        )
    by_name = sorted(np.unique(group), key=lambda g: names[g])
    if kind == "leave-one-out":
        return [_fold(len(label), np.flatnonzero(group == g), names[g]) for g in by_name]
    folds = min(folds, *map(len, per_class))
    rank = np.empty(max(by_name) + 1, int)
    rank[by_name] = np.arange(len(by_name))
    # One row for each (group, class), groups in order of name: sklearn sees the same table whatever the order
    # of the samples, and counts rows, not samples, so that every class has a group in each fold.
    rows = np.unique(np.stack([rank[group], label], axis=1), axis=0)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    tested = [np.unique(rows[test, 0]) for _, test in splitter.split(rows, rows[:, 1], rows[:, 0])]
    return [
        _fold(len(label), np.flatnonzero(np.isin(rank[group], ranks)), f"fold {i + 1} of {folds}")
        for i, ranks in enumerate(tested)
    ]


def _lists(n_sample: int, group: np.ndarray | None, names: Sequence[str], path: str | Path | None) -> list[Fold]:
    if path is None:
        raise UserError('split \'lists\' needs a JSON file {"train": [...], "test": [...]}')
    expected = f'{path}: expected {{"train": [...], "test": [...]}}, neither empty'
    content = read_json(Path(path), expected)
    sides = [side for name in ("train", "test") if isinstance(side := content.get(name), list) and side]
    if len(sides) < 2:
        raise UserError(expected)
    train, test = (
        np.unique(np.concatenate([_named(item, n_sample, group, names, path) for item in side])) for side in sides
    )
    both = np.intersect1d(train, test)
    if len(both):
        where = f"sample {both[0]}" + ("" if group is None else f" of {names[group[both[0]]]}")
        raise UserError(f"{path}: {len(both)} samples are in both lists, the first is {where}: keep each in one")
    return [Fold(train, test, Path(path).stem)]


def _named(item: object, n_sample: int, group: np.ndarray | None, names: Sequence[str], path: str | Path) -> np.ndarray:
    """Return the samples that one entry of a list stands for."""
    if isinstance(item, int) and not isinstance(item, bool):
        if not 0 <= item < n_sample:
            raise UserError(f"{path}: there is no sample {item}: valid are 0 to {n_sample - 1}")
        return np.array([item])
    valid = [] if group is None else [names[g] for g in np.unique(group)]
    if not isinstance(item, str) or item not in valid:
        known = ", ".join(sorted(valid)) or "none, these data have no groups"
        raise UserError(f"{path}: unknown name {short(item)}: valid names are {known}; or give sample indices")
    return np.flatnonzero(group == list(names).index(str(item)))


def _fold(n_sample: int, test: np.ndarray, name: str) -> Fold:
    """Return the fold that tests ``test`` and trains on all others."""
    held_out = np.zeros(n_sample, bool)
    held_out[test] = True
    return Fold(np.flatnonzero(~held_out), np.flatnonzero(held_out), name)


def _classes(label: np.ndarray | None, group: np.ndarray | None) -> np.ndarray:
    """Return the labels; a single class where there are none."""
    if label is None:
        if group is None:
            raise ValueError("give label, group or both")
        return np.zeros(len(group), int)
    return np.asarray(label)


def _groups_by_class(label: np.ndarray, group: np.ndarray) -> list[np.ndarray]:
    return [np.unique(group[label == c]) for c in np.unique(label)]
