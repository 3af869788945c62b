"""What a curator, by hand or by program, says of units: noise is left out, multi-unit activity is told."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Shaped

# Of phy; of AllenSDK, SpikeInterface and others; of Bombcell, by itself and in SpikeInterface; of UnitRefine.
COLUMNS = ("group", "quality", "bc_unitType", "bombcell_label", "unitrefine_label")
NOISE, MULTI_UNIT = "noise", ("mua", "multi", "multi-unit", "multiunit")
NO_UNIT = (NOISE, "artifact", "artefact")  # "artifact" is among the words that SpikeInterface's curation offers


def is_noise(words: Shaped[np.ndarray, " unit"]) -> Bool[np.ndarray, " unit"]:
    """Return which units a column of words calls noise or an artifact; a column of numbers calls none so."""
    return np.array([word in NO_UNIT for word in _lower(words)], bool)


def multi_unit(words: Shaped[np.ndarray, " unit"]) -> int:
    """Return how many units a column of words calls multi-unit activity."""
    return sum(word in MULTI_UNIT for word in _lower(words))


def reasons(
    columns: Mapping[str, Shaped[np.ndarray, " unit"]],
) -> tuple[dict[str, Bool[np.ndarray, " unit"]], list[str]]:
    """Return which units are left out, by the reason, and what else there is to tell.

    Args:
        columns: of curation, by name.
    """
    noise = {f"{NOISE}, by {name}": is_noise(words) for name, words in columns.items()}
    counts = {name: multi_unit(words) for name, words in columns.items()}
    return noise, [f"{count} units are multi-unit activity, by {name}" for name, count in counts.items() if count]


def _lower(words: np.ndarray) -> list[str]:
    values = words.tolist() if words.dtype.kind in "USTO" else []
    decoded = [word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in values]
    return [word.strip().lower() for word in decoded] or [""] * len(words)
