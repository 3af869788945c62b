"""Templates of a phy folder, as Kilosort, SpikeInterface and others write it: templates.npy, params.py, cluster_*.tsv.

``templates.npy`` (template, time, channel) holds all channels, or those that ``template_ind.npy`` names. What
Kilosort's matrices mean depends on its version (`phy_whitening`), and so do ``amplitudes.npy`` (`_factors`). Curation
merges and splits clusters: the waveform of a cluster is the mean over its spikes of template times amplitude, by
``spike_templates.npy`` and ``spike_clusters.npy``; without them every template is a cluster.

phylib is the oracle of the tests and not the reader: its ``load_model`` runs params.py, opens templates.npy for
writing, creates files in the folder, and applies the inverse of Kilosort 4 untransposed.
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spiketype import reading
from spiketype.damage import readable
from spiketype.datasets.waveforms import curation, histograms, phy_params, phy_whitening
from spiketype.datasets.waveforms.phy_arrays import array, is_kilosort_4, whole
from spiketype.datasets.waveforms.table import UNKNOWN, WaveformTable, build
from spiketype.edge import UserError

SPIKEINTERFACE = ("channel_map_si.npy", "cluster_si_unit_ids.tsv")


def is_phy(path: Path) -> bool:
    """Say whether a folder is one that phy opens."""
    return (path / "params.py").is_file() and (path / "templates.npy").is_file()


def load(path: Path, label: str | None) -> WaveformTable:
    """Read the mean template of each cluster that has spikes; what was left out, and why, is listed on stderr.

    Args:
        path: the folder.
        label: a column of a ``cluster_*.tsv`` or ``.csv``, such as ``group``.

    Raises:
        UserError: files that are missing, damaged or do not fit together; no such column; no cluster that can be read.
    """
    said = _Said(path)
    rate_Hz, channels_dat = phy_params.read(path / "params.py")
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is left out and said
        template, broken = _templates(path, channels_dat, said)
        template, units, told = phy_whitening.undone(path, template)
        said.lines += [told] if told else []
        spikes = _spikes(path, len(template), said)
        cluster, waveform = _means(template, broken, spikes, said)
        kept = _usable(cluster, waveform, spikes, said)
    cluster, waveform = _curated(path, cluster[kept], waveform[kept], label, said)
    if not len(cluster):
        raise UserError(f"{path}: none of its clusters can be read ({'; '.join(said.reasons) or 'there are none'})")
    values = None if label is None else _labels(path, label, cluster, said)
    isi, acg = _histograms(path, spikes, cluster, rate_Hz)
    said.out()
    return build(
        path,
        waveform.swapaxes(1, 2),
        rate_Hz / 1000,
        values,
        unit=cluster.astype(str),
        units=units,
        producer=_producer(path),
        contact_um=array(path, "channel_positions", 2),
        isi=isi,
        autocorrelogram=acg,
        spikes=_counts(spikes, cluster),
    )


def _counts(spikes: "_Spikes", cluster: np.ndarray) -> np.ndarray | None:
    """Return the number of spikes of each cluster; None where all have one, as in a folder cut down to templates."""
    numbers, counts = np.unique(spikes.cluster, return_counts=True)
    return counts[np.searchsorted(numbers, cluster)] if spikes.real and counts.max() > 1 else None


def _producer(path: Path) -> str:
    """Return the program that wrote a folder, as far as its files tell."""
    if any((path / name).exists() for name in SPIKEINTERFACE):
        return "SpikeInterface (phy)"
    if is_kilosort_4(path):
        return "Kilosort 4 (phy)"
    return "phy"


@dataclass
class _Said:
    """What the user is told about a folder, at once and on stderr."""

    path: Path
    lines: list[str] = field(default_factory=list)
    left_out: dict[str, list[int]] = field(default_factory=dict)

    def leave_out(self, cluster: int, why: str) -> None:
        """Note that a cluster is left out."""
        self.left_out.setdefault(why, []).append(cluster)

    @property
    def reasons(self) -> list[str]:
        """What was left out and why, a line for each reason."""
        return [
            f"cluster{'s' * (len(c) > 1)} {', '.join(map(str, c[:10]))}{f' and {len(c) - 10} more' * (len(c) > 10)}"
            f" left out: {why}"
            for why, c in self.left_out.items()
        ]

    def out(self) -> None:
        """Print it."""
        for line in self.lines + self.reasons:
            reading.note(self.path, line)


# --- arrays


def _templates(path: Path, channels_dat: int | None, said: _Said) -> tuple[np.ndarray, dict[int, str]]:
    """Read templates (template, time, channel) on all channels, zero where they are not; and which are broken, why."""
    template = array(path, "templates", 3)
    if template is None or not template.size:
        raise UserError(f"{path / 'templates.npy'} is empty: export the folder again")
    broken: dict[int, str] = {}
    name = "template_ind" if (path / "template_ind.npy").exists() else "templates_ind"
    index, channels = whole(path, name, 2), _channels(path)
    if index is not None and index.shape != template.shape[::2]:
        if name == "template_ind" or channels != template.shape[2]:
            raise UserError(
                f"{path / name}.npy has shape {index.shape}, templates.npy {template.shape}: one is cut off"
            )
        index = None  # templates on all channels need none, and phy itself does not read templates_ind.npy
    if index is not None:
        channels = channels_dat if channels is None else channels
        if channels is None:
            raise UserError(
                f"{path} does not say how many channels there are: restore channel_map.npy, or give n_channels_dat in"
                " params.py"
            )
        template = _dense(template, index, channels, name, broken)
    elif channels is not None and channels != template.shape[2]:
        raise UserError(
            f"{path}: templates.npy has {template.shape[2]} channels, channel_map.npy or channel_positions.npy"
            f" {channels}, and there is no template_ind.npy to say which: export the folder again"
        )
    elif channels is None and channels_dat not in (None, template.shape[2]):
        said.lines.append(
            f"no channel_map.npy: all {template.shape[2]} channels of templates.npy are taken in order, though"
            f" n_channels_dat is {channels_dat}"
        )
    template = template.astype(np.float64)
    for t in np.flatnonzero(~np.isfinite(template).all(axis=(1, 2))).tolist():
        broken[t] = f"template {t} is not finite"
        template[t] = 0  # lest a template that no spike uses makes all means NaN
    return template, broken


def _channels(path: Path) -> int | None:
    """Return the number of sorted channels, None if neither channel_map.npy nor channel_positions.npy is there."""
    arrays = array(path, "channel_map", 1), array(path, "channel_positions", 2)
    counts = {len(a) for a in arrays if a is not None}
    if len(counts) > 1:
        raise UserError(f"{path}: channel_map.npy and channel_positions.npy are of different lengths: one is cut off")
    return counts.pop() if counts else None


def _dense(template: np.ndarray, index: np.ndarray, channels: int, name: str, broken: dict[int, str]) -> np.ndarray:
    """Put channels in their places: -1, `channels`, and any other number of an empty column mean no channel."""
    inside = (index >= 0) & (index < channels)
    strange = ~inside & (index != -1) & (index != channels) & np.nan_to_num(template).any(axis=1)
    for t in np.flatnonzero(strange.any(axis=1)).tolist():
        broken[t] = f"{name}.npy gives template {t} channel {index[t][strange[t]][0]}, there are {channels}"
    for t, row in enumerate(index):
        if len(np.unique(row[inside[t]])) < inside[t].sum():
            broken[t] = f"{name}.npy gives template {t} a channel twice"
    whole = np.zeros((*template.shape[:2], channels + 1), template.dtype)
    np.put_along_axis(whole, np.where(inside, index, channels)[:, None, :], template, axis=2)
    return whole[:, :, :channels]


# --- spikes and clusters


@dataclass
class _Spikes:
    """Cluster, template and factor of its template of each spike; without spikes, one of each template.

    Attributes:
        factor: NaN where the amplitude is not a number.
        real: whether they are spikes.
    """

    cluster: np.ndarray
    template: np.ndarray
    factor: np.ndarray
    real: bool


def _spikes(path: Path, templates: int, said: _Said) -> _Spikes:
    template, cluster = whole(path, "spike_templates", 1), whole(path, "spike_clusters", 1)
    if template is None and cluster is None:
        every = np.arange(templates)
        said.lines.append("no spike_templates.npy: every template is taken as a cluster")
        return _Spikes(every, every, np.ones(templates), real=False)
    if template is None:
        raise UserError(f"{path} lacks spike_templates.npy, without which clusters have no waveform: restore it")
    cluster = template if cluster is None else cluster  # phy begins with the templates as clusters
    if len(template) != len(cluster):
        raise UserError(
            f"{path}: spike_templates.npy has {len(template)} spikes, spike_clusters.npy {len(cluster)}: one is cut off"
        )
    if _are_detection_templates(path, template, cluster, templates):
        said.lines.append("spike_templates.npy is of Kilosort 4.0 and numbers no rows of templates.npy: clusters do")
        template = cluster
    if idle := templates - len(np.unique(template[(template >= 0) & (template < templates)])):
        said.lines.append(f"{idle} of {templates} templates have no spikes, and are no units")
    return _Spikes(cluster, template, _factors(path, template, templates, said), real=True)


def _are_detection_templates(path: Path, template: np.ndarray, cluster: np.ndarray, templates: int) -> bool:
    """Say whether a folder is of Kilosort 4.0, whose spike_templates.npy numbers other templates than templates.npy."""
    if not (path / "whitening_mat_dat.npy").exists() or (path / "spike_detection_templates.npy").exists():
        return False
    first = cluster < templates  # not made in phy, so these should be their own templates
    return bool(first.any() and np.mean(template[first] == cluster[first]) < 0.5)


def _factors(path: Path, template: np.ndarray, templates: int, said: _Said) -> np.ndarray:
    """Return by what the template of each spike is to be multiplied.

    Kilosort 1 to 3 and others store that as amplitude. In folders of Kilosort 4 and SpikeInterface templates are means
    already and amplitudes are measured, the latter with a sign: divided by their mean over a template's spikes.
    """
    amplitude = array(path, "amplitudes", 1)
    if amplitude is None:
        said.lines.append("no amplitudes.npy: all spikes count alike")
        return np.ones(len(template))
    if len(amplitude) != len(template):
        raise UserError(f"{path}: amplitudes.npy has {len(amplitude)} spikes, spike_templates.npy {len(template)}")
    amplitude = np.where(np.isfinite(amplitude), amplitude, np.nan).astype(np.float64)
    finite = np.isfinite(amplitude) & (template >= 0) & (template < templates)
    measured = is_kilosort_4(path) or any((path / name).exists() for name in SPIKEINTERFACE)
    if not measured and (not finite.any() or np.median(amplitude[finite]) > 0):
        return amplitude
    of, size = template[finite], np.abs(amplitude[finite])
    mean = np.bincount(of, size, templates) / np.maximum(np.bincount(of, minlength=templates), 1)
    amplitude[finite] = np.divide(size, mean[of], out=np.ones(len(of)), where=mean[of] > 0)
    return amplitude


def _means(template: np.ndarray, broken: dict[int, str], spikes: _Spikes, said: _Said) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the clusters that have a mean, and their means (cluster, time, channel)."""
    cluster, row = np.unique(spikes.cluster, return_inverse=True)
    shape = len(cluster), len(template)
    known = (spikes.template >= 0) & (spikes.template < len(template))
    for c in np.unique(spikes.cluster[~known]).tolist():
        one = spikes.template[~known & (spikes.cluster == c)][0]
        said.leave_out(c, f"a spike has template {one}, templates.npy has {len(template)}")
    used = known & np.isfinite(spikes.factor)
    place = row[used] * shape[1] + spikes.template[used]
    count = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
    total = np.bincount(place, spikes.factor[used], shape[0] * shape[1]).reshape(shape)
    share = total / np.maximum(count.sum(axis=1, keepdims=True), 1)
    lost = np.isin(cluster, spikes.cluster[~known])
    for k, c in enumerate(cluster.tolist()):
        bad = [why for t, why in sorted(broken.items()) if count[k, t]]
        if not lost[k] and (bad or not count[k].any() or (share[k][count[k] > 0] <= 0).any()):
            unusable = "no spike has an amplitude" if not count[k].any() else "the mean amplitude is not positive"
            said.leave_out(c, bad[0] if bad else unusable)
            lost[k] = True
    return cluster[~lost], np.tensordot(share[~lost], template, axes=1)


