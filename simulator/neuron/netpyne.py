"""Cell models as NetPyNE keeps them: ``NAME_cellParams.json``, beside one another in a folder or a zip archive."""

import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float

from spiketype.damage import check_size, readable
from spiketype.edge import Json, UserError
from spiketype.simulator.neuron.portal import is_visible

ENDING = "_cellParams.json"
SOMA, AXON = "soma", "axon"
STUB_UM = 60.0
"""Length of the two sections by which the portal replaces an axon."""

_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)  # what NEURON can take for one
_MECHANISM_FOLDERS = ("mod", "mechanisms")
_RUN = {"celsius", "v_init", "dt"}  # globals that belong to a run, whose protocol has its own
_ION: tuple[str, ...] = ("e", "i", "o")
_LARGEST_NSEG = 32767  # NEURON's

Values = tuple[float, ...]
"""One for a whole section, or one a segment."""


@dataclass(frozen=True, eq=False)
class Section:
    """An unbranched piece of a neuron, as NEURON has it."""

    name: str
    parent: str | None
    parent_x: float
    """Where on the parent it begins."""
    child_x: float
    """Which end of it begins there."""
    segments: int
    length_um: float
    diameter_um: Values
    axial_ohm_cm: float
    capacitance_uF_per_cm2: Values
    points_um: Float[np.ndarray, "point 4"] | None
    """x, y, z and diameter; where they are given, length and diameter follow from them."""
    mechanisms: Mapping[str, Mapping[str, Values]]
    """Name of a mechanism -> its parameters."""
    ions: Mapping[str, Mapping[str, float]]
    """Name of an ion -> ``e`` (mV), ``i`` and ``o`` (mM), where given."""

    def place_um(self, x: float) -> tuple[float, float, float] | None:
        """Return the point at a fraction `x` of the length; None where the file gives no points."""
        if self.points_um is None:
            return None
        steps_um = np.linalg.norm(np.diff(self.points_um[:, :3], axis=0), axis=1)
        along_um = np.concatenate([[0.0], np.cumsum(steps_um)])
        first, second, third = (np.interp(x * along_um[-1], along_um, axis) for axis in self.points_um[:, :3].T)
        return float(first), float(second), float(third)


@dataclass(frozen=True, eq=False)
class Cell:
    """The sections of a neuron: the soma first, each after its parent."""

    sections: tuple[Section, ...]
    excitatory: bool | None
    """As the file says; None where it does not."""

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """Names of all mechanisms, sorted."""
        return tuple(sorted({name for section in self.sections for name in section.mechanisms}))

    @property
    def bare(self) -> tuple[str, ...]:
        """Names of the sections whose membrane has no mechanism, where others have some."""
        return tuple(section.name for section in self.sections if self.mechanisms and not section.mechanisms)

    @property
    def lacks_ions(self) -> bool:
        """Whether no section gives ions, though there are mechanisms that may read them."""
        return {*self.mechanisms} > {"pas"} and not any(section.ions for section in self.sections)

    @property
    def has_full_axon(self) -> bool:
        """Whether the axon is longer than the portal's stub."""
        return sum(s.length_um for s in self.sections if s.name.startswith(AXON)) > 1.01 * STUB_UM


def members(path: Path) -> dict[str, tuple[Path, str]]:
    """Return the cell files of a collection: name of the cell -> file and, in a zip archive, member; {} if it has none.

    Raises:
        UserError: the archive is damaged, or has two files of one name.
    """
    if path.is_dir():
        files = filter(is_visible, sorted(path.glob(f"*{ENDING}")))
        return {file.name.removesuffix(ENDING): (file, "") for file in files}
    if path.name.endswith(ENDING):
        return {path.name.removesuffix(ENDING): (path, "")}
    found: dict[str, tuple[Path, str]] = {}
    for member in _listing(path):
        inside = PurePosixPath(member)
        if inside.name.endswith(ENDING) and is_visible(inside):
            name = inside.name.removesuffix(ENDING)
            if name in found:
                raise UserError(f"{path}: two files in it are called {inside.name}: rename one")
            found[name] = (path, member)
    return found


def mods(path: Path) -> dict[str, str]:
    """Return the mechanisms that a collection brings, from ``mod/`` or ``mechanisms/``: where -> NMODL."""
    if path.suffix == ".zip":
        wanted = [PurePosixPath(member) for member in _listing(path)]
        of = {
            str(member): read(path, str(member))
            for member in wanted
            if member.suffix == ".mod" and member.parent.name in _MECHANISM_FOLDERS and is_visible(member)
        }
        return {f"{path}:{member}": of[member].decode("latin-1") for member in sorted(of)}
    folder = path if path.is_dir() else path.parent
    files = sorted(file for name in _MECHANISM_FOLDERS for file in (folder / name).glob("*.mod") if is_visible(file))
    return {str(file): read(file, "").decode("latin-1") for file in files}


