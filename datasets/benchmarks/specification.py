"""What a benchmark is: a file NAME.toml that never changes, but for a new version, or in its words.

It says what the data are made of, down to the last option, so that a default that changes changes nothing; and the
questions that are asked of them: the label, what is held out, and what a result is measured by.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spiketype import typed
from spiketype.damage import readable
from spiketype.edge import Json, UserError

LARGEST_BYTES = 50_000  # ours have 10,000 at most; of more, reading one long key takes seconds
FOLDER = Path(__file__).with_name("specifications")
NAME = re.compile(r"[a-z0-9]+(-[a-zA-Z0-9]+)*")
SHA256 = re.compile(r"[0-9a-f]{64}")

Kind = Literal["eap", "raphe", "units", "allen-subclass", "allen-species", "digits"]
GENERATED: tuple[Kind, ...] = ("eap", "raphe")  # these have data.zarr
Answer = Literal["class", "position", "cluster"]
# What a result may be ranked by, and whether more of it is better.
METRICS = {
    "accuracy_percent": True,
    "accuracy_over_cells_percent": True,
    "balanced_accuracy_percent": True,
    "macro_f1_percent": True,
    "mean_3d_um": False,
    "ari": True,
    "called_percent": False,
}
WORDS = ("title", "baselines", "confound")  # of a question, for people
CONFOUNDED = "called_percent"  # ranks answers to a question that an honest method does not answer
CERTAIN = 0.8  # probability of the likeliest class below which no call is made, as is every task's default


@dataclass(frozen=True)
class Source:
    """A public file that the user fetches, because it is not ours to pass on.

    Attributes:
        file: its path in the folder of sources.
        origin: where it is from.
        sha256: of its content.
        licence: in the words of those who published it.
    """

    file: str
    origin: str
    sha256: str
    licence: str


@dataclass(frozen=True)
class Generator:
    """What makes the data: the program, and every one of its options."""

    kind: Kind
    options: dict[str, Any]


@dataclass(frozen=True)
class Split:
    """Which samples train and which test.

    Attributes:
        kind: ``random``: a share of the samples of every group. ``group``: groups in folds, by the seed. ``named``:
            groups in folds, by name. ``all``: every sample is judged, and none has a label that may be used.
        sha256: of what comes of it: `divide.digest`.
        optimistic: groups have samples on both sides.
        by: column of the groups.
        seed, folds, test_fraction: of ``random`` and ``group``.
        tests: the groups that each fold tests, of ``named``; one fold alone is a division into two parts.
    """

    kind: Literal["random", "group", "named", "all"]
    sha256: str
    optimistic: bool
    by: str
    seed: int = 0
    folds: int = 1
    test_fraction: float = 0.1
    tests: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Question:
    """What is asked of the samples.

    Attributes:
        title: in a sentence.
        answer: what a prediction is: probabilities of classes, a position, the number of a cluster.
        label: column of what is asked for. Of a position: what its columns end in, as in ``x_um``.
        classes: of the label, in their order; samples of others are left out.
        row: column of what is called: ``id``, or that of something with several samples, such as ``cell``.
        group: column of what intervals redraw; where the split is optimistic, they redraw samples.
        split: which samples train and test.
        metric: of `METRICS`, by which results are ranked.
        baselines: what a result is compared with.
        confound: what tells the classes apart beside what is asked for, so that being right is no merit; "" where
            nothing is known to. The best answer is then that which calls the fewest rows.
    """

    title: str
    answer: Answer
    label: str
    row: str
    group: str
    metric: str
    baselines: tuple[str, ...]
    split: Split
    classes: tuple[str, ...] = ()
    confound: str = ""


@dataclass(frozen=True)
class Specification:
    """A benchmark.

    Attributes:
        name, version: which; a change of anything that is `frozen` is a new version.
        title, description: in words.
        licence: of what is made.
        citation: what to cite.
        flaws: what is known to be wrong with it.
        generator: what makes the data.
        question: the questions by name.
        source: public files that are needed.
    """

    name: str
    version: int
    title: str
    description: str
    licence: str
    citation: str
    flaws: tuple[str, ...]
    generator: Generator
    question: dict[str, Any]
    source: tuple[Source, ...] = ()

    @property
    def questions(self) -> dict[str, Question]:
        """The questions by name."""
        where = f"{self.name}.toml, question"
        return {name: typed.make(Question, values, f"{where} {name}") for name, values in self.question.items()}

    @property
    def frozen(self) -> tuple[object, ...]:
        """What decides which data and results are of one benchmark: all but words for people."""
        questions = {
            name: {key: value for key, value in values.items() if key not in WORDS}
            for name, values in self.question.items()
        }
        files = {source.file: source.sha256 for source in self.source}
        return self.name, self.version, self.generator, questions, files

    @property
    def folder_name(self) -> str:
        """The name of its folder."""
        return f"{self.name}-v{self.version}"


def names() -> list[str]:
    """Return the names of all benchmarks, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def content(name: str) -> bytes:
    """Return the file of a benchmark.

    Raises:
        UserError: there is no such benchmark.
    """
    if name not in names():
        raise UserError(f"unknown benchmark {name!r}: choose one of {', '.join(names())}")
    return (FOLDER / f"{name}.toml").read_bytes()


