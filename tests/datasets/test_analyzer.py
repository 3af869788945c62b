"""Analyzers that releases of SpikeInterface wrote (files/make_analyzer.py), read as the same release reads them."""

import contextlib
import json
import pickle
import shutil
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spiketype.datasets import waveforms
from spiketype.datasets.waveforms import histograms, pickled_words
from spiketype.edge import UserError

FILES = Path(__file__).parent / "files"
RELEASES = ("0.101.2", "0.103.0", "0.105.3")
KINDS = ("uV", "uV.zarr", "raw", "raw.zarr")
EXPORT = Path(__file__).parents[2] / "scripts" / "export_units.py"
SILENT = 2


@pytest.fixture(scope="module", params=RELEASES)
def written(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    with zipfile.ZipFile(FILES / f"analyzer_{request.param}.zip") as file:
        file.extractall(path)
    return path


@pytest.fixture
def copied(written, tmp_path):
    return shutil.copytree(written, tmp_path / "written")


def oracle(written, name):
    with np.load(written / "oracle.npz") as file:
        return file[name]


def spoken(values):
    return np.delete(values, SILENT, axis=0)


def check(table, written, kind, operator="average"):
    expected = spoken(oracle(written, f"{kind}_{operator}")).swapaxes(1, 2)
    assert table.waveform.shape == expected.shape == (4, 6, 36)
    np.testing.assert_allclose(table.waveform, expected, rtol=1e-5, atol=1e-4)
    names = np.array(table.unit_names)[table.unit]
    assert list(names) == list(spoken(oracle(written, f"{kind}_unit")))
    assert (table.rate_kHz, table.units, table.level) == (24, "uV", "unit")


@pytest.mark.parametrize("kind", KINDS)
def test_templates_are_the_releases_own_in_uV(written, kind, capsys):
    check(waveforms.load(written / kind), written, kind)
    said = capsys.readouterr().err
    assert "1 of 5 rows are left out" in said
    assert f"(unit {oracle(written, f'{kind}_unit')[SILENT]})" in said
    assert ("the mean of the stored waveforms is taken" in said) == (kind == "raw.zarr")


def test_the_median_or_the_mean_is_taken_where_there_is_no_average(copied, capsys):
    templates = copied / "uV" / "extensions" / "templates"
    (templates / "average.npy").unlink()
    check(waveforms.load(copied / "uV"), copied, "uV", "median")
    assert "the median of spikes is taken" in capsys.readouterr().err
    shutil.rmtree(templates)
    check(waveforms.load(copied / "uV"), copied, "uV")
    shutil.rmtree(copied / "uV" / "extensions" / "waveforms")
    with pytest.raises(UserError, match="has no templates: compute them with"):
        waveforms.load(copied / "uV")


def test_an_extension_that_was_not_finished_is_not_read(copied, capsys):
    info = copied / "uV" / "extensions" / "templates" / "run_info.json"
    info.write_text(json.dumps({"run_completed": False}))
    check(waveforms.load(copied / "uV"), copied, "uV")
    assert "the mean of the stored waveforms" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_properties_are_labels(written, kind):
    table = waveforms.load(written / kind, "cell_type")
    assert (table.class_names, list(table.label)) == (("PV", "SOM"), [0, 1, 0, -1])
    assert waveforms.load(written / kind, "curated").class_names == ("False", "True")
    assert list(waveforms.load(written / kind, "depth").label) == [0, -1, 1, 2]
    with pytest.raises(UserError, match=r"no property 'x'; they have cell_type, curated, depth"):
        waveforms.load(written / kind, "x")
    with pytest.raises(UserError, match=r"property 'place' has shape \(5, 2\)"):
        waveforms.load(written / kind, "place")


@pytest.mark.parametrize("kind", KINDS)
def test_histograms_are_of_all_segments(written, kind):
    table = waveforms.load(written / kind)
    both_sides = oracle(written, "correlogram")
    differ = table.autocorrelogram - both_sides[:, both_sides.shape[1] // 2 :]
    assert np.abs(differ).sum() <= 2  # one lag is 28 ms, the very edge of a bin, which rounding may shift
    assert table.isi.sum() == 2 * 90 - 2 * 4  # all spikes but the first of each unit in each segment


@pytest.mark.parametrize("kind", ["uV", "raw"])
def test_a_property_of_python_objects_is_read_where_they_are_words(written, tmp_path, kind):
    exported, table = (waveforms.load(written / name, "note") for name in (f"exported_{kind}.npz", kind))
    assert table.class_names == exported.class_names == ("a", "b")
    np.testing.assert_array_equal(table.label, exported.label)
    path = shutil.copytree(written / kind, tmp_path / kind)
    properties = path / "sorting" / "properties"
    count = len(np.load(properties / "depth.npy"))
    for strange in ([{}] * count, [["a"]] * count, [b"a"] * count, [3] * count, ["a"] * (count - 1) + [Path()]):
        np.save(properties / "note.npy", np.array([*strange, None], object)[:-1], allow_pickle=True)
        with pytest.raises(UserError, match=r"note holds Python objects that are no text.*set_property.*export_units"):
            waveforms.load(path, "note")


def test_noise_by_a_property_of_words_is_left_out(copied, capsys):
    quality = np.array(["good", "noise", None, "mua", "Noise"], object)
    path = copied / "uV"
    count = len(waveforms.load(path).waveform)
    np.save(path / "sorting" / "properties" / "quality.npy", quality, allow_pickle=True)
    assert len(waveforms.load(path).waveform) == count - 2
    assert len(waveforms.load(path, "quality").waveform) == count
    told = capsys.readouterr().err
    assert "noise, by the property quality: row 1" in told
    assert "1 units are multi-unit activity, by the property quality" in told


@settings(max_examples=50)
@given(words=st.lists(st.one_of(st.none(), st.text("ab é\n", max_size=300)), min_size=1, max_size=2100))
def test_words_of_a_pickle_are_those_that_were_written(tmp_path_factory, words):
    path = tmp_path_factory.mktemp("words") / "a.npy"
    for protocol in (2, 4):
        with open(path, "wb") as file:
            header = {"descr": "|O", "fortran_order": False, "shape": (len(words),)}
            np.lib.format.write_array_header_1_0(file, header)
            pickle.dump(np.array(words, object), file, protocol=protocol)
        np.testing.assert_array_equal(pickled_words.read(path), np.array([word or "" for word in words], str))


@pytest.mark.parametrize("kind", KINDS)
def test_the_exporter_and_the_reader_agree(written, kind):
    read, exported = (waveforms.load(written / name, "cell_type") for name in (kind, f"exported_{kind}.npz"))
    expected = spoken(oracle(written, f"{kind}_average")).swapaxes(1, 2)
    np.testing.assert_allclose(exported.waveform, expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(exported.waveform, read.waveform, rtol=1e-6, atol=1e-5)
    for name in ("label", "isi", "autocorrelogram", "unit"):
        np.testing.assert_array_equal(getattr(exported, name), getattr(read, name))
    for name in ("rate_kHz", "units", "class_names", "unit_names", "level"):
        assert getattr(exported, name) == getattr(read, name)


def test_the_exporter_has_our_bins():
    script = types.ModuleType("script")
    source = EXPORT.read_text().replace("import spikeinterface as si\n", "")
    exec(compile(source, str(EXPORT), "exec"), script.__dict__)
    np.testing.assert_array_equal(script.ISI_EDGES_MS, histograms.ISI_EDGES_MS)
    assert (script.LAG_MS, script.LAG_BINS) == (histograms.LAG_MS, histograms.LAG_BINS)


def edit(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_does_not_fit_together_is_named(copied):
    path = copied / "uV"
    attributes = path / "recording_info" / "recording_attributes.json"

    def refused(match):
        with pytest.raises(UserError, match=match):
            waveforms.load(path)

    before = attributes.read_text()
    edit(attributes, num_channels=7)
    refused(r"sparsity_mask is bool of shape \(5, 6\), expected bool of \(5, 7\)")
    for number in (1e300, 2**70, 6.5):
        edit(attributes, num_channels=number)
        refused("its recording lacks num_channels, or holds no valid one")
    edit(attributes, num_channels=6, num_samples=[48000])
    refused("the sorting has 2 segments, the recording 1")
    edit(attributes, num_samples=[48000, 36000], sampling_frequency=30000.0)
    refused("the sorting has 24000 Hz, the recording 30000 Hz")
    attributes.unlink()
    refused("recording_attributes.json: it is not there")
    attributes.write_text(before)
    np.save(path / "extensions" / "templates" / "average.npy", np.ones((5, 36, 5)))
    refused(r"shape \(5, 36, 5\), expected numbers of \(5 units, time, 6 channels\)")
    (path / "settings.json").write_text("{}")
    refused("its settings lacks return_in_uV or return_scaled")


def test_gains_that_are_missing_are_said_and_damaged_ones_refused(copied, capsys):
    attributes = copied / "raw" / "recording_info" / "recording_attributes.json"
    properties = json.loads(attributes.read_text())["properties"]
    edit(attributes, properties={**properties, "gain_to_uV": None})
    assert waveforms.load(copied / "raw").units == "as recorded"
    assert "the recording has no gains" in capsys.readouterr().err
    edit(attributes, properties={**properties, "gain_to_uV": [1.0, 2.0]})
    with pytest.raises(UserError, match="no finite gain_to_uV and offset_to_uV for each of 6 channels"):
        waveforms.load(copied / "raw")


def test_a_chunk_that_is_missing_is_not_read_as_zeros(copied):
    chunk = next(copied.glob("uV.zarr/extensions/templates/average/[0-9]*"))
    chunk.unlink()
    with pytest.raises(UserError, match="extensions/templates/average: chunks are missing"):
        waveforms.load(copied / "uV.zarr")


def test_an_analyzer_in_zarr_3(copied):
    old = zarr.open_group(copied / "uV.zarr", mode="r", use_consolidated=False)
    attributes = {"spikeinterface_info": old.attrs["spikeinterface_info"], "settings": old.attrs["settings"]}
    new = zarr.create_group(copied / "v3.zarr", zarr_format=3, attributes=attributes)
    for group in ("sorting", "sorting/spikes", "recording_info", "extensions/templates"):
        new.create_group(group, attributes=dict(old[group].attrs))
    arrays = ("sorting/unit_ids", "sorting/spikes/sample_index", "sorting/spikes/unit_index")
    for name in (*arrays, "sorting/spikes/segment_slices", "sparsity_mask", "extensions/templates/average"):
        new.create_array(name, data=old[name][...])
    check(waveforms.load(copied / "v3.zarr"), copied, "uV.zarr")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_refused_or_harmless(written, tmp_path_factory, kind, data):
    path = shutil.copytree(written / kind, tmp_path_factory.mktemp("damaged") / kind)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    file = data.draw(st.sampled_from(files))
    content = file.read_bytes()
    how = data.draw(st.sampled_from(["remove", "cut", "overwrite"]))
    if how == "remove":
        file.unlink()
    elif how == "cut":
        file.write_bytes(content[: data.draw(st.integers(0, max(len(content) - 1, 0)))])
    else:
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        file.write_bytes(content[:at] + data.draw(st.binary(min_size=1, max_size=8)) + content[at + 1 :])
    with contextlib.suppress(UserError):
        waveforms.load(path, data.draw(st.sampled_from([None, "cell_type"])))


def test_positions_are_those_of_channels_whatever_their_wiring(written, tmp_path):
    """As get_channel_locations of the releases gives them: contacts 20 um apart, channel k at contact k."""
    for kind in ("uV", "uV.zarr"):
        table = waveforms.load(written / kind)
        np.testing.assert_array_equal(table.contact_um, np.c_[np.zeros(6), 20 * np.arange(6)])
        assert table.producer == f"SpikeInterface {written.name.removesuffix('0')}"
    folder = tmp_path / "reversed"
    shutil.copytree(written / "uV", folder)
    file = folder / "recording_info" / "probegroup.json"
    group = json.loads(file.read_text())
    group["probes"][0]["device_channel_indices"] = [5, 4, 3, 2, 1, 0]
    file.write_text(json.dumps(group))
    np.testing.assert_array_equal(waveforms.load(folder).contact_um[:, 1], 20 * np.arange(6)[::-1])
    for units, um in {"mm": 1e3, "m": 1e6}.items():
        scaled = {"si_units": units, "contact_positions": [[0, 20 * k / um] for k in range(6)]}
        file.write_text(json.dumps({"probes": [group["probes"][0] | scaled]}))
        np.testing.assert_allclose(waveforms.load(folder).contact_um[:, 1], 20 * np.arange(6)[::-1])
    for wrong in ([0, 0, 1, 2, 3, 4], None, "no list", [0, 1]):
        group["probes"][0]["device_channel_indices"] = wrong
        file.write_text(json.dumps(group))
        assert waveforms.load(folder).contact_um is None
    file.unlink()
    assert waveforms.load(folder).contact_um is None
