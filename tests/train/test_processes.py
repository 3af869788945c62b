"""Several processes that train one run, on this machine."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import eap_store
import jax
import numpy as np
import pytest
from process_worker import BATCH, ROWS, STEPS, X, begun, trained

from spiketype.edge import UserError
from spiketype.train import asked, checkpoints, last_words, loop, processes, runs, watch
from spiketype.train.processes import Spread

WORKER = Path(__file__).with_name("process_worker.py")
PATIENCE_S = 600  # of a test, on a machine with other work; a process takes a few seconds


def close(ours: Any, theirs: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), ours, theirs)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return int(listener.getsockname()[1])


def start(count: int, command: list[str], devices: int = 1) -> list[subprocess.Popen[str]]:
    """Start the processes of a run, with so many devices each."""
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
    coordinator = f"localhost:{free_port()}"
    options = ["--distributed", "--coordinator", coordinator, "--processes", str(count)]
    return [
        subprocess.Popen(
            [sys.executable, *command, *options, "--process", str(number)],
            env={**os.environ, **flags},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]


def end(started: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Wait for processes; exit code, output and errors of each."""
    try:
        ended = [process.communicate(timeout=PATIENCE_S) for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, out, told) for process, (out, told) in zip(started, ended, strict=True)]


# ---- the loop


@pytest.mark.parametrize(
    ("count", "devices"),
    [(2, 1), pytest.param(4, 1, marks=pytest.mark.long), pytest.param(2, 2, marks=pytest.mark.slow)],
)
def test_processes_give_what_one_gives(count: int, devices: int, tmp_path: Path) -> None:
    """With the same rows in all, and with rows of which each reads its part; and they read each other's checkpoints."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "alone" / "checkpoints").mkdir(parents=True)
    checkpoints.save_in_parts(tmp_path / "alone", 4, begun(4.0), [])
    done = end(start(count, [str(WORKER), str(tmp_path), "finite"], devices))
    assert [code for code, _, _ in done] == [0] * count, done
    ours, spread = trained(X, 1, 2), trained(X, 1, 3)
    assert ours["count"] == [STEPS, STEPS]
    part = -(-ROWS // (count * devices))
    for number in range(count):
        theirs = json.loads((tmp_path / f"{number}.json").read_text())
        close(theirs["same"], ours)
        close(theirs["spread"], spread)
        assert theirs["parts"] == X[:, 0].tolist()
        begin = number * devices * part
        assert theirs["read"] == [[begin + k * part, min(begin + (k + 1) * part, ROWS)] for k in range(devices)]
        assert theirs["kept"]["shared"] == [True, False]
        close(theirs["kept"]["others"], np.asarray(begun(4.0).params["w"]).tolist())
        assert f"alone/checkpoints/last.orbax is not seen by process {number}" in theirs["kept"]["unseen"]
        assert theirs["other data"] == "process 1 has other data than process 0: give all the same files and options"

    found = checkpoints.newest(tmp_path)
    assert found is not None
    assert (found.path, found.step) == (tmp_path / checkpoints.LAST_PARTS, 6)
    assert found.history == [{"step": 6, "loss": [0.5]}]
    for name, step in ((checkpoints.LAST_PARTS, 6.0), (checkpoints.PREVIOUS_PARTS, 5.0)):
        read = checkpoints.state_in_parts(tmp_path / name, begun())
        jax.tree.map(np.testing.assert_array_equal, read, begun(step))


def test_rows_that_are_spread_are_padded_at_the_end() -> None:
    mesh = loop.member_mesh(1, BATCH, jax.devices()[:1])
    np.testing.assert_array_equal(Spread(X.shape, lambda begin, stop: X[begin:stop]).on(mesh), X)
    np.testing.assert_array_equal(Spread(X.shape, lambda begin, stop: X[begin:stop])._rows(28, None, 32)[:2], X[28:])
    np.testing.assert_array_equal(Spread(X.shape, lambda begin, stop: X[begin:stop])._rows(24, 32, 32)[6:], 0)


def test_a_step_moves_nothing_that_the_loop_has_not_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the loop hands over the number of the step as it is on the host, the guard refuses it."""
    assert np.isfinite(trained(X, 1, 2)["w"]).all()
    place = processes.place
    monkeypatch.setattr(processes, "place", lambda tree, to: tree if isinstance(tree, np.uint32) else place(tree, to))
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        trained(X, 1, 2)


