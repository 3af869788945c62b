"""Excitatory or inhibitory across species, published and ours: python scripts/reproduce_species.py --out DIR.

Trains and judges `--task species` in its three settings, about five minutes each on one core, or reads the runs that
DIR has, and prints: the rows of Ophir et al. 2024 (arXiv 2306.00528, Table 3), what their weights give on the same
cells (with --weights), our tables, and the model offered over further divisions of the donors.
"""

from pathlib import Path

import numpy as np
import tyro

from spiketype.datasets.allen import table as allen
from spiketype.datasets.allen.species import HUMAN, MOUSE, parts, usable
from spiketype.edge import guard
from spiketype.models import dann
from spiketype.models.scale import Scale
from spiketype.train.execute import once
from spiketype.train.judging import metrics
from spiketype.train.judging.calls import held_out, scatter
from spiketype.train.judging.report import text_table
from spiketype.train.tasks.species.config import FOLDS, SpeciesConfig
from spiketype.train.tasks.species.judge import species_table
from spiketype.train.tasks.species.model import fit
from spiketype.train.tasks.species.networks import cells_of

PUBLISHED = [["published, human", "95.0"], ["published, mouse", "97.5"]]


def main(out: Path, data: Path | None = None, weights: Path | None = None, repeats: int = 10) -> None:
    """Print all tables.

    Args:
        out: Folder of the runs; those that are finished there are read.
        data: Folder of the tables, as for --task species.
        weights: The published weights as arrays (dann_weights.npz).
        repeats: Divisions of the donors by further seeds.
    """
    table = allen.load(allen.find(data))
    rows = PUBLISHED + (published(table, dict(np.load(weights))) if weights else [])
    print(text_table(["Ophir et al. 2024", "accuracy (%)"], rows))
    for labels in FOLDS:
        summary = once(SpeciesConfig(labels=labels, data=data), out / labels)
        print("\n" + species_table(summary))
    print("\n" + again(usable(table, "impute"), repeats))


def published(table: allen.AllenTable, weights: dict[str, np.ndarray]) -> list[list[str]]:
    """Return rows of what the published weights give under other standardisations of the tested cells.

    Tested are the last 20 % of the rows of each table.
    """
    variables, net = dann.from_published(weights), dann.PUBLISHED()
    cells = {}
    for species_number in (HUMAN, MOUSE):
        rows = np.flatnonzero(table.species == species_number)
        first = int(0.8 * len(rows))
        whole = np.isfinite(table.x).all(axis=1)
        cells[species_number] = [part[whole[part]] for part in (rows[:first], rows[first:])]
    (before, human), (_, mouse) = cells[HUMAN], cells[MOUSE]

    def accuracy(fitted: np.ndarray, called: np.ndarray) -> str:
        logits = net.apply(variables, Scale.of(table.x[fitted]).apply(table.x[called]))[0]
        return f"{100 * metrics.accuracy(table.spiny[called], np.asarray(logits)):.1f}"

    return [
        [f"its weights, {len(human)} human cells, scale of the tested cells", accuracy(human, human)],
        [f"its weights, {len(human)} human cells, scale of the other human cells", accuracy(before, human)],
        [f"its weights, {len(before)} other human cells, their own scale", accuracy(before, before)],
        [f"its weights, {len(mouse)} mouse cells, scale of the tested cells", accuracy(mouse, mouse)],
    ]


def again(table: allen.AllenTable, repeats: int) -> str:
    """Return the model offered over divisions of the donors by seeds 100, 101, ...; of human cells always by donors."""
    rows = []
    for labels, folds in {**FOLDS, "mouse-to-human": 10}.items():
        found = []
        for seed in range(100, 100 + repeats):
            divided, each = parts(table, labels, folds, 1, seed), []
            for part in divided:
                model = fit(table, part, labels, seed)
                each.append(model.probability(cells_of(table, part.test)))
            called = [part.fold for part in divided]
            kept = held_out(called)
            y, probability = table.spiny[kept], scatter(called, 1, len(table.x), each)[0, kept]
            found.append([measure(y, probability) for measure in metrics.MEASURES.values()])
        mean, sd = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
        texts = (f"{m:.3g} ± {round(s, 5):.2g}" for m, s in zip(mean, sd, strict=True))
        rows.append([f"{labels}, {folds} folds of donors", *texts])
    return text_table([f"aligned SVC, mean ± sd over {repeats} divisions", *metrics.MEASURES], rows)


if __name__ == "__main__":
    with guard():
        tyro.cli(main, prog="python scripts/reproduce_species.py")
