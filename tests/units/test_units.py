"""``spiketype units``: the shipped model, what it refuses to call, the files it leaves, and phy's own view of them."""

import csv
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from spiketype.datasets import waveforms
from spiketype.datasets.waveforms import phy_writer, shape
from spiketype.datasets.waveforms.table import build
from spiketype.edge import UserError
from spiketype.models.label_shift import prevalence
from spiketype.units import call, command, model, training
from tests.datasets.test_shape import spike

RATE_KHZ = 30.0


def units(to_peak_ms, seed=0):
    """Waveforms with these trough-to-peak times, on two channels, with noise."""
    rng = np.random.default_rng(seed)
    x = np.stack([spike(RATE_KHZ, t, peak=0.25) for t in to_peak_ms])
    return 80 * np.stack([x, 0.4 * x], axis=1) + rng.normal(0, 0.3, (len(x), 2, x.shape[1]))


def table(path, x, **columns):
    return build(path, x, RATE_KHZ, **columns)


@pytest.fixture(scope="module")
def shipped():
    return model.load()


def test_narrow_spikes_are_inhibitory_and_broad_ones_excitatory(shipped, tmp_path):
    found = call.call(table(tmp_path, units([0.25] * 15 + [0.62] * 15)), shipped)
    assert list(found.columns["call"]) == ["inhibitory"] * 15 + ["excitatory"] * 15
    assert (found.columns["probability"] > 0.8).all()
    np.testing.assert_allclose(found.columns["p_excitatory"] + found.columns["p_inhibitory"], 1)
    assert (found.columns["reason"] == "").all()
    assert found.facts["share_excitatory_estimated"] == pytest.approx(0.5, abs=0.05)
    more = call.call(table(tmp_path, units([0.45] * 20)), shipped, share=0.9)
    even = call.call(table(tmp_path, units([0.45] * 20)), shipped)
    odds = [f.columns["p_excitatory"] / f.columns["p_inhibitory"] for f in (more, even)]
    np.testing.assert_allclose(odds[0] / odds[1], 9)


def test_what_cannot_be_measured_is_not_called_and_says_why(shipped, tmp_path):
    x = units([0.62] * 24)
    x[0] *= -1
    x[1] = np.maximum(x[1], -40)
    x[3] = -80 * np.sin(np.arange(x.shape[2]) / 2) * np.exp(-np.arange(x.shape[2]) / 30)  # an artefact, it rings
    found = call.call(table(tmp_path, x), shipped)
    assert list(found.columns["call"][[0, 1, 3]]) == ["no call"] * 3
    assert found.columns["reason"][0].startswith("positive first")
    assert found.columns["reason"][1].startswith("clipped")
    assert found.columns["reason"][3].startswith("unlike")
    assert np.isnan(found.columns["probability"][:2]).all()
    assert list(found.columns["call"][4:]) == ["excitatory"] * 20
    short = call.call(table(tmp_path, x[4:, :, : int(0.9 * RATE_KHZ)]), shipped)
    assert set(short.columns["reason"]) == {"less than 0.5 ms after the trough"}
    between = call.call(table(tmp_path, units([0.45] * 20)), shipped, certain=0.99)
    assert set(between.columns["reason"]) == {call.UNSURE}


def test_intervals_whose_bins_are_not_known_are_not_asked(shipped, tmp_path):
    x = units([0.45] * 20)
    isi = np.random.default_rng(0).integers(0, 90, (20, 50))
    for with_isi in ({}, {"isi": isi}):
        found = call.call(table(tmp_path, x, **with_isi), shipped).columns["p_excitatory"]
        np.testing.assert_array_equal(found, call.call(table(tmp_path, x), shipped).columns["p_excitatory"])


def test_what_is_known_of_the_recording_is_said(shipped, tmp_path):
    few = call.call(table(tmp_path, units([0.25, 0.6])), shipped)
    assert few.facts["time_scale"] is None
    assert "2 units are too few to tell the time scale" in few.notes[0]
    slow = build(tmp_path, units([0.5] * 30), 13.0)  # a rate that is not the file's
    assert any("is 13 kHz the sampling rate?" in note for note in call.call(slow, shipped).notes)
    with pytest.raises(UserError, match="has 10 kHz: below 12 kHz"):
        call.call(build(tmp_path, units([0.5] * 30), 10.0), shipped)
    with pytest.raises(UserError, match="--share is 1"):
        call.call(table(tmp_path, units([0.5] * 3)), shipped, share=1.0)