# ---- the command line

SMALL = ["--task", "mtype", "--network", "xs", "--batch", "32", "--dropout", "0"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return eap_store.write(tmp_path_factory.mktemp("store") / "eap.zarr")


def await_lines(folder: Path, lines: int, started: list[subprocess.Popen[str]]) -> None:
    until = time.monotonic() + PATIENCE_S
    metrics = folder / runs.METRICS
    while not metrics.exists() or metrics.read_text().count("\n") < lines:
        if any(process.poll() is not None for process in started) or time.monotonic() > until:
            pytest.fail(f"no {lines} lines in {folder}: {end(started)}")
        time.sleep(0.05)


def alone(arguments: list[str]) -> list[subprocess.Popen[str]]:
    """Start a run of one process."""
    command = [sys.executable, "-m", "train.run", *arguments]
    return [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)]


def losses(folder: Path) -> np.ndarray:
    return np.array([json.loads(line)["loss"] for line in (folder / runs.METRICS).read_text().splitlines()])


@pytest.mark.long
@pytest.mark.slow
def test_four_processes_and_one_continue_each_others_runs(store: Path, tmp_path: Path) -> None:
    """Four are told to make way by SIGTERM, one is, four finish: to the numbers of one that was never stopped."""
    options = [*SMALL, "--store", str(store), "--steps", "600"]
    whole, folder = tmp_path / "whole", tmp_path / "run"
    never_stopped = alone([*options, "--out", str(whole)])
    resume = ["--resume", str(folder)]

    four = start(4, ["-m", "train.run", *options, "--out", str(folder)])
    await_lines(folder, 2, four)
    four[2].send_signal(signal.SIGTERM)
    done = end(four)
    assert [code for code, _, _ in done] == [0] * 4, done
    assert f"--resume {folder}" in done[0][2]
    assert not any("Traceback" in told or "--resume" in told for _, _, told in done[1:])

    assert checkpoints.read(folder / checkpoints.LAST_PARTS).step == 50 * len(losses(folder))
    stopped = len(losses(folder))
    one = alone(resume)
    await_lines(folder, stopped + 2, one)
    one[0].send_signal(signal.SIGTERM)
    (code, _, told), *_ = end(one)
    assert code == 0, told
    assert f"--resume {folder}" in told
    assert not (folder / runs.SUMMARY).exists()

    done = end(start(4, ["-m", "train.run", *resume]))
    assert [code for code, _, _ in done] == [0] * 4, done
    assert [code for code, _, _ in end(never_stopped)] == [0]
    assert len(losses(folder)) == 12
    np.testing.assert_allclose(losses(folder)[:2], losses(whole)[:2], rtol=1e-2)  # means over 50 steps of Adam
    np.testing.assert_allclose(losses(folder), losses(whole), rtol=0.2)
    for name in ("cells", "samples", "confusion"):
        assert name in json.loads((folder / runs.SUMMARY).read_text())
    assert not any(line for _, out, _ in done[1:] for line in out.splitlines() if not line.startswith("[Gloo]"))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("dead", [3, 0])
def test_one_that_is_killed_ends_all_and_is_named(dead: int, tmp_path: Path) -> None:
    """With process 0 goes what the others talk through, and JAX aborts them: their last words are for that.

    They end as soon as an operation with all fails, or, where it waits for ever, because of the silence.
    """
    four = start(4, [str(WORKER), str(tmp_path), "endless"])
    until = time.monotonic() + PATIENCE_S
    while len(list(tmp_path.glob("*.json"))) < 4 and time.monotonic() < until:
        time.sleep(0.05)
    four[dead].kill()
    began = time.monotonic()
    done = end(four)
    assert time.monotonic() - began < watch.SILENT_S + watch.SURELY_S
    for number, (code, _, told) in enumerate(done):
        assert code != 0
        if number != dead and dead:
            assert re.match(r"error: process 3 of 4 \(.*, pid \d+\) is gone", told.splitlines()[-1]), told
        elif number != dead:
            assert "process 0 of 4 is gone" in told.splitlines()[-1], told


OTHER = "this process has other options than process 0 (--seed): give all the same"


