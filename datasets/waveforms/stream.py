"""The published spikes of hippocampal recordings: a stream of int16 and a text with eleven parameters a spike.

The format of LAG-MNG-CambridgeUniversity/ML-Neuron-Classification: ``NAME.dat`` has rows of 8 electrodes x 32 samples
at 20 kHz, electrode after electrode, int16 without a header; ``NAME.parameters.txt`` has eleven fields a spike, all
separated by "_", where empty fields do not count. Fields that are used: 5 unit, 6 cell type (p, i, other), 8 and 9 how
many cells it excites and inhibits. NAME is the session.

Nothing says which animal a file is of. Names do not: of real recordings, ``ec015.03`` is of animal ec014,
``j01_maze04`` of j01_m, ``vvp01-4-9`` of vvp01. So the animal is not said, and units are what is held out, unless a
table ``animals.csv`` beside the files, ours and not of the format, has columns ``session`` (NAME) and ``animal``. A
cell that is in several files counts as several units: hold out animals there.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int16, Shaped

from spiketype import reading
from spiketype.damage import readable
from spiketype.datasets.waveforms.table import NOT_SAID, WaveformTable, build
from spiketype.edge import UserError, whole_file

CHANNELS, TIMES, RATE_KHZ = 8, 32, 20.0
SUFFIX, PARAMETERS = ".dat", ".parameters.txt"
ANIMALS = "animals.csv"
FIELDS, UNIT, CELL_TYPE, EXCITES, INHIBITS = 11, 5, 6, 8, 9
LABELS = ("pyr-int", "exc-inh")
TEXT = np.frombuffer(bytes(range(32, 127)) + b"\t\n\r", np.uint8)


def is_stream(path: Path) -> bool:
    """Say whether a file or a folder has a stream with its parameters beside it; a recording has none."""
    paths = path.glob(f"*{SUFFIX}") if path.is_dir() else [path] if path.suffix == SUFFIX else []
    return any(_beside(each).is_file() for each in paths)


def load(path: Path, label: str | None, rate_kHz: float | None) -> WaveformTable:
    """Read the spikes of a stream, or of all streams in a folder.

    Args:
        path: ``NAME.dat`` with ``NAME.parameters.txt`` beside it, or a folder of such pairs; with `ANIMALS` if there
            is one.
        label: ``pyr-int`` (the default): cell type p is pyramidal, i is an interneuron. ``exc-inh``: excitatory if a
            cell excites others and inhibits none, inhibitory the other way round. All others are unknown.
        rate_kHz: by default 20.

    Raises:
        UserError: text instead of int16; files that are cut off; parameters of another number of spikes; a table of
            animals that cannot be read.
    """
    paths = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not paths:
        raise UserError(f"{path} holds no NAME{SUFFIX}: give such a file, or a folder of them")
    paths, animals = _with_animals(path, paths)
    waveforms, columns = zip(*((waveform(p), parameters(_beside(p))) for p in paths), strict=True)
    for file, spikes, fields in zip(paths, waveforms, columns, strict=True):
        if len(spikes) != len(fields[UNIT]):
            raise UserError(
                f"{_beside(file)} has parameters of {len(fields[UNIT])} spikes, {file} has {len(spikes)} spikes:"
                " one of the two is cut off, or belongs to another recording"
            )
    counts = [len(w) for w in waveforms]
    joined = {field: np.concatenate([c[field] for c in columns]) for field in columns[0]}
    return build(
        path,
        np.concatenate(waveforms),
        RATE_KHZ if rate_kHz is None else rate_kHz,
        labels(joined, label or LABELS[0], path),
        animal=np.repeat(animals, counts),
        session=np.repeat([_name(p) for p in paths], counts),
        unit=joined[UNIT],
        units="int16 as recorded",
        producer="int16 stream",
    )


def _with_animals(path: Path, paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the files that are read and the animal of each, `NOT_SAID` where no table names any of them.

    Of files of which only some are named, the others are left out: they may be of an animal that is.
    """
    folder = path if path.is_dir() else path.parent
    table = folder / ANIMALS
    known = read_animals(table) if table.is_file() else {}
    named = [p for p in paths if _name(p) in known]
    if not named:
        why = f"{ANIMALS} names none of its files" if table.is_file() else f"there is no {ANIMALS} (session, animal)"
        reading.note(path, f"animals are not said, {why}: all spikes count as those of one animal")
        return list(paths), [NOT_SAID] * len(paths)
    if without := [_name(p) for p in paths if _name(p) not in known]:
        reading.note(
            path,
            f"left out {len(without)} files whose animal {ANIMALS} does not name: {reading.shortened(without)}",
            f"left out {len(without)} files whose animal {ANIMALS} does not name: {', '.join(without)}",
        )
    return named, [known[_name(p)] for p in named]