def _listing(path: Path) -> list[str]:
    with readable(path, "a zip archive"), zipfile.ZipFile(path) as archive:
        return archive.namelist()


def read(path: Path, member: str) -> bytes:
    """Return the content of a file, or of a member of an archive.

    Raises:
        UserError: it is absent or damaged.
    """
    if not member:
        with readable(path, "text"):
            return path.read_bytes()
    where = f"{path}: {member}"
    with readable(where, "a member of a zip archive"), zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
        check_size(where, info.file_size, info.compress_size)
        return archive.read(info)


def parse(content: bytes, where: str) -> Cell:
    """Return the cell of a file's content.

    Raises:
        UserError: it is damaged or is no cell; it names `where` and the section.
    """
    with readable(where, "JSON"):
        value = json.loads(content)
    sections = value.get("secs") if isinstance(value, dict) else None
    if not isinstance(sections, dict) or not sections:
        raise UserError(f'{where}: no cell of NetPyNE: expected a JSON object with "secs"')
    others = sorted({*_object(value, "globals", where)} - _RUN)
    if others:
        raise UserError(f"{where}: it sets globals ({', '.join(others)}), which are not supported: set them by section")
    read = {name: _section(name, content, f"{where}: section {name}") for name, content in sections.items()}
    excitatory = _object(value, "conds", where).get("excitatory")
    if not isinstance(excitatory, bool | None):
        raise UserError(f'{where}: "excitatory" in "conds" is {_short(excitatory)}: expected true or false')
    cell = Cell(tuple(_in_order(read, where)), excitatory)
    _check_places(cell, where)
    return cell


def _section(name: str, content: object, where: str) -> Section:
    if not isinstance(content, dict):
        raise UserError(f"{where}: expected an object with geom, mechs and topol")
    geometry, topology = _object(content, "geom", where), _object(content, "topol", where)
    if content.get("pointps"):
        raise UserError(f"{where}: it has point processes (pointps), which are not supported: leave them out")
    segments = geometry.get("nseg", 1)
    if isinstance(segments, bool) or not isinstance(segments, int) or not 1 <= segments <= _LARGEST_NSEG:
        raise UserError(f"{where}: nseg is {_short(segments)}: expected a whole number from 1 to {_LARGEST_NSEG}")

    def one(of: Json, key: str, word: str, otherwise: float | None = None) -> float:
        return _number(of.get(key, otherwise), f"{where}: {word}")

    def each(of: Json, key: str, word: str) -> Values:
        return _values(of.get(key), segments, f"{where}: {word}")

    points_um = _points(geometry["pt3d"], where) if geometry.get("pt3d") else None
    mechanisms = {
        mechanism: {p: each(parameters, p, f"{mechanism}.{p}") for p in _names(parameters, where)}
        for mechanism in _names(_object(content, "mechs", where), where)
        for parameters in [_object(content["mechs"], mechanism, where)]
    }
    ions: dict[str, dict[str, float]] = {
        ion: {key: one(given, key, f"ion {ion}.{key}") for key in _ION if key in given}
        for ion in _names(_object(content, "ions", where), where)
        for given in [_object(content["ions"], ion, where)]
    }
    parent = topology.get("parentSec")
    if topology and not isinstance(parent, str):
        raise UserError(f"{where}: topol has no parentSec: expected a name")
    section = Section(
        name=name,
        parent=parent,
        parent_x=one(topology, "parentX", "parentX", 1.0),
        child_x=one(topology, "childX", "childX", 0.0),
        segments=segments,
        length_um=_length(points_um) if points_um is not None else one(geometry, "L", "L"),
        diameter_um=() if points_um is not None else each(geometry, "diam", "diam"),
        axial_ohm_cm=one(geometry, "Ra", "Ra"),
        capacitance_uF_per_cm2=each(geometry, "cm", "cm"),
        points_um=points_um,
        mechanisms=mechanisms,
        ions=ions,
    )
    _check(section, where)
    return section


