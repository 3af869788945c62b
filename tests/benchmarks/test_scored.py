"""Scores: those of a run are the run's own to the last digit, and rows that are not as asked are refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import optax
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketype.bench import predictions, results
from spiketype.bench.score import score
from spiketype.datasets import store
from spiketype.datasets.benchmarks import folder
from spiketype.datasets.benchmarks.folder import Made
from spiketype.datasets.fingerprint import of_names
from spiketype.edge import Json, UserError
from spiketype.train import checked, run, runs
from spiketype.train.judging.calls import Calls
from spiketype.train.task import TRAINING_PARTS
from tests.benchmarks import tiny
from tests.benchmarks.test_made import bench
from tests.train.optimizers import adam

pytestmark = pytest.mark.usefixtures("tiny_alone")
SMALL = ("--network", "xs", "--batch", "16", "--steps", "20")
OF_THE_RUN = {"task", "split", "baselines", "data", "seconds"}  # what a summary says besides of how it came about
M_TYPE = "mtype-random"


@pytest.fixture
def benchmark(made: Path) -> Made:
    return folder.read(made, tiny.NAME)


def trained(made: Path, out: Path, task: str, lists: str, *options: str) -> Path:
    """Train on the lists of a question, or of one of its folds; pictures are not what is tested."""
    words = ["--task", task, "--store", str(made / folder.DATA), "--out", str(out), "--split", "lists"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "save", lambda figure, path: None)
        run.main([*words, "--lists", str(made / "splits" / f"{lists}.json"), *SMALL, *options])
    return out


def scored(benchmark: Made, name: str, *paths: Path, model: str | None = None) -> Json:
    question = benchmark.specification.questions[name]
    return score(benchmark, name, [predictions.read(path, question, model) for path in paths]).summary


def without(summary: Json) -> Json:
    return {name: value for name, value in summary.items() if name not in OF_THE_RUN}


@pytest.fixture(scope="module")
def m_types(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds, with a seed of its own for the intervals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optax, "adam", adam)
        return trained(made, tmp_path_factory.mktemp("m") / "run", "mtype", M_TYPE, "--seeds", "2", "--seed", "5")


def test_the_score_of_a_run_is_its_summary(benchmark: Made, m_types: Path) -> None:
    summary = runs.read_summary(m_types)
    assert without(scored(benchmark, M_TYPE, m_types)) == without(summary)
    for name, other in summary["baselines"].items():
        theirs = scored(benchmark, M_TYPE, m_types, model=name)
        assert theirs["over_cells_percent"]["mean"] == other["over_cells_percent"]["mean"]
        assert theirs["balanced_accuracy_percent"] == other["balanced_accuracy_percent"]


def test_the_score_of_positions_is_the_summary(made: Path, benchmark: Made, tmp_path: Path) -> None:
    path = trained(made, tmp_path / "run", "location", "position-cells")
    assert without(scored(benchmark, "position-cells", path)) == without(runs.read_summary(path))


def of_fold(benchmark: Made, path: Path, k: int, others: float = 0.0) -> Path:
    """The predictions of a run on a fold; it may give some probability to a class that the question does not have."""
    rows, rng = np.flatnonzero(benchmark.samples["ei-cells"] == k), np.random.default_rng(k)
    p = rng.dirichlet([1, 1], len(rows))[None].astype(np.float32).astype(float)
    label = (benchmark.samples["ei"][rows] == "excitatory").astype(np.int32)
    names, classes = tuple(map(str, rows.tolist())), ("inhibitory", "excitatory")
    if others:
        p = np.concatenate([p * (1 - others), np.full((1, len(rows), 1), others)], axis=2)
        classes += ("glia",)
    calls = Calls(p, label, np.zeros(len(rows), np.int32), classes, names)
    path.mkdir()
    calls.write(path / runs.PREDICTIONS, {"opposite": calls.of(p[:, :, ::-1])}, "network")
    return path


def test_a_run_for_each_fold_and_a_table_say_the_same(benchmark: Made, tmp_path: Path) -> None:
    """Of several runs, in any order; of a table that another program wrote of the same numbers."""
    parts = [of_fold(benchmark, tmp_path / f"run{k}", k) for k in (2, 1)]
    ours = scored(benchmark, "ei-cells", *parts)
    assert not ours["optimistic"]
    assert ours["samples"] == 80
    names, rows = [], []
    for part in parts:
        path = part / runs.PREDICTIONS
        names += list(store.read(path, "row"))
        rows += list(store.read(path, "probability")[:, 0, 0].astype(float))
    columns = {f"p_{name}": [row[k] for row in rows] for k, name in enumerate(("inhibitory", "excitatory"))}
    by_number = tiny.csv(tmp_path / "a.csv", names, columns, by="sample")
    assert scored(benchmark, "ei-cells", by_number) == ours
    ids = [benchmark.samples["id"][int(name)] for name in names]
    parquet = tmp_path / "a.parquet"
    pd.DataFrame({"id": ids, **columns}).sample(frac=1, random_state=0).to_parquet(parquet)
    assert scored(benchmark, "ei-cells", parquet) == ours
    opposite = scored(benchmark, "ei-cells", *parts, model="opposite")["balanced_accuracy_percent"]["value"]
    assert opposite == pytest.approx(100 - ours["balanced_accuracy_percent"]["value"])
    with pytest.raises(UserError, match=r"run2.*40 of 80 rows are missing, the first is L5_BP_bAC217_1/000000"):
        scored(benchmark, "ei-cells", parts[0])
    with pytest.raises(UserError, match=r"row 1 \(20\) is called a second time, after .*run2.*row 1 \(20\): keep one"):
        scored(benchmark, "ei-cells", parts[0], parts[0])
    with pytest.raises(UserError, match=r"run2 has the classes inhibitory, excitatory, the question BP, DBC"):
        scored(benchmark, M_TYPE, parts[0])
    with pytest.raises(UserError, match=r"--model guess: .*run2 has network, opposite"):
        scored(benchmark, "ei-cells", parts[0], model="guess")


def table(benchmark: Made, path: Path, change: Any = None, by: str = "id") -> Path:
    """Predictions of the m-types of all tested samples, in which something is changed."""
    tested = benchmark.samples[M_TYPE] == "test"
    frame = pd.DataFrame({by: benchmark.samples[by][tested]})
    for name in tiny.M_TYPES:
        frame[f"p_{name}"] = np.where(benchmark.samples["m_type"][tested] == name, 0.7, 0.1)
    frame = frame if change is None else change(frame)
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


def cell(row: int, column: str, value: Any) -> Any:
    """Set a cell of a table."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.astype({column: object})
        frame.loc[row, column] = value
        return frame

    return change


