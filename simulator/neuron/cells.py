"""The catalogue of cell models: what each is called, which type it is, and where its files lie."""

import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Literal

from spiketype.damage import readable
from spiketype.edge import UserError, install, read_json
from spiketype.reading import note, shortened
from spiketype.simulator.neuron import netpyne, portal, variants
from spiketype.simulator.neuron.portal import Axon, AxonOption
from spiketype.simulator.neuron.variants import Kinetics

BBP = "bbp"

# The portal names a model by layer, m-type, e-type with the number of its fit, and index.
# A tilde tells variants, and a colon collections: see `CellModel.model_name`.
_NAME = re.compile(r"(?P<layer>L\d+)_(?P<m_type>[^~:]+)_(?P<e_type>[A-Za-z]+)\d*_(?P<index>\d+)")
# Whether cells of an e-type of the portal are excitatory; in its own files cAC is called cACint.
_EXCITATORY = {"cADpyr": True} | dict.fromkeys(
    ("bAC", "bIR", "bNAC", "bSTUT", "cAC", "cACint", "cIR", "cNAC", "cSTUT", "dNAC", "dSTUT"), False
)
_PIECES = (
    "template.hoc",
    "biophysics.hoc",
    "morphology.hoc",
    "cellinfo.json",
    "mechanisms/*.mod",
    "morphology/*",
)


@dataclass(frozen=True)
class CellModel:
    """A model of the Neocortical Microcircuit portal (Ramaswamy et al., Front. Neural Circuits 2015) or named alike."""

    name: str
    """Such as ``L5_BP_bAC217_1``: unique among the models of a catalogue."""
    path: Path
    """Its folder in the portal's layout; its NetPyNE file; or the zip archive that holds that."""
    m_type: str
    """Morphological type without the layer, such as ``BP``."""
    e_type: str
    """Electrical type without the number of the fit, such as ``bAC``."""
    layer: str
    excitatory: bool
    format: Literal["portal", "netpyne"] = "portal"
    member: str = ""
    """Name in the zip archive."""
    axon: Axon = "stub"
    """Whether it is simulated with a stub or with the axon of its morphology."""
    mechanisms: tuple[str, ...] = ()
    """What a NetPyNE file says it is made of; a folder of the portal brings its own."""
    variant: int = 0
    """Number of the biophysical variant; 0 is the model as published."""
    kinetics: Kinetics | None = None
    """How a variant differs."""

    @property
    def model_name(self) -> str:
        """The portal's name of the model: variants, and copies in other collections, are of one model."""
        return self.name.rpartition(":")[2].partition("~")[0]


def catalogue(
    sources: Sequence[str | Path] = (BBP,), exclude: Sequence[str] = (), axon: AxonOption = "as-given"
) -> tuple[CellModel, ...]:
    """Return all cell models of the sources, sorted by name.

    A name that an earlier source has is given the name of its own source, as in ``cells:L5_BP_bAC217_1``.

    Args:
        sources: ``"bbp"`` (the 13 layer-5 models in the MEArec distribution); folders with one subfolder per model
            in the layout of the portal; folders or zip archives of NetPyNE files ``NAME_cellParams.json``. Any
            number of models per m-type, any layer. A path may begin with an environment variable, as in
            ``$SPIKETYPE_DATA/cells``, so that a store says the same on all machines.
        exclude: names, or patterns such as ``*_cSTUT*``, of models to leave out.
        axon: for models of the portal: a stub, that of the morphology, or what their templates say.

    Raises:
        UserError: a model is incomplete, damaged or not named as in the portal, or it is not known whether it is
            excitatory; a pattern matches none; none can be given the axon.
    """
    found: dict[str, Callable[[], CellModel]] = {}
    for source in sources:
        path = _folder(source)
        for name, read in _models(path, axon):
            unique = f"{path.name.removesuffix('.zip')}:{name}" if name in found else name
            if unique in found:
                raise UserError(f"{path}: its collection, or one of the same name, was given before: rename one")
            found[unique] = read
    if left := [pattern for pattern in exclude if not any(fnmatchcase(name, pattern) for name in found)]:
        raise UserError(f"--exclude {' '.join(left)}: no cell model is called that; there are {shortened([*found])}")
    kept = [name for name in found if not any(fnmatchcase(name, pattern) for pattern in exclude)]
    if not kept:
        raise UserError("--exclude leaves no cell model")
    models = tuple(replace(found[name](), name=name) for name in sorted(kept))
    _check_axon(models, axon)
    return models


def vary(models: Sequence[CellModel], count: int, seed: int, width: float = 1.0) -> tuple[CellModel, ...]:
    """Return variants 1 to ``count`` of each model, such as ``L5_BP_bAC217_1~2``: see `variants.draw`."""
    return tuple(
        replace(model, name=f"{model.name}~{k}", variant=k, kinetics=variants.draw(seed, model.name, k, width))
        for model in models
        for k in range(1, count + 1)
    )


def axons_differ(models: Sequence[CellModel]) -> str:
    """Return a sentence where some models have stub axons and others full ones; "" where all are alike."""
    stub, full = ([model.name for model in models if model.axon == kind] for kind in ("stub", "full"))
    if not stub or not full:
        return ""
    return (
        f"{len(stub)} models have stub axons ({shortened(stub)}), {len(full)} full ones ({shortened(full)}): a network"
        " may learn the axon for the type; --axon stub makes models of the portal alike"
    )


