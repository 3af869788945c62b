"""The 14 features of noise sweeps, from recordings of the Allen Cell Types Database (NWB 1) or in its manner (NWB 2).

Computed as by Ophir, Shefi & Lindenbaum (2024): in the first sweep with stimulus "Noise 1" or "Noise 2" and more than
ten spikes, each feature that allensdk's EphysSweepFeatureExtractor gives is averaged over the spikes.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from spiketype.damage import check_size, readable
from spiketype.datasets.allen import icephys
from spiketype.datasets.allen.columns import need, read, specimens
from spiketype.datasets.allen.download import allensdk
from spiketype.datasets.allen.features import FEATURES_14
from spiketype.datasets.allen.icephys import Sweep
from spiketype.edge import Json, UserError, progress, whole_file

if TYPE_CHECKING:
    import h5py

STIMULI, MORE_SPIKES_THAN = ("Noise 1", "Noise 2"), 10
VOLT = (0.02, 0.15)  # where the median size of a membrane potential lies
AMPERE = (1e-12, 1e-8)  # where the largest current lies


def noise_sweep(path: Path) -> Sweep:
    """Read the first noise sweep with more than ten spikes, to the end of its valid part.

    Raises:
        UserError: there is none; samples that are not finite, or of a size that is in no plausible unit; what
            `icephys.noise_sweep` refuses; a damaged file, or one in another layout.
    """
    import h5py  # with allensdk, an extra

    # h5py raises whatever it likes over damage, at any look at the file.
    with readable(path, "a recording in NWB"), h5py.File(path) as file:
        if icephys.is_nwb_2(file):
            found = icephys.noise_sweep(path, file, MORE_SPIKES_THAN)
        elif "epochs" in file:
            found = _nwb_1(path, file)
        else:
            raise UserError(f"{path}: neither NWB 1 as the database has it, nor NWB 2")
    if found is None:
        raise UserError(f"{path}: no sweep of {' or '.join(STIMULI)} has more than {MORE_SPIKES_THAN} spikes")
    return found


def _nwb_1(path: Path, file: "h5py.File") -> Sweep | None:
    for number in sorted(int(name.removeprefix("Sweep_")) for name in file["epochs"] if name.startswith("Sweep_")):
        stimulus = file.get(f"stimulus/presentation/Sweep_{number}/aibs_stimulus_name")
        if (
            stimulus is not None
            and icephys.text(icephys.whole(stimulus)) in STIMULI
            and _spikes(file, number) > MORE_SPIKES_THAN
        ):
            return _read(path, file, number)
    return None


def _spikes(file: "h5py.File", number: int) -> int:
    for group in ("spike_times", "aibs_spike_times"):
        if f"analysis/{group}/Sweep_{number}" in file:
            return len(file[f"analysis/{group}/Sweep_{number}"])
    return 0


def _read(path: Path, file: "h5py.File", number: int) -> Sweep:
    sweep = file[f"epochs/Sweep_{number}"]
    valid = file[f"epochs/Experiment_{number}" if f"Experiment_{number}" in file["epochs"] else sweep.name]["stimulus"]
    end = int(icephys.whole(valid["idx_start"])) + int(icephys.whole(valid["count"]))
    v_V, i_A = (
        _si(f"{path}, sweep {number}, {name}", sweep[name]["timeseries"]["data"], usual, unit, end)
        for name, usual, unit in (("response", VOLT, "V"), ("stimulus", AMPERE, "A"))
    )
    if len(v_V) != len(i_A):
        raise UserError(f"{path}, sweep {number}: {len(v_V)} samples of the response, {len(i_A)} of the stimulus")
    rate_Hz = float(sweep["stimulus"]["timeseries"]["starting_time"].attrs["rate"])
    return Sweep(number, v_V * 1e3, i_A * 1e12, rate_Hz / 1e3)


def _si(where: str, data: "h5py.Dataset", usual: tuple[float, float], unit: str, end: int) -> np.ndarray:
    """Read samples (sample,) in V or A.

    Some files hold them so, with a `conversion` that is wrong; others need it. The size of the samples decides.
    """
    check_size(f"{where}: data", data.nbytes, data.file.id.get_filesize())
    raw = np.asarray(data[:end], np.float64)
    size = float((np.median if unit == "V" else np.max)(np.abs(raw))) if len(raw) else np.nan
    for conversion in (1.0, float(data.attrs.get("conversion", 1.0))):
        if usual[0] <= size * conversion <= usual[1] and np.isfinite(raw).all():
            return raw * conversion
    raise UserError(
        f"{where}: {size:.3g} where {usual[0]:g} to {usual[1]:g} {unit} is usual: damaged, or another unit?"
    )


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
        raise UserError(f"{folder} has no .nwb file: python -m datasets.allen download --recordings --out {folder}")
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
    rows: list[Json] = table.assign(specimen_id=specimens(out, table["specimen_id"])).to_dict("records")
    return rows
