"""The words of an .npy of Python objects, such as a column of pandas, by the text of its pickle: nothing is run."""

import pickletools
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from spiketype.damage import readable

TEXTS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
RECALLED, REMEMBERED = ("BINGET", "LONG_BINGET"), ("BINPUT", "LONG_BINPUT")
AROUND = ("MARK", "APPEND", "APPENDS", "FRAME")  # of the items of a list


def read(path: Path) -> Shaped[np.ndarray, " row"] | None:
    """Return the words of a list, "" for None and NaN; None where there is anything else in it.

    The list is the last of the array's pickle, as NumPy writes it; each of its items is a text, or one that was there
    before. Texts are numbered as the pickle's protocol has them.

    Raises:
        UserError: a damaged file.
    """
    with readable(path, ".npy"), open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in headers:
            return None
        shape, _, dtype = headers[version](file)
        words = _words(file.read()) if dtype.kind == "O" and len(shape) == 1 else None
    return None if words is None or len(words) != shape[0] else np.array(words, dtype=str)


def _words(pickled: bytes) -> list[str] | None:
    memo: dict[object, str | None] = {}
    last: str | None = None
    words: list[str] | None = None  # there is no list yet
    for code, argument, _ in pickletools.genops(pickled):
        name = code.name
        if name == "MEMOIZE" or name in REMEMBERED:
            memo[len(memo) if name == "MEMOIZE" else argument] = last
            continue
        last = str(argument) if name in TEXTS else memo.get(argument) if name in RECALLED else None
        if name == "EMPTY_LIST":
            words = []
        elif words is None or name in AROUND:
            continue
        elif last is not None:
            words.append(last)
        elif name == "NONE" or (name == "BINFLOAT" and str(argument) == "nan"):
            words.append("")
        else:
            return words if name == "TUPLE" else None  # the end of the list, or no text
    return None
