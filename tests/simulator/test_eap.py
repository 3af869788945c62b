"""The EAP store writer: its samples, its command line, and that neither workers nor interruptions change a byte."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
import zarr
from eap_program import alive, assert_same_bytes, blocks_done, folder_of, start, wait_for
from synthetic_source import attempted

from spiketype.datasets import eap, manifest, splits, store, waveforms
from spiketype.edge import UserError
from spiketype.simulator.eap import blocks, features, generate, placement, recording, template
from spiketype.simulator.eap.__main__ import command_line
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.neuron import cells, membrane, portal

HERE = Path(__file__).parent
NAMES = [model.name for model in cells.catalogue()[:6]]
FEATURES = ("amplitude_uV", "width_ms", "fwhm_ms", "depolarising_uV_per_ms", "repolarising_uV_per_ms")
PLACED = ("cell", "spike", "candidate", "position_um", "rotation")


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.fixture
def made_up(sources):
    return lambda models, workers=None: attempted(sources, models)


@pytest.fixture(autouse=True)
def _made_up_currents(request, monkeypatch, made_up):
    if "slow" not in request.keywords:
        monkeypatch.setattr(membrane, "attempt", made_up)
        monkeypatch.setattr(template, "versions", dict)  # the git commit may change while the tests run


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    return folder_of(tmp_path_factory.mktemp("models") / "six", NAMES)


@pytest.fixture
def small(models):
    """Settings of a store that takes a second."""

    def make(**other):
        settings = {"per_cell": 24, "probe": "mea4x4", "threshold_uV": 5.0, "error_uV": 0.01}
        return EapConfig(**(settings | {"cell_models": (str(models),)} | other))

    return make


def read(path: Path, names=(*PLACED, *FEATURES), cell: int | None = None) -> dict[str, np.ndarray]:
    arrays = {name: store.read(path, name) for name in names}
    return arrays if cell is None else {n: a[store.read(path, "cell") == cell] for n, a in arrays.items()}


def test_workers_and_interruptions_change_no_byte(tmp_path, models):
    common = ("--cell-models", str(models), "--per-cell", "1000", "--probe", "mea4x4", "--threshold-uv", "5")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = start(whole, *common, "--workers", "2")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out == f"{whole}\n"
    assert "6000/6000" in err

    process = start(broken, *common, "--workers", "1")
    wait_for(broken.exists)
    time.sleep(0.3)  # workers are starting
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does: to the whole group
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "the same command continues" in err
    assert "Traceback" not in err

    process = start(broken, *common, "--workers", "1")
    wait_for(lambda: blocks_done(broken) >= 2)
    process.kill()
    process.communicate()
    wait_for(lambda: not alive(process.pid))  # the workers as well
    assert 2 <= blocks_done(broken) < 60  # 30 ms each: enough of them to come in between on a busy machine
    with pytest.raises(UserError, match="unfinished"):
        store.validate(broken, "eap", ())

    for partial in broken.rglob("*.partial"):  # of the one that was killed, long ago
        os.utime(partial, (0, 0))
    process = start(broken, *common, "--workers", "2")
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert_same_bytes(whole, broken)


def test_a_sample_depends_on_neither_the_other_cells_nor_the_number_of_samples(tmp_path, small):
    alone = (str(folder_of(tmp_path / "alone", NAMES[2:3])),)
    few = generate.generate(small(), tmp_path / "few", 0)
    whole = generate.generate(small(per_cell=100, cell_models=alone), tmp_path / "whole", 0)
    many = generate.generate(small(per_cell=300, cell_models=alone), tmp_path / "many", 0)
    assert [len(store.done(path)) for path in (few, whole, many)] == [6, 1, 3]
    names = [n for n in (*PLACED, *FEATURES, "eap_uV") if n != "cell"]
    of_few, of_whole, of_many = read(few, names, 2), read(whole, names), read(many, names)
    for name in names:
        np.testing.assert_array_equal(of_whole[name][:24], of_few[name], name)
        np.testing.assert_array_equal(of_many[name][:100], of_whole[name], name)
    for block in of_many["candidate"].reshape(3, 100):  # each has a stream of its own
        assert (np.diff(block) > 0).all()
        assert block[0] < 32
    assert len(np.unique(of_many["position_um"], axis=0)) == 300


def test_a_sample_is_that_of_its_seed_cell_block_and_candidate(tmp_path, small):
    path = generate.generate(small(per_cell=200, seed=7), tmp_path / "s", 0)
    data = read(path)
    for sample in (0, 99, 100, 1199):
        model = cells.catalogue()[data["cell"][sample]]
        of = 7, model.name, model.m_type, model.excitatory, int(data["candidate"][sample])
        placed = placement.draw(*of, 1, "3drot", n_spikes=3, block=sample % 200 // 100)
        for name, expected in placed._asdict().items():
            np.testing.assert_array_equal(np.asarray(expected)[0], data[name][sample], name)


def test_accepted_samples_reach_the_threshold(tmp_path, small):
    config = small(threshold_uV=30.0, waveform_kHz=32.0)
    eap_uV = store.read(generate.generate(config, tmp_path / "s", 0), "eap_uV")
    assert (np.ptp(eap_uV, axis=2).max(axis=1) >= 30).all()


def test_noise_changes_features_and_not_placements(tmp_path, small):
    quiet = generate.generate(small(waveform_kHz=32.0), tmp_path / "quiet", 0)
    noisy = generate.generate(small(waveform_kHz=32.0, noise_uV=2.0), tmp_path / "noisy", 0)
    for name in PLACED:
        np.testing.assert_array_equal(store.read(quiet, name), store.read(noisy, name), name)
    noise = store.read(noisy, "eap_uV") - store.read(quiet, "eap_uV")
    assert abs(noise.std() / 2 - 1) < 0.01
    assert abs(noise.mean()) < 0.02
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1
    assert not np.array_equal(store.read(quiet, "amplitude_uV"), store.read(noisy, "amplitude_uV"))


def test_xarray_finds_cell_models_by_name_and_terms_without_a_warning(tmp_path, small):
    path = generate.generate(small(), tmp_path / "s", 0)
    with xr.open_zarr(path) as data:  # warnings are errors here
        name = str(data.cell_name.values[1])
        assert data.sel(cell_model=name).m_type.values == data.m_type.values[1]
        assert data.cell_model.values[data.cell.values[-1]] == data.cell_name.values[-1]
        by_sample = data.cell_name[data.cell.load()]
        assert by_sample.dims == ("sample",)
        assert by_sample.m_type.values[-1] == data.m_type.values[-1]
        assert {"title", "description", "license"} <= data.attrs.keys()


@pytest.mark.parametrize(("rate", "samples"), [(0.0, 0), (8.0, 56), (32.0, 224)])
def test_waveform_rates(tmp_path, small, rate, samples):
    path = generate.generate(small(waveform_kHz=rate), tmp_path / "s", 0)
    with store.open_dataset(path) as data:
        assert ("eap_uV" in data) == (samples > 0)
        if samples:
            assert data.sizes["time"] == samples
            np.testing.assert_allclose(np.diff(data.time_ms), 1 / rate, rtol=1e-4)


def test_a_recording_chain_gives_what_an_amplifier_hands_over(tmp_path, small):
    raw = generate.generate(small(waveform_kHz=32.0), tmp_path / "raw.zarr", 0)
    options = {"waveform_kHz": 24.0, "highpass_Hz": 300.0, "lowpass_Hz": 6000.0, "filter_order": 2}
    clean = generate.generate(small(**options), tmp_path / "clean.zarr", 0)
    noisy = generate.generate(small(**options, noise_uV=8.0, noise_spectrum="pink"), tmp_path / "noisy.zarr", 0)
    mean = generate.generate(small(**options, noise_uV=8.0, mean_of=16), tmp_path / "mean.zarr", 0)
    common = generate.generate(small(**options, common_average=True), tmp_path / "common.zarr", 0)
    for name in PLACED:  # whatever is recorded, the placements are the same
        np.testing.assert_array_equal(store.read(clean, name), store.read(raw, name))
    x, y = store.read(raw, "eap_uV"), store.read(clean, "eap_uV")
    expected = x @ recording.matrix(x.shape[2], 1 / 32, 24.0, EapConfig(**options).chain)
    np.testing.assert_allclose(y, expected, atol=1e-3)
    found = features.extract(jnp.asarray(y), 1 / 24)
    for name in ("amplitude_uV", "width_ms", "fwhm_ms"):  # of the recording, at its rate
        np.testing.assert_allclose(store.read(clean, name), getattr(found, name), rtol=1e-4, atol=1e-3)
    assert np.std(store.read(noisy, "eap_uV") - y) == pytest.approx(8, rel=0.02)
    assert np.std(store.read(mean, "eap_uV") - y) == pytest.approx(2, rel=0.02)
    np.testing.assert_allclose(store.read(common, "eap_uV"), y - y.mean(axis=1, keepdims=True), atol=1e-3)
    assert "eap_uV" not in zarr.open_group(
        generate.generate(small(waveform_kHz=0, highpass_Hz=300.0), tmp_path / "f", 0)
    )


def test_half_precision_waveforms(tmp_path, small):
    half, single = (generate.generate(small(dtype=dtype), tmp_path / dtype, 0) for dtype in ("float16", "float32"))
    got, expected = (store.read(path, "eap_uV") for path in (half, single))
    assert got.dtype == np.float16
    np.testing.assert_array_equal(got, expected.astype(np.float16))
    assert store.read(half, "amplitude_uV").dtype == np.float32


@pytest.mark.parametrize(("probe", "channels"), [("tetrode", 4), ("neuropixels1", 384)])
def test_probes_without_a_grid_have_features_and_waveforms(tmp_path, small, probe, channels):
    path = generate.generate(small(probe=probe, per_cell=4, threshold_uV=2.0), tmp_path / "s", 0)
    assert store.read(path, "amplitude_uV").shape == (24, channels)
    assert store.read(path, "eap_uV").shape == (24, channels, 56)
    assert store.attributes(path, "eap")["probe_grid"] == []


def test_a_finished_store_is_left_alone(tmp_path, small, monkeypatch):
    path = generate.generate(small(), tmp_path / "s", 0)
    monkeypatch.setattr(membrane, "attempt", None)  # not even the currents are wanted
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    folder = tmp_path.stat().st_mtime_ns  # nothing beside it either, such as a lock: the disk may be read-only
    assert generate.generate(small(), path, 0) == path
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert folder == tmp_path.stat().st_mtime_ns


def test_a_store_of_the_old_schema_is_refused_with_a_sentence(tmp_path, small):
    path = generate.generate(small(), tmp_path / "s", 0)
    zarr.open_group(path, mode="r+").attrs["schema_version"] = 1
    manifest.remove(path)
    for use in (lambda: generate.generate(small(), path, 0), lambda: eap.load(path), lambda: waveforms.load(path)):
        with pytest.raises(UserError, match=f"{path} has schema version 1, not 2: make it again"):
            use()


def test_other_settings_are_refused(tmp_path, small):
    path = generate.generate(small(), tmp_path / "s", 0)
    with pytest.raises(UserError, match=r"noise_uV is 0\.0 there, 2\.0 here; seed is 0 there, 1 here.*--out") as caught:
        generate.generate(small(seed=1, noise_uV=2.0), path, 0)
    assert "rotation" not in str(caught.value)


def test_other_currents_are_refused(tmp_path, small, monkeypatch):
    path = interrupted(tmp_path / "s", small(), monkeypatch, KeyboardInterrupt())
    other = {"provenance": {"amplitude_nA": 1}}
    monkeypatch.setattr(membrane, "attempt", lambda models, workers: attempted(tmp_path, models, **other))
    with pytest.raises(UserError, match=f"other currents of {NAMES[0]}"):
        generate.generate(small(), path, 0)


def interrupted(path: Path, config: EapConfig, monkeypatch, error: BaseException) -> Path:
    """A store whose third block met `error`."""
    write, calls = store.write_block, []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise error
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_block", failing)
        with pytest.raises(type(error)):
            generate.generate(config, path, 0)
    assert blocks_done(path) == 2
    return path


def test_after_a_full_disk_the_next_start_continues(tmp_path, small, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device", "somewhere")
    path = interrupted(tmp_path / "s", small(), monkeypatch, full)
    assert_same_bytes(generate.generate(small(), path, 0), generate.generate(small(), tmp_path / "whole", 0))


def test_a_full_disk_is_one_line(tmp_path, models, monkeypatch, capsys):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    monkeypatch.setattr(store, "write_block", full)
    with pytest.raises(SystemExit) as caught:
        command_line(["--out", str(tmp_path / "s"), "--cell-models", str(models), "--workers", "0"])
    assert caught.value.code == 1
    assert "No space left on device" in capsys.readouterr().err


def test_nothing_reaches_the_threshold(tmp_path, small, monkeypatch):
    with pytest.raises(
        UserError, match=r"no placement can reach --threshold-uv 1e\+06 at .* less than .*: lower"
    ) as caught:
        generate.generate(small(threshold_uV=1e6), tmp_path / "s", 0)
    assert not (tmp_path / "s").exists()
    most_uV = float(re.search(r"less than ([\d.e+]+) uV", str(caught.value))[1])
    monkeypatch.setattr(blocks, "GIVE_UP", 64)
    with pytest.raises(UserError, match=r"0 of 64 placements reach --threshold-uv .* at .*: lower") as caught:
        generate.generate(small(threshold_uV=0.9 * most_uV), tmp_path / "s", 0)
    largest_uV = float(re.search(r"has ([\d.]+) uV", str(caught.value))[1])
    config = small(threshold_uV=0.99 * largest_uV)
    monkeypatch.setattr(blocks, "GIVE_UP", 1_000)  # one of the first 64 has it, but a block needs 24
    with pytest.raises(UserError, match=r": [1-9]\d? of \d+ placements reach"):
        generate.generate(config, tmp_path / "s2", 0)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--rotation", "sideways"), "physrot"),
        (("--probe", "nosuch"), "neuropixels1"),
        (("--probe", "nosuch.json"), "nosuch.json is not there"),
        (("--source", "plane"), "point"),
        (("--noise-uv", "-1"), "--noise-uv is -1.0: it must be at least 0"),
        (("--threshold-uv", "nan"), "--threshold-uv is nan"),
        (("--waveform-khz", "0.1"), "--waveform-khz is 0.1: it must be more than 0.143"),
        (("--seed", "-1"), "--seed is -1"),
        (("--x-um", "60", "10"), "the lower one first"),
        (("--per-cell", "1009"), "choose a multiple of 100"),
        (("--cell-models", "/nowhere"), "/nowhere"),
        (("--exclude", "L9_*"), "--exclude L9_*: no cell model is called that"),
        (("--axon", "long"), "as-given"),
        (("--variants", "-1"), "--variants is -1: it must be at least 0"),
        (("--variant-width", "nan"), "--variant-width is nan"),
    ],
)
def test_mistakes_are_answered_with_the_remedy(tmp_path, capsys, arguments, expected):
    with pytest.raises(SystemExit) as caught:
        command_line(["--out", str(tmp_path / "s"), *arguments])
    assert caught.value.code == 2
    assert expected in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not (tmp_path / "s").exists()


def test_help_spells_every_flag_in_lower_case(capsys):
    with pytest.raises(SystemExit) as caught:
        command_line(["--help"])
    assert caught.value.code == 0
    flags = {word for word in capsys.readouterr().out.split() if word.startswith("--")}
    assert {"--noise-uv", "--threshold-uv", "--waveform-khz", "--error-uv", "--sigma-s-per-m", "--x-um"} <= flags
    assert all(flag == flag.lower() for flag in flags)


# Cell models that are left out, excluded, varied -----------------------------------------------------


def attributes(path: Path) -> dict[str, Any]:
    return store.attributes(path, "eap")


def test_what_cannot_be_simulated_is_left_out_listed_and_recorded(tmp_path, small, monkeypatch, capsys):
    whole = generate.generate(small(), tmp_path / "whole", 0)

    def some_fail(models, workers):
        failures = {m.name: membrane.Failure(f"{m.m_type} is mute", "more words") for m in models[1:3]}
        return attempted(tmp_path, models, failures)

    monkeypatch.setattr(membrane, "attempt", some_fail)
    path = generate.generate(small(), tmp_path / "s", 0)
    said = capsys.readouterr().err
    assert f"{NAMES[1]} is left out: BTC is mute" in said
    assert json.loads(attributes(path)["left_out"]) == {NAMES[1]: "BTC is mute", NAMES[2]: "ChC is mute"}
    assert json.loads(attributes(whole)["left_out"]) == {}
    assert list(store.read(path, "cell_name")) == [NAMES[0], *NAMES[3:]]
    for cell, before in ((0, 0), (1, 3)):  # the others are the same samples
        one, other = read(path, cell=cell), read(whole, cell=before)
        for name in {*one} - {"cell"}:
            np.testing.assert_array_equal(one[name], other[name])


def test_an_unfinished_store_goes_on_with_the_models_it_was_begun_with(tmp_path, small, monkeypatch):
    asked: list[list[str]] = []

    def first_fails(models, workers):
        asked.append([m.name for m in models])
        failures = {m.name: membrane.Failure("mute", "") for m in models if m.name == NAMES[0]}
        return attempted(tmp_path, models, failures)

    monkeypatch.setattr(membrane, "attempt", first_fails)
    path = interrupted(tmp_path / "s", small(), monkeypatch, KeyboardInterrupt())
    unfinished = [name for name, done in zip(NAMES[1:], store.done(path), strict=True) if not done]
    generate.generate(small(), path, 0)
    assert asked == [NAMES, unfinished]  # what failed is not tried again, and what is done is not needed
    path = interrupted(tmp_path / "other", small(), monkeypatch, KeyboardInterrupt())
    all_fail = {name: membrane.Failure("mute", "") for name in NAMES[1:]}
    monkeypatch.setattr(membrane, "attempt", lambda models, workers: attempted(tmp_path, models, all_fail))
    with pytest.raises(UserError, match=f"other currents of {unfinished[0]}"):
        generate.generate(small(), path, 0)


def test_nothing_left_is_refused(tmp_path, small, monkeypatch):
    failures = {name: membrane.Failure("mute", f"{name}: 0.2 nA, 0 spikes") for name in NAMES}
    monkeypatch.setattr(membrane, "attempt", lambda models, workers: attempted(tmp_path, models, failures))
    with pytest.raises(UserError, match=rf"(?s)no cell model could be simulated:.*{NAMES[5]}: 0\.2 nA, 0 spikes"):
        generate.generate(small(), tmp_path / "s", 0)
    assert not (tmp_path / "s").exists()


def test_excluded_models_change_no_other_sample(tmp_path, small):
    whole = generate.generate(small(), tmp_path / "whole", 0)
    part = generate.generate(small(exclude=("L5_B*", NAMES[3])), tmp_path / "part", 0)
    assert list(store.read(part, "cell_name")) == [NAMES[2], *NAMES[4:]]
    np.testing.assert_array_equal(read(part, cell=0)["amplitude_uV"], read(whole, cell=2)["amplitude_uV"])
    with pytest.raises(UserError, match=r"exclude is .* there"):
        generate.generate(small(), part, 0)


def test_a_store_says_axon_variant_and_model(tmp_path, small):
    path = generate.generate(small(), tmp_path / "plain", 0)
    assert set(store.read(path, "axon")) == {"stub"}
    assert store.read(path, "variant").tolist() == [0] * 6
    assert list(store.read(path, "model_name")) == list(store.read(path, "cell_name")) == NAMES
    path = generate.generate(small(axon="full", per_cell=4), tmp_path / "full", 0)
    assert set(store.read(path, "axon")) == {"full"}


def test_collections_whose_axons_differ_are_told(tmp_path, small, capsys):
    folder = folder_of(tmp_path / "other", [])
    shutil.copytree(cells.catalogue()[6].path, folder / "L5_NBC_bAC217_7")
    template = folder / "L5_NBC_bAC217_7" / "template.hoc"
    template.write_text(portal.with_axon(template.read_text(), "full"))
    models = (*small().cell_models, str(folder))
    path = generate.generate(small(cell_models=models, per_cell=4), tmp_path / "s", 0)
    assert "6 models have stub axons" in (said := capsys.readouterr().err)
    assert "1 full ones (L5_NBC_bAC217_7)" in said
    assert sorted(store.read(path, "axon")) == ["full"] + ["stub"] * 6
    generate.generate(small(cell_models=models, per_cell=4, axon="stub"), tmp_path / "alike", 0)
    assert "models have stub axons" not in capsys.readouterr().err


def test_variants_stand_in_the_place_of_their_models(tmp_path, small):
    path = generate.generate(small(variants=2), tmp_path / "s", 0)
    names = [f"{name}~{variant}" for name in NAMES for variant in (1, 2)]
    assert list(store.read(path, "cell_name")) == names
    assert store.read(path, "variant").tolist() == [1, 2] * 6
    assert list(store.read(path, "model_name")) == [name for name in NAMES for _ in range(2)]
    with pytest.raises(UserError, match=r"variant_width is 1\.0 there, 2\.0 here"):
        generate.generate(small(variants=2, variant_width=2.0), path, 0)


@pytest.mark.parametrize("kind", ["group", "leave-one-out"])
def test_variants_of_a_model_are_on_one_side_of_every_split(tmp_path, small, kind):
    path = generate.generate(small(variants=3, per_cell=4), tmp_path / "s", 0)
    table = eap.load(path)
    assert table.cell_names == tuple(NAMES)
    assert np.bincount(table.cell).tolist() == [12] * 6
    of_cell = np.array([str(name) for name in store.read(path, "model_name")])[store.read(path, "cell")]
    split = splits.make(kind, None, table.cell, table.cell_names, 3, 0)
    assert len(split.folds) == (3 if kind == "group" else 6)
    for fold in split.folds:
        assert not {*of_cell[fold.train]} & {*of_cell[fold.test]}
    m_types = [table.m_type_names[index] for index in table.m_type]
    assert all(f"_{m_type}_" in name for m_type, name in zip(m_types, of_cell, strict=True))


def test_a_store_from_before_these_options_counts_as_having_their_defaults(tmp_path, small):
    path = generate.generate(small(), tmp_path / "s", 0)
    group = zarr.open_group(path, mode="r+")
    kept = json.loads(group.attrs["config"])
    for name in ("exclude", "axon", "variants", "variant_width"):
        del kept[name]
    known = [name for name in str(group.attrs["coordinates"]).split() if name not in ("axon", "variant", "model_name")]
    group.attrs.update({"config": json.dumps(kept), "coordinates": " ".join(known)})
    for name in ("axon", "variant", "model_name"):
        shutil.rmtree(path / name)
    manifest.remove(path)
    (path / manifest.TEMPLATE).unlink()  # nor had they this
    assert generate.generate(small(), path, 0) == path
    assert eap.load(path).cell_names == tuple(NAMES)
    with pytest.raises(UserError, match="variants is 0 there, 1 here"):
        generate.generate(small(variants=1), path, 0)


def test_workers_reach_the_currents(tmp_path, small, monkeypatch, made_up):
    seen = []
    monkeypatch.setattr(membrane, "attempt", lambda models, workers: seen.append(workers) or made_up(models))
    monkeypatch.setattr(generate, "_fill", lambda *_: None)
    for workers in (0, 1, None):
        generate.generate(small(), tmp_path / f"s{workers}", workers)
    assert seen == [None, 1, None]


@pytest.mark.slow
def test_the_whole_way_from_a_cell_model_to_its_store(tmp_path):
    """NEURON included; in a cache that has the currents, without it."""
    folder = folder_of(tmp_path / "models", ["L5_SBC_bNAC219_1"])
    command = [sys.executable, "-W", "error", "-m", "simulator.eap", "--cell-models", str(folder)]
    subprocess.run([*command, "--per-cell", "20", "--out", str(tmp_path / "s")], check=True, cwd=HERE.parents[1])
    data = read(tmp_path / "s")
    assert data["amplitude_uV"].max() > 30
    assert set(np.unique(data["spike"])) <= set(range(10))


def test_a_common_average_of_one_contact_is_refused(tmp_path, small):
    with pytest.raises(UserError, match="--common-average: linear1 has one contact, from which nothing would be left"):
        generate.generate(small(probe="linear1", common_average=True), tmp_path / "s", 0)
    assert not (tmp_path / "s").exists()
