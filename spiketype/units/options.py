"""What the command line of `spiketype units` needs before anything heavy is loaded."""

from pathlib import Path

from spiketype.edge import UserError
from spiketype.tables import DELIMITERS, PARQUET

CERTAIN = 0.8  # probability of the likelier class below which there is no call


def check_certain(certain: float) -> None:
    """Refuse a probability that the likelier of two classes always has, or never.

    Raises:
        UserError: says which are possible.
    """
    if not 0.5 <= certain < 1:
        raise UserError(f"--certain is {certain:g}: it must be from 0.5 to below 1")


def beside(out: Path) -> tuple[Path, ...]:
    """Return the files that `spiketype.units.files.write` leaves for the table `out`."""
    text = out.suffix if out.suffix in DELIMITERS else ".csv"
    return tuple(out.with_suffix(suffix) for suffix in (text, PARQUET, ".png", ".svg", ".md"))
