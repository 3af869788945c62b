"""Noise features: on a small recording in the database's layout, against allensdk and against what was put in."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spiketype.datasets.allen import noise
from spiketype.datasets.allen.__main__ import noise_command
from spiketype.datasets.allen.columns import read_features
from spiketype.datasets.allen.features import FEATURES_14
from spiketype.edge import UserError
from tests.datasets import allen_nwb

pytest.importorskip("allensdk", reason="needs allensdk: uv sync --extra allen")
MANY = [50 + 40 * k for k in range(12)]
SWEEPS = {
    3: ("Long Square", MANY),
    7: ("Noise 1", MANY[:10]),  # too few
    12: ("Noise 2", MANY),
    15: ("Noise 1", MANY),
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / "specimen_500001" / "ephys.nwb"
    allen_nwb.write(path, SWEEPS)
    return path


def test_the_first_noise_sweep_with_more_than_ten_spikes_is_read_as_allensdk_reads_it(recording):
    from allensdk.core.nwb_data_set import NwbDataSet

    sweep = noise.noise_sweep(recording)
    theirs = NwbDataSet(str(recording)).get_sweep(12)
    end = theirs["index_range"][1] + 1
    assert sweep.number == 12
    assert sweep.rate_kHz * 1e3 == theirs["sampling_rate"]
    np.testing.assert_allclose(sweep.voltage_mV, theirs["response"][:end] * 1e3, rtol=1e-6)
    np.testing.assert_allclose(sweep.current_pA, theirs["stimulus"][:end] * 1e12, rtol=1e-6)


@pytest.mark.parametrize(("scale", "conversion"), [(1.0, 1.0), (1.0, 0.001), (1e12, 1e-12), (0.5, 2.0)])
def test_units_are_told_by_size_and_a_false_conversion_is_not_applied(tmp_path, recording, scale, conversion):
    allen_nwb.write(tmp_path / "a.nwb", SWEEPS, conversion=conversion, scale=scale)
    sweep, right = (noise.noise_sweep(path) for path in (tmp_path / "a.nwb", recording))
    if scale == 0.5:  # plausible as it is
        assert np.median(sweep.voltage_mV) == pytest.approx(np.median(right.voltage_mV) / 2)
    else:
        np.testing.assert_allclose(sweep.voltage_mV, right.voltage_mV, rtol=1e-5)
        np.testing.assert_allclose(sweep.current_pA, right.current_pA, rtol=1e-5)


def test_samples_in_no_sensible_unit_are_named(tmp_path):
    allen_nwb.write(tmp_path / "a.nwb", SWEEPS, scale=1e3)
    with pytest.raises(UserError, match=r"a\.nwb, sweep 12, response: 70 where 0\.02 to 0\.15 V is usual"):
        noise.noise_sweep(tmp_path / "a.nwb")


def test_features_are_those_of_the_spikes_put_in(recording):
    found = noise.features(noise.noise_sweep(recording))
    assert tuple(found) == FEATURES_14
    assert found["peak_v"] == pytest.approx(30, abs=1)  # 100 mV above -70
    assert found["trough_v"] == pytest.approx(-80, abs=1)
    assert found["threshold_i"] == pytest.approx(200, abs=20)
    assert found["upstroke"] == pytest.approx(85 / 0.4, rel=0.05)  # mV in ms
    assert found["downstroke"] == pytest.approx(-80, rel=0.05)
    assert 0.5e-3 < found["width"] < 1.5e-3
    assert found["upstroke_downstroke_ratio"] == pytest.approx(-found["upstroke"] / found["downstroke"], rel=0.02)


def test_a_batch_names_what_it_leaves_out_and_continues(tmp_path, recording, capsys):
    shutil.copytree(recording.parent, tmp_path / "specimen_500001")
    (tmp_path / "specimen_500002").mkdir()
    (tmp_path / "specimen_500002" / "ephys.nwb").write_bytes(recording.read_bytes()[:5000])
    allen_nwb.write(tmp_path / "500003.nwb", {5: ("Noise 1", MANY[:3])})
    allen_nwb.write(tmp_path / "mine.nwb", SWEEPS)
    (tmp_path / "500004_ephys.nwb").write_text("no such thing")
    shutil.copy(recording, tmp_path / "specimen_500001" / "twice.nwb")
    out = tmp_path / "noise_features.csv"
    noise_command(tmp_path)
    said = capsys.readouterr().out
    assert "left out, 5:" in said
    assert f"specimen 500001 is already {tmp_path / 'specimen_500001' / 'ephys.nwb'}" in said
    assert "500003.nwb: no sweep of Noise 1 or Noise 2 has more than 10 spikes" in said
    cut = next(line for line in said.splitlines() if "500002/ephys.nwb: " in line)
    assert "cannot be read as" in cut
    assert "truncated" in cut
    assert "mine.nwb: neither a folder specimen_NUMBER nor a name that begins with the specimen" in said
    before = out.read_text()
    x, ids, missing = read_features(out, FEATURES_14)
    assert (ids, missing) == (["500001"], ())
    assert np.isfinite(x).all()
    assert list(pd.read_csv(out).columns[:3]) == ["specimen_id", "sweep", "rate_kHz"]
    allen_nwb.write(tmp_path / "500005.nwb", SWEEPS)
    noise_command(tmp_path)
    assert out.read_text().startswith(before)  # what was done stays as it was
    assert len(pd.read_csv(out)) == 2
    assert not list(tmp_path.glob(".*"))


def test_a_folder_without_recordings_is_named(tmp_path):
    with pytest.raises(UserError, match=r"has no \.nwb file: spiketype allen download"):
        noise_command(tmp_path)


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_the_same_command_continues(tmp_path, recording):
    for number in range(500001, 500008):
        os.link(recording, tmp_path / f"{number}.nwb")
    command = [sys.executable, "-m", "datasets.allen", "noise-features", "--data", str(tmp_path)]
    out = tmp_path / "noise_features.csv"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        while not out.exists() and running.poll() is None:
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        said = running.communicate()[1]
    assert running.returncode == 130
    assert "stopped: what is finished is kept; the same command continues from there" in said
    assert "Traceback" not in said
    before = out.read_text()
    assert 1 < len(before.splitlines()) < 8
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert out.read_text().startswith(before)
    assert len(pd.read_csv(out)) == 7


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=10), st.floats(0, 1))
def test_any_damage_is_survived(tmp_path_factory, recording, flips, kept):
    content = bytearray(recording.read_bytes())
    for place, value in flips:
        content[place] = value
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "500001.nwb").write_bytes(content[: int(kept * len(content))] if len(flips) % 2 else content)
    left_out = noise.of_folder(folder, folder / "noise_features.csv")
    assert len(left_out) == (0 if (folder / "noise_features.csv").exists() else 1)
    assert all(why for _, why in left_out)
