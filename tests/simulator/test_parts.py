"""Cell models and probes, which a configuration only names: the content of their files makes a store what it is."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import probeinterface
import pytest
from eap_program import assert_same_bytes
from synthetic_source import stand_in

from spiketype.datasets import manifest, store
from spiketype.edge import UserError
from spiketype.simulator.eap import generate, template
from spiketype.simulator.eap.block_range import Share
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.neuron import cells, membrane

NAMES = [model.name for model in cells.catalogue()[:2]]
HALF = Share(1, 2)


@pytest.fixture(autouse=True)
def _made_up_currents(tmp_path, monkeypatch):
    (tmp_path / "sources").mkdir()
    stand_in(monkeypatch, tmp_path / "sources")


@pytest.fixture
def models(tmp_path) -> Path:
    """A folder of two cell models that may be edited."""
    for model in cells.catalogue()[:2]:
        shutil.copytree(model.path, tmp_path / "models" / model.name)
    return tmp_path / "models"


@pytest.fixture
def config(models) -> EapConfig:
    return EapConfig(cell_models=(str(models),), per_cell=4, probe="mea4x4", threshold_uV=5.0, error_uV=0.01)


def edit(models: Path, name: str) -> None:
    file = models / name / "morphology.hoc"
    file.write_text(file.read_text() + "// edited")


def write_probe(file: Path, pitch_um: float, radius_um: float) -> None:
    shape = {"contact_shapes": "circle", "contact_shape_params": {"radius": radius_um}}
    made = probeinterface.generate_linear_probe(num_elec=4, ypitch=pitch_um, **shape)
    probeinterface.write_probeinterface(file, made)


def make_older(path: Path) -> None:
    """Make of a store one of before it kept what was in the files of cell models and probe."""
    file = path / store.ROOT
    root = json.loads(file.read_text())
    for name in (template.CONTENTS, "contact_shape", "contact_size_um"):
        del root["attributes"][name]
    file.write_text(json.dumps(root))
    (path / manifest.TEMPLATE).unlink()
    manifest.remove(path)


def test_a_cell_model_that_was_edited_added_or_removed_is_refused(tmp_path, models, config):
    whole = generate.generate(config, tmp_path / "whole", 0)
    part = generate.generate(config, tmp_path / "part", 0, HALF)
    edit(models, NAMES[1])
    for path in (whole, part):
        with pytest.raises(UserError, match=rf"{path} .*\(other files or types of {NAMES[1]}\): put .* another --out"):
            generate.generate(config, path, 0)
    (models / NAMES[1]).rename(models / "L5_BP_bAC217_99")
    with pytest.raises(UserError, match=rf"\(without L5_BP_bAC217_99; with {NAMES[1]}\)"):
        generate.generate(config, whole, 0)


def test_types_and_axons_are_part_of_what_a_cell_model_is_and_its_folder_is_not(models):
    published, ours = (cells.catalogue(source)[0] for source in (("bbp",), (models,)))
    assert published.path != ours.path
    assert membrane.content(published) == membrane.content(ours)
    for other in (replace(ours, m_type="other"), replace(ours, axon="full")):
        assert membrane.content(other) != membrane.content(ours)


def test_cached_stores_are_of_the_content_of_files_that_are_named_alike(tmp_path, models, config, monkeypatch):
    made: list[Path] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(generate, "generate", lambda config, out, made_of: made.append(out))
    probe = tmp_path / "probe.json"
    write_probe(probe, 20, 5)
    for project in ("a", "b"):
        shutil.copytree(models, tmp_path / project / "cells")
    edit(tmp_path / "b" / "cells", NAMES[0])
    config = replace(config, cell_models=("cells",), probe=str(probe))
    for project in ("a", "b", "a"):
        monkeypatch.chdir(tmp_path / project)
        generate.cached(config, "n")
    for pitch_um, radius_um in ((30, 5), (20, 6), (20, 5)):
        write_probe(probe, pitch_um, radius_um)
        generate.cached(config, "n")
    shutil.rmtree(tmp_path / "a" / "cells" / NAMES[0])
    generate.cached(config, "n")
    a, b, again, moved, larger, back, fewer = made
    assert a == again == back
    assert len({a, b, moved, larger, fewer}) == 5


def test_a_probe_file_that_changed_is_refused(tmp_path, config):
    file = tmp_path / "probe.json"
    config = replace(config, probe=str(file))
    write_probe(file, 20, 5)
    path = generate.generate(config, tmp_path / "s", 0, HALF)
    assert store.attributes(path, "eap")["contact_shape"] == "circle"
    assert store.attributes(path, "eap")["contact_size_um"] == [[10, 10]] * 4
    for pitch_um, radius_um, expected in ((30, 5, "other contacts"), (20, 6, "contacts of another shape or size")):
        write_probe(file, pitch_um, radius_um)
        with pytest.raises(UserError, match=rf"probe .*probe.json has {expected} there"):
            generate.generate(config, path, 0)


def test_stores_of_before_are_taken_as_they_are_and_continued_with_a_note(tmp_path, models, config, capsys):
    whole = generate.generate(config, tmp_path / "whole", 0)
    part = generate.generate(config, tmp_path / "part", 0, HALF)
    make_older(whole)
    make_older(part)
    capsys.readouterr()
    for path, noted in ((whole, False), (part, True), (part, False)):  # in the end both are whole
        generate.generate(config, path, 0)
        assert (f"{path}: was begun by an older version" in capsys.readouterr().err) == noted


def test_an_empty_folder_becomes_the_store_and_anything_else_is_named(tmp_path, config, monkeypatch):
    for name in ("empty", "notes", "here"):
        (tmp_path / name).mkdir()
    for file in (tmp_path / "notes" / "notes.txt", tmp_path / "file"):
        file.write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    monkeypatch.chdir(tmp_path / "here")
    for place in (*(tmp_path / name for name in ("notes", "file", "link", "here")), Path(".")):
        with pytest.raises(UserError, match=f"^{re.escape(str(place))} exists and is no EAP store: .* another --out$"):
            generate.generate(config, place, 0)
    path = generate.generate(config, tmp_path / "empty", 0)
    assert_same_bytes(path, generate.generate(config, tmp_path / "whole", 0))
