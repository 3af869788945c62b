"""Templates of a phy folder, as Kilosort and others write it: templates.npy, params.py and cluster_*.tsv.

``templates.npy`` (template, time, channel) is in whitened units; ``whitening_mat_inv.npy`` undoes that. Curation merges
and splits clusters: the waveform of a cluster is the mean of its spikes' templates, by ``spike_templates.npy`` and
``spike_clusters.npy``; without them every template is a cluster.
"""

import ast
from pathlib import Path

import numpy as np
import pandas as pd

from spiketype.datasets.waveforms import histograms
from spiketype.datasets.waveforms.table import WaveformTable, build
from spiketype.edge import UserError


def is_phy(path: Path) -> bool:
    """Say whether a folder is one that phy opens."""
    return (path / "params.py").is_file() and (path / "templates.npy").is_file()


def load(path: Path, label: str | None) -> WaveformTable:
    """Read the mean template of each cluster; a column of a ``cluster_*.tsv`` is the label (such as ``group``).

    Raises:
        UserError: files that are missing, damaged or do not fit together; no such column.
    """
    rate_Hz = _rate(path / "params.py")
    template = _templates(path)
    cluster, weight = _clusters(path, len(template))
    isi, acg = _histograms(path, cluster, rate_Hz)
    waveform = np.tensordot(weight, template, axes=1)
    return build(
        path,
        waveform.swapaxes(1, 2),
        rate_Hz / 1000,
        None if label is None else _labels(path, label, cluster),
        unit=cluster.astype(str),
        isi=isi,
        autocorrelogram=acg,
    )


def _rate(file: Path) -> float:
    """Return ``sample_rate`` of params.py, which is parsed, not run."""
    try:
        tree = ast.parse(file.read_text())
        values = {
            target.id: ast.literal_eval(line.value)
            for line in tree.body
            if isinstance(line, ast.Assign)
            for target in line.targets
            if isinstance(target, ast.Name) and target.id == "sample_rate"
        }
        return float(values["sample_rate"])
    except (SyntaxError, ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} does not say sample_rate as a number ({error})") from None


def _array(path: Path, name: str, dimensions: int) -> np.ndarray | None:
    file = path / f"{name}.npy"
    if not file.exists():
        return None
    try:
        values: np.ndarray = np.load(file, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{file} is damaged: {error}") from None
    values = values.reshape(-1) if dimensions == 1 else values
    if values.ndim != dimensions:
        raise UserError(f"{file} has {values.ndim} dimensions, expected {dimensions}")
    return values


def _templates(path: Path) -> np.ndarray:
    """Read templates (template, time, channel) on all channels, unwhitened if the folder says how."""
    template = _array(path, "templates", 3)
    assert template is not None
    index = _array(path, "templates_ind", 2)
    if index is not None:
        if index.shape != template.shape[::2]:
            raise UserError(f"{path}/templates_ind.npy has shape {index.shape}, templates.npy {template.shape}")
        channels = 1 + int(index.max())
        whole = np.zeros((*template.shape[:2], channels + 1), template.dtype)
        # Channels that a template does not have are marked by -1, or by a number that no channel has.
        np.put_along_axis(whole, np.where(index < 0, channels, index)[:, None, :].astype(np.int64), template, axis=2)
        template = whole[:, :, :channels]
    inverse = _array(path, "whitening_mat_inv", 2)
    if inverse is None:
        return template
    if inverse.shape[0] != template.shape[2]:
        raise UserError(f"{path}: whitening_mat_inv.npy is for {len(inverse)} channels, not {template.shape[2]}")
    unwhitened: np.ndarray = template @ inverse
    return unwhitened


def _clusters(path: Path, templates: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the clusters, and the share of each template in their spikes (cluster, template)."""
    of_spike, cluster = _array(path, "spike_templates", 1), _array(path, "spike_clusters", 1)
    if of_spike is None or cluster is None:
        return np.arange(templates), np.eye(templates)
    if len(of_spike) != len(cluster):
        raise UserError(
            f"{path}: spike_templates.npy has {len(of_spike)} spikes, spike_clusters.npy {len(cluster)}: one is cut off"
        )
    if len(of_spike) and of_spike.max() >= templates:
        raise UserError(f"{path}: a spike has template {of_spike.max()}, templates.npy has {templates}")
    numbers, index = np.unique(cluster, return_inverse=True)
    count = np.zeros((len(numbers), templates))
    np.add.at(count, (index, of_spike.astype(np.int64)), 1)
    return numbers, count / count.sum(axis=1, keepdims=True)


def _histograms(path: Path, cluster: np.ndarray, rate_Hz: float) -> tuple[np.ndarray | None, np.ndarray | None]:
    sample, of_spike = _array(path, "spike_times", 1), _array(path, "spike_clusters", 1)
    if sample is None or of_spike is None:
        return None, None
    if len(sample) != len(of_spike):
        raise UserError(f"{path}: spike_times.npy has {len(sample)} spikes, spike_clusters.npy {len(of_spike)}")
    return histograms.histograms(sample * (1000 / rate_Hz), of_spike, cluster)


def _labels(path: Path, label: str, cluster: np.ndarray) -> np.ndarray:
    """Return the column of the first table that has it, for each cluster; "" for clusters that it lacks."""
    columns: list[str] = []
    for file in sorted(path.glob("cluster_*.tsv")):
        try:
            table = pd.read_csv(file, sep="\t", dtype=str).fillna("")
        except (ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
            raise UserError(f"{file} cannot be read as a table: {error}") from None
        key = next((name for name in ("cluster_id", "id") if name in table), None)
        columns += [name for name in table.columns if name != key]
        if key is not None and label in table:
            column = table.drop_duplicates(key).set_index(key)[label]
            return np.asarray(column.reindex(cluster.astype(str)).fillna("").to_numpy(str))
    raise UserError(f"{path} has no column {label!r} in a cluster_*.tsv; it has {', '.join(columns) or 'none'}")
