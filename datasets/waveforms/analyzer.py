"""Templates of a SpikeInterface SortingAnalyzer, from its files (`analyzer_files`).

Read are ``settings`` (whether values are in uV: ``return_in_uV``, before 0.103 ``return_scaled``), ``sorting`` (rate,
unit ids, spikes, properties of units), ``recording_info`` (channels, gains), ``sparsity_mask``, and of ``extensions``
either ``templates``, which are dense, or ``random_spikes`` and ``waveforms``, whose channels the sparsity mask packs.
"""

from pathlib import Path

import numpy as np

from spiketype import reading
from spiketype.datasets.waveforms import curation, histograms
from spiketype.datasets.waveforms.analyzer_files import Source, open_source
from spiketype.datasets.waveforms.columns import ORIGIN
from spiketype.datasets.waveforms.table import WaveformTable, build
from spiketype.edge import Json, UserError

MOST = 100_000  # channels, or segments: more are damage
OPERATORS = ("average", "median")  # the first of the computed templates that is there counts
RATE_TOLERANCE_HZ = 0.1  # SpikeInterface's own, between the recording's rate and the sorting's
UM = {"um": 1.0, "mm": 1e3, "m": 1e6}  # of probeinterface's units
BLOCK = 1000  # waveforms held at once while they are averaged
REMEDY = "compute them with analyzer.compute(['random_spikes', 'templates'])"


def load(path: Path, label: str | None) -> WaveformTable:
    """Read the average template of each unit, in uV where the recording's gains are known; a property is the label.

    Where no average was stored, the median is taken, or else the mean of the stored waveforms; stderr says so. The
    template of a unit without spikes is zero, and `build` leaves it out.

    Raises:
        UserError: no templates or waveforms were computed, no such property, files that are damaged or do not fit
            together, or what `build` refuses.
    """
    source = open_source(path)
    analyzer = _Analyzer(source)
    values = None if label is None else _property(analyzer, label)
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, and is left out
        template, units = analyzer.in_uV(analyzer.templates())
        template = template.astype(np.float32)
    isi, acg = analyzer.histograms()
    return build(
        path,
        template.swapaxes(1, 2),
        analyzer.rate_Hz / 1000,
        values,
        unit=analyzer.units,
        units=units,
        producer=f"SpikeInterface {source.version()}".strip(),
        contact_um=analyzer.contacts(),
        isi=isi,
        autocorrelogram=acg,
        origin=[word for name in ORIGIN if name in source.names("sorting/properties") for word in _texts(source, name)],
        spikes=analyzer.averaged(),
        curated=_curated(analyzer, label),
    )


def _curated(analyzer: "_Analyzer", label: str | None) -> dict[str, np.ndarray]:
    """Return the words of curators by property, but for the one that is the label."""
    found = {}
    for name in curation.COLUMNS:
        if name != label and name in analyzer.source.names("sorting/properties"):
            try:
                found[f"the property {name}"] = _property(analyzer, name)
            except UserError as error:
                reading.note(analyzer.source.path, f"units may be among these that were curated as noise: {error}")
    return found


def _texts(source: Source, name: str) -> list[str]:
    """Return the different words of a property; none where it holds numbers."""
    try:
        values = source.array(f"sorting/properties/{name}")
    except UserError:  # nothing depends on it
        return []
    return np.unique(values.astype(str)).tolist() if values is not None and values.dtype.kind in "UST" else []


def _property(analyzer: "_Analyzer", label: str) -> np.ndarray:
    """Return a property of units (unit,).

    Raises:
        UserError: no such property, or one that is not a word or a number for each unit.
    """
    source = analyzer.source
    known = label in source.names("sorting/properties")
    values = source.array(f"sorting/properties/{label}") if known else None
    if values is None:
        listed = ", ".join(source.names("sorting/properties")) or "none"
        raise UserError(f"{source.path}: units have no property {label!r}; they have {listed}")
    if values.shape != analyzer.units.shape or values.dtype.kind not in "biufUST":
        raise UserError(
            f"{source.path}: property {label!r} has shape {values.shape} and type {values.dtype}, expected a word or a"
            f" number for each of {len(analyzer.units)} units: choose another property"
        )
    return values


