"""Subclasses: published, published re-derived, ours. python scripts/reproduce_allen.py --data FOLDER --out runs/allen.

Published: Ophir, Shefi and Lindenbaum, Neuroinformatics 2024, Table 2: one test set of 277 cells, on which the
hyperparameters of LSPIN were also chosen. Its baselines were trained on 276 cells, LSPIN on 884; re-derived: every one
on the same 884 (`--preset paper`).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import tyro

from spiketype.edge import Json, guard
from spiketype.train.execute import once
from spiketype.train.judging.report import number, text_table
from spiketype.train.tasks.subclass.config import PAPER, SPARSE, SubclassConfig
from spiketype.train.tasks.subclass.judge import subclass_table

# Accuracy and macro F1 of Table 2.
PUBLISHED = {"random forest": (82.4, 72.6), "SVC": (83.7, 74.9), "boosted trees": (85.0, 76.8), "LSPIN": (91.6, 87.7)}
RUNS: dict[str, dict[str, Any]] = {
    "published split": PAPER,
    "published split, sparse": SPARSE | {"split": "published", "seeds": 8, "seed": 50},
    "donors": {},
    "donors, sparse": SPARSE,
    "eras": {"split": "era"},
    "lines": {"split": "line", "seeds": 1},
}
DEFAULT = SubclassConfig()


def main(out: Path = Path("runs/allen"), config: SubclassConfig = DEFAULT, only: tuple[str, ...] = tuple(RUNS)) -> None:
    """Run each split (those that are finished are not repeated) and print the tables.

    Args:
        out: Folder of the runs.
        config: Options of the runs, but for those that make them differ.
        only: Which runs.
    """
    results = {
        name: once(replace(config, **RUNS[name]), out / name.replace(", ", "-").replace(" ", "-")) for name in only
    }
    print(text_table(["model", "cells held out", "accuracy (%)", "macro F1 (%)", "NLL", "ECE"], _rows(results)))
    for name, summary in results.items():
        print(f"\n{name}\n{subclass_table(summary)}")


def _rows(results: dict[str, Json]) -> list[list[str]]:
    rows = [
        [f"published {name}", "277", f"{accuracy:.1f}", f"{f1:.1f}", "-", "-"]
        for name, (accuracy, f1) in PUBLISHED.items()
    ]
    for split, summary in results.items():
        for name, row in summary["rows"].items():
            shown = [number(row[f"{key}_percent"]) for key in ("accuracy", "macro_f1")]
            shown += [number(row[key], 3) for key in ("nll", "top_calibration_error")]
            rows.append([f"{name}, {split}", str(summary["cells"]), *shown])
    return rows


if __name__ == "__main__":
    with guard():
        tyro.cli(tyro.conf.configure(tyro.conf.OmitArgPrefixes)(main))
