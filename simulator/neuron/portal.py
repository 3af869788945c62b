"""The cell templates of the Neocortical Microcircuit portal, as text in hoc: their axons and their synapses."""

import re
from pathlib import Path, PurePath
from typing import Literal

from spiketype.edge import UserError

Axon = Literal["stub", "full"]
AxonOption = Literal["as-given", "stub", "full"]

# The template's constructor puts a stub of 60 um in the place of the axon, or has that line commented out.
_REPLACE = re.compile(r"^([ \t]*)(?://[ \t]*)?(replace_axon\(\))", re.MULTILINE)


def is_visible(path: PurePath) -> bool:
    """Return whether a file or folder belongs to a cell: not what macOS puts beside each, ``._NAME``."""
    return not path.name.startswith(".")


def morphologies(folder: Path) -> list[Path]:
    """Return the morphology files of a model's folder, sorted; the first is the cell's."""
    return sorted(path for path in (folder / "morphology").iterdir() if path.is_file() and is_visible(path))


def axon(template: str) -> Axon:
    """Return which axon a cell of this template has: a stub, or that of its morphology."""
    called = any("//" not in found[0] for found in _REPLACE.finditer(template))
    return "stub" if called else "full"


def with_axon(template: str, wanted: Axon, where: str = "template.hoc") -> str:
    """Return the template with the axon that is wanted; as it is where it has it already.

    Raises:
        UserError: there is no call of replace_axon() to change.
    """
    if axon(template) == wanted:
        return template
    changed = _REPLACE.sub(r"\1\2" if wanted == "stub" else r"\1//\2", template)
    if changed == template:
        raise UserError(f"{where}: has no call of replace_axon(), so its axon stays as it is: leave out --axon")
    return changed


def without_synapses(template: str) -> tuple[str, str]:
    """Return the name of a cell template, and its text with empty stand-ins for its synapse templates.

    The synapses need two mechanisms that NEURON 9 does not compile. A cell made without synapses never makes
    them, but when hoc reads the cell's template it wants to know theirs.
    """
    name = re.search(r"^begintemplate\s+(\w+)", template, re.MULTILINE)
    if name is None:
        raise SystemExit("template.hoc has no begintemplate")
    synapses = dict.fromkeys(re.findall(r"new\s+(synapses_\w+)", template))
    stand_ins = "".join(f"begintemplate {synapse}\nendtemplate {synapse}\n" for synapse in synapses)
    return name[1], stand_ins + re.sub(r"^load_file\(.*$", "", template, flags=re.MULTILINE)
