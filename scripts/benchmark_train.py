"""Training steps a second of the published network: our loop, PyTorch, and eight seeds at once."""

import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from measuring import Results, seconds_each, stepper
from synthetic import CELL_MODELS, eap, eaps

from spiketype.train.tasks.eap.config import PAPER, EapTaskConfig

PUBLISHED, IMAGES = EapTaskConfig(**PAPER), 2


def benchmark(rounds: int = 3, steps: int = 20) -> Results:
    """Whole steps of 1000 samples: drawing the batch, forward, backward, dropout 0.7, Adam.

    Each is measured in a process of its own, in turn: in one process, the threads of two libraries wait for each other.
    Where JAX and PyTorch find a GPU, both compute on it.

    Args:
        rounds: Times that each is measured.
        steps: Steps in a round.
    """
    taken = [[_apart(which, steps) for which in ("1", "pytorch", "bf16")] for _ in range(rounds)]
    one, half = (statistics.median(each[k] for each in taken) for k in (0, 2))
    found = {"ours_s_per_step": one}
    print(f"ours {one:.4f} s a step")
    if taken[0][1] is None:
        print("PyTorch: left out, it is not installed")
    else:
        theirs_s = statistics.median(b for _, b, _ in taken)
        print(f"PyTorch {theirs_s:.4f} s a step")
        ratio = statistics.median(b / a for a, b, _ in taken)
        print(f"steps per second, ratio to PyTorch, median of {rounds}: {ratio:.2f} (wanted: 1)", flush=True)
        found |= {"PyTorch_s_per_step": theirs_s, "ratio_to_PyTorch": ratio}
    gain = statistics.median(a / c for a, _, c in taken)
    print(f"ours with --precision bf16 {half:.4f} s a step: {gain:.2f} times the steps of float32", flush=True)
    found |= {"bf16_s_per_step": half, "ratio_of_bf16_to_float32": gain}
    eight = statistics.median(_apart("8", max(1, steps // 4)) for _ in range(rounds))
    print(f"8 seeds at once {eight:.3f} s a step, 8 runs in turn {8 * one:.3f} s: ratio {8 * one / eight:.2f}")
    return found | {"8_seeds_at_once_s_per_step": eight, "ratio_of_8_in_turn_to_8_at_once": 8 * one / eight}


def _apart(which: str, steps: int) -> float | None:
    """Seconds a step in a fresh process: PyTorch's (None where absent), ours in bf16, or ours with so many members."""
    done = subprocess.run([sys.executable, __file__, which, str(steps)], capture_output=True, text=True, check=True)
    return None if done.stdout.strip() == "None" else float(done.stdout)


def _measure(which: str, steps: int) -> float | None:
    if which == "pytorch":
        run = pytorch(*eaps(IMAGES))
    elif which == "bf16":
        run = stepper(eap(replace(PUBLISHED, precision="bf16"), IMAGES, 1))
    else:
        run = stepper(eap(PUBLISHED, IMAGES, int(which)))
    if run is None:
        return None
    run(3)
    return seconds_each(run, steps)


def pytorch(x: np.ndarray, y: np.ndarray) -> Callable[[int], None] | None:
    """The same network and step in PyTorch, on a GPU if it finds one; None where it is not installed."""
    try:
        import torch
        from torch import nn
    except ImportError:
        return None
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pool = nn.MaxPool2d(2, ceil_mode=True)
    blocks = [nn.Conv2d(2, 32, 3, padding=1), nn.ReLU(), pool, nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), pool]
    net = nn.Sequential(
        *blocks, nn.Flatten(), nn.Linear(576, 1024), nn.ReLU(), nn.Dropout(0.7), nn.Linear(1024, CELL_MODELS)
    ).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-4)
    images, labels = torch.tensor(x.transpose(0, 3, 1, 2).copy()).to(device), torch.tensor(y).long().to(device)

    def run(steps: int) -> None:
        for _ in range(steps):
            index = torch.randint(len(images), (PUBLISHED.batch,), device=device)
            loss = nn.functional.cross_entropy(net(images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


if __name__ == "__main__":
    print(_measure(sys.argv[1], int(sys.argv[2])))
