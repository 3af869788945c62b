"""Stores for Zarr to read, each of whose files or objects is compared with the manifest, if the store has one."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterator
from functools import lru_cache
from pathlib import Path

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore, ObjectStore

from spiketype import location
from spiketype.datasets import manifest
from spiketype.edge import UserError
from spiketype.location import Location, Remote

KEPT_BYTES = 2**28  # of the objects that were read last: Zarr reads a shard chunk by chunk


def checked(place: Location) -> "CheckedFiles | CheckedObjects":
    """Return a store for Zarr to read, each of whose files or objects is compared with the manifest, if there is one.

    Raises:
        UserError: the manifest is damaged; the server does not answer, or does not let us.
    """
    return _checked(place, manifest.state(place / manifest.FILE))


@lru_cache(maxsize=16)
def _checked(place: Location, state: manifest.State | None) -> "CheckedFiles | CheckedObjects":
    return CheckedObjects(place) if isinstance(place, Remote) else CheckedFiles(place)


def writable(place: Location) -> "LocalStore | Objects":
    """Return a store for Zarr to write into.

    Raises:
        UserError: a URL that is read only.
    """
    if isinstance(place, Path):
        return LocalStore(place)
    place.check_writable()
    return Objects(place)


class CheckedFiles(LocalStore):
    """A folder that Zarr reads. A file is read once more to be checked, and again only when it has changed."""

    def __init__(self, root: Path, *, read_only: bool = True) -> None:
        super().__init__(root, read_only=read_only)
        self._files = manifest.read(root)
        self._known: dict[str, manifest.State] = {}

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the content of a file, None where there is none.

        Raises:
            UserError: it is not what the manifest says.
        """
        if self._files is not None and not key.startswith(manifest.MARKS):
            await asyncio.to_thread(self._check, key, self._files.get(key))
        return await super().get(key, prototype, byte_range)

    def names(self) -> list[str]:
        """Return the names of all files that the manifest knows."""
        return list(self._files or ())

    def _check(self, key: str, expected: str | None) -> None:
        file = self.root / key
        state = manifest.state(file) if file.is_file() else None
        if state is None:
            if expected is not None:
                raise _missing(self.root, key)
        elif expected is None:
            raise _unexpected(self.root, key)
        elif self._known.get(key) != state:
            if manifest.sha256(file) != expected:
                raise _damaged(self.root, key)
            self._known[key] = state


class Objects(ObjectStore):  # type: ignore[type-arg]  # of any kind
    """The objects of a URL, which Zarr reads and writes; what servers answer becomes a sentence."""

    def __init__(self, place: Remote, *, read_only: bool = False) -> None:
        super().__init__(location.objects(place.root), read_only=read_only)
        self.place = place

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return the content of an object, None where there is none."""
        with location.answering(self.place / key):
            return await super().get(key, prototype, byte_range)

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object."""
        with location.answering(self.place / key, writing=True):
            await super().set(key, value)


class CheckedObjects(Objects):
    """The objects of a URL, which Zarr reads.

    An object that the manifest knows is read whole, even if Zarr wants a part, so that it can be compared; the last
    ones are kept. What there is, is what the manifest says: servers of files have no lists.
    """

    def __init__(self, place: Remote) -> None:
        super().__init__(place, read_only=True)
        self._files = manifest.read(place)
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        if self._files is None and place.scheme in location.READ_ONLY and (place / "zarr.json").is_file():
            raise UserError(
                f"{place} has no {manifest.FILE}, so it is unfinished or was written by an older version: such a store"
                " is not read over the web, copy it to a folder"
            )

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return the content of an object or a part of it, None where there is none.

        Raises:
            UserError: it is not what the manifest says.
        """
        if self._files is None or key.startswith(manifest.MARKS):
            return await super().get(key, prototype, byte_range)
        if key not in self._files:
            if await super().exists(key):
                raise _unexpected(self.place, key)
            return None
        data = self._kept.get(key)
        if data is None:
            data = await self._whole(key, prototype, self._files[key])
        self._keep(key, data)
        return prototype.buffer.from_bytes(_part(data, byte_range))

    async def _whole(self, key: str, prototype: BufferPrototype, expected: str) -> bytes:
        found = await super().get(key, prototype)
        if found is None:
            raise _missing(self.place, key)
        data = found.to_bytes()
        if await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest()) != expected:
            raise _damaged(self.place, key)
        return data

    def _keep(self, key: str, data: bytes) -> None:
        self._kept[key] = data
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(map(len, self._kept.values())) > KEPT_BYTES:
            self._kept.popitem(last=False)

    def names(self, under: str = "") -> list[str]:
        """Return the names of all objects, or of those below `under`."""
        if self._files is None:
            return [name for name, _ in (self.place / under).files()]
        return [name for name in self._files if not under or name.startswith(f"{under}/")]

    def sizes(self, under: str) -> Iterator[int]:
        """Yield the bytes of each object below `under`."""
        if self.place.scheme not in location.READ_ONLY:
            yield from (size for _, size in (self.place / under).files())
            return
        for name in self.names(under):
            if (state := (self.place / name).state()) is not None:
                yield state[1]

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        """Yield what is in a folder."""
        if self._files is None:
            with location.answering(self.place):
                async for name in super().list_dir(prefix):
                    yield name
            return
        inside = [name.removeprefix(prefix).lstrip("/") for name in self._files if name.startswith(prefix)]
        for name in dict.fromkeys(name.partition("/")[0] for name in inside):
            yield name


def _part(data: bytes, wanted: ByteRequest | None) -> bytes:
    """Return the part of an object that Zarr asks for."""
    match wanted:
        case RangeByteRequest(start, end):
            return data[start:end]
        case OffsetByteRequest(offset):
            return data[offset:]
        case SuffixByteRequest(suffix):
            return data[-suffix:]
        case _:
            return data


def _missing(place: Location, key: str) -> UserError:
    return UserError(f"{place / key} is missing: {manifest.remedy(place)}")


def _unexpected(place: Location, key: str) -> UserError:
    return UserError(f"{place / key} was not there when the store was finished: {manifest.remedy(place)}")


def _damaged(place: Location, key: str) -> UserError:
    return UserError(f"{place / key} is damaged (its SHA-256 differs): {manifest.remedy(place)}")
