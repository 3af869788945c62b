"""The page of results of shared benchmarks, out of their files: python scripts/benchmark_table.py [--check].

The files are written by `spiketype bench score --save`. The page is never edited by hand; `.ci/run` compares them.
"""

from collections.abc import Iterator
from pathlib import Path

import tyro

from spiketype.bench import results
from spiketype.datasets.benchmarks import card, specification
from spiketype.datasets.benchmarks.specification import METRICS, Question
from spiketype.edge import Json, UserError, guard, whole_file
from spiketype.train.judging.report import number, text_table

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Results of shared benchmarks

The best first, by the measure of the question. Values are percentages where they say so, errors in um, with 95 %
intervals: groups of the question are redrawn, or samples where it is optimistic. A benchmark is missing here where
nobody has saved a result of its present version: see [the guide](guide/benchmarks.md).
`python scripts/benchmark_table.py` writes this page from `results/NAME/QUESTION-METHOD.json`.
"""


def page(folder: Path) -> str:
    """Return the page of all results in a folder.

    Raises:
        UserError: a file that is no result; one of a benchmark or question that there is not.
    """
    found = [*_sections(folder)]
    return "\n".join([HEAD, *found]) if found else f"{HEAD}\nThere is no result yet.\n"


def _sections(folder: Path) -> Iterator[str]:
    for place in sorted(path for path in folder.glob("*") if path.is_dir()):
        benchmark = specification.load(place.name)
        kept = [(path, results.read(path)) for path in sorted(place.glob("*.json"))]
        present = [each for each in kept if each[1]["version"] == benchmark.version]
        for path, result in present:
            if result["question"] not in benchmark.questions:
                raise UserError(f"{path}: {place.name} has no question {result['question']!r}: remove the file")
        for name, question in benchmark.questions.items():
            if rows := [each for each in present if each[1]["question"] == name]:
                yield f"## {benchmark.name}, version {benchmark.version}: {name}\n"
                optimistic = " **Optimistic**: groups that are tested were trained on, too." * question.split.optimistic
                trap = f" **Confounded**: {card.trap(question)}" if question.confound else ""
                yield f"{question.title[0].upper()}{question.title[1:]}.{optimistic}{trap}\n"
                yield f"{_table(question, rows)}\n"


def _table(question: Question, rows: list[tuple[Path, Json]]) -> str:
    """Return the table of a question: the measure that ranks, then the others that all results have."""
    first = question.metric
    shared = [name for name in rows[0][1]["numbers"] if all(name in result["numbers"] for _, result in rows)]
    measures = [first, *(name for name in shared if name != first)]
    sign = -1 if METRICS[first] else 1
    ranked = [result for _, result in sorted(rows, key=lambda each: sign * results.merit(*each, first))]
    cells = [
        [
            str(result["method"]),
            *([str(result["verdict"])] if question.confound else []),
            *(number(result["numbers"][name], results.DIGITS.get(name, 1)) for name in measures),
            str(result["rows"]),
            str(result["date"]),
        ]
        for result in ranked
    ]
    verdict = ["verdict"] if question.confound else []
    return text_table(["method", *verdict, *(name.replace("_", " ") for name in measures), "rows", "date"], cells)


def main(results: Path = ROOT / "results", out: Path = ROOT / "docs" / "benchmarks.md", check: bool = False) -> None:
    """Write the page, or compare it.

    Args:
        results: Folder of the files.
        out: The page.
        check: Write nothing; fail if the page is not what the files say.
    """
    text = page(results)
    if check:
        if not out.is_file() or out.read_text(encoding="utf-8") != text:
            raise UserError(f"{out} is not what {results} says: run python scripts/benchmark_table.py")
        return
    with whole_file(out) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    print(out)


if __name__ == "__main__":
    with guard():
        tyro.cli(main)
