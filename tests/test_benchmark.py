"""The benchmark's command line, and the arithmetic of its roofline."""

import json
import math
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spiketype.simulator.eap import forward

SCRIPTS = Path(__file__).parents[1] / "scripts"
SMALL = ("store", "--samples", "200", "--rounds", "1")


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(SCRIPTS / "benchmark.py"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_results_are_written_to_a_new_file_alone(tmp_path: Path) -> None:
    out, there = tmp_path / "new.json", tmp_path / "there.json"
    there.write_text("kept")
    running, refused = start(*SMALL, "--out", str(out)), start(*SMALL, "--out", str(there))
    told = refused.communicate()
    assert (refused.returncode, told[0]) == (2, "")
    assert told[1] == f"error: {there} exists already, and each run has a file of its own: choose another --out\n"
    assert there.read_text() == "kept"
    told = running.communicate()
    assert running.returncode == 0, told
    found = json.loads(out.read_text())
    assert set(found) == {"date", "machine", "versions", "subject", "options", "results"}
    assert found["machine"].keys() == {"processor", "cores", "memory_GiB", "accelerator"}
    assert found["versions"]["jax"] == jax.__version__
    assert (found["subject"], found["options"]) == ("store", {"samples": 200, "rounds": 1, "folder": None})
    assert {"folder_1_block_write_s", "S3_2_blocks_eap_uV_s"} <= found["results"].keys()
    assert all(math.isfinite(value) and value > 0 for value in found["results"].values())
    assert found["machine"]["processor"] in told[0]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import benchmark_device

    return benchmark_device


def test_the_forward_model_is_printed_beside_its_roofline(device, capsys: pytest.CaptureFixture[str]) -> None:
    shapes = (128, 3), (128, 3), (128,), (2, 128, 8), (2, 8, 32)  # 70 segments are two chunks of 64
    arrays = [np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32) for shape in shapes]
    cell = forward.Factors(*map(jnp.asarray, arrays), segments=jnp.int32(70))
    found = device.on_device([cell, cell], 2, 1, peak_tflops=1.0, peak_gb_per_s=100.0)
    flop = 100 * 128 * (53 + 2 * 8) + 2 * 100 * 8 * 32
    assert found["MFLOP_per_EAP"] == pytest.approx(flop / 1e6)
    assert found["roofline_by_FLOP_EAP_per_s"] == pytest.approx(1e12 / flop)
    assert found["roofline_by_bytes_EAP_per_s"] == pytest.approx(100e9 / (4 * 100 * 32))
    assert 0 < found["device_EAP_per_s"] < 1e6
    assert "forward model on one cpu, batches of 2" in capsys.readouterr().out


def test_a_source_has_as_many_operations_as_xla_counts(device) -> None:
    contacts, segments = tuple(jnp.ones((3, 100))), forward.as_segments(*jnp.ones((2, 64, 3)), jnp.ones(64))
    counted = jax.jit(forward.line_source).lower(contacts, segments).cost_analysis()
    assert (counted["flops"] + counted["transcendentals"]) / 6400 == pytest.approx(device.SOURCE_FLOP, abs=0.5)
