"""The training loop of every task: a jitted step over members (seeds, folds) and devices, checkpoints, resumption.

A *member* is one training: a seed and a part of the data. All members are trained at once by `jax.vmap`; the devices
form a mesh whose axis ``member`` divides the members and whose axis ``data`` divides each batch, so the same code is
one laptop core, eight GPUs with one network, or eight seeds on eight GPUs. What a step draws at random is a function
of (member's key, step), so a run that continues from a checkpoint gives the numbers of one that was never stopped.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from spiketype.edge import PyTree, UserError
from spiketype.train import processes
from spiketype.train.processes import Spread

Metrics = dict[str, jax.Array]
REMEDY = "lower --learning-rate, or look at the data; a checkpoint, if there is one, is from before"


@dataclass(frozen=True)
class Problem:
    """What is trained. The three functions are pure and see one member, without the member axis.

    Attributes:
        init: key -> (params, state). State is what a loss updates without gradients: collections as flax.linen has
            them, {"batch_stats": ...}, or {}. Both hold nothing but dicts, named tuples and arrays.
        draw: (common data, member data, key) -> the batch of a step: a pytree whose arrays
            all have a leading batch axis.
        loss: (params, state, batch, key) -> (loss, (state, metrics)), metrics being scalars.
        optimizer: any optax transformation.
        piece: on a CPU, gradients of a batch are added up over pieces of so many samples, if they divide it, because
            what stays in the cache is faster; the loss must be a mean over samples. None: the batch in one.
        interval: steps that one call makes, jitted whole; the number of steps is a multiple of it.
        refresh: (params, state, common, member) -> (params, state) before the steps of each call: what changes rarely,
            such as the targets of embedded clustering. None: nothing.
        finished: state -> whether the member is ready, bool: it then stays as it is, and when all are, training ends.
    """

    init: Callable[[jax.Array], tuple[PyTree, PyTree]]
    draw: Callable[[PyTree, PyTree, jax.Array], PyTree]
    loss: Callable[[PyTree, PyTree, PyTree, jax.Array], tuple[jax.Array, tuple[PyTree, Metrics]]]
    optimizer: optax.GradientTransformation
    piece: int | None = None
    interval: int = 1
    refresh: Callable[[PyTree, PyTree, PyTree, PyTree], tuple[PyTree, PyTree]] | None = None
    finished: Callable[[PyTree], jax.Array] | None = None


class TrainState(NamedTuple):
    """All that a step changes; every array has a leading member axis. The step number completes it."""

    params: PyTree
    state: PyTree
    opt_state: PyTree

    @property
    def variables(self) -> dict[str, PyTree]:
        """What a trained network is: its parameters and its state, as `apply` of a flax.linen module takes them."""
        return {"params": self.params, **self.state}


Stepped = tuple[TrainState, Metrics]
Gradient = tuple[tuple[jax.Array, tuple[PyTree, Metrics]], PyTree]  # ((loss, (state, metrics)), gradient)


class NonFiniteLoss(UserError):
    """A loss that is NaN or infinite, with the step and the member where it first was."""


def member_mesh(members: int, batch: int, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Return a mesh (member, data) over as many of the devices as divide the members and the batch.

    Raises:
        UserError: there are several processes, and devices that would have nothing to do.
    """
    devices = list(jax.devices() if devices is None else devices)
    by_member = math.gcd(members, len(devices))
    by_data = math.gcd(batch, len(devices) // by_member)
    if processes.several() and by_member * by_data < len(devices):
        each = len(devices) // by_member
        raise UserError(
            f"{len(devices)} devices of {jax.process_count()} processes cannot share {members} trainings with batches "
            f"of {batch}: give a --batch that {each} divides, such as {-(-batch // each) * each}"
        )
    chosen = np.array(devices[: by_member * by_data]).reshape(by_member, by_data)
    return Mesh(chosen, ("member", "data"), axis_types=(AxisType.Auto,) * 2)


def start(problem: Problem, keys: jax.Array, mesh: Mesh) -> TrainState:
    """Return the state before the first step, for member keys (member,)."""

    def one(key: jax.Array) -> TrainState:
        params, state = problem.init(key)
        return TrainState(params, state, problem.optimizer.init(params))

    by_member = _by_member(mesh)
    state: TrainState = jax.jit(jax.vmap(one), out_shardings=by_member)(processes.place(keys, by_member))
    return state


def step_keys(key: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the keys of a member's step that its batch is drawn with, and that its loss has."""
    draw_key, loss_key = jax.random.split(jax.random.fold_in(key, number))
    return draw_key, loss_key


def make_step(problem: Problem, mesh: Mesh) -> Callable[[TrainState, PyTree, PyTree, jax.Array, np.uint32], Stepped]:
    """Return the jitted step (state, common, member, keys, number) -> (state, metrics); it reuses its state's memory.

    `common` is seen by every member, `member` and `keys` have a leading member axis. It makes the problem's interval of
    steps, of which `number` is the first. Metrics are (step, member) and include ``loss``, and ``finished`` where the
    problem has it.

    Its sums are over the axis ``data`` alone: members never wait for each other, and their metrics are gathered when
    somebody looks at them.
    """
    split_batch = NamedSharding(mesh, PartitionSpec("data"))

    def one(state: TrainState, member: PyTree, key: jax.Array, common: PyTree, number: jax.Array) -> Stepped:
        draw_key, loss_key = step_keys(key, number)
        batch = problem.draw(common, member, draw_key)
        batch = jax.lax.with_sharding_constraint(batch, split_batch)
        (loss, (new, metrics)), gradient = _gradient(problem, state, batch, loss_key, split_batch)
        updates, opt_state = problem.optimizer.update(gradient, state.opt_state, state.params)
        return TrainState(optax.apply_updates(state.params, updates), new, opt_state), {"loss": loss, **metrics}

    def several(state: TrainState, member: PyTree, key: jax.Array, common: PyTree, number: jax.Array) -> Stepped:
        before = state
        if problem.refresh is not None:
            params, new = problem.refresh(state.params, state.state, common, member)
            state = TrainState(params, new, state.opt_state)
        numbers = number + jnp.arange(problem.interval, dtype=number.dtype)
        if problem.interval == 1:
            state, metrics = one(state, member, key, common, number)
            metrics = jax.tree.map(lambda m: m[None], metrics)
        else:
            state, metrics = jax.lax.scan(lambda s, n: one(s, member, key, common, n), state, numbers)
        if problem.finished is not None:
            ready = problem.finished(before.state)
            state = jax.tree.map(lambda old, now: jnp.where(ready, old, now), before, state)
            metrics["finished"] = jnp.full(problem.interval, problem.finished(state.state), jnp.float32)
        return state, metrics

    members = jax.vmap(several, in_axes=(0, 0, 0, None, None), out_axes=(0, 1), spmd_axis_name="member")
    by_member, by_column = _by_member(mesh), NamedSharding(mesh, PartitionSpec(None, "member"))

    @partial(jax.jit, donate_argnums=0, out_shardings=(by_member, by_column))
    def step(state: TrainState, common: PyTree, member: PyTree, keys: jax.Array, number: jax.Array) -> Stepped:
        after: Stepped = members(state, member, keys, common, number)
        return after

    return step


def _gradient(problem: Problem, state: TrainState, batch: PyTree, key: jax.Array, split: NamedSharding) -> Gradient:
    """Return ((loss, (state, metrics)), gradient) of a batch, in one or, on a CPU, as the mean over pieces."""
    grad = jax.value_and_grad(problem.loss, has_aux=True)
    size = len(jax.tree.leaves(batch)[0])
    if problem.piece is None or size <= problem.piece or size % problem.piece or jax.default_backend() != "cpu":
        whole: Gradient = grad(state.params, state.state, batch, key)
        return whole
    count = size // problem.piece
    pieces = jax.tree.map(lambda a: a.reshape(count, problem.piece, *a.shape[1:]), batch)

    def one(carry: tuple[PyTree, PyTree], piece: tuple[PyTree, jax.Array]) -> tuple[tuple[PyTree, PyTree], PyTree]:
        total, kept = carry
        samples = jax.lax.with_sharding_constraint(piece[0], split)
        (loss, (kept, metrics)), gradient = grad(state.params, kept, samples, piece[1])
        return (jax.tree.map(jnp.add, total, gradient), kept), (loss, metrics)

    nothing = jax.tree.map(jnp.zeros_like, state.params)
    (total, new), (loss, metrics) = jax.lax.scan(one, (nothing, state.state), (pieces, jax.random.split(key, count)))
    metrics = jax.tree.map(lambda m: m.mean(axis=0), metrics)
    return (loss.mean(), (new, metrics)), jax.tree.map(lambda g: g / count, total)


def fit(
    problem: Problem,
    keys: jax.Array,
    data: Callable[[int], tuple[PyTree, PyTree]],
    steps: int,
    mesh: Mesh,
    names: Sequence[str],
    *,
    begin: tuple[int, TrainState] | None = None,
    report: Callable[[int, dict[str, np.ndarray]], None] = lambda step, metrics: None,
    save: Callable[[int, TrainState], None] = lambda step, state: None,
    stop: Callable[[], bool] = lambda: False,
    every: int = 50,
    save_every_s: float = 60.0,
) -> TrainState:
    """Train all members to step `steps` and return their state.

    Args:
        problem: what is trained.
        keys: one key a member, (member,).
        data: step number -> (common, member). The same object again means the same data, which stay on the devices;
            another one is the next batch.
        steps: the number of the last step, counted from 1.
        mesh: from `member_mesh`.
        names: what to call each member in messages.
        begin: (steps taken, state) to continue from: a checkpoint, or the result of an earlier phase with the state
            of this problem's optimizer. Its memory is reused.
        report: called about every `every` steps with the mean of each metric since the last call, (member,).
        save: called with a state that is finite, every `save_every_s`, at the end and before stopping, in all processes
            at once. The next step reuses its memory.
        stop: asked about every `every` steps; training that is stopped continues to the same numbers. All processes
            ask, and must get the same answer.
        every: steps between two looks at the metrics.
        save_every_s: seconds between two checkpoints.

    Raises:
        NonFiniteLoss: at the first step whose loss is not finite, for any member.
        KeyboardInterrupt: `stop` said so; the state is saved.
    """
    first, state = begin or (0, start(problem, keys, mesh))
    place = _Placed(mesh)
    processes.connect(mesh)
    state, keys = processes.place((state, keys), _by_member(mesh))
    step, saved, pending = make_step(problem, mesh), time.monotonic(), []
    for number in range(first + 1, steps + 1, problem.interval):
        common, member = place(*data(number))
        counted = processes.place(np.uint32(number), place.shardings[0])
        # All that a step needs is where it needs it, except for constants, which the first one brings when it compiles.
        with jax.transfer_guard("allow" if number == first + 1 else "disallow"):
            state, metrics = step(state, common, member, keys, counted)
        pending.append(metrics)
        last = number + problem.interval - 1
        if last % every >= problem.interval and last != steps:
            continue
        means, pending = _means(processes.whole(pending), last, names), []
        report(last, means)
        stopped, over = stop(), last == steps or bool(np.all(means.get("finished", 0) == 1))
        if stopped or over or processes.largest(time.monotonic() - saved > save_every_s):
            _check_params(processes.whole(state.params), last, names)
            save(last, state)
            saved = time.monotonic()
        if over:
            break
        if stopped:
            raise KeyboardInterrupt
    return state


def _by_member(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec("member"))


class _Placed:
    """Data on the mesh: common on every device, member data with their member; what stays the same is moved once."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.shardings = (NamedSharding(mesh, PartitionSpec()), _by_member(mesh))
        self.given: list[PyTree] = [None, None]
        self.placed: list[PyTree] = [None, None]

    def __call__(self, *data: PyTree) -> list[PyTree]:
        """Return (common, member) data where the step wants them."""
        for i, (value, sharding) in enumerate(zip(data, self.shardings, strict=True)):
            if value is not self.given[i]:
                if self.given[i] is None:
                    processes.check_equal(value, "data")
                self.given[i], self.placed[i] = value, self._on_devices(value, sharding)
        return self.placed

    def _on_devices(self, value: PyTree, sharding: NamedSharding) -> PyTree:
        """Return arrays that are placed by `sharding`, and those that are spread by rows."""

        def on_devices(leaf: PyTree) -> jax.Array:
            array: jax.Array = leaf.on(self.mesh) if isinstance(leaf, Spread) else processes.place(leaf, sharding)
            return array

        return jax.tree.map(on_devices, value)


def _means(pending: list[Metrics], last: int, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the mean of each metric over the pending steps, (member,), after checking every loss."""
    values = {name: np.concatenate([np.asarray(m[name]) for m in pending]) for name in pending[0]}
    bad = np.argwhere(~np.isfinite(values["loss"]))
    if len(bad):
        row, member = bad[0]
        step = last - len(values["loss"]) + 1 + row
        raise NonFiniteLoss(f"the loss is {values['loss'][row, member]} at step {step} ({names[member]}): {REMEDY}")
    return {name: v.mean(axis=0) for name, v in values.items()}


def _check_params(params: PyTree, step: int, names: Sequence[str]) -> None:
    """Refuse parameters that are not finite: a finite loss can have a gradient that is not."""
    for path, array in jax.tree.leaves_with_path(params):
        bad = ~np.isfinite(array).reshape(len(names), -1).all(axis=1)
        if bad.any():
            where = f"{jax.tree_util.keystr(path)} of {names[int(np.argmax(bad))]}"
            raise NonFiniteLoss(f"the gradient was not finite at step {step} or just before ({where}): {REMEDY}")
