"""Calls written into copies of NWB files and cell metrics, and into analyzers: seen by the producers' own libraries."""

import contextlib
import csv
import json
import shutil
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spiketype.datasets import waveforms
from spiketype.datasets.waveforms import analyzer_writer, cellexplorer_writer, matlab, nwb_writer, writers
from spiketype.edge import UserError
from spiketype.units import command
from tests import shared_data
from tests.datasets import test_cellexplorer

FILES = Path(__file__).parent / "files"
METRICS = ("YMV18_180208", "d533101", "e14_1m1_200130", "mouse1_180414", "mouse5_181112B", "session_835479236")
WORDS = ("excitatory", "unsure", "inhibitory")


def columns_of(path, **changes):
    """Calls of a source's units by turns excitatory, unsure, inhibitory, with probabilities from .6 on; one is NaN."""
    table = waveforms.load(path)
    names = np.array(table.unit_names)[table.unit]
    turn = np.arange(len(names)) % 3
    probability = 0.6 + 0.01 * np.arange(len(names))
    probability[1::3] = np.nan
    calls = {
        "unit": names,
        "call": np.array(["excitatory", "no call", "inhibitory"])[turn],
        "certain": np.where(turn == 1, "no", "yes"),
        "probability": probability,
        "p_excitatory": probability,
        "p_inhibitory": 1 - probability,
    }
    return calls | changes


def words_of(count):
    return [WORDS[k % 3] for k in range(count)]


# --- NWB


@pytest.fixture
def nwb_units():
    pytest.importorskip("pynwb", reason="needs pynwb: uv sync --extra allen")
    from tests.datasets import nwb_units

    return nwb_units


def nwb_file(nwb_units, path, count=5, **given):
    mean = nwb_units.spikes((count, 24, 4))
    mean[2] = np.nan  # left out by the reader
    times = [np.arange(3) + k for k in range(count)]
    return nwb_units.write(path, nwb_units.add(nwb_units.new(), mean, [[0, 1, 2, 3]] * count, times, **given))


def validated(path):
    import pynwb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pynwb.NWBHDF5IO(path, "r") as io:
            return sorted(map(str, pynwb.validate(io=io)))


def units_of(path):
    import pynwb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pynwb.NWBHDF5IO(path, "r") as io:
            return io.read().units.to_dataframe()


