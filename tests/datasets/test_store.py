"""The store: template, blocks, resumption, and what is said of stores that are damaged or something else."""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketype.datasets import manifest, store
from spiketype.edge import UserError

BLOCK, BLOCKS = 6, 4
VARIABLES = {
    "value_uV": store.Variable(("sample", "channel"), "float32", "uV", "a made-up value"),
    "cell": store.Variable(("sample",), "int16", "1", "index of the cell"),
    "rank": store.Variable(("cell_model",), "int16", "1", "one a cell"),
}


def template(path: Path, **other) -> Path:
    coordinates = {
        "cell_name": store.Coordinate(("cell_model",), np.array(["a", "bé"]), "1", "cell model"),
        "contact_um": store.Coordinate(("channel", "axis"), np.arange(9, dtype=np.float32).reshape(3, 3), "um", "at"),
    }
    whole = {
        "kind": "toy",
        "sizes": {"sample": BLOCK * BLOCKS, "channel": 3, "cell_model": 2, "axis": 3},
        "block": BLOCK,
        "variables": VARIABLES,
        "coordinates": coordinates,
        "attributes": {"config": json.dumps({"seed": 3}), "created_with": json.dumps({"numpy": "x"}), "seed": 3},
    }
    store.create(path, **(whole | other))
    return path


def block_of(index: int) -> dict[str, np.ndarray]:
    value = np.arange(BLOCK * 3, dtype=np.float32).reshape(BLOCK, 3) + 100 * index
    return {"value_uV": value, "cell": np.full(BLOCK, index % 2, np.int16)}


def fill(path: Path, indices=range(BLOCKS)) -> Path:
    for index in indices:
        store.write_block(path, BLOCK, index, block_of(index))
        store.mark_done(path, index, {"rank": (index % 2, 7 + index % 2)})
    store.finish(path)
    return path


@pytest.fixture
def whole(tmp_path) -> Path:
    return fill(template(tmp_path / "s.zarr"))


def chunk(path: Path, name: str, number: int) -> Path:
    found = [p for p in (path / name / "c").rglob("*") if p.is_file()]
    return sorted(found, key=lambda p: int(p.relative_to(path / name / "c").parts[0]))[number]


@settings(deadline=None)
@given(st.permutations(range(BLOCKS)))
def test_blocks_may_be_written_in_any_order(tmp_path_factory, order):
    path = fill(template(tmp_path_factory.mktemp("any") / "s"), order)
    store.validate(path, "toy", tuple(VARIABLES))
    expected = np.concatenate([block_of(i)["value_uV"] for i in range(BLOCKS)])
    np.testing.assert_array_equal(store.read(path, "value_uV"), expected)
    np.testing.assert_array_equal(store.read(path, "rank"), [7, 8])


@settings(deadline=None)
@given(st.tuples(st.integers(0, 24), st.integers(0, 24)).map(sorted))
def test_any_part_may_be_read(tmp_path_factory, ends):
    path = tmp_path_factory.getbasetemp() / "part"
    if not path.exists():
        fill(template(path))
    expected = np.concatenate([block_of(i)["value_uV"] for i in range(BLOCKS)])
    np.testing.assert_array_equal(store.read(path, "value_uV", *ends), expected[slice(*ends)])


@given(st.integers(1, 200_000))
def test_blocks_divide_the_samples(per_group):
    try:
        block = store.choose_block(per_group)
    except UserError as error:
        assert "choose a multiple of 100" in str(error)  # noqa: PT017 (either outcome is right)
        return
    assert per_group % block == 0
    assert min(per_group, 10) <= block <= 100


@pytest.mark.parametrize(("per_cell", "block"), [(1, 1), (7, 7), (97, 97), (100, 100), (1500, 100), (250, 50)])
def test_usual_numbers_have_blocks(per_cell, block):
    assert store.choose_block(per_cell) == block


def test_xarray_shows_units_names_and_provenance(whole):
    with store.open_dataset(whole) as data:
        assert data.value_uV.dims == ("sample", "channel")
        assert data.value_uV.attrs == {"units": "uV", "long_name": "a made-up value"}
        assert set(data.coords) == {"cell_name", "contact_um"}
        assert list(data.cell_name.values) == ["a", "bé"]
        assert data.contact_um.attrs["units"] == "um"
        assert (data.attrs["kind"], data.attrs["schema_version"], data.attrs["seed"]) == ("toy", 2, 3)
        assert store.config(data.attrs) == {"seed": 3}
        assert json.loads(data.attrs["created_with"]) == {"numpy": "x"}
        assert all("units" in v.attrs and "long_name" in v.attrs for v in data.variables.values())


def test_chunks_run_along_samples_and_stay_within_their_size(tmp_path):
    variable = store.Variable(("sample", "channel"), "float32", "uV", "wide")
    sizes = {"sample": 1000, "channel": 20_000, "cell_model": 2}
    path = template(tmp_path / "s", sizes=sizes, block=500, variables={"wide": variable})
    array = zarr.open_group(path, mode="r")["wide"]
    assert array.chunks[1] == 20_000
    assert 500 % array.chunks[0] == 0
    assert 1e6 <= array.chunks[0] * 80_000 <= 1e7


