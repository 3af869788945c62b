"""Batches that are simulated inside the training step: no sample comes twice."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from spiketype.datasets import batches, eap, lattice, store
from spiketype.datasets.eap import Inputs
from spiketype.edge import PyTree
from spiketype.location import Location
from spiketype.train.task import Data
from spiketype.train.tasks.eap.config import EapTaskConfig
from spiketype.train.tasks.eap.model import LENGTH_UM

Sampler = Callable[[PyTree, PyTree, jax.Array], tuple[jax.Array, jax.Array]]  # (common, member, key) -> (x, y)
OF_A_BLOCK = 5  # samples: a batch has cells enough, and few candidates are simulated in vain


def streamed(
    config: EapTaskConfig, path: Location, inputs: Inputs, plans: batches.Plan, label: np.ndarray | None
) -> tuple[Sampler, Data]:
    """Return batches that are simulated as a store says, and the data they are made of.

    A batch is drawn as one from the store's samples would be; then the cell of each sample drawn gives the first
    samples of a block of its own, which is drawn, too: among 2**31, so that no two steps have one, but for chance.

    Args:
        config: options of the run.
        path: the store.
        inputs: those of the store, on whose grid or lattice the images are.
        plans: of the members.
        label: class of each sample of the store; None for positions.

    Raises:
        UserError: as `simulator.eap.stream.of_store`.
    """
    # Imported here: training on a store that exists needs neither NEURON nor cell models.
    from spiketype.simulator.eap import stream

    cells, how = stream.of_store(path)
    of_sample = store.read(path, "cell").astype(np.int32)
    of_block = max(n for n in range(1, OF_A_BLOCK + 1) if config.batch % n == 0)

    def sample(common: PyTree, member: PyTree, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        here, cell, target = common
        index_key, block_key = jax.random.split(key)
        index = batches.draw(member, index_key, config.batch // of_block)
        block = jax.random.bits(block_key, index.shape, jnp.uint32) | jnp.uint32(stream.FIRST_BLOCK)
        made = stream.samples(here, how, cell[index], block, of_block)
        made = {name: values.reshape(config.batch, *values.shape[2:]) for name, values in made.items()}
        x = eap.as_images(made, inputs.images, inputs.shape[1:], config.scaled, inputs.lattice)
        if target is not None:
            return x, jnp.repeat(target[index], of_block)
        around = lattice.middle(made["amplitude_uV"], inputs.lattice) if inputs.lattice else 0
        return x, (made["position_um"] - around) / LENGTH_UM

    common = jax.tree.map(jnp.asarray, (cells, of_sample, label))
    return sample, lambda step: (common, plans)
