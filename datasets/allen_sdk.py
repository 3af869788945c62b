"""allensdk, the Allen Institute's own library: an extra, imported only when its cache or its extractor is asked for."""

import logging
from typing import Any, NamedTuple

import numpy as np

from datasets.edge import UserError


class Sdk(NamedTuple):
    """What we use of allensdk 2.16.2: the classes CellTypesCache and EphysSweepFeatureExtractor."""

    cache: Any
    extractor: Any


def allensdk() -> Sdk:
    """Import it.

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
            f"this needs allensdk ({error}): uv sync --extra allen; or, with pip, pip install -e '.[allen-deps]' and "
            "then pip install --no-deps allensdk==2.16.2"
        ) from error
    # It prints every address into the progress bar, and errors that we tell.
    logging.getLogger("allensdk.api.api.retrieve_file_over_http").setLevel(logging.CRITICAL)
    return Sdk(CellTypesCache, EphysSweepFeatureExtractor)
