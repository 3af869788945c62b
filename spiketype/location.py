"""Where a store is: a folder, or the URL of objects (`Remote`), of which a `Path` would lose a slash.

A `Remote` has those methods of a `Path` that stores need. Objects are written whole or not at all, and are neither
renamed nor locked.
"""

import contextlib
import importlib
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypedDict

from tyro.constructors import PrimitiveConstructorSpec

from spiketype.edge import URLS, UserError, install

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

    class _Options(TypedDict):
        client_options: ClientConfig
        retry_config: RetryConfig


READ_ONLY = ("http", "https")  # and they have no lists of what there is
SCHEMES = ("s3", "gs", "memory", *READ_ONLY)
EXTRA = install("spiketype[remote]")
DENIED = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, to credentials that may use the bucket",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS to the file of an account that may use the bucket",
}
REACH = {"s3": ", AWS_REGION, and AWS_ENDPOINT_URL if it is not Amazon's,"}
ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT")
RETRIES = 15  # each after a longer time, from 0.1 s on: a server that is away for some seconds is waited for
PIECE_BYTES = 2**20  # of an object that are in memory while it is read through


class Remote:
    """A store at a URL, or with `key` an object of it."""

    def __init__(self, root: str, key: str = "") -> None:
        self.root, self.key = root, key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and (self.root, self.key) == (other.root, other.key)

    def __hash__(self) -> int:
        return hash((self.root, self.key))

    def __repr__(self) -> str:
        return f"Remote({str(self)!r})"

    def __str__(self) -> str:
        return f"{self.root}/{self.key}" if self.key else self.root

    def __truediv__(self, name: str | Path) -> "Remote":
        return Remote(self.root, "/".join(part for part in (self.key, str(name)) if part))

    @property
    def scheme(self) -> str:
        """What the URL begins with."""
        return self.root.partition("://")[0]

    @property
    def name(self) -> str:
        """The last part."""
        return str(self).rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return Path(self.name).stem

    def absolute(self) -> "Remote":
        """Return the same: a URL is of no folder."""
        return self

    def state(self) -> tuple[str | None, int, float] | None:
        """Return what changes when an object does, None where there is none."""
        with answering(self), contextlib.suppress(FileNotFoundError):
            about = _client().head(objects(self.root), self.key)
            return about["e_tag"], about["size"], about["last_modified"].timestamp()
        return None

    def exists(self) -> bool:
        """Say whether there is such an object, or such a store."""
        return (self if self.key else self / "zarr.json").is_file()

    def is_file(self) -> bool:
        """Say whether there is such an object."""
        return self.state() is not None

    def pieces(self) -> Iterator[memoryview]:
        """Yield the content of an object, piece by piece.

        Raises:
            FileNotFoundError: there is none.
        """
        with answering(self):
            for piece in _client().get(objects(self.root), self.key).stream(min_chunk_size=PIECE_BYTES):
                yield memoryview(piece)

    def read_bytes(self) -> bytes:
        """Return the content of an object.

        Raises:
            FileNotFoundError: there is none.
        """
        return b"".join(self.pieces())

    def write_bytes(self, data: bytes) -> None:
        """Write an object.

        Raises:
            UserError: there is no such bucket, or nothing may be written to it.
        """
        self.check_writable()
        with answering(self, writing=True):
            _client().put(objects(self.root), self.key, data)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove an object, or do nothing where there is none."""
        with answering(self), contextlib.suppress(FileNotFoundError):
            _client().delete(objects(self.root), self.key)

    def files(self) -> Iterator[tuple[str, int]]:
        """Yield name and bytes of each object below, in no order; names are those within the store.

        Raises:
            UserError: there is no such bucket, or its objects are not told to anybody.
        """
        with answering(self, writing=True):
            for page in _client().list(objects(self.root), prefix=self.key or None):
                yield from ((each["path"], each["size"]) for each in page)

    def check_writable(self) -> None:
        """Refuse a URL to which nothing can be written."""
        if self.scheme in READ_ONLY:
            raise UserError(f"{self} can be read, not written: give s3://BUCKET/NAME, gs://BUCKET/NAME or a folder")


Location: TypeAlias = Path | Remote


def parse(text: str) -> Location:
    """Return the location that a user names.

    Raises:
        UserError: a URL without a bucket or host.
    """
    scheme, mark, rest = text.partition("://")
    if not mark or scheme.lower() not in SCHEMES:
        return Path(text)
    if not rest.strip("/") or rest.startswith("/"):
        raise UserError(f"{text} names no {'host' if scheme in READ_ONLY else 'bucket'}: give {scheme}://NAME/STORE")
    return Remote(f"{scheme.lower()}://{rest.rstrip('/')}")


def folder(place: Location) -> Path:
    """Return the path of what is read from files alone.

    Raises:
        UserError: it is a URL.
    """
    if isinstance(place, Remote):
        raise UserError(f"{place}: {URLS}")
    return place


# Of an option or a field whose value is a location.
Place = Annotated[
    Path | Remote,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="STORE",
        instance_from_str=lambda words: parse(words[0]),
        is_instance=lambda value: isinstance(value, Path | Remote),
        str_from_instance=lambda value: [str(value)],
    ),
]


@lru_cache(maxsize=16)
def objects(root: str) -> "ObjectStore":
    """Return what reads and writes the objects of a store.

    Raises:
        UserError: the library is not installed, or the URL is impossible.
    """
    stores, scheme = _client(root).store, root.partition("://")[0]
    options: _Options = {
        "client_options": {"allow_http": True},  # of servers on one's own network
        "retry_config": {"max_retries": RETRIES},
    }
    try:
        if scheme == "memory":
            return stores.MemoryStore()  # type: ignore[no-any-return]
        if scheme == "s3":
            return _s3(stores, root, options)
        return stores.from_url(root, **options)  # type: ignore[no-any-return]
    except _client().exceptions.BaseError as error:
        raise UserError(f"{root} cannot be opened ({_first_line(error)}): {_check(root)}") from error


def _s3(stores: ModuleType, root: str, options: "_Options") -> "ObjectStore":
    """Return a bucket, with the credentials that Amazon's own tools find, or as one that everybody may read."""
    boto3, errors = _import("boto3", root), _import("botocore.exceptions", root)
    for name in ENDPOINTS:  # the client would abort over another
        if not re.match("https?://[^/]", given := os.environ.get(name, "https://host")):
            raise UserError(f"{root}: {name} is {given!r}: give http://HOST:PORT or https://HOST, or unset it")
    try:
        session = boto3.Session()
        credentials = session.get_credentials()
    except errors.BotoCoreError as error:
        raise UserError(f"{root}: no credentials can be had ({error}): {DENIED['s3']}") from error
    if credentials is None:
        return stores.S3Store.from_url(root, skip_signature=True, **options)  # type: ignore[no-any-return]
    provider = _import("obstore.auth.boto3", root).Boto3CredentialProvider(session)
    return stores.S3Store.from_url(root, credential_provider=provider, **options)  # type: ignore[no-any-return]


