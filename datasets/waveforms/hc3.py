"""Spikes of Buzsaki-laboratory recordings as in CRCNS hc-3: .xml, .spk, .clu and .res files, and the tables.

For each electrode group K of session NAME: ``NAME.spk.K`` int16 or int32 (spike, time, channel), ``NAME.clu.K`` the
number of clusters and then the cluster of each spike, ``NAME.res.K`` the sample at which it is. ``NAME.xml`` says rate,
channels, samples and bits, and perhaps ``voltageRange`` and ``amplification``, by which a step is so many uV. Clusters
0 and 1 are artefacts and spikes that were not sorted.

The layout is ``topdir/session/session.xml``. The sessions of a top directory were sorted together, so a cell is a
cluster of a group of a topdir. Which topdir a session is of, and animal and labels of its cells, stand in the tables
(`hc3_tables`); names of sessions and topdirs are unrelated (Mizuseki et al., hc-3 documentation, CRCNS 2013,
10.6080/K09G5JRZ).
"""

import os
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Integer

from spiketype import reading
from spiketype.damage import readable
from spiketype.datasets.waveforms import histograms
from spiketype.datasets.waveforms.hc3_tables import (
    CELLS,
    LABELS,
    SESSIONS,
    Session,
    Tables,
    pair,
    read_tables,
    some,
    table_file,
)
from spiketype.datasets.waveforms.table import WaveformTable, build
from spiketype.edge import UserError, absent

UNSORTED = 1  # clusters up to this one are not units
LEAST_SAMPLES = 3
LEAST_UV, MOST_UV = 1e-7, 1e4  # of a step: beyond, voltageRange or amplification is not what it is called
FILES = ("spk", "clu", "res")
PRODUCER = "Neuroscope and Klusters"
DTYPES = {12: "<i2", 14: "<i2", 16: "<i2", 32: "<i4"}  # of the samples, by nBits: as Klusters has them


@dataclass(frozen=True)
class Recorded:
    """What an .xml says of a recording.

    Attributes:
        rate_kHz: of the samples.
        dtype: of the samples.
        step_uV: of one of them; None if the .xml does not say.
        shapes: channels and samples of a spike, or None, of each electrode group.
    """

    rate_kHz: float
    dtype: str
    step_uV: float | None
    shapes: list[tuple[int, int | None]]


@dataclass(frozen=True)
class Group:
    """The spikes of one electrode group.

    Attributes:
        xml: of its recording.
        session: in which they were recorded.
        number: of the group.
        waveform: as recorded.
        cluster: of each spike.
        sample: at which it is.
        recorded: the recording.
    """

    xml: Path
    session: Session
    number: int
    waveform: Integer[np.ndarray, "spike channel time"]
    cluster: Int[np.ndarray, " spike"]
    sample: Int[np.ndarray, " spike"]
    recorded: Recorded

    @property
    def shape(self) -> tuple[float, int, int]:
        """Rate, channels and samples, which are the same in all groups of a table."""
        _, channels, times = self.waveform.shape
        return self.recorded.rate_kHz, channels, times

    @property
    def name(self) -> str:
        """Of the group, for messages."""
        return f"{self.session.topdir}/{self.session.name}, group {self.number}"

    def take(self, keep: np.ndarray) -> "Group":
        """Return the group with the spikes of a mask."""
        return replace(self, waveform=self.waveform[keep], cluster=self.cluster[keep], sample=self.sample[keep])


def is_hc3(path: Path) -> bool:
    """Say whether a path is an .xml file, or a folder with a session at any depth."""
    if not path.is_dir():
        return path.suffix == ".xml"
    return any(_numbers(xml) for xml in path.rglob("*.xml") if not _hidden(xml, path))


def load(path: Path, label: str | None) -> WaveformTable:
    """Read the sorted spikes of one recording, or of all recordings in a folder, with their units' histograms.

    What cannot be read is left out, and listed on stderr with the reason.

    Args:
        path: ``NAME.xml`` (with its files beside it), or the folder of a session, of a topdir or of all.
        label: ``pyr-int`` (the default), ``exc-inh`` or ``region``, by the table of cells; all unknown without one.

    Raises:
        UserError: nothing can be read; a table that cannot.
    """
    if label not in (None, *LABELS):
        raise UserError(f"{path} has no column {label!r}; it has {', '.join(LABELS)}")
    notes: list[str] = []
    left_out: list[str] = []
    groups = [group for xml, session in _sessions(path, notes, left_out) for group in _groups(xml, session, left_out)]
    if not groups:
        raise UserError(_nothing(path, left_out))
    kept = [group.take(group.cluster > UNSORTED) for group in groups]
    unsorted = sum(len(a.cluster) - len(b.cluster) for a, b in zip(groups, kept, strict=True))
    if unsorted:
        notes.append(f"{unsorted} spikes of clusters 0 and 1 (artefacts, unsorted) are left out")
    kept = _of_one_shape([group for group in kept if len(group.cluster)], left_out)
    counts = _histograms(kept)  # before spikes are left out: they are times of the unit all the same
    kept = [_not_constant(group, left_out) for group in kept]
    if not sum(len(group.cluster) for group in kept):
        raise UserError(f"{path}: no spike belongs to a unit (clusters from 2 on)")
    table = _table(path, kept, counts, label or LABELS[0], notes)
    for note in notes:
        reading.note(path, note)
    if left_out:
        reading.note(path, "\n".join([f"left out, {len(left_out)}:", *(f"  {line}" for line in left_out)]))
    return table


