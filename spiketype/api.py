"""What the commands do, as functions: ``import spiketype as st``. Each loads what it needs when it is called."""

import math
import time
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spiketype import location, typed
from spiketype.edge import Json, UserError, check_platform
from spiketype.location import Location

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from spiketype.datasets.waveforms import WaveformTable
    from spiketype.train.config import TaskConfig
    from spiketype.train.task import FinalModel, Task

Where = str | Path | location.Remote  # a file, a folder, or s3://, gs://, https:// where stores are read


class Run(NamedTuple):
    """A training that was judged: its folder, and what is in its summary.json."""

    folder: Path
    summary: Json


def simulate(out: Where, *, workers: int | None = None, **options: Any) -> Location:
    """Simulate extracellular action potentials into a store, or what is missing of it, and return where it is.

    Args:
        out: folder or URL of the store.
        workers: processes at once, by default one per core. Where they are several, the script that calls this needs
            ``if __name__ == "__main__":``; 0 computes in this process.
        options: those of ``spiketype simulate eap``: fields of `spiketype.simulator.eap.config.EapConfig`.

    Raises:
        UserError: an option that is unknown or wrong; another store is there.
    """
    from spiketype.simulator.eap.config import EapConfig
    from spiketype.simulator.eap.generate import generate

    return generate(typed.make(EapConfig, options, "simulate"), _place(out), workers)


def open_store(path: Where) -> "xr.Dataset":
    """Open a store as a lazy xarray.Dataset, with units, names and provenance; files are held to their checksums.

    Raises:
        UserError: there is none, or it is damaged.
    """
    from spiketype.datasets import store

    return store.open_dataset(_place(path))


def train(task: str, out: Where | None = None, *, preset: str = "default", **options: Any) -> Run:
    """Train a network on a task and judge it; a run with the same options that is in the folder is continued.

    Args:
        task: such as "mtype", "raphe", "subclass", "species", "unit", "cluster".
        out: run folder, by default runs/TASK-DATE-TIME.
        preset: a named set of options, such as "paper".
        options: those of ``spiketype train --task TASK``: fields of its configuration.

    Raises:
        UserError: an option that is unknown or wrong; data that cannot be had; another run is there.
    """
    from spiketype.train import asked, tasks

    kind, presets = tasks.options(task)
    config = typed.make(kind, {**asked.preset_of(presets, preset), "task": task, **options}, f"train, {task}")
    folder = location.folder(_place(time.strftime(f"runs/{task}-%Y%m%d-%H%M%S") if out is None else out))
    check_platform()
    from spiketype.train import execute

    return Run(folder, execute.execute(tasks.get(task), config, folder))


def evaluate(run: Where, data: Where, **options: Any) -> Json:
    """Judge a trained run on other data with labels, and return the summary.

    Args:
        run: its folder.
        data: of the kind that it was trained on.
        options: of units: ``label``, ``rate_kHz``, ``flip``; all others are the run's.

    Raises:
        UserError: no run, other options, other data, or the samples that the run was trained on.
    """
    task, config, model = _model(run, options)
    summary: Json = task.evaluate(config, model, _place(data)).summary
    return summary


def predict(run: Where, data: Where, **options: Any) -> "pd.DataFrame":
    """Apply a trained run to data that need no labels, and return a table with one row a sample, cell or unit.

    Args:
        run: its folder.
        data: of the kind that it was trained on.
        options: of units: ``rate_kHz``, ``flip``; of Allen tables: ``species``; all others are the run's.

    Raises:
        UserError: no run, other options, or other data.
    """
    import pandas as pd

    task, config, model = _model(run, options)
    return pd.DataFrame(task.predict(config, model, _place(data)))


def load_units(path: Where, *, rate_kHz: float | None = None, flip: bool = False) -> "WaveformTable":
    """Read sorted units, whatever program wrote them: phy, SpikeInterface, CellExplorer, NWB, .npz, .npy, .csv, Zarr.

    Args:
        path: file or folder.
        rate_kHz: sampling rate, if the data do not say it.
        flip: the waveforms are stored upside down.

    Raises:
        UserError: nothing that is known, damage, or a rate that nobody says.
    """
    if rate_kHz is not None and not (isinstance(rate_kHz, Real) and 0 < rate_kHz < math.inf):
        raise UserError(f"rate_kHz is {typed.short(rate_kHz)}: give the sampling rate as a number, in kHz")
    from spiketype.datasets import waveforms

    return waveforms.load(location.folder(_place(path)), None, rate_kHz, flip)


def call_units(
    path: Where,
    *,
    certain: float | None = None,
    share: float | None = None,
    rate_kHz: float | None = None,
    flip: bool = False,
) -> "pd.DataFrame":
    """Call each unit of a recording excitatory or inhibitory with the model that is shipped; return one row a unit.

    Args:
        path: as of `load_units`.
        certain: probability of the likelier class below which there is no call, from 0.5 to below 1, by default 0.8.
        share: of excitatory units, if you know it; by default both classes are taken to be as frequent.
        rate_kHz: as of `load_units`.
        flip: as of `load_units`.

    Raises:
        UserError: as `load_units`; a probability or share that cannot be.
    """
    import pandas as pd

    from spiketype.units import call, model
    from spiketype.units.options import CERTAIN

    table = load_units(path, rate_kHz=rate_kHz, flip=flip)
    found = call.call(table, model.load(), CERTAIN if certain is None else certain, share)
    return pd.DataFrame(found.columns)


def _place(path: Where) -> Location:
    return location.parse(path) if isinstance(path, str) else path


def _model(run: Where, options: Mapping[str, Any]) -> "tuple[Task[Any, Any], TaskConfig, FinalModel]":
    """Return the task of a run, its configuration for other data, and its model."""
    from spiketype.train import asked

    folder = location.folder(_place(run))
    given = {"flip": False, **options}
    config = asked.for_data(asked.open_config(folder), **given)
    check_platform()
    from spiketype.train import runs

    task, _, model = runs.load_model(folder)
    return task, config, model