@pytest.mark.slow
def test_one_that_fails_tells_the_others_why(store: Path, tmp_path: Path) -> None:
    options = [[*SMALL, "--store", str(store), "--out", str(tmp_path), "--seed", str(seed)] for seed in (0, 1)]
    port, both = free_port(), []
    for number, each in enumerate(options):
        more = ["--distributed", f"--coordinator=localhost:{port}", "--processes=2", f"--process={number}"]
        both.append(
            subprocess.Popen(
                [sys.executable, "-m", "train.run", *each, *more], stdout=-1, stderr=subprocess.PIPE, text=True
            )
        )
    done = end(both)
    assert done[1][0] == 2
    assert done[1][2].splitlines()[-1] == "error: " + OTHER
    assert done[0][0] == 1
    assert re.search(r"process 1 of 2 \(.*\) failed: this process has other options", done[0][2].splitlines()[-1])


@pytest.mark.parametrize(
    ("distributed", "given", "told"),
    [
        (False, ("h:1", None, None), "need --distributed"),
        (True, ("h:1", "2", None), "give all three, or none"),
        (True, ("h", "2", "0"), "--coordinator is h: give HOST:PORT"),
        (True, ("h:1", "2", "2"), "--process is 2 of --processes 2"),
        (True, ("h:1", "two", "0"), "--process is 0 of --processes two"),
        (True, ("h:1", "2", "-1"), "--process is -1 of"),
    ],
)
def test_options_that_do_not_fit_are_told(distributed: bool, given: tuple[str | None, ...], told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        asked.meeting(distributed, dict(zip(asked.MEETING, given, strict=True)))


@pytest.mark.slow
def test_a_machine_on_which_nobody_says_who_is_who_is_told() -> None:
    command = [sys.executable, "-m", "train.run", "--task", "mtype", "--distributed"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --distributed: JAX finds no SLURM, Open MPI or TPU here")
    assert done.stderr.count("\n") == 1


def test_devices_without_work_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "several", lambda: True)
    with pytest.raises(UserError, match=r"4 devices .* batches of 250: give a --batch that 4 divides, such as 252"):
        loop.member_mesh(1, 250, jax.devices() * 4)


# ---- what ends them


def watching(monkeypatch: pytest.MonkeyPatch, words: dict[int, Any], count: int = 3) -> watch._Watch:
    """The watch of process 1, which hears these words in the store."""
    kept = {f"alive/{number}": json.dumps([number, word]) for number, word in words.items()}

    class Shared:
        def key_value_set(self, key: str, value: str, allow_overwrite: bool = False) -> None:
            kept[key] = value

        def key_value_dir_get(self, key: str) -> list[tuple[str, str]]:
            return [(name, value) for name, value in kept.items() if name.startswith(key)]

    monkeypatch.setattr(watch, "store", Shared)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(jax, "process_count", lambda: count)
    found = watch._Watch()
    found.speak()
    found.listen()
    return found


def test_a_process_that_is_silent_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    found = watching(monkeypatch, {0: ["process 0 of 3 (here)", 5, None], 2: ["process 2 of 3 (there)", 5, None]})
    assert found.trouble() is None
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + watch.SILENT_S + 1)
    assert found.trouble() == "process 0 of 3 (here) is gone: nothing was heard of it for 61 s"


def test_a_process_that_failed_is_told_and_one_that_ended_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = {0: ["process 0 of 3 (here, pid 1)", 5, ""], 2: ["process 2 of 3 (there)", 5, "the disk is full"]}
    found = watching(monkeypatch, ended)
    assert found.trouble() == "process 2 of 3 (there) failed: the disk is full"
    found = watching(monkeypatch, {0: ended[0]}, count=2)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 10 * watch.SILENT_S)
    assert found.trouble() is None


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("os.abort()", "farewell\n"),
        ("os.kill(os.getpid(), 9)", "farewell\n"),
        ("pass", ""),
        ("last_words.will_be(''); os._exit(1)", ""),
        ("sys.exit('mine')", "mine\n"),
    ],
)
def test_last_words_are_those_of_a_death_that_cannot_speak(end: str, told: str) -> None:
    """The module alone: without JAX it starts in a moment."""
    program = f"""
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("last_words", {last_words.__file__!r})
last_words = importlib.util.module_from_spec(spec)
spec.loader.exec_module(last_words)
with last_words.heard():
    last_words.will_be("farewell")
    {end}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stderr == told
