"""The three tasks on EAP stores: their data, problem and experiment."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from spiketype.datasets import batches, eap, splits, store
from spiketype.datasets.eap import EapTable, Inputs
from spiketype.datasets.splits import Split
from spiketype.edge import Json, PyTree, UserError
from spiketype.location import Location
from spiketype.models.augment import quarter_turns
from spiketype.models.cnn import CNN
from spiketype.models.losses import cross_entropy, squared_error
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.probes import probe
from spiketype.train import identity, processes
from spiketype.train.config import Member
from spiketype.train.identity import Identity
from spiketype.train.loop import Problem, step_keys
from spiketype.train.processes import Spread
from spiketype.train.task import Data, Experiment, Phase, Task, member_keys, of_members
from spiketype.train.tasks.eap import judge, model
from spiketype.train.tasks.eap.config import EapTaskConfig
from spiketype.train.tasks.eap.model import LENGTH_UM, EapModel, classes_of, network
from spiketype.train.tasks.eap.origin import made, tell_unused
from spiketype.train.tasks.eap.streamed import Sampler, streamed

PIECE = 200  # samples whose activations stay in a core's cache: faster on a CPU than a large batch at once
TURNABLE = ("xrot", "3drot")  # sets whose distribution a quarter turn of the array leaves as it is


def find_store(config: EapTaskConfig) -> Location:
    """Return the store that a run uses: the one given, or that of its options in the cache, simulated where missing."""
    if config.data is not None:
        tell_unused(config, config.data)
        return config.data
    probe(config.probe)  # one that there is not is said before minutes of simulation
    wanted = EapConfig(
        rotation=config.rotation,
        per_cell=config.per_cell,
        seed=config.store_seed,
        noise_uV=config.noise_uV,
        probe=config.probe,
        cell_models=config.cell_models,
    )
    # Imported here: training on a store that exists needs neither NEURON nor cell models.
    from spiketype.simulator.eap import generate

    return generate.cached(wanted, f"{config.rotation}-{config.per_cell}")


def from_memory(batch: int) -> Sampler:
    """Return what draws a batch from common data, inputs and targets of all samples; member data are a plan."""

    def sample(common: PyTree, member: PyTree, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        index = batches.draw(member, key, batch)  # as _data draws it where the inputs are on disk
        return common[0][index], common[1][index]

    return sample


def as_given(common: PyTree, member: PyTree, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the batch of the step, which was read from disk: the member data."""
    return member[0], member[1]


def make_problem(config: EapTaskConfig, net: CNN, shape: tuple[int, ...], turns: bool, sample: Sampler) -> Problem:
    """Return network, batches, loss and optimizer, for inputs of `shape` (row, column, image)."""

    def init(key: jax.Array) -> tuple[PyTree, PyTree]:
        return net.init(key, jnp.zeros((1, *shape)))["params"], {}

    def draw(common: PyTree, member: PyTree, key: jax.Array) -> PyTree:
        index_key, turn_key = jax.random.split(key)
        x, y = sample(common, member, index_key)
        return quarter_turns(turn_key, x, y) if turns else (x, y)

    def loss(params: PyTree, state: PyTree, batch: PyTree, key: jax.Array) -> tuple[jax.Array, PyTree]:
        x, y = batch
        out = jnp.asarray(net.apply({"params": params}, x, train=True, rngs={"dropout": key}))
        value, metrics = squared_error(out, y) if config.task == "location" else cross_entropy(out, y)
        return value, (state, metrics)

    return Problem(init, draw, loss, optax.adam(learning_rate(config)), PIECE)


def learning_rate(config: EapTaskConfig) -> float | optax.Schedule:
    """Return the step size over the steps."""
    if config.schedule == "constant":
        return config.learning_rate
    return optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, config.steps // 20, config.steps)


def prepare(config: EapTaskConfig) -> Experiment:
    """Load (or simulate) the samples, split them, and set up one member for every seed and fold.

    Raises:
        UserError: data or options that do not fit together.
    """
    # Not where options are read: runs of before, whose lists were not used, still predict.
    if config.lists is not None and config.split != "lists":
        raise UserError(f"--lists needs --split lists, and --split is {config.split}: give both, or leave out --lists")
    path = find_store(config)
    processes.wait("store")
    table = eap.load(path, processes.in_parts)
    label, classes = classes_of(config, table)
    split = _split(config, table, label, classes)
    seeds = range(config.seed, config.seed + config.seeds)
    members = [Member(seed, fold) for seed in seeds for fold in range(len(split.folds))]
    inputs, net = _inputs(config, path), network(config, len(classes) or 3)
    turns = config.turns and turnable(path)
    manifest = {
        "classes": list(classes),
        "grid": list(inputs.shape[1:3]),
        "images_in_a_sample": inputs.shape[3],
        "lattice_um": inputs.lattice.pitch_um if inputs.lattice else None,
        "store": made(path),
        "split": split.kind,
        "optimistic": split.optimistic,
        "members": [member._asdict() | _part(table, split.folds[member.fold]) for member in members],
    }
    target = (table.position_um - inputs.middle_um) / np.float32(LENGTH_UM) if label is None else label
    plans = _plans(config, split, members, label, len(target))
    if config.stream:
        sample, data = streamed(config, path, inputs, plans, label)
    else:
        sample, data = _stored(config, members, inputs, target, plans)
    problem = make_problem(config, net, inputs.shape[1:], turns, sample)
    # A stream's samples are of no store.
    seen = np.zeros(0, np.uint64) if config.stream else model.seen_of(table)
    make_model = partial(EapModel, net, manifest, seen=seen)
    held_out = replace(table, cell=table.type, cell_names=table.type_names) if split.kind == "type" else table
    return Experiment(
        phases=(Phase("training", problem, data, config.steps),),
        names=tuple(f"seed {m.seed}, {split.folds[m.fold].name}" for m in members),
        keys=member_keys(members),
        batch=PIECE if config.batch % PIECE == 0 else config.batch,
        judge=partial(judge.judge, config, held_out, inputs, label, split, make_model),
        identity=_identity(table, split, inputs),
    )


