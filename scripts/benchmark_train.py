"""Training steps a second of the published network: our loop, PyTorch, and eight seeds at once."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spiketype.datasets import batches
from spiketype.models.cnn import CNN
from spiketype.train import loop
from spiketype.train.tasks.eap.config import EapTaskConfig
from spiketype.train.tasks.eap.task import from_memory, make_problem

SAMPLES, CLASSES, BATCH = 11_700, 13, 1000


def benchmark(rounds: int = 3, steps: int = 20) -> None:
    """Whole steps of 1000 samples: drawing the batch, forward, backward, dropout 0.7, Adam.

    Each is measured in a process of its own, in turn: in one process, the threads of two libraries wait for each other.

    Args:
        rounds: Times that each is measured.
        steps: Steps in a round.
    """
    pairs = [(_apart("1", steps), _apart("pytorch", steps)) for _ in range(rounds)]
    if pairs[0][1] is None:
        print("PyTorch: left out, it is not installed")
    else:
        ours_s, theirs_s = (statistics.median(s) for s in zip(*pairs, strict=True))
        print(f"ours {ours_s:.4f} s a step, PyTorch {theirs_s:.4f} s a step")
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"steps per second, ratio to PyTorch, median of {rounds}: {ratio:.2f} (wanted: 1)", flush=True)
    eight = statistics.median(_apart("8", max(1, steps // 4)) for _ in range(rounds))
    one = statistics.median(a for a, _ in pairs)
    print(f"8 seeds at once {eight:.3f} s a step, 8 runs in turn {8 * one:.3f} s: ratio {8 * one / eight:.2f}")


def _apart(which: str, steps: int) -> float | None:
    """Seconds a step of PyTorch or of ours with so many members, in a fresh process; None where PyTorch is absent."""
    done = subprocess.run([sys.executable, __file__, which, str(steps)], capture_output=True, text=True, check=True)
    return None if done.stdout.strip() == "None" else float(done.stdout)


def _measure(which: str, steps: int) -> float | None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(SAMPLES, 10, 10, 2)).astype(np.float32)
    y = rng.integers(0, CLASSES, SAMPLES).astype(np.int32)
    run = pytorch(x, y) if which == "pytorch" else ours(x, y, int(which))
    if run is None:
        return None
    run(3)
    began = time.perf_counter()
    run(steps)
    return (time.perf_counter() - began) / steps


def ours(x: np.ndarray, y: np.ndarray, members: int) -> Callable[[int], None]:
    """The loop's own step on the problem of the EAP tasks, with the published settings."""
    config = EapTaskConfig(batch=BATCH, dropout=0.7, learning_rate=5e-4, schedule="constant", balanced=False)
    problem = make_problem(config, CNN(CLASSES, "l", config.dropout), x.shape[1:], False, from_memory(BATCH))
    shared = jnp.asarray(x), jnp.asarray(y)
    plan = batches.plan(np.arange(len(x)), y, balanced=False)
    own = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * members), plan)
    return stepper(problem, members, BATCH, shared, own)


def stepper(problem: loop.Problem, members: int, batch: int, shared: Any, own: Any) -> Callable[[int], None]:
    """So many steps of the loop for so many members, waited for."""
    mesh = loop.member_mesh(members, batch)
    keys = jax.random.split(jax.random.key(0), members)
    step, state, number = loop.make_step(problem, mesh), loop.start(problem, keys, mesh), 0

    def run(steps: int) -> None:
        nonlocal state, number
        for _ in range(steps):
            number += 1
            state, _ = step(state, shared, own, keys, np.uint32(number))
        jax.block_until_ready(state)

    return run


def product_rate(size: int = 2048, repeats: int = 10) -> float:
    """FLOP/s of a plain product of two float32 matrices: what no training step of this machine can exceed."""
    a = jnp.ones((size, size))
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()
    began = time.perf_counter()
    for _ in range(repeats):
        product(a, a).block_until_ready()
    return 2 * size**3 * repeats / (time.perf_counter() - began)


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


if __name__ == "__main__":
    print(_measure(sys.argv[1], int(sys.argv[2])))
