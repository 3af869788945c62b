"""Compile the cell models' ion channels, once per NEURON version, machine and set of sources.

NEURON itself is never imported here: its compiler and the check of what it built run as other processes.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from spiketype.edge import UserError, cache_dir
from spiketype.simulator.neuron.cells import CellModel

_POINT_PROCESS = re.compile(r"^\s*(POINT_PROCESS|ARTIFICIAL_CELL)\s", re.MULTILINE)
_SUFFIX = re.compile(r"^\s*SUFFIX\s+(\w+)", re.MULTILINE)
_PIECE = re.compile(  # of NMODL: what is compared, except for what is `skipped`
    r"""(?P<c>\bVERBATIM\b.*?\bENDVERBATIM\b)
    | (?P<skipped> \bCOMMENT\b.*?\bENDCOMMENT\b | ^[ \t]*TITLE\b[^\n]* | [:?][^\n]* )
    | "[^"\n]*" | (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? | \w+ | [^\w\s]""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_REMEDY = (
    "the ion channels could not be compiled: NEURON needs make and a C++ compiler with C++17 "
    "(Debian, Ubuntu: apt-get install build-essential; macOS: xcode-select --install)"
)
_VERIFY = """
import sys
from neuron import h
library, *names = sys.argv[1:]
assert h.nrn_load_dll(library) == 1, f"NEURON does not load {library}"
section = h.Section()
for name in names:
    section.insert(name)
"""


def library(models: Sequence[CellModel]) -> Path:
    """Return the compiled channels of the models, for ``h.nrn_load_dll``; build them if the cache has none.

    They are built in a folder beside the target, loaded to verify, then renamed, under a file lock: what the
    cache holds is whole, and of two processes that start together one builds and the other waits.

    Raises:
        UserError: no compiler, or a failed compilation (with the compiler's words); two models define one
            mechanism differently (both files are named).
    """
    mods = channels(models)
    target = cache_dir() / "mechanisms" / _key(mods)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f"{target.name}.lock")):
        if not target.exists():
            with tempfile.TemporaryDirectory(prefix=f"{target.name}-", dir=target.parent) as build:
                _build(mods, Path(build)).rename(target)
    return _only_library(target)


def channels(models: Sequence[CellModel]) -> dict[str, str]:
    """Return the sources to compile: file name -> text, sorted by name.

    Point processes are left out. A channel spread over a membrane is a density mechanism; point processes are
    placed one by one, and in a cell model only its synapses are, which are not used here (and whose
    `ProbAMPANMDA_EMS` and `ProbGABAAB_EMS` NEURON 9 does not compile).

    Of files that define one mechanism with the same statements, the first is taken: comments and space may differ.

    Raises:
        UserError: one mechanism with different statements; both files are named.
    """
    found: dict[str, tuple[Path, list[str], str]] = {}
    for path in sorted(path for model in models for path in (model.folder / "mechanisms").glob("*.mod")):
        text = path.read_text(encoding="latin-1")
        if _POINT_PROCESS.search(text):
            continue
        pieces = _pieces(text)
        name = pieces[pieces.index("SUFFIX") + 1] if "SUFFIX" in pieces[:-1] else path.stem
        first, first_pieces, _ = found.setdefault(name, (path, pieces, text))
        if pieces != first_pieces:
            raise UserError(
                f"{first} and {path} both define {name}, and not only their comments differ, but NEURON holds one"
                " mechanism of a name: if it is meant to be the same, copy one file over the other; if not, generate"
                " the models of each apart, from a folder of their own (--cell-models FOLDER)"
            )
    files: dict[str, str] = {}
    for path, _, text in found.values():
        file = path.name
        while file in files:  # another mechanism in a file of the same name
            file = f"x{file}"
        files[file] = text
    return dict(sorted(files.items()))


def _pieces(text: str) -> list[str]:
    """Return the words, numbers and signs of NMODL without comments and title; C is kept in lines."""
    found = [m for m in _PIECE.finditer(text) if m["skipped"] is None]
    return [m[0] if m["c"] is None else "\n".join(" ".join(line.split()) for line in m[0].splitlines()) for m in found]


def _key(mods: Mapping[str, str]) -> str:
    version = importlib.metadata.version("neuron")
    digest = hashlib.sha256(repr(sorted(mods.items())).encode()).hexdigest()[:16]
    return f"neuron{version}-{platform.system()}-{platform.machine()}-{digest}".lower()


def _build(mods: Mapping[str, str], build: Path) -> Path:
    """Compile within ``build``; return the folder that holds nothing but the verified library."""
    sources, result = build / "sources", build / "result"
    sources.mkdir()
    result.mkdir()
    for name, text in mods.items():
        (sources / name).write_text(text, encoding="latin-1")
    _run([str(_neuron_home() / "bin" / "nrnivmodl"), "sources"], build, _REMEDY)
    shutil.copy2(_only_library(build), result)
    names = [match[1] for text in mods.values() if (match := _SUFFIX.search(text))]
    check = [sys.executable, "-c", _VERIFY, str(_only_library(result)), *names]
    _run(check, result, "the compiled ion channels do not load into NEURON")
    return result


def _run(command: list[str], folder: Path, failure: str) -> None:
    done = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        words = "\n".join([*done.stdout.splitlines()[-10:], *done.stderr.splitlines()[-20:]])
        raise UserError(f"{failure}.\nIts own words:\n{words}")


def _environment() -> dict[str, str]:
    """Return variables with a C++ compiler that exists: Python may have been built with one that is not installed."""
    names = [os.environ.get("CXX"), sysconfig.get_config_var("CXX"), "c++", "g++", "clang++"]
    found = [name.split()[0] for name in names if name and shutil.which(name.split()[0])]
    compiler = {"CXX": found[0] if found else "c++"}
    return {**os.environ, **compiler, "NRNHOME": str(_neuron_home()), "NEURON_MODULE_OPTIONS": "-nogui"}


def _neuron_home() -> Path:
    """Return the folder where the NEURON wheel keeps its programs; it is found, not imported.

    The ``nrnivmodl`` in the environment's ``bin`` only calls the one here, but first insists on perl and on a
    shared libpython, which compiling channels does not need.
    """
    spec = importlib.util.find_spec("neuron")
    home = Path(spec.origin).parent / ".data" if spec and spec.origin else None
    if home is None or not (home / "bin" / "nrnivmodl").exists():
        raise UserError("NEURON's wheel is absent or incomplete: pip install --force-reinstall neuron")
    return home


def _only_library(folder: Path) -> Path:
    found = [path for path in sorted(folder.rglob("*nrnmech.*")) if path.suffix in (".so", ".dylib")]
    if not found:
        raise UserError(f"{folder}: holds no compiled mechanisms: delete it, and it is made again")
    return found[0]
