"""A benchmark that is made, made again, continued and verified, through the command line."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spiketype import __main__ as console
from spiketype.bench import command, kinds
from spiketype.bench.make import make
from spiketype.datasets import eap, splits, store
from spiketype.datasets.benchmarks import folder, specification
from spiketype.edge import UserError
from spiketype.simulator.eap import engines
from spiketype.simulator.eap.means import Means
from tests.benchmarks import tiny

pytestmark = pytest.mark.usefixtures("tiny_alone")
CHANGES = 200


def bench(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run the command line; return its exit status and what it says."""
    capsys.readouterr()
    try:
        command.command_line([*map(str, words)])
        status = 0
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return status, told.out, told.err


def test_the_table_says_of_each_sample_what_it_is(made: Path) -> None:
    frame, table = pd.read_parquet(made / folder.SAMPLES), eap.load(made / folder.DATA)
    assert list(frame["id"]) == tiny.samples()["id"].tolist()
    assert list(frame["sample"]) == list(range(80))
    np.testing.assert_array_equal(frame[["x_um", "y_um", "z_um"]].to_numpy(), table.position_um)
    assert set(frame["mtype-random"]) == {"train", "test"}
    assert set(frame["ei-cells"]) == {1, 2}
    assert frame.groupby("cell")["ei-cells"].nunique().max() == 1
    for name, names in {"ei-cells-fold1": tiny.FOLDS[0], "ei-cells-fold2": tiny.FOLDS[1]}.items():
        assert json.loads((made / "splits" / f"{name}.json").read_text())["test"] == sorted(names)


def test_the_lists_are_those_that_training_takes(made: Path) -> None:
    table, frame = eap.load(made / folder.DATA), pd.read_parquet(made / folder.SAMPLES)
    given = table.m_type, table.cell, table.cell_names, 2, 0
    lists = made / "splits" / "mtype-random.json"
    (fold,) = splits.make("lists", *given, lists=lists).folds
    assert list(fold.test) == list(np.flatnonzero(frame["mtype-random"] == "test"))
    (same,) = splits.make("random", *given, test_fraction=0.25).folds
    assert list(same.test) == list(fold.test)


