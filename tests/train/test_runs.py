import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_folder
from states import equal, save, state

from spiketype import edge
from spiketype.edge import UserError
from spiketype.train import asked, checked, checkpoints, config, execute, runs, tasks
from spiketype.train.identity import Identity
from spiketype.train.judging.figures import training_figure
from spiketype.train.task import Judgement, Task
from spiketype.train.tasks.eap.config import EapTaskConfig
from tests.torture.flips import changes, run_content

BEGUN = Identity("digest", np.arange(3, dtype=np.float32), np.ones(3, np.float32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    runs.create(tmp_path / "run", EapTaskConfig(steps=7, data=Path("some.zarr")), BEGUN)
    return tmp_path / "run"


def test_configuration_comes_back(folder: Path) -> None:
    opened = asked.open_config(folder)
    assert opened == EapTaskConfig(steps=7, data=Path("some.zarr").absolute())
    content = json.loads((folder / asked.CONFIG).read_text())
    assert content["versions"].keys() >= {"spiketype", "python", "jax", "flax", "git_commit"}
    assert content["command"]


def test_a_run_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(UserError, match=r"holds a run already.*--resume"):
        runs.create(folder, EapTaskConfig(), BEGUN)


def test_a_run_is_not_continued_with_other_options(folder: Path) -> None:
    runs.check_same(folder, EapTaskConfig(steps=7, data=Path("some.zarr")))
    with pytest.raises(UserError, match=r"other options \((split, steps|steps, split)\)"):
        runs.check_same(folder, EapTaskConfig(steps=8, data=Path("some.zarr"), split="random"))


def test_a_run_is_not_continued_with_other_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs.check_same_data(folder, BEGUN)
    for other in (BEGUN._replace(digest="other"), BEGUN._replace(values=BEGUN.values[::-1])):
        with pytest.raises(UserError, match=f"{folder} began with other data, labels or --lists than there are now"):
            runs.check_same_data(folder, other)
    content = (folder / runs.DATA).read_bytes()
    (folder / runs.DATA).write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"data.msgpack is damaged .*: delete it and repeat --resume"):
        runs.check_same_data(folder, BEGUN)
    checked.write_msgpack(folder / runs.DATA, {"digest": "other", "values": BEGUN.values})  # as in older versions
    for _ in range(2):
        runs.check_same_data(folder, BEGUN)
        assert "does not say what data the run began with" in capsys.readouterr().err
        (folder / runs.DATA).unlink(missing_ok=True)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UserError, match="a file is in the way"):
            runs.check_new(place)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"config": 3}', '{"config": {"steps": 1}}', "\xff"])
