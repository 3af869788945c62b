"""The EAP store writer: its samples, its command line, and that neither workers nor interruptions change a byte."""

import errno
import filecmp
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from synthetic_source import synthetic_source

from spiketype.datasets import store
from spiketype.edge import UserError
from spiketype.simulator.eap import blocks, generate
from spiketype.simulator.eap.__main__ import command_line
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.neuron import cells, membrane

HERE = Path(__file__).parent
NAMES = [model.name for model in cells.catalogue()[:6]]
FEATURES = ("amplitude_uV", "width_ms", "fwhm_ms", "depolarising_uV_per_ms", "repolarising_uV_per_ms")
PLACED = ("cell", "spike", "candidate", "position_um", "rotation")
# The real command line, but for the currents: those of made-up neurons, of as many segments as the name is long.
PROGRAM = """
import sys
from spiketype.simulator.eap import generate
from spiketype.simulator.eap.__main__ import command_line
from spiketype.simulator.neuron import membrane
from synthetic_source import synthetic_source
membrane.simulate = lambda models: {m.name: synthetic_source(20 + len(m.name), name=m.name) for m in models}
generate.versions = dict  # the git commit may change while the tests run
command_line()
"""


def made_up(models):
    return {m.name: synthetic_source(20 + len(m.name), name=m.name) for m in models}


@pytest.fixture(autouse=True)
def _made_up_currents(request, monkeypatch):
    if "slow" not in request.keywords:
        monkeypatch.setattr(membrane, "simulate", made_up)
        monkeypatch.setattr(generate, "versions", dict)  # the git commit may change while the tests run


def folder_of(path: Path, names: list[str]) -> Path:
    """A folder of cell models for --cell-models: links to those of the MEArec package."""
    path.mkdir()
    for model in cells.catalogue():
        if model.name in names:
            (path / model.name).symlink_to(model.folder)
    return path


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


