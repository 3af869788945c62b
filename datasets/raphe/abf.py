"""Axon Binary Format, versions 1 and 2: the header that matters here, and samples in pieces straight from the file.

Where readers disagree, Axon's own library decides (AxAbfFio32, public in Stimfit): a signal conditioner's gain and
offset count only where there is one, a header before 1.6 ends after 2048 bytes and has its telegraphed gain elsewhere,
ignored points are samples, not bytes, and the lengths of event-driven sweeps are samples, whatever the unit of their
starts. Scaling is in pyABF's order of operations, so that both give the same bits.
"""

import datetime
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from spiketype.edge import UserError

BLOCK_BYTES = 512
OLD_HEADER_BYTES, HEADER_BYTES = 2048, 6144  # of ABF1: before version 1.6, and since
PHYSICAL = 16  # channels that an ABF1 header describes
SECTIONS = range(76, 76 + 18 * 16, 16)  # ABF2: where the (block, entry bytes, entries) of its 18 sections are
PROTOCOL, ADC, STRINGS, DATA, SYNCH = 76, 92, 220, 236, 316  # those that are read
ENTRY_BYTES = {PROTOCOL: 512, ADC: 128, SYNCH: 8}  # as Axon's structures have them
NAMES = (74, 78)  # where such a channel has the numbers of its name and unit
EVENT_DRIVEN, GAP_FREE, MODES = 1, 3, range(1, 6)  # operation modes: 1 has sweeps of variable length, 5 is episodic
MOST_S = 1e5  # from one sweep to the next: Axon's ABF_SWEEPSTARTTOSTARTTIME_MAX
UNKNOWN_S = -1.0  # the time of a sweep that the file does not tell


@dataclass(frozen=True)
class AbfFile:
    """An ABF file: where its samples are, and what they mean.

    Attributes:
        path: the file.
        version: "1.83", "2.9" and the like.
        rate_Hz: of each channel.
        names: of the channels; "?" where the file has none.
        units: of the channels, as the file has them, without padding and with u for micro; "?" where it has none.
        gain: units of the channel per stored unit; None where the file holds floats, already scaled.
        offset: in units of the channel.
        trouble: why the scale of a channel cannot be trusted; "" where it can.
        start_byte: of the first sample.
        segments: (first, end) sample of each stretch without a gap: the whole, or the sweeps.
        start_s: time of each of them since the start of the recording; -1 where the file does not tell.
        day: YYMMDD of the recording, or "" where the file does not say.
    """

    path: Path
    version: str
    rate_Hz: float
    names: tuple[str, ...]
    units: tuple[str, ...]
    gain: Float[np.ndarray, " channel"] | None
    offset: Float[np.ndarray, " channel"]
    trouble: tuple[str, ...]
    start_byte: int
    segments: tuple[tuple[int, int], ...]
    start_s: tuple[float, ...]
    day: str

    def check(self, channel: int) -> None:
        """Refuse a channel whose scale cannot be trusted.

        Raises:
            UserError: the header's scale is impossible or contradicts itself.
        """
        if self.trouble[channel]:
            raise UserError(
                f"{self.path}: channel {channel} ({self.names[channel]}): {self.trouble[channel]}; "
                "mend its scale in the program that recorded it (Clampfit), or export the channel as .npy in pA"
            )

    def read(self, channel: int, start: int, stop: int) -> Float32[np.ndarray, " sample"]:
        """Read samples ``start`` to ``stop`` of one channel, in its units; memory is that of the piece.

        Raises:
            UserError: a channel without a scale, or the file is shorter than when it was opened.
        """
        self.check(channel)
        dtype, n = np.dtype("<f4" if self.gain is None else "<i2"), len(self.names)
        raw = np.fromfile(self.path, dtype, (stop - start) * n, offset=self.start_byte + start * n * dtype.itemsize)
        if len(raw) != (stop - start) * n:
            raise UserError(f"{self.path}: ends before sample {stop}: shortened while it was read; copy it again")
        values = raw.reshape(-1, n)[:, channel].astype(np.float32)
        if self.gain is not None:
            values *= np.float32(self.gain[channel])
            values += np.float32(self.offset[channel])
        return values


