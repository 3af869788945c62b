"""The noise sweep of a recording of the Allen Cell Types Database (NWB 1), or in its manner (NWB 2).

A process of its own (`piped`) reads it: HDF5 ends its process over some damaged files, and over others never ends.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spiketype.damage import check_size, readable
from spiketype.datasets.allen import icephys
from spiketype.datasets.allen.icephys import Sweep
from spiketype.edge import UserError

if TYPE_CHECKING:
    import h5py

STIMULI, MORE_SPIKES_THAN = ("Noise 1", "Noise 2"), 10
VOLT = (0.02, 0.15)  # where the median size of a membrane potential lies
AMPERE = (1e-12, 1e-8)  # where the largest current lies


def read(path: str) -> dict[str, object]:
    """Return the fields of the `first` sweep, or as "refused" why there is none, for `piped`."""
    try:
        return first(Path(path))._asdict()
    except UserError as error:
        return {"refused": str(error)}


def first(path: Path) -> Sweep:
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
