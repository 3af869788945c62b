"""Folders of phy: what SpikeInterface wrote, what Kilosort's versions mean, curation, labels, and damage."""

import contextlib
import shutil
from pathlib import Path

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spiketype.datasets import waveforms
from spiketype.edge import UserError

FILES = Path(__file__).parent / "files"
REAL = sorted(FILES.glob("phy_*.zip"))
RNG = np.random.default_rng(3)
TEMPLATES = RNG.normal(size=(3, 20, 4))  # (template, time, channel)
SPIKES = np.repeat([0, 1, 2], [4, 3, 2])  # template of each spike


def folder(path, **changed):
    """A folder as Kilosort 2 leaves it, 4 channels, its arrays replaced or, by None, left out."""
    path.mkdir()
    (path / "params.py").write_text("dat_path = 'x.dat'\nn_channels_dat = 4\nsample_rate = 30000.\n")
    arrays = {
        "templates": TEMPLATES,
        "channel_map": np.arange(4)[:, None],
        "channel_positions": np.arange(8.0).reshape(4, 2),
        "spike_times": 300 * np.arange(len(SPIKES)),
        "spike_templates": SPIKES,
        "spike_clusters": SPIKES,
        "amplitudes": np.ones(len(SPIKES)),
    }
    for name, values in (arrays | changed).items():
        if values is not None:
            np.save(path / f"{name}.npy", values)
    return path


def read(path, label=None):
    """Waveforms by cluster (time, channel), and the table."""
    table = waveforms.load(path, label)
    names = np.array(table.unit_names)[table.unit]
    return {int(name): wave.T for name, wave in zip(names, table.waveform, strict=True)}, table


def _merged(path):
    """What is read after a curator merges the first two clusters."""
    cluster = np.load(path / "spike_clusters.npy")
    np.save(path / "spike_clusters.npy", np.where(cluster < 2, 9, cluster))
    return read(path)


@pytest.mark.parametrize("archive", REAL, ids=lambda archive: archive.stem)
def test_folders_of_spikeinterface_are_read_as_phylib_and_spikeinterface_do(tmp_path, archive):
    shutil.unpack_archive(archive, tmp_path / "phy")
    found, table = read(tmp_path / "phy", "cell_type")
    with np.load(archive.with_suffix(".npz")) as oracle:
        assert list(found) == list(oracle["cluster"])
        assert table.rate_kHz == oracle["rate_Hz"] / 1000
        assert table.waveform.shape[1] == oracle["channels"]
        assert table.autocorrelogram is not None
        np.testing.assert_allclose(list(found.values()), oracle["spikeinterface"], rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(list(found.values()), oracle["phylib"], rtol=1e-6, atol=1e-5)
        merged, _ = _merged(tmp_path / "phy")
        np.testing.assert_allclose(merged[9][:, oracle["merged_channels"]], oracle["merged"], rtol=1e-5, atol=1e-5)
        assert all(table.isi.sum(axis=1) <= oracle["spikes"] - 1)  # intervals above a second are in no bin
        assert all(table.isi.sum(axis=1) > oracle["spikes"] / 2)
    assert [table.class_names[k] if k >= 0 else "" for k in table.label] == ["PV", "SST", "PV", ""]


def test_there_are_real_folders():
    names = {archive.stem.split("_")[1].rsplit(".", 1)[0] + archive.stem.rsplit("_", 1)[1] for archive in REAL}
    assert names == {release + kind for release in ("0.101", "0.103", "0.105") for kind in ("dense", "sparse")}


@pytest.mark.parametrize(
    ("text", "rate_kHz"),
    [
        ("sample_rate = 30000.", 30),
        ("sample_rate = np.float64(30000.0)", 30),
        ("sample_rate = 25000/1", 25),
        ("sample_rate = 2.5e4  # Hz", 25),
        ("fs = 20000\nsample_rate: float = float(fs)", 20),
        ("dat_path = r'C:\\data\\new.dat'\r\nsample_rate = 30000\r\n", 30),
        ("dat_path = 'C:\\Users\\me\\x.dat'\nsample_rate = 30000.0\nhp_filtered = False", 30),  # no valid Python
        ("dat_path = 'C:\\Daten\\Mäuse\\x.dat'\nsample_rate = 30000.0".encode("cp1252"), 30),
        ("\ufeffsample_rate = 30000", 30),
        ("open('ran', 'w').close()\nsample_rate = 30000", 30),
    ],
)
def test_params_py_is_parsed_and_not_run(tmp_path, monkeypatch, text, rate_kHz):
    monkeypatch.chdir(tmp_path)
    path = folder(tmp_path / "phy")
    (path / "params.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert waveforms.load(path).rate_kHz == rate_kHz
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sample_rate = 'fast'",
        "sample_rate = __import__('os').getpid()",
        "sample_rate = np.sqrt(9e8)",
        "sample_rate = 1/0",
        "sample_rate = 9e999",
        "sample_rate = 30",
        "sample_rate = True",
        "sample_rate = 30000\nif True:\n    sample_rate = 25000",
        "sample_rate = 30000\nsample_rate /= 2",
        "sample_rate = " + "-" * 5000 + "1",
    ],
)
def test_params_py_that_does_not_say_the_rate_is_named(tmp_path, text):
    path = folder(tmp_path / "phy")
    (path / "params.py").write_text(text)
    with pytest.raises(UserError, match=r"params.py.* sample_rate"):
        waveforms.load(path)