REFUSED = {
    "unknown": (cell(1, "id", "L5_XY_1/1"), r"row 3 \(L5_XY_1/1\) is unknown: names are such as L5_BP_bAC217_1"),
    "doubled": (lambda f: pd.concat([f, f[2:3]]), r"row 22 \((\S+)\) is called a second time, after .*row 4 \(\1\)"),
    "missing": (lambda f: f[3:], r"3 of 20 rows are missing, the first is L5_BP_bAC217_1/0000"),
    "nameless": (cell(0, "id", ""), r"a.csv, row 2: id is empty"),
    "negative": (cell(0, "p_BP", -0.1), r"row 2 \(L5_BP\S+\) is no distribution .* \(0 or more, sum 1\): -0.1"),
    "beside one": (cell(0, "p_BP", 0.702), r"row 2 \(L5_BP\S+\) is no distribution"),
    "NaN": (cell(5, "p_DBC", ""), r"row 7 \(\S+\): p_DBC is '', which is no number"),
    "words": (cell(5, "p_DBC", "high"), r"row 7 \(\S+\): p_DBC is 'high', which is no number"),
    "infinite": (cell(5, "p_DBC", "inf"), r"row 7 \(\S+\) is no distribution"),
    "a class too few": (lambda f: f.drop(columns="p_DBC"), r"has no column p_DBC: the question needs p_BP, p_DBC"),
    "a class too many": (lambda f: f.assign(p_MC=0.0), r"column p_MC is of no class of the question, give p_BP"),
    "no names": (lambda f: f.drop(columns="id"), r"a.csv has no column id \(the name of a sample\) or sample"),
    "no rows": (lambda f: f[:0], r"a.csv has no row"),
}


