"""Torture the program: read damaged files by the thousand.

    python scripts/torture.py fuzz npz --count 100000
    python scripts/torture.py fuzz all --count 3000

Every file is a function of reader, seed and number, so that one that did harm is made again by ``--first NUMBER --count
1``. A reading may end in an answer or a UserError, within 10 s of the processor and ten times the memory of the files
(or 100 MB); what else happens is printed, and the exit code is then 1.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the readers and their tiny files are the tests'

from tests.fuzzing.bounds import run_apart
from tests.fuzzing.readers import READERS


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    fuzz = commands.add_parser("fuzz", help="damaged files")
    fuzz.add_argument("reader", choices=[*READERS, "all"])
    fuzz.add_argument("--count", type=int, default=1000)
    fuzz.add_argument("--first", type=int, default=0)
    fuzz.add_argument("--seed", type=int, default=0)
    fuzz.add_argument("--tell", action="store_true", help="print the whole tracebacks")
    given = parser.parse_args()
    found = 0
    for name in READERS if given.reader == "all" else [given.reader]:
        outcome = run_apart(name, given.count, given.seed, given.first)
        found += len(outcome.findings)
        print(f"{name}: {outcome.answers} answers, {outcome.refusals} refusals, {len(outcome.findings)} findings")
        for kind, times in outcome.kinds().most_common():
            number = next(k for k, text in outcome.findings.items() if text.splitlines()[0] == kind)
            print(f"  {times} x {kind}, such as --first {number}", flush=True)
            print(outcome.findings[number] if given.tell else "", end="\n" * given.tell)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
