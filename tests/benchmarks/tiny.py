"""A benchmark of a moment: two cell models of made-up currents, in place of those that come with the program."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from spiketype.datasets.benchmarks import divide, specification
from spiketype.datasets.benchmarks.samples import Samples
from spiketype.datasets.benchmarks.specification import Specification
from spiketype.simulator.eap.config import EapConfig

ZERO = "0" * 64
NAME = "tiny"
CELLS = ("L5_BP_bAC217_1", "L5_DBC_bAC217_1", "L5_STPC_cADpyr232_1", "L5_TTPC1_cADpyr232_1")
M_TYPES = ("BP", "DBC", "STPC", "TTPC1")
CONFIG = EapConfig(per_cell=20, threshold_uV=5.0, error_uV=0.01, seed=3)
FOLDS = ((CELLS[0], CELLS[2]), (CELLS[1], CELLS[3]))


def words(value: object) -> str:
    """A value in TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {words(each)}" for name, each in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(words, value)) + "]"
    return json.dumps(value)


def toml(models: Path | str, digests: dict[str, str], version: int = 1, **options: object) -> str:
    """The specification, of cell models in a folder."""
    chosen = asdict(CONFIG) | {"cell_models": [str(models)]} | options
    about = {
        "mtype-random": ("class", "m_type", M_TYPES, "accuracy_over_cells_percent", RANDOM),
        "ei-cells": ("class", "ei", ("inhibitory", "excitatory"), "balanced_accuracy_percent", BY_CELL),
        "position-cells": ("position", "um", (), "mean_3d_um", TWO_CELLS),
    }
    lines = [f'name = "{NAME}"', f"version = {version}", 'title = "Tiny"', 'description = "For tests."']
    lines += [
        'licence = "CC0"',
        'citation = "none"',
        "flaws = []",
        "[generator]",
        'kind = "eap"',
        "[generator.options]",
    ]
    lines += [f"{name} = {words(value)}" for name, value in chosen.items()]
    for name, (answer, label, classes, metric, split) in about.items():
        lines += [f"[question.{name}]", f'title = "{name}"', f'answer = "{answer}"', f'label = "{label}"', 'row = "id"']
        lines += ['group = "cell"', f'metric = "{metric}"', "baselines = []", f"classes = {words(classes)}"]
        lines += [f"[question.{name}.split]", *split, f'sha256 = "{digests.get(name, ZERO)}"']
    return "\n".join(lines) + "\n"


RANDOM = ('kind = "random"', "optimistic = true", 'by = "cell"', "seed = 0", "test_fraction = 0.25")
BY_CELL = ('kind = "named"', "optimistic = false", 'by = "cell"', f"tests = {words(FOLDS)}")
TWO_CELLS = (*BY_CELL[:3], f"tests = {words(FOLDS[:1])}")  # in one division


def samples() -> Samples:
    """Names and labels that the samples have; positions are not of the split."""
    cell = np.repeat(CELLS, CONFIG.per_cell)
    return {
        "id": np.array([f"{name}/{k % CONFIG.per_cell:06d}" for k, name in enumerate(cell.tolist())]),
        "cell": cell,
        "m_type": np.repeat(M_TYPES, CONFIG.per_cell),
        "ei": np.repeat(["inhibitory", "excitatory"], 2 * CONFIG.per_cell),
    }


def digests(found: Specification, table: Samples) -> dict[str, str]:
    """The SHA-256 of every split, as it is frozen."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, question in found.questions.items():
            patch.setattr(divide, "digest", lambda *_: question.split.sha256)  # noqa: B023
            divided = divide.divide(question, table, name)
            patch.undo()
            made[name] = divide.digest(question, table, divided)
    return made


def write(folder: Path, models: Path | str, version: int = 1, **options: object) -> Path:
    """Write the specification, its splits frozen, into a folder of specifications."""
    folder.mkdir(exist_ok=True)
    plain = specification.parse(toml(models, {}, version, **options).encode(), NAME)
    frozen = toml(models, digests(plain, samples()), version, **options)
    (folder / f"{NAME}.toml").write_text(frozen)
    return folder


def content(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def csv(path: Path, names: Sequence[str], columns: dict[str, Sequence[object]], by: str = "id") -> Path:
    """Write a table of predictions; the way in which Python writes a float loses nothing."""
    rows = zip(names, *columns.values(), strict=True)
    path.write_text("\n".join([",".join([by, *columns]), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path
