"""The training loop. Run as a script, it trains the same on all devices there are and writes the results."""

import dataclasses
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizers import adam

from spiketype.models.cnn import CNN
from spiketype.models.losses import cross_entropy
from spiketype.train import checkpoints, loop
from spiketype.train.loop import Problem, TrainState

BATCH, STEPS = 16, 12
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(64, 5, 5, 1)).astype(np.float32)
LABEL = (IMAGES.mean(axis=(1, 2, 3)) > 0).astype(np.int32)
COMMON = (IMAGES, LABEL)


class Normed(nn.Module):
    """A network with batch statistics."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = nn.Dense(8, use_bias=False)(x.reshape(len(x), -1))  # a bias would have the gradient 0
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        return nn.Dense(2)(nn.Dropout(0.2, deterministic=not train)(x))


def draw(common: Any, member: Any, key: jax.Array) -> Any:
    index = member[jax.random.randint(key, (BATCH,), 0, len(member))]
    return common[0][index], common[1][index]


def cnn_problem(optimizer: optax.GradientTransformation) -> Problem:
    net = CNN(2, "xs", 0.3)

    def loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        x, y = batch
        value, metrics = cross_entropy(net.apply({"params": params}, x, train=True, rngs={"dropout": key}), y)
        return value, (state, metrics)

    return Problem(lambda key: (net.init(key, IMAGES[:1])["params"], {}), draw, loss, optimizer)


def normed_problem(optimizer: optax.GradientTransformation) -> Problem:
    net = Normed()

    def init(key: jax.Array) -> Any:
        variables = net.init(key, IMAGES[:1], False)
        return variables.pop("params"), variables

    def loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        x, y = batch
        variables = {"params": params, **state}
        out, new = net.apply(variables, x, True, rngs={"dropout": key}, mutable=list(state))
        value, metrics = cross_entropy(out, y)
        return value, (new, metrics)

    return Problem(init, draw, loss, optimizer)


def train(problem: Problem, members: int, steps: int = STEPS, only: int | None = None, **options: Any) -> Any:
    """Train on all devices; the state on the host and the losses (look, member)."""
    rows = [m for m in range(members) if only is None or m == only]
    keys = jnp.stack([jax.random.fold_in(jax.random.key(1), m) for m in rows])
    member = jnp.stack([jnp.arange(32) + 8 * m for m in rows])
    losses = []
    state = loop.fit(
        problem,
        keys,
        options.pop("data", lambda step: (COMMON, member)),
        steps,
        loop.member_mesh(len(rows), BATCH),
        [f"member {m}" for m in rows],
        report=lambda step, metrics: losses.append(metrics["loss"]),
        every=1,
        **options,
    )
    return state, np.array(losses)


def everything() -> dict[str, Any]:
    """One SGD step of size 1, which is a gradient, and some steps of Adam: one member, and four with statistics."""
    result = {}
    for name, problem, members in (("cnn", cnn_problem, 1), ("normed", normed_problem, 4)):
        state, _ = train(problem(optax.sgd(1.0)), members, steps=1)
        result[f"{name} gradient"] = jax.device_get((state.params, state.state))
        result[f"{name} losses"] = train(problem(adam(1e-2)), members)[1]
    return result


def close(a: Any, b: Any, tolerance: float = 2e-6) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance), a, b)


def identical(a: Any, b: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


@pytest.fixture(scope="module")
def on_eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder written by a process with eight devices."""
    folder = tmp_path_factory.mktemp("eight")
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "error", __file__, str(folder)]
    done = subprocess.run(command, env={**os.environ, **flags}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_eight_devices_give_what_one_gives(on_eight: Path) -> None:
    theirs = flax.serialization.msgpack_restore((on_eight / "everything.msgpack").read_bytes())
    ours = everything()
    assert theirs["meshes"] == {"1": [1, 8], "4": [4, 2]}
    for name in ("cnn", "normed"):
        # Float32 sums in another order: 2e-6 after one step; Adam divides by small gradients, 1e-3 after twelve.
        close(flax.serialization.to_state_dict(ours[f"{name} gradient"]), theirs[f"{name} gradient"])
        np.testing.assert_allclose(ours[f"{name} losses"], theirs[f"{name} losses"], rtol=1e-3)


@pytest.mark.slow
def test_a_checkpoint_of_eight_devices_opens_on_one(on_eight: Path) -> None:
    problem = normed_problem(adam(1e-2))
    keys = jnp.stack([jax.random.fold_in(jax.random.key(1), m) for m in range(4)])
    found = checkpoints.newest(on_eight)
    assert found is not None
    assert found.step == STEPS
    begin = found.step, found.state(loop.start(problem, keys, loop.member_mesh(4, BATCH)))
    _, losses = train(problem, 4, steps=STEPS + 3, begin=begin)
    np.testing.assert_allclose(losses, train(problem, 4, steps=STEPS + 3)[1][STEPS:], rtol=1e-3)


def test_members_are_what_they_are_alone() -> None:
    problem = normed_problem(adam(1e-2))
    together, losses = train(problem, 3)
    alone, own_losses = train(problem, 3, only=1)
    np.testing.assert_allclose(losses[:, 1:2], own_losses, rtol=1e-4)
    close(jax.tree.map(lambda a: a[1:2], together.params), alone.params, 1e-4)
    assert not np.allclose(losses[:, 0], losses[:, 1])


@pytest.mark.slow
def test_pieces_of_a_batch_give_the_gradient_of_the_batch() -> None:
    whole = Problem(lambda key: (net.init(key, IMAGES[:1])["params"], {}), draw, plain_loss, optax.sgd(0.1))
    pieces = dataclasses.replace(whole, piece=BATCH // 4)
    (ours, our_losses), (theirs, their_losses) = (train(problem, 2) for problem in (pieces, whole))
    close(ours.params, theirs.params, 1e-5)
    close(our_losses, their_losses, 1e-5)


net = CNN(2, "xs", 0.0)


def plain_loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
    value, metrics = cross_entropy(net.apply({"params": params}, batch[0]), batch[1])
    return value, (state, metrics)


def test_training_learns() -> None:
    _, losses = train(cnn_problem(adam(1e-2)), 2, steps=80)
    assert np.all(losses[-10:].mean(axis=0) < 0.6 * losses[:5].mean(axis=0))


def test_stopped_and_continued_is_never_stopped(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    made = normed_problem(adam(1e-2))
    whole, losses = train(made, 2)
    asked = iter([False] * 4 + [True])
    with pytest.raises(KeyboardInterrupt):
        train(made, 2, save=partial(checkpoints.save, tmp_path, history=[]), stop=lambda: next(asked))
    keys = jnp.stack([jax.random.fold_in(jax.random.key(1), m) for m in range(2)])
    found = checkpoints.newest(tmp_path)
    assert found is not None
    assert found.step == 5
    begin = found.step, found.state(loop.start(made, keys, loop.member_mesh(2, BATCH)))
    again, after = train(made, 2, begin=begin)
    np.testing.assert_array_equal(after, losses[5:])
    identical(again, whole)


def test_a_loss_that_is_not_finite_stops_and_is_named() -> None:
    broken = IMAGES.copy()
    broken[40] = np.nan  # member 0 draws from 0..31, member 1 from 8..39, member 2 from 16..47
    saved = []
    with pytest.raises(loop.NonFiniteLoss, match=r"loss is nan at step (\d+) \(member 2\)"):
        train(
            normed_problem(adam(1e-2)),
            3,
            data=lambda step: ((broken, LABEL), jnp.stack([jnp.arange(32) + 8 * m for m in range(3)])),
            save=lambda step, state: saved.append(step),
        )
    assert not saved


def test_the_step_of_the_first_bad_loss_is_named() -> None:
    """Also where the metrics are looked at less often than steps are made."""
    keys, common = jax.random.split(jax.random.key(0), 2), jnp.zeros(BATCH)
    problem = Problem(
        lambda key: ({"w": jnp.ones(())}, {}),
        lambda common, member, key: common,
        lambda params, state, batch, key: (params["w"] + batch.mean(), (state, {})),
        optax.identity(),
    )
    bad = jnp.full(BATCH, jnp.inf)
    with pytest.raises(loop.NonFiniteLoss, match=r"inf at step 7 \(a\)"):
        loop.fit(
            problem, keys, lambda s: (bad if s >= 7 else common, keys), 20, loop.member_mesh(2, BATCH), "ab", every=5
        )


def test_parameters_that_are_not_finite_are_not_saved() -> None:
    keys, saved = jax.random.split(jax.random.key(0), 2), []
    problem = Problem(
        lambda key: ({"w": jnp.zeros(())}, {}),
        lambda common, member, key: common,
        lambda params, state, batch, key: (jnp.sqrt(params["w"] ** 2), (state, {})),  # 0, of slope 0 / 0
        optax.sgd(1.0),
    )
    data, mesh = (np.zeros(BATCH, np.float32), keys), loop.member_mesh(2, BATCH)
    with pytest.raises(loop.NonFiniteLoss, match=r"gradient was not finite at step 1.*'w'.* of a"):
        loop.fit(problem, keys, lambda s: data, 1, mesh, "ab", save=lambda step, state: saved.append(step))
    assert not saved


def test_batches_of_two_domains() -> None:
    """A batch is any pytree: labelled samples of one domain, others of the second (adversarial networks)."""
    base = normed_problem(adam(1e-2))

    def two(common: Any, member: Any, key: jax.Array) -> Any:
        first, second = jax.random.split(key)
        other = jax.random.randint(second, (2 * BATCH,), 0, len(common["target"]))
        return {"source": draw(common["source"], member, first), "target": common["target"][other]}

    def loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        value, (state, metrics) = base.loss(params, state, batch["source"], key)
        distance = (batch["source"][0].mean() - batch["target"].mean()) ** 2
        return value + distance, (state, {**metrics, "distance": distance})

    member = jnp.stack([jnp.arange(32)] * 2)
    data = ({"source": COMMON, "target": IMAGES + 1}, member)
    _, losses = train(Problem(base.init, two, loss, base.optimizer), 2, data=lambda step: data)
    assert losses[-1].mean() < losses[0].mean()


def test_a_second_phase_continues_with_other_data_and_loss() -> None:
    """As embedded clustering does: parameters of a first training, an optimizer of its own, other data."""
    first = normed_problem(adam(1e-2))
    state, _ = train(first, 2)

    def loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        value = sum(jnp.sum(p**2) for p in jax.tree.leaves(params)) + 0 * batch.mean()
        return value, (state, {})

    second = Problem(first.init, lambda common, member, key: common, loss, optax.sgd(0.05))
    begin = TrainState(state.params, state.state, jax.vmap(second.optimizer.init)(state.params))
    end, losses = train(second, 2, begin=(0, begin), data=lambda step: (IMAGES[step : step + BATCH], jnp.zeros((2, 1))))
    assert np.all(np.diff(losses, axis=0) < 0)
    assert end.variables.keys() == {"params", "batch_stats"}


def main(folder: Path) -> None:
    (folder / "checkpoints").mkdir()
    assert len(jax.devices()) == 8
    shapes = {str(n): [loop.member_mesh(n, BATCH).shape[a] for a in ("member", "data")] for n in (1, 4)}
    result = flax.serialization.to_state_dict(everything()) | {"meshes": shapes}
    (folder / "everything.msgpack").write_bytes(flax.serialization.msgpack_serialize(result))
    train(normed_problem(adam(1e-2)), 4, save=lambda step, state: checkpoints.save(folder, step, state, []))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
