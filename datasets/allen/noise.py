"""The 14 features of noise sweeps, from recordings of the Allen Cell Types Database (NWB 1) or in its manner (NWB 2).

Computed as by Ophir, Shefi & Lindenbaum (2024): in the first sweep with stimulus "Noise 1" or "Noise 2" and more than
ten spikes, each feature that allensdk's EphysSweepFeatureExtractor gives is averaged over the spikes.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from spiketype.datasets import piped
from spiketype.datasets.allen import sweep_file
from spiketype.datasets.allen.columns import need, read, specimens
from spiketype.datasets.allen.download import allensdk
from spiketype.datasets.allen.features import FEATURES_14
from spiketype.datasets.allen.icephys import Sweep
from spiketype.edge import Json, UserError, progress, whole_file


def noise_sweep(path: Path) -> Sweep:
    """Read the first noise sweep with more than ten spikes, to the end of its valid part.

    Raises:
        UserError: what `sweep_file.first` refuses; a file over which HDF5 crashes, or does not come to an end.
    """
    try:
        found = piped.ask(Path(sweep_file.__file__), path)
    except piped.Unreadable as error:
        raise UserError(f"{path} cannot be read as a recording in NWB: {error}") from None
    if "refused" in found:
        raise UserError(found["refused"])
    return Sweep(int(found["number"]), found["voltage_mV"], found["current_pA"], float(found["rate_kHz"]))


def features(sweep: Sweep) -> dict[str, float]:
    """Return the `FEATURES_14` of a sweep: means over its spikes.

    A spike that the end of the sweep cuts off has only some features, and counts for these. A feature is NaN if a
    spike's is, or if no spike has it.

    Raises:
        UserError: the extractor finds no spike; allensdk is not installed.
    """
    t_s = np.arange(len(sweep.voltage_mV)) / (1e3 * sweep.rate_kHz)
    extractor = allensdk().extractor(t=t_s, v=sweep.voltage_mV, i=sweep.current_pA)
    extractor.process_spikes()
    if not len(extractor.spikes()):
        raise UserError(f"sweep {sweep.number}: allensdk's extractor finds no spike")
    spikes = {name: np.asarray(extractor.spike_feature(name), np.float64) for name in FEATURES_14}
    return {name: float(values.mean()) if len(values) else np.nan for name, values in spikes.items()}


def _recordings(folder: Path) -> Iterator[tuple[Path, int | None]]:
    """Yield NWB files and their specimens: by the folder ``specimen_NUMBER``, as allensdk has it, else by the name."""
    for path in sorted(folder.rglob("*.nwb")):
        found = re.fullmatch(r"specimen_([0-9]+)", path.parent.name) or re.match(r"([0-9]{6,})", path.stem)
        yield path, int(found[1]) if found else None


def of_folder(folder: Path, out: Path) -> list[tuple[str, str]]:
    """Add the features of every recording in the folder to a table, row by row.

    Returns (file, reason) of the recordings that were left out.
    Cells that the table has already are not done again.

    Raises:
        UserError: no recording; the table is there, but is not of noise features; allensdk is not installed.
    """
    allensdk()
    found, left_out = list(_recordings(folder)), []
    if not found:
        raise UserError(f"{folder} has no .nwb file: spiketype allen download --recordings --out {folder}")
    rows = _rows(out)
    done, first = {int(row["specimen_id"]) for row in rows}, dict[int | None, Path]()
    with progress() as bar:
        for path, specimen in bar.track(found, description="recordings"):
            try:
                if specimen is None:
                    raise UserError("neither a folder specimen_NUMBER nor a name that begins with the specimen")
                if first.setdefault(specimen, path) != path:
                    raise UserError(f"specimen {specimen} is already {first[specimen]}")
                if specimen in done:
                    continue
                sweep = noise_sweep(path)
                values = features(sweep)
            except Exception as error:  # h5py and allensdk raise all kinds for damaged files: go on with the others
                left_out.append((str(path), _reason(path, error)))
                continue
            rows.append({"specimen_id": specimen, "sweep": sweep.number, "rate_kHz": sweep.rate_kHz, **values})
            with whole_file(out) as partial:
                pd.DataFrame(rows).to_csv(partial, index=False)
    return left_out


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error).removeprefix(f"{path}: ").removeprefix(f"{path}, ")
    return f"not readable as a recording of the database ({type(error).__name__}: {error})"


def _rows(out: Path) -> list[Json]:
    if not out.exists():
        return []
    table = read(out)
    need(out, table, "specimen_id", "sweep", "rate_kHz", *FEATURES_14)
    rows = table.assign(specimen_id=specimens(out, table["specimen_id"])).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
