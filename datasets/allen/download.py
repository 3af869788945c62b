"""Download the Allen Cell Types Database by allensdk's CellTypesCache, to a new folder or one that it has begun."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.error import HTTPError, URLError

import numpy as np

from spiketype.datasets.allen.database import CELLS, DETAILS, EPHYS, details, features
from spiketype.edge import UserError, progress, whole_file

if TYPE_CHECKING:
    from allensdk.core.cell_types_cache import CellTypesCache
    from allensdk.ephys.ephys_extractor import EphysSweepFeatureExtractor

MANIFEST = "manifest.json"
_NOT_AS_MEANT = (HTTPError, ValueError, KeyError, TypeError, AttributeError)
RECORDING = "specimen_{}/ephys.nwb"  # where CellTypesCache's own manifest has it


class Downloaded(NamedTuple):
    """How many recordings are in the folder, and (specimen, reason) of those that the database did not give."""

    recordings: int
    left_out: list[tuple[str, str]]


def tables(folder: Path) -> "CellTypesCache":
    """Download both tables of all cells, unless they are there, and return the open CellTypesCache.

    Raises:
        UserError: no network; an answer that is not a table of cells; allensdk is not installed.
    """
    sdk = allensdk()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        cache = sdk.cache(manifest_file=str(folder / MANIFEST))
    except OSError:
        raise
    except Exception as error:  # allensdk's own kinds: damaged, or of another version of it
        raise UserError(f"{folder / MANIFEST} is not usable ({error}): remove it and repeat the command") from error
    wanted = ((CELLS, cache.get_cells, details), (EPHYS, cache.get_ephys_features, features))
    with progress() as bar:
        for name, get, check in bar.track(wanted, description="tables"):
            try:
                _fetch(folder / name, get)
            except UserError:
                raise
            except _NOT_AS_MEANT as error:
                raise UserError(f"the database gave no table for {folder / name} ({error}): try again later") from error
            check(folder)
    return cache


def recordings(folder: Path, specimens: list[int]) -> Downloaded:
    """Download the NWB files of specimens; those that are there already are left as they are.

    Raises:
        UserError: no network; a full disk; allensdk is not installed.
    """
    cache, left_out = tables(folder), []
    with progress() as bar:
        for specimen in bar.track(specimens, description="recordings"):
            path = folder / RECORDING.format(specimen)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                _fetch(path, partial(cache.get_ephys_data, specimen))
            except UserError:
                raise
            except Exception as error:  # allensdk raises all kinds where the database lacks a file
                if getattr(error, "errno", None):  # but this is our disk
                    raise
                left_out.append((str(specimen), f"{type(error).__name__}: {error}"))
    return Downloaded(len(specimens) - len(left_out), left_out)


def _fetch(path: Path, get: Callable[..., object]) -> None:
    """Call get(file_name=...) for a file that is not there yet."""
    import requests  # with allensdk, an extra

    if path.exists():
        return
    try:
        with whole_file(path) as half:  # allensdk itself would take half a file for a whole one
            get(file_name=str(half))
    except HTTPError:
        raise
    except (URLError, ConnectionError, TimeoutError, requests.ConnectionError, requests.Timeout) as error:
        raise UserError(
            f"no network for {path} ({error}): connect and repeat the command, which keeps what is there; or take "
            f"{DETAILS} and {EPHYS} from elsewhere and put them into that folder"
        ) from error


class Sdk(NamedTuple):
    """The two classes of allensdk 2.16.2 that are used."""

    cache: "type[CellTypesCache]"
    extractor: "type[EphysSweepFeatureExtractor]"


def allensdk() -> Sdk:
    """Import allensdk.

    Raises:
        UserError: it is not installed.
    """
    if not hasattr(np, "VisibleDeprecationWarning"):  # allensdk imports it from where numpy 1 had it
        np.VisibleDeprecationWarning = np.exceptions.VisibleDeprecationWarning  # type: ignore[attr-defined]
    try:
        from allensdk.core.cell_types_cache import CellTypesCache
        from allensdk.ephys.ephys_extractor import EphysSweepFeatureExtractor
    except ImportError as error:
        raise UserError(
            f"this needs allensdk ({error}): in a clone uv sync --extra allen; elsewhere (uv) pip install"
            " 'spiketype[allen-deps]', and then (uv) pip install --no-deps allensdk==2.16.2"
        ) from error
    # It prints every address into the progress bar, and errors that are reported here.
    logging.getLogger("allensdk.api.api.retrieve_file_over_http").setLevel(logging.CRITICAL)
    return Sdk(CellTypesCache, EphysSweepFeatureExtractor)
