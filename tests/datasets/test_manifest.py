"""Damage to the files of a store: each is noticed when the file is read, and named."""

import json
import os
import shutil
import warnings
from pathlib import Path

import eap_store
import numpy as np
import pytest
import xarray as xr
from test_store import VARIABLES, fill, template

from spiketype import reading
from spiketype.datasets import eap, manifest, store
from spiketype.edge import UserError
from tests.torture.flips import changes, files
from tests.torture.flips import store_content as content

FLIPS = 8  # in each file


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cells = (*eap_store.CELLS[:2], ("XY_1", "XY", True))
    return eap_store.write(tmp_path_factory.mktemp("whole") / "s.zarr", cells, per_cell=6, grid=(2, 3))


def outcome(path: Path, name: str, good: dict[str, object]) -> str | None:
    """Read a store with a damaged file; return what the user is told, None if nothing but the truth was read."""
    try:
        found = content(path, name)
    except UserError as error:
        return str(error)
    assert found == {key: good[key] for key in found}
    return None


def test_one_changed_byte_in_any_file_is_named_or_changes_nothing(whole: Path, tmp_path: Path) -> None:
    rng, good, told = np.random.default_rng(0), content(whole), 0
    path = shutil.copytree(whole, tmp_path / "s.zarr")
    for change in changes(path, files(path), FLIPS, rng, lambda name: content(path, name)):
        name, message = change.name, change.error
        assert not change.wrong(path)
        if message:
            told += 1
            place = "done" if name.startswith(manifest.MARKS) else name
            assert place in message or f"{path / name.split('/')[0]} says" in message, (name, message)
            assert "again" in message or "damaged" in message, message
        elif name not in (manifest.FILE, manifest.TEMPLATE, "done/c/0"):
            pytest.fail(f"{name}: byte {change.position} was not noticed")
    assert told > 7 * len(files(path))
    assert content(path) == good


def test_files_that_are_cut_missing_swapped_or_new_are_named(whole: Path, tmp_path: Path) -> None:
    good, path = content(whole), shutil.copytree(whole, tmp_path / "s.zarr")
    for name in files(path):
        file = path / name
        before = file.read_bytes()
        file.write_bytes(before[:-1])
        cut = outcome(path, name, good)
        file.unlink()
        missing = outcome(path, name, good)
        file.write_bytes(before)
        if name == manifest.TEMPLATE:  # it has done its work
            assert (cut, missing) == (None, None)
        elif name == manifest.FILE:
            assert cut is not None
            assert missing is None  # a note, as for older versions
        elif name.startswith(manifest.MARKS):
            assert cut is not None
            assert missing is not None
            assert "is unfinished" in missing
        else:
            assert f"{name} is damaged (its SHA-256 differs)" in str(cut)
            array = name.partition("/")[0]
            assert f"{name} is missing" in str(missing) or f"has no {array}" in str(missing)

    first, second = (path / "amplitude_uV" / "c" / n / "0" for n in ("0", "1"))
    os.rename(first, path / "kept")
    os.rename(second, first)
    os.rename(path / "kept", second)
    assert "amplitude_uV: the chunk of samples 0 to 5 is damaged" in str(outcome(path, "amplitude_uV", good))

    inhibitory = eap_store.write(tmp_path / "i.zarr", eap_store.CELLS[:2], per_cell=6, grid=(2, 3))
    chunk = inhibitory / "excitatory" / "c" / "0"
    assert not chunk.exists()  # all False: Zarr writes no chunk
    shutil.copytree(whole / "excitatory" / "c", chunk.parent)
    with pytest.raises(UserError, match=r"excitatory/c/0 was not there when the store was finished"):
        eap.load(inhibitory)


def test_a_file_that_is_damaged_after_it_was_read_is_noticed(whole: Path, tmp_path: Path) -> None:
    path = shutil.copytree(whole, tmp_path / "s.zarr")
    assert list(store.read(path, "m_type")) == ["BP", "BP", "XY"]
    file = path / "m_type" / "c" / "0"
    file.write_bytes(file.read_bytes().replace(b"XY", b"BP"))
    with pytest.raises(UserError, match="m_type/c/0 is damaged"):
        store.read(path, "m_type")