@dataclass(frozen=True)
class _Channel:
    """What a header says of one channel."""

    name: str
    units: str
    instrument_scale: float
    instrument_offset: float
    signal_gain: float
    signal_offset: float
    programmable_gain: float
    telegraph: int
    telegraph_gain: float


@dataclass(frozen=True)
class _Header:
    """What headers of both versions say; times in microseconds, counts of samples over all channels."""

    version: str
    mode: int
    floats: int
    start_byte: int
    count: int
    width: int
    interval_us: float  # from one sample of a channel to its next
    second_interval_us: float
    adc_range: float
    adc_resolution: int
    conditioned: bool  # by a signal conditioner, whose gain and offset then count
    sweeps: int
    sweep_samples: int
    sweep_to_sweep_s: float
    synch_byte: int
    synch_entries: int
    synch_unit_us: float
    date: int
    channels: tuple[_Channel, ...]


def open_abf(path: Path) -> AbfFile:
    """Parse the header of an ABF1 or ABF2 file.

    Raises:
        UserError: the file is not ABF, empty, truncated, or has a header that contradicts itself.
    """
    size, head = _signed(path)
    try:
        header = _header_1(path, head) if head[:4] == b"ABF " else _header_2(path, head, size)
    except (struct.error, OSError, OverflowError) as error:
        raise UserError(f"{path}: its ABF header is damaged or cut short ({error}): copy it again") from error
    rate = _checked_rate_Hz(path, header, size)
    gain, offset, trouble = _scale(header)
    if all(trouble):
        raise UserError(f"{path}: impossible scale in its header: {trouble[0]}; copy it again, or export it as .npy")
    segments, start_s = _sweeps(path, header, rate, size)
    return AbfFile(
        path=path,
        version=header.version,
        rate_Hz=rate,
        names=tuple(c.name for c in header.channels),
        units=tuple(c.units for c in header.channels),
        gain=None if header.floats else gain,
        offset=offset,
        trouble=trouble,
        start_byte=header.start_byte,
        segments=segments,
        start_s=start_s,
        day=_day(header.date),
    )


def _signed(path: Path) -> tuple[int, bytes]:
    """Return the size and first bytes of a file that begins like ABF and whose ABF2 sections lie inside it."""
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(HEADER_BYTES)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    if not head:
        raise UserError(f"{path}: the file is empty")
    if head[:4] not in (b"ABF ", b"ABF2"):
        raise UserError(f"{path}: not an ABF file: it begins with {head[:8]!r}")
    if len(head) < (OLD_HEADER_BYTES if head[:4] == b"ABF " else BLOCK_BYTES):
        raise UserError(f"{path}: truncated: {size} bytes are less than an ABF header; copy it again")
    if head[:4] == b"ABF2":
        for at in SECTIONS:
            block, entry_bytes, entries = _section(head, at)
            if entries < 0 or block * BLOCK_BYTES + entries * entry_bytes > size or entries > size:
                raise UserError(
                    f"{path}: truncated or damaged: its header places {entries} entries of {entry_bytes} bytes at byte "
                    f"{block * BLOCK_BYTES}, but the file has {size} bytes; copy it again"
                )
    return size, head


def _one(raw: bytes, code: str, at: int) -> Any:  # an int or float, as `code` says
    return struct.unpack_from(f"<{code}", raw, at)[0]


def _section(head: bytes, at: int) -> tuple[int, int, int]:
    """Return block, bytes of an entry and entries of an ABF2 section."""
    block, entry_bytes, entries = struct.unpack_from("<IIq", head, at)
    # The strings are counted, but their bytes are those of all of them.
    return block, entry_bytes, min(entries, 1) if at == STRINGS else entries