def _nothing(path: Path, left_out: Sequence[str]) -> str:
    if not left_out:
        return f"{path}: holds no session: give a folder with NAME.xml and NAME.spk.N, NAME.clu.N and NAME.res.N"
    more = f"; {len(left_out) - 3} more" if len(left_out) > 3 else ""
    return f"{path}: nothing can be read: {'; '.join(left_out[:3])}{more}"


def _table(
    path: Path,
    groups: Sequence[Group],
    counts: Mapping[str, tuple[np.ndarray, np.ndarray]],
    rule: str,
    notes: list[str],
) -> WaveformTable:
    """Put groups of one shape together; `counts` are the histograms by unit."""
    columns: dict[str, list[np.ndarray]] = defaultdict(list)
    unlisted = []
    for group, session in zip(groups, _session_names([group.session for group in groups]), strict=True):
        clusters, index = np.unique(group.cluster, return_inverse=True)
        names = [group.session.unit(group.number, cluster) for cluster in clusters.tolist()]
        cells = [group.session.cell(group.number, cluster) for cluster in clusters.tolist()]
        if group.session.tables.cells is not None and not group.session.doubt:
            unlisted += [name for name, cell in zip(names, cells, strict=True) if cell is None]
        of_cluster = {
            "unit": names,
            "label": ["unknown" if cell is None else cell.label(rule) for cell in cells],
            "isi": [counts[name][0] for name in names],
            "autocorrelogram": [counts[name][1] for name in names],
            "animal": [group.session.animal for _ in names],
            "session": [session for _ in names],
        }
        for column, values in of_cluster.items():
            columns[column] += [np.array(values)[index]] if names else []
    if unlisted:
        notes.append(f"{some(sorted(set(unlisted)), 'unit')} not in {CELLS}: the label is unknown")
    joined: dict[str, Any] = {column: np.concatenate(values) for column, values in columns.items()}
    if all(group.session.tables.cells is None for group in groups):
        del joined["label"]
    steps_uV = [group.recorded.step_uV for group in groups]
    in_uV = None not in steps_uV
    if in_uV:
        told = ", ".join(f"{step:.4g}" for step in sorted({step for step in steps_uV if step}))
        notes.append(f"uV by voltageRange and amplification of the .xml: {told} uV a step")
    elif len({(group.recorded.dtype, group.recorded.step_uV) for group in groups}) > 1:
        notes.append("waveforms stay as recorded, but not all .xml say the same nBits, voltageRange and amplification")
    waveform = np.concatenate(
        [g.waveform * np.float32(step or 1) if in_uV else g.waveform for g, step in zip(groups, steps_uV, strict=True)]
    )
    units = "uV" if in_uV else "as recorded"
    in_sessions = np.char.add(np.char.add(joined["session"], "/"), joined["unit"])
    if len(np.unique(in_sessions)) == len(np.unique(joined["unit"])):
        return build(path, waveform, groups[0].recorded.rate_kHz, units=units, producer=PRODUCER, **joined)
    # To `build`, a unit is inside one session: here some are in several. It leaves out no spike of those given here.
    session_names, of_row = np.unique(joined.pop("session"), return_inverse=True)
    table = build(path, waveform, groups[0].recorded.rate_kHz, units=units, producer=PRODUCER, **joined)
    return replace(table, session=of_row.astype(np.int32), session_names=tuple(session_names.tolist()))


def _session_names(sessions: Sequence[Session]) -> list[str]:
    """Return the name of each session, with its topdir where several topdirs have one of this name."""
    topdirs = defaultdict(set)
    for session in sessions:
        topdirs[session.name].add(session.topdir)
    return [s.name if len(topdirs[s.name]) == 1 else f"{s.topdir}/{s.name}" for s in sessions]