@pytest.mark.parametrize("name", ["template_ind", "templates_ind"])
@pytest.mark.parametrize("padding", [-1, 5, 7, np.nan])
def test_sparse_templates_have_the_channels_of_channel_map(tmp_path, name, padding):
    index = np.array([[3, 1], [0, padding], [2, 0]])
    sparse = np.where(np.isin(index, range(5))[:, None], TEMPLATES[:, :, :2], np.nan if padding == -1 else 0)
    path = folder(
        tmp_path / "phy", templates=sparse, channel_map=[9, 8, 7, 3, 0], channel_positions=None, **{name: index}
    )
    found, table = read(path)
    assert table.waveform.shape == (3, 5, 20)  # the last channel is in no template, channel numbers of the file go to 9
    expected = np.zeros((3, 20, 5))
    for t, row in enumerate(index):
        for k, channel in enumerate(row):
            if channel in range(5):
                expected[t, :, int(channel)] = sparse[t, :, k]
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-6)
    (path / "channel_map.npy").unlink()
    (path / "params.py").write_text("sample_rate = 30000\nn_channels_dat = 6")
    assert read(path)[1].waveform.shape == (3, 6, 20)
    (path / "params.py").write_text("sample_rate = 30000")
    with pytest.raises(UserError, match="does not say how many channels there are"):
        read(path)


def test_channels_that_are_in_doubt_are_refused_or_left_out(tmp_path, capsys):
    lost = folder(tmp_path / "lost", templates=TEMPLATES[:, :, :2])
    with pytest.raises(UserError, match=r"has 2 channels, .* 4, and there is no template_ind.npy"):
        read(lost)
    strange = np.array([[0, 1, 2, 3], [0, 1, 2, 8], [0, 1, 1, 3]])
    assert list(read(folder(tmp_path / "strange", template_ind=strange))[0]) == [0]
    said = capsys.readouterr().err
    assert "cluster 1 left out: template_ind.npy gives template 1 channel 8, there are 4" in said
    assert "cluster 2 left out: template_ind.npy gives template 2 a channel twice" in said
    # phy does not read templates_ind.npy, and one of Kilosort's has a row of templates
    np.testing.assert_allclose(
        read(folder(tmp_path / "ks", templates_ind=np.tile(range(3), (3, 1))))[0][1], TEMPLATES[1], rtol=1e-6
    )


MIXING = np.eye(4) / 20 + RNG.normal(size=(4, 4)) / 200  # not symmetric, as Kilosort's local whitening
KILOSORT = {
    "2": ({"whitening_mat": MIXING, "whitening_mat_inv": np.linalg.inv(MIXING)}, MIXING),
    "2 without the matrix": ({"whitening_mat_inv": np.linalg.inv(MIXING)}, MIXING),
    "2 without the inverse": ({"whitening_mat": MIXING}, MIXING),
    "4.0.6": (
        {
            "whitening_mat": 0.005 * np.eye(4, dtype=np.float32),
            "whitening_mat_inv": np.linalg.inv(0.00501 * np.eye(4)),
            "whitening_mat_dat": MIXING.astype(np.float32),
        },
        MIXING.T,
    ),
    "4.1": (
        {
            "whitening_mat": MIXING.astype(np.float32),
            "whitening_mat_inv": np.linalg.inv(MIXING + 1e-5 * np.eye(4)).astype(np.float32),
            "whitening_mat_dat": MIXING.astype(np.float32),
        },
        MIXING.T,
    ),
    "4.1 without the copy": (
        {
            "whitening_mat": MIXING.astype(np.float32),
            "whitening_mat_inv": np.linalg.inv(MIXING + 1e-5 * np.eye(4)).astype(np.float32),
        },
        MIXING.T,
    ),
}