def test_classes_that_are_no_answer_are_left_out_of_a_run(benchmark: Made, tmp_path: Path, capsys) -> None:
    ours = scored(benchmark, "ei-cells", *(of_fold(benchmark, tmp_path / f"run{k}", k) for k in (1, 2)))
    more = scored(benchmark, "ei-cells", *(of_fold(benchmark, tmp_path / f"more{k}", k, 0.25) for k in (1, 2)))
    assert more["balanced_accuracy_percent"] == ours["balanced_accuracy_percent"]
    assert more["top_calibration_error"] == pytest.approx(ours["top_calibration_error"])
    assert "glia are no answers to the question: the 25.0% of probability" in capsys.readouterr().err


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_as_asked_is_refused_with_its_row(benchmark: Made, tmp_path: Path, what: str) -> None:
    change, expected = REFUSED[what]
    path = table(benchmark, tmp_path / "a.csv", change)
    with pytest.raises(UserError, match=expected):
        scored(benchmark, M_TYPE, path)


def test_tables_of_other_programs_are_read(benchmark: Made, tmp_path: Path) -> None:
    """Separated by semicolons or tabs, with other endings of Parquet, with whole numbers as pandas writes them."""
    expected = scored(benchmark, M_TYPE, table(benchmark, tmp_path / "a.csv", by="sample"))
    frame = pd.read_csv(tmp_path / "a.csv")
    frame["sample"] = frame["sample"].astype(float).astype(str)  # 3.0
    for name, mark in (("b.csv", ";"), ("b.tsv", "\t"), ("b.CSV", ",")):
        frame.to_csv(tmp_path / name, sep=mark, index=False)
        assert scored(benchmark, M_TYPE, tmp_path / name) == expected
    for name in ("b.PARQUET", "b.pq"):
        frame.to_parquet(tmp_path / name)
        assert scored(benchmark, M_TYPE, tmp_path / name) == expected
    frame.to_csv(tmp_path / "b.csv.gz")
    with pytest.raises(UserError, match=r"b.csv.gz is no table .*: give one whose name ends in .csv, .tsv or .parquet"):
        scored(benchmark, M_TYPE, tmp_path / "b.csv.gz")
    frame.assign(p_BP=[[1.0]] * len(frame)).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(UserError, match=r"c.parquet, row 1 \(\d+\): p_BP is .*1.*, which is no number"):
        scored(benchmark, M_TYPE, tmp_path / "c.parquet")


def test_what_was_trained_on_is_not_judged(benchmark: Made, tmp_path: Path) -> None:
    name = benchmark.samples["id"][benchmark.samples[M_TYPE] == "train"][4]
    path = table(benchmark, tmp_path / "a.csv", cell(7, "id", name))
    with pytest.raises(UserError, match=rf"a.csv, row 9 \({name}\) is in the training part: give those of the test"):
        scored(benchmark, M_TYPE, path)
    for number, expected in (("80", "row 8 (80): there is no such sample, but 0 to 79"), ("x", "give its id")):
        path = table(benchmark, tmp_path / "a.parquet", renamed(7, number), by="sample")
        with pytest.raises(UserError) as error:
            scored(benchmark, M_TYPE, path)
        assert expected in str(error.value)


def renamed(row: int, name: str) -> Any:
    """Give a row another number, in words."""
    return lambda frame: frame.assign(sample=frame["sample"].astype(str).where(frame.index != row, name))


def test_a_run_on_other_data_is_noticed(benchmark: Made, m_types: Path, tmp_path: Path) -> None:
    other = benchmark._replace(samples=benchmark.samples | {"m_type": np.roll(benchmark.samples["m_type"], 20)})
    with pytest.raises(UserError, match=r"row 1 .* is BP there, and TTPC1 in the benchmark: the run was on other data"):
        scored(other, M_TYPE, m_types)
    louder = benchmark._replace(samples=benchmark.samples | {"amplitude_uV": 1.01 * benchmark.samples["amplitude_uV"]})
    with pytest.raises(UserError, match=r"row 1 \(\d+\) has amplitude_uV \S+ there, and \S+ in the benchmark: the run"):
        scored(louder, M_TYPE, m_types)
    (tmp_path / "unfinished").mkdir()
    with pytest.raises(UserError, match=r"has no predictions.zarr: finish the run with --resume"):
        scored(benchmark, M_TYPE, tmp_path / "unfinished")


