"""Thirty-two trainings of LSPIN at once against one: steps of the subclass task in full batches."""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from benchmark_train import product_rate, stepper

from spiketype.datasets.allen.table import CLASSES
from spiketype.train.tasks.subclass.config import SubclassConfig
from spiketype.train.tasks.subclass.task import MemberData, make_problem, network

SEEDS, FEATURES = 32, 41


def benchmark(rounds: int = 3, steps: int = 20, cells: tuple[int, ...] = (10, 100, 884)) -> None:
    """Seconds a step of 1 and of 32 seeds, in turn, for training parts of several sizes.

    Where one step is a handful of small operations their dispatch is what takes time, and 32 seeds share it; where it
    is arithmetic, 32 seeds are 32 times as much of it, which only a wider machine does in less: the floor is the time
    of their matrix products alone at the rate of a plain product.

    Args:
        rounds: Times that each is measured.
        steps: Steps in a round.
        cells: Sizes of the training part (the paper: 884).
    """
    rate = product_rate()
    print(f"a plain matrix product: {rate / 1e9:.0f} GFLOP/s")
    for size in cells:
        runs = {members: _run(members, size) for members in (1, SEEDS)}
        pairs = [tuple(_seconds(run, steps) for run in runs.values()) for _ in range(rounds)]
        one_s, many_s = (statistics.median(values) for values in zip(*pairs, strict=True))
        ratio = statistics.median(many / one for one, many in pairs)
        print(
            f"{size} cells: 1 seed {1e3 * one_s:.2f} ms a step, {SEEDS} seeds {1e3 * many_s:.2f} ms: "
            f"ratio {ratio:.1f} (wanted: 3; in turn: {SEEDS}; floor {SEEDS * _products(size) / rate / one_s:.1f})",
            flush=True,
        )


def _products(cells: int) -> float:
    """FLOP of the matrix products of a step: forward, and backward to weights and inputs."""
    config = SubclassConfig(squash=True)
    params, _ = make_problem(config, network(config), FEATURES).init(jax.random.key(0))
    return 6.0 * cells * sum(leaf.size for leaf in jax.tree.leaves(params) if leaf.ndim == 2)


def _run(members: int, cells: int) -> Callable[[int], None]:
    rng = np.random.default_rng(0)
    config = SubclassConfig(squash=True)
    problem = make_problem(config, network(config), FEATURES)
    x = np.tile(rng.normal(size=(cells, FEATURES)).astype(np.float32), (members, 1, 1))
    member = MemberData(jnp.asarray(x), jnp.ones((members, cells)))
    common = jnp.asarray(rng.integers(0, len(CLASSES), cells))
    run = stepper(problem, members, cells, common, member)
    run(3)  # compiles
    return run


def _seconds(run: Callable[[int], None], steps: int) -> float:
    began = time.perf_counter()
    run(steps)
    return (time.perf_counter() - began) / steps
