"""The cluster task: kinds of units without labels, by deep embedded clustering. Its data and phases."""

import math
import sys
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from spiketype.datasets.waveforms.matrix import Units, read_units
from spiketype.edge import PyTree, UserError
from spiketype.models import augment, autoencoder, dec, partitions
from spiketype.models.autoencoder import Net
from spiketype.train import identity
from spiketype.train.loop import Metrics, Problem
from spiketype.train.task import Experiment, Phase, Task, member_keys, of_files
from spiketype.train.tasks.cluster import judge
from spiketype.train.tasks.cluster.config import ClusterConfig
from spiketype.train.tasks.cluster.model import ClusterModel, encode, evaluate, network, predict
from spiketype.train.tasks.cluster.number import Choice, most_clusters

AT_ONCE = 10  # steps of pretraining in one call, if they divide --steps, so that nothing is rounded
STEPS, PASSES = 1500, 500  # of pretraining, if --steps does not say: the fewer, so that few units do not take as long

Loss = tuple[jax.Array, tuple[PyTree, Metrics]]


def prepare(config: ClusterConfig) -> Experiment:
    """Load the units and set up a member for every seed: pretraining, then clustering.

    Common data are x (unit, feature) and the numbers (unit, neighbour) of each unit's neighbours.

    Raises:
        UserError: no data, units that cannot be used, or a number of clusters that they cannot have.
    """
    if config.data is None:
        raise UserError("--data is missing: give a file or folder of waveforms, or digits")
    tell_unused(config)
    units = read_units(config, config.data)
    config = replace(config, batch=min(config.batch, len(units.x)))  # a step of fewer units sees each once, on average
    partitions.check(config.init, len(units.x))
    most = most_clusters(config, units)
    net, change = network(config, units.form), changes(config, units.form.shape)
    choice = Choice(config, units, most)
    own = np.arange(len(units.x), dtype=np.int32)[:, None]
    paired = partitions.nearest(units.x, config.neighbours) if config.contrast and config.neighbours else own
    common = (jnp.asarray(units.x), jnp.asarray(paired))
    data = (common, jnp.zeros((config.seeds, 1)))
    problems = {
        f"pretraining, layer {k + 1}": layer(config, net, change, k)
        for k in range(len(config.hidden) + 1)
        if config.pretrain == "layers"
    }
    problems["pretraining"] = pretraining(config, net, change)
    last = clustering(config, net, change, len(units.x), most)
    steps = config.steps or min(STEPS, PASSES * -(-len(units.x) // config.batch))
    rounds = -(-config.cluster_steps // config.interval)
    begin = partial(first_centres, config, net, units, most, choice)
    return Experiment(
        phases=(
            *(Phase(name, each, lambda step: data, steps) for name, each in problems.items()),
            Phase("clustering", last, lambda step: data, rounds * config.interval, begin),
        ),
        names=tuple(f"seed {member.seed}" for member in config.members),
        keys=member_keys(config.members, fold=False),
        batch=config.batch,
        judge=partial(judge.judge, config, net, units, choice),
        identity=identity.of(
            (units.x,), (units.label, units.animal), (units.class_names, units.animal_names, units.unit_names)
        ),
    )


def tell_unused(config: ClusterConfig) -> None:
    """Say on stderr which options that are not at their defaults do nothing beside the others."""
    for why, useless, names in (
        ("--clusters gives the number of clusters", config.clusters is not None, ("most", "criterion")),
        ("--augment is none", config.augment == "none", ("shift", "turn_deg")),
        ("--augment is time", config.augment == "time", ("turn_deg",)),
        ("--network is no vae", config.network != "vae", ("beta",)),
        ("--contrast is 0", config.contrast == 0, ("neighbours",)),
    ):
        given = [name for name in names if getattr(config, name) != getattr(ClusterConfig, name)]
        if useless and given:
            flags = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            print(f"{flags}: not used, because {why}", file=sys.stderr)


def changes(config: ClusterConfig, shape: tuple[int, int]) -> dec.Change:
    """Return (key, x (unit, feature)) -> x changed as --augment says."""
    match config.augment:
        case "none":
            return lambda key, x: x
        case "image":
            move = partial(augment.move_in_plane, turn_deg=config.turn_deg, shift=config.shift)
        case "time":
            move = partial(augment.shift_in_time, largest=config.shift)
    return partial(augment.of_waveforms, move, shape=shape)


def _draw(config: ClusterConfig, common: PyTree, member: PyTree, key: jax.Array) -> PyTree:
    index = jax.random.randint(key, (config.batch,), 0, len(common[0]))
    return index, common[0][index]


def _draw_pair(config: ClusterConfig, common: PyTree, member: PyTree, key: jax.Array) -> PyTree:
    """Draw units, and for each a unit at random from its neighbours."""
    first, second = jax.random.split(key)
    index, x = _draw(config, common, member, first)
    which = jax.random.randint(second, (config.batch,), 0, common[1].shape[1])
    return index, x, common[0][common[1][index, which]]


def pretraining(config: ClusterConfig, net: Net, change: dec.Change) -> Problem:
    """Reconstruct inputs, from changed ones if asked; with --contrast, neighbours have like codes."""

    def init(key: jax.Array) -> tuple[PyTree, PyTree]:
        return {"net": net.init(key, jnp.zeros((1, autoencoder.features(net))))["params"]}, {}

    def loss(params: PyTree, state: PyTree, batch: PyTree, key: jax.Array) -> Loss:
        neighbour = batch[2] if config.contrast else None
        weights = config.corruption, config.beta, config.contrast
        value, metrics = dec.pretraining_loss(net, params, batch[1], neighbour, key, change, *weights)
        return value, (state, metrics)

    draw = partial(_draw_pair if config.contrast else _draw, config)
    return Problem(
        init, draw, loss, optax.adam(config.learning_rate), interval=math.gcd(config.steps or AT_ONCE, AT_ONCE)
    )


def layer(config: ClusterConfig, net: Net, change: dec.Change, k: int) -> Problem:
    """Train layer k alone, as a denoising autoencoder of what the layers before it give."""
    assert isinstance(net, autoencoder.Dense)
    whole = pretraining(config, net, change)

    def loss(params: PyTree, state: PyTree, batch: PyTree, key: jax.Array) -> Loss:
        change_key, drop_key = jax.random.split(key)
        x = change(change_key, batch[1])
        return autoencoder.layer_loss(net, params["net"], x, k, config.corruption, drop_key), (state, {})

    return Problem(whole.init, partial(_draw, config), loss, whole.optimizer, interval=whole.interval)


def clustering(config: ClusterConfig, net: Net, change: dec.Change, count: int, most: int) -> Problem:
    """Draw the codes of `count` units towards `most` centres, those alive, and the centres towards the codes."""
    share = sizes(config, most)

    def init(key: jax.Array) -> tuple[PyTree, PyTree]:
        params = pretraining(config, net, change).init(key)[0]
        return {**params, "centre": jnp.zeros((most, net.code))}, dec.fresh_state(count, most, net.code)

    def refresh(params: PyTree, state: PyTree, common: PyTree, member: PyTree) -> tuple[PyTree, PyTree]:
        return dec.refresh(net, params, state, common[0], share)

    def loss(params: PyTree, state: PyTree, batch: PyTree, key: jax.Array) -> Loss:
        change_key, code_key = jax.random.split(key)
        x, how = change(change_key, batch[1]), (config.loss, share, config.beta, config.gamma)
        value, metrics = dec.clustering_loss(net, params, state, batch[0], x, code_key, *how)
        return value, (state, metrics)

    def finished(state: PyTree) -> jax.Array:
        return jnp.asarray(state["changed"] < config.tolerance)

    rate = config.cluster_rate
    optimizer = optax.sgd(rate, momentum=0.9) if config.optimizer == "sgd" else optax.adam(rate)
    return Problem(init, partial(_draw, config), loss, optimizer, None, config.interval, refresh, finished)


def sizes(config: ClusterConfig, most: int) -> Float[Array, " cluster"] | None:
    """Return the shares of all units that the target presses clusters to, largest first; None: as they are found."""
    if config.sizes == "free":
        return None
    known = np.full(most, 1 / most) if isinstance(config.sizes, str) else np.sort(config.sizes)[::-1]
    return jnp.asarray(known / known.sum(), jnp.float32)


def first_centres(
    config: ClusterConfig, net: Net, units: Units, most: int, choice: Choice, params: PyTree, state: PyTree
) -> tuple[PyTree, PyTree]:
    """Return parameters and state of the clustering phase: centres on the pretrained code, and its scale."""
    codes = encode(net, params["net"], units.x)
    clusters = choice.clusters(codes)
    partition = partitions.INITS[config.init]
    label = np.stack([partition(z, clusters, m.seed) for z, m in zip(codes, config.members, strict=True)])
    centre = np.stack([partitions.means(z, c, most) for z, c in zip(codes, label, strict=True)])
    distance = codes - np.take_along_axis(centre, label[:, :, None], axis=1)
    scale = np.sqrt(np.maximum((distance**2).sum(axis=2).mean(axis=1), 1e-12))
    fresh = dec.fresh_state(len(units.x), most, net.code)
    new = {name: jnp.stack([value] * len(codes)) for name, value in fresh.items()}
    new |= {
        "alive": jnp.tile(jnp.arange(most)[None] < clusters, (len(codes), 1)),
        "scale": jnp.asarray(scale, jnp.float32),
        "pretrained": jnp.asarray(codes),
    }
    return {"net": params["net"], "centre": jnp.asarray(centre / scale[:, None, None], jnp.float32)}, new


TASKS = {"cluster": Task(prepare, ClusterModel.restore, of_files(evaluate), of_files(predict), judge.table)}