def test_spikes_are_averaged_by_unit_and_few_of_them_are_not_believed(shipped, tmp_path):
    rng = np.random.default_rng(0)
    each = units([0.25, 0.6, 0.6])
    spikes = np.repeat(each, [40, 40, 3], axis=0)
    spikes = spikes + rng.normal(0, 0.05 * np.abs(spikes).max(), spikes.shape)
    name = np.repeat(["b", "a", "c"], [40, 40, 3])
    order = rng.permutation(len(name))
    found = call.call(table(tmp_path, spikes[order], unit=name[order]), shipped)
    called = dict(zip(found.columns["unit"], found.columns["call"], strict=True))
    assert (called["b"], called["a"], called["c"]) == ("inhibitory", "excitatory", "no call")
    assert "the mean of fewer than 10 spikes" in found.columns["reason"]
    assert found.notes[0] == "83 spikes were averaged by unit"


def test_means_of_few_spikes_are_not_believed(shipped, tmp_path):
    x = units([0.25, 0.6] * 6)
    found = call.call(table(tmp_path, x, spikes=np.r_[9, 10, np.full(10, 500)]), shipped)
    assert found.columns["reason"][0] == "the mean of fewer than 10 spikes"
    assert list(found.columns["call"][:2]) == ["no call", "excitatory"]
    assert "averaged" not in " ".join(found.notes)


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ((), "species and region of these units are not said: units-v1 was trained on auditory cortex"),
        (("Mouse", "CA1", "unknown", ""), "these units are said to be of CA1, Mouse"),
        (("Mus musculus", "VISp", "LP", "Macaca mulatta"), "these units are of LP, Macaca mulatta, and units-v1"),
    ],
)
def test_other_regions_and_species_are_told(shipped, tmp_path, origin, said):
    found = call.call(table(tmp_path, units([0.25] * 10 + [0.6] * 12), origin=origin), shipped)
    assert len(found.notes) == 1
    assert said in found.notes[0]


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_the_share_of_a_mixture_is_found(share):
    rng = np.random.default_rng(0)
    first = rng.random(20000) < share
    logit = rng.normal(np.where(first, 1.5, -1.5), np.sqrt(3))  # for which 1 / (1 + exp(-logit)) is calibrated
    assert prevalence(1 / (1 + np.exp(-logit))) == pytest.approx(share, abs=0.01)


def test_a_model_is_saved_and_read_again(shipped, tmp_path):
    shipped.save(tmp_path)
    again = model.load(tmp_path)
    measured = shape.measure(shape.largest(units([0.3, 0.5, 0.6])), RATE_KHZ)
    np.testing.assert_array_equal(again.shape_logit(measured), shipped.shape_logit(measured))
    assert again.card == shipped.card
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2e6
    (tmp_path / "units-v1.npz").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"units-v1.npz (cannot be read|does not exist).*: copy it again, or train it"):
        model.load(tmp_path)


def test_a_model_whose_arrays_do_not_fit_is_damaged(shipped, tmp_path):
    shipped.save(tmp_path)
    card = (tmp_path / "units-v1.json").read_text()
    whole = dict(np.load(tmp_path / "units-v1.npz"))
    changes = [{"spread": whole["spread"][1:]}, {"wave_sd": -whole["wave_sd"]}, {"usual": np.array(np.nan)}]
    changes += [{"spread": 1e-300 * whole["spread"]}, {"calibration": np.array([1e300, 0])}]
    for change in changes:
        np.savez(tmp_path / "units-v1.npz", **whole | change)
        with pytest.raises(UserError, match="is damaged: copy it again"):
            model.load(tmp_path)
    np.savez(tmp_path / "units-v1.npz", **whole)
    model.load(tmp_path)
    (tmp_path / "units-v1.json").write_text(card.replace('"regions"', '"religions"'))
    with pytest.raises(UserError, match="is damaged: copy it again"):
        model.load(tmp_path)