class _Analyzer:
    """What an analyzer says of units, channels and spikes, checked."""

    def __init__(self, source: Source) -> None:
        self.source = source
        settings, sorting, self.recording = (source.json(name) for name in ("settings", "sorting", "recording"))
        self.rate_Hz = self._number(sorting, "sampling_frequency", "sorting")
        recorded_Hz = self._number(self.recording, "sampling_frequency", "recording")
        if abs(self.rate_Hz - recorded_Hz) > RATE_TOLERANCE_HZ:
            raise UserError(
                f"{source.path}: the sorting has {self.rate_Hz:g} Hz, the recording {recorded_Hz:g} Hz: make the"
                " analyzer again from a sorting of this recording"
            )
        self.segments = self._count(sorting, "num_segments", "sorting")
        recorded = self.recording.get("num_samples")  # of each segment
        if isinstance(recorded, list) and len(recorded) != self.segments:
            raise UserError(
                f"{source.path}: the sorting has {self.segments} segments, the recording {len(recorded)}: the files do"
                " not belong together"
            )
        self.channels = self._count(self.recording, "num_channels", "recording")
        said = settings.get("return_in_uV", settings.get("return_scaled"))
        if not isinstance(said, bool):
            raise self._incomplete("settings", "return_in_uV or return_scaled")
        self.scaled = said
        self.units = source.unit_ids(sorting)
        if len(set(self.units.tolist())) != len(self.units):
            raise UserError(f"{source.path}: two units have one id among {', '.join(self.units)}: rename one")
        self.mask = self._mask()
        self.spike_sample, self.spike_unit, self.spike_segment = self._spikes()

    def _number(self, values: Json, key: str, name: str) -> float:
        value = values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
            raise self._incomplete(name, key)
        return float(value)

    def _count(self, values: Json, key: str, name: str) -> int:
        value = self._number(values, key, name)
        if value > MOST or value != int(value):
            raise self._incomplete(name, key)
        return int(value)

    def _incomplete(self, name: str, key: str) -> UserError:
        return UserError(
            f"{self.source.path} is not a complete SortingAnalyzer: its {name} lacks {key}, or holds no valid one:"
            " copy it again, or save it with analyzer.save_as"
        )

    def _mask(self) -> np.ndarray:
        """Return the sparsity mask (unit, channel), all true for a dense analyzer."""
        mask, shape = self.source.array("sparsity_mask"), (len(self.units), self.channels)
        if mask is None:
            return np.ones(shape, bool)
        if mask.shape != shape or mask.dtype != bool:
            raise UserError(
                f"{self.source.path}: sparsity_mask is {mask.dtype} of shape {mask.shape}, expected bool of {shape}"
                " (units, channels): the files do not belong together"
            )
        return mask

    def _spikes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return sample, unit and segment (spike,) as indices."""
        sample, unit, segment = self.source.spikes(self.segments)
        if {index.dtype.kind for index in (sample, unit, segment)} - set("iu"):
            raise self.source.damaged("sorting/spikes", "samples or indices are not whole numbers")
        for name, index, bound in (("unit", unit, len(self.units)), ("segment", segment, self.segments)):
            if len(index) and not (index.min() >= 0 and index.max() < bound):
                raise UserError(
                    f"{self.source.path}: a spike has {name} {index.max()}, there are {bound} {name}s: the files do not"
                    " belong together"
                )
        return sample.astype(np.int64), unit.astype(np.int64), segment

    def templates(self) -> np.ndarray:
        """Return a template of each unit (unit, time, channel), as stored; zero where a unit has no channel.

        Raises:
            UserError: there are neither templates nor waveforms, or they have another shape.
        """
        for operator in OPERATORS:
            found = self._computed("templates", operator)
            if found is not None:
                break
        else:
            return self._mean()
        shape = (len(self.units), self.channels)
        if found.ndim != 3 or (found.shape[0], found.shape[2]) != shape or found.dtype.kind not in "fiu":
            raise UserError(
                f"{self.source.path}: templates are {found.dtype} of shape {found.shape}, expected numbers of"
                f" ({shape[0]} units, time, {shape[1]} channels): the files do not belong together"
            )
        if operator != OPERATORS[0]:
            reading.note(self.source.path, f"no average is stored: the {operator} of spikes is taken")
        return found

    def _computed(self, extension: str, name: str) -> np.ndarray | None:
        if not self.source.completed(extension):
            return None
        return self.source.array(f"extensions/{extension}/{name}")

    def _mean(self) -> np.ndarray:
        """Return the mean (unit, time, channel) of the stored waveforms (spike, time, packed channel)."""
        path = self.source.path
        index, waveform = self._computed("random_spikes", "random_spikes_indices"), None
        if index is not None:
            waveform = self._computed("waveforms", "waveforms")
        if index is None or waveform is None:
            raise UserError(f"{path} has no templates: {REMEDY}")
        packed = int(self.mask.sum(axis=1).max(initial=0))
        fits = waveform.ndim == 3 and waveform.shape[::2] == (len(index), packed) and waveform.dtype.kind in "fiu"
        if not fits or index.ndim != 1 or index.dtype.kind not in "iu":
            raise UserError(
                f"{path}: waveforms are {waveform.dtype} of shape {waveform.shape}, expected numbers of ({len(index)}"
                f" random spikes, time, {packed} channels): the files do not belong together"
            )
        if len(index) and not (index.min() >= 0 and index.max() < len(self.spike_unit)):
            raise UserError(
                f"{path}: random spike {index.max()} is not among the {len(self.spike_unit)} spikes: the files do not"
                " belong together"
            )
        reading.note(path, "no templates are stored: the mean of the stored waveforms is taken")
        unit = self.spike_unit[index]
        total = np.zeros((len(self.units), waveform.shape[1], packed))
        for start in range(0, len(unit), BLOCK):
            np.add.at(total, unit[start : start + BLOCK], waveform[start : start + BLOCK].astype(np.float64))
        count = np.bincount(unit, minlength=len(self.units))
        mean = total / np.maximum(count, 1)[:, None, None]
        dense = np.zeros((len(self.units), waveform.shape[1], self.channels))
        for row, mask in enumerate(self.mask):
            dense[row][:, mask] = mean[row][:, : mask.sum()]
        return dense

    def averaged(self) -> np.ndarray:
        """Return of how many spikes the template of each unit is, at most: those chosen at random, or else all."""
        index = self._computed("random_spikes", "random_spikes_indices")
        fits = index is not None and index.ndim == 1 and index.dtype.kind in "iu" and len(index)
        if index is None or not fits or not (index.min() >= 0 and index.max() < len(self.spike_unit)):
            index = np.arange(len(self.spike_unit))
        return np.bincount(self.spike_unit[index], minlength=len(self.units))

    def contacts(self) -> np.ndarray | None:
        """Return the position of each channel (um) (channel, 2 or 3), in the order of ``get_channel_locations``.

        None without a probe, or where its wiring does not give every channel a contact of its own.
        """
        probes = self.source.probes()
        try:
            position = np.concatenate(
                [np.array(probe["contact_positions"], float) * UM[probe.get("si_units", "um")] for probe in probes]
            )
            wired = np.concatenate([np.array(probe["device_channel_indices"], int) for probe in probes])
        except (KeyError, TypeError, ValueError, OverflowError):  # ValueError: no probes, too
            return None
        if position.ndim != 2 or wired.shape != (len(position),):
            return None
        used = wired >= 0
        position, wired = position[used], wired[used]
        return position[np.argsort(wired)] if sorted(wired.tolist()) == list(range(self.channels)) else None

    def in_uV(self, template: np.ndarray) -> tuple[np.ndarray, str]:
        """Return templates (unit, time, channel) in uV where the recording has gains, and their units.

        Where there is no template, zero stays zero: on channels outside a unit's sparsity mask, and without spikes.
        """
        if self.scaled:
            return template, "uV"
        path, properties = self.source.path, self.recording.get("properties")
        found = [
            properties.get(name) if isinstance(properties, dict) else None for name in ("gain_to_uV", "offset_to_uV")
        ]
        if None in found:
            reading.note(path, "the recording has no gains: waveforms stay as recorded, not in uV")
            return template, "as recorded"
        try:
            gain, offset = (np.array(values, np.float64) for values in found)
        except (TypeError, ValueError, OverflowError):
            gain = offset = np.full(0, np.nan)
        if gain.shape != (self.channels,) or offset.shape != gain.shape or not np.isfinite([gain, offset]).all():
            raise UserError(
                f"{path}: recording_info has no finite gain_to_uV and offset_to_uV for each of {self.channels}"
                " channels: set them with recording.set_channel_gains and set_channel_offsets, and make the analyzer"
                " again"
            )
        there = self.mask[:, None, :] & template.any(axis=(1, 2), keepdims=True)
        return template * gain + np.where(there, offset, 0), "uV"

    def histograms(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the histograms of intervals and lags (unit, bin), each segment's own, summed over segments."""
        time_ms, names = self.spike_sample * (1000 / self.rate_Hz), np.arange(len(self.units))
        histograms.check_times(self.source.path, time_ms)
        parts = [self.spike_segment == segment for segment in range(self.segments)]
        found = [histograms.histograms(time_ms[part], self.spike_unit[part], names) for part in parts]
        isi, acg = (np.sum(counts, axis=0) for counts in zip(*found, strict=True))
        return isi, acg