def _text(raw: bytes) -> str:
    """Return a name or unit without NULs, blanks or Greek; "?" if nothing is left."""
    raw = raw.split(b"\x00")[0]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return text.replace("\u00b5", "u").replace("\u03bc", "u").strip() or "?"


def _header_1(path: Path, raw: bytes) -> _Header:
    version, n = _one(raw, "f", 4), _one(raw, "h", 120)
    if not 1 <= version < 2 or not 1 <= n <= PHYSICAL or _one(raw, "h", 38):
        raise UserError(
            f"{path}: its ABF header is damaged, or older than ABF 1.0: version {version:g} with {n} channels; copy it "
            "again, or save it as ABF2"
        )
    sequence = struct.unpack_from(f"<{n}h", raw, 410)
    if len(set(sequence)) < n or not all(0 <= c < PHYSICAL for c in sequence):
        raise UserError(
            f"{path}: its header contradicts itself: its {n} channels are the inputs "
            f"{', '.join(map(str, sequence))}, which must differ and lie from 0 to 15: export the file again"
        )
    # A short header is followed by samples where a long one has its telegraphs.
    long = version > 1.5999
    start = _one(raw, "i", 40) * BLOCK_BYTES
    if start < (HEADER_BYTES if long else OLD_HEADER_BYTES):
        raise UserError(
            f"{path}: its header contradicts itself: that of version {version:.2f} is longer than the {start} bytes "
            "before the samples: export the file again"
        )
    width = 4 if _one(raw, "h", 100) else 2
    return _Header(
        version=f"{version:.2f}",
        mode=_one(raw, "h", 8),
        floats=_one(raw, "h", 100),
        start_byte=start + _one(raw, "h", 14) * width,
        count=_one(raw, "i", 10),
        width=width,
        interval_us=_one(raw, "f", 122) * n,
        second_interval_us=_one(raw, "f", 126) * n,
        adc_range=_one(raw, "f", 244),
        adc_resolution=_one(raw, "i", 252),
        conditioned=_one(raw, "h", 1410) != 0,
        sweeps=_one(raw, "i", 16),
        sweep_samples=_one(raw, "i", 138),
        sweep_to_sweep_s=_one(raw, "f", 178),
        synch_byte=_one(raw, "i", 92) * BLOCK_BYTES,
        # As Axon's library has it, the table counts where both its place and its length are positive.
        synch_entries=max(_one(raw, "i", 96), 0) if _one(raw, "i", 92) > 0 else 0,
        synch_unit_us=_one(raw, "f", 130),
        date=_one(raw, "i", 20),
        channels=tuple(_channel_1(raw, c, long) for c in sequence),
    )


def _channel_1(raw: bytes, c: int, long: bool) -> _Channel:
    if long:
        telegraph, telegraph_gain = _one(raw, "h", 4512 + 2 * c), _one(raw, "f", 4576 + 4 * c)
    else:
        # "Autosample" of one input, automatic (1) or manual (2): both are promoted to a telegraph.
        mine = _one(raw, "h", 264) == c and _one(raw, "h", 262) != 0
        telegraph, telegraph_gain = int(mine), _one(raw, "f", 268)
    return _Channel(
        name=_text(raw[442 + 10 * c : 452 + 10 * c]),
        units=_text(raw[602 + 8 * c : 610 + 8 * c]),
        instrument_scale=_one(raw, "f", 922 + 4 * c),
        instrument_offset=_one(raw, "f", 986 + 4 * c),
        signal_gain=_one(raw, "f", 1050 + 4 * c),
        signal_offset=_one(raw, "f", 1114 + 4 * c),
        programmable_gain=_one(raw, "f", 730 + 4 * c),
        telegraph=telegraph,
        telegraph_gain=telegraph_gain,
    )