@pytest.mark.parametrize("version", KILOSORT)
def test_whitening_is_undone_as_the_version_of_kilosort_applied_it(tmp_path, capsys, version):
    matrices, applied = KILOSORT[version]
    path = folder(tmp_path / "phy", templates=TEMPLATES @ applied, **matrices)
    found, table = read(path)
    np.testing.assert_allclose(list(found.values()), TEMPLATES, atol=0.003)
    assert table.units == "as recorded"
    number = "4" if version.startswith("4") else "1 and 2"
    assert f"whitening undone as Kilosort {number} applied it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("matrices", "why"),
    [
        ({"whitening_mat": np.eye(4) / 200, "whitening_mat_inv": 200 * np.eye(4)}, "Kilosort 2.5 and 3"),
        ({"whitening_mat_inv": 200 * np.eye(4)}, "Kilosort 2.5 and 3"),
        ({"whitening_mat": MIXING, "whitening_mat_inv": MIXING}, "does not invert whitening_mat.npy"),
        ({"whitening_mat_dat": MIXING, "whitening_mat_inv": MIXING}, "does not invert whitening_mat_dat.npy"),
        ({"whitening_mat_dat": np.ones((4, 4))}, "whitening_mat_dat.npy has no inverse"),
        ({"whitening_mat": np.ones((4, 4))}, "whitening_mat.npy has no inverse"),
        ({"whitening_mat_inv": np.eye(4)}, None),  # as phylib writes it into a folder that has none
        ({}, None),
    ],
)
def test_whitening_that_is_not_certain_stays_and_is_said(tmp_path, capsys, matrices, why):
    found, table = read(folder(tmp_path / "phy", **matrices))
    np.testing.assert_allclose(list(found.values()), TEMPLATES, rtol=1e-6)
    assert table.units == "as stored"
    said = capsys.readouterr().err
    assert (f"templates stay whitened, as stored: {why}" in said or why in said) if why else "stay" not in said


def test_a_merged_cluster_is_the_mean_over_its_spikes_of_template_times_amplitude(tmp_path):
    amplitudes = np.select([SPIKES == 0, SPIKES == 1], [10.0, 100.0], 7.0)
    found, _ = read(folder(tmp_path / "phy", spike_clusters=np.where(SPIKES < 2, 8, 2), amplitudes=amplitudes))
    np.testing.assert_allclose(found[8], (4 * 10 * TEMPLATES[0] + 3 * 100 * TEMPLATES[1]) / 7, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[2], 7 * TEMPLATES[2], rtol=1e-6)


@pytest.mark.parametrize("mark", ["channel_map_si", "spike_detection_templates", None])
def test_amplitudes_that_were_measured_are_no_factors(tmp_path, mark):
    sign = 1 if mark == "spike_detection_templates" else -1
    amplitudes = sign * np.array([60, 60, 20, 20, 5, 6, 7, 9, 9.0])
    cluster = np.array([5, 5, 6, 6, 8, 8, 8, 8, 8])  # template 0 was split, 1 and 2 were merged
    marks = {} if mark is None else {mark: np.arange(4)}
    found, _ = read(folder(tmp_path / "phy", spike_clusters=cluster, amplitudes=amplitudes, **marks))
    np.testing.assert_allclose(found[5], 1.5 * TEMPLATES[0], rtol=1e-5)
    np.testing.assert_allclose(found[6], 0.5 * TEMPLATES[0], rtol=1e-5)
    np.testing.assert_allclose(found[8], 0.6 * TEMPLATES[1] + 0.4 * TEMPLATES[2], rtol=1e-5, atol=1e-6)


