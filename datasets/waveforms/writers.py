"""Formats into which calls of units are written, and what is checked before any work."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spiketype.datasets.options import CallFormat
from spiketype.datasets.waveforms import analyzer_files, analyzer_writer, cellexplorer, nwb
from spiketype.edge import UserError, absent

MARK = ".spiketype"  # in the name of a copy


class Writer(NamedTuple):
    """What writes the calls of an input.

    Attributes:
        write: takes the input, the columns of the calls, and `out`.
        out: a copy, or the input itself where something is added to it.
    """

    write: Callable[[Path, Mapping[str, np.ndarray], Path], Path]
    out: Path


def writer(path: Path, wanted: CallFormat, folder: Path, force: bool) -> Writer:
    """Return what writes calls of a path's units in a format, checked before there are any.

    Args:
        path: the input.
        wanted: its format, such as "nwb" for an .nwb file.
        folder: for copies.
        force: replace what an earlier call wrote.

    Raises:
        UserError: the format is not that of the path, a file is there already, or the path cannot be written.
    """
    if not path.exists():
        raise UserError(absent(path))
    if wanted == "analyzer":
        if not (path.is_dir() and analyzer_files.is_analyzer(path)):
            raise _unfit(path, wanted, "a SpikeInterface analyzer")
        analyzer_writer.check(path)
        _check_free(analyzer_writer.existing(path), force)
        return Writer(analyzer_writer.write, path)
    if wanted == "nwb":
        if not (path.is_file() and nwb.is_nwb(path)):
            raise _unfit(path, wanted, "an .nwb file")
        from spiketype.datasets.waveforms import nwb_writer  # here, like the other: h5py is not needed to read

        found = Writer(nwb_writer.write, folder / f"{path.stem}{MARK}{path.suffix}")
    else:
        if not (path.is_file() and cellexplorer.is_metrics(path)):
            raise _unfit(path, wanted, "CellExplorer's NAME.cell_metrics.cellinfo.mat")
        from spiketype.datasets.waveforms import cellexplorer_writer

        name, dot, rest = path.name.partition(f".{cellexplorer.METRICS}")
        copy = f"{name}{MARK}{dot}{rest}" if dot else f"{path.stem}{MARK}{path.suffix}"
        found = Writer(cellexplorer_writer.write, folder / copy)
    _check_free([found.out] if found.out.exists() else [], force)
    return found


def _unfit(path: Path, wanted: str, what: str) -> UserError:
    return UserError(f"--write {wanted} needs {what}, {path} is none: leave it out, the table of --out has all calls")


def _check_free(taken: list[Path], force: bool) -> None:
    if taken and not force:
        raise UserError(f"{taken[0]} exists: give --force to replace it")
