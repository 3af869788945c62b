import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spiketype.datasets.raphe.sources import (
    find,
    read_csv_cell,
    read_csv_spike,
    read_labels,
)
from spiketype.edge import UserError
from tests.datasets.raphe_synthetic import wave

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
    cell, left_out = read_csv_cell(folder, 700)
    assert left_out == []
    np.testing.assert_allclose(cell.spike_pA[0], wave(TIME_MS) * 1.2, atol=0.01)  # the earliest trigger first
    np.testing.assert_allclose(cell.baseline_pA, 5, atol=0.01)
    assert cell.rate_Hz == -1
    assert len(read_csv_cell(folder, 2)[0].spike_pA) == 2


def test_inverted_spikes_are_turned(tmp_path):
    write_spike(tmp_path / "c" / "a_1.csv", -wave(TIME_MS))
    cell, _ = read_csv_cell(tmp_path / "c", 700)
    assert "positive" in cell.notes[0]
    assert cell.spike_pA[0].min() < -79


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("t,i\n" + "0,1\n" * 159, "159 rows and 2 columns; expected 160 and 2"),
        ("t,i\n" + "0,1,2\n" * 160, "160 rows and 3 columns"),
        ("t,i\n" + "0,1\n" * 159 + "0,nan\n", "NaN or infinite in row 160"),
        ("t,i\n" + "0,word\n" * 160, "not a table of numbers"),
        ("", "expected 160 and 2"),
    ],
)
def test_files_that_hold_no_spike_are_skipped_by_name(tmp_path, content, reason):
    write_spike(tmp_path / "cell" / "good_1.csv", wave(TIME_MS))
    bad = tmp_path / "cell" / "bad_2.csv"
    bad.write_text(content)
    cell, left_out = read_csv_cell(tmp_path / "cell", 700)
    assert len(cell.spike_pA) == 1
    assert left_out[0][0] == str(bad)
    assert reason in left_out[0][1]


def test_a_folder_without_a_spike_is_refused(tmp_path):
    (tmp_path / "x_1.csv").write_text("")
    with pytest.raises(UserError, match="none of 1 CSV files holds a spike"):
        read_csv_cell(tmp_path, 700)


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
    assert [labels.of("a", day, tmp_path / "f") for day in ("d1", "d2", "d3")] == [1, 0, -1]
    assert labels.of("b", "any", tmp_path / "f") == 0
    assert read_labels(None).of("c", "d", tmp_path / "NSERTIP" / "c.abf") == 0
    for content, reason in (
        ("cell,label\na,maybe\n", "unknown label 'maybe'"),
        ("a,b\n1,2\n", "columns cell, label"),
        ("cell,label\na,SER\na,NSER\n", "two labels"),
        ("", "columns cell, label"),
    ):
        table.write_text(content)
        with pytest.raises(UserError, match=reason):
            read_labels(table)