def load(name: str) -> Specification:
    """Return a benchmark that comes with the program.

    Raises:
        UserError: there is none of that name; or as `parse`.
    """
    found = parse(content(name), f"{name}.toml")
    if found.name != name:
        raise UserError(f"{name}.toml: name is {found.name!r}: rename one")
    return found


def parse(toml: bytes, where: str) -> Specification:
    """Return the benchmark that a file describes.

    Args:
        toml: the file.
        where: its name, for messages.

    Raises:
        UserError: no TOML; keys that are missing or unknown; values that cannot be.
    """
    if len(toml) > LARGEST_BYTES:
        raise UserError(f"{where} has {len(toml)} bytes, which no specification has: copy it again")
    with readable(where, "TOML", "copy it again"):
        values: Json = tomllib.loads(toml.decode())
    found = typed.make(Specification, values, where)
    if not NAME.fullmatch(found.name) or found.version < 1:
        raise UserError(
            f"{where}: name {found.name!r}, version {found.version}: give words with hyphens, and 1 or more"
        )
    for source in found.source:
        _check_sha256(source.sha256, f"{where}, source {source.file}")
    if not found.question:
        raise UserError(f"{where} asks no question")
    for name, question in found.questions.items():
        _check(question, f"{where}, question {name}")
    return found


def _check_sha256(text: str, where: str) -> None:
    if not SHA256.fullmatch(text):
        raise UserError(f"{where}: sha256 is {typed.short(text)}, not 64 hexadecimal digits")


def _check(question: Question, where: str) -> None:
    """Refuse a question that cannot be asked."""
    split = question.split
    _check_sha256(split.sha256, f"{where}, split")
    if question.metric not in METRICS:
        raise UserError(f"{where}: metric is {question.metric!r}, not one of {', '.join(METRICS)}")
    if bool(question.confound) != (question.metric == CONFOUNDED) or (question.confound and question.answer != "class"):
        raise UserError(f"{where}: classes with a confound, and those alone, are ranked by {CONFOUNDED}: change either")
    if (len(set(question.classes)) < 2) != (question.answer == "position") or len(set(question.classes)) < len(
        question.classes
    ):
        raise UserError(
            f"{where}: classes are {typed.short(question.classes)}: give two or more, and none of positions"
        )
    if (split.kind == "named") != bool(split.tests) or not all(split.tests):
        raise UserError(f"{where}: tests are the groups of each fold of a split by name, and of no other")
    every = [name for test in split.tests for name in test]
    if len(set(every)) < len(every):
        raise UserError(f"{where}: a group is tested twice")