@pytest.mark.parametrize(
    ("blocks", "block_bytes", "run"),
    [(10, 2_000_000, 1), (39, 1, 1), (1000, 10**9, 1), (40, 1, 2), (1000, 2_240_000, 50), (1000, 1, 50), (997, 1, 1)],
)
def test_blocks_are_written_together_where_there_are_many(blocks, block_bytes, run):
    assert store.choose_run(blocks, block_bytes) == run


def test_a_run_of_blocks_is_one_file_of_each_array(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "CHUNK_BYTES", 4 * 3 * 4)  # four rows
    path = template(tmp_path / "s", run=2)
    assert store.run_of(path) == 2
    for first in (2, 0):
        both = [block_of(index) for index in (first, first + 1)]
        store.write_block(path, BLOCK, first, {n: np.concatenate([b[n] for b in both]) for n in both[0]})
        store.mark_done(path, first, {"rank": (first // 2, 7)}, 2)
        np.testing.assert_array_equal(store.done(path), [first == 0] * 2 + [True] * 2)
    store.finish(path)
    store.validate(path, "toy", tuple(VARIABLES))
    assert zarr.open_group(path, mode="r")["value_uV"].chunks == (4, 3)
    assert [p.name for p in sorted((path / "value_uV/c").iterdir())] == ["0", "1"]
    assert [p.name for p in sorted((path / "done/c").iterdir())] == ["0", "1"]
    expected = np.concatenate([block_of(i)["value_uV"] for i in range(BLOCKS)])
    np.testing.assert_array_equal(store.read(path, "value_uV"), expected)
    np.testing.assert_array_equal(store.read(path, "value_uV", 5, 13), expected[5:13])
    file = path / "value_uV/c/1/0"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"value_uV: the chunk of samples 12 to 15 is damaged .*SHA-256 differs"):
        store.read(path, "value_uV")


def test_an_existing_folder_is_not_touched(whole):
    with pytest.raises(UserError, match="exists already"):
        template(whole)


def test_of_two_templates_at_once_one_is_kept(tmp_path, monkeypatch):
    rename = os.rename

    def later(partial, path):  # another process comes first
        monkeypatch.setattr(os, "rename", rename)
        template(path)
        rename(partial, path)

    monkeypatch.setattr(os, "rename", later)
    with pytest.raises(store.AlreadyThere, match="exists already"):
        template(tmp_path / "s")
    assert [p.name for p in tmp_path.iterdir()] == ["s"]
    fill(tmp_path / "s")


def test_no_chunk_is_of_two_blocks(whole):
    """So two processes never read, change and write one chunk."""
    for name, array in zarr.open_group(whole, mode="r").arrays():
        if name in VARIABLES or name == "done":
            per_block = BLOCK if array.metadata.dimension_names[0] == "sample" else 1
            assert per_block % array.chunks[0] == 0


def test_the_last_block_may_be_shorter(tmp_path):
    path = tmp_path / "s"
    sizes, amplitude = {"sample": 12, "channel": 2}, np.arange(24, dtype=np.float32).reshape(12, 2)
    spec = {"amplitude_uV": store.Variable(("sample", "channel"), "float32", "uV", "amplitude")}
    store.create(path, "eap", sizes, 7, spec, {}, {})
    for index in range(2):
        store.write_block(path, 7, index, {"amplitude_uV": amplitude[7 * index : 7 * index + 7]})
        store.mark_done(path, index)
    store.finish(path)
    store.validate(path, "eap", ["amplitude_uV"])
    np.testing.assert_array_equal(store.read(path, "amplitude_uV"), amplitude)


@pytest.mark.parametrize("what", ["nothing", "file", "folder", "other"])
def test_not_a_store(tmp_path, what):
    path = tmp_path / "s"
    if what == "file":
        path.write_text("x")
    elif what != "nothing":
        path.mkdir()
    if what == "other":
        (path / "zarr.json").write_text("{not json")
    said = {
        "nothing": "does not exist$",
        "file": "is a file, and a store is a folder",
        "folder": "is not a Zarr 3 store, or a part of it is missing",
        "other": "cannot be read as a Zarr 3 store",
    }
    for use in (store.done, store.open_dataset, lambda p: store.validate(p, "toy", ())):
        with pytest.raises(UserError, match=f"{path} {said[what]}"):
            use(path)


def test_another_kind(whole):
    with pytest.raises(UserError, match="holds 'toy', not an 'eap' store"):
        store.validate(whole, "eap", ())


@pytest.mark.parametrize("version", [1, 99])
def test_another_schema(whole, version):
    zarr.open_group(whole, mode="r+").attrs["schema_version"] = version
    manifest.write(whole)
    with pytest.raises(UserError, match=rf"schema version {version}, not 2: make it again"):
        store.validate(whole, "toy", ())


def test_missing_arrays_are_named_with_those_there_are(whole):
    with pytest.raises(UserError, match=r"has no width_ms, eap_uV; it has cell,.*value_uV"):
        store.validate(whole, "toy", ("cell", "width_ms", "eap_uV"))


def test_arrays_that_a_whole_store_has_lost_are_named_in_one_sentence(whole, capfd):
    for name in ("cell", "value_uV", "cell_name"):
        (whole / name / "zarr.json").unlink()
    for reads in (store.open_dataset, lambda path: store.validate(path, "toy", ("rank",))):
        with pytest.raises(UserError, match=r"cell/zarr.json is missing.* delete .* and make it again"):
            reads(whole)
        gc.collect()  # Zarr opens all arrays at once, and then asyncio prints what failed beside the first
    assert capfd.readouterr() == ("", "")


def test_unfinished_blocks_are_named(tmp_path):
    path = fill(template(tmp_path / "s"), (0, 2))
    np.testing.assert_array_equal(store.done(path), [True, False, True, False])
    with pytest.raises(UserError, match=r"2 of 4 blocks are missing \(1, 3\); repeat the command"):
        store.validate(path, "toy", ())


@pytest.mark.parametrize("keep", [0, 1, 5, -3, -1])
@pytest.mark.parametrize("name", ["value_uV", "cell"])
def test_a_truncated_chunk_is_named(whole, name, keep):
    damaged = chunk(whole, name, 2)
    damaged.write_bytes(damaged.read_bytes()[:keep])
    with pytest.raises(UserError, match=rf"{name}: the chunk of samples 12 to 17 is damaged .*make it again"):
        store.read(whole, name)
    assert len(store.read(whole, name, 0, 12)) == 12


@settings(deadline=None)
@given(st.data())
def test_a_changed_byte_is_never_taken_for_data(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "changed"
    if not path.exists():
        fill(template(path))
    file = chunk(path, "value_uV", 1)
    good = bytearray(file.read_bytes())
    position, flip = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(1, 255))
    bad = good.copy()
    bad[position] ^= flip
    try:
        file.write_bytes(bad)
        with pytest.raises(UserError, match="the chunk of samples 6 to 11 is damaged"):
            store.read(path, "value_uV")
    finally:
        file.write_bytes(good)


@pytest.mark.parametrize(("name", "word"), [("value_uV", "not finite"), ("cell", "missing")])
def test_a_deleted_chunk_is_not_taken_for_data(whole, name, word):
    chunk(whole, name, 1).unlink()
    with pytest.raises(
        UserError, match=rf"{name}: the chunk of samples 6 to 11 is damaged \({name}/c/1.* is missing\)"
    ):
        store.read(whole, name)
    manifest.remove(whole)  # as older versions left a store
    with pytest.raises(UserError, match=f"{name}: sample 6 is {word}"):
        store.read(whole, name)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_sample(whole, value):
    zarr.open_group(whole, mode="r+")["value_uV"][13, 1] = value
    manifest.write(whole)
    with pytest.raises(UserError, match="value_uV: sample 13 is not finite"):
        store.read(whole, "value_uV")
    with pytest.raises(UserError, match="sample 13"):
        store.read(whole, "value_uV", 13, 14)
    assert len(store.read(whole, "value_uV", 14)) == 10


WRITER = """
import os, signal, sys
from pathlib import Path
import zarr.storage._local as local
sys.path.insert(0, sys.argv[1])
import test_store
path, calls, real = Path(sys.argv[2]), [], os.replace
def replace(*names):  # the ninth chunk is written, and not yet in its place
    calls.append(names)
    if len(calls) == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*names)
Path.replace = lambda self, target: replace(self, target)
os.replace = replace
test_store.fill(path)
"""


def test_a_writer_that_is_killed_is_continued_to_the_same_bytes(tmp_path, whole):
    path = template(tmp_path / "killed")
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", WRITER, str(here), str(path)], cwd=here.parents[1])
    assert done.returncode == -9
    left = [p.name for p in path.rglob("*.partial")]
    assert left
    finished = store.done(path)
    assert finished.any()
    assert not finished.all()
    (tmp_path / ".killed.0a1b2c3d.partial").mkdir()  # a template that was never finished
    store.clean(path)
    assert [p.name for p in path.rglob("*.partial")] == left  # they may be those of a writer that lives
    for partial in [*tmp_path.rglob("*.partial")]:
        os.utime(partial, (0, 0))
    store.clean(path)
    assert not list(tmp_path.rglob("*.partial"))
    fill(path, np.flatnonzero(~finished).tolist())
    names = {p.relative_to(whole) for p in whole.rglob("*") if p.is_file()}
    assert names == {p.relative_to(path) for p in path.rglob("*") if p.is_file()}
    assert all((whole / n).read_bytes() == (path / n).read_bytes() for n in names)
