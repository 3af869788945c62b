"""Spikes of one recording, with their quality, in two passes over pieces: hours need no more memory than seconds.

The first pass measures the baseline and the noise of each stretch of about a second; the second finds and cuts spikes
and spike-free windows. Nothing depends on where a piece ends.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from spiketype.datasets.raphe import spikes
from spiketype.datasets.raphe.levels import (
    PIECE_SAMPLES,
    Levels,
    measure,
    polarity,
)
from spiketype.datasets.raphe.options import SpikeOptions
from spiketype.datasets.raphe.recordings import Recording
from spiketype.edge import UserError

QUIET_MS = (20.0, 6.0)  # a spike-free window begins this long after a spike and ends this long before one
LARGEST_PA = 1000.0  # published troughs are -60 to -120 pA
FASTEST_HZ = 60.0  # neurons of the raphe fire a few spikes a second
LEAST_MADS = 4.0  # noise crosses 3 of its deviations some ten times a second, 4 seldom
HELD = 3  # samples in a row, at 40 kHz, that stay at a limit are cut off by an amplifier or a converter
CLIPPED = 0.1  # share of such spikes from which their shape is not that of the cell
LEAST_CLIPPED = 3  # spikes: the largest of a recording may be flat where its steps are coarse
RUN, LEAST_OF_RUN = 6, 5  # spikes one after the other, and how many of them stay at their largest or smallest current
ARTEFACT = 4.0  # times the median trough: larger crossings are no spikes of the cell
MOST_ARTEFACTS = 0.2  # share of the crossings; where more are so large, which are the spikes is not known
UNKNOWN = -1.0  # an interval, rate or variation that a recording does not tell
NOISE_SIGMAS = 6.0  # what stands out of the noise, where no spike crosses the threshold
SHORTEST_S = 0.1  # with less, another dimension of an array was taken for time
LEAST_RATE_HZ = 5_000.0  # a trough lasts 0.2 ms


@dataclass(frozen=True)
class CellSpikes:
    """The spikes of one recording.

    Attributes:
        spike_pA: from the local baseline, inward negative.
        time_s: since the start of the recording, pauses between its sweeps included; -1 unknown.
        isi_ms: interval since the spike before; -1 unknown or the first.
        baseline_pA: local baseline that was subtracted.
        snr: trough over the recording's noise.
        noise_pA: spike-free windows.
        found: spikes found; more than are kept if there are more than wanted.
        rate_Hz, isi_cv, noise_rms_pA: of the recorded time; -1 unknown.
        drift_pA: range of the recording's baselines, 5th to 95th percentile; -1 unknown.
        duration_s: recorded, without pauses; -1 unknown.
        clipped: share of the spikes that stay at the largest or smallest current of the recording, or, where a gain is
            changed on the way, of the spikes around them; -1 unknown.
        notes: what was chosen or inferred, and what was left out.
    """

    spike_pA: Float32[np.ndarray, "spike 160"]
    time_s: Float[np.ndarray, " spike"]
    isi_ms: Float32[np.ndarray, " spike"]
    baseline_pA: Float32[np.ndarray, " spike"]
    snr: Float32[np.ndarray, " spike"]
    noise_pA: Float32[np.ndarray, "window 160"]
    found: int
    rate_Hz: float
    isi_cv: float
    noise_rms_pA: float
    drift_pA: float
    duration_s: float
    clipped: float = UNKNOWN
    notes: tuple[str, ...] = ()


def extract(
    recording: Recording, options: SpikeOptions | None = None, advance: Callable[[float], None] = lambda seconds: None
) -> CellSpikes:
    """Find and cut the spikes of a recording.

    Args:
        recording: the current.
        options: how spikes are found; by default as published.
        advance: told the seconds of recording that are done; they add up to its duration.

    Raises:
        UserError: no spike; all samples NaN; larger values than any amplifier gives; too low a sampling rate.
    """
    options = options or SpikeOptions()
    if recording.rate_Hz < LEAST_RATE_HZ:
        raise UserError(
            f"{recording.path}: {recording.rate_Hz:g} Hz is too low a sampling rate for spikes: "
            f"at least {LEAST_RATE_HZ:g} Hz"
        )
    levels = measure(recording, advance)
    sigma = float(np.median(levels.sigma))
    threshold = -options.mads * sigma if options.mads else options.threshold_pA
    if not threshold < 0:
        raise UserError(f"{recording.path}: the noise is zero, so no threshold can be set from it: give --threshold-pa")
    sign, said = polarity(levels, options.polarity, max(-threshold, NOISE_SIGMAS * sigma), recording.path)
    found, kept = _find(recording, levels, options, sign, threshold, advance)
    if not len(found):
        down, up = (max(float(extremes.max()), 0.0) for extremes in (levels.low, levels.high))
        raise UserError(
            f"{recording.path}: no spike: nothing crosses {threshold:.1f} pA in {recording.duration_s:.1f} s (noise "
            f"{sigma:.2f} pA rms, peaks of {-down:.1f} and {up:+.1f} pA in the file, {said.split(':')[0]}); "
            + _remedy(recording)
        )
    if not kept.rows:
        raise UserError(f"{recording.path}: {len(found)} spikes, each cut off by an end of the recording or with NaN")
    found, left_out = _leave_out_artefacts(found, kept)
    return _collect(recording, options, levels, sigma, found, kept, [*recording.notes, said, *left_out])


def _remedy(recording: Recording) -> str:
    """Return what to do where no spike was found."""
    if recording.duration_s < SHORTEST_S:
        return f"it has {recording.duration_s * recording.rate_Hz:.0f} samples: is an array stored (channel, sample)?"
    return "lower the threshold, or give --mads 6"


@dataclass
class _Kept:
    """Spikes and windows cut out so far; filled by the second pass."""

    rows: list[np.ndarray]
    sample: list[int]
    segment: list[int]
    noise: list[np.ndarray]
    peaks_pA: list[np.ndarray]
    flat: list[np.ndarray]
    step_pA: float = np.inf
    cut_short: int = 0
    with_nan: int = 0


def _find(
    recording: Recording,
    levels: Levels,
    options: SpikeOptions,
    sign: float,
    threshold: float,
    advance: Callable[[float], None],
) -> tuple[np.ndarray, _Kept]:
    """Run the second pass: return segment and sample (spike, 2) of every crossing, and what is kept of them."""
    rate_kHz = recording.rate_Hz / 1000
    around, refractory = spikes.margin(rate_kHz), max(1, round(options.refractory_ms * rate_kHz))
    quiet = [round(t * rate_kHz) for t in QUIET_MS]
    windows = _window_starts(recording, options.noise_windows)
    found: list[np.ndarray] = []
    kept = _Kept([], [], [], [], [], [])
    for number, (start, stop) in enumerate(recording.segments):
        last = start - refractory
        for lo, hi in _pieces(start, stop):
            # Wide enough that whatever begins between lo and hi, or disturbs a window there, is inside.
            pad = around + quiet[0] + quiet[1] + refractory
            a, b = max(start, lo - pad), min(stop, hi + pad)
            current = recording.read(a, b)
            trace = sign * (current - levels.at(np.arange(a, b), number).astype(np.float32))
            crossed = a + spikes.crossings(trace, threshold)
            mine = crossed[(crossed >= lo) & (crossed < hi)]
            mine = spikes.apart(mine, refractory, last)
            last = int(mine[-1]) if len(mine) else last
            found.append(np.stack([np.full(len(mine), number), mine], axis=1))
            before = len(kept.sample)
            _cut(trace, a, b, mine, number, recording.rate_Hz, threshold, options, kept)
            _measure_peaks(current, np.array(kept.sample[before:], int) - a, rate_kHz, kept)
            here = windows[(windows >= lo) & (windows < hi)]
            _cut_noise(trace, a, b, here, crossed, quiet, rate_kHz, options.noise_windows, kept)
            advance(0.5 * (hi - lo) / recording.rate_Hz)
    return np.concatenate(found), kept


def _measure_peaks(current: np.ndarray, crossed: np.ndarray, rate_kHz: float, kept: _Kept) -> None:
    """Keep the smallest and the largest current of spikes, and whether they stay there for `HELD` samples."""
    first, last = (round(ms * rate_kHz) for ms in (-spikes.REFERENCE / spikes.RATE_KHZ, spikes.AFTER_MS))
    window = current[crossed[:, None] + np.arange(first, last + 1)]
    peaks = np.stack([window.min(axis=1), window.max(axis=1)], axis=1)
    held = round(HELD * max(1.0, rate_kHz / spikes.RATE_KHZ))
    at_peak = np.lib.stride_tricks.sliding_window_view(window[:, None] == peaks[..., None], held, axis=2)
    steps = np.abs(np.diff(window))
    kept.peaks_pA.append(peaks)
    kept.flat.append(np.asarray(at_peak.all(axis=-1).any(axis=-1)))
    kept.step_pA = min(kept.step_pA, float(steps[steps > 0].min(initial=np.inf)))


def _cut_off(kept: _Kept, ends_pA: tuple[float, float], sigma: float) -> Bool[np.ndarray, " spike"]:
    """Return which spikes are flat at a current that none exceeds, of the recording or of the spikes around.

    The gain, and with it the limit, may be changed on the way. Whole spikes are flat where steps are coarse: then only
    the limits of the recording count.
    """
    peaks_pA, flat = np.concatenate(kept.peaks_pA), np.concatenate(kept.flat)
    found: np.ndarray = (flat & (peaks_pA == np.array(ends_pA, np.float32))).any(axis=1)
    found &= found.sum() >= LEAST_CLIPPED
    for first in range(len(flat) - RUN + 1 if 2 * kept.step_pA <= sigma else 0):
        run = slice(first, first + RUN)
        at_end = flat[run] & (peaks_pA[run] == [peaks_pA[run, 0].min(), peaks_pA[run, 1].max()])
        found[run] |= (at_end & (at_end.sum(axis=0) >= LEAST_OF_RUN)).any(axis=1)
    return found


def _pieces(start: int, stop: int) -> Iterator[tuple[int, int]]:
    for lo in range(start, stop, PIECE_SAMPLES):
        yield lo, min(lo + PIECE_SAMPLES, stop)


def _cut(
    trace: np.ndarray,
    a: int,
    b: int,
    crossed: np.ndarray,
    segment: int,
    rate_Hz: float,
    threshold: float,
    options: SpikeOptions,
    kept: _Kept,
) -> None:
    around = spikes.margin(rate_Hz / 1000)
    inside = crossed[(crossed - around >= a) & (crossed + around < b)]
    # The piece is padded, so what does not fit is cut by the segment's own end.
    kept.cut_short += len(crossed) - len(inside)
    whole = [s for s in inside.tolist() if np.isfinite(trace[s - around - a : s + around + 1 - a]).all()]
    kept.with_nan += len(inside) - len(whole)
    whole = whole[: options.most - len(kept.sample)]
    if whole:
        stretches = np.stack([trace[s - around - a : s + around + 1 - a] for s in whole])
        kept.rows.append(spikes.cut(stretches, rate_Hz / 1000, threshold, options.align))
        kept.sample += whole
        kept.segment += [segment] * len(whole)


def _window_starts(recording: Recording, wanted: int) -> np.ndarray:
    """Return where spike-free windows are tried: three times as many places as wanted, evenly spread."""
    total = sum(stop - start for start, stop in recording.segments)
    places = np.unique(np.linspace(0, total, 3 * wanted, endpoint=False).astype(np.int64))
    lengths = np.array([stop - start for start, stop in recording.segments])
    before = np.cumsum(lengths) - lengths
    segment = np.searchsorted(before, places, side="right") - 1
    found: np.ndarray = places - before[segment] + np.array([start for start, _ in recording.segments])[segment]
    return found


def _cut_noise(
    trace: np.ndarray,
    a: int,
    b: int,
    starts: np.ndarray,
    crossed: np.ndarray,
    quiet: list[int],
    rate_kHz: float,
    wanted: int,
    kept: _Kept,
) -> None:
    cutoff = min(1.0, spikes.RATE_KHZ / rate_kHz)
    half = int(np.ceil(spikes.TAPS / cutoff)) + 1
    length = int(np.ceil(spikes.POINTS * rate_kHz / spikes.RATE_KHZ))
    at = half + np.arange(spikes.POINTS) * rate_kHz / spikes.RATE_KHZ
    for start in starts.tolist():
        lo, hi = start - half - a, start + length + half - a
        near = crossed[np.searchsorted(crossed, start - quiet[0]) :]
        if lo < 0 or hi > b - a or (len(near) and near[0] < start + length + quiet[1]):
            continue
        if np.isfinite(trace[lo:hi]).all():
            kept.noise.append(spikes.interpolate(trace[None, lo:hi], at[None], cutoff)[0].astype(np.float32))


def _leave_out_artefacts(found: np.ndarray, kept: _Kept) -> tuple[np.ndarray, list[str]]:
    """Take what is far larger than most spikes out of what is kept; return the other crossings, and a note.

    In the mean, one artefact would outweigh all spikes.
    """
    trough_pA = spikes.shape(np.concatenate(kept.rows)).trough_pA
    spike = trough_pA >= ARTEFACT * min(float(np.median(trough_pA)), SpikeOptions().threshold_pA)
    count = int((~spike).sum())
    if not 0 < count <= MOST_ARTEFACTS * len(spike):
        return found, []
    gone = {(kept.segment[k], kept.sample[k]) for k in np.flatnonzero(~spike)}
    kept.rows, kept.peaks_pA, kept.flat = (
        [np.concatenate(each)[spike]] for each in (kept.rows, kept.peaks_pA, kept.flat)
    )
    kept.sample, kept.segment = (np.array(each)[spike].tolist() for each in (kept.sample, kept.segment))
    note = f"left out {count} of {len(found)} spikes: over {ARTEFACT:g} times as large as most, so they are artefacts"
    return np.array([row for row in found if tuple(row.tolist()) not in gone]), [note]


def _collect(
    recording: Recording,
    options: SpikeOptions,
    levels: Levels,
    sigma: float,
    found: np.ndarray,
    kept: _Kept,
    notes: list[str],
) -> CellSpikes:
    spike_pA = np.concatenate(kept.rows)
    trough_pA = spikes.shape(spike_pA).trough_pA
    if np.median(trough_pA) < -LARGEST_PA:
        notes += [f"WARNING: spikes of {np.median(trough_pA):.0f} pA are no loose-seal spikes; is the unit right?"]
    if 0 < options.mads < LEAST_MADS:
        notes += [f"WARNING: noise alone crosses {options.mads:g} of its deviations many times: give --mads 6"]
    if (rate_Hz := len(found) / recording.duration_s) > FASTEST_HZ:
        notes += [f"WARNING: {rate_Hz:.0f} spikes a second are those of no raphe neuron: is it noise that crosses?"]
    cut_off = _cut_off(kept, levels.ends_pA, sigma)
    clipped = float(cut_off.mean())
    if clipped >= CLIPPED:
        low, high = np.median(np.concatenate(kept.peaks_pA)[cut_off], axis=0)
        notes += [
            f"WARNING: {100 * clipped:.0f} % of the spikes are cut off at {low:.0f} or {high:+.0f} pA of the file"
        ]
    sample, segment = np.array(kept.sample), np.array(kept.segment)
    isi_ms = np.where(np.diff(found[:, 0]) == 0, np.diff(found[:, 1]) * 1000 / recording.rate_Hz, UNKNOWN)
    before = np.concatenate([[UNKNOWN], isi_ms])
    order = {(int(s), int(at)): i for i, (s, at) in enumerate(found)}
    mine = np.array([order[int(s), int(at)] for s, at in zip(segment, sample, strict=True)])
    known = isi_ms[isi_ms > 0]
    baseline = np.concatenate([levels.at(sample[segment == s], int(s)) for s in np.unique(segment)])
    quiet = np.array(kept.noise, np.float32).reshape(-1, spikes.POINTS)
    # Evenly thinned, so that the windows still span the recording.
    quiet = quiet[np.linspace(0, len(quiet) - 1, min(len(quiet), options.noise_windows)).round().astype(int)]
    # The scaled median deviation holds for a recording without a quiet window.
    rms = float(np.sqrt((quiet**2).mean())) if len(quiet) else sigma
    for count, why in (
        (kept.cut_short, "cut by an end of the recording"),
        (kept.with_nan, "with NaN"),
        (len(found) - kept.cut_short - kept.with_nan - len(spike_pA), f"beyond the first {options.most}"),
    ):
        notes += [f"left out {count} of {len(found)} spikes: {why}"] if count > 0 else []
    notes += [f"{levels.missing} samples are NaN"] if levels.missing else []
    return CellSpikes(
        spike_pA=spike_pA,
        time_s=recording.time_s(sample, segment),
        isi_ms=before[mine].astype(np.float32),
        baseline_pA=baseline.astype(np.float32),
        snr=(-trough_pA / max(rms, 1e-6)).astype(np.float32),
        noise_pA=quiet,
        found=len(found),
        rate_Hz=rate_Hz,
        isi_cv=float(known.std() / known.mean()) if len(known) > 2 else UNKNOWN,
        noise_rms_pA=rms,
        drift_pA=float(np.subtract(*np.quantile(levels.baseline, [0.95, 0.05]))),
        duration_s=recording.duration_s,
        clipped=clipped,
        notes=tuple(notes),
    )
