"""Everything that reads files of a user: for each reader, a tiny file or folder that it reads, and the call."""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import optax
import probeinterface
import scipy.io
from probeinterface.generator import generate_linear_probe

from spiketype.datasets import eap, store, waveforms
from spiketype.datasets.allen import cells as allen_cells
from spiketype.datasets.allen import noise, table
from spiketype.datasets.allen.features import DATABASE
from spiketype.datasets.raphe import read as raphe
from spiketype.datasets.raphe import sources
from spiketype.datasets.raphe.options import SpikeOptions
from spiketype.datasets.raphe.recordings import open_recording
from spiketype.simulator.eap import probes
from spiketype.simulator.neuron.cells import catalogue
from spiketype.train import asked, checkpoints, runs
from spiketype.train.identity import Identity
from spiketype.train.loop import TrainState
from spiketype.train.tasks.cluster.config import ClusterConfig
from spiketype.train.tasks.eap.config import EapTaskConfig
from tests import eap_store
from tests.datasets import (
    allen_nwb,
    allen_synthetic,
    nwb_units,
    raphe_synthetic,
    test_abf,
    test_analyzer,
    test_cellexplorer,
    test_hc3,
    test_nwb_sweeps,
    test_phy,
    test_waveform_recordings,
)
from tests.fuzzing import judged
from tests.fuzzing.reader import Reader
from tests.simulator import test_cells, test_netpyne

NO_DATA = Identity("", *np.zeros((2, 0), np.float32))
CELL = "L5_LBC_cNAC187_1"


def arrays(rows: int = 4, channels: int = 2, times: int = 20) -> dict[str, np.ndarray]:
    """Return what an .npz may hold."""
    rng = np.random.default_rng(0)
    shape = -np.exp(-((np.arange(times) - 7.0) ** 2) / 5)
    return {
        "waveform": (rng.uniform(20, 90, (rows, channels, 1)) * shape).astype(np.float32),
        "rate_kHz": np.array(30.0),
        "unit": np.arange(rows),
        "label": np.array(["PV", "SST", "PV", "?"]),
        "animal": np.array(["a", "a", "b", "b"]),
        "session": np.array([1.0, 1.0, 2.0, 2.0]),
        "isi": rng.integers(0, 9, (rows, 5)),
        "acg": rng.integers(0, 9, (rows, 5)).astype(float),
        "gain": np.ones(channels),
        "contact_um": np.arange(2.0 * channels).reshape(channels, 2),
        "depth": np.arange(float(rows)),
    }


def _npz(folder: Path) -> Path:
    np.savez(folder / "a.npz", **arrays())  # type: ignore[arg-type]
    return folder / "a.npz"


def _npy(folder: Path) -> Path:
    np.save(folder / "a.npy", arrays()["waveform"])
    return folder / "a.npy"


def _csv(folder: Path) -> Path:
    found = arrays(channels=1)
    head = ["unit", "label", "rate_kHz", *(f"t{k}" for k in range(20))]
    columns = zip(found["unit"], found["label"], found["waveform"][:, 0], strict=True)
    rows = [",".join([str(unit), str(label), "30", *(f"{v:.3f}" for v in x)]) for unit, label, x in columns]
    (folder / "a.csv").write_text("\n".join([",".join(head), *rows]) + "\n")
    return folder / "a.csv"


def _zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.write(_npz(folder), "deep/a.npz")
        archive.writestr("deep/README.txt", "the units")
    (folder / "a.npz").unlink()
    return folder / "a.zip"


def _zarr(folder: Path, version: int, named: bool) -> Path:
    import zarr

    group = zarr.create_group(folder / "a.zarr", zarr_format=version, attributes={"rate_kHz": 30.0})
    dims = {"waveform": ("unit", "channel", "time"), "gain": ("channel",), "isi": ("unit", "bin")}
    wanted = ("waveform", "label", "animal", "isi") if version == 3 else ("waveform", "unit", "isi")
    for name in wanted:
        values = arrays()[name]
        names = dims.get(name, ("unit",)) if named else None
        text = values.dtype.kind == "U"
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=str if text else values.dtype,
            chunks=values.shape,
            dimension_names=names if version == 3 else None,
        )
        array[...] = values.astype(object) if text else values
        if named and version == 2:
            array.attrs["_ARRAY_DIMENSIONS"] = list(names or ())
    return folder / "a.zarr"


