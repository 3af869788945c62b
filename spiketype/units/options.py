"""What the command line of `spiketype units` needs before anything heavy is loaded."""

from pathlib import Path

CERTAIN = 0.8  # probability of the likelier class below which there is no call
SUFFIXES = (".csv", ".parquet", ".png", ".md")


def beside(out: Path) -> tuple[Path, ...]:
    """Return the files that `spiketype.units.files.write` leaves for the table `out`."""
    return tuple(out.with_suffix(suffix) for suffix in SUFFIXES)