def test_it_is_the_same_in_shares_and_after_a_stop(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, write = tmp_path / "again", engines.write_block
    assert make(tiny.NAME, place, None, Means(workers=0, block_range="2/2")) == place
    assert not folder.is_complete(place)
    with pytest.raises(UserError, match="is unfinished: run spiketype bench make tiny"):
        folder.read(place, tiny.NAME)

    def stop(task: object) -> None:
        write(task)
        raise KeyboardInterrupt

    monkeypatch.setattr(engines, "write_block", stop)
    with pytest.raises(KeyboardInterrupt):
        make(tiny.NAME, place, None, Means(workers=0))
    monkeypatch.setattr(engines, "write_block", write)
    make(tiny.NAME, place, None, Means(workers=0))
    assert tiny.content(place) == tiny.content(made)
    other = shutil.copytree(made, tmp_path / "other")
    (other / folder.MANIFEST).unlink()  # stopped at the very end
    make(tiny.NAME, other, None, Means(workers=0))
    assert tiny.content(other) == tiny.content(made)


def test_one_that_is_there_is_verified_and_not_made_again(
    made: Path, tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "make", None)
    assert bench(capsys, "make", tiny.NAME, "--out", made)[::2] == (
        0,
        f"{made}: is there and whole ({len(tiny.content(made)) - 1} files): nothing is made\n",
    )
    monkeypatch.setattr(specification, "FOLDER", tiny.write(tmp_path / "newer", models, version=2))
    status, _, err = bench(capsys, "make", tiny.NAME, "--out", made)
    assert status == 2
    assert f"{made} holds tiny, version 1, and not tiny, version 2: choose another folder" in err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    status, _, err = bench(capsys, "make", tiny.NAME, "--out", tmp_path / "mine")
    assert status == 2
    assert "holds something else (specification.toml is missing): choose another folder" in err


def test_verify_finds_every_changed_byte(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, rng = shutil.copytree(made, tmp_path / "copy"), np.random.default_rng(0)
    files = sorted(tiny.content(place))
    size = np.array([(place / name).stat().st_size for name in files])
    assert bench(capsys, "verify", place) == (0, f"{place}: {len(files) - 1} files, all as they were written\n", "")
    # Bytes at random, most of which are in few large files; then one in each of some files, the manifest among them.
    large = rng.choice(len(files), CHANGES // 2, p=size / size.sum())
    small = [files.index(folder.MANIFEST), *rng.choice(len(files), CHANGES // 2 - 1, replace=False)]
    for k in [*large, *small]:
        file = place / files[k]
        before = file.read_bytes()
        position, change = int(rng.integers(len(before))), int(rng.integers(1, 256))
        file.write_bytes(before[:position] + bytes([before[position] ^ change]) + before[position + 1 :])
        with pytest.raises(UserError) as error:
            folder.verify(place)
        assert files[k] in str(error.value)
        assert "make it again" in str(error.value)
        file.write_bytes(before)
    manifest = place / folder.MANIFEST
    manifest.write_text(manifest.read_text().replace("\n ", "\n\t", 1))  # it says the same
    assert "its own SHA-256 differs" in bench(capsys, "verify", place)[2]


def test_verify_names_what_is_missing_and_new(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = shutil.copytree(made, tmp_path / "copy")
    (place / "notes.txt").write_text("mine")
    status, _, err = bench(capsys, "verify", place)
    assert status == 2
    assert err == f"error: {place}: notes.txt is new; remove what is not of the benchmark\n"
    for name in ("mtype-random", "ei-cells-fold1"):
        (place / "splits" / f"{name}.json").unlink()
    found = bench(capsys, "verify", place)[2]
    assert f"{place}: 2 files are missing: splits/ei-cells-fold1.json, splits/mtype-random.json; delete" in found
    (place / folder.MANIFEST).unlink()
    assert f"{place / folder.MANIFEST} is missing" in bench(capsys, "verify", place)[2]
    assert "no such does not exist" in bench(capsys, "verify", "no such")[2]


def test_what_lies_about_and_is_no_plain_file_is_named(made: Path, tmp_path: Path) -> None:
    place = shutil.copytree(made, tmp_path / "copy")
    for name, there in (("link", made), ("broken", tmp_path / "nowhere"), ("splits/data", made / folder.DATA)):
        (place / name).symlink_to(there)
        with pytest.raises(UserError, match=rf"{name} is no plain file, but a link or the like; put the file itself"):
            folder.verify(place)
        (place / name).unlink()
    os.mkfifo(place / "pipe")
    with pytest.raises(UserError, match="pipe is no plain file"):
        folder.verify(place)
    (place / "pipe").unlink()
    (place / "samples.parquet.partial").write_text("half")
    with pytest.raises(UserError, match=r"samples.parquet.partial is new; remove what is not of the benchmark"):
        folder.verify(place)
    (place / "samples.parquet.partial").unlink()
    (place / folder.SAMPLES).unlink()
    (place / folder.SAMPLES).symlink_to(made / folder.SAMPLES)
    with pytest.raises(UserError, match=r"samples.parquet is no plain file"):
        folder.verify(place)
    (place / folder.SAMPLES).unlink()
    shutil.copy(made / folder.SAMPLES, place)
    (place / "empty").mkdir()
    assert folder.verify(place) == len(tiny.content(made)) - 1


def test_parts_that_were_changed_are_noticed_though_the_manifest_was_written_anew(made: Path, tmp_path: Path) -> None:
    place = shutil.copytree(made, tmp_path / "copy")
    frame = pd.read_parquet(place / folder.SAMPLES)
    changed = frame.assign(**{"mtype-random": frame["mtype-random"].where(frame.index != 3, "unused")})
    for table in (changed, frame.drop(columns="mtype-random")):
        table.to_parquet(place / folder.SAMPLES, index=False)
        folder.finish(place)
        for check in (folder.verify, lambda path: folder.read(path, tiny.NAME)):
            with pytest.raises(UserError, match="the parts of question mtype-random are not those that were frozen"):
                check(place)
    for missing in (folder.SAMPLES, folder.SPECIFICATION, "splits/ei-cells-fold2.json", folder.DATA):
        shutil.rmtree(place)
        shutil.copytree(made, place)
        (shutil.rmtree if missing == folder.DATA else os.remove)(place / missing)
        (place / folder.MANIFEST).unlink()
        folder.finish(place)
        with pytest.raises(UserError, match=rf"manifest.json has no {missing}: delete"):
            folder.verify(place)


def test_words_may_be_mended_and_nothing_else(made: Path, models: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    """One that was made before is read as it was, but not deposited."""
    place, text = tiny.write(tmp_path / "s", models), (made.parent / "specifications" / "tiny.toml").read_text()
    monkeypatch.setattr(specification, "FOLDER", place)
    (place / "tiny.toml").write_text(
        text.replace("For tests.", "For all tests.").replace("flaws = []", 'flaws = ["x"]')
    )
    assert folder.verify(made) == len(tiny.content(made)) - 1
    assert folder.read(made, tiny.NAME).specification.flaws == ("x",)
    copy = shutil.copytree(made, tmp_path / "copy")
    assert "words that were mended since: remove" in bench(capsys, "zip", tiny.NAME, "--made", copy)[2]
    (copy / folder.MANIFEST).unlink()
    assert bench(capsys, "make", tiny.NAME, "--out", copy, "--workers", "0")[0] == 0
    assert bench(capsys, "zip", tiny.NAME, "--made", copy)[0] == 0
    assert "For all tests." in (copy / folder.CARD).read_text()
    for old, new in (("per_cell = 20", "per_cell = 21"), ("accuracy_over_cells_percent", "accuracy_percent")):
        (place / "tiny.toml").write_text(text.replace(old, new))
        with pytest.raises(UserError, match=r"specification.toml was changed since it was made"):
            folder.read(made, tiny.NAME)


def test_another_division_is_noticed(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a library of another version, or a seed that somebody changed."""
    place = tiny.write(tmp_path / "s", models)
    text = (place / "tiny.toml").read_text()
    (place / "tiny.toml").write_text(text.replace("seed = 0", "seed = 1", 1))
    monkeypatch.setattr(specification, "FOLDER", place)
    with pytest.raises(UserError, match="tiny, question mtype-random: the samples or their division are not those"):
        make(tiny.NAME, tmp_path / "t", None, Means(workers=0))
    assert not folder.is_complete(tmp_path / "t")
    (place / "tiny.toml").write_text(text.replace("optimistic = true", "optimistic = false", 1))
    with pytest.raises(UserError, match=r"mtype-random: the split is optimistic, and it says otherwise"):
        make(tiny.NAME, tmp_path / "u", None, Means(workers=0))


def test_public_files_are_asked_for_and_compared(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place, ours = tiny.write(tmp_path / "s", models), tmp_path / "ours"
    source = '[[source]]\nfile = "a/b.npz"\norigin = "https://x.org/b.npz"\nlicence = "CC BY"\nsha256 = "' + "0" * 64
    text = (place / "tiny.toml").read_text().replace("[generator]", source + '"\n[generator]', 1)
    (place / "tiny.toml").write_text(text)
    monkeypatch.setattr(specification, "FOLDER", place)
    status, _, err = bench(capsys, "make", tiny.NAME, "--out", tmp_path / "t", "--sources", ours)
    assert status == 2
    fetch = r"fetch it from https://x.org/b.npz \(licence: CC BY\)"
    assert re.search(rf"{ours}/a/b.npz is missing: {fetch}, and give --sources FOLDER or set SPIKETYPE_DATA", err)
    (ours / "a").mkdir(parents=True)
    (ours / "a" / "b.npz").write_text("x")
    monkeypatch.setenv("SPIKETYPE_DATA", str(ours))
    assert "is another file than the benchmark's" in bench(capsys, "make", tiny.NAME, "--out", tmp_path / "t")[2]
    assert not (tmp_path / "t").exists()


def test_it_is_told_what_it_takes_and_refused_where_the_disk_is_full(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2, 1, 1))
    words = "make", tiny.NAME, "--out", tmp_path / "t", "--workers", "0"
    status, _, err = bench(capsys, *words)
    assert status == 2
    assert "80 samples, about 1.66 MB (estimates)" in err
    assert "is to hold about 1.66 MB, and 1 bytes are free there: free some space" in err
    assert not (tmp_path / "t" / folder.DATA).exists()
    assert bench(capsys, *words, "--yes")[0] == 0
    assert store.done(tmp_path / "t" / folder.DATA).all()


def test_the_console_command_lists(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["spiketype", "bench", "list"])
    console.main()
    out = capsys.readouterr().out
    assert "tiny (version 1): Tiny" in out
    assert "mtype-random: mtype-random, optimistic; ranked by accuracy_over_cells_percent" in out
    monkeypatch.setattr(sys, "argv", ["spiketype", "bench", "--help"])
    with pytest.raises(SystemExit):
        console.main()
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("list", "make", "verify", "score"))


def test_a_folder_that_is_no_benchmark_is_not_to_be_deleted(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("a,b")
    with pytest.raises(UserError, match=r"is no benchmark \(it has neither manifest.json nor specification.toml\)"):
        folder.verify(tmp_path)
