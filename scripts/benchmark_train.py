"""Training steps a second of the published network: our loop, PyTorch, and eight seeds at once."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from datasets import batches
from models.cnn import CNN
from train import loop
from train.tasks.eap import EapTaskConfig, make_problem

SAMPLES, CLASSES, BATCH = 11_700, 13, 1000


def benchmark(rounds: int = 5, steps: int = 10) -> None:
    """Whole steps of 1000 samples: drawing the batch, forward, backward, dropout 0.7, Adam.

    Args:
        rounds: Times that each is measured, in turn.
        steps: Steps in a round.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(SAMPLES, 10, 10, 2)).astype(np.float32)
    y = rng.integers(0, CLASSES, SAMPLES).astype(np.int32)
    one, eight = ours(x, y, 1), ours(x, y, 8)
    theirs = pytorch(x, y)
    if theirs is None:
        print("PyTorch: left out, it is not installed")
    else:
        a, b = alternate(one, theirs, rounds, steps)
        print(f"ours {1 / a:.1f} steps/s, PyTorch {1 / b:.1f} steps/s")
        print(f"ratio to PyTorch, median of {rounds}: {b / a:.2f} (wanted: 1)", flush=True)
    a, b = alternate(eight, one, rounds, max(1, steps // 4))
    print(f"8 seeds at once {a:.3f} s a step, 8 runs in turn {8 * b:.3f} s: ratio {8 * b / a:.2f}")


def alternate(
    first: Callable[[int], Any], second: Callable[[int], Any], rounds: int, steps: int
) -> tuple[float, float]:
    """Seconds a step of each: the second's median, and the first's such that their ratio is the median ratio."""

    def seconds(run: Callable[[int], Any]) -> float:
        began = time.perf_counter()
        run(steps)
        return (time.perf_counter() - began) / steps

    first(2), second(2)
    pairs = [(seconds(first), seconds(second)) for _ in range(rounds)]
    b = statistics.median(s for _, s in pairs)
    return b / statistics.median(s / f for f, s in pairs), b


def ours(x: np.ndarray, y: np.ndarray, members: int) -> Callable[[int], None]:
    """The loop's own step on the problem of the EAP tasks, with the published settings."""
    config = EapTaskConfig(batch=BATCH, dropout=0.7, learning_rate=5e-4, schedule="constant", balanced=False)
    problem = make_problem(config, CNN(CLASSES, "l", config.dropout), x.shape[1:], turns=False)
    mesh = loop.member_mesh(members, BATCH)
    keys = jax.random.split(jax.random.key(0), members)
    shared = jnp.asarray(x), jnp.asarray(y)
    plan = batches.plan(np.arange(len(x)), y, balanced=False)
    own = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * members), plan)
    step, state, number = loop.make_step(problem, mesh), loop.start(problem, keys, mesh), 0

    def run(steps: int) -> None:
        nonlocal state, number
        for _ in range(steps):
            number += 1
            state, _ = step(state, shared, own, keys, np.uint32(number))
        jax.block_until_ready(state)

    return run


def pytorch(x: np.ndarray, y: np.ndarray) -> Callable[[int], None] | None:
    """The same network and step in PyTorch; None where it is not installed."""
    try:
        import torch
        from torch import nn
    except ImportError:
        return None
    torch.manual_seed(0)
    pool = nn.MaxPool2d(2, ceil_mode=True)
    blocks = [nn.Conv2d(2, 32, 3, padding=1), nn.ReLU(), pool, nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), pool]
    net = nn.Sequential(
        *blocks, nn.Flatten(), nn.Linear(576, 1024), nn.ReLU(), nn.Dropout(0.7), nn.Linear(1024, CLASSES)
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-4)
    images, labels = torch.tensor(x.transpose(0, 3, 1, 2).copy()), torch.tensor(y).long()

    def run(steps: int) -> None:
        for _ in range(steps):
            index = torch.randint(len(images), (BATCH,))
            loss = nn.functional.cross_entropy(net(images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run
