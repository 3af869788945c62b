"""Kill a program at random moments, start it again until it ends by itself, and look at what it has made."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

LATE_S = 0.2  # a kill that waits for a step of the program comes at most so long after it
MOST_S = 600.0  # for a program that is left alone


@dataclass(frozen=True)
class Victim:
    """A program that continues what an earlier one has left.

    Attributes:
        start: it, in a process group of its own.
        progress: how many steps of its work are on the disk.
        steps: how many there are in the end.
        seconds: how long it takes when nobody disturbs it.
        wrong: what is not as it should be when it has ended; "" where all is.
        clear: away with what it has made.
    """

    start: Callable[[], "subprocess.Popen[str]"]
    progress: Callable[[], int]
    steps: int
    seconds: float
    wrong: Callable[[], str]
    clear: Callable[[], None]


@dataclass
class Outcome:
    """What became of a number of kills.

    Attributes:
        kills: that met a running program.
        finished: how many times the work was brought to its end, and compared.
        findings: what was wrong.
    """

    kills: int = 0
    finished: int = 0
    findings: list[str] = field(default_factory=list)

    def told(self) -> str:
        """Return the counts in a sentence."""
        return f"{self.kills} kills, {self.finished} times finished and compared, {len(self.findings)} findings"


def kill_group(process: "subprocess.Popen[str]") -> None:
    """Kill a program and all that it has started."""
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@contextlib.contextmanager
def watched(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Leave no program behind when the block ends with an error, or by Ctrl-C."""
    try:
        yield
    except BaseException:
        if process.poll() is None:
            kill_group(process)
        raise


def await_moment(process: "subprocess.Popen[str]", victim: Victim, rng: np.random.Generator) -> bool:
    """Wait for a random moment; say whether the program still runs then.

    Half of the moments are anywhere in the time that it takes, the others shortly after a step, because most of the
    time goes by before a small program has begun with its work.
    """
    end = time.monotonic() + rng.uniform(0, victim.seconds)
    if rng.random() < 0.5:
        step = int(rng.integers(min(victim.progress(), victim.steps - 1), victim.steps)) + 1
        while process.poll() is None and victim.progress() < step:
            time.sleep(0.002)
        end = time.monotonic() + rng.uniform(0, LATE_S)
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    return process.poll() is None


def ended_badly(process: "subprocess.Popen[str]") -> str:
    """Wait for the end of a program that is left alone, and return what is wrong with it."""
    try:
        _, err = process.communicate(timeout=MOST_S)
    except subprocess.TimeoutExpired:
        kill_group(process)
        return f"it did not end in {MOST_S:g} s"
    if process.returncode or "Traceback" in err:
        return f"it ended with {process.returncode}: {err[-1500:]}"
    return ""


def torture(victim: Victim, count: int, seed: int, kill: Callable[["subprocess.Popen[str]"], None]) -> Outcome:
    """Kill a program `count` times, and let the last one finish.

    Args:
        victim: the program.
        count: of kills.
        seed: of their moments.
        kill: what is done to a program at its moment; afterwards it has ended, or ends.
    """
    rng, outcome = np.random.default_rng(seed), Outcome()
    while True:
        process, last = victim.start(), outcome.kills == count
        with watched(process):
            if not last and await_moment(process, victim, rng):
                kill(process)
                outcome.kills += 1
                if outcome.kills % 10 == 0:
                    print(outcome.told(), flush=True)
                continue
            compare(outcome, ended_badly(process) or victim.wrong())
        victim.clear()
        if last:
            return outcome


def compare(outcome: Outcome, found: str) -> None:
    """Count a work that is finished, and keep what was found wrong with it."""
    outcome.finished += 1
    if found:
        outcome.findings.append(found)
        print(f"after {outcome.kills} kills: {found}", flush=True)