def test_a_damaged_configuration_is_named(folder: Path, content: str) -> None:
    (folder / asked.CONFIG).write_bytes(content.encode("latin1"))
    with pytest.raises(UserError, match=str(folder)):
        asked.open_config(folder)


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no run folder \(config.json: No such file"):
        asked.open_config(tmp_path)


def test_configuration_of_another_version(folder: Path) -> None:
    content = json.loads((folder / asked.CONFIG).read_text())
    content["config"]["momentum"] = content["config"].pop("dropout")
    edge.write_json(folder / asked.CONFIG, {k: v for k, v in content.items() if k != "sha256"})
    with pytest.raises(UserError, match="another version of this program: dropout, momentum differ"):
        asked.open_config(folder)


def test_a_value_of_the_wrong_type_is_named(folder: Path) -> None:
    content = json.loads((folder / asked.CONFIG).read_text())
    content["config"]["steps"] = "many"
    edge.write_json(folder / asked.CONFIG, {k: v for k, v in content.items() if k != "sha256"})
    with pytest.raises(UserError, match=r"config.json: steps is 'many', which it cannot be"):
        asked.open_config(folder)


def test_what_a_killed_run_left_half_written_is_removed(folder: Path) -> None:
    save(folder, 12, state())
    for name in (".config.json.7.partial", "checkpoints/.last.msgpack.partial", "figures/.a.png.7.partial"):
        (folder / name).touch()
    (folder / ".predictions.zarr.0a1b2c3d.partial" / "c").mkdir(parents=True)
    runs.clean(folder)
    assert not list(folder.rglob("*.partial"))
    assert {path.name for path in folder.iterdir()} == {"config.json", "checkpoints", "figures"}


class Model:
    """A final model that is nothing but its parts."""

    def __init__(self, arrays, manifest) -> None:
        self.parts = arrays, manifest

    def arrays(self):
        return self.parts[0]

    def manifest(self):
        return self.parts[1]


class Nothing:
    """Predictions that leave a mark."""

    def write(self, path, others, name) -> None:
        path.mkdir()


def of_parts(name: str) -> Task[Any, Any]:
    """Return a task whose models are the parts that were written."""
    return replace(tasks.get(name), restore=lambda config, arrays, manifest: Model(arrays, manifest))


def judgement(arrays, manifest) -> Judgement:
    return Judgement({"value": 1.0}, Nothing(), {"a": training_figure([], "a")}, Model(arrays, manifest))


def test_a_judgement_is_written_and_its_model_comes_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no model yet: finish the run with --resume"):
        runs.load_model(folder)
    variables = state().variables | {"list": [np.float64(1.5), np.arange(3)]}
    runs.write_judgement(folder, judgement(variables, {"classes": ["a"]}), {"value": 1.0})
    assert {path.name for path in folder.iterdir()} >= {"summary.json", "figures", "predictions.zarr", "checkpoints"}
    assert (folder / "figures" / "a.png").exists()
    monkeypatch.setattr(runs, "get", of_parts)
    _, _, model = runs.load_model(folder)
    arrays, manifest = model.parts
    equal(arrays["params"], state().params)
    assert arrays["list"]["0"] == 1.5  # lists are kept by their numbers
    assert manifest == {"classes": ["a"]}
    (folder / runs.MODEL).write_bytes(b"")
    with pytest.raises(UserError, match=r"model.msgpack is damaged"):
        runs.load_model(folder)


def test_checkpoints_are_msgpack_and_json_without_pickles(folder: Path) -> None:
    save(folder, 1, state())
    runs.write_judgement(folder, judgement(state().variables, {}), {})
    for path in (folder / "checkpoints").iterdir():
        assert path.suffix in (".json", ".msgpack")
        assert b"pickle" not in path.read_bytes()
        assert not path.read_bytes().startswith(b"\x80\x04")


def test_one_changed_byte_in_any_file_is_named_or_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        save(folder, step, state(float(step)))
    made = judgement(state().variables, {"classes": ["a", "b"], "mean_um": [1.25, -3e-7]})
    runs.write_judgement(folder, made, {"value": 1 / 3})
    monkeypatch.setattr(runs, "get", of_parts)
    rng, told, noted = np.random.default_rng(0), 0, 0
    names = (asked.CONFIG, runs.MODEL, runs.MANIFEST, checkpoints.LAST, checkpoints.PREVIOUS, runs.SUMMARY)
    for change in changes(folder, names, 40, rng, lambda _: run_content(folder)):
        assert not change.wrong(folder)
        message = change.error
        if message:
            told += 1
            assert change.name.split("/")[-1] in message, message
            assert "repeat" in message or "--resume" in message, message
        else:
            noted += not change.same
    assert told > 170
    assert noted > 30  # the other checkpoint, where one is damaged


def test_metrics_are_logged_and_written_anew_from_a_checkpoint(folder: Path) -> None:
    log = runs.MetricsLog(folder, [])
    for step in (50, 100, 150):
        log.write(step, {"loss": np.array([step / 7, 0.25], np.float32)})
    assert [row["step"] for row in run_folder.metrics(folder)] == [50, 100, 150]
    assert run_folder.metrics(folder) == log.history
    (folder / runs.METRICS).write_text("cut")
    again = runs.MetricsLog(folder, log.history[:2])
    again.write(150, {"loss": np.array([1.0, 2.0], np.float32)})
    rows = run_folder.metrics(folder)
    assert [row["step"] for row in rows] == [50, 100, 150]
    assert np.float32(rows[0]["loss"][0]) == np.float32(50 / 7)
    assert rows[-1]["loss"] == [1.0, 2.0]
    assert len(log.history) == 3


def test_summary_without_nan(folder: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        edge.write_json(folder / runs.SUMMARY, {"value": float("nan")})
    assert not (folder / runs.SUMMARY).exists()


def test_lists_and_paths_keep_their_types() -> None:
    before = EapTaskConfig(split="lists", lists=Path("/a/b.json"), cell_models=("bbp", "/c"), turns=False)
    assert config.from_json(EapTaskConfig, config.to_json(before), Path("config.json")) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_judgement_is_stopped_at_once_and_training_at_its_next_look(number):
    def judged():
        with execute._stopping() as stop:
            stop.trained()
            signal.raise_signal(number)
            pytest.fail("the judgement went on")

    def trained():
        with execute._stopping() as stop:
            signal.raise_signal(number)  # after the last look
            assert stop()
            stop.trained()
            pytest.fail("the judgement began")

    for stopped in (judged, trained):
        with pytest.raises(execute.Stopped) as found:
            stopped()
        assert found.value.preempted == (number == signal.SIGTERM)
