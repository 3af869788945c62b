"""Files of a run that carry their own SHA-256, which is compared when they are read: JSON, and arrays in msgpack."""

import hashlib
import json
from pathlib import Path

from spiketype import edge, reading
from spiketype.damage import cause
from spiketype.edge import Json, PyTree, UserError, whole_file

KEY = "sha256"  # of the rest of a JSON object
HEADER = b"sha256 "  # then 64 digits, a new line, and the msgpack that they are of
OLDER = "has no checksum, as older versions wrote it, so damage might not be noticed"
START = len(HEADER) + 64 + 1


def write_json(path: Path, value: Json) -> None:
    """Write JSON whole or not at all, with its checksum as last key."""
    edge.write_json(path, {**value, KEY: _digest(value)})


def read_json(path: Path, otherwise: str, remedy: str) -> Json:
    """Read a JSON object that `write_json` wrote; one of an older version has no checksum, which is noted.

    Args:
        path: the file.
        otherwise: what the message begins with where there is none.
        remedy: what to do about one that is damaged or was changed.

    Raises:
        UserError: there is none, or it was changed.
    """
    value = edge.read_json(path, f"{path} is damaged: {remedy}" if path.exists() else otherwise)
    expected = value.pop(KEY, None)
    if expected is None:
        reading.note(path, OLDER)
    elif not _is_of(value, expected):
        raise UserError(f"{path} is not as it was written, its SHA-256 differs: {remedy}")
    return value


def _is_of(value: Json, digest: object) -> bool:
    try:
        return _digest(value) == digest  # after damage it may be anything
    except ValueError:  # NaN, which `write_json` does not write
        return False


def _digest(value: Json) -> str:
    """Return the SHA-256 of what a JSON object says, however it is laid out."""
    read = json.loads(json.dumps(value, allow_nan=False))
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()


def write_msgpack(path: Path, tree: PyTree) -> None:
    """Write arrays whole or not at all, after a line with their checksum."""
    import flax.serialization  # here, because JSON is read before JAX is needed

    content = flax.serialization.msgpack_serialize(flax.serialization.to_state_dict(tree))
    with whole_file(path) as partial, open(partial, "wb") as file:
        file.write(HEADER + hashlib.sha256(content).hexdigest().encode() + b"\n")
        file.write(content)


def read_msgpack(path: Path, remedy: str) -> PyTree:
    """Read arrays that `write_msgpack` wrote; those of an older version have no checksum, which is noted.

    Args:
        path: the file.
        remedy: what to do about one that is damaged.

    Raises:
        UserError: there is none, or it is damaged.
    """
    import flax.serialization

    try:
        content = path.read_bytes()
        if content.startswith(HEADER):
            if not _is_as_written(content):
                raise UserError(f"{path} is damaged (its SHA-256 differs): {remedy}")
            return flax.serialization.msgpack_restore(content[START:])
        tree = flax.serialization.msgpack_restore(content)
    except UserError:
        raise
    except Exception as error:  # msgpack raises anything for damaged files
        raise UserError(f"{path} is damaged ({cause(error)}): {remedy}") from error
    reading.note(path, OLDER)
    return tree


def is_msgpack(path: Path) -> bool:
    """Say whether a file is there, and as `write_msgpack` wrote it."""
    try:
        return _is_as_written(path.read_bytes())
    except OSError:
        return False


def _is_as_written(content: bytes) -> bool:
    return content[:START] == HEADER + hashlib.sha256(content[START:]).hexdigest().encode() + b"\n"
