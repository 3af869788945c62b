"""Figures are written whole and not blank; tables align."""

import numpy as np
import pytest
from matplotlib.image import imread

from spiketype.train.judging.figures import (
    confusion_figure,
    heading,
    save,
    training_figure,
)
from spiketype.train.judging.report import (
    cell_table,
    classification_figures,
    location_figures,
    location_table,
    text_table,
)
from spiketype.train.tasks.eap.footprints import array_figure, feature_figure
from spiketype.train.tasks.eap.predictions import Locations, Predictions
from spiketype.train.tasks.eap.summary import location_summary, summary

M_TYPES = ("BP", "BTC", "ChC", "DBC", "LBC", "MC", "NBC", "NGC", "SBC", "STPC", "TTPC1", "TTPC2", "UTPC")


def predictions(binary: bool) -> Predictions:
    rng = np.random.default_rng(0)
    cell = np.tile(np.repeat(np.arange(13), 40), 2)
    n, classes = 520, 2 if binary else 13
    label = (cell >= 9).astype(int) if binary else cell
    distance, amplitude = np.tile(rng.uniform(10, 60, n), 2), np.tile(rng.lognormal(4.5, 0.6, n) + 30, 2)
    right = rng.random(2 * n) < 0.95 - 0.006 * distance
    said = np.where(right, label, rng.integers(0, classes, 2 * n))
    return Predictions(
        probability=np.eye(classes, dtype=np.float32)[said],
        label=label,
        cell=cell,
        seed=np.repeat([0, 1], n),
        fold=np.zeros(2 * n, int),
        index=np.tile(np.arange(n), 2),
        distance_um=distance,
        amplitude_uV=amplitude,
        class_names=("inhibitory", "excitatory") if binary else M_TYPES,
        cell_names=tuple(f"L5_{name}" for name in M_TYPES),
    )


def history() -> list[dict]:
    steps = np.arange(0, 2000, 50)
    train = [{"step": int(k), "loss": [2.5 * np.exp(-k / s) + 0.1 for s in (500, 600)]} for k in steps]
    test = [{"step": int(k), "accuracy": 0.9, "test_accuracy": [0.8, 0.7 + k / 1e4]} for k in steps[::4]]
    return train + test


def contacts(pitch_um: float = 15) -> np.ndarray:
    line = (np.arange(10) - 4.5) * pitch_um
    z, y = np.meshgrid(line, line, indexing="ij")
    return np.column_stack([np.zeros(100), y.ravel(), z.ravel()])


def eap(contact_um: np.ndarray, soma_um: np.ndarray) -> np.ndarray:
    distance = np.linalg.norm(contact_um - soma_um, axis=1)
    time = np.arange(224) / 32
    shape = -np.exp(-((time - 2) ** 2) / 0.02) + 0.25 * np.exp(-((time - 2.6) ** 2) / 0.1)
    return 3e4 / distance[:, None] ** 1.5 * shape


def assert_drawn(path, least: int = 50) -> None:
    pixels = (imread(path)[..., :3] * 255).astype(np.uint8)
    assert min(pixels.shape[:2]) > 200
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > least
    assert not list(path.parent.glob(".*"))


@pytest.mark.parametrize(("binary", "split_by_group"), [(False, False), (True, True)])
def test_classification_figures(tmp_path, binary, split_by_group):
    judged = summary(predictions(binary), split_by_group)
    records = history() if binary else []
    paths = classification_figures(judged, records, "3drot", tmp_path / "figures")
    assert len(paths) == 3 + bool(records)
    for path in paths:
        assert_drawn(path)


def test_location_figures(tmp_path):
    rng = np.random.default_rng(0)
    true = rng.uniform((10, -75, -75), (60, 75, 75), (200, 3))
    zeros = np.zeros(200, int)
    p = Locations(true + rng.normal(size=true.shape) * 4, true, zeros, zeros, zeros, np.arange(200), ("BP",))
    judged = location_summary(p, False, true.mean(axis=0), resamples=50)
    (path,) = location_figures(p, judged, [], "location, 3drot", tmp_path)
    assert_drawn(path)
    assert "percentile 90 3d" in location_table(judged)


def test_footprints(tmp_path):
    contact_um, soma_um = contacts(), np.array([20.0, 10, -5])
    trace = eap(contact_um, soma_um)
    assert_drawn(save(array_figure({"BP": trace}, contact_um, 1 / 32, "one", {"BP": soma_um}), tmp_path / "a.png"))
    line = contact_um[::10]  # one column: a linear probe
    assert_drawn(save(array_figure({"a": trace[::10], "b": 0 * trace[::10]}, line, 1 / 32, "two"), tmp_path / "b.png"))
    images = np.random.default_rng(0).random((13, 2, 10, 10))
    assert_drawn(save(feature_figure(images, M_TYPES, ("amplitude (µV)", "width (ms)"), "f"), tmp_path / "c.png"))
    with pytest.raises(ValueError, match="10 channels, contact_um 100"):
        array_figure({"BP": line}, contact_um, 1 / 32, "wrong")
    with pytest.raises(ValueError, match=r"got \(13, 2\)"):
        feature_figure(images, M_TYPES, ("amplitude (µV)",), "wrong")


def test_training_figure_without_accuracy(tmp_path):
    assert_drawn(
        save(training_figure([{"step": 1, "loss": 0.5}, {"step": 2, "loss": -0.5}], "loss"), tmp_path / "t.png")
    )


def test_titles_warn_of_optimistic_splits():
    p = predictions(True)
    assert "optimistic" in heading("binary", summary(p, False))
    assert "optimistic" not in heading("binary", summary(p, True))


def test_a_failed_save_leaves_the_old_picture(tmp_path, monkeypatch):
    figure = confusion_figure(summary(predictions(True), False), "binary")
    path = tmp_path / "confusion.png"
    path.write_bytes(b"old")

    def full(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", full)
    with pytest.raises(OSError, match="disk full"):
        save(figure, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_tables():
    table = text_table(["cell", "accuracy"], [["BP", "99.1"], ["a longer name", "5.0"]])
    assert len({len(line) for line in table.splitlines()}) == 1
    with pytest.raises(ValueError, match="expected 2 columns, got 1"):
        text_table(["a", "b"], [["c"]])
    lines = cell_table(summary(predictions(False), False)).splitlines()
    assert len(lines) == 2 + 13 + 5 + 1
    assert len({len(line) for line in lines}) == 1
