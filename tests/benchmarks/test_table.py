"""The page of results: what the files say, and nothing else."""

import json
from pathlib import Path

import pytest

from scripts import benchmark_table
from spiketype.edge import Json, UserError

NAME, QUESTION = "cluster-digits", "digits"


def result(folder: Path, method: str, ari: float, **changes: object) -> Path:
    """A result of the digits."""
    numbers = {name: {"value": value, "low": None, "high": None} for name, value in {"ari": ari, "nmi": 0.7}.items()}
    value: Json = {
        "benchmark": NAME, "version": 1, "question": QUESTION, "method": method, "numbers": numbers, "rows": 1797,
        "date": "2026-01-01", "versions": {}, "predictions_sha256": "0",
    }  # fmt: skip
    path = folder / NAME / f"{method.replace(' ', '-')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value | changes))
    return path


def test_the_page_is_what_the_files_say() -> None:
    benchmark_table.main(check=True)


def test_the_best_is_first_and_older_versions_are_left_out(tmp_path: Path) -> None:
    assert "There is no result yet" in benchmark_table.page(tmp_path)
    result(tmp_path, "plain", 0.51)
    result(tmp_path, "better", 0.75)
    result(tmp_path, "of an older version", 0.99, version=0)
    text = benchmark_table.page(tmp_path)
    assert "## cluster-digits, version 1: digits\n\nWhich digits are alike.\n" in text
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == ["method", "ari", "nmi", "rows", "date"]
    assert rows[2:] == [
        [name, value, "0.700", "1797", "2026-01-01"] for name, value in (("better", "0.750"), ("plain", "0.510"))
    ]
    page = tmp_path / "page.md"
    benchmark_table.main(tmp_path, page)
    benchmark_table.main(tmp_path, page, check=True)
    result(tmp_path, "plain", 0.52)
    with pytest.raises(UserError, match=r"page.md is not what .* says: run python scripts/benchmark_table.py"):
        benchmark_table.main(tmp_path, page, check=True)


def test_what_is_no_result_is_named(tmp_path: Path) -> None:
    path = result(tmp_path, "plain", 0.5, question="letters")
    with pytest.raises(UserError, match=r"plain.json: cluster-digits has no question 'letters': remove the file"):
        benchmark_table.page(tmp_path)
    path.write_text("{}")
    with pytest.raises(UserError, match=r"plain.json is no result"):
        benchmark_table.page(tmp_path)
    path = result(tmp_path, "plain", 0.5, numbers={})
    with pytest.raises(UserError, match=r"plain.json has no ari, by which results are ranked"):
        benchmark_table.page(tmp_path)
    (tmp_path / "nothing").mkdir()
    path.unlink()
    with pytest.raises(UserError, match=r"unknown benchmark 'nothing'"):
        benchmark_table.page(tmp_path)