def _check(section: Section, where: str) -> None:
    """Raise UserError where a number is one that no neuron has."""
    positive = {
        "L": (section.length_um,),
        "diam": section.diameter_um,
        "Ra": (section.axial_ohm_cm,),
        "cm": section.capacitance_uF_per_cm2,
    }
    for word, values in positive.items():
        if not all(value > 0 for value in values):
            raise UserError(f"{where}: {word} is {min(values):g}: it must be positive")
    if not 0 <= section.parent_x <= 1:
        raise UserError(f"{where}: parentX is {section.parent_x:g}: expected a place from 0 to 1")
    if section.child_x not in (0, 1):
        raise UserError(f"{where}: childX is {section.child_x:g}: expected an end, 0 or 1")


def _check_places(cell: Cell, where: str) -> None:
    """Refuse sections without a place: NEURON makes one up, which changes what a contact sees.

    The portal's stub of an axon has none in its own files either.
    """
    for section in cell.sections:
        if section.points_um is None and (cell.has_full_axon or not section.name.startswith(AXON)):
            raise UserError(
                f"{where}: section {section.name}: it has no points (pt3d), so nobody knows where it is; only an axon"
                f" of {STUB_UM:g} um may lack them: add them, or leave the cell out with --exclude"
            )


def _in_order(sections: Mapping[str, Section], where: str) -> Iterator[Section]:
    """Yield the soma, and each other section after its parent, in the order of the file."""
    if SOMA not in sections:
        raise UserError(f"{where}: no section is called {SOMA}")
    children: dict[str, list[str]] = {name: [] for name in sections}
    for name, section in sections.items():
        if section.parent is None and name != SOMA:
            raise UserError(f"{where}: section {name}: it has no parent (topol), and is not the soma")
        if section.parent is not None and section.parent not in sections:
            raise UserError(f"{where}: section {name}: its parent {section.parent} is not in the file")
        if section.parent is not None:
            children[section.parent].append(name)
    if sections[SOMA].parent is not None:
        raise UserError(f"{where}: section {SOMA}: expected no parent, because the tree begins there")
    waiting, seen = [SOMA], 0
    while waiting:
        name = waiting.pop()
        seen += 1
        yield sections[name]
        waiting += reversed(children[name])
    if seen < len(sections):
        # What the soma does not lead to has a parent each, so it holds a circle.
        raise UserError(f"{where}: section {_in_circle(sections)}: its parents lead back to itself")


def _in_circle(sections: Mapping[str, Section]) -> str:
    good = {SOMA}
    for start in sections:
        path: list[str] = []
        name = start
        while name not in good:
            if name in path:
                return name
            path.append(name)
            name = sections[name].parent or SOMA
        good |= {*path}
    raise AssertionError("there is one")


def _object(of: Json, key: str, where: str) -> Json:
    """Return an object in an object; {} where it is absent or null."""
    value = of.get(key)
    if value is not None and not isinstance(value, dict):
        raise UserError(f"{where}: {key} is {_short(value)}: expected an object")
    return value or {}


def _names(of: Json, where: str) -> Iterator[str]:
    """Yield the keys, which NEURON can take for names."""
    for name in of:
        if not _NAME.fullmatch(name):
            raise UserError(f"{where}: {_short(name)} is no name of a mechanism, parameter or ion")
        yield name


def _number(value: object, what: str) -> float:
    number = _float(value)
    if number is None:
        raise UserError(f"{what} is {_short(value)}: expected a finite number")
    return number


def _values(value: object, segments: int, what: str) -> Values:
    if not isinstance(value, list):
        return (_number(value, what),)
    if len(value) != segments:
        raise UserError(f"{what} has {len(value)} values: expected one, or {segments}, one a segment")
    return tuple(_number(one, what) for one in value)


def _float(value: object) -> float | None:
    """Return a finite number as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return None
    return number if math.isfinite(number) else None


def _points(value: object, where: str) -> Float[np.ndarray, "point 4"]:
    """Return the points of a section: at least two, x, y, z and diameter."""
    try:
        points_um = np.array(value)
    except ValueError:  # rows of different lengths
        points_um = np.empty(0)
    if points_um.dtype.kind not in "if" or points_um.ndim != 2 or points_um.shape[1] != 4 or len(points_um) < 2:
        raise UserError(f"{where}: pt3d: expected at least two points of four numbers: x, y, z, diameter")
    points_um = points_um.astype(np.float64)
    if not (np.abs(points_um) < 1e6).all() or (points_um[:, 3] <= 0).any():
        raise UserError(f"{where}: pt3d: expected positive diameters, and coordinates within a metre")
    return points_um


def _length(points_um: Float[np.ndarray, "point 4"]) -> float:
    return float(np.linalg.norm(np.diff(points_um[:, :3], axis=0), axis=1).sum())


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
