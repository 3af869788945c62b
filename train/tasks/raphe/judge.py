"""The judgement of the raphe task: votes of every network, calls of every cell, what they are compared with."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from spiketype.datasets import raphe
from spiketype.datasets.raphe import noisy as raphe_noisy
from spiketype.datasets.raphe import sources as raphe_sources
from spiketype.datasets.raphe import table as raphe_store
from spiketype.datasets.raphe.extract import SpikeOptions
from spiketype.datasets.raphe.table import RapheTable
from spiketype.datasets.splits import Split
from spiketype.edge import UserError
from spiketype.models.raphe import RapheCNN, serotonergic_logit, serotonergic_share
from spiketype.train import runs
from spiketype.train.tasks.raphe import batches as raphe_draw
from spiketype.train.tasks.raphe import calls as raphe_cells
from spiketype.train.tasks.raphe import summary as raphe_summary
from spiketype.train.tasks.raphe.calls import Calibration, Evidence, Stages
from spiketype.train.tasks.raphe.control import baselines
from spiketype.train.tasks.raphe.report import figures
from spiketype.train.tasks.raphe.shape import features
from spiketype.train.tasks.raphe.usual import Usual, usual

BATCH = 500
DECISION = "decision"  # what `judge` adds to the model's description: calibration and usual shapes


class Member(NamedTuple):
    """One training."""

    seed: int
    fold: int
    width: int


def votes(
    net: RapheCNN, variables: Any, members: Sequence[tuple[int, int]], spike_pA: np.ndarray, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and published votes (network, spike) of members (number, width) for spikes (spike, 160)."""
    logit, share = np.empty((2, len(members), len(spike_pA)), np.float32)
    for row, (number, width) in enumerate(members):
        own = jax.tree.map(lambda a, m=number: a[m], variables)
        for first in range(0, len(spike_pA), BATCH):
            part = spike_pA[first : first + BATCH]
            padded = np.pad(part, ((0, BATCH - len(part)), (0, 0)))  # one shape, one program
            said = _apply(net, own, padded, np.int32(width), columns)
            logit[row, first : first + BATCH], share[row, first : first + BATCH] = (
                np.asarray(each)[: len(part)] for each in said
            )
    return logit, share


@partial(jax.jit, static_argnums=(0, 4))
def _apply(net: RapheCNN, variables: Any, spike_pA: jax.Array, width: jax.Array, columns: int) -> Any:
    logits = jnp.asarray(net.apply(variables, raphe_draw.inputs(spike_pA, columns), width))
    return serotonergic_logit(logits), serotonergic_share(logits)


def columns_of(config: Any) -> int:
    """Columns of the input."""
    return 1 if config.columns == "current" else 2


class Judged(NamedTuple):
    """What is known of tested cells: numbers (cell,), evidence as spikes arrive, folds (cell,), mean spikes."""

    cells: np.ndarray
    arriving: list[Evidence]
    fold: np.ndarray
    mean_pA: np.ndarray

    @property
    def whole(self) -> Evidence:
        """Evidence of all spikes of each cell: x (cell, 1 + feature), variance and spikes (cell,)."""
        last = [(each.x[-1], each.variance[-1], each.spikes[-1]) for each in self.arriving]
        return Evidence(*(np.array(part) for part in zip(*last, strict=True)))


def judged(table: RapheTable, tests: Sequence[np.ndarray], said: Sequence[tuple[np.ndarray, np.ndarray]]) -> Judged:
    """Collect the votes of tests (samples of each) by cell; a cell that several folds test counts in the first."""
    cells: list[int] = []
    arriving, folds, means = [], [], []
    for number, (test, (_, share)) in enumerate(zip(tests, said, strict=True)):
        for cell in np.setdiff1d(table.cell[test], np.array(cells, int)):
            mine = table.cell[test] == cell
            cells.append(int(cell))
            spike_pA = table.spike_pA[test[mine]]
            arriving.append(raphe_cells.evidence(2 * share[:, mine] - 1, spike_pA, features))
            folds.append(number)
            means.append(spike_pA.mean(axis=0))
    return Judged(np.array(cells), arriving, np.array(folds), np.stack(means))


