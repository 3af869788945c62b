"""Compile the cell models' ion channels, once per NEURON version, machine and set of sources.

NEURON itself is never imported here: its compiler and the check of what it built run as other processes.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from filelock import FileLock

from spiketype.edge import UserError, cache_dir, install
from spiketype.simulator.neuron import netpyne, nmodl, portal
from spiketype.simulator.neuron.cells import CellModel, catalogue

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


# What NEURON has without being told, and the ions whose potentials it reads.
_BUILT_IN = {"pas": (), "hh": ("na", "k")}
_FIXED = ("na", "k")  # ions whose potentials no mechanism changes; that of calcium may follow from its concentrations


@dataclass(frozen=True)
class _Mod:
    where: str
    text: str

    @property
    def file(self) -> str:
        """Name of its file; ``:`` stands before a member of an archive."""
        return self.where.rpartition(":")[2].replace("\\", "/").rpartition("/")[2]

    @property
    def name(self) -> str:
        return nmodl.suffix(self.text) or self.file.removesuffix(".mod")


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
    Where the models are variants, the rates of channels are given a factor: `nmodl.with_rate`.

    Raises:
        UserError: one mechanism with different statements (both files are named); a channel that cannot be given one.
    """
    found: dict[str, _Mod] = {}
    for mod in _mods(models):
        first = found.setdefault(mod.name, mod)
        if nmodl.pieces(mod.text) != nmodl.pieces(first.text):
            raise UserError(
                f"{first.where} and {mod.where} both define {mod.name}, and not only their comments differ, but NEURON"
                " holds one mechanism of a name: if it is meant to be the same, copy one file over the other; if not,"
                " generate the models of each apart, from a folder of their own (--cell-models FOLDER)"
            )
    vary = any(model.variant for model in models)
    files: dict[str, str] = {}
    for mod in found.values():
        file = mod.file
        while file in files:  # another mechanism in a file of the same name
            file = f"x{file}"
        files[file] = nmodl.with_rate(mod.text, mod.where) if vary else mod.text
    return dict(sorted(files.items()))


def missing(model: CellModel) -> list[str]:
    """Return the mechanisms of a NetPyNE file that neither its collection, nor spiketype, nor MEArec has."""
    return [name for name, mod in _used(model).items() if mod is None]


def without_ions(model: CellModel) -> list[str]:
    """Return the sections of a NetPyNE file that lack a potential which a mechanism of theirs reads.

    That of another ion than sodium or potassium is lacking where other sections give it. None where no section gives
    any ion, which the catalogue tells.
    """
    if model.format != "netpyne":
        return []
    sections = netpyne.parse(netpyne.read(model.path, model.member), str(model.path)).sections
    given = {ion for section in sections for ion, values in section.ions.items() if "e" in values}
    known = {name: nmodl.potentials(mod.text) for name, mod in _used(model).items() if mod is not None}
    read = {name: {*ions} & {*given, *_FIXED} for name, ions in (*_BUILT_IN.items(), *known.items())}
    return [
        section.name
        for section in sections
        if given and any("e" not in section.ions.get(ion, {}) for m in section.mechanisms for ion in read.get(m, ()))
    ]


def _mods(models: Sequence[CellModel]) -> Iterator[_Mod]:
    """Yield density mechanisms: all in the folders of the portal's models, and those that NetPyNE files use."""
    folders = [model.path / "mechanisms" for model in models if model.format == "portal"]
    for path in sorted(path for folder in folders for path in folder.glob("*.mod") if portal.is_visible(path)):
        mod = _Mod(str(path), path.read_text(encoding="latin-1"))
        if not nmodl.is_point_process(mod.text):
            yield mod
    used = {mod.where: mod for model in models for mod in _used(model).values() if mod is not None}
    yield from (used[where] for where in sorted(used))


def _used(model: CellModel) -> dict[str, _Mod | None]:
    """Return the mechanisms of a NetPyNE model by name: its collection's own, else spiketype's, else MEArec's."""
    names = [name for name in model.mechanisms if name not in _BUILT_IN]
    if not names:
        return {}
    path = model.path if model.member else model.path.parent
    changed = max((file.stat().st_mtime_ns for file in (path, *path.glob("*/*.mod"))), default=0)
    own = _of_collection(path, changed)
    return {name: own.get(name) or _of_spiketype().get(name) or _of_portal().get(name) for name in names}


@lru_cache(maxsize=100)
def _of_collection(path: Path, _changed: int) -> dict[str, _Mod]:
    return _by_name(_Mod(where, text) for where, text in netpyne.mods(path).items())


@cache
def _of_spiketype() -> dict[str, _Mod]:
    """Return the mechanisms that other cells of the portal need and the 13 in MEArec do not."""
    folder = Path(__file__).parent / "mod"
    return _by_name(_Mod(str(path), path.read_text(encoding="latin-1")) for path in sorted(folder.glob("*.mod")))


@cache
def _of_portal() -> dict[str, _Mod]:
    return _by_name(_mods(catalogue()))


def _by_name(mods: Iterable[_Mod]) -> dict[str, _Mod]:
    return {mod.name: mod for mod in mods if not nmodl.is_point_process(mod.text)}


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
    names = [name for name in map(nmodl.suffix, mods.values()) if name]
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
        raise UserError(f"NEURON's wheel is absent or incomplete: remove what is there of it, then {install('neuron')}")
    return home


def _only_library(folder: Path) -> Path:
    found = [path for path in sorted(folder.rglob("*nrnmech.*")) if path.suffix in (".so", ".dylib")]
    if not found:
        raise UserError(f"{folder}: holds no compiled mechanisms: delete it, and it is made again")
    return found[0]
