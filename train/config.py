"""Command lines out of frozen dataclasses: the fields of a task's configuration are its flags, defaults and help."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from datasets.edge import UserError

Config = TypeVar("Config")


def option(arguments: Sequence[str], name: str) -> str | None:
    """The value of ``--name VALUE`` or ``--name=VALUE`` in a command line, None if it is not there."""
    for position, argument in enumerate(arguments):
        if argument == f"--{name}" and position + 1 < len(arguments):
            return arguments[position + 1]
        if argument.startswith(f"--{name}="):
            return argument.partition("=")[2]
    return None


def parse(kind: type[Config], arguments: Sequence[str], preset: Mapping[str, Any], prog: str) -> Config:
    """A configuration from the flags given, else the preset, else the defaults."""
    flags = tyro.conf.configure(tyro.conf.FlagConversionOff, tyro.conf.OmitArgPrefixes)
    return tyro.cli(flags(kind), prog=prog, args=list(arguments), default=kind(**preset))


def to_json(config: Any) -> dict[str, Any]:
    """The configuration as JSON; paths are text."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def from_json(kind: type[Config], values: Mapping[str, Any], where: Path) -> Config:
    """The configuration that `to_json` wrote.

    Raises:
        UserError: fields that are missing or unknown: the file is of another version of this program.
    """
    fields = {field.name: field.type for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if differing := sorted(set(values) ^ set(fields)):
        raise UserError(f"{where} is of another version of this program: {', '.join(differing)} differ")
    return kind(**{name: _typed(fields[name], value) for name, value in values.items()})


def _typed(kind: Any, value: Any) -> Any:
    if value is not None and "Path" in str(kind):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value
