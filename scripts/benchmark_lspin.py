"""Thirty-two trainings of LSPIN at once against one: steps of the subclass task in full batches."""

import statistics
from collections.abc import Callable
from functools import reduce

import jax
import jax.numpy as jnp
from measuring import Results, product_rate, seconds_each, stepper
from synthetic import subclass

from spiketype.train.tasks.subclass.config import SubclassConfig

SEEDS, CONFIG = 32, SubclassConfig(squash=True)


def benchmark(rounds: int = 3, steps: int = 20, cells: tuple[int, ...] = (10, 100, 884)) -> Results:
    """Seconds a step of 1 and of 32 seeds, in turn, for training parts of several sizes.

    Where one step is a handful of small operations their dispatch is what takes time, and 32 seeds share it; where it
    is arithmetic, 32 seeds are 32 times as much of it, which only a wider machine does in less: the floor is the time
    of their matrix products alone at the rate of a plain product. What XLA needs for these products alone, which are
    small and 32 times as many, is printed beside it.

    Args:
        rounds: Times that each is measured.
        steps: Steps in a round.
        cells: Sizes of the training part (the paper: 884).
    """
    rate = product_rate()
    print(f"a plain matrix product: {rate / 1e9:.0f} GFLOP/s")
    found = {"product_GFLOP_per_s": rate / 1e9}
    for size in cells:
        runs = {members: _run(members, size) for members in (1, SEEDS)}
        pairs = [tuple(seconds_each(run, steps) for run in runs.values()) for _ in range(rounds)]
        one_s, many_s = (statistics.median(values) for values in zip(*pairs, strict=True))
        ratio = statistics.median(many / one for one, many in pairs)
        floor = SEEDS * _products(size) / rate / one_s
        print(
            f"{size} cells: 1 seed {1e3 * one_s:.2f} ms a step, {SEEDS} seeds {1e3 * many_s:.2f} ms: "
            f"ratio {ratio:.1f} (wanted: 3; in turn: {SEEDS}; floor {floor:.1f})",
            flush=True,
        )
        alone = {members: _chain(members, size) for members in (1, SEEDS)}
        product_s = [statistics.median(seconds_each(run, steps) for _ in range(rounds)) for run in alone.values()]
        print(
            f"  products of the network alone, forward and backward: {1e3 * product_s[0]:.2f} ms and "
            f"{1e3 * product_s[1]:.2f} ms, {product_s[1] / one_s:.1f} times a whole step of 1 seed",
            flush=True,
        )
        found |= {f"{size}_cells_products_of_{n}_s": t for n, t in zip(alone, product_s, strict=True)}
        found |= {f"{size}_cells_1_seed_s_per_step": one_s, f"{size}_cells_{SEEDS}_seeds_s_per_step": many_s}
        found |= {f"{size}_cells_ratio_of_{SEEDS}_seeds_to_1": ratio, f"{size}_cells_floor_of_that_ratio": floor}
    return found


def _products(cells: int) -> float:
    """FLOP of the matrix products of a step: forward, and backward to weights and inputs."""
    params, _ = subclass(CONFIG, cells).problem.init(jax.random.key(0))
    return 6.0 * cells * sum(leaf.size for leaf in jax.tree.leaves(params) if leaf.ndim == 2)


def _chain(members: int, cells: int) -> Callable[[int], None]:
    """Return what makes so many times the network's products alone: each layer of its gates and of its predictions."""
    params, _ = subclass(CONFIG, cells).problem.init(jax.random.key(0))
    shapes = [[params[f"{part}_{k}"]["kernel"].shape for k in range(n)] for part, n in (("gate", 4), ("layer", 3))]
    weights = [[jnp.ones((members, *shape)) for shape in part] for part in shapes]
    x = jnp.ones((members, cells, shapes[0][0][0]))

    def total(weights: list[list[jax.Array]], x: jax.Array) -> jax.Array:
        return sum((reduce(jnp.matmul, part, x).sum() for part in weights), jnp.zeros(()))

    products = jax.jit(jax.vmap(jax.grad(total)))
    jax.block_until_ready(products(weights, x))

    def run(times: int) -> None:
        for _ in range(times):
            made = products(weights, x)
        jax.block_until_ready(made)

    return run


def _run(members: int, cells: int) -> Callable[[int], None]:
    run = stepper(subclass(CONFIG, cells, members))
    run(3)  # compiles
    return run
