"""The raphe task: serotonergic or not, from loose-seal spikes."""

from dataclasses import asdict
from functools import partial

import numpy as np

from spiketype.train.task import Experiment, Member, Phase, Task, member_keys
from spiketype.train.tasks.raphe import batches, data
from spiketype.train.tasks.raphe.config import PAPER, PAPER_SYNTHETIC, RapheTaskConfig
from spiketype.train.tasks.raphe.judge import judge
from spiketype.train.tasks.raphe.model import RapheModel, evaluate, predict
from spiketype.train.tasks.raphe.networks import problem
from spiketype.train.tasks.raphe.summary import cell_table


def prepare(config: RapheTaskConfig) -> Experiment:
    """Load (or simulate) the spikes, split them, and set up one member for every seed, fold and kernel width."""
    path = data.find_store(config)
    table = data.labelled(path)
    split = data.make_split(config, table)
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
        "spikes": asdict(data.spike_options(path)),
        "fingerprint": data.content(table),
    }
    drawn = batches.data(table, split, members, config.augment, config.balance)
    return Experiment(
        phases=(Phase("training", problem(config), lambda step: drawn, config.steps),),
        names=tuple(f"seed {m.seed}, {split.folds[m.fold].name}, width {m.variant}" for m in members),
        keys=member_keys(members, variant=True),
        batch=config.batch,
        judge=partial(judge, config, table, split, members, origin),
    )


TASKS = {
    "raphe": Task(
        config=RapheTaskConfig,
        presets={"paper": PAPER, "paper-synthetic": PAPER_SYNTHETIC},
        prepare=prepare,
        restore=RapheModel.restore,
        evaluate=evaluate,
        predict=predict,
        table=cell_table,
    )
}
