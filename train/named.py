"""Names in a run folder of what comes of other data: of two inputs of one name, each has its own."""

from pathlib import Path

from spiketype.edge import Json, UserError, read_json, write_json
from spiketype.location import Location

NAMES = "names.json"  # in a run folder: the name of each table and folder, and the data that it is of


def name(run: Path, before: str, data: Location, after: str = "") -> str:
    """Return the name of what comes of some data: with as many of the folders above them as make it no other's.

    Args:
        run: the run folder.
        before, after: what the name begins and ends with, such as "predictions-" and ".csv".
        data: the input.

    Raises:
        UserError: there are others of all these names.
    """
    whole, known = str(data.absolute()), _known(run)
    above = [part for part in whole.split("/")[:-1] if part]
    for many in range(len(above) + 1):
        found = f"{before}{'-'.join([*above[len(above) - many :], data.stem])}{after}"
        if known.get(found) == whole or not (run / found).exists():
            return found
    raise UserError(f"{run} has {before}...{after} of all names for {data}: rename the data")


def keep(run: Path, found: str, data: Location) -> None:
    """Note whose a name is."""
    write_json(run / NAMES, {**_known(run), found: str(data.absolute())})


def _known(run: Path) -> Json:
    path = run / NAMES
    return read_json(path, f"{path} is damaged: remove it") if path.exists() else {}
