"""Where the program meets the user and the machine: progress in a file, compiled programs that are kept."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from spiketype import edge, reading
from spiketype.edge import UserError


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
    assert [line.split(",")[:2] for line in lines] == [["spikes: 30 %", " 3 of 10"]]


KEPT = """
import jax
from spiketype.edge import check_platform
check_platform()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
print(jax.jit(lambda x: (x @ x.T).sum())(jax.numpy.ones((3, 3))))
"""


def test_compiled_programs_are_kept_for_the_next_time(tmp_path: Path) -> None:
    def kept(**settings: str) -> set[Path]:
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(tmp_path), **settings}
        command = [sys.executable, "-W", "error", "-c", KEPT]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
        assert (done.stdout, done.stderr) == ("27.0\n", "")
        return set(tmp_path.rglob("*-cache"))

    first = kept()
    assert first
    assert all(path.is_relative_to(tmp_path / "spiketype" / "compiled") for path in first)
    assert kept() == first  # read without a word
    assert kept(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "elsewhere")) > first


def test_a_message_with_a_word_as_long_as_its_file_keeps_its_file_and_its_remedy() -> None:
    error = UserError(f"a.csv: column {'(' * 300_000!r} is not known: remove it")
    assert str(error).startswith("a.csv: column '((((")
    assert str(error).endswith("(((' is not known: remove it")
    assert "[... 296" in str(error)
    assert len(str(error)) < 4100
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # from a worker
    assert str(UserError("a" * 4000)) == "a" * 4000


def test_a_note_with_such_a_word_is_kept_whole_and_shown_cut(capsys: pytest.CaptureFixture[str]) -> None:
    with reading.recorded() as found:
        reading.note("a.csv", f"column {'(' * 300_000!r} is not used")
    assert len(found.notes[0]) > 300_000
    assert len(capsys.readouterr().err) < 4100
