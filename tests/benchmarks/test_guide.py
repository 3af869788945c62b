"""The example of the guide: a program that knows nothing of ours reads a benchmark, and its predictions are scored."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from spiketype.datasets.benchmarks import folder
from tests.benchmarks import tiny
from tests.benchmarks.test_made import bench

pytestmark = pytest.mark.usefixtures("tiny_alone")
GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "benchmarks.md"
READ, TRAIN, WRITE = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_example_is_short() -> None:
    lines = [line for line in f"{READ}{TRAIN}{WRITE}".splitlines() if line.strip()]
    assert len(lines) <= 20
    assert "spiketype" not in "".join(lines)


def read(made: Path) -> dict[str, object]:
    """Run the reading."""
    assert "eap13-3drot-v1" in READ
    names: dict[str, object] = {}
    exec(READ.replace("eap13-3drot-v1", str(made)), names)
    return names


def scored(made: Path, names: dict[str, object], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the writing; return what the score says."""
    exec(WRITE, names)
    words = "score", tiny.NAME, "predictions.csv", "--question", "mtype-random", "--made", made
    status, out, err = bench(capsys, *words)
    assert status == 0, err
    return out


def test_what_is_read_is_exactly_the_training_part(made: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """With logistic regression in the place of the network, and predictions that are scored."""
    monkeypatch.chdir(tmp_path)
    names = read(made)
    samples = folder.read(made, tiny.NAME).samples
    for part in ("train", "test"):
        frame = names[part]
        assert isinstance(frame, pd.DataFrame)
        assert frame["id"].tolist() == samples["id"][samples["mtype-random"] == part].tolist()
    x_train, x_test, train = (names[name] for name in ("x_train", "x_test", "train"))
    assert isinstance(x_train, np.ndarray)
    assert isinstance(x_test, np.ndarray)
    assert isinstance(train, pd.DataFrame)
    assert x_train.shape[:2] == (60, 100)
    model = LogisticRegression(max_iter=1000).fit(x_train.reshape(60, -1), train["m_type"])
    assert list(model.classes_) == names["classes"]
    names["probability"] = model.predict_proba(x_test.reshape(20, -1))
    assert "tiny, version 1, mtype-random: 20 rows, OPTIMISTIC" in scored(made, names, capsys)


def test_the_example_trains_and_is_scored(made: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    pytest.importorskip("torch", reason="torch is not installed (the extra spiketype[torch])")
    monkeypatch.chdir(tmp_path)
    names = read(made)
    assert "(2000, 100)" in TRAIN
    exec(TRAIN.replace("(2000, 100)", "(20, 10)"), names)
    assert "tiny, version 1, mtype-random: 20 rows, OPTIMISTIC" in scored(made, names, capsys)