def test_pynwb_reads_the_columns_of_a_copy_and_finds_no_fault(nwb_units, tmp_path):
    path = nwb_file(nwb_units, tmp_path / "a.nwb", quality=["good"] * 5)
    before = path.read_bytes()
    columns = columns_of(path)
    assert list(columns["unit"]) == ["0", "1", "3", "4"]
    out = nwb_writer.write(path, columns, tmp_path / "b.nwb")
    assert path.read_bytes() == before
    assert validated(out) == validated(path)
    old, new = units_of(path), units_of(out)
    assert list(new.columns) == [*old.columns, "cell_type", "cell_type_probability"]
    assert list(new["cell_type"]) == ["excitatory", "unsure", "unsure", "inhibitory", "excitatory"]
    np.testing.assert_allclose(new["cell_type_probability"], [0.6, np.nan, np.nan, 0.62, 0.63])
    for name in old.columns.drop("electrodes"):  # objects, other ones at each reading
        for a, b in zip(old[name], new[name], strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert waveforms.load(out, "cell_type").class_names == ("excitatory", "inhibitory", "unsure")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nwb", "b.nwb"]


def test_a_cell_type_of_the_file_stays_as_it_is(nwb_units, tmp_path):
    path = nwb_file(nwb_units, tmp_path / "a.nwb", cell_type=list("PQRST"))
    columns = columns_of(path)
    out = nwb_writer.write(path, columns, tmp_path / "b.nwb")
    new = units_of(out)
    assert list(new["cell_type"]) == list("PQRST")
    assert list(new["spiketype_cell_type"][:2]) == ["excitatory", "unsure"]
    assert new["spiketype_cell_type_probability"][0] == 0.6
    assert validated(out) == validated(path)
    with pytest.raises(UserError, match="has spiketype_cell_type already"):
        nwb_writer.write(out, columns, tmp_path / "c.nwb")
    assert not (tmp_path / "c.nwb").exists()


def test_units_are_called_by_the_names_of_their_sorting(nwb_units, tmp_path, capsys):
    path = nwb_file(nwb_units, tmp_path / "a.nwb", unit_name=["u3", "u1", "u2", "u9", "u7"])
    columns = columns_of(path)
    assert list(columns["unit"]) == ["u3", "u1", "u9", "u7"]
    said = capsys.readouterr().err
    assert "(unit u2)" in said
    assert "units are called by their unit_name, as in the sorting: u3 has the id 0" in said
    new = units_of(nwb_writer.write(path, columns, tmp_path / "b.nwb"))
    assert list(new["cell_type"]) == ["excitatory", "unsure", "unsure", "inhibitory", "excitatory"]
    for names in (["a", "a", "b", "c", "d"], ["", "a", "b", "c", "d"]):
        columns = columns_of(nwb_file(nwb_units, tmp_path / "c.nwb", unit_name=names))
        assert list(columns["unit"]) == ["0", "1", "3", "4"]


def test_ids_that_occur_twice_and_units_of_another_file(nwb_units, tmp_path):
    path = nwb_file(nwb_units, tmp_path / "a.nwb", id=[7, 8, 9, 7, 5])
    columns = columns_of(path)
    assert list(columns["unit"]) == ["7.0", "8", "7.3", "5"]
    new = units_of(nwb_writer.write(path, columns, tmp_path / "b.nwb"))
    assert list(new["cell_type"]) == ["excitatory", "unsure", "unsure", "inhibitory", "excitatory"]
    with pytest.raises(UserError, match="no unit '99'"):
        nwb_writer.write(path, columns | {"unit": np.array(["7.0", "8", "7.3", "99"])}, tmp_path / "c.nwb")
    with pytest.raises(UserError, match="is the file itself"):
        nwb_writer.write(path, columns, path)
    with h5py.File(path, "r+") as file:
        file["acquisition"]["far"] = h5py.ExternalLink("raw.nwb", "/acquisition/x")
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match=r"links to raw.nwb beside it: give an --out in the same folder"):
        nwb_writer.write(path, columns, tmp_path / "other" / "b.nwb")
    assert nwb_writer.write(path, columns, tmp_path / "c.nwb").exists()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_nwb_is_refused_or_harmless_and_leaves_nothing_half(nwb_units, data, tmp_path):
    path, out = tmp_path / "a.nwb", tmp_path / "b.nwb"
    if not path.exists():
        nwb_file(nwb_units, path)
    whole = path.read_bytes()
    columns = {
        "unit": np.array(["0"]),
        "call": np.array(["x"]),
        "certain": np.array(["yes"]),
        "probability": np.ones(1),
    }
    at = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.binary(max_size=8))
    damaged = tmp_path / "damaged.nwb"
    damaged.write_bytes(whole[:at] + (other + whole[at + len(other) :] if other else b""))
    with contextlib.suppress(UserError):
        nwb_writer.write(damaged, columns, out)
        out.unlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nwb", "damaged.nwb"]


# --- CellExplorer


