"""Calls of units as properties of a SpikeInterface analyzer, in place: `sorting_analyzer.sorting.get_property`.

Two arrays are added to the analyzer's own, and nothing else changes but Zarr's list of all arrays (``.zmetadata``),
without which SpikeInterface does not see them.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import zarr
from jaxtyping import Shaped

from spiketype.datasets.waveforms import called
from spiketype.datasets.waveforms.phy_writer import CALL, PROBABILITY
from spiketype.edge import Json, UserError, read_json, whole_file

PROPERTIES = Path("sorting", "properties")
UNITS = Path("sorting", "numpysorting_info.json")
LISTED = ".zmetadata"


def existing(path: Path) -> list[Path]:
    """Return the properties of an earlier call."""
    files = [path / PROPERTIES / f"{name}{end}" for name in (CALL, PROBABILITY) for end in ("", ".npy")]
    return [file for file in files if file.exists()]


def check(path: Path) -> None:
    """Refuse an analyzer to which nothing can be added.

    Raises:
        UserError: no permission to write, or Zarr's format 3.
    """
    if (path / "zarr.json").exists():
        raise UserError(f"{path} is in Zarr's format 3, to which no properties are written: take them from the table")
    closed = [p for p in (path, path / PROPERTIES) if p.exists() and not os.access(p, os.W_OK)]
    if closed:
        raise UserError(f"{closed[0]} cannot be written: leave out --write, and take the calls from the table")


def write(source: Path, columns: Mapping[str, Shaped[np.ndarray, " unit"]], out: Path) -> Path:
    """Add the properties ``spiketype`` and ``spiketype_probability``, or replace those of an earlier call.

    Args:
        source: the analyzer, a folder or a Zarr group.
        columns: ``unit`` (ids), ``certain``, ``call`` and ``probability``.
        out: the same path.

    Returns:
        The path.

    Raises:
        UserError: `out` is another path, other units, or what `check` refuses.
    """
    if out.resolve() != source.resolve():
        raise UserError(f"{out} is not {source}: properties are added to the analyzer itself")
    check(source)
    is_folder = (source / UNITS).exists()
    ids = _of_json(source) if is_folder else _of_zarr(source)
    words, probability = called.aligned(source, columns, [str(one) for one in ids])
    values = {CALL: np.array(words, dtype=str), PROBABILITY: probability}
    if is_folder:
        _write_folder(source / PROPERTIES, values)
    else:
        _write_zarr(source, values)
    return out


def _of_json(source: Path) -> list[object]:
    ids: list[object] = read_json(source / UNITS, f"{source} is damaged: copy it again")["unit_ids"]
    return ids


def _of_zarr(source: Path) -> list[object]:
    ids: list[object] = np.asarray(zarr.open_array(source / "sorting" / "unit_ids", mode="r")[...]).tolist()
    return ids


def _write_folder(place: Path, values: Mapping[str, np.ndarray]) -> None:
    place.mkdir(exist_ok=True)
    for name, array in values.items():
        with whole_file(place / f"{name}.npy") as partial, open(partial, "wb") as file:
            np.save(file, array, allow_pickle=False)


def _write_zarr(source: Path, values: Mapping[str, np.ndarray]) -> None:
    """Write each array beside its place and move it there, and list both."""
    otherwise = f"{source} is damaged: save it again with analyzer.save_as"
    if not (source / PROPERTIES / ".zgroup").exists():
        raise UserError(f"{otherwise} (it has no {PROPERTIES.as_posix()})")
    listed = read_json(source / LISTED, otherwise) if (source / LISTED).exists() else None
    entries: Json = {}
    for name, array in values.items():
        place = source / PROPERTIES / name
        partial = place.with_name(f".{name}.{os.getpid()}.partial")
        try:
            zarr.create_array(partial, data=array, chunks=array.shape, zarr_format=2, compressors=None, filters=None)
            if place.exists():
                shutil.rmtree(place)
            os.replace(partial, place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        for file in (".zarray", ".zattrs"):
            if (place / file).exists():
                entries[(PROPERTIES / name / file).as_posix()] = json.loads((place / file).read_bytes())
    if listed is not None:
        with whole_file(source / LISTED) as partial:
            partial.write_text(json.dumps(listed | {"metadata": listed["metadata"] | entries}, indent=4))
