"""Results of a benchmark: a file for every method, and the rank of a score among them."""

import hashlib
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

from spiketype.bench.score import Score
from spiketype.datasets.benchmarks.specification import METRICS, Specification
from spiketype.edge import Json, UserError, read_json, versions, write_json
from spiketype.train.judging.report import number, text_table

NEEDED = ("benchmark", "version", "question", "method", "numbers", "rows", "date", "versions", "predictions_sha256")
DIGITS = {"nll": 3, "top_calibration_error": 3, "auc": 3, "nmi": 3, "ami": 3, "ari": 3, "homogeneity": 3}


class Result(NamedTuple):
    """What a file says: the method, and its number that results are ranked by."""

    method: str
    value: float


def save(folder: Path, specification: Specification, question: str, method: str, score: Score) -> Path:
    """Write the result of a method, in place of an older one of the same question, and return its file.

    Args:
        folder: of the results of all benchmarks.
        specification: of the benchmark.
        question: its name.
        method: in words.
        score: of its predictions.
    """
    path = folder / specification.name / f"{_file_name(question, method)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    value: Json = {
        "benchmark": specification.name,
        "version": specification.version,
        "question": question,
        "method": method,
        "numbers": score.numbers,
        "rows": score.rows,
        "date": time.strftime("%Y-%m-%d"),
        "versions": versions(),
        "predictions_sha256": score.sha256,
    }
    if score.void:
        value["void"] = score.void
    if score.verdict:
        value |= {"verdict": score.verdict, "confound": specification.questions[question].confound}
    write_json(path, value)
    return path


def _file_name(question: str, method: str) -> str:
    """Return words with hyphens; of methods that differ in other letters, the names differ, too."""
    words = re.sub(r"[^a-z0-9]+", "-", method.lower()).strip("-")
    plain = words.replace("-", " ") == method
    return f"{question}-{words}" + ("" if plain else f"-{hashlib.sha256(method.encode()).hexdigest()[:6]}")


def read(path: Path) -> Json:
    """Read the result of a method.

    Raises:
        UserError: it is none.
    """
    again = f"{path} is no result: write it again with spiketype bench score --save"
    found = read_json(path, again)
    if missing := [name for name in NEEDED if name not in found]:
        raise UserError(f"{again} ({missing[0]} is missing)")
    return found


def others(folder: Path, specification: Specification, question: str, metric: str) -> list[Result]:
    """Return the results of a question, the best first.

    Raises:
        UserError: a file that is none.
    """
    found = []
    for path in sorted((folder / specification.name).glob("*.json")):
        result = read(path)
        if (result["version"], result["question"]) == (specification.version, question):
            found.append(Result(str(result["method"]), merit(path, result, metric)))
    return sorted(found, key=lambda each: -each.value if METRICS[metric] else each.value)


def merit(path: Path, result: Json, metric: str) -> float:
    """Return the number that a result is ranked by.

    Raises:
        UserError: the file has none.
    """
    numbers = result["numbers"]
    found = numbers.get(metric) if isinstance(numbers, dict) else None
    value = found.get("value") if isinstance(found, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise UserError(f"{path} has no {metric}, by which results are ranked: write it again")
    return float(value)


def ranked(results: list[Result], metric: str, value: float) -> str:
    """Return which place a value has among results, in words."""
    better = sum(each.value > value if METRICS[metric] else each.value < value for each in results)
    if not results:
        return f"by {metric}: no other result is known; --results names the folder of those that are"
    best = f"{results[0].value:.4g} ({results[0].method})"
    return f"by {metric}: place {better + 1} beside {len(results)} known, the best of them {best}"


def table(score: Score) -> str:
    """Return the numbers of a score, a line each."""
    rows = [[name.replace("_", " "), number(each, DIGITS.get(name, 1))] for name, each in score.numbers.items()]
    return text_table(["measure", "value [95 % interval]"], rows)
