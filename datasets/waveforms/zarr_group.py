"""Tables of waveforms in Zarr groups: stores of xarray, decoded by it, and groups of arrays of unnamed dimensions."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from xarray.backends import ZarrStore

from spiketype.damage import readable
from spiketype.datasets import zarr_arrays
from spiketype.datasets.waveforms import columns
from spiketype.datasets.waveforms.columns import WAVEFORM, Column
from spiketype.datasets.waveforms.table import WaveformTable

KIND = "a Zarr group"
XARRAY_2 = "_ARRAY_DIMENSIONS"  # where Zarr 2 keeps names of dimensions
UNNAMED = "__xarray_dataarray_variable__"  # what xarray calls a DataArray without a name


def is_group(path: Path) -> bool:
    """Say whether a folder is a Zarr group."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup"))


def load(path: Path, label: str | None, rate_kHz: float | None) -> WaveformTable:
    """Read ``waveform`` and the columns beside it; packed values, units and dimensions as their attributes say.

    Args:
        path: the folder of the group.
        label: the column of classes; by default ``label`` where there is one.
        rate_kHz: sampling rate, for a group that does not say it in an array or an attribute.

    Raises:
        UserError: a damaged group, or what `columns.table` refuses.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Zarr about types of text that its format 3 does not know yet
        with readable(path, KIND):
            group = zarr.open_group(path, mode="r")
            arrays = zarr_arrays.arrays(group, path)
            about: Mapping[str, object] = dict(group.attrs)
            named = all(_dims(array) is not None for array in arrays.values())
            # What a Zarr 2 array is filled with masks it, as xarray means it; 0, the library's default, masks nothing.
            by_fill = {
                fill: ZarrStore.open_group(path, mode="r", consolidated=False, use_zarr_fill_value_as_mask=mask)
                for fill, mask in ((True, None), (False, False))
            }
        stored_as = {name: name for name in arrays}
        if UNNAMED in arrays and WAVEFORM not in arrays:
            stored_as[WAVEFORM] = stored_as.pop(UNNAMED)

        def read(name: str) -> Column:
            array = arrays[stored_as[name]]
            with readable(f"{path}, array {name!r},", KIND):
                zarr_arrays.check(array, f"{path}, array {name!r},")
                fills = array.metadata.zarr_format == 3 or bool(array.fill_value)
                return _by_xarray(by_fill[fills], stored_as[name]) if named else _decoded(name, array)

        found = columns.Columns(stored_as, read)
        return columns.table(path, found, label, rate_kHz, about, producer="xarray's Zarr" if named else "Zarr group")


def _dims(array: zarr.Array) -> tuple[str, ...] | None:  # type: ignore[type-arg]  # of any metadata
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get(XARRAY_2)
    if not isinstance(names, list | tuple):
        return () if array.ndim == 0 else None
    return tuple(map(str, names)) if len(names) == array.ndim and None not in names else None


def _by_xarray(store: ZarrStore, name: str) -> Column:
    """Return an array decoded as xarray's open_dataset does; that would read the coordinates of all others, too."""
    stored = store.open_store_variable(name)  # type: ignore[no-untyped-call]
    return _column(xr.conventions.decode_cf_variable(name, stored, decode_times=False, decode_timedelta=False))


def _decoded(name: str, array: zarr.Array) -> Column:  # type: ignore[type-arg]
    """Return an array decoded by the same rules as those of xarray's stores, its dimensions named or not."""
    dims = _dims(array)
    attrs = {k: v for k, v in array.attrs.items() if k != XARRAY_2}
    stored = xr.Variable(dims or [f"dim_{k}" for k in range(array.ndim)], np.asarray(array[...]), attrs)
    found = _column(xr.conventions.decode_cf_variable(name, stored, mask_and_scale=True, decode_times=False))
    return Column(found.values, dims, found.attrs)


def _column(variable: xr.Variable) -> Column:
    return Column(np.asarray(variable.values), tuple(map(str, variable.dims)), variable.attrs)