def test_time_scales_follow_time(shipped):
    x = shape.largest(units(np.random.default_rng(0).uniform(0.2, 0.65, 60)))
    slow, fast = (shipped.time_scale(shape.measure(x, rate)) for rate in (24.0, 36.0))
    assert fast / slow == pytest.approx(1.5, rel=0.2)


def test_a_fit_separates_and_weighs_classes_and_sets_alike(tmp_path):
    def labelled(name, narrow, broad, seed):
        x = shape.largest(units([0.25] * narrow + [0.6] * broad, seed))
        return training.Labelled(
            name, shape.measure(x, RATE_KHZ), np.arange(narrow + broad) >= narrow, np.arange(narrow + broad)
        )

    sets = [labelled("a", 40, 5, 0), labelled("b", 8, 30, 1)]
    held_out = training.leave_one_out(sets, None)
    for each in sets:
        assert ((held_out[each.name] > 0) == each.excitatory).all()
    slope, offset = training.calibration([(held_out[each.name], each.excitatory) for each in sets])
    assert slope > 0
    assert np.isfinite(offset)
    np.testing.assert_allclose(training.balanced(np.array([True, False, False, False])), [0.5, 1 / 6, 1 / 6, 1 / 6])


def test_the_command_leaves_a_table_a_picture_and_text(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez(
        tmp_path / "mine.npz", waveform=units([0.25] * 12 + [0.62] * 12), rate_kHz=RATE_KHZ, unit=np.arange(24)[::-1]
    )
    command.command_line(["mine.npz"])
    shown = capsys.readouterr()
    assert "12 excitatory, 12 inhibitory" in shown.out
    assert "read mine.npz: NumPy .npz, 24 units; 2 channels" in shown.err
    with open("mine.units.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["unit"] for row in rows[:2]] == ["23", "22"]
    frame = pd.read_parquet("mine.units.parquet")
    assert list(frame.columns) == list(rows[0])
    np.testing.assert_allclose(frame["p_excitatory"], [float(row["p_excitatory"]) for row in rows], rtol=1e-3)
    assert (tmp_path / "mine.units.png").read_bytes().startswith(b"\x89PNG")
    assert "trough to peak (ms)" in (tmp_path / "mine.units.svg").read_text()
    text = (tmp_path / "mine.units.md").read_text()
    assert "24 units: 12 excitatory, 12 inhibitory." in text
    assert "upside down" not in text
    assert "It was not tested on other species" in text
    with pytest.raises(SystemExit) as stopped:
        command.command_line(["mine.npz"])
    assert stopped.value.code == 2
    assert "mine.units.csv exists: choose another --out, or give --force" in capsys.readouterr().err
    command.command_line(["mine.npz", "--out", "calls.tsv"])
    assert (tmp_path / "calls.tsv").read_text() == (tmp_path / "mine.units.csv").read_text().replace(",", "\t")
    assert (tmp_path / "calls.parquet").exists()
    for out in ("calls", "calls.npz"):
        with pytest.raises(SystemExit):
            command.command_line(["mine.npz", "--out", out, "--force"])
        assert "give a name that ends in .csv, .tsv or .parquet" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.command_line(["mine.units.csv", "--out", "mine.units.csv", "--force"])
    assert "would replace mine.units.csv, the data themselves" in capsys.readouterr().err
    command.command_line(["mine.npz", "--force", "--flip"])
    assert "24 no call" in capsys.readouterr().out
    assert "turned upside down" in (tmp_path / "mine.units.md").read_text()


def test_the_text_says_what_was_left_out_by_the_reader(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = units([0.25] * 3 + [0.62] * 3)
    x[1] = np.nan
    np.savez(tmp_path / "mine.npz", waveform=x, rate_kHz=RATE_KHZ)
    command.command_line(["mine.npz"])
    text = (tmp_path / "mine.units.md").read_text()
    assert "- 1 of 6 rows are left out: not finite (NaN or infinite): row 1 (unit 1)\n" in text
    assert "5 units: 3 excitatory, 2 inhibitory." in text


def phy_folder(path, x):
    """A folder as phy has it: a template for each cluster, one spike each."""
    path.mkdir()
    np.save(path / "templates.npy", x.swapaxes(1, 2).astype(np.float32))
    np.save(path / "channel_map.npy", np.arange(x.shape[1]))
    np.save(path / "channel_positions.npy", np.c_[np.zeros(x.shape[1]), 20.0 * np.arange(x.shape[1])])
    every = np.arange(len(x))
    for name in ("spike_templates", "spike_clusters"):
        np.save(path / f"{name}.npy", every.astype(np.int32))
    np.save(path / "spike_times.npy", 1000 * (every + 1))
    np.save(path / "amplitudes.npy", np.ones(len(x)))
    (path / "params.py").write_text(
        f"dat_path = []\nn_channels_dat = {x.shape[1]}\ndtype = 'int16'\noffset = 0\n"
        "sample_rate = 30000.\nhp_filtered = False\n"
    )
    return path


def test_phy_shows_the_calls_and_keeps_the_curators_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = phy_folder(tmp_path / "phy", units([0.25] * 10 + [0.62] * 10 + [0.45] * 2))
    (path / "cluster_group.tsv").write_text("cluster_id\tgroup\n3\tgood\n")
    command.command_line([str(path), "--certain", "0.9"])
    assert (path / "cluster_group.tsv").read_text() == "cluster_id\tgroup\n3\tgood\n"
    lines = (path / "cluster_spiketype.tsv").read_text().splitlines()
    assert lines[0] == "cluster_id\tspiketype"
    assert lines[1] == "0\tinhibitory"
    assert lines[-1] == "21\tunsure"
    phylib = pytest.importorskip("phylib.io.model")
    loaded = phylib.load_model(path / "params.py").metadata
    assert loaded["spiketype"][0] == "inhibitory"
    assert loaded["spiketype"][15] == "excitatory"
    assert 0.5 <= float(loaded["spiketype_probability"][21]) < 0.9
    assert waveforms.load(path, "spiketype").class_names == ("excitatory", "inhibitory", "unsure")


def test_calls_that_were_changed_in_phy_are_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = phy_folder(tmp_path / "phy", units([0.25] * 2))
    changed = path / "cluster_spiketype.tsv"
    changed.write_text("cluster_id\tspiketype\n0\texcitatory\n")
    with pytest.raises(SystemExit):
        command.command_line([str(path)])
    assert f"{changed} exists, and may have been changed in phy" in capsys.readouterr().err
    assert changed.read_text().endswith("0\texcitatory\n")
    command.command_line([str(path), "--force"])
    assert changed.read_text().endswith("0\tinhibitory\n1\tinhibitory\n")


def test_phy_folders_that_cannot_be_written_leave_files_that_phy_reads_in_no_other_folder(
    tmp_path, monkeypatch, capsys
):
    def closed(path):  # permissions do not hold those back who run tests as root
        if path.parent.name in ("a", "b"):
            raise UserError("closed")

    monkeypatch.setattr(phy_writer, "check_out", closed)
    here = phy_folder(tmp_path / "here", units([0.25] * 2))  # the folder of another sorting, which can be written
    monkeypatch.chdir(here)
    for name, to_peak_ms in {"a": 0.25, "b": 0.62}.items():
        path = phy_folder(tmp_path / name, units([to_peak_ms] * 2))
        command.command_line([str(path)])
        assert f"copy {name}.units.cluster_spiketype.tsv there as cluster_spiketype.tsv" in capsys.readouterr().err
        assert not (path / "cluster_spiketype.tsv").exists()
    found = [(here / f"{name}.units.cluster_spiketype.tsv").read_text().splitlines()[1] for name in ("a", "b")]
    assert found == ["0\tinhibitory", "0\texcitatory"]
    assert not list(here.glob("cluster_*"))


def test_the_command_starts_without_jax_or_scikit_learn(tmp_path):
    np.savez(tmp_path / "mine.npz", waveform=units([0.25] * 3 + [0.62] * 3), rate_kHz=RATE_KHZ)
    program = (
        "import sys; from spiketype.units import command; command.command_line(['mine.npz']);"
        "print(sorted({'jax', 'flax', 'optax', 'sklearn', 'scipy.stats'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
