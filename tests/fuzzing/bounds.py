"""What a reading of a damaged file may do: give an answer or a UserError, in bounded time and memory; and many of them.

The readings of a script are made by a process of its own, which is started again after the one that it died of. A
damaged file is a function of reader, seed and number.
"""

import contextlib
import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np

from spiketype import reading
from spiketype.edge import UserError
from tests.fuzzing import forks
from tests.fuzzing.mutate import CANARY, Files, mutated
from tests.fuzzing.reader import Reader
from tests.fuzzing.readers import READERS

MOST_S = 10.0  # of the processor for a reading
WAITED_TIMES = 12  # as long by the clock, for readings by another process, and where the machine is busy
MOST_TIMES, LEAST_BYTES = 10, 100_000_000  # memory of a reading: so many times its files, or so many bytes
ADDRESSES = 6 * 2**30  # bytes that a process of readings may ask for beyond what it has at its start
WAITED_S = 200.0  # for a process that a signal does not interrupt


class TookTooLong(BaseException):
    """A reading did not end in time; no `except Exception` catches it."""


@dataclass
class Outcome:
    """What became of a number of readings.

    Attributes:
        answers, refusals: right ones, and those with a UserError.
        findings: what went wrong, by the number of the file.
    """

    answers: int = 0
    refusals: int = 0
    findings: dict[int, str] = field(default_factory=dict)

    def kinds(self) -> Counter[str]:
        """Return the findings by their first line."""
        return Counter(text.splitlines()[0] for text in self.findings.values())


def damaged(name: str, files: Files, seed: int, number: int) -> Files:
    """Return the damaged files of a number; number 0 is not damaged."""
    rng = np.random.default_rng([seed, number, *name.encode()])
    return mutated(files, rng) if number else files


def write(files: Files, folder: Path) -> None:
    """Write files into a folder; those whose names cannot be are left out."""
    for name, content in files.items():
        path = folder / name
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def attempt(reader: Reader, files: Files, start: str) -> str:
    """Read files; return "answer", "refusal", or what went wrong, with the traceback."""
    CANARY.unlink(missing_ok=True)
    size = sum(map(len, files.values()))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        write(files, folder)
        before = _resident_bytes(reset=True)
        with _in_time(), warnings.catch_warnings(action="ignore"), reading.recorded(silent=True):
            found = _one(reader, folder / start)
        grown = _resident_bytes() - before
    if CANARY.exists():
        CANARY.unlink()
        return f"the file's own code was run\n{found}"
    if grown > max(MOST_TIMES * size, LEAST_BYTES):
        return f"{grown / 1e6:.0f} MB for files of {size / 1e6:.2g} MB\n{found}"
    return found


def _one(reader: Reader, path: Path) -> str:
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            reader.read(path)
        except UserError as error:
            long = len(str(error)) > 20_000
            return f"a message of {len(str(error))} letters\n{str(error)[:300]}" if long else "refusal"
        except (Exception, SystemExit, TookTooLong) as error:
            place = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in place if "/spiketype/" in frame.filename] or place
            kind = f"{type(error).__name__} in {Path(own[-1].filename).name}, {own[-1].name}"
            return f"{kind}\n{''.join(traceback.format_exception(error))[-3000:]}"
    return "answer"


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TookTooLong

    timers = (
        (signal.SIGPROF, signal.ITIMER_PROF, MOST_S),
        (signal.SIGALRM, signal.ITIMER_REAL, WAITED_TIMES * MOST_S),
    )
    earlier = [signal.signal(number, stop) for number, _, _ in timers]
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (number, timer, _), before in zip(timers, earlier, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, before)


def _resident_bytes(reset: bool = False) -> int:
    """Return the memory that this process has had at most since the last reset, which sets it to what it has now."""
    with contextlib.suppress(OSError):
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    return 0


def run(name: str, first: int, last: int, seed: int = 0) -> Outcome:
    """Make the readings from number `first` to before `last` in this process."""
    files, start = READERS[name].example()
    outcome = Outcome()
    with _its_processes(READERS[name]):
        for number in range(first, last):
            _keep(outcome, number, attempt(READERS[name], damaged(name, files, seed, number), start))
    return outcome


def _its_processes(reader: Reader) -> contextlib.AbstractContextManager[None]:
    return forks.copied() if reader.slow else contextlib.nullcontext()


def _keep(outcome: Outcome, number: int, found: str) -> None:
    if found == "answer":
        outcome.answers += 1
    elif found == "refusal":
        outcome.refusals += 1
    else:
        outcome.findings[number] = found


def run_apart(name: str, count: int, seed: int = 0, first: int = 0) -> Outcome:
    """Make the readings in processes of their own, so that one may be killed by its file."""
    outcome, number, last = Outcome(), first, first + count
    while number < last:
        command = [sys.executable, "-m", __name__, name, str(number), str(last), str(seed)]
        with (  # a file, because a pipe that nobody reads is full one day, and who writes into it waits for ever
            tempfile.TemporaryFile("w+") as said_by_it,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said_by_it, text=True) as child,
        ):
            assert child.stdout is not None
            timer = _Killer(child)
            for line in child.stdout:
                timer.restart()
                _keep(outcome, number, line.rstrip("\n").replace("\x1f", "\n"))
                number += 1
            timer.stop()
            child.wait()
            said_by_it.seek(0)
            said = said_by_it.read()
        if number < last:
            outcome.findings[number] = f"the process ended with {child.returncode}\n{said[-2000:]}"
            number += 1
    return outcome


class _Killer:
    """Ends a process that says nothing for `WAITED_S`."""

    def __init__(self, child: "subprocess.Popen[str]") -> None:
        import threading

        self._timer: threading.Timer | None = None
        self._child, self._make = child, threading.Timer
        self.restart(3 * WAITED_S)

    def restart(self, seconds: float = WAITED_S) -> None:
        self.stop()
        self._timer = self._make(seconds, self._child.kill)
        self._timer.start()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _child(name: str, first: int, last: int, seed: int) -> None:
    files, start = READERS[name].example()
    attempt(READERS[name], files, start)  # whatever a library keeps once it is used
    out = os.fdopen(os.dup(1), "w")
    with _its_processes(READERS[name]):
        _limit_addresses()
        for number in range(first, last):
            found = attempt(READERS[name], damaged(name, files, seed, number), start)
            print(found.replace("\n", "\x1f"), file=out, flush=True)


def _limit_addresses() -> None:
    status = Path("/proc/self/status")
    if status.exists():
        has = 1024 * int(status.read_text().split("VmSize:")[1].split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (has + ADDRESSES, resource.RLIM_INFINITY))


if __name__ == "__main__":
    shutil.rmtree(CANARY, ignore_errors=True)
    _child(sys.argv[1], *map(int, sys.argv[2:5]))
