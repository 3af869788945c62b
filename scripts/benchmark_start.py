"""What a user waits for before anything large is computed: helps, refusals and two small jobs, in seconds of CPU."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from measuring import Results

from spiketype.__main__ import COMMANDS

REFUSED = {
    "a misspelt command": ("trian",),
    "a misspelt option": ("train", "--tsk", "mtype"),
    "a value that is none": ("train", "--task", "mtype", "--steps", "many"),
    "a task that is none": ("train", "--task", "mtpye"),
    "a file that is not there": ("units", "nowhere.npz"),
}
UNITS, EAPS_OF_A_CELL = 44, 12
TIME_MS = np.arange(-15, 33) / 30


def benchmark(jobs: bool = True) -> Results:
    """CPU seconds of every help, some refusals, clustering 44 units and 156 Neuropixels EAPs; children included.

    Everything is done twice, because a user does so: first with a cache that has nothing (Python's byte code is
    written, cell models are simulated, programs compiled), and again, the jobs with other seeds, which is what every
    later use costs. Wanted then: below 1 s for helps and refusals, 20 s for a job.

    Args:
        jobs: Do the two jobs as well, which takes some minutes.
    """
    with tempfile.TemporaryDirectory() as made:
        # Where byte code may not be written, as on this machine perhaps, each start would compile all libraries anew.
        everyone = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        caches = {"XDG_CACHE_HOME": f"{made}/cache", "PYTHONPYCACHEPREFIX": f"{made}/bytecode"}
        return _starts({**everyone, **caches}) | (_jobs(Path(made), {**everyone, **caches}) if jobs else {})


def _starts(environment: Mapping[str, str]) -> Results:
    """Ask for every help, and for what is refused."""
    found = {}
    helps = {f"{name} --help": [*name.split(), "--help"] for name in COMMANDS}
    for what, code, commands in (("help", 0, helps), ("refusal", 2, REFUSED)):
        for arguments in commands.values():
            _cpu_s(arguments, code, environment)
        each = {name: _cpu_s(arguments, code, environment) for name, arguments in commands.items()}
        slowest = max(each, key=lambda name: each[name])
        print(f"the slowest of {len(each)}: {slowest}, {each[slowest]:.2f} s of CPU (wanted: 1)", flush=True)
        found[f"slowest_{what}_cpu_s"] = each[slowest]
    return found


def _jobs(folder: Path, environment: Mapping[str, str]) -> Results:
    """Do each job with an empty cache, and once more."""
    _write_units(folder / "units.npz")
    cluster = ("train", "--task", "cluster", "--data", str(folder / "units.npz"))
    probe = ("simulate", "eap", "--probe", "neuropixels1", "--per-cell", str(EAPS_OF_A_CELL))
    found = {}
    for name, command in ((f"clustering {UNITS} units", cluster), (f"{13 * EAPS_OF_A_CELL} Neuropixels EAPs", probe)):
        for number, when in enumerate(("first", "again")):
            out = folder / f"{command[0]}-{number}"
            cpu_s = _cpu_s([*command, "--seed", str(number), "--out", str(out)], 0, environment)
            print(f"{name}, {when}: {cpu_s:.1f} s of CPU{' (wanted: 20)' if number else ''}", flush=True)
            found[f"{name.replace(' ', '_')}_{when}_cpu_s"] = cpu_s
    return found


def _write_units(path: Path) -> None:
    """Write mean waveforms of three widths, with noise."""
    rng = np.random.default_rng(0)
    width_ms = np.array([0.08, 0.13, 0.2])[np.arange(UNITS) % 3, None]
    peak = np.array([0.5, 0.3, 0.2])[np.arange(UNITS) % 3, None]
    shape = peak * np.exp(-(((TIME_MS - 2.5 * width_ms) / (2 * width_ms)) ** 2)) - np.exp(-((TIME_MS / width_ms) ** 2))
    waveform = rng.uniform(40, 90, (UNITS, 1)) * shape + rng.normal(0, 1, shape.shape)
    np.savez(path, waveform=waveform[:, None].astype(np.float32), rate_kHz=30.0)


def _cpu_s(arguments: Sequence[str], code: int, environment: Mapping[str, str]) -> float:
    """Return the processor's seconds of a command and of all that it starts; it must end with an exit code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "spiketype", *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != code:
        raise SystemExit(f"spiketype {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-500:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
