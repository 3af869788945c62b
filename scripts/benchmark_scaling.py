"""How a training step scales over virtual devices of one process, and over processes of one device each."""

import os
import statistics
import subprocess
import sys
from dataclasses import replace

import jax
from measuring import Results, free_port, seconds_each, stepper
from synthetic import eap

from spiketype.edge import UserError, check_platform, cores, guard
from spiketype.train import asked, last_words, processes, watch
from spiketype.train.tasks.eap.config import PAPER, EapTaskConfig

PUBLISHED, IMAGES = EapTaskConfig(**PAPER), 2
KINDS = ("devices", "processes")
SCALINGS = ("strong", "weak")


def benchmark(
    rounds: int = 3,
    steps: int = 10,
    batch: int = PUBLISHED.batch,
    devices: tuple[int, ...] = (2, 4, 8),
    processes: tuple[int, ...] = (2, 4),
) -> Results:
    """Whole steps of the published network beside those of one device: the same batch shared, or as much for each.

    Every device computes in one thread and has a core to itself, as long as there are enough. Efficiency is the time of
    one device over that of n, strong scaling by n. Where n devices share fewer cores it can only fall: the last column.

    Args:
        rounds: Times that each is measured, in turn, in processes of their own.
        steps: Steps in a round.
        batch: Samples in a step of one device, and of all in strong scaling.
        devices: Numbers of virtual devices in one process.
        processes: Numbers of processes that meet on loopback, as of --distributed.
    """
    wanted = [(kind, n, s) for kind, ns in zip(KINDS, (devices, processes), strict=True) for n in ns for s in SCALINGS]
    taken: list[tuple[float, list[float]]] = []
    for _ in range(rounds):
        alone = _apart("devices", 1, batch, steps)
        taken.append((alone, [_apart(kind, n, batch * (n if s == "weak" else 1), steps) for kind, n, s in wanted]))
    return _report(wanted, taken)


def _report(wanted: list[tuple[str, int, str]], taken: list[tuple[float, list[float]]]) -> Results:
    alone_s = statistics.median(alone for alone, _ in taken)
    print(f"{cores()} cores: more devices or processes than that share them, and their efficiency can only fall")
    print(f"1 device: {alone_s:.4f} s a step")
    print(f"{'':>11} {'scaling':>7} {'s a step':>8} {'efficiency':>10} {'at best':>7}")
    found = {"cores": float(cores()), "1_device_s_per_step": alone_s}
    for k, (kind, n, scaling) in enumerate(wanted):
        seconds = statistics.median(each[k] for _, each in taken)
        efficiency = statistics.median(alone / each[k] for alone, each in taken) / (n if scaling == "strong" else 1)
        print(f"{n:>1} {kind:>9} {scaling:>7} {seconds:8.4f} {efficiency:10.2f} {min(1, cores() / n):7.2f}")
        name = f"{n}_{kind}_{scaling}"
        found |= {f"{name}_s_per_step": seconds, f"{name}_efficiency": efficiency}
    return found


def _apart(kind: str, count: int, batch: int, steps: int) -> float:
    """Return seconds a step, measured in one process with so many devices, or in so many processes."""
    several = kind == "processes"
    flags = f"--xla_force_host_platform_device_count={1 if several else count} --xla_cpu_multi_thread_eigen=false"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    given = [f"localhost:{free_port()}", str(count)] if several else []
    started = [
        subprocess.Popen(
            [sys.executable, __file__, str(batch), str(steps), str(count), *given, *[str(number)] * several],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(count if several else 1)
    ]
    try:
        told = [process.communicate()[0] for process in started]
    finally:
        for process in started:
            process.kill()
    if any(process.returncode for process in started):
        raise UserError(f"{count} {kind} did not come to an end, see above: repeat the command")
    return float(told[0].splitlines()[-1])  # after words of the library by which they meet


def _measure(batch: int, steps: int, count: int, given: list[str]) -> None:
    """Take steps in this process, which is one of several where `given` are the options of --distributed."""
    _stay(count, int(given[-1]) if given else None)
    where = asked.meeting(bool(given), dict(zip(asked.MEETING, given or [None] * 3, strict=True)))
    if where is not None:
        processes.join(where)
    check_platform()
    training = eap(replace(PUBLISHED, batch=batch), IMAGES)
    if training.batch % jax.device_count():
        raise UserError(f"{jax.device_count()} devices cannot share batches of {batch} equally: give another --batch")
    run = stepper(training)
    run(3)
    seconds = seconds_each(run, steps)
    if processes.first():
        print(seconds)
    watch.finish()


def _stay(count: int, number: int | None) -> None:
    """Stay on as many cores as there are devices here: on one of them, if this is one process of several."""
    if not hasattr(os, "sched_setaffinity"):  # macOS
        return
    own = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, own[:count] if number is None else {own[number % len(own)]})


if __name__ == "__main__":
    with last_words.heard(), watch.ending(), guard():
        _measure(*map(int, sys.argv[1:4]), sys.argv[4:])
