"""Membrane currents of each cell model's spikes: simulated in child processes, once, and cached."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from filelock import FileLock, Timeout

import spiketype
from spiketype.edge import Json, UserError, cache_dir, cores, keeping_signals, progress, read_json, write_json
from spiketype.reading import note, shortened
from spiketype.simulator.neuron import netpyne
from spiketype.simulator.neuron.cells import CellModel
from spiketype.simulator.neuron.child import NO_AMPLITUDE, SEARCH, Request
from spiketype.simulator.neuron.mechanisms import channels, library, missing, without_ions
from spiketype.simulator.neuron.portal import morphologies, with_axon
from spiketype.simulator.neuron.protocol import Protocol
from spiketype.simulator.neuron.source import Source

PUBLISHED = Protocol()

# Raised whenever the child's program changes what it computes: part of the key of every cached source.
VERSION = 1
LOOK_EVERY_S = 1.0  # whether other programs have finished what they simulate
# By somebody, and not by what NEURON makes of the model.
KILLED = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}

# Where the published search from 0.23 nA ends, in steps up (x 1.25) or down (x 0.75): by m-type in the
# portal's layer 5, and by e-type elsewhere. Guesses only, for speed: the search goes on from them.
_STEPS = {"DBC": 1, "LBC": 1, "ChC": -4, "NGC": -5, "SBC": -4, "STPC": 4, "TTPC1": 5, "TTPC2": 5, "UTPC": 0}
_STEPS_ELSEWHERE = {"cACint": -4, "bNAC": -4, "cADpyr": 4}


class Failure(NamedTuple):
    """Why a cell model has no source."""

    reason: str
    """In short."""
    words: str
    """Name, amplitudes with their spike counts, and stderr."""


class Cached(Mapping[str, Source]):
    """Sources in the cache, read when they are asked for: hundreds of them need not be in memory at once."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths

    def path(self, name: str) -> Path:
        """Return the file of one."""
        return self._paths[name]

    def __getitem__(self, name: str) -> Source:
        return Source.load(self._paths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


class Attempt(NamedTuple):
    """What became of some cell models: each is in one of both, by name."""

    sources: Cached
    failures: Mapping[str, Failure]


def simulate(
    models: Sequence[CellModel], protocol: Protocol = PUBLISHED, workers: int | None = None
) -> dict[str, Source]:
    """Return the sources of the models by name, as `attempt` does, but for failures.

    Raises:
        UserError: models failed; raised when all others are done, it names each with its amplitudes, spike
            counts and stderr.
    """
    sources, failures = attempt(models, protocol, workers)
    if failures:
        words = [failure.words for failure in failures.values()]
        raise UserError("\n\n".join([f"{len(words)} of {len(models)} cell models failed:", *words]))
    return dict(sources)


def attempt(models: Sequence[CellModel], protocol: Protocol = PUBLISHED, workers: int | None = None) -> Attempt:
    """Return the sources of the models by name, from the cache or simulated now, and why some have none.

    Each missing one is simulated in a process of its own, ``workers`` at a time (default: one per core). On
    Ctrl-C, or when this process ends in another way, they are ended; what is finished stays. That no amplitude gives
    the wanted spikes is kept in the cache as well. Of several programs that share a cache and want one model, one
    simulates it, while the others do other models or wait.

    Raises:
        UserError: a simulation was killed, which says nothing of the model.
    """
    failures = {model.name: _lacking(lacking) for model in models if (lacking := missing(model))}
    able = [model for model in models if model.name not in failures]
    paths = {model.name: cache_path(model, protocol) for model in able}
    waiting = []
    for model in able:
        failure = _known_failure(paths[model.name])
        if failure is not None:
            failures[model.name] = failure
        elif not _usable(paths[model.name]):
            waiting.append(model)
    for model in waiting:
        _tell_lacking_ions(model)
    if waiting:
        with progress() as bar:
            compiling = bar.add_task("ion channels", total=1)
            mechanisms = library(able)  # of all models, so that it is one library whichever are missing
            bar.update(compiling, completed=1)
            task = bar.add_task("membrane currents", total=len(waiting))
            failures |= _fill(waiting, paths, protocol, mechanisms, workers or cores(), lambda: bar.advance(task))
    sources = {model.name: paths[model.name] for model in models if model.name not in failures}
    return Attempt(Cached(sources), {model.name: failures[model.name] for model in models if model.name in failures})


def _tell_lacking_ions(model: CellModel) -> None:
    """Note sections that find other potentials than those that the file gives for others."""
    if lacking := without_ions(model):
        note(
            model.path,
            f"{model.name}: mechanisms of {shortened(lacking)} read potentials of ions that the file does not give"
            " there, and find NEURON's own (ek -77 mV, ena 50 mV)",
        )


def _usable(path: Path) -> bool:
    try:
        Source.load(path)
    except UserError:  # absent or damaged: the cache is what can be made again
        return False
    return True


def _lacking(names: Sequence[str]) -> Failure:
    reason = f"needs {', '.join(names)}: put the .mod file into mod/ beside the cell files"
    return Failure(reason, reason)


def _failure_path(path: Path) -> Path:
    return path.with_suffix(".failed.json")


def _known_failure(path: Path) -> Failure | None:
    """Return the failure that the cache holds in the place of a source, if any."""
    try:
        return Failure(**read_json(_failure_path(path), ""))
    except (UserError, TypeError):
        return None


def cache_path(model: CellModel, protocol: Protocol) -> Path:
    """Return where the source of a model is kept: the name holds a hash of everything that goes into it."""
    digest = hashlib.sha256(json.dumps(_provenance(model, protocol), sort_keys=True).encode())
    for piece in _pieces(model):
        digest.update(piece)
    file = re.sub(r"[^\w~.-]", "_", model.name)  # the colon of a repeated name is none for a file
    return cache_dir() / "sources" / f"{file}-{digest.hexdigest()[:16]}.npz"


def content(model: CellModel) -> str:
    """Return a digest of what is given of a model: its files, channels and types. It is the same on all machines."""
    digest = hashlib.sha256(json.dumps([model.m_type, model.e_type, model.layer, model.excitatory]).encode())
    for piece in _pieces(model):
        digest.update(piece)
    return digest.hexdigest()[:16]


def _pieces(model: CellModel) -> Iterator[bytes]:
    """Yield what of a model goes into NEURON: each of its files, and its channels."""
    for name, file in _files(model):
        yield f"{name} {len(file)} ".encode() + file
    yield json.dumps(channels([model])).encode()


def _files(model: CellModel) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of a model but its channels."""
    if model.format == "netpyne":
        yield "cellParams.json", netpyne.read(model.path, model.member)
        return
    template = (model.path / "template.hoc").read_text(encoding="latin-1")
    yield "template.hoc", with_axon(template, model.axon).encode("latin-1")
    files = [model.path / f"{name}.hoc" for name in ("biophysics", "morphology")]
    files += morphologies(model.path)
    for path in files:
        yield path.name, path.read_bytes()


def start_nA(model: CellModel, protocol: Protocol) -> float:
    """Return where the search for the amplitude begins: a current that the published search can come to as well."""
    elsewhere = _STEPS_ELSEWHERE.get(model.e_type, 0)
    steps = _STEPS.get(model.m_type, elsewhere) if model.layer == "L5" else elsewhere
    return protocol.start_nA * (protocol.increase**steps if steps > 0 else protocol.decrease**-steps)


def _provenance(model: CellModel, protocol: Protocol) -> Json:
    variant = {"kinetics": dataclasses.asdict(model.kinetics)} if model.kinetics is not None else {}
    return variant | {
        "protocol": dataclasses.asdict(protocol),
        "start_nA": start_nA(model, protocol),
        "neuron": importlib.metadata.version("neuron"),
        "LFPy": importlib.metadata.version("LFPy"),
        "version": VERSION,
        "monopole": "currents at the first sample of each spike subtracted",
    }


def _fill(
    models: Sequence[CellModel],
    paths: Mapping[str, Path],
    protocol: Protocol,
    mechanisms: Path,
    workers: int,
    done: Callable[[], None],
) -> dict[str, Failure]:
    """Simulate the models into the cache, the largest first so that the last to end is a short one."""
    waiting = sorted(models, key=_size)
    elsewhere: list[CellModel] = []  # at which other programs are
    running: list[_Child] = []
    failures: dict[str, Failure] = {}
    look, told = time.monotonic() + LOOK_EVERY_S, False
    try:
        while waiting or elsewhere or running:
            while waiting and len(running) < workers:
                model = waiting.pop()
                path = paths[model.name]
                if (lock := _claim(path)) is None:
                    elsewhere.append(model)
                elif (failure := _known_failure(path)) is not None or _usable(path):  # by another, in the meantime
                    lock.release()
                    failures |= {model.name: failure} if failure is not None else {}
                    done()
                else:
                    running.append(_Child(model, path, protocol, mechanisms, lock))
            time.sleep(0.02)
            for child in [child for child in running if child.process.poll() is not None]:
                running.remove(child)
                if (failure := child.failure()) is not None:
                    failures[child.name] = failure
                done()
            if elsewhere and not running and not told:
                told = True
                print(f"waiting for {len(elsewhere)} cell models that other programs simulate", file=sys.stderr)
            if elsewhere and time.monotonic() > look:
                waiting, elsewhere = [*elsewhere, *waiting], []
                look = time.monotonic() + LOOK_EVERY_S
    finally:  # on Ctrl-C
        for child in running:
            child.stop()
    return failures


def _claim(path: Path) -> FileLock | None:
    """Return the held lock of a file that is to be made, or None where another program holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except OSError:  # a file system without locks: at worst it is made twice, and each time renamed into place whole
        pass
    return lock


def _size(model: CellModel) -> tuple[bool, int]:
    # Pyramidal cells have by far the most segments; the morphology's length orders the rest well enough.
    folder = model.path / "morphology"
    return model.excitatory, sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0


class _Child:
    """A process that simulates one cell model."""

    def __init__(self, model: CellModel, out: Path, protocol: Protocol, mechanisms: Path, lock: FileLock) -> None:
        request = Request(
            name=model.name,
            path=str(model.path.absolute()),
            member=model.member,
            axon=model.axon,
            kinetics=None if model.kinetics is None else dataclasses.asdict(model.kinetics),
            library=str(mechanisms),
            protocol=dataclasses.asdict(protocol),
            start_nA=start_nA(model, protocol),
            out=str(out),
            provenance=_provenance(model, protocol),
        )
        self.name, self.out, self.lock = model.name, out, lock
        self.stderr: IO[str] = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (closed in both methods below)
        with keeping_signals():
            self.process = subprocess.Popen(
                [sys.executable, "-m", "spiketype.simulator.neuron.child", json.dumps(dataclasses.asdict(request))],
                env=_environment(),
                stdin=subprocess.PIPE,  # closed when this process ends, in whatever way: the child ends then as well
                stdout=subprocess.DEVNULL,
                stderr=self.stderr,
            )

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self._close()

    def failure(self) -> Failure | None:
        """Return what went wrong in the ended process, if anything: name, amplitudes and spike counts, stderr.

        Raises:
            UserError: it was killed.
        """
        self.stderr.seek(0)
        lines = self.stderr.read().splitlines()
        self._close()
        status = self.process.returncode
        if status == 0:
            return None
        if status in KILLED:
            raise UserError(
                f"NEURON's process of {self.name} was killed by {signal.Signals(-status).name} (out of memory?):"
                " repeat the command, with fewer --workers"
            )
        tried = [line for line in lines if line.startswith(SEARCH)] or ["search: not begun"]
        others = [line for line in lines if line.strip() and not line.startswith(SEARCH)]
        words = "\n".join([f"{self.name} (exit status {status})", *tried, *others[-15:]])
        failure = Failure(others[-1].strip() if others else f"exit status {status}", words)
        if status == NO_AMPLITUDE:  # the same next time: what goes in is in the name of the file
            write_json(_failure_path(self.out), failure._asdict())
        return failure

    def _close(self) -> None:
        self.lock.release()
        self.stderr.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


def _environment() -> dict[str, str]:
    """Return variables for one thread per child, no graphics, and this package importable whether or not installed."""
    here = str(Path(spiketype.__path__[0]).resolve().parent)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, **threads, "NEURON_MODULE_OPTIONS": "-nogui", "PYTHONPATH": path}