def test_a_split_cluster_without_amplitudes_of_its_own_is_reported_and_the_folder_read(tmp_path, capsys):
    cluster = np.array([5, 6, 6, 6, 1, 1, 1, 2, 2])
    found, table = read(folder(tmp_path / "phy", spike_clusters=cluster))
    assert list(found) == [1, 2, 6]
    assert list(table.isi.sum(axis=1)) == [2, 1, 2]
    said = capsys.readouterr().err
    assert "cluster 5 left out: the very same waveform as cluster 6, as after a split" in said


def test_broken_templates_cost_only_the_clusters_that_use_them(tmp_path, capsys):
    more = np.concatenate([TEMPLATES, np.full((1, 20, 4), np.nan), np.zeros((1, 20, 4))])
    assert list(read(folder(tmp_path / "unused", templates=more))[0]) == [0, 1, 2]
    said = capsys.readouterr().err
    assert "2 of 5 templates have no spikes, and are no units" in said
    assert "left out" not in said
    spikes = np.array([0, 0, 0, 0, 3, 3, 4, 4, 9])
    found, _ = read(folder(tmp_path / "used", templates=more, spike_templates=spikes, spike_clusters=spikes))
    assert list(found) == [0]
    said = capsys.readouterr().err
    assert "cluster 3 left out: template 3 is not finite" in said
    assert "cluster 4 left out: the waveform is constant on all channels" in said
    assert "cluster 9 left out: a spike has template 9, templates.npy has 5" in said
    with pytest.raises(UserError, match=r"none of its clusters can be read .*template 3 is not finite"):
        read(folder(tmp_path / "none", templates=more, spike_templates=np.full(9, 3), spike_clusters=np.full(9, 3)))


def test_amplitudes_that_are_no_numbers_or_not_positive(tmp_path, capsys):
    amplitudes = np.array([2, np.nan, 2, 2, np.nan, np.nan, np.inf, -1, 0])
    found, _ = read(folder(tmp_path / "phy", amplitudes=amplitudes))
    np.testing.assert_allclose(found[0], 2 * TEMPLATES[0], rtol=1e-6)
    said = capsys.readouterr().err
    assert "cluster 1 left out: no spike has an amplitude" in said
    assert "cluster 2 left out: the mean amplitude is not positive" in said


def test_missing_files_are_said(tmp_path, capsys):
    found, _ = read(folder(tmp_path / "uncurated", spike_clusters=None, amplitudes=None))
    assert list(found) == [0, 1, 2]
    assert "no amplitudes.npy: all spikes count alike" in capsys.readouterr().err
    found, table = read(folder(tmp_path / "templates", spike_clusters=None, spike_templates=None))
    assert (list(found), table.isi) == ([0, 1, 2], None)
    assert "every template is taken as a cluster" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"lacks spike_templates.npy"):
        read(folder(tmp_path / "lost", spike_templates=None))


