"""EAP stores as tables: images, labels, groups, and stores that cannot be used."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest

from spiketype.datasets import eap, lattice, store
from spiketype.edge import UserError

RNG = np.random.default_rng(0)
SAMPLES, GRID, TIME = 12, (2, 3), 5
N_CHANNEL = GRID[0] * GRID[1]
CONTACT = np.stack([np.zeros(6), np.tile([-15, 0, 15], 2), np.repeat([-7.5, 7.5], 3)], axis=1).astype(np.float32)
ARRAYS = {
    "amplitude_uV": RNG.uniform(0, 300, (SAMPLES, N_CHANNEL)).astype(np.float32),
    "width_ms": RNG.uniform(0, 7, (SAMPLES, N_CHANNEL)).astype(np.float32),
    "fwhm_ms": RNG.uniform(0, 7, (SAMPLES, N_CHANNEL)).astype(np.float32),
    "eap_uV": RNG.normal(size=(SAMPLES, N_CHANNEL, TIME)).astype(np.float32),
    "cell": np.repeat([0, 1, 2], 4).astype(np.int16),
    "position_um": RNG.uniform(10, 60, (SAMPLES, 3)).astype(np.float32),
}
CELLS = {"cell_name": ["L5_X_1", "L5_B_1", "L5_X_2"], "m_type": ["X", "B", "X"], "excitatory": [True, False, True]}


def make(path: Path, skip: tuple[str, ...] = (), grid: tuple[int, ...] = GRID, finish: bool = True) -> Path:
    dims = {"amplitude_uV": ("sample", "channel"), "eap_uV": ("sample", "channel", "time"), "cell": ("sample",)}
    dims |= {"width_ms": dims["amplitude_uV"], "fwhm_ms": dims["amplitude_uV"], "position_um": ("sample", "axis")}
    arrays = {name: a for name, a in ARRAYS.items() if name not in skip}
    variables = {name: store.Variable(dims[name], str(a.dtype), "1", name) for name, a in arrays.items()}
    by_cell = {name: store.Coordinate(("cell_model",), np.array(v), "1", name) for name, v in CELLS.items()}
    contacts = store.Coordinate(("channel", "axis"), CONTACT, "um", "contacts")
    sizes = {"sample": SAMPLES, "channel": N_CHANNEL, "time": TIME, "axis": 3, "cell_model": 3}
    attributes = {"config": json.dumps({}), "probe_grid": list(grid)}
    store.create(path, "eap", sizes, 6, variables, {**by_cell, "contact_um": contacts}, attributes)
    for index in range(2 if finish else 1):
        store.write_block(path, 6, index, {name: a[6 * index : 6 * index + 6] for name, a in arrays.items()})
        store.mark_done(path, index)
    store.finish(path)
    return path


@pytest.mark.parametrize(("features", "images"), [("aw", 2), ("fw", 2), ("afw", 3)])
def test_feature_images(tmp_path, features, images):
    inputs = eap.Inputs(make(tmp_path / "s"), features, scaled=False)
    x = inputs.rows(np.arange(SAMPLES))
    assert x.shape == inputs.shape == (SAMPLES, *GRID, images)
    assert x.dtype == np.float32
    for i, name in enumerate(inputs.images):
        np.testing.assert_array_equal(x[:, 1, 2, i], ARRAYS[name][:, 5])  # row-major channels


@pytest.mark.parametrize("features", ["aw", "waveform"])
@pytest.mark.parametrize("scaled", [True, False])
def test_inputs_on_disk_are_those_in_memory(tmp_path, monkeypatch, features, scaled):
    path = make(tmp_path / "s")
    memory = eap.Inputs(path, features, scaled)
    monkeypatch.setattr(eap.batches, "fits", lambda n_bytes: False)
    disk = eap.Inputs(path, features, scaled)
    assert disk.whole is None
    index = np.array([0, 3, 4, 9, 11])
    np.testing.assert_array_equal(disk.rows(index), memory.rows(index))
    for ours, theirs in zip(disk.pieces(index, 2), memory.pieces(index, 2), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    drawn = np.random.default_rng(0).integers(0, SAMPLES, (25, 2, 4))
    with contextlib.closing(disk.stream(iter(drawn))) as stream:
        for expected, (sample, x) in zip(drawn, stream, strict=True):
            np.testing.assert_array_equal(sample, expected)
            assert memory.whole is not None
            np.testing.assert_array_equal(x, memory.whole[sample])


def test_waveforms_are_one_image_a_time_sample(tmp_path):
    inputs = eap.Inputs(make(tmp_path / "s"), "waveform", scaled=False)
    assert inputs.shape == (SAMPLES, *GRID, TIME)
    np.testing.assert_array_equal(inputs.rows(np.arange(SAMPLES))[:, 1, 0], ARRAYS["eap_uV"][:, 3])


def test_labels_groups_and_what_results_are_plotted_against(tmp_path):
    table = eap.load(make(tmp_path / "s"))
    assert table.m_type_names == ("B", "X")
    assert table.cell_names == ("L5_X_1", "L5_B_1", "L5_X_2")
    np.testing.assert_array_equal(table.m_type, np.repeat([1, 0, 1], 4))
    np.testing.assert_array_equal(table.excitatory, np.repeat([True, False, True], 4))
    nearest = [np.linalg.norm(CONTACT - p, axis=1).min() for p in ARRAYS["position_um"]]
    np.testing.assert_allclose(table.distance_um, nearest, rtol=1e-5)
    np.testing.assert_array_equal(table.amplitude_uV, ARRAYS["amplitude_uV"].max(axis=1))


def test_models_of_one_type(tmp_path):
    table = eap.load(make(tmp_path / "s"))
    assert (table.cell_names, table.type_names) == (("L5_X_1", "L5_B_1", "L5_X_2"), ("L5_X", "L5_B"))
    np.testing.assert_array_equal(table.type, np.array([0, 1, 0])[ARRAYS["cell"]])


def test_scaled_inputs_are_of_order_one_and_keep_order(tmp_path):
    images = eap.IMAGES["aw"]
    x = np.array([[0, 7], [5, 0.5], [500, 1]], np.float32)  # the first is below the threshold: its width is the window
    np.testing.assert_allclose(eap.scale(x, images), [[0, 0], [np.log(2), 0], [np.log(101), np.log(2)]], rtol=1e-6)
    v = np.array([-500, -1, 0, 1, 500], np.float32)
    scaled = eap.scale(v, eap.IMAGES["waveform"])
    np.testing.assert_allclose(scaled, -scaled[::-1])
    assert (np.diff(scaled) > 0).all()
    assert scaled.dtype == np.float32


@pytest.mark.parametrize("features", ["aw", "fw", "waveform"])
def test_a_probe_without_a_grid_has_images_on_a_lattice(tmp_path, monkeypatch, features):
    path = make(tmp_path / "s", grid=())
    inputs = eap.Inputs(path, features, scaled=False)
    depth = TIME if features == "waveform" else 2
    assert inputs.shape == (SAMPLES, lattice.SIDE, lattice.SIDE, depth + 1)
    largest = ARRAYS["amplitude_uV"].argmax(axis=1)
    np.testing.assert_array_equal(inputs.middle_um, CONTACT[largest])
    middle = inputs.rows(np.arange(SAMPLES))[:, lattice.SIDE // 2, lattice.SIDE // 2]
    values = ARRAYS["eap_uV"] if features == "waveform" else np.stack([ARRAYS[n] for n in inputs.images], axis=-1)
    np.testing.assert_allclose(middle[:, :-1], values[np.arange(SAMPLES), largest], rtol=0.05, atol=0.05)
    np.testing.assert_array_equal(middle[:, -1], 1)
    monkeypatch.setattr(eap.batches, "fits", lambda n_bytes: False)
    disk = eap.Inputs(path, features, scaled=False)
    index = np.array([0, 3, 9])
    np.testing.assert_array_equal(disk.rows(index), inputs.rows(index))
    np.testing.assert_array_equal(disk.measured(index), inputs.rows(index))


def test_a_grid_may_be_seen_on_a_lattice(tmp_path):
    inputs = eap.Inputs(make(tmp_path / "s"), "aw", scaled=True, pitch_um=15.0)
    assert inputs.shape == (SAMPLES, lattice.SIDE, lattice.SIDE, 3)
    assert (eap.Inputs(make(tmp_path / "t"), "aw", scaled=True).middle_um == 0).all()


def test_a_store_without_the_features_of_the_run(tmp_path):
    with pytest.raises(UserError, match=r"has no eap_uV; it has .*amplitude_uV"):
        eap.Inputs(make(tmp_path / "s", skip=("eap_uV",)), "waveform", scaled=True)


def test_an_unfinished_store(tmp_path):
    with pytest.raises(UserError, match=r"1 of 2 blocks are missing \(1\)"):
        eap.load(make(tmp_path / "s", finish=False))


def test_inputs_alone_need_no_labels(tmp_path):
    path = make(tmp_path / "s", skip=("cell", "position_um"))
    assert eap.Inputs(path, "aw", scaled=True).shape == (SAMPLES, *GRID, 2)
    with pytest.raises(UserError, match="has no cell, position_um"):
        eap.load(path)
