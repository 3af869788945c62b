"""Benchmarks from the command line: ``spiketype bench``.

list                       what there is
make NAME                  make one from its specification
get NAME                   download one that was deposited
verify FOLDER              compare every file with the manifest
score NAME PREDICTIONS     judge the predictions of any program
card NAME                  say what one is, in Markdown
zip NAME                   write one into a zip, to be deposited
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from spiketype import parsing
from spiketype.bench import sharing
from spiketype.datasets.benchmarks import folder, specification
from spiketype.edge import UserError, check_out, guard, importing
from spiketype.simulator.eap.means import DEFAULT, Means

RESULTS = Path("results")


def list_command() -> None:
    """List the benchmarks and their questions."""
    for name in specification.names():
        found = specification.load(name)
        print(f"{name} (version {found.version}): {found.title}")
        for question, about in found.questions.items():
            print(f"    {question}: {about.title}{', optimistic' * about.split.optimistic}; ranked by {about.metric}")


def make_command(
    name: Annotated[Positional[str], arg(metavar="NAME")],
    out: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    sources: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    means: Means = DEFAULT,
) -> None:
    """Make a benchmark from its specification; one that is there is verified, an unfinished one continued.

    Args:
        name: Of the benchmark.
        out: Its folder; by default one in the cache.
        sources: Folder of the public files that it needs; by default $SPIKETYPE_DATA.
        means: With what it is made; none of it changes a byte.
    """
    specification.load(name)
    if out is not None:
        check_out(out)
    with importing():  # takes seconds
        from spiketype.bench.make import make

    print(make(name, out, sources, means))


def verify_command(path: Annotated[Positional[Path], arg(metavar="FOLDER")]) -> None:
    """Compare every file of a benchmark with its manifest.

    Args:
        path: Folder of the benchmark.
    """
    count = folder.verify(path)
    print(f"{path}: {count} files, all as they were written")


def score_command(
    name: Annotated[Positional[str], arg(metavar="NAME")],
    predictions: Annotated[Positional[tuple[Path, ...]], arg(metavar="PREDICTIONS")],
    question: Annotated[str | None, arg(metavar="QUESTION")] = None,
    made: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    model: Annotated[str | None, arg(metavar="MODEL")] = None,
    save: Annotated[bool, arg(name="save")] = False,
    method: str = "",
    results: Annotated[Path, arg(metavar="FOLDER")] = RESULTS,
) -> None:
    """Judge predictions of the test part of a question, as our own runs are judged.

    Args:
        name: Of the benchmark.
        predictions: A table (.csv, .tsv or .parquet) with a column id, or sample, and for each class a column
            p_CLASS; or x_um, y_um, z_um; or cluster. Or a run folder; or several of these that together call every row.
        question: Which; by default the only one.
        made: Folder of the benchmark; by default that in the cache.
        model: Of those in a run folder, such as "logistic regression"; by default the run's own.
        save: Write results/NAME/QUESTION-METHOD.json, and print the name.
        method: What made the predictions, in words; with --save.
        results: Folder of results.
    """
    if save != bool(method.strip()):
        raise UserError('--save and --method "TEXT" go together: a result is kept under the name of what made it')
    if not predictions:
        raise UserError("no predictions are given: name a table or a run folder")
    specification.load(name)
    with importing():  # takes seconds
        from spiketype.bench import predictions as given
        from spiketype.bench import results as known
        from spiketype.bench import score as judge
        from spiketype.datasets.benchmarks.card import trap
    benchmark = folder.read(made or folder.place(specification.load(name)), name)
    which = judge.question_of(benchmark, question)
    about = benchmark.specification.questions[which]
    found = judge.score(benchmark, which, [given.read(path, about, model) for path in predictions])
    of = f"{name}, version {benchmark.specification.version}, {which}"
    print(f"{of}: {found.rows} rows{_honest(about.split.optimistic)}")
    print(known.table(found))
    if found.void:
        print(f"VOID by its own word: {found.void}")
    if found.verdict:
        print(f"{found.verdict.upper()}: {trap(about)}")
    others = known.others(results, benchmark.specification, which, about.metric)
    print(known.ranked(others, about.metric, found.numbers[about.metric]["value"]))
    if save:
        print(known.save(results, benchmark.specification, which, method.strip(), found))


def _honest(optimistic: bool) -> str:
    return ", OPTIMISTIC: groups that are tested were trained on, too" if optimistic else ""


def command_line(arguments: Sequence[str] | None = None, prog: str = "spiketype bench") -> None:
    """Run the command that the arguments name, by default the program's own arguments."""
    commands: dict[str, Callable[..., None]] = {
        "list": list_command,
        "make": make_command,
        "get": sharing.get_command,
        "verify": verify_command,
        "score": score_command,
        "card": sharing.card_command,
        "zip": sharing.zip_command,
    }
    with guard():
        parsing.run_one_of(commands, arguments, prog)


if __name__ == "__main__":
    command_line()
