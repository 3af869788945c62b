"""The raphe task: serotonergic or not, from loose-seal spikes."""

from dataclasses import asdict
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from spiketype.datasets import splits, store
from spiketype.datasets.raphe import batches, read
from spiketype.datasets.raphe.table import RapheTable
from spiketype.train import identity
from spiketype.train.config import Member
from spiketype.train.task import Experiment, Phase, Task, member_keys, of_files
from spiketype.train.tasks.raphe.config import RapheTaskConfig
from spiketype.train.tasks.raphe.judge import judge
from spiketype.train.tasks.raphe.model import RapheModel, evaluate, predict
from spiketype.train.tasks.raphe.networks import problem
from spiketype.train.tasks.raphe.summary import cell_table

SPLITS = {"day": "group", "leave-one-day-out": "leave-one-out", "cell": "group", "spike": "random"}
SPIKE_TEST = 0.15  # published: 70 % of the spikes train, 15 % validate, 15 % test


def find_store(config: RapheTaskConfig) -> Path:
    """Return the store that a run uses: the one given, or that of its options in the cache, simulated if missing."""
    if config.data is not None:
        return config.data
    # Imported here: training on a store that exists needs no simulator.
    from spiketype.simulator.raphe.config import RapheConfig
    from spiketype.simulator.raphe.generate import generate

    wanted = RapheConfig(
        seed=config.store_seed,
        copies=config.copies,
        most_spikes=config.most_spikes,
        confound=config.confound,
        contrast=config.contrast,
    )
    path = store.cached("raphe", f"seed{config.store_seed}", wanted)
    return path if path.exists() else generate(wanted, path)


def make_split(config: RapheTaskConfig, table: RapheTable) -> splits.Split:
    """Divide the spikes by what the configuration holds out."""
    by_day = (table.day, table.day_names, "day")
    group, names, word = by_day if "day" in config.split else (table.cell, table.cell_names, "cell")
    kind = SPLITS[config.split]
    return splits.make(
        kind,
        table.label,
        group,
        names,
        config.folds,
        config.seed,
        SPIKE_TEST,
        by=word,
        class_names=table.class_names,
        instead="cell" if word == "day" else "spike",
    )


def prepare(config: RapheTaskConfig) -> Experiment:
    """Load (or simulate) the spikes, split them, and set up one member for every seed, fold and kernel width."""
    path = find_store(config)
    table = read.labelled(path)
    split = make_split(config, table)
    members = [
        Member(seed, fold, width)
        for seed in range(config.seed, config.seed + config.seeds)
        for fold in range(len(split.folds))
        for width in config.widths
    ]
    days = [[table.day_names[day] for day in np.unique(table.day[fold.train])] for fold in split.folds]
    origin = {
        "classes": list(table.class_names),
        "members": [
            {"seed": m.seed, "fold": m.fold, "width": m.variant, "trained_on_days": days[m.fold]} for m in members
        ],
        "split": config.split,
        "optimistic": split.optimistic,
        "spikes": asdict(read.spike_options(path)),
        "read": asdict(read.read_options(path)),
    }
    common, part = batches.parts(table, split.folds, [m.fold for m in members], config.augment, config.balance)
    drawn = common, (part, jnp.array([m.variant for m in members], jnp.int32))
    return Experiment(
        phases=(Phase("training", problem(config), lambda step: drawn, config.steps),),
        names=tuple(f"seed {m.seed}, {split.folds[m.fold].name}, width {m.variant}" for m in members),
        keys=member_keys(members, variant=True),
        batch=config.batch,
        judge=partial(judge, config, table, split, members, origin),
        identity=identity.of(
            (table.spike_pA, table.noise_pA),
            (table.label, table.cell, table.day, table.noise_cell, table.atypical),
            (table.cell_names, table.day_names),
            [(fold.train, fold.test) for fold in split.folds],
        ),
    )


TASKS = {
    "raphe": Task(
        prepare=prepare,
        restore=RapheModel.restore,
        evaluate=of_files(evaluate),
        predict=of_files(predict),
        table=cell_table,
    )
}
