"""The catalogue of cell models: what each is called, which type it is, and where its files lie."""

import importlib.util
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spiketype.edge import UserError

BBP = "bbp"

# The portal names a model by layer, m-type, e-type with the number of its fit, and index.
_NAME = re.compile(r"(?P<layer>L\d+)_(?P<m_type>.+)_(?P<e_type>[A-Za-z]+)\d*_(?P<index>\d+)")
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
    """One model of the Neocortical Microcircuit portal (Ramaswamy et al., Front. Neural Circuits 2015)."""

    name: str
    """The folder's name, such as ``L5_BP_bAC217_1``."""
    folder: Path
    m_type: str
    """Morphological type without the layer, such as ``BP``."""
    e_type: str
    """Electrical type without the number of the fit, such as ``bAC``."""
    layer: str
    excitatory: bool


def catalogue(sources: Sequence[str | Path] = (BBP,)) -> tuple[CellModel, ...]:
    """Return all cell models of the sources, sorted by name.

    Args:
        sources: ``"bbp"`` (the 13 layer-5 models in the MEArec distribution) or folders with one subfolder
            per model in the layout of the portal; any number of models per m-type, any layer.

    Raises:
        UserError: a folder is not in that layout (it is named with what is missing), or two models have one name.
    """
    models: dict[str, CellModel] = {}
    for source in sources:
        for folder in _model_folders(_folder(source)):
            model = _read(folder)
            if model.name in models:
                first = models[model.name].folder
                raise UserError(f"two cell models are called {model.name}: {first} and {folder}: rename one")
            models[model.name] = model
    return tuple(models[name] for name in sorted(models))


def _folder(source: str | Path) -> Path:
    if source != BBP:
        return Path(source)
    spec = importlib.util.find_spec("MEArec")  # found, not imported: MEArec pulls in NEURON
    if spec is None or spec.origin is None:
        raise UserError("MEArec, whose package data the default cell models are, is absent: pip install MEArec")
    return Path(spec.origin).parent / "cell_models" / "bbp"


def _model_folders(root: Path) -> Iterator[Path]:
    """Yield the subfolders that look like a cell model, by name or by a piece in them; caches and builds do not."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder of cell models")
    folders = [f for f in sorted(root.iterdir()) if f.is_dir() and (_NAME.fullmatch(f.name) or _present(f))]
    if not folders:
        raise UserError(f"{root}: holds no cell model: expected a subfolder per model with {', '.join(_PIECES)}")
    yield from folders


def _present(folder: Path) -> set[str]:
    return {piece for piece in _PIECES if any(folder.glob(piece))}


def _read(folder: Path) -> CellModel:
    missing = [piece for piece in _PIECES if piece not in _present(folder)]
    if missing:
        raise UserError(f"{folder}: not a complete cell model, missing {', '.join(missing)}")
    name = _NAME.fullmatch(folder.name)
    if name is None:
        raise UserError(f"{folder}: name the folder LAYER_MTYPE_ETYPE_NUMBER, as in L5_BP_bAC217_1")
    layer, m_type = _layer_and_m_type(folder / "cellinfo.json")
    # The e-type comes from the name alone: cellinfo.json says "L5PC" where the portal's e-type is cADpyr.
    return CellModel(
        name=folder.name,
        folder=folder,
        m_type=m_type,
        e_type=name["e_type"],
        layer=layer,
        # In the portal every excitatory m-type is continuously adapting (cADpyr), and no inhibitory one is.
        excitatory=name["e_type"].startswith("cAD"),
    )


def _layer_and_m_type(cellinfo: Path) -> tuple[str, str]:
    try:
        info = json.loads(cellinfo.read_text())
        layer, m_type = str(info["layer"]), str(info["m-type"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f'{cellinfo}: expected a JSON object with "layer" and "m-type" ({error!r})') from None
    return layer, m_type.removeprefix(f"{layer}_")
