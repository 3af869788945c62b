"""Training on batches that are simulated in the step, through the command line."""

from pathlib import Path

import jax
import numpy as np
import optax
import pytest
import run_folder
from optimizers import adam

from spiketype.datasets import eap, store
from spiketype.simulator.eap import generate, stream
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.neuron import cells
from spiketype.train import checkpoints, run, runs
from tests.simulator.eap_program import folder_of
from tests.simulator.synthetic_source import stand_in

NAMES = [model.name for model in cells.catalogue()][:8]
SMALL = ("--network", "xs", "--batch", "20", "--steps", "100", "--stream")


@pytest.fixture(scope="module", autouse=True)
def _made_up_currents(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch, tmp_path_factory.mktemp("sources"))
        patch.setattr(optax, "adam", adam)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory, _made_up_currents) -> Path:
    folder = tmp_path_factory.mktemp("store")
    models = (str(folder_of(folder / "models", NAMES)),)
    config = EapConfig(per_cell=20, probe="mea4x4", threshold_uV=5.0, error_uV=0.01, cell_models=models)
    return generate.generate(config, folder / "a.zarr", 0)


def test_a_run_learns_from_what_it_simulates_and_continues_after_damage(made, tmp_path, capsys) -> None:
    folder = tmp_path / "run"
    split = ["--split", "random", "--features", "waveform"]
    run.main(["--task", "mtype", "--store", str(made), *split, "--save-every", "0", "--out", str(folder), *SMALL])
    whole = runs.read_summary(folder)
    losses = [row["loss"] for row in run_folder.metrics(folder)]
    assert np.all(np.array(losses[-1]) < losses[0])
    last = folder / checkpoints.LAST
    last.write_bytes(last.read_bytes()[:-1])
    run.main(["--resume", str(folder)])
    assert {**runs.read_summary(folder), "seconds": 0} == {**whole, "seconds": 0}


def test_a_stream_makes_the_images_of_a_store_whose_contacts_are_on_no_grid(made, tmp_path) -> None:
    """Of the blocks that the store has, so that the samples can be compared."""
    models = store.config(store.attributes(made, "eap"))["cell_models"]
    config = EapConfig(per_cell=10, probe="tetrode", threshold_uV=5.0, error_uV=0.01, cell_models=tuple(models))
    path = generate.generate(config, tmp_path / "tetrode.zarr", 0)
    inputs = eap.Inputs(path, "waveform", scaled=True)
    here, how = stream.of_store(path)
    cell = np.arange(len(NAMES))
    samples = jax.jit(lambda c, b: stream.samples(here, how, c, b, 10))(cell, np.zeros(len(cell), np.uint32))
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in samples.items()}
    x = eap.as_images(flat, inputs.images, inputs.shape[1:], True, inputs.lattice)
    assert inputs.whole is not None
    np.testing.assert_allclose(x, inputs.whole, atol=2e-3)
    split = ["--split", "random", "--out", str(tmp_path / "run"), *SMALL, "--steps", "3"]
    run.main(["--task", "location", "--store", str(path), *split])
    assert runs.read_summary(tmp_path / "run")["error_um"]


def test_cells_that_are_held_out_are_never_simulated(made, tmp_path, monkeypatch) -> None:
    seen: list[int] = []
    samples = stream.samples

    def watched(here, how, cell, block, count):
        jax.debug.callback(lambda c: seen.extend(np.ravel(c).tolist()), cell)
        return samples(here, how, cell, block, count)

    monkeypatch.setattr(stream, "samples", watched)
    names = [str(name) for name in store.read(made, "cell_name")]
    lists = tmp_path / "lists.json"
    lists.write_text(f'{{"train": ["{names[0]}", "{names[5]}"], "test": ["{names[1]}"]}}')
    options = ["--split", "lists", "--lists", str(lists), "--out", str(tmp_path / "run"), *SMALL]
    run.main(["--task", "location", "--store", str(made), *options, "--steps", "3"])
    assert set(seen) == {0, 5}