def _histograms(groups: Sequence[Group]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return both histograms of each unit, summed over its sessions: time between two sessions is no interval."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for group in groups:
        clusters = np.unique(group.cluster)
        counts = histograms.histograms(group.sample / group.recorded.rate_kHz, group.cluster, clusters)
        for cluster, isi, acg in zip(clusters.tolist(), *counts, strict=True):
            name = group.session.unit(group.number, cluster)
            earlier = found.get(name)
            found[name] = (isi, acg) if earlier is None else (earlier[0] + isi, earlier[1] + acg)
    return found


def _of_one_shape(groups: Sequence[Group], left_out: list[str]) -> list[Group]:
    """Return the groups of the commonest rate, channels and samples; of equally common ones, that of most spikes."""
    number, spikes = Counter(group.shape for group in groups), Counter[tuple[float, int, int]]()
    for group in groups:
        spikes[group.shape] += len(group.cluster)
    best = max(number, key=lambda shape: (number[shape], spikes[shape], shape), default=None)
    for group in groups:
        if group.shape == best or best is None:
            continue
        told = ", ".join(f"{rate:g} kHz, {channels} x {times}" for rate, channels, times in (group.shape, best))
        beside = any(other.shape != group.shape for other in groups if other.xml == group.xml)
        names = ", ".join(f"{group.xml.stem}.{kind}.{group.number}" for kind in FILES)
        remedy = (
            f"to read it, copy {group.xml.name}, {names} into a folder of their own, and give that"
            if beside
            else f"to read it, give {group.xml}"
        )
        left_out.append(f"{group.name}: another rate or shape than most groups ({told}): {remedy}")
    return [group for group in groups if group.shape == best]


def _not_constant(group: Group, left_out: list[str]) -> Group:
    flat = group.waveform.reshape(len(group.waveform), -1)
    keep = flat.max(axis=1) > flat.min(axis=1)
    if keep.all():
        return group
    left_out.append(f"{group.name}: {int((~keep).sum())} spikes that are constant on all channels")
    return group.take(keep)


def _hidden(xml: Path, path: Path) -> bool:
    return any(part.startswith(".") for part in xml.relative_to(path).parts)


def _numbers(xml: Path) -> set[int]:
    """Return the numbers of the groups of which there is any file."""
    name = re.compile(re.escape(xml.stem) + rf"\.(?:{'|'.join(FILES)})\.([1-9][0-9]{{0,4}})")
    found = (name.fullmatch(file) for file in os.listdir(xml.parent))
    return {int(match[1]) for match in found if match}


def _sessions(path: Path, notes: list[str], left_out: list[str]) -> list[tuple[Path, Session]]:
    """Return the recordings in a folder, or the one of an .xml, with what the tables say of each."""
    if not path.is_dir():
        recordings = [path]
        if not path.is_file():
            raise UserError(absent(path))
    else:
        recordings = []
        for xml in sorted(file for file in path.rglob("*.xml") if file.is_file()):
            if _hidden(xml, path):
                left_out.append(f"{xml}: a hidden file")
            elif not _numbers(xml):
                left_out.append(f"{xml}: not of a sorted session: no {xml.stem}.spk.N, .clu.N or .res.N beside it")
            else:
                recordings.append(xml)
    found: dict[tuple[str, str], tuple[Path, Session]] = {}
    known: dict[tuple[Path | None, Path | None], Tables] = {}
    for xml in recordings:
        files = table_file(xml, path, CELLS), table_file(xml, path, SESSIONS)
        if files not in known:
            known[files] = read_tables(*files, notes)
        session = pair(known[files], xml.stem, _topdir_folder(xml))
        key = session.topdir, session.name
        if key in found:
            left_out.append(f"{xml}: session {session.name} of {session.topdir} is there already, as {found[key][0]}")
        else:
            found[key] = xml, session
    _tell([session for _, session in found.values()], notes)
    return list(found.values())


def _tell(sessions: Sequence[Session], notes: list[str]) -> None:
    """Say which tables are missing, and of which sessions they say nothing."""
    if any(session.tables.cells is None for session in sessions):
        notes.append(f"no {CELLS} in a folder of the sessions or above: labels are unknown")
    if any(session.tables.topdirs is None for session in sessions):
        notes.append(f"no {SESSIONS} in a folder of the sessions or above: the folder above a session is its topdir")
    doubts = defaultdict(list)
    for session in sessions:
        if session.doubt:
            doubts[session.doubt].append(f"{session.topdir}/{session.name}")
    for doubt, names in doubts.items():
        notes.append(f"{some(names, 'session')} {doubt}: labels are unknown, and a unit is that of one session")
    named = sorted({session.topdir for session in sessions if session.topdir not in session.tables.animals})
    if named:
        notes.append(f"the animal of {some(named, 'topdir')} not known: the topdir stands for it")


def _topdir_folder(xml: Path) -> str:
    """Return the folder above the session's own; the one it lies in if it has none of its own."""
    parents = Path(os.path.abspath(xml)).parents
    own = next((k for k, folder in enumerate(parents) if folder.name == xml.stem), -1)
    return parents[own + 1].name


def _groups(xml: Path, session: Session, left_out: list[str]) -> list[Group]:
    """Return the electrode groups of a recording that can be read."""
    try:
        recorded = _recorded(xml)
        there = _numbers(xml)
    except (UserError, OSError) as error:
        left_out.append(str(error))
        return []
    if not there:
        left_out.append(f"{xml}: no group has files {xml.stem}.spk.N, .clu.N and .res.N beside it")
    found = []
    for number in sorted(there):  # hc-3 leaves out groups whose electrodes recorded no spike
        try:
            if number > len(recorded.shapes):
                raise UserError(f"{xml.with_name(f'{xml.stem}.*.{number}')}: {xml.name} has no group {number}")
            found.append(Group(xml, session, number, *_spikes(xml, number, recorded), recorded))
        except (UserError, OSError) as error:
            left_out.append(str(error))
    return found


def _recorded(xml: Path) -> Recorded:
    """Read what an .xml says of its recording; without nBits, 16 are taken."""
    with readable(xml, "the description of a recording"):
        content = xml.read_bytes()
        if b"<!ENTITY" in content:  # of other entities, or of files: no recording has them
            raise ValueError("it defines entities, which are not read")
        root = ElementTree.fromstring(content)
        rate = float(root.findtext("acquisitionSystem/samplingRate", "none")) / 1000
        bits = int(root.findtext("acquisitionSystem/nBits", "16"))
    if not 0 < rate < np.inf:
        raise UserError(f"{xml} says a sampling rate of {1000 * rate:g} Hz")
    if bits not in DTYPES:
        raise UserError(f"{xml} says samples of {bits} bits (nBits): known are {', '.join(map(str, DTYPES))}")
    groups = root.findall("spikeDetection/channelGroups/group")
    samples = [group.findtext("nSamples", "").strip() for group in groups]
    whole = [int(text) if re.fullmatch("[0-9]{1,6}", text) else None for text in samples]
    shapes = [(len(group.findall("channels/channel")), n) for group, n in zip(groups, whole, strict=True)]
    return Recorded(rate, DTYPES[bits], _step_uV(root, bits), shapes)


def _step_uV(root: ElementTree.Element, bits: int) -> float | None:
    """Return the range of the converter (V) over its steps and the amplification, in uV; None if not said."""
    try:
        range_V, amplification = (
            float(root.findtext(f"acquisitionSystem/{name}", "nan")) for name in ("voltageRange", "amplification")
        )
    except ValueError:
        return None
    if not (0 < range_V < np.inf and 0 < amplification < np.inf):
        return None
    step_uV = 1e6 * range_V / 2.0**bits / amplification
    return step_uV if LEAST_UV < step_uV < MOST_UV else None


def _spikes(xml: Path, number: int, recorded: Recorded) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read waveforms (spike, channel, time), clusters and samples of a group."""
    channels, times = recorded.shapes[number - 1]
    spk, clu, res = (xml.with_name(f"{xml.stem}.{kind}.{number}") for kind in FILES)
    missing = [file.name for file in (spk, clu, res) if not file.is_file()]
    if missing:
        raise UserError(f"{xml.parent}: {', '.join(missing)} missing: a group of {xml.name} needs all three files")
    if times is None or times < LEAST_SAMPLES or not channels:
        raise UserError(f"{xml}: group {number} lacks channels, or the number of samples of a spike (nSamples)")
    cluster, sample = _integers(clu), _integers(res)
    if not len(cluster):
        raise UserError(f"{clu} is empty")
    waveform = _waveforms(spk, channels, times, np.dtype(recorded.dtype))
    lengths = {spk.name: len(waveform), clu.name: len(cluster) - 1, res.name: len(sample)}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise UserError(f"{xml.parent}: spikes of one group differ in number: {told}: one of the files is cut off")
    if not len(sample):
        raise UserError(f"{spk} holds no spike")
    histograms.check_times(res, sample / recorded.rate_kHz)
    return waveform, cluster[1:], sample


def _waveforms(spk: Path, channels: int, times: int, dtype: np.dtype) -> np.ndarray:
    content = spk.read_bytes()
    row = dtype.itemsize * channels * times
    if len(content) % row:
        raise UserError(
            f"{spk} has {len(content)} bytes, not a whole number of spikes of {row} bytes ({times} samples x {channels}"
            f" channels of {dtype.name}, by its .xml): it is cut off, or the .xml belongs to another recording"
        )
    return np.frombuffer(content, dtype).reshape(-1, times, channels).swapaxes(1, 2)


def _integers(path: Path) -> np.ndarray:
    with readable(path, "a whole number a line"):
        return np.array(path.read_text("ascii").split(), np.int64)
