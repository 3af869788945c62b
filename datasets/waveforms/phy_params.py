"""The params.py of a phy folder, which is Python: it is parsed, not run."""

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spiketype.damage import readable
from spiketype.edge import UserError

MOST_CHANNELS = 2**16  # of any probe
MOST_BYTES = 10**5  # of the text: to parse it takes a hundred times as much memory


def read(file: Path) -> tuple[float, int | None]:
    """Return ``sample_rate`` (Hz) and ``n_channels_dat``, None if it does not say that.

    Raises:
        UserError: no ``sample_rate``, or one that is no number, or no rate at which spikes are sampled.
    """
    if file.stat().st_size > MOST_BYTES:
        raise UserError(f"{file} has {file.stat().st_size} bytes, no params.py of phy has as many: it is damaged")
    names: dict[str, float] = {}
    for name, value in _assignments(text_of(file)):
        try:
            names[name] = _number(value, names)
        except (ValueError, OverflowError, ZeroDivisionError, RecursionError):
            names.pop(name, None)  # a text, or whatever else is no number
    rate_Hz, channels = names.get("sample_rate"), names.get("n_channels_dat", 0.0)
    if rate_Hz is None:
        raise UserError(f"{file} does not say sample_rate as a number: write a line such as sample_rate = 30000.0")
    if not 1000 <= rate_Hz < np.inf:
        raise UserError(f"{file}: sample_rate {rate_Hz:g} Hz cannot show spikes: give it in Hz, such as 30000.0")
    return rate_Hz, int(channels) if 1 <= channels <= MOST_CHANNELS and channels == int(channels) else None


def text_of(file: Path) -> str:
    """Return the text of a file in UTF-8, or else in a code page of Windows.

    Raises:
        UserError: a file that cannot be read.
    """
    with readable(file, "text"):
        content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _assignments(text: str) -> Iterator[tuple[str, ast.expr]]:
    """Return names and the expressions assigned to them; line by line where the whole is no Python ('C:\\Users')."""
    for part in (text,) if _parsed(text) is not None else text.splitlines():
        for line in _parsed(part) or []:
            match line:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    yield name, value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    yield name, value
                case _:  # whatever else gives a name a value, such as an if: that is not worked out
                    stored = [n for n in ast.walk(line) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
                    yield from ((name.id, ast.Constant(None)) for name in stored)


def _parsed(text: str) -> list[ast.stmt] | None:
    try:
        with warnings.catch_warnings(action="ignore"):  # about the backslashes of Windows
            return ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _number(value: ast.expr, names: dict[str, float]) -> float:
    """Return the number that an expression such as ``25000/1`` or ``np.float64(30000.0)`` writes."""
    match value:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return float(number)
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            return _number(operand, names) * (-1 if isinstance(sign, ast.USub) else 1)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _number(left, names) * _number(right, names)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _number(left, names) / _number(right, names)
        case ast.Call(func=ast.Name(id="float"), args=[one], keywords=[]):
            return _number(one, names)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np" | "numpy"), attr=attr), args=[one], keywords=[]):
            if attr.rstrip("0123456789") in ("float", "int", "uint"):
                return _number(one, names)
    raise ValueError("no number")
