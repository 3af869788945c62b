"""The language of NEURON's mechanisms, as far as spiketype reads and changes it."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from spiketype.edge import UserError

RATE = "spiketype_rate"
"""The parameter by which `with_rate` multiplies every rate."""

_POINT_PROCESS = re.compile(r"^\s*(POINT_PROCESS|ARTIFICIAL_CELL)\s", re.MULTILINE)
_PIECE = re.compile(  # what is compared, except for what is `skipped`
    r"""(?P<c>\bVERBATIM\b.*?\bENDVERBATIM\b)
    | (?P<skipped> \bCOMMENT\b.*?\bENDCOMMENT\b | ^[ \t]*TITLE\b[^\n]* | [:?][^\n]* )
    | "[^"\n]*" | (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? | \w+ | [^\w\s]""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_OPEN = {"(": ")", "{": "}", "[": "]"}
_BETWEEN = {"+", "-", "*", "/", "^"}  # operators of two operands


def is_point_process(text: str) -> bool:
    """Say whether a mechanism is placed one by one, rather than spread over a membrane."""
    return bool(_POINT_PROCESS.search(text))


@lru_cache(maxsize=1000)
def pieces(text: str) -> tuple[str, ...]:
    """Return the words, numbers and signs of a file without comments and title; C is kept in lines."""
    return tuple(
        found[0] if found["c"] is None else "\n".join(" ".join(line.split()) for line in found[0].splitlines())
        for found in _tokens(text)
    )


def suffix(text: str) -> str | None:
    """Return the mechanism's name; None where the file does not say it."""
    words = pieces(text)
    return words[words.index("SUFFIX") + 1] if "SUFFIX" in words[:-1] else None


def potentials(text: str) -> list[str]:
    """Return the ions whose reversal potentials a mechanism reads."""
    words = pieces(text)
    found = []
    for at in (at for at, word in enumerate(words) if word == "READ"):
        uses = [k for k in range(at) if words[k] == "USEION"]
        ion = words[uses[-1] + 1] if uses else ""
        end = at + 2
        while words[end : end + 1] == (",",):
            end += 2
        if f"e{ion}" in words[at + 1 : end : 2]:
            found.append(ion)
    return found


@lru_cache(maxsize=1000)
def with_rate(text: str, where: str) -> str:
    """Return a channel whose derivatives ``x' = ...`` are ``x' = spiketype_rate*(...)``, a new global parameter of 1.

    Steady states stay; time constants are divided by the parameter. What only tracks a concentration is returned as
    it is: the rates are those of gates.

    Raises:
        UserError: the states change otherwise than by derivatives, or by ones not understood; it names `where`.
    """
    tokens = list(_tokens(text))
    words = [found[0] for found in tokens]
    inserted: list[tuple[int, str]] = []
    try:
        concentrations, current = _written(words)
        if "STATE" not in words or (concentrations and not current):
            return text
        for first, last in _blocks(words, "DERIVATIVE"):
            for at in range(first, last):
                if words[at] == "'" and words[at - 1] not in concentrations:
                    if words[at + 1] != "=":
                        raise IndexError
                    end = _end(words, at + 2)
                    inserted += [(tokens[at + 2].start(), f"{RATE}*("), (tokens[end - 1].end(), ")")]
        if not inserted:
            raise IndexError
        _, close = next(_blocks(words, "NEURON"))
    except (IndexError, ValueError, StopIteration):  # it ends early
        raise UserError(
            f"{where}: its states do not change by derivatives such as m' = (minf - m)/mtau, so --variants cannot"
            " change its rates: leave out the models that need it (--exclude)"
        ) from None
    brace = tokens[close].start()
    inserted += [(brace, f"\tGLOBAL {RATE}\n"), (brace + 1, f"\n\nPARAMETER {{ {RATE} = 1 }}\n")]
    for position, piece in sorted(inserted, reverse=True):
        text = text[:position] + piece + text[position:]
    return text


def _tokens(text: str) -> Iterator[re.Match[str]]:
    return (found for found in _PIECE.finditer(text) if found["skipped"] is None)


def _written(words: Sequence[str]) -> tuple[set[str], bool]:
    """Return the concentrations that a mechanism writes, and whether it has a current."""
    concentrations = set[str]()
    current = "NONSPECIFIC_CURRENT" in words or "ELECTRODE_CURRENT" in words
    for at in (at for at, word in enumerate(words) if word == "WRITE"):
        ion = words[max(k for k in range(at) if words[k] == "USEION") + 1]
        end = at + 2
        while words[end] == ",":
            end += 2
        written = {*words[at + 1 : end : 2]}
        concentrations |= written & {f"{ion}i", f"{ion}o"}
        current = current or f"i{ion}" in written
    return concentrations, current


def _blocks(words: Sequence[str], kind: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of the braces of each block of a kind."""
    for at, word in enumerate(words):
        if word == kind:
            brace = words.index("{", at)
            yield brace, _closing(words, brace)


def _closing(words: Sequence[str], opening: int) -> int:
    """Return the position of the bracket that closes the one at `opening`."""
    depth, kind = 0, words[opening]
    for at in range(opening, len(words)):
        depth += (words[at] == kind) - (words[at] == _OPEN[kind])
        if not depth:
            return at
    raise IndexError


def _end(words: Sequence[str], start: int) -> int:
    """Return where the expression from `start` on ends; NMODL has no sign for it."""
    end = _operand(words, start)
    while words[end] in _BETWEEN:
        end = _operand(words, end + 1)
    return end


def _operand(words: Sequence[str], at: int) -> int:
    """Return the position after an operand: a number and its unit, a name, a call, an element, a bracket."""
    while words[at] in ("+", "-"):
        at += 1
    if words[at] == "(":
        return _closing(words, at) + 1
    if not re.match(r"[\w.]", words[at]):
        raise IndexError
    at += 1
    while words[at] in ("(", "["):
        at = _closing(words, at) + 1
    return at
