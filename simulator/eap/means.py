"""With what a store of EAPs is made, as command lines say it; none of it changes a sample."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from spiketype.simulator.eap.block_range import Share, parse


@dataclass(frozen=True)
class Means:
    """Processes, jobs and limits."""

    workers: int | None = None
    """Processes at once: by default one per core; 0 computes EAPs in this process, on a GPU or TPU."""
    block_range: str = "1/1"
    """i/n writes the i-th of n shares of the EAPs, for the jobs of an array (docs/guide/scale.md)."""
    scheduler: str = ""
    """A Dask scheduler whose workers compute EAPs: tcp://HOST:PORT or the JSON file that it wrote."""
    yes: Annotated[bool, arg(name="yes")] = False
    """Begin though the store may not fit on the disk."""
    memory_limit_GB: Annotated[float | None, arg(name="memory-limit", metavar="GB")] = None
    """What a worker that simulates EAPs may hold, about; by default there is no limit."""

    def __post_init__(self) -> None:
        parse(self.block_range)

    @property
    def share(self) -> Share:
        """The blocks to write."""
        return parse(self.block_range)


DEFAULT = Means()