def same(a, b):
    """Compare what scipy.io.loadmat gives, types and shapes included."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if a.dtype.names:
            for name in a.dtype.names:
                same(a[name], b[name])
        elif a.dtype.kind == "O":
            for x, y in zip(a.flat, b.flat, strict=True):
                same(x, y)
        else:
            np.testing.assert_array_equal(a, b)
    else:
        assert a == b


def same_hdf5(a, b, new=()):
    """Compare groups of HDF5, attributes included; references by what they point to."""
    for name in a:
        x, y = a[name], b[name]
        assert set(x.attrs) == set(y.attrs)
        for key in x.attrs:
            if key != "MATLAB_fields" or not new:
                same(x.attrs[key], y.attrs[key])
        if isinstance(x, h5py.Group):
            same_hdf5(x, y)
            continue
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        if x.dtype == h5py.ref_dtype:
            assert [a.file[r].name for r in x[()].flat] == [b.file[r].name for r in y[()].flat]
        else:
            np.testing.assert_array_equal(x[()], y[()])


@pytest.mark.parametrize("name", METRICS)
def test_real_metrics_get_two_fields_and_keep_all_others(name, tmp_path):
    path = shared_data.path("waveforms", "cellexplorer_mat", f"{name}.cell_metrics.cellinfo.mat")
    columns = columns_of(path)
    out = cellexplorer_writer.write(path, columns, tmp_path / path.name)
    count = len(columns["unit"])
    old, new = (matlab.read(p)["cell_metrics"] for p in (path, out))
    assert matlab.texts(new["spiketype"]) == words_of(count)
    np.testing.assert_array_equal(new["spiketype_probability"], columns["probability"][None])
    assert matlab.texts(new["putativeCellType"]) == matlab.texts(old["putativeCellType"])
    assert {*new} - {*old} == {"spiketype", "spiketype_probability"}
    if h5py.is_hdf5(path):
        with h5py.File(path) as a, h5py.File(out) as b:
            same_hdf5(a, b, new=("spiketype",))
            fields = [[b"".join(letters) for letters in file["cell_metrics"].attrs["MATLAB_fields"]] for file in (a, b)]
            assert fields[1] == [*fields[0], b"spiketype", b"spiketype_probability"]
            assert {name.encode() for name in b["cell_metrics"]} == {*fields[1]}
            assert b.userblock_size == a.userblock_size
        assert out.read_bytes()[:512] == path.read_bytes()[:512]
    else:
        a, b = (scipy.io.loadmat(p, mat_dtype=True)["cell_metrics"] for p in (path, out))
        assert b.dtype.names == (*a.dtype.names, "spiketype", "spiketype_probability")
        for field in a.dtype.names:
            same(a[field], b[field])
    assert waveforms.load(out, "spiketype").class_names[0] == "excitatory"


def mat(path, **changes):
    return test_cellexplorer.save(path, **changes)


def test_cells_that_were_left_out_are_unsure(tmp_path):
    path = mat(tmp_path / "a.cell_metrics.mat")
    columns = columns_of(path)
    some = {name: values[[0, 3]] for name, values in columns.items()}
    out = cellexplorer_writer.write(path, some, tmp_path / "b.cell_metrics.mat")
    new = matlab.read(out)["cell_metrics"]
    assert matlab.texts(new["spiketype"]) == ["excitatory", "unsure", "unsure", "excitatory", "unsure"]
    np.testing.assert_allclose(new["spiketype_probability"], [[0.6, np.nan, np.nan, 0.63, np.nan]])
    with pytest.raises(UserError, match="has a field 'spiketype' already"):
        cellexplorer_writer.write(out, some, tmp_path / "c.cell_metrics.mat")
    with pytest.raises(UserError, match="is the file itself"):
        cellexplorer_writer.write(path, some, path)
    with pytest.raises(UserError, match="no unit 'x'"):
        cellexplorer_writer.write(path, some | {"unit": np.array(["x", "5"])}, tmp_path / "c.cell_metrics.mat")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.cell_metrics.mat", "b.cell_metrics.mat"]


def test_a_putative_type_is_written_where_there_is_none(tmp_path):
    found = test_cellexplorer.metrics()
    del found["putativeCellType"]
    path = tmp_path / "a.cell_metrics.mat"
    scipy.io.savemat(path, {"before": np.arange(9.0), "cell_metrics": found, "after": "text"}, do_compression=True)
    columns = columns_of(path)
    out = cellexplorer_writer.write(path, columns, tmp_path / "b.cell_metrics.mat")
    new = scipy.io.loadmat(out)
    assert list(new)[3:] == ["before", "cell_metrics", "after"]
    assert [str(w[0]) for w in new["cell_metrics"]["putativeCellType"][0, 0][0]] == words_of(5)
    np.testing.assert_array_equal(new["before"], [np.arange(9.0)])
    assert new["after"] == ["text"]


def test_sessions_and_animals_before_clusters(tmp_path):
    changes = {
        "sessionName": test_cellexplorer.cells(["s", "s", "t", "t", "s"]),
        "animal": test_cellexplorer.cells(["m", "m", "m", "m", "n"]),
        "cluID": np.array([[3, 4, 3, 6, 7]]),
    }
    path = mat(tmp_path / "a.cell_metrics.mat", **changes)
    columns = columns_of(path)
    assert columns["unit"][0] == "m/s/3"
    back = {name: values[::-1] for name, values in columns.items()}
    new = matlab.read(cellexplorer_writer.write(path, back, tmp_path / "b.cell_metrics.mat"))["cell_metrics"]
    assert matlab.texts(new["spiketype"]) == words_of(5)


def test_what_stands_behind_the_struct_is_found_at_its_new_place(tmp_path):
    """As MATLAB's objects are: the header says where they lie."""
    path = mat(tmp_path / "a.cell_metrics.mat")
    columns = columns_of(path)
    whole = bytearray(path.read_bytes())
    place = len(whole)
    whole[116:124] = struct.pack("<Q", place)
    behind = zlib.compress(b"objects")
    path.write_bytes(bytes(whole) + struct.pack("<II", 15, len(behind)) + behind)
    data = path.read_bytes()
    new = cellexplorer_writer._with_fields(path, data, {"spiketype": np.ones((1, 5))})
    (moved,) = struct.unpack_from("<Q", new, 116)
    assert moved == place + len(new) - len(data)
    assert new[moved:] == data[place:]
    assert len(columns["unit"]) == 5


