"""Name the type of the units of any recording: ``spiketype units PATH``, with the model that is shipped."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from tyro.conf import Positional, UseAppendAction, arg

from spiketype import parsing, reading
from spiketype.datasets.options import CallFormat
from spiketype.edge import UserError, absent, check_out, guard, importing
from spiketype.tables import check_ending, show
from spiketype.units.options import CERTAIN, beside, check_certain

if TYPE_CHECKING:
    from spiketype.units.call import UnitCalls


def main(
    path: Annotated[Path, Positional, arg(metavar="PATH")],
    out: Annotated[Path | None, arg(metavar="FILE")] = None,
    certain: float = CERTAIN,
    share: Annotated[float | None, arg(metavar="SHARE")] = None,
    rate_kHz: Annotated[float | None, arg(name="rate-khz", metavar="KHZ")] = None,
    flip: Annotated[bool, arg(name="flip")] = False,
    write: UseAppendAction[tuple[CallFormat, ...]] = (),
    force: Annotated[bool, arg(name="force")] = False,
) -> None:
    """Call each unit of a recording excitatory or inhibitory, without labels or training of your own.

    Writes a table as text and as Parquet (FILE.csv, FILE.parquet), a picture (FILE.png, FILE.svg), and FILE.md with
    text for the methods section; into a phy folder also cluster_spiketype.tsv and cluster_spiketype_probability.tsv,
    which phy shows at its next start.
    With --write, calls go into a copy of an .nwb file or of CellExplorer's cell metrics, or into the analyzer, too.

    Args:
        path: Sorted units: a phy folder, a SpikeInterface analyzer, CellExplorer's cell metrics (.mat), .nwb, .npz,
            .npy, .csv, a Zarr group, an EAP store.
        out: The table (.csv, or .tsv separated by tabs; .parquet is written beside it); by default NAME.units.csv in
            this folder.
        certain: Probability of the likelier class below which there is no call.
        share: Share of excitatory units, if you know it; by default both classes are taken to be as frequent.
        rate_kHz: Sampling rate of the data, if they do not say it.
        flip: The waveforms are stored upside down.
        write: Write the calls in the format of the data, too: nwb or cellexplorer (a copy beside FILE, called
            NAME.spiketype with the ending of the file), analyzer (properties of its units, in place).
        force: Replace files that exist.
    """
    check_certain(certain)
    out = out or Path(f"{path.resolve().stem}.units.csv")
    names = beside(out)
    _check(path, out, names, force)
    with importing():  # takes seconds
        from spiketype.datasets import waveforms
        from spiketype.datasets.waveforms import phy, phy_writer, writers
        from spiketype.units import call, files, model
    into = [writers.writer(path, wanted, out.resolve().parent, force) for wanted in dict.fromkeys(write)]
    to_phy = phy_writer.places(path, out, force) if phy.is_phy(path) else None
    with reading.recorded() as read:
        table = waveforms.load(path, None, rate_kHz, flip)
    classifier = model.load()
    found = call.call(table, classifier, certain, share)
    for note in found.notes:
        reading.note(path, note)
    _show(found)
    files.write(
        names, found, table, classifier, read.to_json() | {"recording": found.facts, "notes_of_calls": found.notes}
    )
    print(f"{', '.join(map(str, names))}")
    if to_phy is not None:
        phy_writer.write(to_phy, found.columns)
        print(", ".join(map(str, to_phy)))
    for writer in into:
        print(writer.write(path, found.columns, writer.out))


def _check(path: Path, out: Path, names: Sequence[Path], force: bool) -> None:
    """Refuse a table that cannot be written, would replace the data, or other files without ``--force``."""
    check_ending(out)
    if path.resolve() in [name.resolve() for name in names]:
        raise UserError(f"--out {out} would replace {path}, the data themselves: choose another file")
    taken = [name for name in names if name.exists()]
    if taken and not force:
        raise UserError(f"{taken[0]} exists: choose another --out, or give --force to replace it")
    if not out.resolve().parent.is_dir():
        raise UserError(f"--out {out}: {out.parent} is no folder")
    check_out(out)
    if not path.exists():
        raise UserError(absent(path))


def _show(found: "UnitCalls") -> None:
    """Print the first rows, the counts, and what the numbers are worth."""
    show({name: found.columns[name] for name in ("unit", "call", "probability", "trough_to_peak_ms", "reason")})
    names, counts = np.unique(found.columns["call"], return_counts=True)
    print(", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True)))


def command_line(arguments: Sequence[str] | None = None, prog: str = "spiketype units") -> None:
    """Run `main` with the arguments given, by default the program's own."""
    with guard():
        parsing.run(main, arguments, prog)


if __name__ == "__main__":
    command_line()
