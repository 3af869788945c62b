"""Predictions of any program: a table (CSV or Parquet), or a run folder of ours; each row is checked, and named.

A table has a column ``id``, the name of a sample or of what has several (a cell), or ``sample``, its number in
data.zarr. Beside it there is a column ``p_CLASS`` for every class; or ``x_um``, ``y_um`` and ``z_um``; or ``cluster``.
Other columns are not looked at.
"""

import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Float, Shaped

from spiketype.bench import origin
from spiketype.bench.origin import AXES, Origin
from spiketype.damage import first_lines, readable
from spiketype.datasets import manifest, store
from spiketype.datasets.allen.columns import read as read_csv
from spiketype.datasets.benchmarks.specification import Question
from spiketype.edge import UserError, absent
from spiketype.train import asked, runs
from spiketype.train.judging.predictions import KIND
from spiketype.typed import short

CLUSTER = "cluster"
TEXT, PARQUET = (".csv", ".tsv", ".txt"), (".parquet", ".pq")  # endings
SEPARATORS = ",;\t"
WHOLE = re.compile(r"(-?\d+)\.0+")
NAMES: tuple[Literal["id", "sample"], ...] = ("id", "sample")
SUM = 1e-3  # by which a distribution may differ from one


@dataclass(frozen=True)
class Predictions:
    """What was said of rows.

    Attributes:
        source: the file or run folder.
        by: what `names` are: names of rows, or numbers of samples; "" where a run does not say which.
        names: of the rows.
        first: number of the first row, as an editor counts lines.
        values: (repeat, row, class), (repeat, row, axis), or names of clusters (1, row, 1).
        sha256: of the file.
        seed: of the intervals: that of the run.
        true: what a run says the class of each row is; None where the source does not tell.
        origin: what else a run says.
        void: why the run's own calls are judged as of one that calls nothing; "" where they are not.
    """

    source: Path
    by: Literal["id", "sample", ""]
    names: tuple[str, ...]
    first: int
    values: Shaped[np.ndarray, "repeat row value"]
    sha256: str
    seed: int = 0
    true: tuple[str, ...] | None = None
    origin: Origin = field(default_factory=Origin)
    void: str = ""

    def row(self, k: int) -> str:
        """Return the words for a row."""
        return f"{self.source}, row {k + self.first} ({self.names[k]})"


def read(path: Path, question: Question, model: str | None) -> Predictions:
    """Read the predictions of a file or run folder.

    Args:
        path: .csv, .tsv, .parquet, or a run folder.
        question: that they answer.
        model: of those in a run folder, by default the run's own.

    Raises:
        UserError: no such file; columns that are missing or unknown; a row that is no number, distribution or position.
    """
    if not path.exists():
        raise UserError(absent(path))
    if path.is_dir():
        found = _of_run(path, question, model)
    elif model is not None:
        raise UserError(f"--model {model}: {path} is no run folder, which alone holds several")
    else:
        found = _of_table(path, question)
    check_values(found, question)
    return found


def check_values(found: Predictions, question: Question) -> None:
    """Refuse rows that are no distribution, or no position.

    Raises:
        UserError: names the first.
    """
    if question.answer == "cluster":
        return
    values = found.values
    if question.answer == "position":
        wrong = ~np.isfinite(values).all(axis=2)
    else:  # NaN is wrong, too
        sums = values.sum(axis=2, dtype=np.float64)
        wrong = ~((np.abs(sums - 1) < SUM) & (values >= 0).all(axis=2))
    if wrong.any():
        repeat, row = np.argwhere(wrong)[0].tolist()
        what = "position" if question.answer == "position" else "distribution over the classes (0 or more, sum 1)"
        raise UserError(f"{found.row(row)} is no {what}: {', '.join(f'{v:g}' for v in values[repeat, row])}")


def _of_table(path: Path, question: Question) -> Predictions:
    """Read a table of text or Parquet."""
    ending = path.suffix.lower()
    if ending not in TEXT + PARQUET:
        raise UserError(f"{path} is no table that is read here: give one whose name ends in .csv, .tsv or .parquet")
    columns = _parquet(path) if ending in PARQUET else _csv(path)
    by = next((name for name in NAMES if name in columns), None)
    if by is None:
        raise UserError(f"{path} has no column id (the name of a sample) or sample (its number)")
    wanted = _columns(path, columns, question)
    first = 1 if ending in PARQUET else 2
    names = tuple(_name(value) for value in columns[by])
    if empty := [k for k, name in enumerate(names) if not name]:
        raise UserError(f"{path}, row {empty[0] + first}: {by} is empty")
    if not names:
        raise UserError(f"{path} has no row")
    if question.answer == CLUSTER:
        words = [_name(value) for value in columns[CLUSTER]]
        if empty := [k for k, word in enumerate(words) if word.lower() in ("", "nan")]:
            raise UserError(f"{path}, row {empty[0] + first}: {CLUSTER} is empty")
        values = np.array(words)[None, :, None]
    else:
        values = np.stack([_numbers(path, name, columns[name], names, first) for name in wanted], axis=1)[None]
    return Predictions(path, by, names, first, values, manifest.sha256(path))


