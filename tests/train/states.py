"""States of a tiny network, and checkpoints of it."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from spiketype.edge import PyTree
from spiketype.train import checkpoints
from spiketype.train.loop import TrainState


def state(value: float = 1.5) -> TrainState:
    params = {"dense": {"kernel": jnp.full((2, 3), value), "bias": jnp.arange(2.0)}}
    return TrainState(params, {"batch_stats": {"mean": jnp.ones(2)}}, optax.adam(1e-3).init(params))


def equal(a: PyTree, b: PyTree) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


HISTORY = [{"step": 12, "loss": [float(np.float32(1 / 3))]}]


def save(folder: Path, step: int, saved: TrainState) -> None:
    checkpoints.save(folder, step, saved, [row | {"step": step} for row in HISTORY])
