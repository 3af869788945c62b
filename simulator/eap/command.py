"""What ``python -m simulator.eap`` runs: its options beside those of the store."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from spiketype.edge import check_out, importing
from spiketype.location import Place
from spiketype.simulator.eap import block_range as of_jobs
from spiketype.simulator.eap.config import EapConfig


def main(
    config: EapConfig,
    out: Place,
    workers: int | None = None,
    block_range: str = "1/1",
    scheduler: str = "",
    yes: Annotated[bool, arg(name="yes")] = False,
    memory_limit_GB: Annotated[float | None, arg(name="memory-limit", metavar="GB")] = None,
) -> None:
    """Simulate extracellular action potentials into a Zarr store.

    Args:
        config: What the store holds.
        out: The store: a folder, s3://BUCKET/NAME or gs://BUCKET/NAME; repeat the same command to continue an
            unfinished one.
        workers: Processes at once: by default one per core; 0 computes in this process on a GPU or TPU.
        block_range: i/n writes the i-th of n shares, for the jobs of an array (docs/guide/scale.md).
        scheduler: A Dask scheduler whose workers compute: tcp://HOST:PORT or the JSON file that it wrote.
        yes: Begin though the store may not fit on the disk.
        memory_limit_GB: What a worker may hold, about; it changes no sample. By default there is no limit.
    """
    share = of_jobs.parse(block_range)
    if isinstance(out, Path):
        check_out(out)
    with importing():  # takes seconds
        from spiketype.simulator.eap.generate import generate
    print(generate(config, out, workers, share, scheduler, yes, memory_limit_GB))