def start(out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", PROGRAM, "--out", str(out), *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])}
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def blocks_done(out: Path) -> int:
    return int(store.done(out).sum()) if out.exists() else 0


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def files(path: Path) -> set[Path]:
    return {p.relative_to(path) for p in path.rglob("*") if p.is_file()}


def assert_same_bytes(one: Path, other: Path) -> None:
    assert files(one) == files(other)
    different = [name for name in files(one) if not filecmp.cmp(one / name, other / name, shallow=False)]
    assert not different


def read(path: Path, names=(*PLACED, *FEATURES), cell: int | None = None) -> dict[str, np.ndarray]:
    arrays = {name: store.read(path, name) for name in names}
    return arrays if cell is None else {n: a[store.read(path, "cell") == cell] for n, a in arrays.items()}


def test_workers_and_interruptions_change_no_byte(tmp_path, models):
    common = ("--cell-models", str(models), "--per-cell", "24", "--probe", "mea4x4", "--threshold-uv", "5")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = start(whole, *common, "--workers", "2")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out == f"{whole}\n"
    assert "144/144" in err

    process = start(broken, *common, "--workers", "1")
    wait_for(broken.exists)
    time.sleep(0.3)  # workers are starting
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does: to the whole group
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command continues" in err
    assert "Traceback" not in err

    process = start(broken, *common, "--workers", "1")
    wait_for(lambda: blocks_done(broken) >= 2)
    process.kill()
    process.communicate()
    wait_for(lambda: not alive(process.pid), 10)  # the workers as well
    assert 2 <= blocks_done(broken) < 6
    with pytest.raises(UserError, match="unfinished"):
        store.validate(broken, "eap", ())

    process = start(broken, *common, "--workers", "2")
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert_same_bytes(whole, broken)


def test_a_sample_depends_on_neither_the_other_cells_nor_the_number_of_samples(tmp_path, small, monkeypatch):
    alone = folder_of(tmp_path / "alone", NAMES[2:3])
    few = generate.generate(small(), tmp_path / "few", 0)
    one = generate.generate(small(per_cell=48, cell_models=(str(alone),)), tmp_path / "one", 0)
    monkeypatch.setattr(store, "BLOCK_BYTES", 60_000)
    blocks_of_few = generate.generate(small(per_cell=48, cell_models=(str(alone),)), tmp_path / "blocks", 0)
    assert len(store.done(blocks_of_few)) > 2 * len(store.done(one))
    names = [n for n in (*PLACED, *FEATURES, "eap_uV") if n != "cell"]
    third, whole, pieces = read(few, names, 2), read(one, names), read(blocks_of_few, names)
    for name in names:
        np.testing.assert_array_equal(whole[name][:24], third[name], name)
        np.testing.assert_array_equal(whole[name], pieces[name], name)
    assert (np.diff(whole["candidate"]) > 0).all()


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


@pytest.mark.parametrize(("rate", "samples"), [(0.0, 0), (8.0, 56), (32.0, 224)])
def test_waveform_rates(tmp_path, small, rate, samples):
    path = generate.generate(small(waveform_kHz=rate), tmp_path / "s", 0)
    with store.open_dataset(path) as data:
        assert ("eap_uV" in data) == (samples > 0)
        if samples:
            assert data.sizes["time"] == samples
            np.testing.assert_allclose(np.diff(data.time_ms), 1 / rate, rtol=1e-4)


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
    monkeypatch.setattr(membrane, "simulate", None)  # not even the currents are wanted
    before = {p: (path / p).stat().st_mtime_ns for p in files(path)}
    assert generate.generate(small(), path, 0) == path
    assert before == {p: (path / p).stat().st_mtime_ns for p in files(path)}


def test_other_settings_are_refused(tmp_path, small):
    path = generate.generate(small(), tmp_path / "s", 0)
    with pytest.raises(UserError, match=r"noise_uV is 0\.0 there, 2\.0 here; seed is 0 there, 1 here.*--out") as caught:
        generate.generate(small(seed=1, noise_uV=2.0), path, 0)
    assert "rotation" not in str(caught.value)


def test_other_currents_are_refused(tmp_path, small, monkeypatch):
    path = interrupted(tmp_path / "s", small(), monkeypatch, KeyboardInterrupt())
    other = {name: synthetic_source(30, name=name, provenance={"amplitude_nA": 1}) for name in NAMES}
    monkeypatch.setattr(membrane, "simulate", lambda models: other)
    with pytest.raises(UserError, match=f"other currents of {NAMES[0]}"):
        generate.generate(small(), path, 0)


def test_a_probe_file_that_changed_is_refused(tmp_path, small):
    import probeinterface

    file = tmp_path / "probe.json"
    for pitch in (20, 30):
        made = probeinterface.generate_linear_probe(num_elec=4, ypitch=pitch)
        probeinterface.write_probeinterface(file, made)
        if pitch == 20:
            path = generate.generate(small(probe=str(file), per_cell=4), tmp_path / "s", 0)
    with pytest.raises(UserError, match=r"probe .*probe.json has other contacts there"):
        generate.generate(small(probe=str(file), per_cell=4), path, 0)


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
    monkeypatch.setattr(blocks, "GIVE_UP", 64)
    with pytest.raises(UserError, match=r"none of 64 placements reaches 1e\+06 uV at a contact of mea4x4: lower"):
        generate.generate(small(threshold_uV=1e6), tmp_path / "s", 0)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--rotation", "sideways"), "physrot"),
        (("--probe", "nosuch"), "neuropixels1"),
        (("--probe", "nosuch.json"), "nosuch.json is not there"),
        (("--source", "plane"), "point"),
        (("--noise-uv", "-1"), "--noise-uv is -1.0: it must be at least 0"),
        (("--threshold-uv", "nan"), "--threshold-uv is nan"),
        (("--waveform-khz", "0.1"), "sampling rate 0.1 kHz leaves less than two samples"),
        (("--seed", "-1"), "--seed is -1"),
        (("--x-um", "60", "10"), "the lower one first"),
        (("--per-cell", "1009"), "choose a multiple of 100"),
        (("--cell-models", "/nowhere"), "/nowhere"),
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


def test_not_a_store(tmp_path, small):
    (tmp_path / "s").mkdir()
    with pytest.raises(UserError, match="is not a Zarr 3 store"):
        generate.generate(small(), tmp_path / "s", 0)


@pytest.mark.slow
def test_the_whole_way_from_a_cell_model_to_its_store(tmp_path):
    """NEURON included; in a cache that has the currents, without it."""
    folder = folder_of(tmp_path / "models", ["L5_SBC_bNAC219_1"])
    command = [sys.executable, "-W", "error", "-m", "simulator.eap", "--cell-models", str(folder)]
    subprocess.run([*command, "--per-cell", "20", "--out", str(tmp_path / "s")], check=True, cwd=HERE.parents[1])
    data = read(tmp_path / "s")
    assert data["amplitude_uV"].max() > 30
    assert set(np.unique(data["spike"])) <= set(range(10))