def _identity(table: EapTable, split: Split, inputs: Inputs) -> Identity:
    """Return what the data are told by; features jump where a peak is at the next sample, or below the threshold."""
    found = inputs.stored()
    waveform = [found.pop(name) for name in eap.IMAGES["waveform"] if name in found]
    values = (table.amplitude_uV[:, None], table.position_um, *waveform)
    exact, names = (table.cell, table.m_type, table.excitatory), (table.cell_names, table.m_type_names)
    folds = [(fold.train, fold.test) for fold in split.folds]
    return identity.of(values, exact, names, folds, list(found.values()))


def _inputs(config: EapTaskConfig, path: Location) -> Inputs:
    """Return the inputs; of several processes none has all of them in memory."""
    return Inputs(path, config.features, config.scaled, whole=not processes.several())


def _spread(inputs: Inputs) -> bool:
    """Say whether the inputs fit in the memory of all processes together; all say the same."""
    return processes.several() and not processes.largest(not inputs.fit(jax.process_count()))


def _split(config: EapTaskConfig, table: EapTable, label: np.ndarray | None, classes: Sequence[str]) -> Split:
    """Divide the samples; by type, all cell models of an m/e type are on one side."""
    kind: str = config.split
    if kind == "auto":
        several = len(table.type_names) < len(table.cell_names)
        by_type = several and splits.default_kind(label, table.type) == "group"
        kind = "type" if by_type else splits.default_kind(label, table.cell)
    if kind == "type":
        groups, known, kind, by = table.type, table.type_names, "group", "m/e type"
    else:
        groups, known, by = table.cell, table.cell_names, "cell model"
    given = label, groups, known, config.folds, config.seed
    split = splits.make(kind, *given, lists=config.lists, by=by, class_names=classes)
    return replace(split, kind="type") if by == "m/e type" else split


def _plans(
    config: EapTaskConfig, split: Split, members: Sequence[Member], label: np.ndarray | None, count: int
) -> batches.Plan:
    """Return what each member draws its batches by, stacked."""
    in_class = np.zeros(count, np.int32) if label is None else label
    longest = max(len(fold.train) for fold in split.folds)
    plans = [batches.plan(fold.train, in_class, config.balanced, longest) for fold in split.folds]
    stacked: batches.Plan = of_members(members, plans)
    return stacked


def _stored(
    config: EapTaskConfig, members: Sequence[Member], inputs: Inputs, target: np.ndarray, plans: batches.Plan
) -> tuple[Sampler, Data]:
    """Return batches of the store's samples, and the data they come from: all in memory, or read step by step."""
    if inputs.whole is not None or _spread(inputs):
        x = Spread(inputs.shape, inputs.between) if inputs.whole is None else jnp.asarray(inputs.whole)
        common = (x, jnp.asarray(target))
        return from_memory(config.batch), lambda step: (common, plans)
    keys = member_keys(members)

    @jax.jit
    def drawn(number: jax.Array) -> jax.Array:
        """Return the samples (member, batch) of a step: those that it would draw if the inputs were in memory."""

        def of_member(plan: batches.Plan, key: jax.Array) -> jax.Array:
            index_key, _ = jax.random.split(step_keys(key, number)[0])
            return batches.draw(plan, index_key, config.batch)

        return jax.vmap(of_member)(plans, keys)

    streams: list[Iterator[tuple[np.ndarray, np.ndarray]]] = []

    def read(step: int) -> tuple[PyTree, PyTree]:
        if not streams:
            numbers = range(step, config.steps + 1)
            streams.append(inputs.stream(np.asarray(drawn(np.uint32(number))) for number in numbers))
        sample, x = next(streams[0])
        return (), (x, target[sample])

    return as_given, read


def _part(table: EapTable, fold: splits.Fold) -> Json:
    """Return what a member was trained on: names of the cell models, and the mean position, which is a baseline."""
    cells = [table.cell_names[c] for c in np.unique(table.cell[fold.train])]
    return {"name": fold.name, "trained_on": cells, "mean_um": table.position_um[fold.train].mean(axis=0).tolist()}


def turnable(path: Location) -> bool:
    """Say whether quarter turns of the array leave the distribution of a store as it is: cells, box and contacts."""
    made = store.config(store.attributes(path, "eap"))
    y, z = np.round(store.read(path, "contact_um")[:, 1:].T, 2) + 0.0  # no -0
    same = {*zip(y.tolist(), z.tolist(), strict=True)} == {*zip((0.0 - z).tolist(), y.tolist(), strict=True)}
    if "box" not in made or made.get("rotation") not in TURNABLE:
        return False
    (y_low, y_high), (z_low, z_high) = made["box"]["y_um"], made["box"]["z_um"]
    return bool(same and y_low == z_low == -y_high == -z_high)


_OF_CLASSES = Task(prepare, model.restore, judge.evaluate, judge.predict, judge.cell_table)
_OF_POSITIONS = Task(prepare, model.restore, judge.evaluate, judge.predict, judge.location_table)
TASKS = {"binary": _OF_CLASSES, "mtype": _OF_CLASSES, "location": _OF_POSITIONS}