def judge(
    config: Any,
    net: RapheCNN,
    table: RapheTable,
    split: Split,
    members: Sequence[Member],
    about: dict[str, Any],
    variables: Any,
    history: list[dict[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    """Judge all members on their test parts; write predictions and figures, and what `predict` needs, into the run.

    A cell is called by the networks that did not see its fold. Its calibration is fitted on the other folds' cells,
    each called by networks that did not see it; at the end one calibration of all cells is kept for new recordings.
    """
    tests = [fold.test for fold in split.folds]
    said = [
        votes(
            net,
            variables,
            [(m, member.width) for m, member in enumerate(members) if member.fold == number],
            table.spike_pA[test],
            columns_of(config),
        )
        for number, test in enumerate(tests)
    ]
    found = judged(table, tests, said)
    label = table.cell_label[found.cells]
    calibrations = [_calibration(found, label, number) for number in range(len(tests))]
    shapes = [_usual(table, fold.train) for fold in split.folds]
    folds = _cell_folds(table, split, found.cells)
    others, single = baselines(found.mean_pA, table, found.cells, label, folds, config.seed)
    result = raphe_summary.summary(config, table, found, calibrations, shapes, split, others, single, said, tests)
    if not split.optimistic:
        result["calibrated_on"] = "cells of other folds, called by networks that had not seen them"
    final = raphe_cells.calibrate_stages(found.arriving, label)
    known = _usual(table, np.arange(len(table.cell)))
    decision = {
        "calibration": [stage.to_json() for stage in final],
        "usual": known.to_json(),
        "certain": config.certain,
    }
    runs.write_json(folder / runs.ABOUT, about | {DECISION: decision})
    figures(result, table, found.cells, history, folder / "figures")
    _write(folder, tests, said)
    return result


def _calibration(found: Judged, label: np.ndarray, fold: int) -> Stages:
    """Of cells of the other folds; of all where there is one fold alone (optimistic, and said to be)."""
    rows = found.fold != fold
    rows = rows if len(np.unique(label[rows])) == 2 else np.ones(len(rows), bool)
    return raphe_cells.calibrate_stages([found.arriving[row] for row in np.flatnonzero(rows)], label[rows])


def _usual(table: RapheTable, train: np.ndarray) -> Usual:
    means = raphe_noisy.templates(table, train)
    return usual(means[np.unique(table.cell[train])])


def _cell_folds(table: RapheTable, split: Split, cells: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and tested rows of `cells` for each fold; a split by spike trains and tests on the same cells."""
    return [
        tuple(np.flatnonzero(np.isin(cells, table.cell[part])) for part in (fold.train, fold.test))  # type: ignore[misc]
        for fold in split.folds
    ]


def _write(folder: Path, tests: Sequence[np.ndarray], said: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """predictions.zarr: one row a tested spike, one column a network of its fold."""
    arrays: dict[str, Any] = {
        "logit": (("row", "network"), np.concatenate([logit.T for logit, _ in said])),
        "sample": ("row", np.concatenate(list(tests))),
        "fold": ("row", np.repeat(np.arange(len(tests)), [len(test) for test in tests])),
    }
    xr.Dataset(arrays).to_zarr(folder / "predictions.zarr", mode="w", zarr_format=3, consolidated=False)


def _by_all(config: Any, about: dict[str, Any], net: RapheCNN, variables: Any, table: RapheTable) -> Judged:
    """Calls of all cells of other data by all networks of the run."""
    members = [(number, member["width"]) for number, member in enumerate(about["members"])]
    everything = np.arange(len(table.cell))
    return judged(table, [everything], [votes(net, variables, members, table.spike_pA, columns_of(config))])


def decision(about: dict[str, Any]) -> tuple[Stages, Usual]:
    """Calibration and usual shapes of a judged run.

    Raises:
        UserError: the run was not judged yet.
    """
    if DECISION not in about:
        raise UserError("the run was not judged yet: finish it with --resume RUN")
    kept = about[DECISION]
    return tuple(Calibration.from_json(stage) for stage in kept["calibration"]), Usual.from_json(kept["usual"])


def evaluate(
    config: Any, about: dict[str, Any], net: RapheCNN, variables: Any, table: RapheTable, folder: Path
) -> dict[str, Any]:
    """Judge on another labelled store; all its cells are new to the networks."""
    calibration, known = decision(about)
    found = _by_all(config, about, net, variables, table)
    everything = np.arange(len(table.cell))
    result = raphe_summary.summary(config, table, found, [calibration], [known], None, {}, {}, [], [everything])
    figures(result, table, found.cells, [], folder)
    return result


def predict(config: Any, about: dict[str, Any], net: RapheCNN, variables: Any, data: Path) -> dict[str, Any]:
    """One row a cell: the call with all that qualifies it. What cannot be read is listed on stderr.

    Raises:
        UserError: nothing of `data` gives a spike.
    """
    calibration, known = decision(about)
    with _table(about, data) as table:
        for file, why in table.left_out:
            print(f"left out: {file}: {why}", file=sys.stderr)
        found = _by_all(config, about, net, variables, table)
        return raphe_summary.columns(table, found, calibration, known, config.certain)


@contextlib.contextmanager
def _table(about: dict[str, Any], data: Path) -> Iterator[RapheTable]:
    """A store, or recordings and CSV folders cut as those of the training were."""
    if (data / "zarr.json").exists():
        yield raphe.load(data)
        return
    options = SpikeOptions(**about["spikes"])
    cells, left_out = raphe_sources.extract(
        [data], options, raphe_sources.ReadOptions(), raphe_sources.read_labels(None)
    )
    if not cells:
        listed = "".join(f"\n  {file}: {why}" for file, why in left_out)
        raise UserError(f"{data}: nothing gave a spike:{listed}")
    with tempfile.TemporaryDirectory() as folder:
        yield raphe.load(raphe_store.write(Path(folder) / "raphe.zarr", cells, {}, left_out))
