"""The command line is parsed and checked before anything heavy is loaded: help and refusals come at once."""

import subprocess
import sys

import pytest

HEAVY = ("jax", "flax", "sklearn", "scipy", "pandas", "matplotlib", "xarray", "zarr", "h5py", "pyarrow", "obstore")
SPIKETYPE = ("-m", "spiketype")
HELP = [
    *(("-m", name, "--help") for name in ("train.run", "train.evaluate", "train.predict")),
    *(("-m", f"simulator.{name}", "--help") for name in ("eap", "raphe", "shank")),
    *(("-m", f"datasets.{name}", "--help") for name in ("raphe", "allen")),
    (*SPIKETYPE, "--help"),
    (*SPIKETYPE, "units", "--help"),
    *((*SPIKETYPE, "train", "--task", task, "--help") for task in ("mtype", "raphe", "subclass", "species", "unit")),
    (*SPIKETYPE, "train", "--task", "cluster", "--help"),
    (*SPIKETYPE, "raphe", "extract", "--help"),
    (*SPIKETYPE, "bench", "--help"),
    *((*SPIKETYPE, "bench", name, "--help") for name in ("make", "get", "score", "card", "zip")),
]
REFUSED = [
    (*SPIKETYPE, "nothing"),
    (*SPIKETYPE, "train", "--tsk", "mtype"),
    (*SPIKETYPE, "train", "--task", "mtyp"),
    (*SPIKETYPE, "train", "--task", "mtype", "--rotation", "4drot"),
    (*SPIKETYPE, "train", "--task", "mtype", "--steps", "0"),
    (*SPIKETYPE, "train", "--task", "species", "--baselines", "oracle"),
    (*SPIKETYPE, "train", "--task", "mtype", "--process", "1"),
    (*SPIKETYPE, "train", "--resume", "nowhere"),
    (*SPIKETYPE, "predict", "nowhere", "--data", "nothing"),
    (*SPIKETYPE, "evaluate", "nowhere", "--data", "nothing"),
    (*SPIKETYPE, "units", "nowhere"),
    (*SPIKETYPE, "units", "nowhere", "--certain", "2"),
    (*SPIKETYPE, "simulate", "eap", "--out", "s", "--block-range", "3/2"),
    (*SPIKETYPE, "simulate", "raphe", "--out", "s", "--copies", "0"),
    (*SPIKETYPE, "raphe", "noisy", "s", "--out", "t", "--masks", "0"),
    *((*SPIKETYPE, "bench", name, "nothing") for name in ("make", "get", "card", "zip")),
    (*SPIKETYPE, "bench", "score", "nothing", "p.csv"),
]


def imported(*arguments: str) -> tuple[int, str, set[str]]:
    """Return the exit code of a program, what it wrote, and the packages that it loaded."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    modules = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}
    told = [line for line in lines if not line.startswith("import time:")]
    return done.returncode, "\n".join([done.stdout, *told]), modules


@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code, text, modules = imported(*arguments)
    assert code == 0, text
    assert "usage" in text
    assert "spiketype" in modules  # the modules are seen
    assert not modules & set(HEAVY)


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_a_mistake_is_told_before_anything_heavy_is_loaded(arguments: tuple[str, ...]) -> None:
    code, text, modules = imported(*arguments)
    assert code == 2, text
    assert "Traceback" not in text
    assert not modules & set(HEAVY)
