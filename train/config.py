"""Command lines out of frozen dataclasses: the fields of a task's configuration are its flags, defaults and help."""

import dataclasses
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from spiketype.edge import UserError

Config = TypeVar("Config")


def parse(kind: type[Config], arguments: Sequence[str], preset: Mapping[str, Any], prog: str, also: str) -> Config:
    """A configuration from the flags given, else the preset, else the defaults; `also` ends the help's first words."""
    return tyro.cli(
        kind,
        prog=prog,
        description=f"{inspect.getdoc(kind)}\n\n{also}",
        args=list(arguments),
        default=kind(**preset),
        config=(tyro.conf.OmitArgPrefixes,),
    )


def to_json(config: Any) -> dict[str, Any]:
    """The configuration as JSON; paths are text, and absolute, so that a run is continued from any folder."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=lambda path: str(path.absolute())))


def from_json(kind: type[Config], values: Mapping[str, Any], where: Path) -> Config:
    """The configuration that `to_json` wrote.

    Raises:
        UserError: fields that are missing or unknown (the file is of another version of this program), or wrong.
    """
    fields = {field.name: field.type for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if differing := sorted(set(values) ^ set(fields)):
        raise UserError(f"{where} is of another version of this program: {', '.join(differing)} differ")
    try:
        return kind(**{name: _typed(fields[name], value) for name, value in values.items()})
    except TypeError as error:
        raise UserError(f"{where} has a value of the wrong type ({error})") from error


def _typed(kind: Any, value: Any) -> Any:
    if value is not None and "Path" in str(kind):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value
