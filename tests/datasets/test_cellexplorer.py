"""Cell metrics of CellExplorer: six real files against SciPy and h5py read plainly, and files made with faults."""

import h5py
import numpy as np
import pytest
import scipy.io

from spiketype.datasets import waveforms
from spiketype.edge import UserError
from tests import shared_data

TRUTH = {
    "YMV18_180208": "PV",
    "d533101": "Juxta",
    "e14_1m1_200130": "Pyramidal",
    "mouse1_180414": "Axo_Axonic",
    "mouse5_181112B": "Axo_Axonic",
    "session_835479236": "VIP",
}


def plainly(path):
    """What the two libraries give, without our reader: waveforms, times, animals, putative types, autocorrelograms."""
    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            metrics = file["cell_metrics"]

            def parts(name):
                return [file[ref][()] for ref in metrics[name][()].ravel()]

            words = [["".join(map(chr, v.ravel())) for v in parts(n)] for n in ("animal", "putativeCellType")]
            numbers = [np.stack([v.ravel() for v in parts(f"waveforms/{n}")]) for n in ("filt", "time")]
            return *numbers, *words, metrics["acg/narrow"][()]
    metrics = scipy.io.loadmat(path)["cell_metrics"][0, 0]
    inside = metrics["waveforms"][0, 0]
    numbers = [np.stack([v.ravel() for v in inside[name].ravel()]) for name in ("filt", "time")]
    words = [[str(v[0]) for v in metrics[name].ravel()] for name in ("animal", "putativeCellType")]
    return *numbers, *words, metrics["acg"][0, 0]["narrow"].T


ORIGIN = dict.fromkeys(("mouse1_180414", "mouse5_181112B"), ("HIP", "Mouse")) | {
    "YMV18_180208": ("Mouse", "VISp"),
    "d533101": ("HIP", "Rat"),
    "e14_1m1_200130": ("Mouse",),
    "session_835479236": ("CA1", "Mouse"),
}


@pytest.mark.parametrize("session", TRUTH)
def test_real_files_are_read_as_their_libraries_read_them(session, capsys):
    path = shared_data.path("waveforms", "cellexplorer_mat", f"{session}.cell_metrics.cellinfo.mat")
    filt, time, animal, putative, narrow = plainly(path)
    table = waveforms.load(path)
    np.testing.assert_array_equal(table.waveform[:, 0], filt.astype(np.float32))
    np.testing.assert_array_equal(table.autocorrelogram, narrow)
    assert table.rate_kHz == pytest.approx(1 / np.diff(time[0]).mean(), abs=1e-3)
    assert ([table.animal_names[k] for k in table.animal], table.units) == (animal, "uV")
    assert (table.session_names, table.class_names, set(table.label)) == ((session,), (TRUTH[session],), {0})
    assert table.origin == ORIGIN[session]
    assert ("Juxta is how a cell was recorded, not a type" in capsys.readouterr().err) == (session == "d533101")
    again = waveforms.load(path, "putativeCellType")
    assert [again.class_names[k] for k in again.label] == putative
    with pytest.raises(UserError, match="has no column 'x'; it has groundTruthClassification, animal"):
        waveforms.load(path, "x")


def cells(values):
    found = np.empty((1, len(values)), object)
    found[0, :] = values
    return found


def spike(k, times=16):
    return -(50.0 + k) * np.exp(-((np.arange(times)[None] - 5.0) ** 2) / 4)


def metrics(count=5, **changes):
    found = {
        "UID": np.arange(1, count + 1)[None],
        "cluID": np.array([[3, 3, 5, 6, 7]])[:, :count],
        "animal": cells(["m1"] * count),
        "sessionName": cells(["s1"] * count),
        "putativeCellType": cells(["Pyramidal Cell", "Narrow Interneuron", "Unknown", "", "Pyramidal Cell"][:count]),
        "waveforms": {
            "filt": cells([spike(k) for k in range(count)]),
            "time": cells([np.arange(16)[None] / 20 - 0.25] * count),
        },
        "acg": {"narrow": np.arange(201 * count).reshape(201, count)},
        "groundTruthClassification": {"PV": np.array([[1, 3]]), "SST": np.array([[3, 5]]), "Juxta": np.array([[1]])},
    }
    return {**found, **changes}


