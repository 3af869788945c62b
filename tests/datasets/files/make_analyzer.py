"""Write small analyzers with a release of SpikeInterface, and what that release itself reads from them.

Run in an environment of its own (Python 3.11), with any name for it:

    uv venv /tmp/si && uv pip install --python /tmp/si/bin/python spikeinterface==0.103.0
    /tmp/si/bin/python make_analyzer.py tests/datasets/files/analyzer_0.103.0.zip

The zip holds four analyzers and ``oracle.npz`` with ``NAME_average`` (unit, time, channel) in uV as the release itself
computes it, for some ``NAME_median``, ``NAME_unit``, and the ``correlogram`` (unit with spikes, lag); and
``exported_NAME.npz``, what scripts/export_units.py writes in this environment.
`uV` and `raw` are folders with words as unit ids, `uV.zarr` and `raw.zarr` have numbers. `raw.zarr` has waveforms and
no templates. Two segments; channel 5 is in no unit's sparsity; the third unit has no spikes.
"""

import inspect
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import spikeinterface as si
from probeinterface import generate_linear_probe

RATE_HZ, SECONDS, CHANNELS, UNITS = 24000.0, (2.0, 1.5), 6, 5
WORDS, NUMBERS = ["u1", "u2", "silent", "u4", "u5"], [3, 7, 8, 12, 40]
SILENT = 2
MASK = np.array(
    [[1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0], [1, 0, 1, 0, 1, 0]], bool
)
SCALED = "return_in_uV" if tuple(map(int, si.__version__.split(".")[:2])) >= (0, 103) else "return_scaled"
EXPORT = Path(__file__).resolve().parents[3] / "scripts" / "export_units.py"
WINDOW = {"ms_before": 0.5, "ms_after": 1.0}


def recorded(folder: Path) -> tuple[si.BaseRecording, list[np.ndarray], list[np.ndarray]]:
    """Return a recording in int16 with a gain and an offset for each channel, and sample and unit of its spikes."""
    rng = np.random.default_rng(0)
    shape = -np.exp(-(((np.arange(40) - 12) / 4) ** 2)) + 0.4 * np.exp(-(((np.arange(40) - 20) / 6) ** 2))
    amplitude = rng.uniform(200, 900, (UNITS, CHANNELS))
    traces, samples, units = [], [], []
    for seconds in SECONDS:
        length = int(seconds * RATE_HZ)
        x = rng.normal(0, 20, (length, CHANNELS))
        sample = np.sort(rng.choice(np.arange(100, length - 100), 90, replace=False))
        unit = rng.choice([u for u in range(UNITS) if u != SILENT], 90)
        for s, u in zip(sample, unit, strict=True):
            x[s - 12 : s + 28] += shape[:, None] * amplitude[u]
        traces.append(x.round().astype("int16"))
        samples.append(sample)
        units.append(unit)
    recording = si.NumpyRecording(traces, RATE_HZ)
    probe = generate_linear_probe(num_elec=CHANNELS, ypitch=20)
    probe.set_device_channel_indices(np.arange(CHANNELS))
    recording = recording.set_probe(probe) or recording  # 0.105 sets it in place
    recording.set_channel_gains(0.1 + 0.05 * np.arange(CHANNELS))
    recording.set_channel_offsets(3.0 - np.arange(CHANNELS))
    recording.annotate(is_filtered=True)
    return recording.save(folder=folder / "recording"), samples, units


def sorted_as(ids: list, samples: list[np.ndarray], units: list[np.ndarray]) -> si.BaseSorting:
    """Return the sorting of these spikes with these ids, and properties."""
    names = [np.array(ids)[unit] for unit in units]
    make = getattr(si.NumpySorting, "from_samples_and_labels", None) or si.NumpySorting.from_times_labels
    sorting = make(samples, names, RATE_HZ, unit_ids=ids)
    sorting.set_property("cell_type", np.array(["PV", "SOM", "", "PV", "undef"]))
    sorting.set_property("depth", np.array([10.5, np.nan, 2, 3, 4]))
    sorting.set_property("curated", np.array([True, False, True, True, True]))
    if ids is WORDS:  # objects are pickled in a folder, and left out of Zarr
        sorting.set_property("note", np.array(["a", None, "c", "a", "b"], dtype=object))
    sorting.set_property("place", np.arange(10.0).reshape(5, 2))
    return sorting