def _header_2(path: Path, raw: bytes, size: int) -> _Header:
    where = {at: _section(raw, at) for at in (PROTOCOL, ADC, STRINGS, DATA, SYNCH)}
    wrong = [at for at, width in ENTRY_BYTES.items() if where[at][2] and where[at][1] != width]
    if wrong or not where[DATA][0] or not where[PROTOCOL][2] or not 1 <= where[ADC][2] <= size // ENTRY_BYTES[ADC]:
        raise UserError(
            f"{path}: its ABF header is damaged: it lacks the protocol, the channels or the samples; copy it again"
        )
    with open(path, "rb") as file:

        def section(at: int) -> bytes:
            file.seek(where[at][0] * BLOCK_BYTES)
            return file.read(where[at][1] * where[at][2])

        protocol, adc, texts = section(PROTOCOL), section(ADC), section(STRINGS)
    told = _one(raw, "q", STRINGS + 8)
    if texts[:4] != b"SSCH" or _one(texts, "I", 8) != told or len(texts) < 44 + _one(texts, "I", 16):
        raise UserError(f"{path}: its ABF header is damaged: it lacks the names of its channels; copy it again")
    strings = _strings(texts)
    first, last = (where[DATA][0] * BLOCK_BYTES + d for d in (0, where[DATA][1] * where[DATA][2]))
    spans = [(where[at][0] * BLOCK_BYTES, where[at][1] * where[at][2]) for at in (PROTOCOL, ADC, STRINGS)]
    if any(start < last and start + length > first for start, length in spans):
        raise UserError(f"{path}: its header contradicts itself: its samples begin within the header; copy it again")
    if protocol[6]:
        raise UserError(f"{path}: its samples are compressed: save it uncompressed")
    channels = [adc[at : at + ENTRY_BYTES[ADC]] for at in range(0, len(adc), ENTRY_BYTES[ADC])]
    inputs = [_one(channel, "h", 0) for channel in channels]
    numbers = [_one(channel, "i", at) for channel in channels for at in NAMES]
    if len(set(inputs)) < len(inputs) or min(inputs) < 0 or not all(0 <= i < len(strings) for i in numbers):
        raise UserError(
            f"{path}: its header contradicts itself: its channels are the inputs {', '.join(map(str, inputs))}, which "
            f"must differ, and are named by {len(strings) - 1} strings: export the file again"
        )
    return _Header(
        version=f"{raw[7]}.{raw[6]}",
        mode=_one(protocol, "h", 0),
        floats=_one(raw, "H", 30),
        start_byte=where[DATA][0] * BLOCK_BYTES,
        count=where[DATA][2],
        width=where[DATA][1],
        interval_us=_one(protocol, "f", 2),
        second_interval_us=0.0,
        adc_range=_one(protocol, "f", 110),
        adc_resolution=_one(protocol, "i", 118),
        conditioned=_one(protocol, "h", 138) != 0,
        sweeps=_one(raw, "I", 12),
        sweep_samples=_one(protocol, "i", 22),
        sweep_to_sweep_s=_one(protocol, "f", 62),
        synch_byte=where[SYNCH][0] * BLOCK_BYTES,
        synch_entries=where[SYNCH][2],
        synch_unit_us=_one(protocol, "f", 14),
        date=_one(raw, "I", 16),
        channels=tuple(_channel_2(channel, strings) for channel in channels),
    )


def _channel_2(raw: bytes, strings: list[str]) -> _Channel:
    name, units = (strings[_one(raw, "i", at)] for at in NAMES)
    return _Channel(
        name=name,
        units=units,
        instrument_scale=_one(raw, "f", 40),
        instrument_offset=_one(raw, "f", 44),
        signal_gain=_one(raw, "f", 48),
        signal_offset=_one(raw, "f", 52),
        programmable_gain=_one(raw, "f", 28),
        telegraph=_one(raw, "h", 2),
        telegraph_gain=_one(raw, "f", 6),
    )


