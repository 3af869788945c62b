"""Membrane currents of each cell model's spikes: simulated in child processes, once, and cached."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import spiketype
from spiketype.edge import Json, UserError, cache_dir, cores, progress
from spiketype.simulator.neuron.cells import CellModel
from spiketype.simulator.neuron.child import SEARCH, Request
from spiketype.simulator.neuron.mechanisms import channels, library
from spiketype.simulator.neuron.protocol import Protocol
from spiketype.simulator.neuron.source import Source

PUBLISHED = Protocol()

# Raised whenever the child's program changes what it computes: part of the key of every cached source.
VERSION = 1

# Where the published search from 0.23 nA ends, in steps up (x 1.25) or down (x 0.75): by m-type in the
# portal's layer 5, and by e-type elsewhere. Guesses only, for speed: the search goes on from them.
_STEPS = {"DBC": 1, "LBC": 1, "ChC": -4, "NGC": -5, "SBC": -4, "STPC": 4, "TTPC1": 5, "TTPC2": 5, "UTPC": 0}
_STEPS_ELSEWHERE = {"cAC": -4, "bNAC": -4, "cADpyr": 4}


def simulate(
    models: Sequence[CellModel], protocol: Protocol = PUBLISHED, workers: int | None = None
) -> dict[str, Source]:
    """Return the sources of the models by name: from the cache, or simulated now.

    Each missing one is simulated in a process of its own, ``workers`` at a time (default: one per core). On
    Ctrl-C the children are ended; what is finished stays.

    Raises:
        UserError: models failed; raised when all others are done, it names each with its amplitudes, spike
            counts and stderr.
    """
    sources: dict[str, Source] = {}
    missing: list[CellModel] = []
    for model in models:
        try:
            sources[model.name] = Source.load(cache_path(model, protocol))
        except UserError:  # absent or damaged: the cache is what can be made again
            missing.append(model)
    if missing:
        with progress() as bar:
            compiling = bar.add_task("ion channels", total=1)
            mechanisms = library(models)  # of all models, so that it is one library whichever are missing
            bar.update(compiling, completed=1)
            task = bar.add_task("membrane currents", total=len(missing))
            _fill(missing, protocol, mechanisms, workers or cores(), lambda: bar.advance(task))
        sources |= {model.name: Source.load(cache_path(model, protocol)) for model in missing}
    return {model.name: sources[model.name] for model in models}


def cache_path(model: CellModel, protocol: Protocol) -> Path:
    """Return where the source of a model is kept: the name holds a hash of everything that goes into it."""
    digest = hashlib.sha256(json.dumps(_provenance(model, protocol), sort_keys=True).encode())
    files = [model.folder / f"{name}.hoc" for name in ("template", "biophysics", "morphology")]
    files += sorted(path for path in (model.folder / "morphology").iterdir() if path.is_file())
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)} ".encode() + content)
    digest.update(json.dumps(channels([model])).encode())
    return cache_dir() / "sources" / f"{model.name}-{digest.hexdigest()[:16]}.npz"


def start_nA(model: CellModel, protocol: Protocol) -> float:
    """Return where the search for the amplitude begins: a current that the published search can come to as well."""
    elsewhere = _STEPS_ELSEWHERE.get(model.e_type, 0)
    steps = _STEPS.get(model.m_type, elsewhere) if model.layer == "L5" else elsewhere
    return protocol.start_nA * (protocol.increase**steps if steps > 0 else protocol.decrease**-steps)


def _provenance(model: CellModel, protocol: Protocol) -> Json:
    return {
        "protocol": dataclasses.asdict(protocol),
        "start_nA": start_nA(model, protocol),
        "neuron": importlib.metadata.version("neuron"),
        "LFPy": importlib.metadata.version("LFPy"),
        "version": VERSION,
        "monopole": "currents at the first sample of each spike subtracted",
    }


def _fill(
    models: Sequence[CellModel], protocol: Protocol, mechanisms: Path, workers: int, done: Callable[[], None]
) -> None:
    """Simulate the models into the cache, the largest first so that the last to end is a short one."""
    waiting = sorted(models, key=_size)
    running: list[_Child] = []
    failures: list[str] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_Child(waiting.pop(), protocol, mechanisms))
            time.sleep(0.02)
            for child in [child for child in running if child.process.poll() is not None]:
                running.remove(child)
                failures += child.failure()
                done()
    finally:  # on Ctrl-C
        for child in running:
            child.stop()
    if failures:
        raise UserError("\n\n".join([f"{len(failures)} of {len(models)} cell models failed:", *failures]))


def _size(model: CellModel) -> tuple[bool, int]:
    # Pyramidal cells have by far the most segments; the morphology's length orders the rest well enough.
    return model.excitatory, sum(path.stat().st_size for path in (model.folder / "morphology").iterdir())


class _Child:
    """A process that simulates one cell model."""

    def __init__(self, model: CellModel, protocol: Protocol, mechanisms: Path) -> None:
        out = cache_path(model, protocol)
        out.parent.mkdir(parents=True, exist_ok=True)
        request = Request(
            name=model.name,
            folder=str(model.folder.absolute()),
            library=str(mechanisms),
            protocol=dataclasses.asdict(protocol),
            start_nA=start_nA(model, protocol),
            out=str(out),
            provenance=_provenance(model, protocol),
        )
        self.name = model.name
        self.stderr: IO[str] = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (closed in both methods below)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "spiketype.simulator.neuron.child", json.dumps(dataclasses.asdict(request))],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.stderr,
        )

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self.stderr.close()

    def failure(self) -> list[str]:
        """Return what went wrong in the ended process, if anything: name, amplitudes and spike counts, stderr."""
        self.stderr.seek(0)
        lines = self.stderr.read().splitlines()
        self.stderr.close()
        if self.process.returncode == 0:
            return []
        tried = [line for line in lines if line.startswith(SEARCH)] or ["search: not begun"]
        others = [line for line in lines if not line.startswith(SEARCH)]
        return ["\n".join([f"{self.name} (exit status {self.process.returncode})", *tried, *others[-15:]])]


def _environment() -> dict[str, str]:
    """Return variables for one thread per child, no graphics, and this package importable whether or not installed."""
    here = str(Path(spiketype.__path__[0]).resolve().parent)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, **threads, "NEURON_MODULE_OPTIONS": "-nogui", "PYTHONPATH": path}
