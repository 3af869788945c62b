"""What is checked of the arrays of a store that were read: that they fit together, and that no value is missing."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Shaped

from spiketype.edge import UserError
from spiketype.location import Location

FILL = {"f": np.nan, "i": -1}  # by kind of dtype: a chunk that was never written must not look like data


def check_together(
    path: Location,
    arrays: Mapping[str, Shaped[np.ndarray, "..."]],
    dimensions: Mapping[str, tuple[str, ...]],
    words: Sequence[str] = (),
    indices: Mapping[str, str] | None = None,
) -> None:
    """Refuse arrays of a store that do not fit together.

    Args:
        path: of the store.
        arrays: what was read.
        dimensions: of each array.
        words: arrays that hold text; all others hold numbers.
        indices: arrays that number a dimension.

    Raises:
        UserError: another number of dimensions, one of two lengths, or an index beyond it; text for numbers.
    """
    sizes: dict[str, int] = {}
    for name, dims in dimensions.items():
        array = arrays[name]
        lengths = zip(dims, array.shape, strict=False)
        if array.ndim != len(dims) or any(sizes.setdefault(dim, length) != length for dim, length in lengths):
            raise UserError(
                f"{path}/{name} has shape {array.shape}, not ({', '.join(dims)}) as in its other arrays: delete the"
                " store and make it again"
            )
        if array.dtype.kind not in ("UTO" if name in words else "fiub"):
            kind = "words" if name in words else "numbers"
            raise UserError(f"{path}/{name} holds {array.dtype}, not {kind}: delete the store and make it again")
    for name, dim in (indices or {}).items():
        index = arrays[name]
        if index.dtype.kind not in "iu" or (index.size and not 0 <= index.min() <= index.max() < sizes[dim]):
            raise UserError(f"{path}/{name} numbers a {dim} that is not there: delete the store and make it again")


def check_values(
    values: Shaped[np.ndarray, "..."],
    where: str,
    first: int = 0,
    unknown: bool = False,
    remedy: str = "delete the store and make it again",
) -> None:
    """Refuse NaN, infinities and missing integers, which are -1 unless `unknown`.

    Args:
        values: (sample, ...).
        where: what the message calls the array.
        first: number of the first sample.
        unknown: -1 is a value.
        remedy: what the message advises.

    Raises:
        UserError: names the first sample that is bad.
    """
    missing = None if unknown else FILL.get(values.dtype.kind)
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values)
    elif missing is not None:
        bad = values == missing
    else:
        return
    if bad.any():
        row = int(np.flatnonzero(bad.reshape(len(values), -1).any(axis=1))[0])
        what = "not finite" if values.dtype.kind == "f" else "missing"
        raise UserError(f"{where}: sample {first + row} is {what}; {remedy}")
