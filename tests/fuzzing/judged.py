"""What the judgement reads, and models that others trained: predictions, results, specifications, lists, weights."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from spiketype.bench import predictions, results
from spiketype.bench.score import Score
from spiketype.datasets import splits
from spiketype.datasets.benchmarks import specification
from spiketype.datasets.benchmarks.specification import Specification
from spiketype.datasets.waveforms import table
from spiketype.edge import write_json
from spiketype.units import call, model
from tests.fuzzing.reader import Reader

NAME, QUESTION = "eap13-norot", "ei-cells"


def _specification() -> Specification:
    return specification.load(NAME)


def _predictions() -> pd.DataFrame:
    one, other = _specification().questions[QUESTION].classes
    return pd.DataFrame({"id": ["a", "b", "c"], f"p_{one}": [0.25, 0.75, 0.5], f"p_{other}": [0.75, 0.25, 0.5]})


def _csv(folder: Path) -> Path:
    _predictions().to_csv(folder / "p.csv", index=False)
    return folder / "p.csv"


def _parquet(folder: Path) -> Path:
    _predictions().to_parquet(folder / "p.parquet", index=False)
    return folder / "p.parquet"


def _read_predictions(path: Path) -> None:
    predictions.read(path, _specification().questions[QUESTION], None)


def _results(folder: Path) -> Path:
    found = _specification()
    metric = found.questions[QUESTION].metric
    score = Score({metric: {"value": 90.0, "low": 85.0, "high": 95.0}}, {}, 3, "0" * 64, "", "")
    results.save(folder, found, QUESTION, "a method", score)
    return folder / NAME


def _read_results(path: Path) -> None:
    found = _specification()
    metric = found.questions[QUESTION].metric
    results.ranked(results.others(path.parent, found, QUESTION, metric), metric, 80.0)


def _toml(folder: Path) -> Path:
    (folder / "specification.toml").write_bytes(specification.content(NAME))
    return folder / "specification.toml"


def _lists(folder: Path) -> Path:
    write_json(folder / "lists.json", {"train": ["a", 2], "test": [3]})
    return folder / "lists.json"


def _read_lists(path: Path) -> None:
    splits.make("lists", None, np.array([0, 0, 1, 1], np.int32), ("a", "b"), 2, 0, lists=path)


def _weights(folder: Path) -> Path:
    for file in model.WEIGHTS.glob(f"{model.NAME}.*"):
        shutil.copy(file, folder)
    return folder / f"{model.NAME}.npz"


def _read_weights(path: Path) -> None:
    x = -np.exp(-((np.arange(60.0) - 20) ** 2) / 5) + 0.3 * np.exp(-((np.arange(60.0) - 34) ** 2) / 40)
    call.call(table.build(path, np.stack([x, 2 * x]), 30.0), model.load(path.parent))


READERS = {
    "predictions-csv": Reader(_csv, _read_predictions),
    "predictions-parquet": Reader(_parquet, _read_predictions),
    "results": Reader(_results, _read_results),
    "specification": Reader(_toml, lambda path: specification.parse(path.read_bytes(), str(path))),
    "lists": Reader(_lists, _read_lists),
    "units-model": Reader(_weights, _read_weights),
}
