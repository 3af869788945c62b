"""Train and judge: ``python -m train.run --task mtype --rotation 3drot``. See --help of each task for its options."""

import sys
from collections.abc import Sequence

from spiketype.edge import guard, importing
from spiketype.train import asked, last_words

PROG = "python -m train.run"


def main(arguments: Sequence[str], prog: str = PROG) -> None:
    """Run the command line.

    Args:
        arguments: of the command line.
        prog: how the user calls it, for help and messages.
    """
    wanted = asked.read(arguments, prog)
    if wanted is None:
        return
    with importing():  # takes seconds
        from spiketype.train.execute import carry_out
    carry_out(wanted, prog)


def command_line(arguments: Sequence[str] | None = None, prog: str = PROG) -> None:
    """Run `main` with the arguments given, by default the program's own."""
    with last_words.heard(), guard():
        main(sys.argv[1:] if arguments is None else arguments, prog)


if __name__ == "__main__":
    command_line()
