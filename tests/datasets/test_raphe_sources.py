import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spiketype.datasets.raphe.__main__ import command_line
from spiketype.datasets.raphe.options import SpikeOptions
from spiketype.datasets.raphe.sources import (
    ReadOptions,
    extract,
    find,
    folders_of,
    read_csv_cell,
    read_csv_spike,
    read_labels,
)
from spiketype.edge import UserError
from tests.datasets.raphe_synthetic import recording, wave

FAST = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
TIME_MS = (np.arange(160) - 42) / 40


def write_spike(path, current, header="time,current"):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{25.1896 + t / 1000:.6f},{i:.4f}" for t, i in zip(TIME_MS, current, strict=False)]
    path.write_text("\n".join([header, *rows]) + "\n")


def test_a_folder_of_published_spikes(tmp_path):
    folder = tmp_path / "A131024#089"
    for k, trigger in enumerate((1_007_585, 99_000, 5)):
        write_spike(folder / f"A131024#089_trigger_{trigger}.csv", 5 + wave(TIME_MS) * (1 + k / 10))
    cell, left_out = read_csv_cell(folder, SpikeOptions())
    assert left_out == []
    np.testing.assert_allclose(cell.spike_pA[0], wave(TIME_MS) * 1.2, atol=0.01)  # the earliest trigger first
    np.testing.assert_allclose(cell.baseline_pA, 5, atol=0.01)
    assert cell.rate_Hz == -1
    assert len(read_csv_cell(folder, SpikeOptions(most=2))[0].spike_pA) == 2
    assert "threshold given does not apply" in read_csv_cell(folder, SpikeOptions(mads=6))[0].notes[-1]
    with pytest.raises(UserError, match="aligned by their crossing, and cannot be by their slope"):
        read_csv_cell(folder, SpikeOptions(align="slope"))


def test_a_recording_under_several_names_is_one_cell(tmp_path):
    first = save(tmp_path / "131024" / "c1.npz")
    shutil.copy(first, tmp_path / "131024" / "c1-copy.npz")
    (tmp_path / "131025").mkdir()
    shutil.copy(first, tmp_path / "131025" / "c2.npz")
    save(tmp_path / "131025" / "c3.npz")
    cells, left_out = extract([tmp_path], SpikeOptions(), ReadOptions(), read_labels(None))
    assert len(cells) == 2
    assert len(left_out) == 2
    assert all("its spikes are the very ones of " in why for _, why in left_out)


def test_inverted_spikes_are_turned(tmp_path):
    write_spike(tmp_path / "c" / "a_1.csv", -wave(TIME_MS))
    cell, _ = read_csv_cell(tmp_path / "c", SpikeOptions())
    assert "positive" in cell.notes[0]
    assert cell.spike_pA[0].min() < -79


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("t,i\n" + "0,1\n" * 159, "159 rows and 2 columns; expected 160 and 2"),
        ("t,i\n" + "0,1,2\n" * 160, "160 rows and 3 columns"),
        ("t,i\n" + "0,1\n" * 159 + "0,nan\n", "NaN or infinite in row 160"),
        ("t,i\n" + "0,word\n" * 160, "cannot be read as a table of numbers"),
        ("", "expected 160 and 2"),
    ],
)
def test_files_that_hold_no_spike_are_skipped_by_name(tmp_path, content, reason):
    write_spike(tmp_path / "cell" / "good_1.csv", wave(TIME_MS))
    bad = tmp_path / "cell" / "bad_2.csv"
    bad.write_text(content)
    cell, left_out = read_csv_cell(tmp_path / "cell", SpikeOptions())
    assert len(cell.spike_pA) == 1
    assert left_out[0][0] == str(bad)
    assert reason in left_out[0][1]


def test_a_folder_without_a_spike_is_refused(tmp_path):
    (tmp_path / "x_1.csv").write_text("")
    with pytest.raises(UserError, match="none of 1 CSV files holds a spike"):
        read_csv_cell(tmp_path, SpikeOptions())


@FAST
@given(
    content=st.one_of(st.binary(max_size=300), st.text(alphabet="0123456789.,-e\nnaif", max_size=300).map(str.encode))
)
def test_random_csv_is_read_or_refused(tmp_path, content):
    path = tmp_path / "random.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"random\.csv"):
        read_csv_spike(path)


def test_what_is_found_below_a_folder(tmp_path):
    write_spike(tmp_path / "SER" / "A131024#089" / "s_1.csv", wave(TIME_MS))
    np.save(tmp_path / "A131024#091.npy", np.zeros(4))
    (tmp_path / "labels.csv").write_text("cell,label\nx,SER\n")
    (tmp_path / "notes.txt").write_text("")
    found, left_out = find([tmp_path, tmp_path / "none", tmp_path / "notes.txt", tmp_path])
    assert [p.name for p in found] == ["A131024#091.npy", "A131024#089"]
    assert [why.split()[0] for _, why in left_out] == ["does", "unrecognised"]