def test_a_run_that_divides_otherwise_is_refused(benchmark: Made, tmp_path: Path) -> None:
    """One that tests groups which it has trained on, and one whose folds are others."""
    parts = [of_fold(benchmark, tmp_path / f"run{k}", k) for k in (1, 2)]
    model = parts[0] / runs.MANIFEST
    model.parent.mkdir()
    checked.write_json(model, {"members": [{"trained_on": tiny.FOLDS[1]}]})
    whole = scored(benchmark, "ei-cells", *parts)
    checked.write_json(model, {"members": [{"trained_on": tiny.FOLDS[1][:1]}]})
    with pytest.raises(UserError, match=r"run1 was trained on other cells than the folds of ei-cells: train it on"):
        scored(benchmark, "ei-cells", *parts)
    checked.write_json(model, {"members": [{}]})
    checked.write_json(parts[1] / runs.SUMMARY, {"optimistic": False})
    assert scored(benchmark, "ei-cells", *parts) == whole
    checked.write_json(parts[1] / runs.SUMMARY, {"optimistic": True})
    with pytest.raises(UserError, match=r"run2 is optimistic by its own word: .*ei-cells asks for new ones \(cell\)"):
        scored(benchmark, "ei-cells", *parts)


def test_a_run_that_trained_on_other_rows_is_refused(benchmark: Made, tmp_path: Path) -> None:
    """On those of the other fold it is as asked; one that trained on tested rows, or began with units-v1, is not."""
    parts = [of_fold(benchmark, tmp_path / f"run{k}", k) for k in (1, 2)]
    whole = scored(benchmark, "ei-cells", *parts)
    ids, fold = benchmark.samples["id"], benchmark.samples["ei-cells"]
    summary = parts[0] / runs.SUMMARY
    checked.write_json(summary, {TRAINING_PARTS: [of_names(ids[fold == 2][::-1].tolist())], "init": "k-means"})
    assert scored(benchmark, "ei-cells", *parts) == whole
    for trained in (fold > 0, (fold == 2) & (np.arange(len(ids)) != np.argmax(fold == 2))):
        checked.write_json(summary, {TRAINING_PARTS: [of_names(ids[trained].tolist())]})
        with pytest.raises(UserError, match="run1 was trained on other rows than the folds of ei-cells"):
            scored(benchmark, "ei-cells", *parts)
    checked.write_json(summary, {"init": {"model": "units-v1"}})
    with pytest.raises(UserError, match="run1 began with units-v1, which was trained on all that is tested"):
        scored(benchmark, "ei-cells", *parts)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_distribution_is_read_as_it_was_written(data, made: Path, tmp_path_factory) -> None:
    """In any order of rows and columns, with other columns between, and by name or number."""
    benchmark = folder.read(made, tiny.NAME)
    tested = np.flatnonzero(benchmark.samples[M_TYPE] == "test")
    order = data.draw(st.permutations(range(len(tested))))
    names = data.draw(st.permutations([f"p_{name}" for name in tiny.M_TYPES] + ["comment"]))
    raw = np.array(
        data.draw(st.lists(st.tuples(*[st.floats(1e-3, 1)] * 4), min_size=len(tested), max_size=len(tested)))
    )
    p = raw / raw.sum(axis=1, keepdims=True)
    by = data.draw(st.sampled_from(["id", "sample"]))
    columns = {
        name: ["-"] * len(order) if name == "comment" else p[order, tiny.M_TYPES.index(name[2:])].tolist()
        for name in names
    }
    path = tmp_path_factory.mktemp("any") / "a.csv"
    tiny.csv(path, benchmark.samples[by][tested[order]].tolist(), columns, by)
    found = predictions.read(path, benchmark.specification.questions[M_TYPE], None)
    np.testing.assert_array_equal(found.values[0], p[order])
    accuracy = 100 * np.mean(np.array(tiny.M_TYPES)[p.argmax(axis=1)] == benchmark.samples["m_type"][tested])
    ours = score(benchmark, M_TYPE, [found]).numbers["accuracy_over_cells_percent"]["value"]
    assert ours == pytest.approx(accuracy)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([".csv", ".parquet"]))