def _strings(raw: bytes) -> list[str]:
    """Return the strings of an ABF2 file by their number; number 0 stands for none."""
    count, total = _one(raw, "I", 8), _one(raw, "I", 16)
    return ["?"] + [_text(text) for text in raw[44 : 44 + total].split(b"\x00")[:count]]


def _checked_rate_Hz(path: Path, header: _Header, size: int) -> float:
    """Return the rate of a channel; refuse samples that are not there, or that this reader would misread."""
    n = len(header.channels)
    if header.mode not in MODES:
        raise UserError(f"{path}: its ABF header is damaged: operation mode {header.mode} is unknown; copy it again")
    if header.floats not in (0, 1) or header.width != (4 if header.floats else 2):
        raise UserError(
            f"{path}: its header contradicts itself: samples of {header.width} bytes in number format "
            f"{header.floats}; copy it again"
        )
    if header.count < n or header.count % n:
        raise UserError(
            f"{path}: holds no samples, or a part of one ({n} channels, {header.count} samples); copy it again"
        )
    needed = header.start_byte + header.count * header.width
    if needed > size or header.start_byte < BLOCK_BYTES:
        raise UserError(
            f"{path}: truncated: the header promises {header.count} samples, which end at byte {needed}, but "
            f"the file has {size} bytes; copy it again from where it was recorded"
        )
    if header.second_interval_us not in (0, header.interval_us):
        raise UserError(f"{path}: its sampling rate changes within a sweep: resample it in Clampfit")
    rate = 1e6 / header.interval_us if header.interval_us > 0 else 0.0
    if not 100 <= rate <= 1e7:
        raise UserError(f"{path}: impossible sampling rate in its header: {rate:g} Hz; copy it again")
    # The interval is a float32: within its precision, a whole number is what was meant.
    return float(round(rate)) if abs(rate - round(rate)) < 1e-6 * rate else float(rate)


