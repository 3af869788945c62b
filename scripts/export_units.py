"""Export the units of SpikeInterface as an .npz that spiketype reads: run it in your own SpikeInterface environment.

    python export_units.py ANALYZER units.npz
    python export_units.py --sorting SORTING --recording RECORDING units.npz
    spiketype train --task unit --data units.npz --label PROPERTY

ANALYZER is a SortingAnalyzer, as a folder or Zarr, or a folder of waveforms that release 0.100 or one before it
extracted; SORTING and RECORDING are whatever spikeinterface loads. It needs spikeinterface 0.101 or later and nothing
that SpikeInterface does not bring, and writes: ``waveform`` (unit, channel, time), the average template in uV;
``rate_kHz``; ``contact_um``; ``unit``, the ids; a column for each property of units with one word or number a unit;
``isi`` and ``autocorrelogram``, counts in the bins that spiketype uses, summed over segments.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface as si

# What spiketype takes these names for: a property that has one of them is not written.
TAKEN = {"waveform", "rate_kHz", "rate_Hz", "units", "gain", "gain_uV", "gain_to_uV", "unit", "cluster"}
TAKEN |= {"isi", "autocorrelogram", "acg", "file", "allow_pickle", "producer", "contact_um"}
ISI_EDGES_MS = np.r_[0, np.geomspace(1, 1000, 50)]  # as spiketype.datasets.waveforms.histograms has them
LAG_MS, LAG_BINS = 100.0, 50
ROUNDING = 1e-12  # relative, of an edge in samples


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("analyzer", nargs="?", help="a SortingAnalyzer, folder or Zarr, or a folder of old waveforms")
    parser.add_argument("--sorting", help="with --recording instead of an analyzer")
    parser.add_argument("--recording", help="filtered as you want the waveforms to be")
    parser.add_argument("out", type=Path, help="the .npz to write")
    given = parser.parse_args()
    if (given.analyzer is None) == (given.sorting is None) or (given.sorting is None) != (given.recording is None):
        parser.error("give an analyzer, or --sorting and --recording")
    if given.out.suffix != ".npz":
        parser.error(f"{given.out} does not end in .npz")
    if given.out.exists():
        parser.error(f"{given.out} exists: remove it, or choose another name")
    if given.analyzer is None:
        analyzer = si.create_sorting_analyzer(load(given.sorting), load(given.recording), sparse=False)
    else:
        analyzer = load(given.analyzer, old_waveforms if is_old(Path(given.analyzer)) else si.load_sorting_analyzer)
    columns = export(analyzer)
    partial = given.out.with_name(f".{given.out.name}.partial")
    with open(partial, "wb") as file:
        np.savez_compressed(file, **columns)  # type: ignore[arg-type]  # no column has the name allow_pickle
    os.replace(partial, given.out)
    print(f"{given.out}: {len(columns['unit'])} units, columns {', '.join(columns)}")


def is_old(folder: Path) -> bool:
    """Say whether a folder holds waveforms that were extracted before there were analyzers, in 0.100 or before."""
    return (folder / "params.json").is_file() and (folder / "waveforms").is_dir()


def old_waveforms(path: str) -> "si.SortingAnalyzer":
    """Return the analyzer of such a folder, in memory; without its recording where that is gone."""
    try:
        return si.load_waveforms(path, output="SortingAnalyzer")
    except Exception:  # of many kinds
        return si.load_waveforms(path, with_recording=False, output="SortingAnalyzer")


def load(path: str, by: Callable[[str], Any] | None = None) -> Any:
    """Load what SpikeInterface saved; for recordings and sortings, 0.101 has another name."""
    try:
        return (by or getattr(si, "load", None) or si.load_extractor)(path)
    except Exception as error:  # it raises what it likes
        sys.exit(f"error: spikeinterface {si.__version__} cannot load {path}: {error}")


def export(analyzer: "si.SortingAnalyzer") -> dict[str, np.ndarray]:
    """Return the columns of an analyzer; those of units without spikes or a template are left out, and told."""
    waveform = templates(analyzer)
    flat = waveform.reshape(len(waveform), -1)
    keep = np.isfinite(flat).all(axis=1) & (flat.max(axis=1) > flat.min(axis=1))
    unit = np.array([str(one) for one in analyzer.unit_ids])
    if not keep.all():
        left_out = ", ".join(unit[~keep])
        print(f"left out {np.sum(~keep)} of {len(unit)} units, which have no template: {left_out}", file=sys.stderr)
    if not keep.any():
        sys.exit("error: no unit has a template")
    isi, acg = histograms(analyzer)
    columns = {"waveform": waveform.astype(np.float32), "unit": unit, **properties(analyzer.sorting)}
    columns |= {"isi": isi, "autocorrelogram": acg}
    whole = {"rate_kHz": np.array(analyzer.sampling_frequency / 1000), "units": np.array(units(analyzer))}
    whole["producer"] = np.array(f"SpikeInterface {si.__version__}")
    if analyzer.get_probegroup().probes:
        whole["contact_um"] = np.asarray(analyzer.get_channel_locations(), float)
    return {name: values[keep] for name, values in columns.items()} | whole


def in_uV(analyzer: "si.SortingAnalyzer") -> bool:
    """Say whether an analyzer's waveforms are in uV; 0.103 calls it by another name than releases before it."""
    return bool(analyzer.return_in_uV if hasattr(analyzer, "return_in_uV") else analyzer.return_scaled)