def _usable(cluster: np.ndarray, waveform: np.ndarray, spikes: _Spikes, said: _Said) -> np.ndarray:
    """Return the rows that can be used: not constant, and of the same waveform only the cluster with most spikes."""
    single = waveform.astype(np.float32)
    numbers, counts = np.unique(spikes.cluster, return_counts=True)
    first: dict[bytes, int] = {}
    for k in np.argsort(-counts[np.searchsorted(numbers, cluster)], kind="stable").tolist():
        if not np.isfinite(single[k]).all():
            said.leave_out(int(cluster[k]), "the waveform is not finite")
        elif single[k].max() == single[k].min():
            said.leave_out(int(cluster[k]), "the waveform is constant on all channels")
        elif (same := first.setdefault(single[k].tobytes(), k)) != k:
            said.leave_out(int(cluster[k]), f"the very same waveform as cluster {cluster[same]}, as after a split")
    return np.array(sorted(first.values()), np.int64)


def _histograms(
    path: Path, spikes: _Spikes, cluster: np.ndarray, rate_Hz: float
) -> tuple[np.ndarray | None, np.ndarray | None]:
    sample = array(path, "spike_times", 1)
    if sample is None or not spikes.real:
        return None, None
    if len(sample) != len(spikes.cluster):
        raise UserError(f"{path}: spike_times.npy has {len(sample)} spikes, spike_clusters.npy {len(spikes.cluster)}")
    if not np.isfinite(sample).all():
        raise UserError(f"{path / 'spike_times.npy'} has times that are not finite: it is damaged")
    histograms.check_samples(path / "spike_times.npy", sample, spikes.cluster, rate_Hz)
    return histograms.histograms(sample * (1000 / rate_Hz), spikes.cluster, cluster)