def test_spike_templates_of_kilosort_4_0_number_other_templates(tmp_path, capsys):
    path = folder(tmp_path / "phy", spike_templates=np.full(9, 1), whitening_mat_dat=np.eye(4))
    np.testing.assert_allclose(list(read(path)[0].values()), TEMPLATES, rtol=1e-6)
    assert "spike_templates.npy is of Kilosort 4.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cluster_group.tsv", "cluster_id\tgroup\r\n0\tgood\r\n1\t good \r\n2\tNA\r\n"),
        ("cluster_group.tsv", "cluster_id\tgroup\n0.0\tgood\n1\tgood\n7\tmua\n"),
        ("cluster_group.csv", "cluster_id\tgroup\n0\tgood\n1\tgood\n2\t\n"),
        ("cluster_group.csv", "cluster_id,group\n0,good\n1,good\n2\n"),
        ("cluster_groups.csv", "cluster_id\tgroup\n0\tgood\n1\tgood\n2\tn/a\n"),
        ("cluster_info.tsv", "id\tamp\tgroup\n0\t1.5\tgood\n1\t1.5\tgood\n2\t1.5\t\n"),
        ("cluster_group.tsv", "cluster_id\tgroup\n0\tgood\n1\tgood\n2\tgood\n2\tmua\n"),
    ],
)
def test_labels_of_old_and_new_tables(tmp_path, name, content):
    path = folder(tmp_path / "phy")
    (path / name).write_bytes(content.encode())
    (path / "cluster_other.tsv").write_text("cluster_id\tgroup\tother\n0\tno\tno\n")
    table = waveforms.load(path, "group")
    if name != "cluster_info.tsv":  # which only repeats the others
        assert (table.class_names, list(table.label)) == (("good",), [0, 0, -1])
    (path / "cluster_other.tsv").unlink()
    table = waveforms.load(path, "group")
    assert (table.class_names, list(table.label)) == (("good",), [0, 0, -1])
    with pytest.raises(UserError, match=r"no column 'type' in a cluster_\*.tsv or .csv; it has (amp, )?group"):
        waveforms.load(path, "type")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_cluster_is_the_mean_of_its_spikes_one_by_one(tmp_path_factory, data):
    spikes = data.draw(st.integers(1, 12))
    template = np.array(data.draw(st.lists(st.integers(0, 2), min_size=spikes, max_size=spikes)))
    cluster = np.array(data.draw(st.lists(st.integers(0, 3), min_size=spikes, max_size=spikes)))
    amplitude = data.draw(arrays.arrays(np.float32, spikes, elements=st.floats(0.5, 100, width=32)))
    path = folder(
        tmp_path_factory.mktemp("phy") / "phy",
        spike_templates=template,
        spike_clusters=cluster,
        amplitudes=amplitude,
        spike_times=np.arange(spikes),
    )
    found, _ = read(path)
    one_by_one = TEMPLATES[template] * amplitude[:, None, None]
    for c in np.unique(cluster):
        mean = one_by_one[cluster == c].mean(axis=0)
        if c in found:
            np.testing.assert_allclose(found[c], mean, rtol=1e-4, atol=1e-4)
        else:  # left out as the same as another
            assert any(np.allclose(other, mean, rtol=1e-4, atol=1e-4) for other in found.values())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_ends_in_anything_but_a_user_error(tmp_path_factory, data):
    path = folder(tmp_path_factory.mktemp("phy") / "phy", template_ind=np.tile(range(4), (3, 1)), whitening_mat=MIXING)
    (path / "cluster_group.tsv").write_text("cluster_id\tgroup\n0\tgood\n1\tmua\n")
    name = data.draw(st.sampled_from(sorted(file.name for file in path.iterdir())))
    content = (path / name).read_bytes()
    how = data.draw(st.sampled_from(["cut", "bytes", "array", "gone", "flip"]))
    if how == "cut":
        content = content[: data.draw(st.integers(0, len(content)))]
    elif how == "bytes":
        content = data.draw(st.binary(max_size=80))
    elif how == "flip":
        at = data.draw(st.integers(0, len(content) - 1))
        content = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
    (path / name).write_bytes(content)
    if how == "array" and name.endswith(".npy"):
        kinds = st.sampled_from(["f4", "f8", "i4", "u8", "u1", "?", "U3", "c8"])
        shape = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)
        np.save(path / name, data.draw(arrays.arrays(kinds.map(np.dtype), shape)))
    elif how == "gone":
        (path / name).unlink()
    if (path / "params.py").exists() and (path / "templates.npy").exists():
        with contextlib.suppress(UserError):
            waveforms.load(path, "group")


def test_phylib_agrees_on_a_curated_folder(tmp_path):
    model = pytest.importorskip("phylib.io.model")
    path = folder(
        tmp_path / "phy",
        spike_clusters=np.where(SPIKES < 2, 8, 2).astype(np.int32),
        spike_templates=SPIKES.astype(np.int32),
        templates=(TEMPLATES @ MIXING).astype(np.float32),
        whitening_mat=MIXING,
        whitening_mat_inv=np.linalg.inv(MIXING),
    )
    found, _ = read(path)
    copy = shutil.copytree(path, tmp_path / "copy")  # phylib writes to the folders that it reads
    (copy / "params.py").write_text("dat_path = []\nn_channels_dat = 4\ndtype = 'int16'\nsample_rate = 30000.\n")
    theirs = model.load_model(copy / "params.py")
    assert list(found) == list(theirs.cluster_ids)
    np.testing.assert_array_equal(waveforms.load(path).contact_um, theirs.channel_positions)
    for cluster, wave in found.items():
        mean = theirs.get_cluster_mean_waveforms(cluster)
        np.testing.assert_allclose(wave[:, mean.channel_ids], mean.mean_waveforms, rtol=1e-4, atol=1e-4)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.integers(4, 9), st.integers(1, 4))