def test_structures_that_are_not_known_are_refused(tmp_path):
    path = mat(tmp_path / "a.cell_metrics.mat")
    columns, out = columns_of(path), tmp_path / "b.cell_metrics.mat"
    scipy.io.savemat(path, {"other": 1})
    with pytest.raises(UserError, match="has no struct 'cell_metrics'"):
        cellexplorer_writer.write(path, columns, out)
    found = test_cellexplorer.metrics()
    del found["cluID"]
    scipy.io.savemat(path, {"cell_metrics": found})
    with pytest.raises(UserError, match="has no cluID, by which its cells are named"):
        cellexplorer_writer.write(path, columns, out)
    data = bytearray(mat(path).read_bytes())
    data[126:128] = b"MI"
    with pytest.raises(UserError, match="byte order of old machines"):
        cellexplorer_writer._with_fields(path, bytes(data), {"spiketype": np.ones((1, 5))})
    assert not out.exists()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_refused_or_leaves_a_struct_that_can_be_taken_apart(data, tmp_path):
    whole = mat(tmp_path / "a.cell_metrics.mat").read_bytes()
    at = data.draw(st.integers(128, len(whole) - 1))
    if data.draw(st.booleans()):
        damaged = whole[:at]
    else:
        damaged = whole[:at] + data.draw(st.binary(min_size=1, max_size=8)) + whole[at + 8 :]
    fields = {"spiketype": np.ones((1, 5))}
    with contextlib.suppress(UserError):
        new = cellexplorer_writer._with_fields(Path("a.mat"), damaged, fields)
        found = cellexplorer_writer._struct(new[128:])
        assert found.names[-1] == b"spiketype"


# --- analyzers


@pytest.fixture(params=["0.101.2", "0.103.0", "0.105.3"])
def analyzers(request, tmp_path):
    with zipfile.ZipFile(FILES / f"analyzer_{request.param}.zip") as file:
        file.extractall(tmp_path / "written")
    return tmp_path / "written"