def save(path, **changes):
    scipy.io.savemat(path, {"cell_metrics": metrics(**changes)})
    return path


NAME = "a.cell_metrics.cellinfo.mat"


def test_classes_clusters_and_autocorrelograms(tmp_path, capsys):
    table = waveforms.load(save(tmp_path / NAME))
    assert (table.class_names, list(table.label)) == (("PV", "SST"), [0, -1, -1, -1, 1])
    assert [table.unit_names[k] for k in table.unit] == ["3.1", "3.2", "5", "6", "7"]
    assert (table.rate_kHz, table.autocorrelogram.shape, table.level) == (20, (5, 201), "unit")
    assert "cells with several classes are taken as unknown: 3" in capsys.readouterr().err
    table = waveforms.load(save(tmp_path / NAME, groundTruthClassification={}))
    assert (table.class_names, list(table.label)) == (("Narrow Interneuron", "Pyramidal Cell"), [1, 0, -1, -1, 1])
    assert "labels are putativeCellType, CellExplorer's guess" in capsys.readouterr().err


def test_cells_that_cannot_be_read_are_left_out(tmp_path, capsys):
    time = np.arange(16)[None] / 20
    shapes = {
        "filt": cells([spike(0), np.zeros((0, 0)), spike(2), spike(3, 20), np.nan * spike(4)]),
        "time": cells([time, time, time[:, :9], np.arange(20)[None] / 30, time]),
    }
    waveform = {"filt": shapes["filt"], "time": shapes["time"]}
    table = waveforms.load(save(tmp_path / NAME, waveforms=waveform))
    np.testing.assert_array_equal(table.waveform[:, 0], spike(0).astype(np.float32))
    assert (table.unit_names, table.class_names) == (("3.1",), ("PV",))
    said = capsys.readouterr().err
    assert "cells 2 (no waveform), 3 (16 samples at 9 times), 4 (20 samples at 30 kHz)" in said
    assert "not finite (NaN or infinite): row 1 (unit 7)" in said


def test_raw_waveforms_and_what_is_refused(tmp_path, capsys):
    raw = {"raw": metrics()["waveforms"]["filt"], "time": metrics()["waveforms"]["time"]}
    assert len(waveforms.load(save(tmp_path / NAME, waveforms=raw)).waveform) == 5
    assert "raw waveforms are read" in capsys.readouterr().err
    for changes, said in (
        ({"waveforms": {"time": raw["time"]}}, "its 5 cells have no mean waveforms"),
        ({"waveforms": {"filt": raw["raw"]}}, r"no cell has a waveforms.filt with its time \(5 cells: 16 samples at 0"),
        ({"waveforms": np.ones(3)}, "no struct 'cell_metrics' with waveforms"),
        ({"groundTruthClassification": {"PV": np.array([[6]])}}, "PV has cell 6, there are 5 cells"),
    ):
        with pytest.raises(UserError, match=said):
            waveforms.load(save(tmp_path / NAME, **changes))


def test_damaged_files_give_a_message(tmp_path):
    for name, content in (("YMV18_180208", None), ("d533101", None), ("made", save(tmp_path / NAME).read_bytes())):
        if content is None:
            whole = shared_data.path("waveforms", "cellexplorer_mat", f"{name}.cell_metrics.cellinfo.mat").read_bytes()
        else:
            whole = content
        path = tmp_path / f"{name}.cell_metrics.cellinfo.mat"
        for share in (0, 1, 200, 600, len(whole) // 3, len(whole) - 100):
            path.write_bytes(whole[:share])
            with pytest.raises(UserError, match=name):
                waveforms.load(path)


def test_cells_that_are_tagged_as_noise_and_the_numbers_of_spikes(tmp_path, capsys):
    path = save(tmp_path / "a.cell_metrics.cellinfo.mat", tags={"Bad": np.array([2.0]), "Nice": np.array([1.0])})
    assert len(waveforms.load(path).waveform) == 4
    assert "noise, by tags.Bad: row 1" in capsys.readouterr().err
    path = save(tmp_path / "b.cell_metrics.cellinfo.mat", spikeCount=np.arange(5.0) * 7)
    assert waveforms.load(path).spikes.tolist() == [0, 7, 14, 21, 28]