def analyze(
    sorting: si.BaseSorting, recording: si.BaseRecording, sparse: bool, scaled: bool, **where
) -> si.SortingAnalyzer:
    """Return an analyzer with random spikes."""
    sparsity = si.ChannelSparsity(MASK, sorting.unit_ids, recording.channel_ids) if sparse else None
    if "main_channel_indices" in inspect.signature(si.create_sorting_analyzer).parameters:
        where["main_channel_indices"] = MASK.argmax(axis=1)
    analyzer = si.create_sorting_analyzer(
        sorting, recording, sparse=False, sparsity=sparsity, overwrite=True, **{SCALED: scaled}, **where
    )
    analyzer.compute("random_spikes", max_spikes_per_unit=6, seed=1)
    return analyzer


def main(out: Path) -> None:
    """Write the zip."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        recording, samples, units = recorded(folder)
        words, numbers = sorted_as(WORDS, samples, units), sorted_as(NUMBERS, samples, units)
        made = folder / "made"
        made.mkdir()
        both = ["average", "median"]
        # In memory and in uV, to compare with.
        sparse, dense = (analyze(words, recording, kind, True, format="memory") for kind in (True, False))
        for analyzer in (sparse, dense):
            analyzer.compute("waveforms", **WINDOW)
            analyzer.compute("templates", operators=both)
        oracle = {"channels": np.array(CHANNELS), "version": np.array(si.__version__)}

        uV = analyze(words, recording, True, True, format="binary_folder", folder=made / "uV")
        uV.compute("waveforms", **WINDOW)
        uV.compute("templates", operators=both)
        zarr = analyze(numbers, recording, True, True, format="zarr", folder=made / "uV.zarr")
        zarr.compute("waveforms", **WINDOW)
        zarr.compute("templates", operators=both)
        raw = analyze(words, recording, False, False, format="binary_folder", folder=made / "raw")
        raw.compute("templates", operators=["average"], **WINDOW)
        waveforms = analyze(numbers, recording, True, False, format="zarr", folder=made / "raw.zarr")
        waveforms.compute("waveforms", **WINDOW)

        for name in ("uV", "uV.zarr"):
            again = si.load_sorting_analyzer(made / name)
            for operator in ("average", "median"):
                oracle[f"{name}_{operator}"] = again.get_extension("templates").get_data(operator=operator)
        oracle["raw_average"] = dense.get_extension("templates").get_data()
        oracle["raw.zarr_average"] = sparse.get_extension("templates").get_data()
        for name in ("uV", "uV.zarr", "raw", "raw.zarr"):
            oracle[f"{name}_unit"] = np.array([str(u) for u in si.load_sorting_analyzer(made / name).unit_ids])

        from spikeinterface.postprocessing import compute_correlograms

        spoken = words.select_units([word for k, word in enumerate(WORDS) if k != SILENT])  # the others are an error
        ccg, _ = compute_correlograms(spoken, window_ms=200.0, bin_ms=2.0, method="numpy")
        oracle["correlogram"] = np.array([ccg[u, u] for u in range(UNITS - 1)])
        np.savez_compressed(made / "oracle.npz", **oracle)
        for name in ("uV", "uV.zarr", "raw", "raw.zarr"):
            command = [sys.executable, EXPORT, made / name, made / f"exported_{name}.npz"]
            subprocess.run(list(map(str, command)), check=True)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(made.rglob("*")):
                if path.is_file():
                    file.write(path, path.relative_to(made))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
