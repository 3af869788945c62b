"""The store and the table of raphe cells, and the command that makes them."""

import shutil
from dataclasses import fields, replace

import numpy as np
import pytest

from spiketype.datasets import manifest, splits, store
from spiketype.datasets.raphe import sources
from spiketype.datasets.raphe import table as raphe
from spiketype.datasets.raphe.__main__ import command_line
from spiketype.datasets.raphe.options import SpikeOptions
from spiketype.datasets.raphe.table import write
from spiketype.edge import UserError
from tests.datasets.raphe_synthetic import recording


def labels_none():
    return sources.read_labels(None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two days of two classes, with a name on two days, and bad files among them."""
    root = tmp_path_factory.mktemp("rig")
    for k, (label, day, name) in enumerate(
        [("SER", "131024", "c1"), ("NSER", "131024", "c2"), ("SER", "140121", "c1"), ("NSER", "140121", "c3")]
    ):
        path = root / label / day / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, current=recording(np.arange(0.2, 4, 0.4), 4.2, seed=k), rate_Hz=40_000)
    (root / "SER" / "131024" / "empty.abf").write_bytes(b"")
    (root / "SER" / "131024" / "text.abf").write_text("these are no data")
    np.savez(root / "SER" / "131024" / "quiet.npz", current=np.zeros(50_000), rate_Hz=40_000)
    return root


@pytest.fixture(scope="module")
def cells(folder):
    return sources.extract([folder], SpikeOptions(), sources.ReadOptions(), labels_none())


@pytest.fixture(scope="module")
def table(cells, tmp_path_factory):
    out = tmp_path_factory.mktemp("store") / "raphe.zarr"
    return raphe.load(write(out, cells[0], {"made": "by a test"}, cells[1]))


def test_the_table(table):
    assert table.spike_pA.shape == (40, 160)
    assert set(table.cell_names) == {"131024/c1", "140121/c1", "c2", "c3"}
    assert table.day_names == ("131024", "140121")
    np.testing.assert_array_equal(table.label, table.cell_label[table.cell])
    np.testing.assert_array_equal(table.day, table.cell_day[table.cell])
    named = dict(zip(table.cell_names, table.cell_label, strict=True))
    assert (named["131024/c1"], named["c2"]) == (1, 0)
    np.testing.assert_allclose(table.cell_udi_ms, 1.2, atol=0.08)
    assert table.atypical.tolist() == [0, 0, 0, 0]
    assert table.noise_pA.shape[1] == 160
    assert set(table.noise_cell) == {0, 1, 2, 3}
    assert len(table.spike_pA) == len(table.udi_ms) == len(table.snr) == len(table.isi_ms)


def test_cells_in_memory_give_the_table_of_their_store_bit_by_bit(cells, table, tmp_path):
    silent = [replace(c, label=-1, spikes=replace(c.spikes, noise_pA=c.spikes.noise_pA[:0])) for c in cells[0]]
    for given, stored in ((cells, table), ((silent, []), None)):
        stored = stored or raphe.load(write(tmp_path / "silent.zarr", given[0], {}, given[1]))
        found = raphe.of_cells(*given, source=tmp_path)
        assert found.store == tmp_path
        for field in fields(found):
            ours, theirs = getattr(found, field.name), getattr(stored, field.name)
            if isinstance(ours, np.ndarray):
                assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
                assert ours.tobytes() == theirs.tobytes()
            elif field.name != "store":
                assert ours == theirs


@pytest.mark.parametrize("name", ["snr", "spike_pA", "drift_pA", "time_s"])
def test_cells_with_values_that_are_not_finite_are_refused(cells, tmp_path, name):
    """In memory and when they are written: `load` would refuse the store."""
    first, second = cells[0][:2]
    values = getattr(second.spikes, name)
    wrong = np.full_like(values, np.nan) if isinstance(values, np.ndarray) else np.nan
    bad = [first, replace(second, spikes=replace(second.spikes, **{name: wrong}))]
    said = rf"{name} of {second.source} is not finite: leave this recording out"
    with pytest.raises(UserError, match=rf"rig: {said}"):
        raphe.of_cells(bad, (), tmp_path / "rig")
    with pytest.raises(UserError, match=rf"x\.zarr: {said}"):
        write(tmp_path / "x.zarr", bad, {})
    assert not (tmp_path / "x.zarr").exists()


def test_a_written_store_says_what_time_is(cells, table):
    attributes = store.open_dataset(table.store)["time_s"].attrs
    assert attributes["units"] == "s"
    assert attributes["long_name"] == "seconds since start of the recording, pauses included; -1 unknown"


def test_a_store_of_an_older_version_tells_less(table, tmp_path):
    shutil.copytree(table.store, tmp_path / "old.zarr")
    shutil.rmtree(tmp_path / "old.zarr" / "clipped")
    with pytest.raises(UserError, match=r"clipped/zarr.json is missing"):
        raphe.load(tmp_path / "old.zarr")
    manifest.write(tmp_path / "old.zarr")  # an older version knows of no such array
    assert raphe.load(tmp_path / "old.zarr").clipped.tolist() == [-1] * 4
    assert table.clipped.tolist() == [0] * 4


def test_what_was_left_out_is_listed(table):
    reasons = {file.rsplit("/", 1)[1]: why for file, why in table.left_out}
    assert set(reasons) == {"empty.abf", "text.abf", "quiet.npz"}
    assert "empty" in reasons["empty.abf"]
    assert "not an ABF" in reasons["text.abf"]
    assert "no spike" in reasons["quiet.npz"]


def test_days_and_cells_can_be_held_out(table):
    days = splits.make("leave-one-out", table.label, table.day, table.day_names, 5, 0, by="day")
    assert [f.name for f in days.folds] == ["131024", "140121"]
    assert not days.optimistic
    cells = splits.make("group", table.label, table.cell, table.cell_names, 2, 0, by="cell")
    assert len(cells.folds) == 2


def test_a_cell_given_twice_is_left_out(folder, tmp_path):
    again = tmp_path / "131024" / "c2.npz"
    again.parent.mkdir()
    again.write_bytes((folder / "NSER" / "131024" / "c2.npz").read_bytes())
    paths = [folder / "NSER" / "131024" / "c2.npz", again]
    cells, left_out = sources.extract(paths, SpikeOptions(), sources.ReadOptions(), labels_none())
    assert len(cells) == 1
    assert left_out[0][0] == str(again)
    assert "is already there" in left_out[0][1]


def test_the_command(folder, tmp_path, capsys):
    command = ["extract", str(folder), "--out", str(tmp_path / "s"), "--threshold-pa", "-40", "--align", "trough"]
    command_line(command)
    said = capsys.readouterr().out
    assert "left out, 3:" in said
    assert "serotonergic" in said
    config = store.config(store.attributes(tmp_path / "s", "raphe"))
    assert config["spikes"]["threshold_pA"] == -40
    with pytest.raises(SystemExit):
        command_line(command)
    assert "exists already" in capsys.readouterr().err


def test_nothing_to_write(tmp_path, capsys):
    (tmp_path / "a.abf").write_bytes(b"")
    with pytest.raises(SystemExit):
        command_line(["extract", str(tmp_path / "a.abf"), "--out", str(tmp_path / "s")])
    assert "no spike was found in any of the recordings" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
