"""Write small phy folders with the installed SpikeInterface, and what SpikeInterface and phylib say that they hold.

In an environment of its own for each release (uv venv --python 3.11; uv pip install spikeinterface==X pandas
scikit-learn "numcodecs<0.16"), ``make_phy.py FOLDER`` writes phy_X_dense.zip and phy_X_sparse.zip, and the analyzer's
own templates in phy_X_dense.npz and phy_X_sparse.npz. Then, in one with phylib 2.7.1, ``make_phy.py --phylib FOLDER``
adds to the .npz what phylib reads from the .zip.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np


def export(folder: Path) -> None:
    """Export one recording of four units, all channels and those within 45 um of each unit."""
    import spikeinterface
    from spikeinterface.core import create_sorting_analyzer, generate_ground_truth_recording
    from spikeinterface.exporters import export_to_phy

    recording, sorting = generate_ground_truth_recording(
        durations=[5.0], num_channels=6, num_units=4, sampling_frequency=24000.0, seed=7
    )
    sorting.set_property("cell_type", np.array(["PV", "SST", "PV ", "NA"]))
    for kind in ("dense", "sparse"):
        chosen = {"sparse": False} if kind == "dense" else {"sparse": True, "method": "radius", "radius_um": 45.0}
        analyzer = create_sorting_analyzer(sorting, recording, format="memory", **chosen)
        analyzer.compute("random_spikes")
        analyzer.compute("waveforms", ms_before=0.8, ms_after=1.2)
        analyzer.compute(["templates", "spike_amplitudes"])
        name = f"phy_{spikeinterface.__version__}_{kind}"
        with tempfile.TemporaryDirectory() as made:
            path = Path(made) / name
            export_to_phy(
                analyzer,
                path,
                copy_binary=False,
                compute_pc_features=False,
                additional_properties=["cell_type"],
                verbose=False,
            )
            shutil.make_archive(str(folder / name), "zip", path)
        templates = analyzer.get_extension("templates").get_templates(operator="average")
        if analyzer.sparsity is not None:  # the other channels are not exported
            templates = np.where(analyzer.sparsity.mask[:, None, :], templates, 0)
        np.savez_compressed(folder / f"{name}.npz", spikeinterface=templates.astype(np.float32))


def add_phylib(folder: Path) -> None:
    """Add the mean waveforms (cluster, time, channel) of phylib's TemplateModel, and what else it says."""
    from phylib.io.model import load_model

    for archive in sorted(folder.glob("phy_*.zip")):
        with tempfile.TemporaryDirectory() as copied:  # phylib writes to the folders that it reads
            shutil.unpack_archive(archive, copied)
            model = load_model(Path(copied) / "params.py")
            waveform = np.zeros((len(model.cluster_ids), model.n_samples_waveforms, model.n_channels), np.float32)
            for row, cluster in enumerate(model.cluster_ids):
                found = model.get_cluster_mean_waveforms(cluster)
                waveform[row][:, found.channel_ids] = found.mean_waveforms
            labels = np.load(Path(copied) / "spike_clusters.npy")
            np.save(Path(copied) / "spike_clusters.npy", np.where(labels < 2, 9, labels))  # as if merged by a curator
            merged = load_model(Path(copied) / "params.py").get_cluster_mean_waveforms(9)
            with np.load(archive.with_suffix(".npz")) as file:
                spikeinterface = file["spikeinterface"]
            np.savez_compressed(
                archive.with_suffix(".npz"),
                spikeinterface=spikeinterface,
                phylib=waveform,
                cluster=model.cluster_ids,
                merged=merged.mean_waveforms.astype(np.float32),
                merged_channels=merged.channel_ids.astype(np.int64),
                rate_Hz=model.sample_rate,
                channels=model.n_channels,
                spikes=[len(model.get_cluster_spikes(c)) for c in model.cluster_ids],
            )


if __name__ == "__main__":
    if sys.argv[1] == "--phylib":
        add_phylib(Path(sys.argv[2]))
    else:
        export(Path(sys.argv[1]))
