"""The one console command: ``spiketype train``, ``spiketype simulate eap``, ... (or ``python -m spiketype``).

Each runs the very function that the ``python -m`` form of its module runs.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from spiketype import parsing
from spiketype.edge import guard, importing

# Command: the module whose `command_line` runs it, the form that works in a clone, and what it does.
COMMANDS = {
    "units": ("units.command", "call the units of any recording excitatory or inhibitory"),
    "train": ("train.run", "train a network on a task and judge it"),
    "evaluate": ("train.evaluate", "judge a trained run on other data with labels"),
    "predict": ("train.predict", "apply a trained run to new data"),
    "simulate eap": ("simulator.eap", "simulate extracellular action potentials before a probe"),
    "simulate raphe": ("simulator.raphe", "simulate labelled loose-seal recordings of raphe neurons"),
    "simulate shank": ("simulator.shank", "simulate labelled recordings of a hippocampal shank"),
    "raphe": ("datasets.raphe", "cut spikes out of recordings; write noisy copies of spikes"),
    "bench": ("bench.command", "make, verify and score shared benchmarks"),
    "allen": ("datasets.allen", "download the Allen Cell Types Database; more features; counts"),
}


def usage() -> str:
    """Return the list of commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  spiketype {name:{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(["usage: spiketype COMMAND ... (each has --help)", "", *lines])


def find(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Return the command that the arguments begin with, and the rest of them.

    Raises:
        UserError: they begin with none.
    """
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            return name, list(arguments[words:])
    parsing.refuse_command(" ".join(arguments[:1]), list(COMMANDS))


def main() -> None:
    """Run the command that the program's arguments name."""
    arguments = sys.argv[1:]
    with guard():
        if not arguments or arguments[0] in ("-h", "--help"):
            print(usage())
            return
        name, rest = find(arguments)
        module, _ = COMMANDS[name]
        kind = module.partition(".")[0]
        where = f"spiketype.{module}" if kind in ("train", "units", "bench") else f"spiketype.{module}.__main__"
        with importing():
            found = import_module(where)
        found.command_line(rest, f"spiketype {name}")


if __name__ == "__main__":
    main()
