"""Calls of units in a copy of an NWB file: two more columns of the table of units.

h5py writes them as pynwb does; pynwb, which is not always installed, is the oracle of the tests.
"""

import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Shaped

from spiketype.damage import readable
from spiketype.datasets.waveforms import called, nwb_file
from spiketype.datasets.waveforms.nwb_hdf5 import MEAN
from spiketype.edge import UserError, whole_file

CALL, PROBABILITY = "cell_type", "cell_type_probability"
PREFIXES = ("", "spiketype_")  # the first under which the file has no columns yet
DESCRIPTIONS = (
    "excitatory or inhibitory as called by spiketype; unsure where there is no call",
    "probability of the likelier class, by spiketype",
)


def write(source: Path, columns: Mapping[str, Shaped[np.ndarray, " unit"]], out: Path) -> Path:
    """Write a copy whose units have the columns ``cell_type`` and ``cell_type_probability``, whole or not at all.

    Where the file has either of them, the two are ``spiketype_cell_type`` and ``spiketype_cell_type_probability``.

    Args:
        source: the .nwb file.
        columns: ``unit`` (ids as the reader gives them), ``certain``, ``call`` and ``probability``.
        out: the copy.

    Returns:
        The copy.

    Raises:
        UserError: `out` is `source`, other units, links that would not hold in the copy, damage, or the file has both
            pairs of columns.
    """
    if out.resolve() == source.resolve():
        raise UserError(f"{out} is the file itself, which stays as it is: choose another --out")
    with whole_file(out) as partial:
        shutil.copyfile(source, partial)
        with readable(source, "NWB to which columns can be added"), h5py.File(partial, "r+") as file:
            if out.resolve().parent != source.resolve().parent:
                _check_links(source, file, set())
            _add(source, file, columns)
    return out


def _add(source: Path, file: h5py.File, columns: Mapping[str, Shaped[np.ndarray, " unit"]]) -> None:
    table = _table(source, file)
    names = nwb_file.names(table["id"][()], _own_names(table))
    words, probability = called.aligned(source, columns, names.tolist())
    listed = [n.decode() if isinstance(n, bytes) else str(n) for n in np.ravel(table.attrs["colnames"]).tolist()]
    free = [p for p in PREFIXES if not {p + CALL, p + PROBABILITY} & {*listed, *table}]
    if not free:
        raise UserError(f"{source} has {PREFIXES[1] + CALL} already: give the file without it")
    texts = np.array(words, dtype=object)
    of_mean = table[MEAN].attrs
    for name, values, description in zip((CALL, PROBABILITY), (texts, probability), DESCRIPTIONS, strict=True):
        dtype = h5py.string_dtype() if values.dtype.kind == "O" else values.dtype
        column = table.create_dataset(free[0] + name, data=values, dtype=dtype, maxshape=(None,), chunks=True)
        column.attrs["description"] = description
        column.attrs["namespace"] = of_mean.get("namespace", "hdmf-common")  # "core" in files of the first schemas
        column.attrs["neurodata_type"] = "VectorData"
        column.attrs["object_id"] = str(uuid.uuid4())
        listed.append(free[0] + name)
    table.attrs["colnames"] = np.array(listed, dtype=h5py.string_dtype())


def _own_names(table: h5py.Group) -> np.ndarray | None:
    """Return the column of names, None if there is none that the reader takes."""
    column = table.get(nwb_file.OWN_NAME)
    if not isinstance(column, h5py.Dataset):
        return None
    if h5py.check_string_dtype(column.dtype):
        return np.asarray(column.asstr(errors="replace")[()])
    return np.asarray(column[()]) if column.dtype.kind in "biuf" else None


def _table(source: Path, file: h5py.File) -> h5py.Group:
    """Return the table of units that the reader reads: the first with mean waveforms."""
    tables = [file["units"]] if "units" in file else []
    tables += [table for module in file.get("processing", {}).values() for table in module.values()]
    for table in tables:
        if isinstance(table, h5py.Group) and MEAN in table and "id" in table and "colnames" in table.attrs:
            return table
    raise UserError(f"{source} has no table of units with {MEAN}, id and colnames: nothing can be written into it")


def _check_links(source: Path, group: h5py.Group, seen: set[str]) -> None:
    """Refuse links to files beside the source, which a copy in another folder would not find."""
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            if not Path(link.filename).is_absolute():
                raise UserError(f"{source} links to {link.filename} beside it: give an --out in the same folder")
        elif isinstance(link, h5py.HardLink) and isinstance(group[name], h5py.Group):
            place = f"{group.name}/{name}"
            if place not in seen:
                seen.add(place)
                _check_links(source, group[name], seen)