def test_any_file_is_read_or_refused_in_a_sentence(made: Path, tmp_path_factory, junk: bytes, suffix: str) -> None:
    path = tmp_path_factory.mktemp("junk") / f"a{suffix}"
    path.write_bytes(junk)
    with pytest.raises(UserError, match=r"a\.(csv|parquet)"):
        predictions.read(path, folder.read(made, tiny.NAME).specification.questions[M_TYPE], None)


def test_results_are_kept_and_ranked(made: Path, benchmark: Made, tmp_path: Path, capsys) -> None:
    path = table(benchmark, tmp_path / "a.csv")
    words = "score", tiny.NAME, path, "--made", made, "--question", M_TYPE, "--results", tmp_path / "r"
    status, out, _ = bench(capsys, *words, "--save", "--method", "the truth, nearly")
    assert status == 0
    assert "tiny, version 1, mtype-random: 20 rows, OPTIMISTIC" in out
    assert "| accuracy over cells percent |" in out
    assert "no other result is known" in out
    (file,) = (tmp_path / "r" / tiny.NAME).iterdir()
    kept = results.read(file)
    assert {name: kept[name] for name in ("benchmark", "version", "question", "method", "rows")} == {
        "benchmark": tiny.NAME, "version": 1, "question": M_TYPE, "method": "the truth, nearly", "rows": 20
    }  # fmt: skip
    assert kept["numbers"]["accuracy_over_cells_percent"]["value"] == 100
    uniform = table(benchmark, tmp_path / "b.csv", lambda f: f.assign(**{f"p_{name}": 0.25 for name in tiny.M_TYPES}))
    out = bench(capsys, "score", tiny.NAME, uniform, *words[3:])[1]
    assert "place 2 beside 1 known, the best of them 100 (the truth, nearly)" in out
    assert "place 1 beside 1 known" in bench(capsys, *words)[1]
    file.write_text("{}")
    assert "is no result: write it again" in bench(capsys, *words)[2]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "tiny has several questions: give --question, one of mtype-random, ei-cells, position-cells"),
        (("--question", "e"), "tiny has no question 'e': choose one of mtype-random"),
        (("--question", M_TYPE, "--model", "network"), "--model network: {path} is no run folder"),
        (("--question", M_TYPE, "--save"), '--save and --method "TEXT" go together'),
        (("--question", M_TYPE, "--made", "nowhere"), "nowhere does not exist: run spiketype bench make tiny"),
        (("--question", "position-cells"), "{path} has no column x_um: the question needs x_um, y_um, z_um"),
    ],
)
def test_options_that_cannot_be_are_told(
    made: Path, benchmark: Made, tmp_path: Path, capsys, words: tuple[str, ...], expected: str
) -> None:
    path = table(benchmark, tmp_path / "a.csv")
    where = () if "--made" in words else ("--made", made)
    status, _, err = bench(capsys, "score", tiny.NAME, path, *where, *words)
    assert status == 2
    assert expected.format(path=path) in err


def test_positions_that_are_none_are_named(benchmark: Made, tmp_path: Path) -> None:
    tested = benchmark.samples["id"][benchmark.samples["position-cells"] == "test"].tolist()
    columns: dict[str, list[object]] = {axis: [1.0] * len(tested) for axis in ("x_um", "y_um", "z_um")}
    found = scored(benchmark, "position-cells", tiny.csv(tmp_path / "a.csv", tested, columns))
    assert found["error_um"]["mean_3d"]["value"] > 0
    columns["z_um"][3] = "inf"
    with pytest.raises(UserError, match=r"row 5 \(L5_BP_bAC217_1/\d+\) is no position: 1, 1, inf"):
        scored(benchmark, "position-cells", tiny.csv(tmp_path / "a.csv", tested, columns))
