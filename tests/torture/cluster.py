"""A Dask cluster of two workers on this machine, of which the workers or the scheduler are killed."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from tests.simulator.eap_program import HERE
from tests.torture.generation import Generation
from tests.torture.killing import Outcome, await_moment, compare, ended_badly, kill_group, watched

GONE_S = 120.0  # within which a program says that its scheduler is gone
WORKERS = 2


class Cluster:
    """A scheduler and its workers, each in a process group of its own, without nannies that would replace workers."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.start()

    def start(self) -> None:
        """Start all, anew."""
        self.file.unlink(missing_ok=True)
        self.scheduler = self._run("dask_scheduler", "--port", "0", "--no-dashboard")
        while not self.file.exists():
            time.sleep(0.05)
        self.workers = [self._worker() for _ in range(WORKERS)]

    def replace(self, index: int) -> None:
        """Kill a worker, and start another."""
        kill_group(self.workers[index])
        self.workers[index] = self._worker()

    def stop(self) -> None:
        """Kill all that still runs."""
        for process in (self.scheduler, *self.workers):
            if process.poll() is None:
                kill_group(process)

    def _worker(self) -> "subprocess.Popen[str]":
        return self._run("dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard")

    def _run(self, program: str, *options: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", f"distributed.cli.{program}", *options, "--host", "127.0.0.1"]
        command += ["--scheduler-file", str(self.file)]
        command += ["--local-directory", str(self.folder / "dask")] if program == "dask_worker" else []
        # They say much, which nobody reads: into a pipe it would stop them.
        return subprocess.Popen(
            command, cwd=HERE.parents[1], text=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip


def kill_workers(made: Generation, count: int, seed: int) -> Outcome:
    """Kill a worker at random moments of generations, each of which must end well all the same."""
    rng, outcome, cluster = np.random.default_rng(seed), Outcome(), Cluster(made.folder)
    try:
        while outcome.kills < count:
            process = made.start(None, "--scheduler", str(cluster.file))
            with watched(process):
                while outcome.kills < count and await_moment(process, made.victim(), rng):
                    cluster.replace(int(rng.integers(WORKERS)))
                    outcome.kills += 1
                compare(outcome, ended_badly(process) or made.wrong())
            print(outcome.told(), flush=True)
            made.clear()
    finally:
        cluster.stop()
    return outcome


def kill_schedulers(made: Generation, count: int, seed: int) -> Outcome:
    """Kill the scheduler at random moments: the program must say so and end, and another start continues."""
    rng, outcome, cluster = np.random.default_rng(seed), Outcome(), Cluster(made.folder)
    try:
        while True:
            process, last = made.start(None, "--scheduler", str(cluster.file)), outcome.kills == count
            with watched(process):
                if not last and await_moment(process, made.victim(), rng):
                    kill_group(cluster.scheduler)
                    outcome.kills += 1
                    outcome.findings += [found] if (found := _not_told(process)) else []
                    print(f"{outcome.told()} {found}", flush=True)
                    cluster.stop()
                    cluster.start()
                    continue
                compare(outcome, ended_badly(process) or made.wrong())
            made.clear()
            if last:
                return outcome
    finally:
        cluster.stop()


def _not_told(process: "subprocess.Popen[str]") -> str:
    """Return what is wrong with a program that has lost its scheduler: it must end soon, with a sentence."""
    try:
        _, err = process.communicate(timeout=GONE_S)
    except subprocess.TimeoutExpired:
        kill_group(process)
        return f"it did not end within {GONE_S:g} s of its scheduler"
    last = err.strip().splitlines()[-1] if err.strip() else ""
    said_it = "Traceback" not in err and last.startswith("error: ") and "scheduler" in last
    if process.returncode and not said_it:
        return f"it ended with {process.returncode}: {err[-1500:]}"
    return ""