def test_sparse_folders_are_read_as_phylib_reads_them(tmp_path_factory, data, channels, wide):
    """Channels of each template, padding by -1, channels that no template names, for any number of both."""
    model = pytest.importorskip("phylib.io.model")
    rows = st.permutations(range(channels)).map(lambda order: order[:wide])
    index = np.array([data.draw(rows) for _ in range(3)])
    template = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(3, 20, wide)).astype(np.float32)
    if wide > 1 and data.draw(st.booleans()):
        index[0, -1], template[0, :, -1] = -1, 0
    path = folder(
        tmp_path_factory.mktemp("sparse") / "phy",
        templates=template,
        template_ind=index,
        channel_map=np.arange(channels),
        channel_positions=np.c_[np.zeros(channels), 20.0 * np.arange(channels)],
        whitening_mat=np.eye(channels),
        whitening_mat_inv=np.eye(channels),
    )
    found, table = read(path)
    assert table.waveform.shape[1] == channels
    (path / "params.py").write_text(
        f"dat_path = []\nn_channels_dat = {channels}\ndtype = 'int16'\nsample_rate = 30000.\n"
    )
    theirs = model.load_model(path / "params.py")
    for unit, wave in found.items():
        said = theirs.get_template(unit)
        np.testing.assert_allclose(wave[:, said.channel_ids], said.template, rtol=1e-5, atol=1e-6)
        others = np.setdiff1d(np.arange(channels), said.channel_ids)
        assert not wave[:, others].any()


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float64])
def test_a_negative_template_is_no_template_from_the_end(tmp_path, capsys, dtype):
    template = SPIKES.astype(dtype)
    template[-1] = -1
    found, _ = read(folder(tmp_path / "phy", spike_templates=template))
    assert sorted(found) == [0, 1]
    assert "cluster 2 left out: a spike has template -1, templates.npy has" in capsys.readouterr().err


def test_a_time_that_no_recording_has_is_refused(tmp_path):
    late = 300 * np.arange(len(SPIKES))
    late[-1] = 2**62
    with pytest.raises(UserError, match=r"spike_times.npy: a spike is 4.87e\+06 years from the recording's start"):
        read(folder(tmp_path / "phy", spike_times=late))


def test_times_in_seconds_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"spike_times.npy must hold numbers of samples at 30000 Hz, but one"):
        read(folder(tmp_path / "phy", spike_times=np.arange(len(SPIKES)) * 0.7))


def test_clusters_that_were_curated_as_noise_are_no_units(tmp_path, capsys):
    path = folder(tmp_path / "phy")
    (path / "cluster_group.tsv").write_text("cluster_id\tgroup\n0\tgood\n1\tNoise\n2\tmua\n")
    found, _ = read(path)
    assert set(found) == {0, 2}
    told = capsys.readouterr().err
    assert "cluster 1 left out: noise, by cluster_group.tsv" in told
    assert "1 clusters are multi-unit activity, by cluster_group.tsv" in told
    assert waveforms.load(path, "group").class_names == ("Noise", "good", "mua")  # where just that is the label


def test_a_rate_that_is_given_and_not_used_is_said(tmp_path, capsys):
    path = folder(tmp_path / "phy")
    said = waveforms.load(path).rate_kHz
    assert "is not used" not in capsys.readouterr().err
    assert waveforms.load(path, rate_kHz=7.0).rate_kHz == said
    assert f"says {said:g} kHz, so --rate-khz 7 is not used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "column"), [("cluster_info.tsv", "group"), ("cluster_bc_unitType.tsv", "bc_unitType")]
)
def test_curation_in_other_tables_is_honoured(tmp_path, capsys, name, column):
    path = folder(tmp_path / "phy")
    (path / name).write_text(f"cluster_id\t{column}\n0\tGOOD\n1\tNOISE\n2\tGOOD\n")
    assert set(read(path)[0]) == {0, 2}
    assert "cluster 1 left out: noise, by " in capsys.readouterr().err


def test_the_spikes_of_clusters_are_counted(tmp_path):
    table = waveforms.load(folder(tmp_path / "phy"))
    assert dict(zip([int(table.unit_names[k]) for k in table.unit], table.spikes.tolist(), strict=True)) == {
        c: int((c == SPIKES).sum()) for c in (0, 1, 2)
    }
