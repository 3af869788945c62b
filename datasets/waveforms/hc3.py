"""Spikes of Buzsaki-laboratory recordings as in CRCNS hc-3: .xml, .spk, .clu and .res files, and the table of cells.

For each electrode group K of session NAME: ``NAME.spk.K`` int16 (spike, time, channel), ``NAME.clu.K`` the number of
clusters and then the cluster of each spike, ``NAME.res.K`` the sample at which it is. ``NAME.xml`` says rate, channels
and samples. Clusters 0 and 1 are artefacts and spikes that were not sorted. Labels are in ``hc3-cell.csv``, in the
folder or the one above (Mizuseki et al., hc-3 documentation, CRCNS 2013, 10.6080/K09G5JRZ).
"""

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int, Int16

from spiketype.datasets.waveforms import histograms
from spiketype.datasets.waveforms.table import WaveformTable, build
from spiketype.edge import UserError

CELLS = "hc3-cell.csv"
CELL_COLUMNS = (
    *("id", "topdir", "animal", "ele", "clu", "region", "nexciting", "ninhibiting", "exciting", "inhibiting"),
    *("excited", "inhibited", "fireRate", "totalFireRate", "cellType"),
)
LABELS = ("pyr-int", "exc-inh", "region")
UNSORTED = 1  # clusters up to this one are not units


@dataclass(frozen=True)
class Group:
    """The spikes of one electrode group.

    Attributes:
        session: name of the recording.
        number: of the group.
        waveform: as recorded.
        cluster: of each spike.
        sample: at which it is, ascending.
        rate_kHz: of the recording.
    """

    session: str
    number: int
    waveform: Int16[np.ndarray, "spike channel time"]
    cluster: Int[np.ndarray, " spike"]
    sample: Int[np.ndarray, " spike"]
    rate_kHz: float


def load(path: Path, label: str | None) -> WaveformTable:
    """Read the sorted spikes of one recording, or of all recordings in a folder, with their units' histograms.

    Args:
        path: ``NAME.xml``, or a folder of them (each with its files beside it).
        label: ``pyr-int`` (the default), ``exc-inh`` or ``region``, by the table of cells; all unknown without one.

    Raises:
        UserError: files that are missing, cut off or of other lengths; recordings of several rates or shapes.
    """
    if label not in (None, *LABELS):
        raise UserError(f"{path} has no column {label!r}; it has {', '.join(LABELS)}")
    groups = [group for xml in (sorted(path.rglob("*.xml")) if path.is_dir() else [path]) for group in _groups(xml)]
    shapes = {(group.rate_kHz, *group.waveform.shape[1:]) for group in groups}
    if len(shapes) != 1:
        told = "; ".join(f"{rate:g} kHz, {channels} x {times}" for rate, channels, times in sorted(shapes))
        raise UserError(f"{path}: recordings of different rates or shapes are mixed ({told}): read each alone")
    left_out = sum(int((g.cluster <= UNSORTED).sum()) for g in groups)
    if left_out:
        print(f"{path}: {left_out} spikes of clusters 0 and 1 (artefacts, unsorted) are left out", file=sys.stderr)
    kept = [_sorted_spikes(group) for group in groups]
    session = np.concatenate([np.full(len(g.cluster), g.session) for g in kept])
    unit = np.concatenate([np.char.add(f"{g.number}.", g.cluster.astype(str)) for g in kept])
    if not len(unit):
        raise UserError(f"{path}: no spike belongs to a unit (clusters from 2 on)")
    cells = _cells(path)
    counts = [_histograms(group) for group in kept]
    return build(
        path,
        np.concatenate([g.waveform for g in kept]),
        groups[0].rate_kHz,
        None if cells is None else _labels(cells, session, unit, label or LABELS[0]),
        animal=_animals(cells, session),
        session=session,
        unit=unit,
        units="int16 as recorded",
        isi=np.concatenate([isi for isi, _ in counts]),
        autocorrelogram=np.concatenate([acg for _, acg in counts]),
    )


def _histograms(group: Group) -> tuple[np.ndarray, np.ndarray]:
    """Return both histograms (spike, bin) of the unit that each spike is of."""
    names, index = np.unique(group.cluster, return_inverse=True)
    isi, acg = histograms.histograms(group.sample / group.rate_kHz, group.cluster, names)
    return isi[index], acg[index]


def _sorted_spikes(group: Group) -> Group:
    keep = group.cluster > UNSORTED
    parts = {name: getattr(group, name)[keep] for name in ("waveform", "cluster", "sample")}
    return Group(group.session, group.number, **parts, rate_kHz=group.rate_kHz)


