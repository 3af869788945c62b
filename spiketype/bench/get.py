"""Download a benchmark that was deposited: its zip is compared with its SHA-256, unpacked, and each file verified.

pooch knows repositories by DOI and compares checksums, but begins a download that broke off again from its first
byte, and takes whatever a server sends before it compares. Benchmarks have gigabytes, so its downloader is ours: it
asks for the rest (HTTP Range) of what is there, and stops at the size that was deposited.
"""

import logging
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pooch
import requests
from pooch.downloaders import doi_to_repository

from spiketype import reading
from spiketype.bench import archive
from spiketype.damage import cause
from spiketype.datasets.benchmarks import deposit, folder, specification
from spiketype.datasets.benchmarks.deposit import Deposit
from spiketype.datasets.benchmarks.specification import Specification
from spiketype.edge import UserError, progress

MIRROR = "SPIKETYPE_BENCHMARKS"
ATTEMPTS = 5
PATIENCE_S = (10, 60)  # to be connected, and to be sent something
CHUNK = 2**20
MOST_BESIDE = 1000  # bytes of the file beside a zip that are read
SIZE = re.compile(r"^# bytes: (\d{1,15})$", re.MULTILINE)
BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


def get(name: str, out: Path | None) -> Path:
    """Download a benchmark and return its folder; one that is there is verified.

    Args:
        name: of the benchmark.
        out: its folder, by default one in the cache.

    Raises:
        UserError: it was not deposited; there is something else in its place; it cannot be reached; or what is
            downloaded is not what was deposited.
    """
    wanted = specification.load(name)
    place = (out or folder.place(wanted)).resolve()  # of "." there is no name, and no folder above
    if folder.is_complete(place):
        folder.check_same(place, name)
        reading.note(place, f"is there and whole ({folder.verify(place)} files): nothing is downloaded")
        return place
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UserError(f"{place} is there, and is no whole benchmark: delete it, or choose another --out")
    place.parent.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel(logging.WARNING)
    zipped = _download(_where(wanted), place.parent / f".{wanted.folder_name}.zip")
    partial = place.with_name(f".{place.name}.{os.getpid()}.partial")
    try:
        archive.unpack(zipped, wanted.folder_name, partial)
        folder.check_same(partial, name)
        folder.verify(partial)
        _move(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    zipped.unlink()
    return place


def _move(partial: Path, place: Path) -> None:
    """Give a folder its name; where that is of an empty one, its content is moved there, the manifest last."""
    if not place.exists():
        partial.rename(place)
        return
    for each in sorted(partial.iterdir(), key=lambda path: path.name == folder.MANIFEST):
        each.rename(place / each.name)


def _where(wanted: Specification) -> Deposit:
    """Return where a benchmark is: at the mirror, if there is one, with the SHA-256 of the deposit, if there is one.

    Raises:
        UserError: nowhere.
    """
    known, mirror = deposit.find(wanted), os.environ.get(MIRROR, "").rstrip("/")
    if not mirror:
        if known is None:
            raise UserError(
                f"{wanted.name}, version {wanted.version}, is not deposited anywhere yet: make it with spiketype bench "
                f"make {wanted.name}, or set {MIRROR} to the URL of a mirror"
            )
        return known
    url = f"{mirror}/{wanted.folder_name}.zip"
    return Deposit(url, known.sha256, known.bytes) if known else _of_mirror(url)


def _of_mirror(url: str) -> Deposit:
    """Return a zip with what the file beside it says of it: a line ``SHA256  NAME``, and one ``# bytes: NUMBER``.

    Raises:
        UserError: there is no such file, or it says neither.
    """
    beside = f"{url}.sha256"
    try:
        with requests.get(beside, stream=True, timeout=PATIENCE_S) as answer:
            answer.raise_for_status()
            text = next(answer.iter_content(MOST_BESIDE), b"").decode("ascii", "replace")
    except requests.RequestException as error:
        raise _unreached(beside, error) from error
    size = SIZE.search(text)
    if size is None:
        raise UserError(
            f"{beside} does not say '# bytes: NUMBER', the size of the zip: write it with spiketype bench zip"
        )
    return Deposit(url, text.partition(" ")[0].strip(), int(size[1]))


def _download(source: Deposit, partial: Path) -> Path:
    """Return the zip, downloaded and compared with its SHA-256.

    It has a hidden name of its own: one that the user has there, such as of `spiketype bench zip`, is not touched.

    Args:
        source: where it is.
        partial: file of what there is of it, kept if the download breaks off.
    """
    whole = f"{partial.name}.whole"
    try:
        url = _resolved(source.url)
        downloader = _resuming(partial, source.bytes)
        found = pooch.retrieve(url, f"sha256:{source.sha256}", whole, partial.parent, downloader=downloader)
    except requests.RequestException as error:
        raise _unreached(source.url, error) from error
    except ValueError as error:  # pooch's word for a checksum, and for a DOI that leads nowhere
        if "does not match the known hash" not in str(error):
            raise _unreached(source.url, error) from error
        raise UserError(
            f"{source.url} is not what was deposited (its SHA-256 differs from {source.sha256[:12]}...): repeat the "
            "command, or choose another mirror"
        ) from error
    return Path(found)


def _resolved(url: str) -> str:
    """Return the URL of a file that a DOI names."""
    if not url.startswith("doi:"):
        return url
    doi, _, file = url.removeprefix("doi:").rpartition("/")
    found: str = doi_to_repository(doi).download_url(file)
    return found


def _unreached(url: str, error: Exception) -> UserError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, ValueError) or (status is not None and 400 <= status < 500):
        remedy = f"see {MIRROR}, choose another mirror, or make the benchmark: spiketype bench make"
    else:
        remedy = "repeat the command, which goes on from there"
    return UserError(f"{url} cannot be downloaded ({cause(error)}): {remedy}")


def _resuming(partial: Path, size: int) -> Callable[[str, str, object], None]:
    """Return a downloader of pooch that keeps what there is of a file in another, and goes on from it.

    It stops, and keeps nothing, where a server sends more than `size` bytes in all.
    """

    def download(url: str, target: str, _: object) -> None:
        if partial.exists() and partial.stat().st_size > size:
            partial.unlink()  # of something else
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _rest(url, partial, size)
                break
            except BROKEN:
                if attempt == ATTEMPTS:
                    raise
                time.sleep(attempt)
        shutil.move(partial, target)

    return download


def _rest(url: str, partial: Path, size: int) -> None:
    """Append the rest of a file to what there is of it; a server that knows no ranges sends it all again.

    Raises:
        UserError: it is larger than `size`.
    """
    begin = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begin}-"} if begin else {})
    with requests.get(url, stream=True, timeout=PATIENCE_S, headers=headers) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # there is no rest: the checksum tells whether this is the file
        answer.raise_for_status()
        continued = answer.status_code == requests.codes.partial_content
        begin = begin if continued else 0
        with open(partial, "ab" if continued else "wb") as file, progress() as shown:
            task = shown.add_task(f"download {url.rpartition('/')[2]} (MB)", total=size / 1e6)
            shown.advance(task, begin / 1e6)
            there = begin
            for piece in answer.iter_content(CHUNK):
                there += len(piece)
                if there > size:
                    break
                file.write(piece)
                shown.advance(task, len(piece) / 1e6)
    if there > size:
        partial.unlink()
        raise UserError(
            f"{url} is larger than the {size} bytes that were deposited: nothing is kept, choose another mirror"
        )
