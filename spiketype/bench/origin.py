"""What a run folder says of its data and division, to be held against the benchmark that its predictions are of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from spiketype.datasets import store
from spiketype.edge import Json
from spiketype.train import checked, runs
from spiketype.train.task import TRAINING_PARTS

TRAINED_ON = {"trained_on": "cell", "trained_on_days": "day"}  # in what a model says of a member -> column of samples
SPIKES = "spikes"  # how many a cell has
COMPARED = ("amplitude_uV", "distance_um", "day", SPIKES)  # arrays beside predictions
TRUE, AXES = "true_um", ("x_um", "y_um", "z_um")


@dataclass(frozen=True)
class Origin:
    """What a run says; of a table nothing is known.

    Attributes:
        optimistic: groups that it tests were trained on, too.
        void: why it declares its own result void; "" where it does not.
        by: column of the samples whose names are in `trained_on`.
        trained_on: the groups that each of its folds trained on; none where it does not say.
        parts: what the names of the rows that each fold trained on are told by, as of `of_names`; none where it does
            not say.
        init: the model that it began with; "" where it began with none.
        measured: of each row, by the names of the columns of the samples.
    """

    optimistic: bool = False
    void: str = ""
    by: str = ""
    trained_on: frozenset[frozenset[str]] = frozenset()
    parts: frozenset[str] = frozenset()
    init: str = ""
    measured: Mapping[str, Shaped[np.ndarray, " row"]] = field(default_factory=dict)


def read(predictions: Path, arrays: Iterable[str]) -> Origin:
    """Return what is said beside the predictions of a run, and in the folder that they lie in.

    Args:
        predictions: the store.
        arrays: names of those in it.

    Raises:
        UserError: a file of the run was changed.
    """
    folder = predictions.parent
    measured = {name: store.read(predictions, name, unknown=True) for name in COMPARED if name in arrays}
    if TRUE in arrays:
        measured |= dict(zip(AXES, store.read(predictions, TRUE, unknown=True).T, strict=True))
    summary: Json = runs.read_summary(folder) if (folder / runs.SUMMARY).exists() else {}
    by, trained_on = _trained_on(folder)
    return Origin(
        optimistic=bool(summary.get("optimistic")),
        void=str(summary.get("void", "")),
        by=by,
        trained_on=trained_on,
        parts=frozenset(map(str, summary.get(TRAINING_PARTS, ()))),
        init=str(began["model"]) if isinstance(began := summary.get("init"), dict) else "",
        measured=measured,
    )


def _trained_on(folder: Path) -> tuple[str, frozenset[frozenset[str]]]:
    """Return the column of the groups that the members of a run were trained on, and those of each; "" and none where
    the run has no model, or does not say."""
    path = folder / runs.MANIFEST
    if not path.exists():
        return "", frozenset()
    members = checked.read_json(path, f"{path} is damaged", f"write it again with --resume {folder}").get("members")
    for name, column in TRAINED_ON.items():
        if isinstance(members, list) and all(isinstance(each, dict) and name in each for each in members):
            return column, frozenset(frozenset(map(str, each[name])) for each in members)
    return "", frozenset()
