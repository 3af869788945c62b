"""Results of our models, and of what was published, on a shared benchmark: python scripts/benchmark_ours.py NAME.

Every model is trained by a real run on exactly the benchmark's splits (a run whose own division is another is refused),
with the defaults of its task, or with the published protocol; what the run predicts is judged by `spiketype bench
score --save`, and so are the baselines that the run has beside its network. Runs that are finished are not repeated.
Of real units there is no run: the model that comes with the program is fitted anew without the tested laboratory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import benchmark_baselines
import numpy as np
import pandas as pd
import reproduce_real_units
import train_units
import tyro

from spiketype.bench import command
from spiketype.datasets.allen import cells, species, splits
from spiketype.datasets.allen.table import find, load
from spiketype.datasets.benchmarks import divide, folder, specification
from spiketype.datasets.benchmarks.folder import Made
from spiketype.datasets.raphe import read
from spiketype.datasets.splits import Fold
from spiketype.edge import UserError, guard
from spiketype.simulator.eap.generate import cached
from spiketype.train import runs
from spiketype.train.config import TaskConfig
from spiketype.train.execute import once
from spiketype.train.tasks.cluster import config as cluster
from spiketype.train.tasks.eap import config as eap
from spiketype.train.tasks.raphe import config as raphe
from spiketype.train.tasks.raphe.networks import shares
from spiketype.train.tasks.raphe.task import make_split
from spiketype.train.tasks.species import config as dann
from spiketype.train.tasks.subclass import config as lspin
from spiketype.units import training
from spiketype.units.training import Labelled

Models = Mapping[str | None, str]  # model in a run folder, None for the run's own -> the method in the table
EAP_BASELINES: Models = {"majority class": "majority class", "logistic regression": "logistic regression on the images"}
EAP_WAVEFORMS: Models = {"logistic regression": "logistic regression on the waveforms"}
EAP_TASKS = {"m_type": "mtype", "ei": "binary", "um": "location"}
RAPHE: Models = {
    None: "spiketype raphe: consensus and shape, calibrated",
    "consensus, published mean": "spiketype raphe: networks, mean as published",
    "UDI alone": "UDI alone",
    "shape features, logistic": "shape features, logistic",
    "shape, rate, regularity: boosted trees": "shape, rate, regularity: boosted trees",
}
ALLEN_BASELINES: Models = {"SVC": "SVC", "random forest": "random forest", "boosted trees": "boosted trees"}
SUBCLASS: Models = {
    None: "spiketype subclass: support vectors and networks, with action potentials",
    "support vectors and networks": "spiketype subclass: support vectors and networks",
    "LSPIN": "LSPIN (defaults)",
    **ALLEN_BASELINES,
}
SPECIES: Models = {
    None: "spiketype species: aligned SVC",
    "DANN": "DANN (defaults)",
    "aligned DANN": "aligned DANN",
    "network": "network on mouse cells alone",
    **ALLEN_BASELINES,
}


class Trained(NamedTuple):
    """Runs that together call every row of a question, and what is judged of them.

    Attributes:
        name: of the run folder; of several folds a number follows.
        configs: of the runs, one a fold, or one for all folds.
        models: what is judged.
    """

    name: str
    configs: tuple[TaskConfig, ...]
    models: Models


def of_eap(made: Made, place: Path, question: str) -> Iterator[Trained]:
    """Yield the network of the task with its defaults, on images and, for classes, on waveforms; and as published.

    As published but for the split, which is the question's.
    """
    about = made.specification.questions[question]
    files = sorted((place / folder.SPLITS).glob(f"{question}.json")) or sorted(
        (place / folder.SPLITS).glob(f"{question}-fold*.json")
    )
    task = EAP_TASKS[about.label]
    plain = eap.EapTaskConfig(task=task, data=place / folder.DATA, split="lists", lists=files[0])  # type: ignore[arg-type]
    plain = replace(plain, rotation=made.specification.generator.options["rotation"])
    ours = tuple(replace(plain, lists=file) for file in files)
    others = {} if task == "location" else EAP_BASELINES
    yield Trained("ours", ours, {None: f"spiketype {task}", **others})
    if task != "location":
        waveforms = tuple(replace(each, features="waveform") for each in ours)
        yield Trained("waveforms", waveforms, {None: f"spiketype {task} on waveforms", **EAP_WAVEFORMS})
    theirs = eap.PAPER | {"split": "lists"}
    published = tuple(replace(each, **theirs) for each in ours)  # type: ignore[arg-type]
    yield Trained("published", published, {None: "protocol of Buccino et al. 2018"})


def of_raphe(made: Made, place: Path, question: str) -> Iterator[Trained]:
    """Yield the consensus of the task; one run has both questions, of cells and of spikes."""
    config = raphe.RapheTaskConfig(
        data=place / folder.DATA, confound=bool(made.specification.generator.options["confound"])
    )
    check_same(made, question, make_split(config, read.labelled(place / folder.DATA)).folds)
    yield Trained("cells-days-ours", (config,), RAPHE)


def of_subclasses(made: Made, data: Path | None, question: str) -> Iterator[Trained]:
    """Yield the models of the task, and LSPIN as published."""
    ours = lspin.SubclassConfig(data=data, repeats=1)
    folds, _ = splits.make("donor", cells.mouse(find(data), 41, None), ours.folds, 1, ours.seed)
    check_same(made, question, folds[0])
    yield Trained("ours", (ours,), SUBCLASS)
    theirs = replace(ours, **(lspin.PAPER | {"split": "donor"}))
    yield Trained("published", (theirs,), {"LSPIN": "LSPIN as published (Ophir et al. 2024)"})


def of_species(made: Made, data: Path | None, question: str) -> Iterator[Trained]:
    """Yield the models of the task, and the domain-adversarial network as published."""
    ours = dann.SpeciesConfig(data=data)
    parts = species.parts(species.usable(load(find(data)), ours.incomplete), ours.labels, 1, 1, ours.seed)
    check_same(made, question, [part.fold for part in parts])
    yield Trained("ours", (ours,), SPECIES)
    # Published: cells that lack a feature are dropped, and with them every human one; here all must be called.
    theirs = replace(ours, **(dict(dann.PRESETS["paper"]) | {"incomplete": "impute"}), baselines=())
    yield Trained(
        "published", (theirs,), {"DANN": "DANN as published (Ophir et al. 2024), medians for what is missing"}
    )


def of_digits() -> Iterator[Trained]:
    """Yield embedded clustering with the settings of docs/results/clustering.md, and DEC as published."""
    ours = cluster.ClusterConfig(data=Path("digits"), clusters=10, augment="image")
    yield Trained("ours", (ours,), {None: "spiketype cluster: consensus of five seeds"})
    plain = replace(ours, augment="none", **cluster.PLAIN)
    yield Trained("plain", (plain,), {None: "DEC (Xie et al. 2016), smaller layers: consensus of five seeds"})


def check_same(made: Made, question: str, folds: Sequence[Fold]) -> None:
    """Refuse a run whose folds are not those of the question, in any order.

    Raises:
        UserError: they are others.
    """

    def names(rows: np.ndarray) -> tuple[str, ...]:
        return tuple(sorted(made.samples["id"][rows].tolist()))

    theirs = {(names(train), names(test)) for train, test in divide.sides(made.samples[question])}
    if {(names(fold.train), names(fold.test)) for fold in folds} != theirs:
        raise UserError(f"{made.specification.name}, {question}: the run would divide otherwise than the benchmark")


def of_spikes(run: Path, made: Made, question: str) -> pd.DataFrame:
    """Return the mean vote of the networks of a raphe run for every spike, by those that did not see its fold."""
    _, config, model = runs.load_model(run)
    table = read.labelled(config.data)
    yes = np.full(len(table.cell), np.nan)
    for number, fold in enumerate(make_split(config, table).folds):
        mine = [(k, m["width"]) for k, m in enumerate(model.origin["members"]) if m["fold"] == number]
        yes[fold.test] = shares(config, model.variables, mine, table.spike_pA[fold.test]).mean(axis=0)
    if runs.read_summary(run).get("void"):
        yes[:] = 0.5  # no call, as of its cells
    frame = pd.DataFrame({"id": made.samples["id"], "p_serotonergic": yes, "p_non-serotonergic": 1 - yes})
    return frame[made.samples[question] > 0]


def of_units(made: Made, data: Path | None, question: str) -> pd.DataFrame:
    """Return what units-v1 says of the tested laboratory, trained without it as `scripts/train_units.py --without`."""
    shape, samples = benchmark_baselines.units(made, data), made.samples
    sets = []
    for name in np.unique(samples["laboratory"]):
        rows = samples["laboratory"] == name
        _, animal = np.unique(samples["animal"][rows], return_inverse=True)
        sets.append(Labelled(str(name), training.take(shape, rows), samples["ei"][rows] == "excitatory", animal))
    tests = samples[question] == divide.TEST
    (tested,) = [each for each in sets if each.name == samples["laboratory"][tests][0]]
    others = [each for each in sets if each is not tested]
    simulation = training.simulated(cached(train_units.STORE, "units"))
    yes = 1 / (1 + np.exp(-reproduce_real_units.calibrated(others, simulation, tested)))
    return pd.DataFrame({"id": samples["id"][tests], "p_excitatory": yes, "p_inhibitory": 1 - yes})


def plan(made: Made, place: Path, data: Path | None, question: str) -> Iterator[Trained]:
    """Yield what is run for a question, of a benchmark that is not of units."""
    kind = made.specification.generator.kind
    if kind == "eap":
        yield from of_eap(made, place, question)
    elif kind == "raphe":
        yield from of_raphe(made, place, question)
    elif kind == "allen-subclass":
        yield from of_subclasses(made, data, question)
    elif kind == "allen-species":
        yield from of_species(made, data, question)
    else:
        yield from of_digits()


def train_and_score(
    name: str, made: Made, place: Path, question: str, trained: Trained, out: Path, results: Path
) -> None:
    """Train what is not finished, and save the result of each model."""
    several = len(trained.configs) > 1
    prefix = trained.name if trained.name.startswith("cells-days") else f"{question}-{trained.name}"
    folders = tuple(out / name / (f"{prefix}-{k + 1}" if several else prefix) for k in range(len(trained.configs)))
    for config, run in zip(trained.configs, folders, strict=True):
        once(config, run)
    models, given = trained.models, folders
    if question == "spikes-days":
        given = (folders[0] / "spikes.csv",)
        of_spikes(folders[0], made, question).to_csv(given[0], index=False)
        models = {None: "spiketype raphe: networks, mean vote of each spike"}
    for model, method in models.items():
        command.score_command(name, given, question, place, model, True, method, results)


def main(
    name: tyro.conf.Positional[str],
    made: Path | None = None,
    out: Path = Path("runs/benchmarks"),
    data: Path | None = None,
    only: tuple[str, ...] = (),
    published: bool = True,
    results: Path = command.RESULTS,
) -> None:
    """Train what is not finished yet, and save every result.

    Args:
        name: Of the benchmark.
        made: Its folder; by default that in the cache.
        out: Folder of the runs.
        data: Folder of the Allen tables, as of --task subclass; of units-real, that of its sources.
        only: Questions; by default all.
        published: Also run published protocols, which take up to ten times as long.
        results: Folder of the results.
    """
    place = (made or folder.place(specification.load(name))).absolute()
    benchmark = folder.read(place, name)
    for question in only or tuple(benchmark.specification.questions):
        if benchmark.specification.generator.kind == "units":
            path = out / name / f"{question}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            of_units(benchmark, data, question).to_csv(path, index=False)
            method = "spiketype units-v1, trained without the tested set"
            command.score_command(name, (path,), question, place, None, True, method, results)
            continue
        for trained in plan(benchmark, place, data, question):
            if trained.name == "published" and not published:
                continue
            train_and_score(name, benchmark, place, question, trained, out, results)


if __name__ == "__main__":
    with guard():
        tyro.cli(main)
