"""A share of a store's blocks, as a command line gives it."""

import re
from typing import NamedTuple

from spiketype.edge import UserError


class Share(NamedTuple):
    """The i-th of n shares of a store, i from 1 to n."""

    number: int = 1
    of: int = 1


WHOLE = Share()


def parse(text: str) -> Share:
    """Read ``i/n``.

    Raises:
        UserError: it is something else, or i is not from 1 to n.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UserError(
            f"--block-range is {text}: give i/n for the i-th of n shares, i from 1 to n, such as 1/8 or 8/8"
        )
    return Share(int(found[1]), int(found[2]))
