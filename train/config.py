"""Command lines out of frozen dataclasses: the fields of a task's configuration are its flags, defaults and help."""

import dataclasses
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, get_type_hints, runtime_checkable

from spiketype import parsing, typed
from spiketype.edge import Dataclass, Json, UserError

Config = TypeVar("Config")  # a TaskConfig


@runtime_checkable
class TaskConfig(Protocol):
    """What every task's options have: a frozen dataclass with these fields among others."""

    @property
    def task(self) -> str:
        """The name of the task."""

    @property
    def seed(self) -> int:
        """The first seed."""


class TaskOptions(NamedTuple):
    """What a task may be asked for.

    Attributes:
        kind: frozen dataclass of its options.
        presets: name -> fields that replace defaults.
    """

    kind: type[TaskConfig]
    presets: Mapping[str, Mapping[str, Any]]


class Member(NamedTuple):
    """One training.

    Attributes:
        seed: of its weights and batches.
        fold: number of the division of the data, over all repeats.
        variant: what else differs between members: a kernel width, a method.
    """

    seed: int
    fold: int = 0
    variant: int | str | None = None


def parse(
    kind: type[Config],
    arguments: Sequence[str],
    preset: Mapping[str, Any],
    prog: str,
    also: str,
    others: Sequence[str] = (),
) -> Config:
    """Return a configuration from the flags given, else the preset, else the defaults.

    Args:
        kind: of the configuration.
        arguments: the flags.
        preset: name of a field -> value, in place of its default.
        prog: how the user calls it.
        also: ends the help's text.
        others: flags that were read before.

    Raises:
        UserError: as `parsing.parse`.
    """
    description = f"{inspect.getdoc(kind)}\n\n{also}"
    return parsing.parse(kind, arguments, prog, description, kind(**preset), others)


def flag(name: str) -> str:
    """Return the flag of a field."""
    return f"--{name.replace('_', '-').lower()}"


def check_least(config: Dataclass, **least: float | int) -> None:
    """Refuse fields below a least value.

    Raises:
        UserError: names the flag and the value.
    """
    for name, bound in least.items():
        if not getattr(config, name) >= bound:
            raise UserError(f"{flag(name)} is {getattr(config, name)}: it must be at least {bound}")


def check_positive(config: Dataclass, *names: str) -> None:
    """Refuse fields that are not above zero.

    Raises:
        UserError: names the flag and the value.
    """
    for name in names:
        if not getattr(config, name) > 0:
            raise UserError(f"{flag(name)} is {getattr(config, name)}: it must be positive")


def check_share(config: Dataclass, **least: float | int) -> None:
    """Refuse fields that are below a least value, or not below 1.

    Raises:
        UserError: names the flag and the value.
    """
    for name, bound in least.items():
        if not bound <= getattr(config, name) < 1:
            raise UserError(f"{flag(name)} is {getattr(config, name)}: it must be at least {bound:g} and below 1")


def check_seeds(seed: int, seeds: int) -> None:
    """Refuse seeds that JAX cannot have.

    Raises:
        UserError: they do not lie below 2**32, or there is none.
    """
    if seed < 0 or seeds < 1 or seed + seeds > 2**32:
        raise UserError(f"--seed is {seed} and --seeds {seeds}: give at least one, from 0 on and below 2**32")


def check_among(flag: str, given: Sequence[str], valid: Sequence[str]) -> None:
    """Refuse a name that is unknown.

    Raises:
        UserError: names the flag, the name, and those that are valid.
    """
    if unknown := [name for name in given if name not in valid]:
        raise UserError(f"{flag}: {unknown[0]!r} is unknown, choose of {', '.join(valid)}")


def to_json(config: TaskConfig) -> Json:
    """Return the configuration as JSON; paths are text, and absolute, so that a run is continued from any folder."""
    values: Json = json.loads(json.dumps(dataclasses.asdict(config), default=lambda path: str(path.absolute())))  # type: ignore[call-overload]
    return values


def from_json(kind: type[Config], values: Json, where: Path) -> Config:
    """Return the configuration that `to_json` wrote.

    Raises:
        UserError: fields that are missing or unknown (the file is of another version of this program), or wrong. What
            an older version could not be asked for is not missing where its default, None, says nothing.
    """
    fields = get_type_hints(kind)
    values = {name: None for name in fields if getattr(kind, name, ...) is None} | values
    if differing := sorted(set(values) ^ set(fields)):
        raise UserError(f"{where} is of another version of this program: {', '.join(differing)} differ")
    given = {name: typed.converted(fields[name], value, f"{where}, {name}") for name, value in values.items()}
    if wrong := typed.unfit(fields, given):
        raise UserError(
            f"{where}: {wrong} is {typed.short(values[wrong])}, which it cannot be: mend it, or repeat the run in"
            " another folder"
        )
    return kind(**given)
