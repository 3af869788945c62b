"""Where the program meets the user: progress in a file, where nothing can be drawn."""

import pytest

from spiketype import edge


def test_progress_writes_lines_where_it_cannot_draw(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(100, 1000, 20))  # seconds
    monkeypatch.setattr(edge.time, "monotonic", lambda: float(next(clock)))
    with edge.progress() as bar:
        task = bar.add_task("spikes", total=10)
        for _ in range(4):
            bar.advance(task)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("spikes: ")]
    assert [line.split(",")[0] for line in lines] == ["spikes: 3 of 10"]
