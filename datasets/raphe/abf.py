"""Axon Binary Format, versions 1 and 2: headers through pyabf, samples in pieces straight from the file.

pyabf reads a file whole, as float32 of every channel: 8 GB for four hours of two channels. Here it parses the header
alone; samples are then read where the header says they are and scaled by the header's factors, in pyabf's own order
of operations, so that the numbers are the same bit by bit.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyabf
from jaxtyping import Float, Float32

from spiketype.edge import UserError

BLOCK_BYTES = 512
SECTIONS = range(76, 76 + 18 * 16, 16)  # ABF2: where the (block, entry bytes, entries) of its 18 sections are
COUNTS = {b"ABF ": (10, 16, 48), b"ABF2": (12,)}  # where the samples, sweeps, tags and the sweeps are counted
EVENT_DRIVEN = 1  # operation mode: sweeps of variable length


@dataclass(frozen=True)
class AbfFile:
    """An ABF file: where its samples are, and what they mean.

    Attributes:
        path: the file.
        version: "1.8.3.0" and the like.
        rate_Hz: of each channel.
        names: of the channels.
        units: of the channels, as the file has them.
        gain: units of the channel per stored unit; None where the file holds floats, already scaled.
        offset: in units of the channel.
        start_byte: of the first sample.
        segments: (first, end) sample of each stretch without a gap: the whole, or the sweeps.
        day: YYMMDD of the recording, or "" where the file does not say.
    """

    path: Path
    version: str
    rate_Hz: float
    names: tuple[str, ...]
    units: tuple[str, ...]
    gain: Float[np.ndarray, " channel"] | None
    offset: Float[np.ndarray, " channel"]
    start_byte: int
    segments: tuple[tuple[int, int], ...]
    day: str

    def read(self, channel: int, start: int, stop: int) -> Float32[np.ndarray, " sample"]:
        """Read samples ``start`` to ``stop`` of one channel, in its units; memory is that of the piece.

        Raises:
            UserError: the file is shorter than its header said when it was opened.
        """
        dtype, n = np.dtype("<f4" if self.gain is None else "<i2"), len(self.names)
        raw = np.fromfile(self.path, dtype, (stop - start) * n, offset=self.start_byte + start * n * dtype.itemsize)
        if len(raw) != (stop - start) * n:
            raise UserError(f"{self.path}: ends before sample {stop}: shortened while it was read; copy it again")
        values = raw.reshape(-1, n)[:, channel].astype(np.float32)
        if self.gain is not None:
            values *= np.float32(self.gain[channel])
            values += np.float32(self.offset[channel])
        return values


def open_abf(path: Path) -> AbfFile:
    """Parse the header of an ABF1 or ABF2 file.

    Raises:
        UserError: the file is not ABF, empty, truncated, event-driven, or has a header that contradicts itself.
    """
    size = _signed_size(path)
    try:
        found = pyabf.ABF(str(path), loadData=False)
    except (Exception, MemoryError) as error:  # pyabf has no error type of its own: a bad byte may raise anything
        raise UserError(f"{path}: its ABF header is damaged ({type(error).__name__}: {error})") from error
    if found.nOperationMode == EVENT_DRIVEN and found.abfVersion["major"] == 1:
        raise UserError(f"{path}: event-driven ABF1, whose sweeps have variable lengths: save it as ABF2 or gap-free")
    n, width = found.channelCount, found.dataPointByteSize
    if n < 1 or width not in (2, 4) or found.dataPointCount < n:
        raise UserError(f"{path}: holds no samples ({n} channels, {found.dataPointCount} samples)")
    needed = found.dataByteStart + found.dataPointCount * width
    if needed > size:
        raise UserError(
            f"{path}: truncated: the header promises {found.dataPointCount} samples, which end at byte {needed}, but "
            f"the file has {size} bytes; copy it again from where it was recorded"
        )
    scaled = found._dtype == np.float32
    gain, offset = np.array(found._dataGain, float), np.array(found._dataOffset, float)
    rate = _rate_Hz(found)
    if not (np.isfinite(gain).all() and gain.all() and np.isfinite(offset).all() and 100 <= rate <= 1e7):
        raise UserError(f"{path}: impossible scale in its header (rate {rate} Hz, gains {gain}, offsets {offset})")
    if scaled != (width == 4):
        raise UserError(f"{path}: its header contradicts itself: samples of {width} bytes in another number format")
    return AbfFile(
        path=path,
        version=found.abfVersionString,
        rate_Hz=rate,
        names=tuple(found.adcNames),
        units=tuple(found.adcUnits),
        gain=None if scaled else gain,
        offset=offset,
        start_byte=found.dataByteStart,
        segments=_segments(found),
        day=_day(found),
    )


def _signed_size(path: Path) -> int:
    """Return the size of a file that begins like an ABF file and whose ABF2 sections lie inside it; refuse others."""
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(BLOCK_BYTES)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    if not head:
        raise UserError(f"{path}: the file is empty")
    if head[:4] not in (b"ABF ", b"ABF2"):
        raise UserError(f"{path}: not an ABF file: it begins with {head[:8]!r}")
    if len(head) < BLOCK_BYTES:
        raise UserError(f"{path}: truncated: {size} bytes are less than an ABF header")
    # pyabf makes lists of sweeps, tags and section entries: a wild count would take all memory.
    for at in COUNTS[head[:4]]:
        if not 0 <= struct.unpack_from("<i", head, at)[0] <= size:
            raise UserError(f"{path}: its ABF header is damaged: an impossible count at byte {at}")
    if head[:4] == b"ABF2":
        for at in SECTIONS:
            block, entry_bytes, entries = struct.unpack_from("<IIq", head, at)
            if entries < 0 or block * BLOCK_BYTES + entries * entry_bytes > size or entries > size:
                raise UserError(
                    f"{path}: truncated or damaged: its header places {entries} entries of {entry_bytes} bytes at byte "
                    f"{block * BLOCK_BYTES}, but the file has {size} bytes"
                )
    return size


def _rate_Hz(found: pyabf.ABF) -> float:
    """Return the rate of a channel. pyabf truncates it to whole Hz, which turns 33.3333 us into 29999 Hz."""
    if found.abfVersion["major"] == 1:
        rate = 1e6 / found._headerV1.fADCSampleInterval / found.channelCount
    else:
        rate = 1e6 / found._protocolSection.fADCSequenceInterval
    # The interval is a float32: within its precision, a whole number is what was meant.
    return float(round(rate)) if abs(rate - round(rate)) < 1e-6 * rate else float(rate)


def _segments(found: pyabf.ABF) -> tuple[tuple[int, int], ...]:
    """Return the first and end sample of every sweep; one stretch where the recording has no gap."""
    n = found.dataPointCount // found.channelCount
    lengths = [n // found.sweepCount] * found.sweepCount
    if found.abfVersion["major"] == 2 and found.sweepCount > 1:
        listed = [length // found.channelCount for length in found._synchArraySection.lLength]
        lengths = listed if len(listed) == found.sweepCount and sum(listed) <= n else lengths
    ends = np.cumsum(lengths)
    return tuple((int(e - m), int(e)) for e, m in zip(ends, lengths, strict=True) if m > 0)


def _day(found: pyabf.ABF) -> str:
    # pyabf gives an undated ABF1 file the day it was copied; other damaged dates lie centuries back.
    if found.abfVersion["major"] == 1 and not found._headerV1.lFileStartDate:
        return ""
    when = found.abfDateTime
    return f"{when:%y%m%d}" if getattr(when, "year", 0) >= 1980 else ""
