"""A disk that is full at random moments, or read-only: one sentence, and the same result when there is room again."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from spiketype.edge import UserError
from tests.torture.killing import MOST_S, Outcome, ended_badly, kill_group

PLENTY = "256m"
PAGE = 4096
Start = Callable[[Path], "subprocess.Popen[str]"]  # a program that writes to this path
Wrong = Callable[[Path], str]  # what is wrong with what it has written there


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Callable[[str], None]]:
    """Make a folder a file system in memory, and yield what mounts it again with other options.

    Raises:
        UserError: this user may not mount.
    """
    folder.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", f"size={PLENTY}", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"{folder} cannot be a small disk ({error}): run this as root, in a container") from error
    try:
        yield lambda options: _mount("-o", f"remount,{options}", str(folder))
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True, capture_output=True)


def needed_bytes(path: Path) -> int:
    """Return how much a folder takes on such a disk, in whole pages."""
    return sum(-(-p.stat().st_size // PAGE) * PAGE for p in path.rglob("*") if p.is_file())


def torture(name: str, folder: Path, whole: Path, start: Start, wrong: Wrong, count: int, seed: int) -> Outcome:
    """Let a program meet a full disk and a read-only one, `count` times each, and continue when there is room.

    The disk is full at a random number of bytes, which grows within one work, until the work is done.

    Args:
        name: of the program, to print.
        folder: to be the disk; must not exist.
        whole: what the program makes undisturbed.
        start: it.
        wrong: what is wrong with its work.
        count: of full disks.
        seed: of their sizes.
    """
    rng, outcome, needed = np.random.default_rng(seed), Outcome(), needed_bytes(whole)
    with mounted(folder) as remount:
        work = folder / whole.name
        while outcome.kills < count:
            size = 0
            for _ in range(int(rng.integers(1, 4))):
                size = int(rng.integers(size, needed))
                remount(f"size={max(PAGE, size)}")
                outcome.kills += 1
                _keep(outcome, f"{name}, disk of {size} bytes", told(start(work), "No space left on device"))
            remount(f"size={PLENTY},ro")
            _keep(outcome, f"{name}, read-only", told(start(work), "Read-only file system"))
            remount(f"size={PLENTY},rw")
            _keep(outcome, f"{name}, room again", ended_badly(start(work)) or wrong(work))
            outcome.finished += 1
            subprocess.run(["rm", "-rf", *(str(path) for path in folder.iterdir())], check=True)
            print(f"{name}: {outcome.told()}", flush=True)
    return outcome


def _keep(outcome: Outcome, when: str, found: str) -> None:
    if found:
        outcome.findings.append(f"{when}: {found}")
        print(outcome.findings[-1], flush=True)


def told(process: "subprocess.Popen[str]", cause: str) -> str:
    """Return what is wrong with how a program ends: it must fail with one sentence that gives the cause."""
    try:
        _, err = process.communicate(timeout=MOST_S)
    except subprocess.TimeoutExpired:
        kill_group(process)
        return f"it did not end in {MOST_S:g} s"
    said = [line for line in err.splitlines() if line.startswith("error: ")]
    if not process.returncode or "Traceback" in err or len(said) != 1 or cause not in said[0]:
        return f"it ended with {process.returncode}: {err[-1500:]}"
    return ""
