"""The dataset card of a benchmark, in Markdown: what it is, how it was made, why it is split so, and how to read it."""

import textwrap
from collections import Counter
from typing import NamedTuple

from spiketype.datasets.benchmarks.samples import Samples
from spiketype.datasets.benchmarks.specification import (
    CERTAIN,
    GENERATED,
    METRICS,
    Generator,
    Question,
    Specification,
    Split,
)

ANSWERS = {
    "class": "a probability of every class, in columns `p_CLASS`",
    "position": "the position in um, in columns `x_um`, `y_um`, `z_um`",
    "cluster": "the name of a cluster, in a column `cluster`",
}
MADE = {
    "eap": "Simulated extracellular action potentials (spiketype simulate eap): membrane currents by NEURON, and what "
    "they make at the contacts.",
    "raphe": "Simulated loose-seal recordings, cut into spikes as real ones are (spiketype simulate raphe).",
    "units": "Read from the public files below, which are not part of it: it has names, labels and parts of units.",
    "allen-subclass": "Read from the public tables below, which are not part of it: it has names, labels and parts of "
    "cells.",
    "allen-species": "Read from the public tables below, which are not part of it: it has names, labels and parts of "
    "cells.",
    "digits": "Read from scikit-learn (`sklearn.datasets.load_digits`), which has the pictures: here are names, labels "
    "and parts.",
}


class Part(NamedTuple):
    """How many samples of each class are in a part of a question; of positions there is the class ""."""

    name: str
    classes: dict[str, int]


def card(specification: Specification, samples: Samples | None = None) -> str:
    """Return the card of a benchmark; of one that was made, with its rows and classes.

    Args:
        specification: of the benchmark.
        samples: of the one that was made, with a column for each question.
    """
    parts = [
        f"# {specification.name}, version {specification.version}",
        f"**{specification.title}.**",
        _filled(specification.description),
        "## How it was made",
        *_making(specification),
        "## Questions",
        *(_question(name, each, samples) for name, each in specification.questions.items()),
        "## Known flaws",
        "\n".join(f"- {flaw}" for flaw in specification.flaws) or "None is known.",
        "## Licence",
        f"{specification.licence}.",
        *_sources(specification),
        "## Citation",
        _filled(specification.citation),
        "## How to read it",
        *_reading(specification),
    ]
    return "\n\n".join(parts) + "\n"


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def _making(specification: Specification) -> list[str]:
    options = specification.generator.options
    rows = [f"| `{name}` | `{_cell(value)}` |" for name, value in options.items()]
    of = ", of the files below" if specification.source else ""
    again = (
        f"`spiketype bench make {specification.name}` makes it again{of}, byte for byte with the same versions of "
        "spiketype and its libraries; `spiketype bench verify FOLDER` compares every file with `manifest.json`."
    )
    table = ["With these options:", "\n".join(["| option | value |", "|---|---|", *rows])] if rows else []
    return [_filled(MADE[specification.generator.kind]), *table, _filled(again)]


def _cell(value: object) -> str:
    """Return an option in a cell of a table, where a bar would end the cell."""
    return str(value).replace("|", "\\|")


def _question(name: str, question: Question, samples: Samples | None) -> str:
    better = "more" if METRICS[question.metric] else "less"
    lines = [
        f"### {name}: {question.title}",
        "",
        f"- **Answer:** {ANSWERS[question.answer]}, for every `{question.row}` of the test part.",
        f"- **Asked for:** {_asked(question)}.",
        f"- **Ranked by:** `{question.metric}`, of which {better} is better; intervals redraw {_redrawn(question)}.",
        f"- **Compared with:** {', '.join(question.baselines) or 'nothing'}.",
        f"- **Split:** {why(question.split)}",
        *([f"- **Confounded:** {trap(question)}"] if question.confound else []),
    ]
    counts = [] if samples is None else ["", *_table(count(name, question, samples))]
    return "\n".join([*lines, *counts])


def _redrawn(question: Question) -> str:
    """Return what intervals redraw: groups say nothing of new ones where each was trained on."""
    return "samples" if question.split.optimistic else f"`{question.group}`"


def _asked(question: Question) -> str:
    if question.answer == "position":
        return "the position of the soma"
    classes = ", ".join(f"`{each}`" for each in question.classes)
    return f"`{question.label}`, one of {classes}"


