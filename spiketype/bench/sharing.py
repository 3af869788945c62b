"""Commands that hand a benchmark on: ``spiketype bench card``, ``zip`` and ``get``."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from spiketype.datasets.benchmarks import folder, specification
from spiketype.edge import UserError, check_out, importing, whole_file


def card_command(
    name: Annotated[Positional[str], arg(metavar="NAME")],
    made: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    out: Annotated[Path | None, arg(metavar="FILE")] = None,
) -> None:
    """Write the card of a benchmark in Markdown: what, how it was made, why it is split so, flaws, licence, citation.

    Args:
        name: Of the benchmark.
        made: Its folder, for the numbers of samples; by default that in the cache, if it is there.
        out: File to write; by default the card is printed.
    """
    found = specification.load(name)
    if out is not None:
        check_out(out)
    from spiketype.datasets.benchmarks.card import card

    there = made or folder.place(found)
    samples = folder.read(there, name).samples if made or folder.is_complete(there) else None
    text = card(found, samples)
    if out is None:
        print(text, end="")
        return
    with whole_file(out) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    print(out)


def zip_command(
    name: Annotated[Positional[str], arg(metavar="NAME")],
    made: Annotated[Path | None, arg(metavar="FOLDER")] = None,
) -> None:
    """Write a benchmark that was made into NAME-vVERSION.zip beside its folder, and its SHA-256, to be deposited.

    Args:
        name: Of the benchmark.
        made: Its folder; by default that in the cache.
    """
    found = specification.load(name)
    from spiketype.bench import archive

    place = made or folder.place(found)
    folder.read(place, name)
    folder.verify(place)
    if (place / folder.SPECIFICATION).read_bytes() != specification.content(name):
        raise UserError(
            f"{place / folder.SPECIFICATION} says it in words that were mended since: remove {place / folder.MANIFEST},"
            f" repeat spiketype bench make {name} --out {place}, which writes them anew, and then this"
        )
    path = archive.pack(place, found.folder_name, place.absolute().parent / f"{found.folder_name}.zip")
    print(f"{path}\n{archive.beside(path)}")


def get_command(
    name: Annotated[Positional[str], arg(metavar="NAME")],
    out: Annotated[Path | None, arg(metavar="FOLDER")] = None,
) -> None:
    """Download a benchmark that was deposited; one that is there is verified.

    What is downloaded is compared with its SHA-256 and verified file by file. A download that broke off goes on.
    $SPIKETYPE_BENCHMARKS is the URL of a mirror, with NAME-vVERSION.zip and NAME-vVERSION.zip.sha256.

    Args:
        name: Of the benchmark.
        out: Its folder; by default one in the cache.
    """
    specification.load(name)
    if out is not None:
        check_out(out)
    with importing():
        from spiketype.bench.get import get

    print(get(name, out))
