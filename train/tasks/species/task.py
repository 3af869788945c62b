"""The species task: excitatory (spiny) or inhibitory (aspiny) neurons across mouse and human, by DANN and alignment."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from spiketype.datasets.allen import table as allen
from spiketype.datasets.allen.species import Part, parts, usable
from spiketype.datasets.allen.table import DENDRITES, AllenTable
from spiketype.edge import progress
from spiketype.models.species import AlignedSvc
from spiketype.train import identity
from spiketype.train.config import Member
from spiketype.train.task import Experiment, Phase, Task, member_keys, of_files
from spiketype.train.tasks.species.config import METHODS, SpeciesConfig
from spiketype.train.tasks.species.judge import judge, species_table
from spiketype.train.tasks.species.model import SpeciesModel, evaluate, fit, predict
from spiketype.train.tasks.species.networks import Networks, domains_of, make_problem, member_data, network


def support_vectors(
    config: SpeciesConfig, table: AllenTable, divided: Sequence[Part]
) -> tuple[list[AlignedSvc], list[AlignedSvc]]:
    """Return the support vectors of each part, and those that estimate the human class frequencies."""
    with progress() as bar:
        each = bar.track(divided, description="support vectors")
        aligned = [fit(table, part, config.labels, config.seed) for part in each]
        if config.labels != "mouse":
            return aligned, aligned
        # Those know no human cell, but networks adapt to them.
        again = bar.track(divided, description="human class frequencies")
        return aligned, [fit(table, part, "mouse-to-human", config.seed) for part in again]


def prepare(config: SpeciesConfig) -> Experiment:
    """Load the cells, divide them, fit the support vectors, and set up a member for every part, seed and method."""
    table = usable(allen.load(allen.find(config.data), config.features), config.incomplete)
    divided = parts(table, config.labels, config.fold_count, config.repeats, config.seed)
    domains = tuple(domains_of(table, part) for part in divided)
    aligned, human = support_vectors(config, table, divided)
    seeds = range(config.seed, config.seed + config.seeds)
    members = tuple(Member(s, fold, m) for fold in range(len(divided)) for s in seeds for m in config.methods)
    weighted = [METHODS[str(m.variant)].weighted for m in members]
    prior = np.stack(
        [human[m.fold].prior[-1] if w else domains[m.fold].rate for m, w in zip(members, weighted, strict=True)]
    )
    seen = [
        member_data(table, divided[m.fold], domains[m.fold], str(m.variant), p)
        for m, p in zip(members, prior, strict=True)
    ]
    data = (jnp.asarray(table.spiny), jax.tree.map(lambda *each: np.stack(each), *seen))
    about = {
        "classes": list(DENDRITES),
        "features": list(table.feature_names),
        "members": [m._asdict() for m in members],
        "donors": sorted({table.donor_names[d] for part in divided for d in table.donor[part.fold.train]}),
        "adapted": sorted({int(i) for part in divided for i in table.specimen_id[part.human]}),
    }
    net = network(config)
    networks_of = partial(Networks, net, members, domains, prior)
    return Experiment(
        phases=(Phase("training", make_problem(config, net, table.x.shape[1]), lambda step: data, config.steps),),
        names=tuple(f"{m.variant}, part {m.fold}, seed {m.seed}" for m in members),
        keys=member_keys(members),
        batch=config.batch_size,
        judge=partial(judge, config, table, about, divided, aligned, networks_of),
        identity=identity.of(
            (identity.by_column(table.x),),
            (np.isnan(table.x), table.spiny, table.species, table.donor, table.specimen_id),
            (table.donor_names, table.feature_names),
            [(part.mouse, part.human, part.test) for part in divided],
        ),
    )


TASKS = {
    "species": Task(prepare, SpeciesModel.restore, of_files(evaluate), of_files(predict), species_table),
}
