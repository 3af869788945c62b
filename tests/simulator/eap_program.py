"""The program that writes EAP stores, in a process of its own, with currents of made-up neurons."""

import filecmp
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from spiketype.datasets import store
from spiketype.location import Location
from spiketype.simulator.neuron import cells

HERE = Path(__file__).parent
# The real command line, but for the currents: those of made-up neurons, of as many segments as the name is long.
PROGRAM = """
import os, sys
from pathlib import Path
from spiketype.datasets import store
from spiketype.simulator.eap import template
from spiketype.simulator.eap.__main__ import command_line
from spiketype.simulator.neuron import membrane
from synthetic_source import attempted
folder = Path(sys.argv.pop(1))
membrane.attempt = lambda models, workers: attempted(folder, models)
store.SHARDS = int(os.environ.get("TEST_SHARDS", store.SHARDS))
template.versions = dict  # the git commit may change while the tests run
command_line()
"""


def folder_of(path: Path, names: list[str]) -> Path:
    """A folder of cell models for --cell-models: links to those of the MEArec package."""
    path.mkdir()
    for model in cells.catalogue():
        if model.name in names:
            (path / model.name).symlink_to(model.path)
    return path


def start(out: Location, *arguments: str, sources: Path | None = None) -> subprocess.Popen[str]:
    """Start the program; currents are written to `sources`, by default beside the store."""
    folder = sources or out.parent / "sources"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(folder), "--out", str(out), *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])}
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def blocks_done(out: Path) -> int:
    return int(store.done(out).sum()) if out.exists() else 0


def wait_for(condition: Callable[[], bool], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def files(path: Path) -> set[Path]:
    return {p.relative_to(path) for p in path.rglob("*") if p.is_file()}


def different(one: Path, other: Path) -> list[Path]:
    """Return the files that are in one folder alone, or differ."""
    common = files(one) & files(other)
    changed = {name for name in common if not filecmp.cmp(one / name, other / name, shallow=False)}
    return sorted(changed | (files(one) ^ files(other)))


def assert_same_bytes(one: Path, other: Path) -> None:
    assert not different(one, other)
