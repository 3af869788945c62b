"""Command lines out of functions and dataclasses: tyro reads them, and what it refuses is said in one sentence.

tyro's own boxes of errors fill a screen and do not always name the value. What it found is had from its hook for
errors, which is not public: pyproject.toml names the one version of tyro that this is written for.
"""

import contextlib
import difflib
import functools
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import tyro
from tyro import _errors as errors
from tyro._arguments import ArgumentDefinition
from tyro.conf import OmitArgPrefixes

from spiketype.edge import UserError

Parsed = TypeVar("Parsed")
ROW = re.compile(r"^[│|\s]*(?:-h, )?(--[a-z][\w-]*(?:(?:, | \| )--[a-z][\w-]*)*)", re.MULTILINE)  # of a help's table
LIKE = 0.6  # from which on an option is taken for a misspelt one, as `difflib` measures it


def parse(
    kind: Callable[..., Parsed],
    arguments: Sequence[str] | None,
    prog: str,
    description: str | None = None,
    default: Parsed | None = None,
    others: Sequence[str] = (),
) -> Parsed:
    """Return what a class or function gives for a command line; help is printed, and ends the program.

    Args:
        kind: its parameters, or fields, are the options.
        arguments: of the command line; None are the program's own.
        prog: how the user calls it, for help and messages.
        description: in the help, instead of the docstring.
        default: of a class: an instance, whose values are the defaults.
        others: flags that are valid, too, and were read before.

    Raises:
        UserError: a mistake in the options, in one sentence that names the option, the value and what is valid.
    """
    given = _program() if arguments is None else list(arguments)

    def refuse(event: errors.ParseErrorEvent) -> None:
        raise UserError(_sentence(event, given, lambda: [*options(kind, prog), *others]))

    more: dict[str, Any] = {} if default is None else {"default": default}
    with errors.on_parse_error(refuse):
        found: Parsed = tyro.cli(
            kind, prog=prog, description=description, args=given, config=(OmitArgPrefixes,), **more
        )
    return found


def run(main: Callable[..., None], arguments: Sequence[str] | None, prog: str) -> None:
    """Call a function with what a command line says; its errors are its own.

    Raises:
        UserError: as `parse`.
    """

    @functools.wraps(main)
    def later(*args: Any, **options: Any) -> Callable[[], None]:
        return functools.partial(main, *args, **options)

    parse(later, arguments, prog)()


def run_one_of(commands: Mapping[str, Callable[..., None]], arguments: Sequence[str] | None, prog: str) -> None:
    """Call the function that the first argument names with what the others say.

    Raises:
        UserError: it names none; as `parse`.
    """
    given = _program() if arguments is None else list(arguments)
    name = given[0] if given else ""
    if name in commands:
        run(commands[name], given[1:], f"{prog} {name}")
    elif name in ("-h", "--help"):
        tyro.extras.subcommand_cli_from_dict(dict(commands), prog=prog, args=["--help"], config=(OmitArgPrefixes,))
    else:
        refuse_command(name, list(commands))


def refuse_command(name: str, valid: Sequence[str]) -> NoReturn:
    """Refuse a command that there is not, "" where none is given.

    Raises:
        UserError: it lists the valid ones.
    """
    given = f"unknown command {name!r}" if name else "no command"
    raise UserError(f"{given}: {_meant(name, valid)}choose one of {', '.join(valid)}")


def unknown(flag: str, valid: Sequence[str], prog: str) -> str:
    """Return the sentence for an option that there is not: the one that was meant, if one is like it, else all."""
    remedy = _meant(flag, valid) or f"choose of {', '.join(dict.fromkeys(valid))} "
    return f"{flag} is no option: {remedy}({prog} --help says more)"


def options(kind: Callable[..., object], prog: str) -> list[str]:
    """Return the flags of a class or function, as its help lists them."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
        tyro.cli(kind, prog=prog, args=["--help"], config=(OmitArgPrefixes,))
    return [flag for row in ROW.findall(told.getvalue()) for flag in re.split(r", | \| ", row)]


def _program() -> list[str]:
    import sys  # here, so that everything else is a function of its arguments

    return sys.argv[1:]


def _meant(name: str, valid: Sequence[str]) -> str:
    like = difflib.get_close_matches(name, valid, 1, LIKE) if name else []
    return f"did you mean {like[0]}? " if like else ""


def _sentence(event: errors.ParseErrorEvent, given: Sequence[str], valid: Callable[[], list[str]]) -> str:
    """Return what is wrong with the arguments given, of which all flags are valid that `valid` returns."""
    match event:
        case errors.UnrecognizedArgs(tokens=[first, *_]) | errors.MissingArgs(unrecognized_tokens=[first, *_]):
            if first.startswith("-"):
                return unknown(first.partition("=")[0], valid(), event.prog)
            return f"{first!r} is one value too many: each is given with its option ({event.prog} --help lists them)"
        case errors.MissingArgs(missing_arguments=missing):
            each = [_invocation(found.arg) for found in missing]
            names = [_name(found.arg) for found in missing]
            verb = "is" if len(names) == 1 else "are"
            return f"{' and '.join(names)} {verb} missing: give {' '.join(each)} ({event.prog} --help says more)"
        case errors.InvalidChoice(argument=argument, value=value, choices=choices):
            return f"{_name(argument)} is {value}: choose one of {', '.join(choices)}"
        case errors.BadValue(argument=argument):
            return _wrong_value(argument, given, "")
        case errors.InstantiationFailure(argument=argument, message=message) if argument is not None:
            return _wrong_value(argument, given, message)
        case errors.InstantiationFailure(message=message):  # of one of our own dataclasses, which names it all
            return str(message)
    return f"{' '.join(given)}: these options do not go together ({event.prog} --help says more)"


def _wrong_value(argument: ArgumentDefinition, given: Sequence[str], why: str) -> str:
    """Return the sentence for a value that is missing, or that an option cannot have."""
    values = list(_values(argument, given))
    wanted = str(argument.lowered.metavar or "").replace("{None}|", "").strip("{}")
    for word, kind in (("int(", "whole number"), ("float", "number")):
        if word in why or wanted.lower().strip("[").startswith(word.strip("(")):
            many = len(wanted.split())
            wanted = f"{kind}s" if "[" in wanted else f"{many} {kind}s" if many > 1 else f"a {kind}"
            break
    if not values:
        return f"{_name(argument)} needs a value: give {wanted}"
    return f"{_name(argument)} is {' '.join(values)}: give {wanted}"


def _values(argument: ArgumentDefinition, given: Sequence[str]) -> Iterator[str]:
    """Yield what the arguments say for an option, in the last place where it stands."""
    names = [name.replace("_", "-") for name in argument.lowered.name_or_flags]
    places = [k for k, each in enumerate(given) if each.partition("=")[0].replace("_", "-") in names]
    if not places:
        return
    _, equals, value = given[places[-1]].partition("=")
    if equals:
        yield value
    for each in given[places[-1] + 1 :]:
        if each.startswith("--"):
            return
        yield each


def _name(argument: ArgumentDefinition) -> str:
    if argument.is_positional():
        return str(argument.lowered.metavar or argument.display_name()).split()[0].strip("[]")
    return str(argument.lowered.name_or_flags[0])


def _invocation(argument: ArgumentDefinition) -> str:
    metavar = str(argument.lowered.metavar or "").strip("{}")
    return _name(argument) if argument.is_positional() else f"{_name(argument)} {metavar}"
