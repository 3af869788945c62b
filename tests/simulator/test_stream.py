"""Samples that are made where they are used, against those of a store."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eap_program import folder_of
from synthetic_source import attempted, stand_in

from spiketype.datasets import batches, store
from spiketype.edge import UserError
from spiketype.simulator.eap import generate, stream
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.neuron import cells, membrane

NAMES = [model.name for model in cells.catalogue()[:4]]
MADE = ("amplitude_uV", "width_ms", "fwhm_ms", "position_um", "rotation", "eap_uV")


@pytest.fixture(scope="module")
def plain(tmp_path_factory, _made_up_currents) -> Path:
    return make(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module", autouse=True)
def _made_up_currents(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch, tmp_path_factory.mktemp("sources"))
        yield


def make(folder: Path, **options) -> Path:
    models = (str(folder_of(folder / "models", NAMES)),)
    settings = {"per_cell": 24, "probe": "mea4x4", "threshold_uV": 5.0, "error_uV": 0.01, "cell_models": models}
    return generate.generate(EapConfig(**(settings | options)), folder / "a.zarr", 0)


def drawn(path: Path, cell: list[int], block: list[int], count: int, batch: int | None = None) -> dict[str, np.ndarray]:
    cells_of, how = stream.of_store(path)
    made = jax.jit(lambda c, b: stream.samples(cells_of, how, c, b, count, batch))
    found = made(jnp.array(cell), jnp.array(block, jnp.uint32))
    return {name: np.asarray(values) for name, values in found.items()}


def same(found: dict[str, np.ndarray], path: Path, cell: list[int], count: int) -> None:
    """Every first sample of the only block of some cells, up to rounding: another program made it."""
    per_cell = int(store.config(store.attributes(path, "eap"))["per_cell"])
    rows = (np.array(cell)[:, None] * per_cell + np.arange(count)).ravel()
    for name in ("candidate", *MADE):
        stored, ours = store.read(path, name)[rows], found[name].reshape(len(rows), *found[name].shape[2:])
        if name in ("width_ms", "fwhm_ms"):  # where two extrema are equal but for rounding, either may be found
            assert np.mean(np.abs(ours - stored) > 1e-3) < 0.01, name
        else:
            np.testing.assert_allclose(ours, stored, rtol=1e-4, atol=2e-3, err_msg=name)


@pytest.mark.parametrize(
    "options",
    [
        {"noise_uV": 5.0, "rotation": "physrot"},
        {"highpass_Hz": 300.0, "noise_uV": 3.0, "noise_spectrum": "pink", "common_average": True, "mean_of": 4},
    ],
    ids=["noise", "chain"],
)
def test_a_stream_has_the_samples_of_the_store(tmp_path, options) -> None:
    path, cell = make(tmp_path, **options), [0, 3, 1]
    found = drawn(path, cell, [0, 0, 0], 20)
    same(found, path, cell, 20)


def test_candidates_at_once_and_members_change_no_sample(plain, monkeypatch) -> None:
    path, cell = plain, [2, 0]
    same(drawn(path, cell, [0, 0], 9, 7), path, cell, 9)
    cells_of, how = stream.of_store(path)
    both = jax.vmap(lambda c: stream.samples(cells_of, how, c, jnp.zeros(2, jnp.uint32), 9))(jnp.array([cell, [1, 3]]))
    same({k: np.asarray(v[0]) for k, v in both.items()}, path, cell, 9)
    same({k: np.asarray(v[1]) for k, v in both.items()}, path, [1, 3], 9)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")  # which does all blocks at once
    same(drawn(path, cell, [0, 0], 9), path, cell, 9)


def test_cells_of_other_sizes_are_padded_apart_and_have_the_same_samples(plain, monkeypatch) -> None:
    monkeypatch.setattr(stream, "APART", 1)
    cells_of, _ = stream.of_store(plain)
    assert len(cells_of.groups) == len(NAMES)
    same(drawn(plain, [0, 3, 1, 2], [0, 0, 0, 0], 9), plain, [0, 3, 1, 2], 9)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    same(drawn(plain, [0, 3, 1, 2], [0, 0, 0, 0], 9), plain, [0, 3, 1, 2], 9)


def test_cells_that_fill_the_memory_are_refused_in_a_sentence(plain, monkeypatch) -> None:
    monkeypatch.setattr(batches, "fits", lambda n_bytes: n_bytes < 1000)
    with pytest.raises(UserError, match=r"the currents of 4 cell models take 0\.0 GB, which is too much .* --stream"):
        stream.of_store(plain)


def test_no_cell_is_much_smaller_than_the_largest_of_its_group() -> None:
    size = np.random.default_rng(0).integers(700, 800_000, 400)
    group = stream._groups(size)
    for number in range(group.max() + 1):
        assert size[group == number].max() < stream.APART * size[group == number].min()
    assert group.max() <= np.log(800 / 0.7) / np.log(stream.APART)
    assert np.array_equal(stream._groups(np.array([100, 13, 12, 1])), [0, 0, 1, 2])


def test_blocks_differ(plain) -> None:
    path, first = plain, stream.FIRST_BLOCK
    found = drawn(path, [0, 0, 0], [first, first + 1, first], 6)["position_um"]
    assert np.array_equal(found[0], found[2])
    assert not np.isin(found[0], found[1]).any()
    assert not np.isin(found[0], store.read(path, "position_um")).any()


def test_a_store_of_other_currents_or_of_a_newer_version_is_refused(plain, tmp_path, monkeypatch) -> None:
    path = plain
    with pytest.raises(UserError, match="was made by a newer version, with speed"):
        stream._config(path, {**store.config(store.attributes(path, "eap")), "speed": 1})
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(
        membrane, "attempt", lambda models, workers=None: attempted(other, models, provenance={"made": "later"})
    )
    with pytest.raises(UserError, match="was begun with other currents of"):
        stream.of_store(path)
