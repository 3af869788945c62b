"""What a run continues from: files of one process, and folders of several."""

import os
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from states import HISTORY, equal, save, state

from spiketype.edge import UserError
from spiketype.train import checkpoints, parts, runs
from spiketype.train.loop import TrainState


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    return tmp_path / "run"


def step_of_newest(folder: Path) -> int:
    found = checkpoints.newest(folder)
    assert found is not None
    return found.step


def test_checkpoint_comes_back(folder: Path) -> None:
    assert checkpoints.newest(folder) is None
    save(folder, 12, state(2.5))
    found = checkpoints.newest(folder)
    assert found is not None
    assert (found.step, found.history) == (12, HISTORY)
    equal(found.state(state()), state(2.5))


def test_a_truncated_checkpoint_is_named(folder: Path) -> None:
    save(folder, 12, state())
    whole = (folder / checkpoints.LAST).read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-1], b"\x01", b"x" * 99, whole + b"x"):
        (folder / checkpoints.LAST).write_bytes(damaged)
        with pytest.raises(UserError, match=r"last.msgpack is damaged.*: delete it and repeat"):
            checkpoints.newest(folder)


def test_of_two_generations_the_one_that_is_whole_is_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (10, 11, 12):
        save(folder, step, state(float(step)))
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"last.msgpack", "previous.msgpack"}
    damaged = bytearray((folder / checkpoints.LAST).read_bytes())
    damaged[-7] ^= 4
    (folder / checkpoints.LAST).write_bytes(damaged)
    found = checkpoints.newest(folder)
    assert found is not None
    assert (found.step, found.history) == (11, [HISTORY[0] | {"step": 11}])
    equal(found.state(state()), state(11.0))
    assert "last.msgpack: is damaged: checkpoints/previous.msgpack, of step 11, is used" in capsys.readouterr().err
    (folder / checkpoints.LAST).unlink()  # a kill between two renames
    assert checkpoints.newest(folder) is not None
    (folder / checkpoints.PREVIOUS).write_bytes(damaged)
    with pytest.raises(UserError, match=r"previous.msgpack is damaged .*: delete it and repeat"):
        checkpoints.newest(folder)


def test_a_damaged_checkpoint_does_not_take_the_place_of_a_whole_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (10, 11):
        save(folder, step, state(float(step)))
    (folder / checkpoints.LAST).write_bytes(b"damaged")
    replace_file, left = os.replace, [2]  # the kill comes before the last of: the write's, to previous, to last

    def killed(source: Path, target: Path) -> None:
        left[0] -= 1
        if left[0] < 1:
            raise KeyboardInterrupt
        replace_file(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            save(folder, 12, state(12.0))
    assert step_of_newest(folder) == 10
    save(folder, 13, state(13.0))
    assert step_of_newest(folder) == 13


def test_a_checkpoint_of_another_network_is_named(folder: Path) -> None:
    small = {"dense": {"kernel": jnp.ones((1, 3)), "bias": jnp.ones(1)}}
    for params in (small, {"other": jnp.ones(2)}):
        save(folder, 12, TrainState(params, {}, optax.adam(1e-3).init(params)))
        found = checkpoints.newest(folder)
        assert found is not None
        with pytest.raises(UserError, match=r"last.msgpack is damaged"):
            found.state(state())


def test_a_failed_write_leaves_the_old_checkpoints(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(folder, 1, state(1.0))
    save(folder, 2, state(2.0))

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            save(folder, 3, state(3.0))
    assert step_of_newest(folder) == 2
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"last.msgpack", "previous.msgpack"}


# ---- in parts


def save_in_parts(folder: Path, step: int) -> None:
    checkpoints.save_in_parts(folder, step, state(float(step)), [row | {"step": step} for row in HISTORY])


def test_parts_come_back_and_two_generations_are_kept(folder: Path) -> None:
    for step in (10, 11, 12):
        save_in_parts(folder, step)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"last.orbax", "previous.orbax"}
    found = checkpoints.newest(folder)
    assert found is not None
    assert (found.path, found.step) == (folder / checkpoints.LAST_PARTS, 12)
    assert found.history == [HISTORY[0] | {"step": 12}]
    for name, step in ((checkpoints.LAST_PARTS, 12.0), (checkpoints.PREVIOUS_PARTS, 11.0)):
        equal(checkpoints.state_in_parts(folder / name, state()), state(step))


def test_damage_in_any_file_of_the_parts_is_named_and_the_older_ones_are_used(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_in_parts(folder, 10)
    save_in_parts(folder, 11)
    last = folder / checkpoints.LAST_PARTS
    files = [path for path in last.rglob("*") if path.is_file()]
    assert len(files) > 5
    rng = np.random.default_rng(0)
    for path in files:
        content = path.read_bytes()
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        for change in (lambda p=path, d=damaged: p.write_bytes(d), path.unlink):
            change()
            assert step_of_newest(folder) == 10, path
            assert "last.orbax: is damaged: checkpoints/previous.orbax, of step 10, is used" in capsys.readouterr().err
        path.write_bytes(content)
    assert step_of_newest(folder) == 11
    (last / "stray").touch()
    with pytest.raises(UserError, match=r"last.orbax/stray is damaged \(its SHA-256 differs"):
        checkpoints.read(last)
    save_in_parts(folder, 12)  # the damaged one is not kept in place of the whole one
    assert checkpoints.read(folder / checkpoints.PREVIOUS_PARTS).step == 10


def test_the_newest_of_both_kinds_is_used(folder: Path) -> None:
    for step, write in ((10, save_in_parts), (20, lambda f, s: save(f, s, state(20.0))), (30, save_in_parts)):
        write(folder, step)
        found = checkpoints.newest(folder)
        assert found is not None
        assert (found.step, found.tree is None) == (step, step != 20)


def test_parts_of_another_network_are_named(folder: Path) -> None:
    save_in_parts(folder, 10)
    for params in ({"dense": {"kernel": jnp.ones((1, 3)), "bias": jnp.ones(1)}}, {"other": jnp.ones(2)}):
        other = TrainState(params, {}, optax.adam(1e-3).init(params))
        with pytest.raises(UserError, match=r"last.orbax is of another network .*: delete it and repeat"):
            checkpoints.state_in_parts(folder / checkpoints.LAST_PARTS, other)
    integers = jax.tree.map(lambda a: a.astype(jnp.int32), state())
    with pytest.raises(UserError, match=r"last.orbax is of another network"):
        checkpoints.state_in_parts(folder / checkpoints.LAST_PARTS, integers)


@pytest.mark.parametrize("renames", [0, 1])
def test_a_kill_between_the_renames_of_parts_loses_none(
    renames: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_in_parts(folder, 10)
    left = [renames]

    def replace(source: Path, target: Path) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        os.replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "os", SimpleNamespace(replace=replace))
        with pytest.raises(KeyboardInterrupt):
            save_in_parts(folder, 11)
    assert step_of_newest(folder) == 10
    assert (folder / "checkpoints/.last.orbax.partial").exists()
    (folder / "checkpoints/.last.orbax.partial.orbax-checkpoint-tmp").mkdir()
    runs.clean(folder)
    assert not list((folder / "checkpoints").glob(".*"))
    save_in_parts(folder, 12)
    assert step_of_newest(folder) == 12


def test_parts_without_a_manifest_are_not_whole(folder: Path) -> None:
    save_in_parts(folder, 10)
    (folder / checkpoints.LAST_PARTS / parts.MANIFEST).unlink()
    with pytest.raises(UserError, match=r"last.orbax is not whole: delete it and repeat the training with --resume"):
        checkpoints.newest(folder)