def read_animals(path: Path) -> dict[str, str]:
    """Read the animal of each session from a table with columns ``session`` and ``animal``.

    Raises:
        UserError: not such a table; an empty field; a session of two animals.
    """
    with readable(path, "a table of animals"), open(path, newline="", encoding="utf-8-sig") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file)]
    columns = rows[0] if rows else []
    if sorted(set(columns) & {"session", "animal"}) != ["animal", "session"] or len(set(columns)) < len(columns):
        raise UserError(f"{path}: expected a table (.csv) whose first line names the columns session and animal, once")
    found: dict[str, str] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not any(row):
            continue
        each = dict(zip(columns, row, strict=False))
        session, animal = each.get("session", ""), each.get("animal", "")
        if not session or not animal:
            raise UserError(f"{path}, line {number}: give both a session and its animal")
        if found.setdefault(session, animal) != animal:
            raise UserError(
                f"{path}, line {number}: session {session} is of {found[session]} and of {animal}: keep one"
            )
    return found


def _name(path: Path) -> str:
    return path.name.removesuffix(SUFFIX)


def waveform(path: Path) -> Int16[np.ndarray, "spike 8 32"]:
    """Read the spikes of a stream.

    Raises:
        UserError: an empty file, text, or bytes that are not a whole number of spikes.
    """
    row = CHANNELS * TIMES * 2
    with readable(path, "a stream of int16"):
        content = path.read_bytes()
    start = np.frombuffer(content[:4096], np.uint8)
    if len(start) and np.isin(start, TEXT).all():
        raise UserError(f"{path} is text, not a stream of int16: give the binary file, and the text as {PARAMETERS}")
    if not content or len(content) % row:
        raise UserError(
            f"{path} has {len(content)} bytes, not a whole number of spikes of {row} bytes ({CHANNELS} x {TIMES}"
            " int16): it is cut off, or of another format"
        )
    return np.frombuffer(content, "<i2").reshape(-1, CHANNELS, TIMES)


def parameters(path: Path) -> dict[int, Shaped[np.ndarray, " spike"]]:
    """Read the used fields of a parameter text, as words; memory is a few times the file's size.

    Raises:
        UserError: no such file; not a whole number of spikes; a field that is not ASCII, or not a number where one is
            due.
    """
    with readable(path, "parameters", "the parameters of a stream lie beside it under this name"):
        content = np.frombuffer(path.read_bytes().strip(), np.uint8)
    bounds = np.flatnonzero(content == ord("_"))
    start, stop = np.r_[0, bounds + 1], np.r_[bounds, len(content)]
    start, stop = start[stop > start], stop[stop > start]
    if not len(start) or len(start) % FIELDS:
        raise UserError(f"{path} has {len(start)} fields, not a whole number of spikes of {FIELDS}: it is cut off")
    used = (UNIT, CELL_TYPE, EXCITES, INHIBITS)
    found = {field: _words(path, content, start[field::FIELDS], stop[field::FIELDS]) for field in used}
    for field in (UNIT, EXCITES, INHIBITS):
        digits = np.char.isdigit(found[field])
        if not digits.all():
            row = int(np.argmin(digits))
            raise UserError(f"{path}, spike {row}, field {field}: {str(found[field][row])!r} is not a whole number")
    return found


def _words(path: Path, content: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    place = start[:, None] + np.arange((stop - start).max())
    letters = np.where(place < stop[:, None], content[np.minimum(place, len(content) - 1)], 0)
    if (letters > 127).any():
        raise UserError(f"{path}, spike {int(np.argmax((letters > 127).any(axis=1)))}: a field is not ASCII text")
    return np.ascontiguousarray(letters).view(f"S{letters.shape[1]}")[:, 0].astype(str)


def labels(fields: Mapping[int, Shaped[np.ndarray, " spike"]], label: str, path: Path) -> Shaped[np.ndarray, " spike"]:
    """Return class words by the rule `label`, "unknown" where it names no class.

    Raises:
        UserError: no such rule.
    """
    if label == "pyr-int":
        kind = fields[CELL_TYPE]
        return np.select([kind == "p", kind == "i"], ["pyramidal", "interneuron"], "unknown")
    if label == "exc-inh":
        excites, inhibits = (fields[field].astype(np.int64) > 0 for field in (EXCITES, INHIBITS))
        return np.select([excites & ~inhibits, inhibits & ~excites], ["excitatory", "inhibitory"], "unknown")
    raise UserError(f"{path} has no column {label!r}; it has {', '.join(LABELS)}")


def write(
    path: Path, waveform: Int16[np.ndarray, "spike 8 32"], fields: Mapping[str, Shaped[np.ndarray, " spike"]]
) -> None:
    """Write spikes as ``path`` and their eleven `fields`, in order, beside it."""
    with whole_file(path) as partial:
        waveform.astype("<i2").tofile(partial)
    columns = [np.asarray(values).astype(str) for values in fields.values()]
    with whole_file(_beside(path)) as partial:
        partial.write_text("_".join("_".join(row) for row in zip(*columns, strict=True)))


def _beside(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(SUFFIX) + PARAMETERS)