def why(split: Split) -> str:
    """Return what a split holds out, and what a result on it is of, in a sentence or two."""
    if split.kind == "all":
        return "none: every sample is judged, and no label may be used."
    if split.kind == "random":
        return (
            f"{100 * split.test_fraction:g} % of the samples of every `{split.by}`, by the seed {split.seed}. It is"
            f" **optimistic**: each `{split.by}` that is tested was trained on, too, so that a result says nothing of"
            " new ones."
        )
    folds = len(split.tests) if split.kind == "named" else split.folds
    how = "in one division, by name" if folds == 1 else f"in {folds} folds"
    seed = "" if split.kind == "named" else f", by the seed {split.seed}"
    return f"by `{split.by}`, {how}{seed}: none is on both sides, so that a result is of a new `{split.by}`."


def trap(question: Question) -> str:
    """Return what a high accuracy means where there is a confound, and what the honest answer is."""
    return (
        f"{question.confound} A high accuracy is evidence of that, and not of skill. The honest answer is none: no"
        f" class of any `{question.row}` has a probability of {CERTAIN:g} or more, or a run declares its result void."
    )


def count(name: str, question: Question, samples: Samples) -> list[Part]:
    """Return how many samples of each class are in each part of a question, folds by the number that tests them."""
    part = samples[name]
    classes = question.classes or ("",)
    words = [""] * len(part) if question.answer == "position" else samples[question.label].tolist()
    found = Counter(zip(part.tolist(), words, strict=True))
    return [
        Part(f"tested in fold {each}" if isinstance(each, int) else each, {word: found[each, word] for word in classes})
        for each in sorted(set(part.tolist()), key=_order)
        if each not in (0, "unused")
    ]


def _order(part: int | str) -> tuple[int, str]:
    """Return what sorts parts: train before test, folds by number."""
    return (part, "") if isinstance(part, int) else (0 if part == "train" else 1, part)


def _table(parts: list[Part]) -> list[str]:
    classes = [word for word in parts[0].classes if word]
    head = ["part", "samples", *(word.replace("|", "\\|") for word in classes)]
    rows = [[each.name, sum(each.classes.values()), *(each.classes[word] for word in classes)] for each in parts]
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: list[object] | list[str]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _sources(specification: Specification) -> list[str]:
    if not specification.source:
        return []
    rows = [
        f"| `{each.file}` | {_cell(each.origin)} | {_cell(each.licence)} | `{each.sha256}` |"
        for each in specification.source
    ]
    fetched = "Public files that it is made of; everybody fetches them from those who publish them:"
    return [fetched, "\n".join(["| file | from | licence | SHA-256 |", "|---|---|---|---|", *rows])]


def _reading(specification: Specification) -> list[str]:
    first, question = next(iter(specification.questions.items()))
    lines = ["import pandas as pd", "", 'samples = pd.read_parquet("samples.parquet")']
    folds = max(question.split.folds, len(question.split.tests)) > 1
    if question.split.kind != "all":
        chosen = (
            f'fold = 1\ntrain = samples[(samples["{first}"] != fold) & (samples["{first}"] != 0)]'
            if folds
            else f'train = samples[samples["{first}"] == "train"]'
        )
        lines += [chosen]
    if specification.generator.kind in GENERATED:
        lines = ["import xarray as xr", *lines, 'data = xr.open_zarr("data.zarr")']
    words = [
        "`samples.parquet` has a row for each sample: its name `id`, labels, groups, and a column for each question, "
        "which says `train`, `test` or `unused`; or, of several folds, the number of the fold that tests the sample, "
        "and 0 where it is unused. "
    ]
    if specification.generator.kind in GENERATED:
        words += ["Row `sample` of it is row `sample` of the arrays in `data.zarr` (Zarr 3). "]
    told = (
        f"`spiketype bench score {specification.name} PREDICTIONS` judges a table (CSV or Parquet) with the name of"
        f" each `{question.row}` in the column `id`, and the answers; docs/guide/benchmarks.md has a whole example."
    )
    code = "\n".join(["```python", *lines, "```"])
    return [_filled("".join(words)), code, _filled(told)]


def made_by(generator: Generator) -> str:
    """Return how data are made, in words, for metadata."""
    return MADE[generator.kind]
