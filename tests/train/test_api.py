"""What the commands do, from Python: the same functions, on small data."""

import subprocess
import sys
from pathlib import Path

import eap_store
import numpy as np
import pytest

import spiketype as st
from spiketype.edge import UserError

pytestmark = pytest.mark.usefixtures("lenient_adam")
SMALL = {"network": "xs", "batch": 32, "steps": 60}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return eap_store.write(tmp_path_factory.mktemp("store") / "eap.zarr")


def test_from_a_store_to_the_calls_of_another(store: Path, tmp_path: Path) -> None:
    run = st.train("mtype", tmp_path / "run", data=str(store), **SMALL)
    assert run.summary["per_cell"]
    assert run.summary["task"] == "mtype"
    assert (run.folder / "summary.json").is_file()
    again = st.train("mtype", str(tmp_path / "run"), data=store, **SMALL)  # the module of that name is loaded by now
    assert {**again.summary, "seconds": 0} == {**run.summary, "seconds": 0}
    other = eap_store.write(tmp_path / "other.zarr", seed=1)
    calls = st.predict(run.folder, other)
    assert list(calls.columns[:3]) == ["row", "call", "probability"]
    assert len(calls) == 160
    assert st.evaluate(run.folder, str(other))["balanced_accuracy_percent"]["value"] > 50
    with pytest.raises(UserError, match="the samples that the run was trained on"):
        st.evaluate(run.folder, store)
    for name, value in {"scaled": False, "features": "fw", "certain": 0.1, "task": "binary", "rate_kHz": 30.0}.items():
        with pytest.raises(
            UserError, match=rf"--{name.replace('_', '-').lower()} says nothing of data of the task mtype"
        ):
            st.predict(run.folder, other, **{name: value})


def test_options_are_checked_as_those_of_the_command(tmp_path: Path) -> None:
    for options, told in (
        ({"rotation": "4drot"}, r"train, mtype: rotation is '4drot', which it cannot be"),
        ({"rotatoin": "3drot"}, r"train, mtype: rotatoin is unknown, there are task, rotation"),
        ({"steps": 0}, r"--steps is 0: it must be at least 1"),
    ):
        with pytest.raises(UserError, match=told):
            st.train("mtype", tmp_path / "run", **options)
    with pytest.raises(UserError, match="--task is mtyp: choose one of binary"):
        st.train("mtyp")
    with pytest.raises(UserError, match="--preset is papre"):
        st.train("mtype", preset="papre")
    with pytest.raises(UserError, match=r"s3://bucket/run: URLs are read for EAP stores alone"):
        st.train("mtype", "s3://bucket/run")
    with pytest.raises(UserError, match="per_cell is '3', which it cannot be"):
        st.simulate(tmp_path / "s", per_cell="3")
    assert not list(tmp_path.iterdir())


def test_stores_and_units_are_read(store: Path, tmp_path: Path) -> None:
    with st.open_store(str(store)) as data:
        assert data["amplitude_uV"].attrs["units"] == "uV"
    width = np.linspace(3, 8, 5)[:, None]
    np.save(tmp_path / "units.npy", (-100 * np.exp(-(((np.arange(60) - 20) / width) ** 2))).astype(np.float32))
    units = st.load_units(tmp_path / "units.npy", rate_kHz=30.0)
    assert units.waveform.shape[0] == 5
    calls = st.call_units(tmp_path / "units.npy", rate_kHz=30.0)
    assert list(calls["unit"].astype(str)) == ["0", "1", "2", "3", "4"]
    for certain in (80.0, np.nan, 0.0):
        with pytest.raises(UserError, match=r"--certain is \S+: it must be from 0.5 to below 1"):
            st.call_units(tmp_path / "units.npy", rate_kHz=30.0, certain=certain)
    for rate in (0.0, -30.0, np.nan):
        with pytest.raises(UserError, match=r"rate_kHz is \S+: give the sampling rate as a number, in kHz"):
            st.load_units(tmp_path / "units.npy", rate_kHz=rate)
    with pytest.raises(UserError, match="does not exist"):
        st.load_units(tmp_path / "nothing.npy")


def test_the_package_is_light_and_says_its_version() -> None:
    code = "import sys, spiketype; print(spiketype.__version__, sorted({'jax', 'pandas', 'zarr'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{st.__version__} []\n"
