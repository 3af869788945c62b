"""Torture the program: damaged files, kills, single bytes that change, full and read-only disks.

    python scripts/torture.py fuzz npz --count 100000
    python scripts/torture.py fuzz all --count 3000
    python scripts/torture.py kill generation --of all --count 200
    python scripts/torture.py kill training --count 50
    python scripts/torture.py bytes --count 1000
    python scripts/torture.py disk --count 20

fuzz: every file is a function of reader, seed and number, so that one that did harm is made again by ``--first NUMBER
--count 1``. A reading may end in an answer or a UserError, within 10 s of the processor and ten times the memory of the
files (or 100 MB). kill and disk: small programs are disturbed and started again, and what they have made in the end is
compared with what one makes that was left alone. bytes: of a finished store and of a finished run folder, every change
must be named or change no result. What else happens is printed, and the exit code is then 1.
"""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the readers and their tiny files are the tests'

from spiketype.edge import UserError
from tests.fuzzing.bounds import run_apart
from tests.fuzzing.readers import READERS
from tests.torture import cluster, disk, flips, generation, killing, training


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    fuzz = _command(commands, "fuzz", "damaged files", _fuzz, 1000)
    fuzz.add_argument("reader", choices=[*READERS, "all"])
    fuzz.add_argument("--first", type=int, default=0)
    fuzz.add_argument("--tell", action="store_true", help="print the whole tracebacks")
    kills = commands.add_parser("kill", help="a program at random moments").add_subparsers(required=True)
    store = _command(kills, "generation", "of a small EAP store, or what computes it", _kill_generation, 200)
    store.add_argument("--of", choices=["program", "worker", "scheduler", "all"], default="program")
    _command(kills, "training", "of a small network", _kill_training, 50)
    _command(commands, "bytes", "changed in every file of a store and of a run folder", _bytes, 1000)
    _command(commands, "disk", "that is full, or read-only, under a generation and a training", _disk, 20)
    given = parser.parse_args()
    try:
        found = given.run(given)
    except UserError as error:
        sys.exit(f"error: {error}")
    sys.exit(1 if found else 0)


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    about: str,
    run: Callable[[argparse.Namespace], int],
    count: int,
) -> argparse.ArgumentParser:
    """Add a command, whose function returns the number of findings."""
    parser = commands.add_parser(name, help=about)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(run=run)
    return parser


def _fuzz(given: argparse.Namespace) -> int:
    found = 0
    for name in READERS if given.reader == "all" else [given.reader]:
        outcome = run_apart(name, given.count, given.seed, given.first)
        found += len(outcome.findings)
        print(f"{name}: {outcome.answers} answers, {outcome.refusals} refusals, {len(outcome.findings)} findings")
        for kind, times in outcome.kinds().most_common():
            number = next(k for k, text in outcome.findings.items() if text.splitlines()[0] == kind)
            print(f"  {times} x {kind}, such as --first {number}", flush=True)
            print(outcome.findings[number] if given.tell else "", end="\n" * given.tell)
    return found


def _kill_generation(given: argparse.Namespace) -> int:
    found = 0
    with _folder() as folder:
        made = generation.make(folder)
        for of in ("program", "worker", "scheduler") if given.of == "all" else [given.of]:
            if of == "program":
                outcome = killing.torture(made.victim(), given.count, given.seed, killing.kill_group)
            else:
                kill = cluster.kill_workers if of == "worker" else cluster.kill_schedulers
                outcome = kill(made, given.count, given.seed)
            print(f"generation, {of}: {outcome.told()}", flush=True)
            found += len(outcome.findings)
    return found


def _kill_training(given: argparse.Namespace) -> int:
    with _folder() as folder:
        made = training.make(folder)
        outcome = killing.torture(made.victim(), given.count, given.seed, killing.kill_group)
    print(f"training: {outcome.told()}")
    return len(outcome.findings)


def _bytes(given: argparse.Namespace) -> int:
    """Change so many bytes of the store, and as many of the run folder."""
    with _folder() as folder:
        made = training.make(folder)
        rng = np.random.default_rng(given.seed)
        store, run = folder / training.STORE, made.whole
        found = _changed("store", store, given.count, rng, lambda name: flips.store_content(store, name))
        return found + _changed("run folder", run, given.count, rng, lambda name: flips.of_run(run, name))


def _changed(what: str, path: Path, count: int, rng: np.random.Generator, content: flips.Content) -> int:
    names = flips.files(path)
    each = -(-count // len(names))
    seen = list(flips.changes(path, names, each, rng, content))
    wrong = [found for change in seen if (found := change.wrong(path))]
    named, noted = sum(bool(c.error) for c in seen), sum(bool(not c.error and not c.same) for c in seen)
    print("\n".join(wrong), end="\n" * bool(wrong))
    print(
        f"{what}: {len(seen)} changes in {len(names)} files, {named} named in an error, {noted} in a note, "
        f"{len(seen) - named - noted} changed nothing that is read, {len(wrong)} findings",
        flush=True,
    )
    return len(wrong)


def _disk(given: argparse.Namespace) -> int:
    """Fill so many disks under a generation, and as many under a training."""
    with _folder() as folder:
        eaps = generation.make(folder)
        trained = training.make(folder / "training")
        programs = (
            ("generation", eaps.whole, eaps.start, eaps.wrong),
            ("training", trained.whole, trained.start, trained.wrong),
        )
        found = 0
        for name, whole, start, wrong in programs:
            outcome = disk.torture(name, folder / f"disk-{name}", whole, start, wrong, given.count, given.seed)
            print(f"{name}, {outcome.told().replace('kills', 'full disks')}", flush=True)
            found += len(outcome.findings)
    return found


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Yield a folder to work in, with a cache of its own, so that killed programs leave nothing in the user's."""
    with tempfile.TemporaryDirectory(prefix="torture-") as made:
        os.environ["XDG_CACHE_HOME"] = str(Path(made) / "cache")
        yield Path(made).resolve()


if __name__ == "__main__":
    main()
