"""Thirty-two trainings of LSPIN at once against one: steps of the subclass task in full batches."""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from datasets.allen import CLASSES
from train import loop
from train.tasks.subclass import Own, SubclassConfig, make_problem, network

SEEDS, FEATURES = 32, 41


def benchmark(rounds: int = 3, steps: int = 20, cells: tuple[int, ...] = (10, 100, 884)) -> None:
    """Seconds a step of 1 and of 32 seeds, in turn, for training parts of several sizes.

    Where one step is a handful of small operations their dispatch is what takes time, and 32 seeds share it; where it
    is arithmetic, 32 seeds are 32 times as much of it, which only a wider machine does in less.

    Args:
        rounds: Times that each is measured.
        steps: Steps in a round.
        cells: Sizes of the training part (the paper: 884).
    """
    for size in cells:
        runs = {members: _run(members, size) for members in (1, SEEDS)}
        pairs = [tuple(_seconds(run, steps) for run in runs.values()) for _ in range(rounds)]
        one_s, many_s = (statistics.median(values) for values in zip(*pairs, strict=True))
        ratio = statistics.median(many / one for one, many in pairs)
        print(
            f"{size} cells: 1 seed {1e3 * one_s:.2f} ms a step, {SEEDS} seeds {1e3 * many_s:.2f} ms: "
            f"ratio {ratio:.1f} (wanted: 3; in turn: {SEEDS})",
            flush=True,
        )


def _run(members: int, cells: int) -> Callable[[int], None]:
    rng = np.random.default_rng(0)
    config = SubclassConfig(squash=True)
    problem = make_problem(config, network(config), FEATURES)
    mesh = loop.member_mesh(members, cells)
    keys = jax.random.split(jax.random.key(0), members)
    x = np.tile(rng.normal(size=(cells, FEATURES)).astype(np.float32), (members, 1, 1))
    own = Own(jnp.asarray(x), jnp.ones((members, cells)))
    shared = jnp.asarray(rng.integers(0, len(CLASSES), cells))
    step, state, number = loop.make_step(problem, mesh), loop.start(problem, keys, mesh), 0

    def run(steps: int) -> None:
        nonlocal state, number
        for _ in range(steps):
            number += 1
            state, _ = step(state, shared, own, keys, np.uint32(number))
        jax.block_until_ready(state)

    run(3)
    return run


def _seconds(run: Callable[[int], None], steps: int) -> float:
    began = time.perf_counter()
    run(steps)
    return (time.perf_counter() - began) / steps
