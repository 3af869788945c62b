"""Recordings as files of CRCNS hc-3: .xml, .spk, .clu and .res of a session, and the tables of cells and sessions."""

import csv
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int16

from spiketype.simulator.shank.units import Unit


def write_session(
    base: Path,
    spikes: Int16[np.ndarray, "spike channel time"],
    shank: Int[np.ndarray, " spike"],
    cluster: Int[np.ndarray, " spike"],
    sample: Int[np.ndarray, " spike"],
    rate_kHz: float,
) -> None:
    """Write ``base``.xml and, for each shank from 1 on, ``base``.spk.N, .clu.N and .res.N.

    Args:
        base: folder and name of the session.
        spikes: what was recorded.
        shank: of each spike, from 1.
        cluster: of each spike, from 2.
        sample: of each spike, ascending.
        rate_kHz: sampling rate.
    """
    base.parent.mkdir(parents=True, exist_ok=True)
    _, channels, times = spikes.shape
    root = ElementTree.Element("parameters")
    system = ElementTree.SubElement(root, "acquisitionSystem")
    ElementTree.SubElement(system, "nBits").text = "16"
    ElementTree.SubElement(system, "samplingRate").text = f"{1000 * rate_kHz:g}"
    detection = ElementTree.SubElement(ElementTree.SubElement(root, "spikeDetection"), "channelGroups")
    for number in range(1, int(shank.max()) + 1):
        group = ElementTree.SubElement(detection, "group")
        listed = ElementTree.SubElement(group, "channels")
        for channel in range(channels):
            ElementTree.SubElement(listed, "channel").text = str(channels * (number - 1) + channel)
        ElementTree.SubElement(group, "nSamples").text = str(times)
        rows = shank == number
        spikes[rows].swapaxes(1, 2).astype("<i2").tofile(_file(base, "spk", number))
        lines = [len(np.unique(cluster[rows])), *cluster[rows].tolist()]  # Klusters: the number of clusters comes first
        _file(base, "clu", number).write_text("".join(f"{line}\n" for line in lines))
        _file(base, "res", number).write_text("".join(f"{line}\n" for line in sample[rows].tolist()))
    ElementTree.ElementTree(root).write(base.with_name(f"{base.name}.xml"))


def _file(base: Path, kind: str, number: int) -> Path:
    return base.with_name(f"{base.name}.{kind}.{number}")


def cell_row(number: int, topdir: str, animal: str, shank: int, cluster: int, unit: Unit) -> list[str]:
    """Return a row of hc3-cell.csv; the region is the m-type."""
    connected = [unit.excites, unit.inhibits, int(unit.excites > 0), int(unit.inhibits > 0), 0, 0]
    rate_Hz = 1000 * len(unit.time_ms) / unit.time_ms[-1]
    row = [number, topdir, animal, shank, cluster, unit.model.m_type, *connected, f"{rate_Hz:.3g}", f"{rate_Hz:.3g}"]
    return [*map(str, row), "p" if unit.model.excitatory else "i"]


def session_row(number: int, topdir: str, session: str, duration_s: float) -> list[str]:
    """Return a row of hc3-session.csv; the behaviour is none, for the first time."""
    return [str(number), topdir, session, "simulated", "1", f"{duration_s:.7g}"]


def write_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write a table, without a header, as CRCNS has it."""
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
