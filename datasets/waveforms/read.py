"""Waveforms of units in any known format: one call that picks the reader."""

from dataclasses import replace
from pathlib import Path

from spiketype import reading
from spiketype.damage import readable
from spiketype.datasets.waveforms import (
    analyzer,
    analyzer_files,
    archive,
    cellexplorer,
    csv_table,
    eap,
    hc3,
    matlab,
    npz,
    nwb,
    phy,
    stream,
    zarr_group,
)
from spiketype.datasets.waveforms.table import POSITIVE, WaveformTable
from spiketype.edge import Json, UserError, absent

RAW = (".dat", ".bin")  # recordings
PARTS = ("params.py", "spikeinterface_info.json", "templates.npy", "spike_clusters.npy")  # of a sorting
SAME = 1e-5  # share by which two sampling rates may differ

__all__ = ["WaveformTable", "load"]


def load(path: Path, label: str | None = None, rate_kHz: float | None = None, flip: bool = False) -> WaveformTable:
    """Read a table of waveforms, and say what was read.

    Args:
        path: an .npz file or a Zarr group with ``waveform`` and columns, as a .zip too; an .npy, .csv or .mat table;
            CellExplorer's ``NAME.cell_metrics.cellinfo.mat``; an EAP store; ``NAME.dat`` or a folder of such streams;
            ``NAME.xml`` or a folder of hc-3 sessions; the folder of a SpikeInterface analyzer or of phy; ``NAME.nwb``
            or a folder of such files.
        label: the column of classes; each reader says which it knows.
        rate_kHz: sampling rate, for sources that do not say it.
        flip: multiply waveforms by -1, for sources that store them upside down.

    Raises:
        UserError: an unrecognised format, or whatever the reader refuses.
    """
    table = _load(path, label, rate_kHz)
    if flip:
        table = replace(table, waveform=-table.waveform)
    facts = table.summary() | {"flipped": flip}
    reading.found(path, facts, _sentence(facts))
    if rate_kHz is not None and abs(table.rate_kHz / rate_kHz - 1) > SAME:
        reading.note(path, f"says {table.rate_kHz:g} kHz, so --rate-khz {rate_kHz:g} is not used")
    if not flip and table.positive > POSITIVE:
        reading.note(
            path,
            f"{facts['positive_first_percent']:.0f} % of the {table.level}s are positive first: if they"
            " are upside down, give --flip",
        )
    return table


def _sentence(facts: Json) -> str:
    """Return what was read in one line."""
    groups = {"units": "units", "animals": f"{facts['group']}s", "sessions": "sessions"}
    if facts["group"] != "animal":
        del groups["sessions"]  # which are the same, or of which a simulation has none
    counts = [_count(facts[name], word) for name, word in groups.items() if facts[name] is not None]
    rows = f"{facts['rows']} spikes of " if facts["level"] == "spike" else ""
    classes = ", ".join(f"{name} {count}" for name, count in facts["classes"].items()) or "no labels"
    return (
        f"{facts['producer']}, {rows}{', '.join(counts)};"
        f" {_count(facts['channels'], 'channels')} x {facts['times']} times at {facts['rate_kHz']:g} kHz,"
        f" {facts['in_units']},"
        f" {facts['positive_first_percent']:g} % positive first{', flipped' * facts['flipped']}; {classes}"
        + f"; {facts['without_label']} without a label" * bool(facts["classes"] and facts["without_label"])
        + f"; {_count(facts['left_out'], 'rows')} left out" * bool(facts["left_out"])
    )


def _count(number: int, names: str) -> str:
    return f"{number} {names.removesuffix('s') if number == 1 else names}"


def _load(path: Path, label: str | None, rate_kHz: float | None) -> WaveformTable:
    """Pick the reader of a path."""
    if not path.exists():
        raise UserError(absent(path))
    with readable(path, "a Zarr group"):  # their names for what is damaged
        is_store, is_analyzer = (path.is_dir() and found(path) for found in (eap.is_store, analyzer_files.is_analyzer))
    if is_store:
        return eap.load(path, label)
    if is_analyzer:
        return analyzer.load(path, label)
    if phy.is_phy(path):
        return phy.load(path, label)
    if path.is_file() and (found := _file(path, label, rate_kHz)) is not None:
        return found
    if nwb.is_nwb(path):
        return nwb.load(path, label, rate_kHz)
    if path.is_dir() and zarr_group.is_group(path):
        return zarr_group.load(path, label, rate_kHz)
    if hc3.is_hc3(path):  # before streams: such folders hold NAME.dat beside NAME.xml
        return hc3.load(path, label)
    if stream.is_stream(path):
        return stream.load(path, label, rate_kHz)
    _refuse_recording(path)
    if (path / "params.json").is_file() and (path / "waveforms").is_dir():
        raise UserError(
            f"{path} holds waveforms of SpikeInterface 0.100 or before: run python scripts/export_units.py {path}"
            " units.npz where SpikeInterface 0.101 or later is installed, and give units.npz"
        )
    raise UserError(
        f"{path} is of an unrecognised format: give an .npz file, a Zarr group, an .npy, .csv or .mat table, a .zip of"
        " one of these, CellExplorer's cell metrics (.mat), NWB (.nwb) or a folder of it, an EAP store, an int16 stream"
        " (.dat) or a folder of them, the .xml of an hc-3 session or a folder of them, or the folder of a"
        " SpikeInterface analyzer or of phy"
    )


def _refuse_recording(path: Path) -> None:
    """Refuse a recording, or one of the files of a sorting, with the folder to give in its place.

    Raises:
        UserError: it is one of these.
    """
    folder = path if path.is_dir() else path.parent
    if path.name in PARTS:
        raise UserError(f"{path} is one of the files of a sorting: give the folder that it is in, {folder}")
    near = [folder, *(each for each in sorted(folder.iterdir()) if each.is_dir())]
    sorted_here = [str(each) for each in near if phy.is_phy(each) or analyzer_files.is_analyzer(each)]
    if path.suffix in RAW or (path.is_dir() and any(each.suffix in RAW for each in path.iterdir())):
        found = f"such as {reading.shortened(sorted_here)}" if sorted_here else "as phy or SpikeInterface write it"
        raise UserError(
            f"{path} is a recording, and holds no sorted units (a stream of spikes has NAME{stream.PARAMETERS} beside"
            f" it): give the folder of its sorting, {found}"
        )
    if path.is_dir() and sorted_here:
        raise UserError(f"{path} has sorted units in folders inside it: give one of them, such as {sorted_here[0]}")


def _file(path: Path, label: str | None, rate_kHz: float | None) -> WaveformTable | None:
    """Read a file that holds a table by itself; None if it is of no such format."""
    if cellexplorer.is_metrics(path):
        return cellexplorer.load(path, label, rate_kHz)
    suffix = path.suffix.lower()
    if suffix == ".zip":
        return archive.load(path, label, rate_kHz, _load)
    readers = {".npz": npz.load, ".npy": npz.load, ".csv": csv_table.load, ".mat": matlab.load}
    return readers[suffix](path, label, rate_kHz) if suffix in readers else None
