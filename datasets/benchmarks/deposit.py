"""Where a benchmark that was deposited can be downloaded, and the SHA-256 of its zip."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from spiketype import typed
from spiketype.datasets.benchmarks.specification import SHA256, Specification
from spiketype.edge import Json, UserError

FILE = Path(__file__).with_name("deposits.toml")


@dataclass(frozen=True)
class Deposit:
    """A zip that can be downloaded.

    Attributes:
        url: of it; or ``doi:DOI/FILE``.
        sha256: of its content.
        bytes: how large it is: a download stops where it is larger.
    """

    url: str
    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        if self.bytes < 1:
            raise UserError(f"{self.url}: bytes is {self.bytes}: give the size of the zip")
        if not SHA256.fullmatch(self.sha256):
            raise UserError(f"{self.url}: sha256 is {typed.short(self.sha256)}, not 64 hexadecimal digits")
        if not self.url.startswith(("https://", "http://", "doi:")):
            raise UserError(f"{self.url} is neither https://, http:// nor doi:DOI/FILE: give one of these")


def find(specification: Specification) -> Deposit | None:
    """Return the deposit of this version of a benchmark, None where there is none yet.

    Raises:
        UserError: the file of deposits says something impossible.
    """
    known: Json = tomllib.loads(FILE.read_text(encoding="utf-8"))
    values = known.get(specification.folder_name)
    where = f"{FILE.name}, {specification.folder_name}"
    return None if values is None else typed.make(Deposit, values, where)