def gains(analyzer: "si.SortingAnalyzer") -> tuple[np.ndarray, np.ndarray] | None:
    """Return gain and offset of each channel to uV, or None where the recording has none."""
    found = analyzer.rec_attributes.get("properties") or {}
    if found.get("gain_to_uV") is None or found.get("offset_to_uV") is None:
        return None
    return np.array(found["gain_to_uV"], float), np.array(found["offset_to_uV"], float)


def units(analyzer: "si.SortingAnalyzer") -> str:
    """Return the units of `templates`."""
    return "uV" if in_uV(analyzer) or gains(analyzer) is not None else "as recorded"


def templates(analyzer: "si.SortingAnalyzer") -> np.ndarray:
    """Return average templates (unit, channel, time), of stored waveforms or the recording if need be."""
    if analyzer.has_extension("templates"):
        extension = analyzer.get_extension("templates")
        operator = "average" if "average" in extension.data else "median"
        if operator != "average":
            print("no average is stored: the median of spikes is taken", file=sys.stderr)
        found = np.asarray(extension.get_data(operator=operator), float)
    elif analyzer.has_extension("waveforms"):
        print("no templates are stored: the mean of the stored waveforms is taken", file=sys.stderr)
        extension = analyzer.get_extension("waveforms")
        spikes = [extension.get_waveforms_one_unit(unit, force_dense=True) for unit in analyzer.unit_ids]
        found = np.array([x.mean(axis=0, dtype=float) if len(x) else np.zeros(x.shape[1:]) for x in spikes])
    elif analyzer.has_recording():  # in memory: the user's analyzer stays as it is
        analyzer = si.create_sorting_analyzer(analyzer.sorting, analyzer.recording, sparse=False)
        analyzer.compute("random_spikes", seed=0)
        analyzer.compute("templates", operators=["average"])
        found = np.asarray(analyzer.get_extension("templates").get_data(), float)
    else:
        sys.exit("error: the analyzer has no templates, and no waveforms or recording to compute them from")
    if not in_uV(analyzer):
        scale = gains(analyzer)
        if scale is None:
            print("the recording has no gains: waveforms stay as recorded, not in uV", file=sys.stderr)
        else:  # zero stays zero where there is no template: outside a unit's sparsity, and without spikes
            there = found.any(axis=(1, 2), keepdims=True)
            there = there if analyzer.sparsity is None else there & analyzer.sparsity.mask[:, None, :]
            found = found * scale[0] + np.where(there, scale[1], 0)
    return found.swapaxes(1, 2)


def properties(sorting: "si.BaseSorting") -> dict[str, np.ndarray]:
    """Return the properties of units that are one word or number a unit; say which others there are."""
    found: dict[str, np.ndarray] = {}
    for name in sorting.get_property_keys():
        values = np.asarray(sorting.get_property(name))
        if values.dtype.kind == "O" and values.ndim == 1:
            values = np.array([str(value) for value in values])
        if name in TAKEN or values.ndim != 1 or values.dtype.kind not in "biufUS":
            print(f"property {name!r} is not written ({values.dtype}, {values.shape})", file=sys.stderr)
        else:
            found[name] = values
    return found


def histograms(analyzer: "si.SortingAnalyzer") -> tuple[np.ndarray, np.ndarray]:
    """Return counts of intervals and of lags (unit, bin), each segment's own, summed over segments."""
    isi = np.zeros((len(analyzer.unit_ids), len(ISI_EDGES_MS) - 1), np.int64)
    acg = np.zeros((len(analyzer.unit_ids), LAG_BINS), np.int64)
    sorting, rate_kHz = analyzer.sorting, float(analyzer.sampling_frequency) / 1000
    acg_edges = edges(np.linspace(0, LAG_MS, LAG_BINS + 1), rate_kHz)
    isi_edges = edges(ISI_EDGES_MS, rate_kHz)
    isi_edges[-1] = np.floor(ISI_EDGES_MS[-1] * rate_kHz * (1 + ROUNDING))  # the last bin has both of its edges
    for row, unit in enumerate(analyzer.unit_ids):
        for segment in range(sorting.get_num_segments()):
            sample = np.sort(sorting.get_unit_spike_train(unit, segment_index=segment)).astype(np.int64)
            isi[row] += np.histogram(np.diff(sample), isi_edges)[0]
            earlier = np.arange(1, len(sample) + 1)  # and itself: pairs below an edge are counted without forming them
            below = [np.sum(np.searchsorted(sample, sample + edge) - earlier) for edge in acg_edges[1:]]
            acg[row] += np.diff(np.array(below, np.int64), prepend=0)
    return isi, acg


def edges(edges_ms: np.ndarray, rate_kHz: float) -> np.ndarray:
    """Return the first whole sample at or after each edge: differences of samples are then counted exactly."""
    return np.ceil(edges_ms * rate_kHz * (1 - ROUNDING)).astype(np.int64)


if __name__ == "__main__":
    main()