def _groups(xml: Path) -> Iterator[Group]:
    """Yield the electrode groups of a recording that have spikes."""
    rate_kHz, shapes = _shapes(xml)
    found = False
    for number, (channels, times) in enumerate(shapes, start=1):
        spk, clu, res = (xml.with_name(f"{xml.stem}.{kind}.{number}") for kind in ("spk", "clu", "res"))
        there = [file.exists() for file in (spk, clu, res)]
        if not any(there):  # hc-3 leaves out groups whose electrodes recorded no spike
            continue
        if not all(there):
            missing = [file.name for file, is_there in zip((spk, clu, res), there, strict=True) if not is_there]
            raise UserError(f"{xml.parent}: {', '.join(missing)} missing: a group of {xml.name} needs all three files")
        found = True
        cluster, sample = _integers(clu)[1:], _integers(res)
        waveform = _waveforms(spk, channels, times)
        lengths = {spk.name: len(waveform), clu.name: len(cluster), res.name: len(sample)}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} has {n}" for name, n in lengths.items())
            raise UserError(f"{xml.parent}: spikes of one group differ in number: {told}: one of the files is cut off")
        yield Group(xml.stem, number, waveform, cluster, sample, rate_kHz)
    if not found:
        raise UserError(f"{xml}: no group has files {xml.stem}.spk.N, .clu.N and .res.N beside it")


def _shapes(xml: Path) -> tuple[float, list[tuple[int, int]]]:
    """Read the sampling rate, and (channels, samples of a spike) of each electrode group."""
    try:
        root = ElementTree.parse(xml).getroot()
        rate = float(root.findtext("acquisitionSystem/samplingRate", "none")) / 1000
        groups = root.findall("spikeDetection/channelGroups/group")
        shapes = [(len(g.findall("channels/channel")), int(g.findtext("nSamples", "none"))) for g in groups]
    except FileNotFoundError:
        raise UserError(f"{xml} does not exist") from None
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"{xml} does not describe a recording ({error})") from None
    if not rate > 0 or not shapes or min(min(shape) for shape in shapes) < 1:
        raise UserError(f"{xml} has no sampling rate, or an electrode group without channels or samples")
    return rate, shapes


def _waveforms(spk: Path, channels: int, times: int) -> np.ndarray:
    content = spk.read_bytes()
    row = 2 * channels * times
    if not content or len(content) % row:
        raise UserError(
            f"{spk} has {len(content)} bytes, not a whole number of spikes of {row} bytes ({times} samples x {channels}"
            " channels of int16, by its .xml): it is cut off, or the .xml belongs to another recording"
        )
    return np.frombuffer(content, "<i2").reshape(-1, times, channels).swapaxes(1, 2)


def _integers(path: Path) -> np.ndarray:
    try:
        values = np.array(path.read_text("ascii").split(), np.int64)
    except (ValueError, OverflowError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a whole number a line ({error})") from None
    if not len(values):
        raise UserError(f"{path} is empty")
    return values


def _cells(path: Path) -> pd.DataFrame | None:
    """Read the table of cells, with or without a line of names, in the folder of `path` or the one above.

    Returns None if there is no table.
    """
    folder = path if path.is_dir() else path.parent
    file = next((f / CELLS for f in (folder, folder.parent) if (f / CELLS).is_file()), None)
    if file is None:
        return None
    try:
        table = pd.read_csv(file, header=None, names=list(CELL_COLUMNS), dtype=str).fillna("")
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise UserError(f"{file} cannot be read as a table of cells: {error}") from error
    table = table[table["id"] != CELL_COLUMNS[0]]
    table.index = table["topdir"] + "/" + table["ele"] + "." + table["clu"]
    if table.index.has_duplicates:
        raise UserError(f"{file}: cell {table.index[table.index.duplicated()][0]} occurs twice")
    return table


def _labels(cells: pd.DataFrame, session: np.ndarray, unit: np.ndarray, label: str) -> np.ndarray:
    """Return the class words of spikes; a session is of the folder whose name is the longest that begins its own."""
    folder = {s: _folder(cells, s) for s in np.unique(session).tolist()}
    key = [f"{folder[s]}/{u}" for s, u in zip(session.tolist(), unit.tolist(), strict=True)]
    found = cells.reindex(key).fillna("")
    if label == "region":
        return np.asarray(found["region"].to_numpy(str))
    if label == "pyr-int":
        types = found["cellType"].map({"p": "pyramidal", "i": "interneuron"}).fillna("unknown")
        return np.asarray(types.to_numpy(str))
    excites, inhibits = (found[name].isin(["", "0"]).to_numpy() for name in ("nexciting", "ninhibiting"))
    return np.select([~excites & inhibits, excites & ~inhibits], ["excitatory", "inhibitory"], "unknown")


def _folder(cells: pd.DataFrame, session: str) -> str:
    return max((name for name in cells["topdir"].unique() if session.startswith(name)), key=len, default="")


def _animals(cells: pd.DataFrame | None, session: np.ndarray) -> np.ndarray:
    """Return the animal of each spike: by the table, else the part of the session's name before the dot."""
    before = np.char.partition(session, ".")[:, 0]
    if cells is None:
        return before
    by_folder = dict(zip(cells["topdir"], cells["animal"], strict=True))
    known = {s: by_folder.get(_folder(cells, s), s.partition(".")[0]) for s in np.unique(session).tolist()}
    return np.array([known[s] for s in session.tolist()])
