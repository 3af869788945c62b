"""The stand-in for hippocampal recordings: written in both published forms, and read back."""

import csv
import os
import shutil

import numpy as np
import pytest

from spiketype.datasets import waveforms
from spiketype.datasets.waveforms import hc3 as hc3_reader
from spiketype.edge import UserError
from spiketype.simulator.eap.probes import probe
from spiketype.simulator.neuron import membrane
from spiketype.simulator.shank import files, units
from spiketype.simulator.shank.config import ShankConfig
from spiketype.simulator.shank.generate import _names, generate

SMALL = ShankConfig(animals=2, units=12, spikes=30)


def test_noise_has_the_covariance_it_is_made_with():
    of = units.animal(0, "a")
    contact_um = probe("linear8").contact_um
    space, time = units.noise_factors(of, contact_um)
    drawn = units.noise((space, time), 4000, np.random.default_rng(0))
    assert drawn.std() == pytest.approx(of.noise_uV, rel=0.03)
    found = np.corrcoef(drawn[:, :, 5], rowvar=False)
    apart = np.linalg.norm(contact_um[:, None] - contact_um[None], axis=2)
    np.testing.assert_allclose(found, np.exp(-apart / of.reach_um), atol=0.06)
    in_time = np.corrcoef(drawn[:, 3], rowvar=False)
    assert abs(in_time[10, 11] - in_time[20, 21]) < 0.06  # stationary
    assert in_time[10, 11] > 0.3  # not white


def test_firing():
    for excitatory, rate_Hz in ((True, 2.0), (False, 8.0)):
        each = [units.times_ms(excitatory, 200, np.random.default_rng(k)) for k in range(60)]
        assert min(np.diff(t).min() for t in each) >= 2
        median = np.median([1000 * len(t) / t[-1] for t in each])
        assert rate_Hz / 1.6 < median < rate_Hz * 1.6


def test_the_first_line_of_clu_is_the_number_of_clusters(tmp_path):
    """As Klusters has it, and SpikeInterface demands; it is not the highest number."""
    spikes, shank, cluster = np.zeros((4, 8, 32), np.int16), np.array([1, 1, 1, 2]), np.array([9, 2, 9, 5])
    files.write_session(tmp_path / "s", spikes, shank, cluster, np.arange(4), 20.0)
    assert (tmp_path / "s.clu.1").read_text().split() == ["2", "9", "2", "9"]
    assert (tmp_path / "s.clu.2").read_text().split() == ["1", "5"]


@pytest.mark.parametrize(("animals", "seed"), [(1, 0), (6, 0), (99, 3)])
def test_names_tell_nothing(animals, seed):
    """No session begins like its topdir, most begin like another one; all begin alike, of whatever animal."""
    names = _names(ShankConfig(animals=animals, seed=seed))
    topdirs, sessions = zip(*names, strict=True)
    assert len(set(topdirs)) == len(set(sessions)) == animals
    assert not set(topdirs) & set(sessions)
    assert not any(session.startswith(topdir) for topdir, session in names)
    assert sum(session.startswith(topdirs) for session in sessions) == animals - 1
    assert len({name.partition(".")[0] for name in topdirs + sessions}) == 1


@pytest.mark.parametrize("wrong", [{"animals": 0}, {"spikes": 1}, {"units": 991}, {"seed": -1}])
def test_options_out_of_range_are_named(wrong):
    with pytest.raises(UserError, match=f"--{next(iter(wrong))} is"):
        ShankConfig(**wrong)


@pytest.fixture
def without_neuron(monkeypatch):
    """Units of made-up spikes, so that recordings are written in no time."""

    def unit(seed, animal, number, models, currents, spikes):
        rng = units.generator(seed, animal.name, number, 0)
        model = models[int(rng.integers(len(models)))]
        time = np.arange(224)
        template = -rng.uniform(60, 200, (3, 8, 1)) * np.exp(-(((time - 100) / 8) ** 2))
        firing = units.times_ms(model.excitatory, spikes, rng)
        return units.Unit(model, rng.normal(0, 50, 3), template, 1 / 32, 1.0, firing, 1, 0)

    monkeypatch.setattr(membrane, "simulate", lambda models: {model.name: None for model in models})
    monkeypatch.setattr(units, "factors", lambda sources: [])
    monkeypatch.setattr(units, "unit", unit)


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_another_run_left_gets_into_no_set(tmp_path, without_neuron, monkeypatch):
    """A run of another seed, killed half-way, and one that failed."""
    fresh = content(generate(SMALL, tmp_path / "fresh"))
    other = generate(ShankConfig(animals=3, units=12, spikes=30, seed=5), tmp_path / "other")
    assert not set(content(other)) & {name for name in fresh if name.endswith((".dat", ".xml"))}
    for name in (".made.partial", f".made.{os.getpid()}.partial"):
        shutil.copytree(other, tmp_path / name)
    assert content(generate(SMALL, tmp_path / "made")) == fresh
    assert waveforms.load(tmp_path / "made" / "hc3").animal_names == ("sim00001", "sim00002")
    assert not (tmp_path / f".made.{os.getpid()}.partial").exists()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_table", full)
    with pytest.raises(OSError, match="No space"):
        generate(SMALL, tmp_path / "full")
    assert not [path.name for path in tmp_path.iterdir() if "full" in path.name]


def test_the_stream_says_its_animals_in_a_table(tmp_path, without_neuron):
    out = generate(SMALL, tmp_path / "made")
    assert (out / "stream" / "animals.csv").read_text().split() == [
        *("session,animal", "sim00001.01,sim00001"),
        "sim00002.01,sim00002",
    ]
    assert waveforms.load(out / "stream").animal_names == ("sim00001", "sim00002")


@pytest.mark.slow
def test_both_forms_are_read_back_alike(tmp_path, capsys):
    out = generate(SMALL, tmp_path / "made")
    stream, hc3 = waveforms.load(out / "stream"), hc3_reader.load(out / "hc3", None)
    assert stream.waveform.shape == (720, 8, 32)
    assert (len(stream.unit_names), stream.animal_names) == (24, ("sim00001", "sim00002"))
    assert hc3.animal_names == stream.animal_names
    assert "unknown" not in capsys.readouterr().err

    def rows(table):
        return {(w.tobytes(), table.class_names[k]) for w, k in zip(table.waveform, table.label, strict=True)}

    assert rows(stream) == rows(hc3)
    assert np.all(stream.waveform.mean(axis=0).argmin(axis=1) >= units.TROUGH - 2)
    cells, sessions = (
        list(csv.reader((out / "hc3" / f"hc3-{name}.csv").read_text().splitlines())) for name in ("cell", "session")
    )
    assert hc3.unit_names == tuple(sorted(f"{row[1]}/{row[3]}.{row[4]}" for row in cells))
    assert [(row[1], row[2]) for row in sessions] == _names(SMALL)
    for _, topdir, session, *_, duration_s in sessions:
        assert (out / "hc3" / topdir / session / f"{session}.xml").is_file()
        assert float(duration_s) > 1
    again = generate(SMALL, tmp_path / "again")
    for path in sorted(p.relative_to(out) for p in out.rglob("*") if p.is_file()):
        assert (out / path).read_bytes() == (again / path).read_bytes(), path
    with pytest.raises(UserError, match="exists already"):
        generate(SMALL, out)