# --- labels


def _curated(
    path: Path, cluster: np.ndarray, waveform: np.ndarray, label: str | None, said: _Said
) -> tuple[np.ndarray, np.ndarray]:
    """Return clusters and waveforms without those that were curated as noise, unless just that is the label."""
    if label in curation.COLUMNS:
        return cluster, waveform
    told, words = _Said(path), {}  # what is told is told here, because what is not found is said at once
    known = {column for file in _tables(path) for column in _names(file)}
    for column in curation.COLUMNS:
        files = [f.name for f in _tables(path) if f.stem in (f"cluster_{column}", f"cluster_{column}s")]
        if column not in known and not files:
            continue
        try:
            words[files[0] if files else f"the column {column}"] = _labels(path, column, cluster, told)
        except UserError as error:
            said.lines.append(f"curation is not used: {error}")
    noise, lines = curation.reasons(words)
    said.lines += told.lines + [line.replace(" units ", " clusters ") for line in lines]
    lost = np.zeros(len(cluster), bool)
    for why, rows in noise.items():
        for number in cluster[rows & ~lost].tolist():
            said.leave_out(number, why)
        lost |= rows
    return cluster[~lost], waveform[~lost]


def _tables(path: Path) -> list[Path]:
    """Return the tables of clusters, by name."""
    return [file for kind in ("tsv", "csv") for file in sorted(path.glob(f"cluster_*.{kind}"))]