def test_a_store_without_a_manifest_is_read_with_a_note(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor does damage of its metadata, which nothing tells, end in anything but a sentence."""
    path = shutil.copytree(whole, tmp_path / "s.zarr")
    manifest.remove(path)
    assert content(path) == content(whole)
    assert f"{path}: has no checksums of its files" in capsys.readouterr().err
    rng, refused = np.random.default_rng(1), 0
    for name in files(path):
        if not name.endswith("zarr.json"):
            continue
        before = (path / name).read_bytes()
        for position in rng.integers(0, len(before), FLIPS).tolist():
            changed = bytearray(before)
            changed[position] ^= 1 << int(rng.integers(8))
            (path / name).write_bytes(changed)
            with warnings.catch_warnings(), reading.recorded(silent=True):
                warnings.simplefilter("ignore")  # of Zarr, about what it does not know
                try:
                    eap.load(path)
                    eap.Inputs(path, "waveform", scaled=True).rows(np.arange(3))
                except UserError as error:
                    refused += str(path) in str(error)
        (path / name).write_bytes(before)
    assert refused > 20


def test_the_manifest_is_written_before_the_last_block_is_marked(tmp_path: Path) -> None:
    path = fill(template(tmp_path / "s"), (0, 3, 1))
    assert manifest.read(path) is None
    (path / "cell" / "c" / "0.0a1b2c3d.partial").touch()  # of a writer that was killed
    fill(path, (2,))
    listed = manifest.read(path)
    assert listed is not None
    assert set(listed) == {name for name in files(path) if not name.startswith("done/c")} - {manifest.FILE}
    assert not list(path.rglob("*.partial"))
    store.write_block(path, 6, 2, {"cell": np.full(6, 1, np.int16)})  # it changes: unfinished until it is marked
    assert manifest.read(path) is None
    store.mark_done(path, 2)
    assert store.read(path, "cell")[12:18].tolist() == [1] * 6


def test_a_template_that_was_damaged_before_the_end_is_named(tmp_path: Path) -> None:
    """Its names and attributes have no checksums of their own: the manifest would say that they are as they were."""
    begun = fill(template(tmp_path / "begun"))
    manifest.remove(begun)  # as after the last block
    names = [name for name in files(begun) if name.endswith("zarr.json") or name.startswith(("cell_name", "contact"))]
    assert {"zarr.json", "cell_name/c/0", "contact_um/c/0/0"} <= set(names)
    for name in names:
        path = shutil.copytree(begun, tmp_path / name.replace("/", "-"))
        content = (path / name).read_bytes()
        (path / name).write_bytes(content.replace(b"a", b"b", 1) if b"a" in content else content[:-1])
        with pytest.raises(UserError, match=f"{path}.*(was changed since|cannot be read|damaged)"):
            store.finish(path)
        assert not (path / manifest.FILE).exists()
    store.finish(begun)
    assert set(manifest.read(begun, manifest.TEMPLATE) or ()) >= set(names)


def test_a_kill_while_the_manifest_is_written_leaves_nothing_for_ever(tmp_path: Path) -> None:
    path = fill(template(tmp_path / "s"))
    manifest.remove(path)
    (path / "done/.manifest.json.4711.partial").touch()
    store.finish(path)
    assert not [*path.rglob("*.partial")]


def test_another_process_that_finishes_the_store_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes what this one is just writing for a leftover."""
    path, write = fill(template(tmp_path / "s")), manifest.write_json
    manifest.remove(path)

    def late(file: Path, value: dict[str, object]) -> None:
        write(file, value)  # of the other
        raise FileNotFoundError

    monkeypatch.setattr(manifest, "write_json", late)
    store.finish(path)
    assert manifest.read(path) is not None


def test_a_store_without_samples_has_a_manifest(tmp_path: Path) -> None:
    sizes = {"sample": 0, "channel": 3, "cell_model": 2, "axis": 3}
    path = template(tmp_path / "s", sizes=sizes)
    assert manifest.read(path) is not None
    store.validate(path, "toy", tuple(VARIABLES))
    assert store.read(path, "value_uV").shape == (0, 3)


def test_xarray_opens_a_finished_store_without_a_warning(whole: Path) -> None:
    with xr.open_zarr(whole) as data:  # as the documents say: warnings are errors here
        assert list(data.m_type.values) == ["BP", "BP", "XY"]


def test_the_manifest_is_what_sha256sum_says(whole: Path) -> None:
    import hashlib

    listed = json.loads((whole / manifest.FILE).read_text())["files"]
    for name in ("zarr.json", "m_type/c/0", "eap_uV/c/1/0/0"):
        assert listed[name] == hashlib.sha256((whole / name).read_bytes()).hexdigest()
