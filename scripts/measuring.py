"""What several subjects of the benchmark measure with: steps of the loop, and the rate of a plain product."""

import socket
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from spiketype.edge import PyTree
from spiketype.train import loop, processes
from spiketype.train.task import Experiment

Results = dict[str, float]  # what a subject has measured, with the unit in the name


class Training(NamedTuple):
    """What steps are taken of.

    Attributes:
        problem: of the loop.
        keys: one a member.
        batch: samples, which devices share.
        common, member: the data, which stay the same.
    """

    problem: loop.Problem
    keys: jax.Array
    batch: int
    common: PyTree
    member: PyTree

    @classmethod
    def of(cls, experiment: Experiment, phase: int = 0) -> "Training":
        """Return a phase of an experiment."""
        chosen = experiment.phases[phase]
        return cls(chosen.problem, experiment.keys, experiment.batch, *chosen.data(1))


def stepper(training: Training) -> Callable[[int], None]:
    """Return what makes so many calls of the loop's step, of the problem's interval each, and waits for them."""
    problem, keys, batch, common, member = training
    mesh = loop.member_mesh(len(keys), batch)
    processes.connect(mesh)
    everywhere, by_member = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("member"))
    step, state, number = loop.make_step(problem, mesh), loop.start(problem, keys, mesh), 1
    common = processes.place(common, everywhere)  # once, as the loop does
    member, keys = processes.place((member, keys), by_member)

    def run(calls: int) -> None:
        nonlocal state, number
        for _ in range(calls):
            state, _ = step(state, common, member, keys, processes.place(np.uint32(number), everywhere))
            number += problem.interval
        jax.block_until_ready(state)

    return run


def seconds_each(run: Callable[[int], None], times: int) -> float:
    """Return the seconds that each of so many steps or calls takes."""
    began = time.perf_counter()
    run(times)
    return (time.perf_counter() - began) / times


def product_rate(size: int = 2048, repeats: int = 10) -> float:
    """Return FLOP/s of a plain product of two float32 matrices: what no training step of this machine can exceed."""
    a = jnp.ones((size, size))
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()

    def run(times: int) -> None:
        for _ in range(times):
            product(a, a).block_until_ready()

    return 2 * size**3 / seconds_each(run, repeats)


def free_port() -> int:
    """Return a port of this machine at which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return int(listener.getsockname()[1])