def _unzipped(name: str, inside: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with tempfile.TemporaryDirectory() as made:
            shutil.unpack_archive(test_analyzer.FILES / name, made)
            shutil.copytree(Path(made) / inside, folder / "unpacked" if inside == "." else folder / inside)
        return folder / ("unpacked" if inside == "." else inside)

    return make


def _phy(folder: Path) -> Path:
    rng = np.random.default_rng(1)
    path = test_phy.folder(
        folder / "phy",
        template_ind=np.tile(np.arange(4), (3, 1)),
        whitening_mat=np.eye(4) + rng.normal(0, 0.1, (4, 4)),
    )
    (path / "cluster_group.tsv").write_text("cluster_id\tgroup\n0\tgood\n1\tmua\n2\tgood\n")
    return path


def _hc3(folder: Path) -> Path:
    test_hc3.session(folder / "hc3", channels=2)
    test_hc3.tables(folder / "hc3", [("ec013.28", "ec013.412")])
    return folder / "hc3"


def _stream(folder: Path) -> Path:
    path = test_waveform_recordings.stream(folder)
    (folder / "animals.csv").write_text("session,animal\nec014.42,ec014\n")
    return path


def _metrics(folder: Path) -> Path:
    path = folder / "a.cell_metrics.cellinfo.mat"
    test_cellexplorer.save(path)
    return path


def _mat(folder: Path) -> Path:
    found = arrays()
    kept = ("waveform", "rate_kHz", "unit", "isi", "depth")
    labels = np.array(found["label"].tolist(), object)
    scipy.io.savemat(folder / "a.mat", {name: found[name] for name in kept} | {"label": labels}, do_compression=True)
    return folder / "a.mat"


def _mat_73(folder: Path) -> Path:
    with h5py.File(folder / "a.v73.mat", "w", userblock_size=512) as file:
        for name in ("waveform", "rate_kHz", "unit", "isi"):
            file[name] = arrays()[name].T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
        file["#refs#/a"] = np.array([[80], [86]], np.uint16)
        file["#refs#/a"].attrs["MATLAB_class"] = np.bytes_("char")
        file["label"] = np.full((1, 4), file["#refs#/a"].ref, h5py.ref_dtype)
        file["label"].attrs["MATLAB_class"] = np.bytes_("cell")
    return folder / "a.v73.mat"


def _nwb(folder: Path) -> Path:
    kinds = ["PV", "SST", "PV", "x"]
    times = [np.sort(np.random.default_rng(k).uniform(0, 9, 30)) for k in range(4)]
    waveform = nwb_units.spikes((4, 12, 4))
    return nwb_units.write(
        folder / "a.nwb", nwb_units.add(nwb_units.new(), waveform, [range(4)] * 4, times, kind=kinds)
    )


def _sweeps(folder: Path) -> Path:
    return test_nwb_sweeps.write(folder / "a.nwb", {12: test_nwb_sweeps.SWEEPS[12]}, rate_Hz=2000.0)


def _sweeps_1(folder: Path) -> Path:
    allen_nwb.write(folder / "b.nwb", {3: ("Noise 1", test_nwb_sweeps.MANY)}, rate_kHz=2.0)
    return folder / "b.nwb"


def _eap(folder: Path) -> Path:
    return eap_store.write(folder / "a.zarr", eap_store.CELLS[:2], per_cell=2, grid=(2, 2))


def _read_eap(path: Path) -> None:
    table = eap.load(path)
    eap.Inputs(path, "aw", True).rows(np.arange(len(table.cell)))
    store.open_dataset(path).close()


def _spikes(folder: Path) -> Path:
    from spiketype.datasets.raphe.table import write

    current = raphe_synthetic.recording(np.arange(0.2, 4, 0.2), 4.0, rate_Hz=20_000.0)
    np.savez(folder / "R240101#001.npz", current=current, rate_Hz=20_000.0)
    cells, _ = sources.extract([folder], SpikeOptions(), sources.ReadOptions(), sources.read_labels(None))
    (folder / "R240101#001.npz").unlink()
    write(folder / "a.zarr", cells, {"spikes": asdict(SpikeOptions())})
    return folder / "a.zarr"


def _abf(version: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        written = test_abf.abf1 if version == 1 else test_abf.abf2
        return written(folder / "a.abf", test_abf.samples(count=600), mode=5, sweeps=((0, 300), (400, 300)))

    return make


def _read_recording(path: Path) -> None:
    found = open_recording(path)
    for start, stop in found.segments[:20]:
        found.read(start, min(stop, start + 1000))


def _current(folder: Path) -> Path:
    current = raphe_synthetic.recording([0.01, 0.03], 0.05, rate_Hz=20_000.0)
    np.savez(folder / "a.npz", current=current, rate_Hz=20_000.0, units="pA", gain=0.5, offset=1.0, other=np.arange(3))
    return folder / "a.npz"


def _current_npy(folder: Path) -> Path:
    np.save(folder / "a.npy", raphe_synthetic.recording([0.01, 0.03], 0.05, rate_Hz=20_000.0))
    return folder / "a.npy"


def _csv_spikes(folder: Path) -> Path:
    (folder / "cells" / "SER").mkdir(parents=True)
    for k in range(3):
        t_ms = np.arange(160) / 40 - 2
        rows = [f"{t:.3f},{v:.3f}" for t, v in zip(t_ms, raphe_synthetic.wave(t_ms) + k, strict=True)]
        (folder / "cells" / "SER" / f"spike_{k}.csv").write_text("\n".join(["time,current", *rows]) + "\n")
    (folder / "cells" / "labels.csv").write_text("cell,label,day\nSER,ser,cells\n")
    return folder / "cells"


def _read_csv_spikes(path: Path) -> None:
    labels = sources.read_labels(path / "labels.csv")
    sources.extract([path], SpikeOptions(), sources.ReadOptions(), labels)


def _allen(folder: Path) -> Path:
    allen_synthetic.details().to_csv(folder / "cell_types_specimen_details.csv", index=False)
    allen_synthetic.features().to_csv(folder / "ephys_features.csv", index=False)
    ids = allen_synthetic.details()["specimen__id"].to_numpy()[:3]
    np.savez(folder / "single_spike.npz", w=np.random.default_rng(0).normal(size=(3, 150)), sid=ids)
    return folder


def _allen_json(folder: Path) -> Path:
    rows = allen_synthetic.details().to_dict("records")
    (folder / "cells.json").write_text(json.dumps([{k: v for k, v in row.items() if v is not None} for row in rows]))
    allen_synthetic.features().to_csv(folder / "ephys_features.csv", index=False)
    return folder


def _read_allen(path: Path) -> None:
    allen_cells.with_shapes(table.load(path, 27))


def _new_cells(folder: Path) -> Path:
    allen_synthetic.features().assign(transgenic_line="Pvalb").to_csv(folder / "new.csv", index=False)
    return folder / "new.csv"


def _read_new_cells(path: Path) -> None:
    allen_cells.NewCells.read(path, tuple(DATABASE), None)


def _lines(folder: Path) -> Path:
    (folder / "lines.csv").write_text("line,dendrite,class\nA-Cre,spiny,Glutamatergic\nB-Cre,aspiny,Pvalb+\n")
    return folder / "lines.csv"


def _probe(folder: Path) -> Path:
    probe = generate_linear_probe(num_elec=4, ypitch=20)
    probe.set_device_channel_indices([3, 2, 1, -1])
    probe.annotate(model_name="a probe")
    probeinterface.write_probeinterface(folder / "probe.json", probe)
    return folder / "probe.json"


def _read_probe(path: Path) -> None:
    probes.points(probes.probe(path), 3)


def _portal(folder: Path) -> Path:
    model = test_cells.make_model(folder / "cells", f"{CELL}x"[:-1], "L5", "LBC")
    (model / "template.hoc").write_text("begintemplate cell\n  replace_axon()\nendtemplate cell\n")
    return folder / "cells"


def _netpyne(folder: Path) -> Path:
    return test_netpyne.write(folder / "cells", CELL).parent


def _netpyne_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "cells.zip", "w") as archive:
        archive.writestr(f"deep/{CELL}_cellParams.json", json.dumps(test_netpyne.CELL))
        archive.writestr("deep/mod/Ih.mod", "NEURON { SUFFIX Ih }")
    return folder / "cells.zip"


def _read_cells(path: Path) -> None:
    from spiketype.simulator.neuron import netpyne

    catalogue([path])
    netpyne.mods(path)


def _state() -> TrainState:
    params = {"dense": {"kernel": jnp.full((2, 3), 1.5), "bias": jnp.arange(2.0)}}
    return TrainState(params, {"batch_stats": {"mean": jnp.ones(2)}}, optax.adam(1e-3).init(params))


def _run(folder: Path) -> Path:
    runs.create(folder / "run", EapTaskConfig(steps=7, data=Path("some.zarr")), NO_DATA)
    checkpoints.save(folder / "run", 3, _state(), [{"step": 1, "loss": [0.5]}, {"step": 2, "loss": [0.4]}])
    return folder / "run"


def _cluster_run(folder: Path) -> Path:
    runs.create(folder / "run", ClusterConfig(data=Path("some.npz"), window_ms=(0.3, 0.7)), NO_DATA)
    return folder / "run"


def _read_run(path: Path) -> None:
    asked.for_data(asked.open_config(path), False)
    found = checkpoints.newest(path)
    if found is not None:
        found.state(_state())


READERS: dict[str, Reader] = {
    "npz": Reader(_npz, waveforms.load),
    "npy": Reader(_npy, lambda path: waveforms.load(path, rate_kHz=30.0)),
    "csv": Reader(_csv, waveforms.load),
    "zip": Reader(_zip, waveforms.load),
    "zarr": Reader(lambda folder: _zarr(folder, 3, True), waveforms.load),
    "zarr-unnamed": Reader(lambda folder: _zarr(folder, 3, False), waveforms.load),
    "zarr-2": Reader(lambda folder: _zarr(folder, 2, True), waveforms.load),
    "phy": Reader(_phy, lambda path: waveforms.load(path, "group")),
    "phy-spikeinterface": Reader(_unzipped("phy_0.105.3_sparse.zip", "."), waveforms.load),
    "analyzer": Reader(_unzipped("analyzer_0.105.3.zip", "uV"), lambda path: waveforms.load(path, "cell_type")),
    "analyzer-raw": Reader(_unzipped("analyzer_0.101.2.zip", "raw"), waveforms.load),
    "analyzer-zarr": Reader(_unzipped("analyzer_0.103.0.zip", "raw.zarr"), waveforms.load),
    "hc3": Reader(_hc3, waveforms.load),
    "stream": Reader(_stream, waveforms.load),
    "mat": Reader(_mat, waveforms.load, slow=True),
    "mat-7.3": Reader(_mat_73, waveforms.load, slow=True),
    "cellexplorer": Reader(_metrics, waveforms.load, slow=True),
    "nwb": Reader(_nwb, lambda path: waveforms.load(path, "kind"), slow=True),
    "eap-waveforms": Reader(_eap, waveforms.load),
    "eap": Reader(_eap, _read_eap),
    "sweeps": Reader(_sweeps, noise.noise_sweep, slow=True),
    "sweeps-nwb-1": Reader(_sweeps_1, noise.noise_sweep, slow=True),
    "allen": Reader(_allen, _read_allen),
    "allen-json": Reader(_allen_json, _read_allen),
    "allen-table": Reader(_new_cells, _read_new_cells),
    "allen-lines": Reader(_lines, table.read_lines),
    "raphe-store": Reader(_spikes, lambda path: raphe.read(path, raphe.spike_options(path), raphe.read_options(path))),
    "abf-1": Reader(_abf(1), _read_recording),
    "abf-2": Reader(_abf(2), _read_recording),
    "raphe-npz": Reader(_current, _read_recording),
    "raphe-npy": Reader(_current_npy, lambda path: open_recording(path, rate_Hz=20_000.0)),
    "raphe-csv": Reader(_csv_spikes, _read_csv_spikes),
    "probe": Reader(_probe, _read_probe),
    "cells": Reader(_portal, _read_cells),
    "netpyne": Reader(_netpyne, _read_cells),
    "netpyne-zip": Reader(_netpyne_zip, _read_cells),
    "run": Reader(_run, _read_run),
    "run-cluster": Reader(_cluster_run, lambda path: asked.open_config(path)),
    **judged.READERS,
}