def test_labels(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("cell,label,day\na,SER,d1\na,NSER,d2\nb,0,\n")
    labels = read_labels(table)
    assert [labels.of("a", day) for day in ("d1", "d2", "d3")] == [1, 0, -1]
    assert labels.of("b", "any", ["SER"]) == 0  # the table comes first
    assert read_labels(None).of("c", "d", ["NSERTIP"]) == 0
    for content, reason in (
        ("cell,label\na,maybe\n", "unknown label 'maybe'"),
        ("a,b\n1,2\n", "columns cell, label"),
        ("cell,label\na,SER\na,NSER\n", "two labels"),
        ("", "columns cell, label"),
    ):
        table.write_text(content)
        with pytest.raises(UserError, match=reason):
            read_labels(table)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_labels_of_spreadsheets(tmp_path, separator, encoding):
    rows = [["Cell", "Label", "Day"], ["a,b" if separator != "," else "ab", "SER", "d1"]]
    (tmp_path / "l.csv").write_text("\r\n".join(separator.join(row) for row in rows), encoding, newline="")
    assert read_labels(tmp_path / "l.csv").by_day == {("d1", rows[1][0]): 1}


WORDS = {"SER": 1, "SERTIP": 1, "serotonergic": 1, "NSER": 0, "nsertip": 0, "Non-serotonergic": 0}


@FAST
@given(st.lists(st.sampled_from([*WORDS, "Other", "0", "1", "observer", "SER2", "130101", "rig"]), max_size=6))
def test_the_nearest_folder_of_the_right_name_labels(folders):
    known = [WORDS[folder] for folder in folders if folder in WORDS]
    assert read_labels(None).of("c", "d", folders) == (known[-1] if known else -1)


@FAST
@given(above=st.lists(st.sampled_from([*WORDS, "a"]), max_size=3), inside=st.lists(st.sampled_from([*WORDS, "a"])))
def test_folders_above_the_given_path_do_not_count(tmp_path, above, inside):
    root = tmp_path.joinpath(*above, "given")
    assert folders_of(root.joinpath(*inside, "c.abf"), root) == ["given", *inside]
    assert folders_of(root, root) == []


def save(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32(str(path).encode())  # each is another recording
    np.savez(path, current=recording(np.arange(0.2, 2, 0.4), 2.2, seed=seed), rate_Hz=40_000)
    return path


def labels_by_folder(*paths):
    cells, left_out = extract(list(paths), SpikeOptions(), ReadOptions(), read_labels(None))
    assert left_out == []
    return {cell.name: cell.label for cell in cells}


def test_labels_by_folder(tmp_path, monkeypatch):
    """ "Other" is no class; the nearest class counts, and only from the given path on."""
    data = tmp_path / "SER" / "data"
    for where in ("Other/c1", "NSER/c2", "NSER/rig/c3", "serotonergic/Other/c4", "NSER/SERTIP/c5", "c6"):
        save(data / f"{where}.npz")
    write_spike(data / "NSER" / "c7" / "s_1.csv", wave(TIME_MS))
    expected = {"c1": -1, "c2": 0, "c3": 0, "c4": 1, "c5": 1, "c6": -1, "c7": 0}
    assert labels_by_folder(data) == expected
    assert labels_by_folder(data / "NSER") == {"c2": 0, "c3": 0, "c5": 1, "c7": 0}
    assert labels_by_folder(data / "NSER" / "rig") == {"c3": -1}
    assert labels_by_folder(data / "NSER" / "rig", data) == expected
    assert labels_by_folder(data / "NSER" / "c2.npz", data / "NSER" / "c7") == {"c2": -1, "c7": -1}
    monkeypatch.chdir(data / "NSER")
    assert labels_by_folder(Path()) == {"c2": 0, "c3": 0, "c5": 1, "c7": 0}


def run(*arguments):
    command_line([str(a) for a in ("extract", *arguments)])


def test_rows_of_no_recording_are_told(tmp_path, capsys):
    for name in ("c1", "c2"):
        save(tmp_path / "rig" / "131024" / f"{name}.npz")
    table = tmp_path / "labels.csv"
    table.write_text("cell,label,day\nc1,SER,\nc2,NSER,131024\nc1.abf,SER,\nc2,SER,131025\n")
    run(tmp_path / "rig", "--out", tmp_path / "a.zarr", "--labels", table)
    told = capsys.readouterr()
    assert "rows that are of no recording that was read, 2:" in told.err
    assert "\n  cell c2 of day 131025\n  cell c1.abf\n" in told.err
    assert "c1  5 spikes  serotonergic" in told.out
    assert "c2  5 spikes  non-serotonergic" in told.out
    table.write_text("cell,label\nc1,SER\nc2,NSER\n")
    run(tmp_path / "rig", "--out", tmp_path / "b.zarr", "--labels", table)
    assert "no recording" not in capsys.readouterr().err


def test_a_row_without_a_day_labels_no_cells_of_several_days(tmp_path, capsys):
    for day in ("131024", "131025"):
        save(tmp_path / "rig" / day / "c1.npz")
    table = tmp_path / "labels.csv"
    table.write_text("cell,label\nc1,SER\n")
    with pytest.raises(SystemExit):
        run(tmp_path / "rig", "--out", tmp_path / "a.zarr", "--labels", table)
    assert "cell c1 is labelled without a day, and there are cells of that name on 2 days" in capsys.readouterr().err
    assert not (tmp_path / "a.zarr").exists()
    table.write_text("cell,label,day\nc1,SER,131024\nc1,NSER,\n")
    run(tmp_path / "rig", "--out", tmp_path / "a.zarr", "--labels", table)


def test_days_that_differ_by_a_letter_are_pointed_out(tmp_path, capsys):
    for day in ("A131024", "F131024", "131025"):
        save(tmp_path / "rig" / day / "c1.npz")
    run(tmp_path / "rig", "--out", tmp_path / "a.zarr")
    assert "WARNING: A131024, F131024 are held out as 2 days, though they have one date" in capsys.readouterr().err


def test_a_table_of_other_cells_is_refused(tmp_path, capsys):
    save(tmp_path / "rig" / "131024" / "c1.npz")
    table = tmp_path / "labels.csv"
    table.write_text("cell,label,day\nc1.abf,SER,\nc1,NSER,24.10.13\n")
    with pytest.raises(SystemExit):
        run(tmp_path / "rig", "--out", tmp_path / "a.zarr", "--labels", table)
    told = capsys.readouterr().err
    assert "labels.csv: none of its rows is of a recording that was read" in told
    assert "cell c1 of day 24.10.13, cell c1.abf, the recordings are cell c1 of day 131024" in told
    assert not (tmp_path / "a.zarr").exists()


def test_labels_above_the_given_path_are_mentioned(tmp_path, capsys):
    path = save(tmp_path / "SER" / "131024" / "c1.npz")
    run(path, "--out", tmp_path / "a.zarr")
    told = capsys.readouterr()
    assert "c1  5 spikes  unknown" in told.out
    assert "without a label, though in a folder called SER or NSER, 1; such a folder counts" in told.err
    assert str(path) in told.err


@pytest.mark.parametrize(("step", "read"), [(0.025, True), (2.5e-5, True), (25.0, True), (0.05, False), (0.02, False)])
def test_times_of_another_rate_are_refused(tmp_path, step, read):
    path = tmp_path / "a_1.csv"
    rows = [f"{5 + k * step:.8g},{i:.4f}" for k, i in enumerate(wave(TIME_MS))]
    path.write_text("\n".join(["time,current", *rows]))
    if read:
        assert len(read_csv_spike(path)) == 160
    else:
        with pytest.raises(UserError, match=rf"its times are {step:g} apart, where spikes have 40 kHz"):
            read_csv_spike(path)


def test_currents_of_another_unit_and_columns_that_are_swapped_are_refused(tmp_path):
    write_spike(tmp_path / "nA" / "a_1.csv", wave(TIME_MS) / 1000)
    with pytest.raises(UserError, match=r"nA: the mean spike is 0\.\d+ pA deep.*are its files in pA\?"):
        read_csv_cell(tmp_path / "nA", SpikeOptions())
    rows = [f"{i:.4f},{t:.4f}" for t, i in zip(TIME_MS, wave(TIME_MS), strict=False)]
    (tmp_path / "b_1.csv").write_text("\n".join(["current,time", *rows]))
    with pytest.raises(UserError, match="the first column does not ascend: expected time, then current"):
        read_csv_spike(tmp_path / "b_1.csv")


def test_an_interrupted_extraction_does_not_say_that_a_part_is_kept(tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("spiketype.datasets.raphe.sources.extract", stop)
    with pytest.raises(SystemExit) as error:
        command_line(["extract", str(tmp_path), "--out", str(tmp_path / "s.zarr")])
    assert error.value.code == 130
    assert capsys.readouterr().err == "stopped: nothing is kept; the same command begins anew\n"