def _client(root: str = "a URL") -> ModuleType:
    return _import("obstore", root)


def _import(name: str, root: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"{root} needs libraries that are not installed ({error}): {EXTRA}") from error


@contextlib.contextmanager
def answering(place: Remote, writing: bool = False) -> Iterator[None]:
    """Turn what a server or the way to it fails with into a sentence.

    Args:
        place: what is asked for.
        writing: what is missing is the bucket, not the object.

    Raises:
        FileNotFoundError: there is no such object.
        UserError: anything else.
    """
    errors = _client(place.root).exceptions
    try:
        yield
    except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
        remedy = DENIED.get(place.scheme, "ask who keeps it")
        raise UserError(f"{place}: the server refuses access: {remedy}") from error
    except FileNotFoundError as error:
        if writing:
            raise UserError(_no_bucket(place)) from error
        raise
    except errors.BaseError as error:
        if "NoSuchBucket" in str(error):
            raise UserError(_no_bucket(place)) from error
        raise UserError(f"{place} cannot be reached ({_first_line(error)}): {_check(place.root)}") from error


def _no_bucket(place: Remote) -> str:
    bucket = place.root.partition("://")[2].partition("/")[0]
    return f"{place}: there is no bucket {bucket}: make it, or correct the name"


def _check(root: str) -> str:
    return f"check the URL{REACH.get(root.partition('://')[0], '')} and the network, then repeat the command"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
