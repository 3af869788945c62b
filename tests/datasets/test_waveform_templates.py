"""Templates in the files of SpikeInterface and phy: written here as those programs write them."""

import json

import numpy as np
import pytest
import zarr

from spiketype.datasets import waveforms
from spiketype.edge import UserError

RNG = np.random.default_rng(0)
TEMPLATES = RNG.normal(size=(3, 20, 4)).astype(np.float32)  # (unit, time, channel)
SPIKES = np.zeros(9, [("sample_index", "i8"), ("unit_index", "i8"), ("segment_index", "i8")])
SPIKES["sample_index"], SPIKES["unit_index"] = 300 * np.arange(9), np.arange(9) % 3
RECORDED = {"sampling_frequency": 30000.0, "num_channels": 4, "channel_ids": [0, 1, 2, 3]}


def folder(path):
    """A SortingAnalyzer of the format binary_folder."""
    (path / "sorting" / "properties").mkdir(parents=True)
    (path / "extensions" / "templates").mkdir(parents=True)
    (path / "recording_info").mkdir()
    (path / "recording_info" / "recording_attributes.json").write_text(json.dumps(RECORDED))
    (path / "spikeinterface_info.json").write_text(json.dumps({"object": "SortingAnalyzer"}))
    (path / "settings.json").write_text(json.dumps({"return_scaled": True}))
    info = {"sampling_frequency": 30000.0, "unit_ids": ["a", "b", "c"], "num_segments": 1}
    (path / "sorting" / "numpysorting_info.json").write_text(json.dumps(info))
    np.save(path / "sorting" / "spikes.npy", SPIKES)
    np.save(path / "sorting" / "properties" / "cell_type.npy", np.array(["PV", "SOM", ""]))
    np.save(path / "extensions" / "templates" / "average.npy", TEMPLATES)
    return path


def group(path):
    """The same in the format zarr."""
    root = zarr.create_group(
        path, zarr_format=2, attributes={"spikeinterface_info": {}, "settings": {"return_scaled": True}}
    )
    sorting = root.create_group("sorting", attributes={"sampling_frequency": 30000.0, "num_segments": 1})
    sorting.create_array("unit_ids", data=np.arange(3))
    for name in ("sample_index", "unit_index"):
        sorting.create_array(f"spikes/{name}", data=SPIKES[name])
    sorting.create_array("spikes/segment_slices", data=np.array([[0, 9]]))
    root.create_group("recording_info", attributes={"recording_attributes": RECORDED})
    sorting.create_array("properties/cell_type", data=np.array([1, 2, -1]))
    root.create_array("extensions/templates/average", data=TEMPLATES)
    return path


def phy(path):
    """A folder of phy whose clusters 0 and 1 were merged to 3, and templates on two of four channels."""
    path.mkdir()
    (path / "params.py").write_text("dat_path = ['x.dat']\nn_channels_dat = 4\nsample_rate = 30000.\n")
    np.save(path / "templates.npy", TEMPLATES[:, :, :2])
    np.save(path / "templates_ind.npy", np.array([[0, 1], [2, 3], [3, 0]]))
    np.save(path / "spike_times.npy", SPIKES["sample_index"][:, None].astype(np.uint64))
    np.save(path / "spike_templates.npy", SPIKES["unit_index"][:, None].astype(np.uint32))
    np.save(path / "spike_clusters.npy", np.where(SPIKES["unit_index"] < 2, 3, 2))
    (path / "cluster_group.tsv").write_text("cluster_id\tgroup\n2\tgood\n3\tmua\n")
    (path / "cluster_cell_type.tsv").write_text("cluster_id\tcell_type\n3\tPV\n")
    return path


@pytest.mark.parametrize("make", [folder, group])
def test_an_analyzer(tmp_path, make):
    table = waveforms.load(make(tmp_path / "analyzer"), "cell_type")
    np.testing.assert_array_equal(table.waveform, TEMPLATES.swapaxes(1, 2))
    assert (table.rate_kHz, table.units, table.level) == (30, "uV", "unit")
    assert list(table.label) == [0, 1, -1]
    assert list(table.isi.sum(axis=1)) == [2, 2, 2]
    assert waveforms.load(tmp_path / "analyzer").class_names == ()
    with pytest.raises(UserError, match="no property 'depth'; they have cell_type"):
        waveforms.load(tmp_path / "analyzer", "depth")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("extensions/templates/average.npy", "has no templates: compute them"),
        ("sorting/numpysorting_info.json", "is not a complete SortingAnalyzer"),
        ("settings.json", "is not a complete SortingAnalyzer"),
    ],
)
def test_an_analyzer_without_a_file_is_named(tmp_path, file, said):
    (folder(tmp_path / "analyzer") / file).unlink()
    with pytest.raises(UserError, match=said):
        waveforms.load(tmp_path / "analyzer")


def test_a_phy_folder_after_curation(tmp_path):
    table = waveforms.load(phy(tmp_path / "phy"), "group")
    assert (table.unit_names, table.class_names, table.rate_kHz) == (("2", "3"), ("good", "mua"), 30)
    assert table.waveform.shape == (2, 4, 20)
    np.testing.assert_allclose(table.waveform[0, [3, 0]], TEMPLATES[2, :, :2].T)
    np.testing.assert_allclose(table.waveform[1, [0, 1]], TEMPLATES[0, :, :2].T / 2)
    np.testing.assert_allclose(table.waveform[1, [2, 3]], TEMPLATES[1, :, :2].T / 2)
    assert list(table.isi.sum(axis=1)) == [2, 5]
    assert list(waveforms.load(tmp_path / "phy", "cell_type").label) == [-1, 0]
    np.save(tmp_path / "phy" / "whitening_mat_inv.npy", np.diag([2.0, 1, 1, 1]))
    twice = waveforms.load(tmp_path / "phy")
    np.testing.assert_allclose(twice.waveform[:, 0], 2 * table.waveform[:, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("params.py", "sample_rate = rate()", "params.py does not say sample_rate as a number"),
        ("params.py", "dat_path = 'x'", "params.py does not say sample_rate"),
        ("templates.npy", "x", "templates.npy cannot be read as .npy"),
        ("spike_templates.npy", np.zeros(4, int), "has 4 spikes, spike_clusters.npy 9"),
        ("spike_templates.npy", np.full(9, 7), "a spike has template 7, templates.npy has 3"),
        ("spike_times.npy", np.zeros(4), "spike_times.npy has 4 spikes"),
        ("templates_ind.npy", np.zeros((3, 3), int), "templates_ind.npy has shape"),
        ("whitening_mat_inv.npy", np.eye(7), "is for 7 channels, not 4"),
        ("cluster_group.tsv", "a\tb\n", "has no column 'group' in a cluster_"),
    ],
)
def test_damaged_phy_folders_are_named(tmp_path, file, content, said):
    path = phy(tmp_path / "phy") / file
    if isinstance(content, str):
        path.write_text(content)
    else:
        np.save(path, content)
    with pytest.raises(UserError, match=said):
        waveforms.load(tmp_path / "phy", "group")