def _check_axon(models: Sequence[CellModel], axon: AxonOption) -> None:
    """Refuse an axon that none of the models can be given; of a mixture, `axons_differ` tells."""
    others = [model.name for model in models if axon not in ("as-given", model.axon)]
    if others and all(model.format == "netpyne" for model in models):
        raise UserError(
            f"--axon {axon} changes models in the portal's layout alone, and all are NetPyNE files, of which some have"
            f" other axons ({shortened(others)}): leave out --axon"
        )


def _folder(source: str | Path) -> Path:
    if source != BBP:
        return Path(os.path.expandvars(source))
    spec = importlib.util.find_spec("MEArec")  # found, not imported: MEArec pulls in NEURON
    if spec is None or spec.origin is None:
        raise UserError(f"MEArec, whose package data the default cell models are, is absent: {install('MEArec')}")
    return Path(spec.origin).parent / "cell_models" / "bbp"


def _models(source: Path, axon: AxonOption) -> Iterator[tuple[str, Callable[[], CellModel]]]:
    """Yield the name of each model of a source, and what reads it."""
    if not source.exists() or (source.is_file() and not source.name.endswith((".zip", netpyne.ENDING))):
        raise UserError(f"{source}: no such folder of cell models, nor zip archive of NetPyNE files")
    files = netpyne.members(source)
    for name, (path, member) in files.items():
        yield name, partial(_read_netpyne, name, path, member)
    folders = [*_model_folders(source)] if source.is_dir() else []
    for folder in folders:
        yield folder.name, partial(_read, folder, axon)
    if not files and not folders:
        raise UserError(
            f"{source}: holds no cell model: expected NetPyNE files NAME{netpyne.ENDING}, or a subfolder per model"
            f" with {', '.join(_PIECES)}"
        )


def _model_folders(root: Path) -> Iterator[Path]:
    """Yield the subfolders that look like a cell model, by name or by a piece in them; caches and builds do not."""
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and portal.is_visible(folder) and (_NAME.fullmatch(folder.name) or _present(folder)):
            yield folder


def _present(folder: Path) -> set[str]:
    return {piece for piece in _PIECES if any(p.is_file() and portal.is_visible(p) for p in folder.glob(piece))}


def _read(folder: Path, axon: AxonOption) -> CellModel:
    missing = [piece for piece in _PIECES if piece not in _present(folder)]
    if missing:
        raise UserError(f"{folder}: not a complete cell model, missing {', '.join(missing)}")
    name = _parts(folder.name, str(folder))
    layer, m_type, excitatory = _cellinfo(folder / "cellinfo.json")
    with readable(folder / "template.hoc", "text"):
        template = (folder / "template.hoc").read_text(errors="replace")
    given = portal.axon(template)
    wanted = given if axon == "as-given" else axon
    portal.with_axon(template, wanted, str(folder / "template.hoc"))  # refused now, not in a child
    # The e-type comes from the name alone: cellinfo.json says "L5PC" where the portal's e-type is cADpyr.
    return CellModel(
        name=folder.name,
        path=folder,
        m_type=m_type,
        e_type=name["e_type"],
        layer=layer,
        excitatory=_excitatory(name["e_type"], excitatory, f"{folder / 'cellinfo.json'}"),
        axon=wanted,
    )


def _read_netpyne(name: str, path: Path, member: str) -> CellModel:
    where = f"{path}:{member}" if member else str(path)
    parts = _parts(name, where)
    cell = netpyne.parse(netpyne.read(path, member), where)
    if cell.bare:
        note(where, f"sections without mechanisms, where others have some: {shortened([*cell.bare])}")
    if cell.lacks_ions:
        note(where, "no section gives ions: what reads their potentials finds NEURON's own (ek -77 mV, ena 50 mV)")
    return CellModel(
        name=name,
        path=path,
        m_type=parts["m_type"],
        e_type=parts["e_type"],
        layer=parts["layer"],
        excitatory=_excitatory(parts["e_type"], cell.excitatory, f'{where}: in "conds"'),
        format="netpyne",
        member=member,
        axon="full" if cell.has_full_axon else "stub",
        mechanisms=cell.mechanisms,
    )


def _parts(name: str, where: str) -> re.Match[str]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise UserError(f"{where}: name it LAYER_MTYPE_ETYPE_NUMBER, as in L5_BP_bAC217_1, without ~ or :")
    return found


def _excitatory(e_type: str, said: bool | None, where: str) -> bool:
    """Return whether a cell is excitatory: as its file says, else as the portal's cells of its e-type are."""
    if said is None and e_type not in _EXCITATORY:
        raise UserError(
            f'{where}: say "excitatory": true or false, because the e-type {e_type} is none of the portal\'s'
            f" ({', '.join(_EXCITATORY)})"
        )
    return _EXCITATORY[e_type] if said is None else said


def _cellinfo(cellinfo: Path) -> tuple[str, str, bool | None]:
    """Return the layer, the m-type, and whether the cell is excitatory, which the portal's files do not say."""
    info = read_json(cellinfo, f'{cellinfo}: expected a JSON object with "layer" and "m-type"')
    layer, m_type, excitatory = info.get("layer"), info.get("m-type"), info.get("excitatory")
    if not isinstance(layer, str) or not isinstance(m_type, str):
        raise UserError(f'{cellinfo}: expected a JSON object with "layer" and "m-type"')
    if not isinstance(excitatory, bool | None):
        raise UserError(f'{cellinfo}: "excitatory" is {excitatory!r}: expected true or false')
    return layer, m_type.removeprefix(f"{layer}_"), excitatory
