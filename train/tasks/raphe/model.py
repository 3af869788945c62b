"""The raphe model that users get: all networks of a run, the calibration of cells, and the shapes that it knows."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, UInt64

from spiketype import reading
from spiketype.datasets.fingerprint import of_rows
from spiketype.datasets.raphe import noisy, read, seen
from spiketype.datasets.raphe.options import ReadOptions, SpikeOptions
from spiketype.datasets.raphe.table import RapheTable
from spiketype.edge import Json, PyTree
from spiketype.models import evidence
from spiketype.models.evidence import Calibration, Stages
from spiketype.models.usual import Usual
from spiketype.train.judging.calls import Calls
from spiketype.train.task import Judgement, Variables, new_where
from spiketype.train.tasks.raphe import cells
from spiketype.train.tasks.raphe.cells import Tested
from spiketype.train.tasks.raphe.config import RapheTaskConfig
from spiketype.train.tasks.raphe.figures import figures
from spiketype.train.tasks.raphe.networks import shares
from spiketype.train.tasks.raphe.summary import CALIBRATED, PUBLISHED, summary


@dataclass(frozen=True)
class RapheModel:
    """A consensus of networks with its calibration.

    Attributes:
        config: of the run.
        variables: of all networks.
        stages: calibrations, by the number of spikes.
        usual: shapes of the cells that were trained on.
        seen: fingerprints of the spikes trained on.
        times_s: when the first spikes of each cell trained on come; of no cell in older runs.
        origin: JSON: classes, members, what was held out, how recordings were read and spikes cut.
    """

    config: RapheTaskConfig
    variables: Variables
    stages: Stages
    usual: Usual
    seen: UInt64[np.ndarray, " seen"]
    times_s: Float64[np.ndarray, "cell 50"]
    origin: Json

    @classmethod
    def fit(
        cls, config: RapheTaskConfig, variables: Variables, table: RapheTable, tested: Tested, origin: Json
    ) -> "RapheModel":
        """Return the model of trained networks: calibrated on all tested cells, knowing the shapes of all of them."""
        stages = evidence.calibrate_stages(tested.arriving, table.cell_label[tested.cells])
        usual = usual_of(table, np.arange(len(table.cell)))
        return cls(config, variables, stages, usual, seen_of(table), seen.times(table), origin)

    @classmethod
    def restore(cls, config: RapheTaskConfig, arrays: PyTree, manifest: Json) -> "RapheModel":
        """Return what `arrays` and `manifest` took apart."""
        stages = tuple(Calibration(**arrays["stages"][str(k)]) for k in range(len(evidence.STAGES)))
        origin = {name: value for name, value in manifest.items() if name != "thresholds"}
        usual, times_s = Usual.restore(arrays["usual"]), arrays.get("times_s", np.zeros((0, seen.FIRST)))
        return cls(config, arrays["networks"], stages, usual, arrays["seen"], times_s, origin)

    def arrays(self) -> PyTree:
        """Return the networks, the calibrations and the usual shapes."""
        return {
            "networks": self.variables,
            "stages": {str(k): stage._asdict() for k, stage in enumerate(self.stages)},
            "seen": self.seen,
            "times_s": self.times_s,
            "usual": self.usual.arrays(),
        }

    def manifest(self) -> Json:
        """Return what it was trained on, and the probability and the distance that are its thresholds."""
        return {**self.origin, "thresholds": {"certain": self.config.certain, "unusual": self.usual.limit}}

    def cut(self) -> tuple[SpikeOptions, ReadOptions]:
        """Return how the spikes trained on were cut, and how their recordings were read; older runs do not tell it."""
        return SpikeOptions(**self.origin["spikes"]), ReadOptions(**self.origin.get("read", {}))

    def tested(self, table: RapheTable) -> Tested:
        """Return what all networks tell of all cells of other data."""
        members = [(number, member["width"]) for number, member in enumerate(self.origin["members"])]
        everything = np.arange(len(table.cell))
        return cells.collect(table, [everything], [shares(self.config, self.variables, members, table.spike_pA)])

    def calls(self, table: RapheTable) -> Calls:
        """Return the calls of all cells of other data."""
        tested = self.tested(table)
        return cells.calls(table, tested, tested.after([self.stages]), [self.usual])

    def probability(self, table: RapheTable) -> Float[np.ndarray, "cell 2"]:
        """Return the probabilities of both classes for all cells of other data."""
        return self.calls(table).mean


def seen_of(table: RapheTable) -> UInt64[np.ndarray, " spike"]:
    """Return what tells each spike from others."""
    return of_rows(table.spike_pA)


def usual_of(table: RapheTable, train: Int[np.ndarray, " train"]) -> Usual:
    """Learn usual shapes from the cells of a training part (sample indices)."""
    return Usual.of(noisy.templates(table, train)[np.unique(table.cell[train])])


def _known(model: RapheModel, table: RapheTable) -> Bool[np.ndarray, " spike"]:
    """Return which spikes were trained on: known by their samples, and recordings cut anew by their spikes' times."""
    return np.asarray(np.isin(seen_of(table), model.seen) | seen.again(model.times_s, table)[table.cell])


def evaluate(config: RapheTaskConfig, model: RapheModel, path: Path) -> Judgement:
    """Judge on another store with labels; all its cells are new to the networks.

    Spikes that were trained on are known by their samples, and recordings that are cut anew by their spikes' times.

    Raises:
        UserError: the store holds what was trained on; a class has no cell; no store, or damaged.
    """
    table = read.labelled(path)
    read.check_cut(path, model.cut()[0])
    new = ~_known(model, table)
    known = np.unique(table.cell[~new_where(new, path, "spikes")])
    kept = np.flatnonzero(~np.isin(table.cell, known))
    table = read.keep(table, kept, path, "the run was trained on those that are: give others")
    tested = model.tested(table)
    after = tested.after([model.stages])
    calls = cells.calls(table, tested, after, [model.usual])
    others = {PUBLISHED: calls.of(cells.of_serotonergic(cells.published(tested)))}
    models = {CALIBRATED: calls, **others}
    result = summary(config, table, tested, after, models, {}, None)
    return Judgement(result, calls, figures(result, table, tested.cells, models, []), None, others, CALIBRATED)


def predict(config: RapheTaskConfig, model: RapheModel, path: Path) -> dict[str, np.ndarray]:
    """Return one row a cell: the call with all that qualifies it.

    What cannot be read, and how many cells were trained on, is said on stderr.

    Raises:
        UserError: nothing of `path` gives a spike.
    """
    table = read.read(path, *model.cut())
    if count := len(np.unique(table.cell[_known(model, table)])):
        reading.note(path, f"the run was trained on {count} of {len(table.cell_names)} cells: their calls are too good")
    for file, why in table.left_out:
        print(f"left out: {file}: {why}", file=sys.stderr)
    return cells.table_of(model.calls(table), config.certain)
