"""Figures are written whole and not blank; tables align."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from spiketype.pictures import save
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.figures import calls_confusion, draw_map, plane, reliability_figure, training_figure
from spiketype.train.judging.report import text_table
from spiketype.train.tasks.eap import judge, metrics
from spiketype.train.tasks.eap.figures import array_figure, feature_figure, heading
from spiketype.train.tasks.eap.metrics import Resampling
from spiketype.train.tasks.eap.positions import Positions

M_TYPES = ("BP", "BTC", "ChC", "DBC", "LBC", "MC", "NBC", "NGC", "SBC", "STPC", "TTPC1", "TTPC2", "UTPC")


CELL_NAMES = tuple(f"L5_{name}" for name in M_TYPES)


def calls(binary: bool) -> Calls:
    rng = np.random.default_rng(0)
    cell = np.repeat(np.arange(13), 40).astype(np.int32)
    n, classes = 520, 2 if binary else 13
    label = (cell >= 9).astype(np.int32) if binary else cell
    distance, amplitude = rng.uniform(10, 60, n), rng.lognormal(4.5, 0.6, n) + 30
    right = rng.random((2, n)) < 0.95 - 0.006 * distance
    called = np.where(right, label, rng.integers(0, classes, (2, n)))
    return Calls(
        probability=np.eye(classes)[called],
        label=label,
        group=cell,
        class_names=("inhibitory", "excitatory") if binary else M_TYPES,
        row_names=tuple(map(str, range(n))),
        measured={"distance_um": distance, "amplitude_uV": amplitude},
    )


def summary(binary: bool, by_group: bool) -> dict:
    return metrics.summary(calls(binary), CELL_NAMES, Resampling(by_group, 0, 200), "group", 1)


def of(by_group: bool, records: list[dict]) -> judge.Tested:
    return judge.Tested("mtype", "3drot", "group", 1, Resampling(by_group, 0, 200), records)


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


@pytest.mark.parametrize("binary", [False, True])
def test_pictures_of_calls(tmp_path, binary):
    records = history() if binary else []
    drawn = judge.of_calls(CELL_NAMES, calls(binary), {}, of(binary, records)).figures
    assert len(drawn) == 4 + bool(records)
    for name, figure in drawn.items():
        assert_drawn(save(figure, tmp_path / f"{name}.png"))


def test_pictures_of_positions(tmp_path):
    rng = np.random.default_rng(0)
    true = rng.uniform((10, -75, -75), (60, 75, 75), (200, 3))
    predicted = true + rng.normal(size=(1, *true.shape)) * 4
    p = Positions(predicted, true, np.zeros(200, int), ("BP",), tuple(map(str, range(200))))
    baseline_um = np.tile(true.mean(axis=0), (200, 1))
    judgement = judge.of_positions(p, baseline_um, of(False, []))
    (figure,) = judgement.figures.values()
    assert_drawn(save(figure, tmp_path / "location.png"))
    assert "percentile 90 3d" in judge.location_table(judgement.summary)


def test_pictures_that_all_tasks_share(tmp_path):
    both = {"ours": calls(True), "theirs": calls(True).of(np.full((2, 520, 2), 0.5))}
    assert_drawn(save(calls_confusion(both, "two models"), tmp_path / "c.png"))
    assert_drawn(save(reliability_figure(both, "two models"), tmp_path / "r.png"))
    z = np.random.default_rng(0).normal(size=(60, 5))
    figure = Figure()
    draw_map(figure.subplots(), plane(z, 0), np.arange(60) % 3 - 1, ("a", "b"), np.arange(60) % 7 == 0)
    assert_drawn(save(figure, tmp_path / "m.png"))


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
    assert "optimistic" in heading("binary", summary(True, False))
    assert "optimistic" not in heading("binary", summary(True, True))


def test_a_failed_save_leaves_the_old_picture(tmp_path, monkeypatch):
    figure = calls_confusion({"network": calls(True)}, "binary")
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
    lines = judge.cell_table(summary(False, False)).splitlines()
    assert len(lines) == 2 + 13 + 5 + 1
    assert len({len(line) for line in lines}) == 1