def _csv(path: Path) -> dict[str, list[Any]]:
    with readable(path, "a table of text"):
        line, _ = first_lines(path)
    cells = {mark: {cell.strip().strip('"') for cell in line.split(mark)} for mark in SEPARATORS}
    frame = read_csv(path, next((mark for mark in SEPARATORS if cells[mark] & set(NAMES)), SEPARATORS[0]))
    return {str(name): ["" if value != value else value for value in frame[name]] for name in frame.columns}


def _parquet(path: Path) -> dict[str, list[Any]]:
    with readable(path, "Parquet"):
        table = pq.read_table(path)
        return {name: table[name].to_pylist() for name in table.column_names}


def _name(value: object) -> str:
    """Return the name of a row or cluster; pandas writes whole numbers with gaps as 3.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    name = "" if value is None else str(value).strip()
    return found[1] if (found := WHOLE.fullmatch(name)) else name


def _columns(path: Path, columns: dict[str, list[Any]], question: Question) -> list[str]:
    """Return the names of the columns of values.

    Raises:
        UserError: one is missing, or is of a class that the question does not have.
    """
    if question.answer == "class":
        wanted = [f"p_{name}" for name in question.classes]
        if unknown := [name for name in columns if name.startswith("p_") and name not in wanted]:
            raise UserError(f"{path}: column {unknown[0]} is of no class of the question, give {', '.join(wanted)}")
    else:
        wanted = list(AXES) if question.answer == "position" else [CLUSTER]
    if missing := [name for name in wanted if name not in columns]:
        raise UserError(f"{path} has no column {missing[0]}: the question needs {', '.join(wanted)}")
    return wanted


def _numbers(path: Path, name: str, values: list[Any], names: Sequence[str], first: int) -> Float[np.ndarray, " row"]:
    found = np.empty(len(values))
    for row, value in enumerate(values):
        try:
            found[row] = float(value)
        except (TypeError, ValueError):
            raise UserError(
                f"{path}, row {row + first} ({names[row]}): {name} is {short(value)}, which is no number"
            ) from None
    return found


def _of_run(folder: Path, question: Question, model: str | None) -> Predictions:
    """Read predictions.zarr of a run."""
    path = folder if store.kind_of(folder) == KIND else folder / runs.PREDICTIONS
    array = "predicted_um" if question.answer == "position" else "probability"
    if not path.exists():
        raise UserError(f"{folder} has no {runs.PREDICTIONS}: finish the run with --resume {folder}, or give a table")
    arrays = store.validate(path, KIND, (array, "row"))
    names = tuple(map(str, store.read(path, "row")))
    values = store.read(path, array).astype(np.float64)
    digest = hashlib.sha256("".join(sorted((manifest.read(path) or {}).values())).encode()).hexdigest()
    seed = asked.open_config(path.parent).seed if (path.parent / asked.CONFIG).exists() else 0
    known = origin.read(path, arrays)
    if question.answer == "position":
        if model is not None:
            raise UserError(f"--model {model}: positions of a run are those of its network alone")
        return Predictions(path, "", names, 1, values.swapaxes(0, 1), digest, seed, None, known)
    models, classes = ([*map(str, store.read(path, f"{each}_name"))] for each in ("model", "class"))
    if model is not None and model not in models:
        raise UserError(f"--model {model}: {folder} has {', '.join(models)}")
    chosen = values[:, models.index(model) if model else 0].swapaxes(0, 1)
    if question.answer == CLUSTER:
        called = np.array(classes)[chosen.mean(axis=0).argmax(axis=1)]
        return Predictions(path, "", names, 1, called[None, :, None], digest, seed, None, known)
    if not set(classes) >= set(question.classes):
        raise UserError(f"{folder} has the classes {', '.join(classes)}, the question {', '.join(question.classes)}")
    label = store.read(path, "label", unknown=True)
    void = known.void if model is None else ""
    if void:
        chosen = np.full_like(chosen, 1 / len(classes))
    ordered = _of_classes(folder, chosen, classes, question)
    true = tuple(np.array([*classes, ""])[label].tolist())
    return Predictions(path, "", names, 1, ordered, digest, seed, true, known, void)


def _of_classes(folder: Path, values: np.ndarray, classes: list[str], question: Question) -> np.ndarray:
    """Return the probabilities (repeat, row, class) of a question's classes; what a run gives to others is left out.

    A run knows all classes of its store, of which a question may be of those alone that have several groups.
    """
    ordered: np.ndarray = values[:, :, [classes.index(name) for name in question.classes]]
    if len(classes) == len(question.classes):
        return ordered
    whole = ordered.sum(axis=2, keepdims=True)
    others = [name for name in classes if name not in question.classes]
    left_out = max(1 - whole.mean(), 0)  # rounding makes it negative
    print(
        f"{folder}: {', '.join(others)} are no answers to the question: the {left_out:.1%} of probability that the run"
        " gives to them is left out",
        file=sys.stderr,
    )
    found: np.ndarray = np.divide(ordered, whole, out=np.zeros_like(ordered), where=whole > 0)
    return found


def digest_of(sources: Sequence[Predictions]) -> str:
    """Return the SHA-256 of predictions: of the file, or of those of all files."""
    if len(sources) == 1:
        return sources[0].sha256
    return hashlib.sha256("".join(each.sha256 for each in sources).encode()).hexdigest()
