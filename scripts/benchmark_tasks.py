"""Seconds a training step of every task with its default settings, of one training and of those of a run at once."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import synthetic
from measuring import Results, Training, seconds_each, stepper

from spiketype.train.tasks.cluster.config import ClusterConfig
from spiketype.train.tasks.cluster.task import prepare
from spiketype.train.tasks.eap.config import EapTaskConfig
from spiketype.train.tasks.raphe.config import RapheTaskConfig
from spiketype.train.tasks.species.config import SpeciesConfig
from spiketype.train.tasks.subclass.config import SubclassConfig
from spiketype.train.tasks.unit.config import UnitConfig

FEATURES, TIMES = 2, 56  # images of a sample: amplitude and width, or the waveform of the default store
DIGITS = ClusterConfig(data=Path("digits"), clusters=10)


def benchmark(rounds: int = 3, calls: int = 10) -> Results:
    """Steps of each task's own problem, on random arrays of the sizes of its data; of clustering on the digits.

    Args:
        rounds: Times that each is measured, in turn; the median counts.
        calls: Of the jitted step in a round; one of clustering makes several steps.
    """
    found = {}
    print(f"{'task':>22} {'batch':>5} {'1 training':>10} {'a run at once':>17}; ms a step")
    for name, make, members in tasks():
        trainings = {count: make(count) for count in sorted({1, members})}
        runs = {count: stepper(training) for count, training in trainings.items()}
        for run in runs.values():
            run(2)  # compiles
        each = [[seconds_each(run, calls) for run in runs.values()] for _ in range(rounds)]
        interval = trainings[1].problem.interval
        ms = {n: 1e3 * statistics.median(s) / interval for n, s in zip(runs, zip(*each, strict=True), strict=True)}
        print(f"{name:>22} {trainings[1].batch:>5} {ms[1]:10.3f} {ms[members]:10.3f} ({members:>2})", flush=True)
        found |= {f"{name.replace(' ', '_')}_{count}_at_once_ms_per_step": value for count, value in ms.items()}
    return found


def tasks() -> Iterator[tuple[str, Callable[[int], Training], int]]:
    """Yield name, number of trainings -> training, and how many a run with default settings has at once."""
    yield "eap features", lambda n: synthetic.eap(EapTaskConfig(), FEATURES, n), 1
    yield "eap waveform", lambda n: synthetic.eap(EapTaskConfig(features="waveform"), TIMES, n), 1
    raphe, subclass, species, unit = RapheTaskConfig(), SubclassConfig(), SpeciesConfig(), UnitConfig()
    yield "raphe", lambda n: synthetic.raphe(raphe, n), raphe.folds * len(raphe.widths) * raphe.seeds
    folds = subclass.folds * subclass.repeats
    yield "subclass", lambda n: synthetic.subclass(subclass, members=n), folds * subclass.seeds
    yield "species", lambda n: synthetic.species(species, n), species.fold_count * len(species.methods) * species.seeds
    yield "unit", lambda n: synthetic.unit(unit, n), unit.folds * unit.seeds
    for phase, name in enumerate(("cluster pretraining", "cluster clustering")):
        yield name, lambda n, phase=phase: clustering(n, phase), DIGITS.seeds


def clustering(members: int, phase: int) -> Training:
    """Return a phase of clustering the digits that never ends early."""
    return Training.of(prepare(replace(DIGITS, seeds=members, tolerance=0.0)), phase)