def _names(file: Path) -> list[str]:
    """Return the names of a table's columns; none of one that cannot be read."""
    try:
        return _table(file)[0]
    except UserError:
        return []


def _labels(path: Path, label: str, cluster: np.ndarray, said: _Said) -> np.ndarray:
    """Return a column for each cluster, "" for those that it lacks, from the table named after it before any other.

    Phy's cluster_info.tsv repeats the other tables as they were when last saved, so it comes last.
    """
    files, own = _tables(path), {f"cluster_{label}", f"cluster_{label}s"}
    columns: list[str] = []
    for file in sorted(files, key=lambda f: (f.stem not in own, f.stem == "cluster_info")):
        try:
            names, rows = _table(file)
        except UserError as error:
            said.lines.append(str(error))
            continue
        key = next((name for name in ("cluster_id", "id") if name in names), None)
        columns += [name for name in names if name != key and name not in columns]
        if key is not None and label in names and label != key:
            where = names.index(key), names.index(label)
            whole = [row for row in rows if len(row) > max(where)]
            return _of_clusters(file, [(row[where[0]], row[where[1]]) for row in whole], cluster, said)
    said.out()
    raise UserError(f"{path} has no column {label!r} in a cluster_*.tsv or .csv; it has {', '.join(columns) or 'none'}")


def _table(file: Path) -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns and the rows of a table with tabs or, as some .csv of phy, commas.

    Raises:
        UserError: a file that cannot be read.
    """
    text = phy_params.text_of(file)
    with readable(file, "a table"):
        rows = list(csv.reader(text.splitlines(), delimiter="\t" if "\t" in text else ","))
    stripped = [[word.strip() for word in row] for row in rows if row]
    return (stripped[0], stripped[1:]) if stripped else ([], [])


def _of_clusters(file: Path, pairs: list[tuple[str, str]], cluster: np.ndarray, said: _Said) -> np.ndarray:
    """Return the value of each cluster from its number and value in a table; a cluster with several has none."""
    found: dict[str, set[str]] = {}
    for number, word in pairs:
        if word.lower() not in UNKNOWN:
            found.setdefault(number.removesuffix(".0"), set()).add(word)
    values = [sorted(found.get(str(c), ())) for c in cluster]
    several = [f"{c} ({', '.join(words)})" for c, words in zip(cluster, values, strict=True) if len(words) > 1]
    if several:
        said.lines.append(f"{file.name}: clusters with several labels have none: {'; '.join(several)}")
    return np.array([words[0] if len(words) == 1 else "" for words in values], dtype=str)
