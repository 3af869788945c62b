"""Dataclasses of what JSON, TOML or a caller says: every value of the type that its field has, or a sentence."""

import sys
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from spiketype import location
from spiketype.edge import Json, UserError
from spiketype.location import Remote

SHOWN = 40  # letters of a wrong value
Made = TypeVar("Made")  # a dataclass


def make(kind: type[Made], values: Json, where: str, whole: bool = False) -> Made:
    """Return a dataclass of values by the names of its fields; dataclasses in it are made of values, too.

    Args:
        kind: the dataclass.
        values: lists are tuples, and whole numbers are numbers, where the field says so.
        where: the file and the part of it, for messages.
        whole: fields that have defaults must be given, too.

    Raises:
        UserError: a field that is missing or unknown, a value of another type, or what the dataclass itself refuses.
    """
    hints = get_type_hints(kind)
    needed = [f.name for f in fields(kind) if whole or (f.default is f.default_factory is MISSING)]  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(hints)):
        raise UserError(f"{where}: {unknown[0]} is unknown, there are {', '.join(hints)}")
    if missing := [name for name in needed if name not in values]:
        raise UserError(f"{where}: {missing[0]} is missing")
    given = {name: converted(hints[name], value, f"{where}, {name}", whole) for name, value in values.items()}
    if wrong := unfit(hints, given):
        raise UserError(f"{where}: {wrong} is {short(values[wrong])}, which it cannot be")
    return kind(**given)


def converted(kind: Any, value: object, where: str, whole: bool = False) -> object:
    """Return a value of JSON or TOML as the type of a field has it; one that it cannot have stays as it is.

    Args:
        kind: the type.
        value: text is a path or URL, a list a tuple, and a whole number a number, where the type says so.
        where: what messages call it.
        whole: as of `make`.

    Raises:
        UserError: of a dataclass in it, as `make`.
    """
    if isinstance(value, str) and Remote in get_args(kind):
        return location.parse(value)
    if isinstance(value, str) and (kind is Path or Path in get_args(kind)) and str not in get_args(kind):
        return Path(value)
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        return make(kind, value, where, whole)
    if isinstance(value, list):
        inside = get_args(kind)
        if len(inside) == 2 and inside[1] is Ellipsis:
            inside = inside[:1] * len(value)
        if len(inside) != len(value):  # `fits` says so
            return tuple(value)
        return tuple(converted(of, item, where, whole) for of, item in zip(inside, value, strict=True))
    return float(value) if kind is float and type(value) is int and fits(float, value) else value


def unfit(hints: Json, values: Json) -> str:
    """Return the name of the first value that is not of its field's type, "" if all are."""
    return next((name for name, value in values.items() if not fits(hints[name], value)), "")


def fits(kind: Any, value: object) -> bool:
    """Say whether a value is of the type of a field."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in inside)
    if origin in (Union, UnionType):
        return any(fits(each, value) for each in inside)
    if origin is tuple:
        kinds = inside[:1] * len(value) if isinstance(value, tuple) and inside[-1] is Ellipsis else inside
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(fits, kinds, value))
    if origin is not None:  # a mapping or a list, whose content is its user's
        return isinstance(value, origin)
    if kind is float and isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def short(value: object) -> str:
    """Return a value as text, cut where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
