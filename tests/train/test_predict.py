"""Where predictions go: nothing is replaced, two inputs of one name have two tables, formats go by the ending."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from spiketype import edge
from spiketype.datasets import waveforms
from spiketype.edge import UserError
from spiketype.train import asked, named, predict, runs
from spiketype.train.tasks.unit.model import in_order


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run whose model calls every file by its size."""

    def call(config: Any, model: Any, data: Path) -> dict[str, np.ndarray]:
        return {"row": np.array(["a"]), "call": np.array([data.read_text()]), "p_x": np.ones(1)}

    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.setattr(asked, "open_config", lambda run: None)
    monkeypatch.setattr(asked, "for_data", lambda config, flip, **given: config)
    monkeypatch.setattr(runs, "load_model", lambda run: (SimpleNamespace(predict=call), None, None))
    for name in ("one", "two", "deep/one"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "units.csv").write_text(name)
    return tmp_path


def test_inputs_of_one_name_have_tables_of_two_names(folder: Path) -> None:
    run = folder / "run"
    for name in ("one", "two", "deep/one"):
        predict.main(run, folder / name / "units.csv")
    found = {path.name: pd.read_csv(path)["call"][0] for path in run.glob("*.csv")}
    assert found == {
        "predictions-units.csv": "one",
        "predictions-two-units.csv": "two",
        "predictions-one-units.csv": "deep/one",
    }
    with pytest.raises(UserError, match=r"predictions-two-units\.csv exists: choose another --out, or give --force"):
        predict.main(run, folder / "two" / "units.csv")
    predict.main(run, folder / "two" / "units.csv", force=True)
    assert len(list(run.glob("*.csv"))) == 3


def test_neither_the_data_nor_another_file_is_replaced(folder: Path) -> None:
    run, data = folder / "run", folder / "one" / "units.csv"
    with pytest.raises(UserError, match="is the data themselves: choose another file"):
        predict.main(run, data, data, force=True)
    other = folder / "two" / "units.csv"
    with pytest.raises(UserError, match="exists: choose another --out"):
        predict.main(run, data, other)
    assert (data.read_text(), other.read_text()) == ("one", "two")
    predict.main(run, data, other, force=True)
    assert other.read_text().startswith("row,call,p_x")


def test_two_inputs_of_one_name_have_two_evaluations_and_one_has_one(tmp_path: Path) -> None:
    for data in (one := tmp_path / "a" / "cells.csv", other := tmp_path / "b" / "cells.csv"):
        found = named.name(tmp_path, "evaluation-", data)
        (tmp_path / found).mkdir()
        named.keep(tmp_path, found, data)
    assert named.name(tmp_path, "evaluation-", one) == "evaluation-cells"
    assert named.name(tmp_path, "evaluation-", other) == "evaluation-b-cells"
    (tmp_path / named.NAMES).write_text("[")
    with pytest.raises(UserError, match=r"names.json is damaged: remove it"):
        named.name(tmp_path, "evaluation-", one)


def test_the_format_goes_by_the_ending_and_a_wrong_one_is_refused_first(folder: Path) -> None:
    data = folder / "one" / "units.csv"
    for ending, read in ((".csv", pd.read_csv), (".tsv", pd.read_table), (".parquet", pd.read_parquet)):
        predict.main(folder / "run", data, folder / f"calls{ending}")
        assert read(folder / f"calls{ending}")["call"].tolist() == ["one"]
    with pytest.raises(UserError, match=r"ends in \.csv, \.tsv or \.parquet"):
        predict.main(folder / "no run", folder / "no data", folder / "calls.xlsx")
    with pytest.raises(UserError, match=r"--out .*: give the name of a file in a folder that exists"):
        predict.main(folder / "run", data, folder / "none" / "calls.csv")


def test_units_are_in_the_order_of_the_data_under_their_own_names(tmp_path: Path) -> None:
    x, unit = np.random.default_rng(0).normal(size=(8, 40)), np.repeat([0, 1, 2, 11], 2)
    np.savez(tmp_path / "units.npz", waveform=x, rate_kHz=30.0, unit=unit, label=unit % 2)
    table = waveforms.load(tmp_path / "units.npz")
    p = np.select([unit == k for k in (0, 1, 2, 11)], [0.9, 0.4, 0.1, 0.3])
    found = in_order(table, np.stack([p, 1 - p], axis=1)[None]).table(0.65)
    assert found["row"].tolist() == ["0", "1", "2", "11"]
    np.testing.assert_allclose(found["p_0"], [0.9, 0.4, 0.1, 0.3])
    np.testing.assert_allclose(found["probability"], [0.9, 0.6, 0.9, 0.7])
    assert found["call"].tolist() == ["0", "no call", "1", "1"]


def test_advice_to_install_is_of_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert edge.install("MEArec") == "uv pip install 'MEArec'"
    assert edge.install("spiketype[umap]") == "uv sync --extra umap"  # this is a clone
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert edge.install("spiketype[umap]") == "pip install 'spiketype[umap]'"
