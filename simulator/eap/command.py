"""What ``python -m simulator.eap`` runs: its options beside those of the store."""

from pathlib import Path

from spiketype.edge import check_out, importing
from spiketype.location import Place
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.means import DEFAULT, Means


def main(config: EapConfig, out: Place, means: Means = DEFAULT) -> None:
    """Simulate extracellular action potentials into a Zarr store.

    Args:
        config: What the store holds.
        out: The store: a folder, s3://BUCKET/NAME or gs://BUCKET/NAME; repeat the same command to continue an
            unfinished one.
        means: With what it is made; none of it changes a sample.
    """
    if isinstance(out, Path):
        check_out(out)
    with importing():  # takes seconds
        from spiketype.simulator.eap.generate import generate
    print(generate(config, out, means.workers, means.share, means.scheduler, means.yes, means.memory_limit_GB))
