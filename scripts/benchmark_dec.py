"""Embedded clustering: seconds an epoch beside clustpy's, and twenty restarts beside one."""

import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from measuring import Results, Training, product_rate, seconds_each, stepper

from spiketype.train.tasks.cluster.config import PLAIN, ClusterConfig
from spiketype.train.tasks.cluster.task import prepare

PEER_HIDDEN, BATCH = (500, 500, 2000), 256
UNITS = 1797


def benchmark(rounds: int = 3, epochs: int = 10, restarts: int = 20) -> Results:
    """Time an epoch of plain DEC on the digits with the published network, ours and clustpy's; and restarts.

    Each is measured in a process of its own, in turn, without compilation: threads of two libraries would wait for each
    other. An epoch is as many batches of 256 as the 1797 units fill, and ours has a new target in each. The floor is
    the time of the matrix products alone at the rate of a plain product on this machine.

    Args:
        rounds: Times that each is measured.
        epochs: Epochs in a round.
        restarts: Trainings at once, with the network that is the default.
    """
    ours = statistics.median(_apart("ours", epochs) for _ in range(rounds))
    rate = product_rate()
    floor = _products(PEER_HIDDEN) / rate
    found = {"ours_s_per_epoch": ours, "floor_s_per_epoch": floor, "product_GFLOP_per_s": rate / 1e9}
    print(f"ours {ours:.3f} s an epoch, 64-500-500-2000-10; floor {floor:.3f} s at {rate / 1e9:.0f} GFLOP/s")
    if importlib.util.find_spec("clustpy") is None:
        print("clustpy: left out, it is not installed")
    else:
        theirs = statistics.median(_apart("clustpy", epochs) for _ in range(rounds))
        print(f"clustpy {theirs:.3f} s an epoch: ratio {theirs / ours:.1f} (wanted: 10)", flush=True)
        found |= {"clustpy_s_per_epoch": theirs, "ratio_to_clustpy": theirs / ours}
    one, many = (statistics.median(_apart(str(n), max(1, epochs // 2)) for _ in range(rounds)) for n in (1, restarts))
    print(f"default network: 1 training {one:.3f} s an epoch, {restarts} at once {many:.3f} s:", end=" ")
    floor = restarts * _products(ClusterConfig().hidden) / rate
    print(f"ratio {many / one:.1f} (wanted: 4; floor {floor / one:.1f})")
    found |= {"default_network_s_per_epoch": one, f"{restarts}_restarts_s_per_epoch": many}
    return found | {f"ratio_of_{restarts}_restarts_to_1": many / one, "floor_of_that_ratio": floor / one}


def _apart(which: str, epochs: int) -> float:
    command = [sys.executable, __file__, which, str(epochs)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def _products(hidden: tuple[int, ...]) -> float:
    """Return the FLOP of the encoder's products in an epoch: steps forward and backward, a new target's forward."""
    widths = (64, *hidden, 10)
    return sum(a * b for a, b in pairwise(widths)) * (6 * BATCH * -(-UNITS // BATCH) + 2 * UNITS)


def ours(members: int, hidden: tuple[int, ...]) -> Callable[[int], None]:
    """Return what runs epochs of the clustering phase: the loop's own calls, one an epoch with its new target."""
    steps = -(-UNITS // BATCH)
    plain = replace(ClusterConfig(), **PLAIN)
    config = replace(plain, data=Path("digits"), clusters=10, hidden=hidden, seeds=members, batch=BATCH, interval=steps)
    experiment = prepare(replace(config, tolerance=0.0))
    return stepper(Training.of(experiment, -1))


def clustpy() -> Callable[[int], None]:
    """Return what runs the same epochs by clustpy's DEC, its autoencoder not trained, its own settings otherwise."""
    from clustpy.deep import DEC
    from clustpy.deep.neural_networks import FeedforwardAutoencoder
    from sklearn.datasets import load_digits

    x = (load_digits().data / 16).astype(np.float32)

    def run(epochs: int) -> None:
        network = FeedforwardAutoencoder([64, *PEER_HIDDEN, 10])
        DEC(10, batch_size=BATCH, neural_network=network, pretrain_epochs=0, clustering_epochs=epochs).fit(x)

    return run


def _measure(which: str, epochs: int) -> float:
    if which == "clustpy":
        run = clustpy()
        seconds = []
        for count in (1, 1 + epochs):  # what is not an epoch, such as k-means, is in both
            began = time.perf_counter()
            run(count)
            seconds.append(time.perf_counter() - began)
        return (seconds[1] - seconds[0]) / epochs
    run = ours(1, PEER_HIDDEN) if which == "ours" else ours(int(which), ClusterConfig().hidden)
    run(2)
    return seconds_each(run, epochs)


if __name__ == "__main__":
    print(_measure(sys.argv[1], int(sys.argv[2])))