def contents(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", ["uV", "uV.zarr", "raw", "raw.zarr"])
def test_properties_are_added_and_nothing_else_is_touched(analyzers, kind):
    path = analyzers / kind
    columns, before = columns_of(path), contents(path)
    for _ in range(2):  # an earlier call's are replaced
        assert analyzer_writer.write(path, columns, path) == path
        after = contents(path)
        new = {name for name in after if name not in before}
        assert all(name.startswith("sorting/properties/spiketype") for name in new)
        assert {name for name in before if before[name] != after[name]} == (
            {".zmetadata"} if ".zarr" in kind else set()
        )
        table = waveforms.load(path, "spiketype")
        assert [table.class_names[k] for k in table.label] == ["excitatory", "unsure", "inhibitory", "excitatory"]
    if ".zarr" in kind:
        group = zarr.open_group(path, mode="r", use_consolidated=False)["sorting/properties"]
        words, p, old = (group[name][:] for name in ("spiketype", "spiketype_probability", "cell_type"))
        listed = json.loads(after[".zmetadata"])["metadata"]  # opened by SpikeInterface; Zarr 3 lacks types in it
        assert {name for name in new if name.endswith(".zarray")} <= {*listed}
        assert all(listed[name] == json.loads(after[name]) for name in new if ".z" in name)
        assert {**listed, **json.loads(before[".zmetadata"])["metadata"]} == listed
        assert words.dtype.kind == old.dtype.kind == "U"
    else:
        words, p = (np.load(path / "sorting" / "properties" / f"spiketype{end}.npy") for end in ("", "_probability"))
    assert list(words) == ["excitatory", "unsure", "unsure", "inhibitory", "excitatory"]  # the third has no spikes
    np.testing.assert_allclose(p, [0.6, np.nan, np.nan, 0.62, 0.63])


def test_analyzers_that_cannot_be_written(analyzers, monkeypatch, tmp_path):
    path = analyzers / "uV"
    columns = columns_of(path)
    with pytest.raises(UserError, match="properties are added to the analyzer itself"):
        analyzer_writer.write(path, columns, tmp_path)
    with pytest.raises(UserError, match="no unit 'x'"):
        analyzer_writer.write(path, columns | {"unit": np.array(["x"] * 4)}, path)
    shutil.rmtree(analyzers / "uV.zarr" / "sorting" / "properties")
    with pytest.raises(UserError, match="no sorting/properties"):
        analyzer_writer.write(analyzers / "uV.zarr", columns_of(analyzers / "uV.zarr"), analyzers / "uV.zarr")
    monkeypatch.setattr(analyzer_writer.os, "access", lambda *_: False)
    with pytest.raises(UserError, match="cannot be written: leave out --write"):
        writers.writer(path, "analyzer", tmp_path, force=False)
    monkeypatch.undo()
    (path / "zarr.json").write_text("{}")
    with pytest.raises(UserError, match="is in Zarr's format 3"):
        writers.writer(path, "analyzer", tmp_path, force=False)


# --- what fits what


def test_a_format_must_be_that_of_the_input(analyzers, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"")
    for name, needs in (("nwb", "an .nwb file"), ("cellexplorer", "CellExplorer's"), ("analyzer", "a SpikeInterface")):
        with pytest.raises(UserError, match=f"--write {name} needs {needs}"):
            writers.writer(path, name, tmp_path, force=False)
        with pytest.raises(UserError, match=r"gone.nwb does not exist"):
            writers.writer(tmp_path / "gone.nwb", name, tmp_path, force=False)


@pytest.mark.parametrize(
    ("name", "format", "copy"),
    [
        ("day.1.nwb", "nwb", "day.1.spiketype.nwb"),
        ("s.cell_metrics.cellinfo.mat", "cellexplorer", "s.spiketype.cell_metrics.cellinfo.mat"),
        ("my_cell_metrics.mat", "cellexplorer", "my_cell_metrics.spiketype.mat"),
    ],
)
def test_copies_have_a_name_of_their_own_and_replace_nothing(name, format, copy, tmp_path):
    path, folder = tmp_path / name, tmp_path / "out"
    path.write_bytes(b"")
    folder.mkdir()
    assert writers.writer(path, format, folder, force=False).out == folder / copy
    (folder / copy).write_bytes(b"")
    with pytest.raises(UserError, match="exists: give --force to replace it"):
        writers.writer(path, format, folder, force=False)
    assert writers.writer(path, format, folder, force=True).out == folder / copy


def test_properties_of_an_earlier_call_are_replaced_by_force_alone(analyzers, tmp_path):
    for path in (analyzers / "uV", analyzers / "uV.zarr"):
        found = writers.writer(path, "analyzer", tmp_path, force=False)
        found.write(path, columns_of(path), found.out)
        with pytest.raises(UserError, match=r"spiketype.* exists: give --force to replace it"):
            writers.writer(path, "analyzer", tmp_path, force=False)
        assert writers.writer(path, "analyzer", tmp_path, force=True).out == path


def test_the_command_writes_into_an_analyzer(analyzers, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = analyzers / "uV.zarr"
    command.command_line(["--write", "analyzer", str(path)])
    assert capsys.readouterr().out.splitlines()[-1] == str(path)
    with open("uV.units.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    table = waveforms.load(path, "spiketype")
    assert [table.class_names[k] for k in table.label] == [
        row["call"] if row["certain"] == "yes" else "unsure" for row in rows
    ]
    for arguments, said in (
        (["--write", "analyzer", "--out", "b.csv"], "spiketype exists: give --force to replace it"),
        (["--write", "analyzer", "--write", "nwb", "--out", "b.csv", "--force"], "--write nwb needs an .nwb file"),
    ):
        with pytest.raises(SystemExit):
            command.command_line([str(path), *arguments])
        assert said in capsys.readouterr().err
        assert not list(tmp_path.glob("b.*"))
    command.command_line([str(path), "--force", "--write", "analyzer"])