def _scale(header: _Header) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return gain and offset (channel,), and what is wrong with each."""
    gain, offset, trouble = np.ones(len(header.channels)), np.zeros(len(header.channels)), []
    with np.errstate(all="ignore"):
        for i, c in enumerate(header.channels):
            gain[i] /= c.instrument_scale
            gain[i] /= c.signal_gain if header.conditioned else 1.0
            gain[i] /= c.programmable_gain
            gain[i] /= c.telegraph_gain if c.telegraph else 1.0
            gain[i] *= header.adc_range
            gain[i] /= header.adc_resolution
            offset[i] = c.instrument_offset - (c.signal_offset if header.conditioned else 0.0)
            # The largest sample as well: a gain may be finite, and what it gives infinite.
            kept = np.float32(gain[i]), np.float32(gain[i]) * np.float32(-(2**15)) + np.float32(offset[i])
            if header.floats:
                trouble.append("")
            elif c.telegraph not in (0, 1):
                trouble.append(f"its telegraphed gain is neither on nor off, but {c.telegraph}")
            elif not np.isfinite(kept).all() or not kept[0] or header.adc_resolution < 1:
                trouble.append(f"gain {gain[i]:g} and offset {offset[i]:g} {c.units}")
            else:
                trouble.append("")
    return gain, offset, tuple(trouble)


def _sweeps(
    path: Path, header: _Header, rate_Hz: float, size: int
) -> tuple[tuple[tuple[int, int], ...], tuple[float, ...]]:
    """Return (first, end) sample and the time in s of every sweep; of one stretch where the recording has no gap."""
    n, entries = len(header.channels), header.synch_entries
    total = header.count // n
    if not entries:
        return _even_sweeps(path, header, rate_Hz)
    if header.start_byte - entries * 8 < header.synch_byte < header.start_byte + header.count * header.width:
        raise UserError(f"{path}: its header contradicts itself: it places its sweeps among its samples; copy it again")
    if header.synch_byte + entries * 8 > size:
        raise UserError(f"{path}: truncated: its table of {entries} sweeps lies behind its end; copy it again")
    start, length = np.fromfile(path, "<u4", 2 * entries, offset=header.synch_byte).reshape(-1, 2).T.astype(np.int64)
    if (entries != header.sweeps and header.mode != GAP_FREE) or (length % n).any() or length.sum() != header.count:
        raise UserError(
            f"{path}: its header contradicts itself: {header.sweeps} sweeps and {header.count} samples, but a table of "
            f"{entries} sweeps with {length.sum()} samples; copy it again"
        )
    ends = np.cumsum(length // n)
    firsts = ends - length // n
    # Without a unit, starts are counted in samples, of one channel or of all: for one channel that is the same.
    tick_s = header.synch_unit_us * 1e-6 or (1 / rate_Hz if n == 1 else np.nan)
    tick_s = tick_s if 0 < tick_s <= 1 else np.nan
    start_s = start * tick_s
    pause_s = start_s[1:] - start_s[:-1] - (length // n)[:-1] / rate_Hz
    least_s = max(tick_s, 1 / rate_Hz)  # both times are rounded
    if header.mode == GAP_FREE:
        keep = np.concatenate([[True], ~(np.abs(pause_s) <= least_s)])
        firsts, ends, start_s = firsts[keep], np.append(firsts[keep][1:], total), start_s[keep] - start_s[0]
    if not (np.isfinite(tick_s) and (pause_s >= -least_s).all()):
        start_s = np.zeros(len(firsts)) if len(firsts) == 1 else np.full(len(firsts), UNKNOWN_S)
    some = ends > firsts
    return (
        tuple((int(a), int(b)) for a, b in zip(firsts[some], ends[some], strict=True)),
        tuple(float(t) for t in start_s[some]),
    )


def _even_sweeps(path: Path, header: _Header, rate_Hz: float) -> tuple[tuple[tuple[int, int], ...], tuple[float, ...]]:
    """Return the sweeps of a file without a table of them: all are as long, or it is refused."""
    total = header.count // len(header.channels)
    if header.mode == EVENT_DRIVEN:
        raise UserError(
            f"{path}: event-driven, with {header.sweeps} sweeps of variable lengths, but without the table that says "
            "how long each is: copy it again from where it was recorded, or export it in Clampfit as text (ATF) and "
            "save each sweep as .npy"
        )
    if header.mode == GAP_FREE or header.sweeps in (0, 1):
        return ((0, total),), (0.0,)
    if header.version[0] == "2":  # which always has one
        raise UserError(f"{path}: its header contradicts itself: {header.sweeps} sweeps without a table; copy it again")
    if not 0 < header.sweeps <= total or total % header.sweeps:
        raise UserError(
            f"{path}: its header contradicts itself: {header.sweeps} sweeps in {total} samples; copy it again"
        )
    each = total // header.sweeps
    if header.sweep_samples not in (0, header.count // header.sweeps):
        raise UserError(
            f"{path}: its header contradicts itself: {header.sweeps} sweeps of {header.sweep_samples} samples, but "
            f"{header.count} samples; copy it again"
        )
    every_s = header.sweep_to_sweep_s
    known = each / rate_Hz * (1 - 1e-6) <= every_s <= MOST_S
    return (
        tuple((i * each, (i + 1) * each) for i in range(header.sweeps)),
        tuple(float(i * every_s) if known else UNKNOWN_S for i in range(header.sweeps)),
    )


def _day(date: int) -> str:
    """Return YYMMDD of a date YYYYMMDD, or YYMMDD as programs wrote before 2000; "" of another number."""
    year, month, day = date // 10_000, date // 100 % 100, date % 100
    year += 0 if year >= 1000 else 2000 if year < 80 else 1900
    try:
        found = datetime.date(year, month, day)
    except ValueError:
        return ""
    return f"{found:%y%m%d}" if found.year >= 1980 else ""
