"""What a training step costs whose batch is simulated in it, beside one that draws its batch from memory."""

import statistics
import time
from collections.abc import Callable

import jax
import numpy as np

from spiketype.train import loop
from spiketype.train.task import Experiment
from spiketype.train.tasks.eap.config import EapTaskConfig
from spiketype.train.tasks.eap.task import prepare


def benchmark(rounds: int = 5, steps: int = 10, config: EapTaskConfig = EapTaskConfig(split="random")) -> None:  # noqa: B008
    """Whole steps of a run on an EAP store, with and without --stream.

    Args:
        rounds: Times that each is measured, in turn.
        steps: Steps in a round.
        config: Options of the run.
    """
    given = vars(config)
    runs = [stepper(prepare(EapTaskConfig(**{**given, "stream": stream})), config.batch) for stream in (False, True)]
    for run in runs:
        run(3)
    pairs = [tuple(timed(run, steps) for run in runs) for _ in range(rounds)]
    memory_s, stream_s = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    simulated = config.batch / (stream_s - memory_s) if stream_s > memory_s else np.inf
    print(
        f"{config.features}, batches of {config.batch}: from memory {memory_s:.4f} s a step, streamed {stream_s:.4f} s"
    )
    print(f"ratio, median of {rounds}: {ratio:.1f}; {simulated:.0f} accepted EAPs a second beside training")


def timed(run: Callable[[int], None], steps: int) -> float:
    """Seconds a step."""
    began = time.perf_counter()
    run(steps)
    return (time.perf_counter() - began) / steps


def stepper(experiment: Experiment, batch: int) -> Callable[[int], None]:
    """So many steps of the first phase of an experiment, waited for."""
    phase, members = experiment.phases[0], len(experiment.names)
    mesh = loop.member_mesh(members, batch)
    step, state, number = loop.make_step(phase.problem, mesh), loop.start(phase.problem, experiment.keys, mesh), 0
    common, own = phase.data(1)

    def run(steps: int) -> None:
        nonlocal state, number
        for _ in range(steps):
            number += 1
            state, _ = step(state, common, own, experiment.keys, np.uint32(number))
        jax.block_until_ready(state)

    return run
