"""DANN: the published weights' rows, the reversed gradient, the schedules, the rotated moons."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import make_moons
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score
from sklearn.preprocessing import StandardScaler

from spiketype.models import dann
from spiketype.train.loop import Problem, fit, member_mesh
from tests.models import published_allen


def scores(x, y, scaler):
    variables = dann.from_published(published_allen.weights("dann"))
    said = np.asarray(dann.PUBLISHED().apply(variables, scaler.transform(x).astype(np.float32))[0]).argmax(axis=1)
    parts = (f1_score(y, said), precision_score(y, said), recall_score(y, said), balanced_accuracy_score(y, said))
    return pytest.approx([float(v) for v in ((said == y).mean(), *parts)], abs=6e-4)


def test_published_weights_give_the_published_rows():
    (human_before, human), (_, mouse) = (published_allen.species()[s] for s in ("human", "mouse"))
    own = StandardScaler().fit(human[0])  # of the 60 test cells themselves
    assert [len(human[1]), len(mouse[1])] == [60, 279]
    assert scores(*human, own) == [0.950, 0.968, 1.000, 0.939, 0.969]
    assert scores(*human, StandardScaler().fit(human_before[0])) == [0.800, 0.861, 1.000, 0.755, 0.878]
    assert scores(*human_before, StandardScaler().fit(human_before[0])) == [0.870, 0.909, 0.975, 0.852, 0.891]
    assert scores(*mouse, StandardScaler().fit(mouse[0])) == [0.975, 0.977, 0.981, 0.974, 0.975]


def test_the_gradient_is_turned_and_scaled():
    f = lambda x, s: (dann.reverse_gradient(x, s) ** 2).sum()  # noqa: E731
    x = jnp.array([1.0, -2.0])
    assert float(f(x, jnp.float32(3.0))) == 5.0
    np.testing.assert_allclose(jax.grad(f)(x, jnp.float32(3.0)), -6 * x)
    np.testing.assert_array_equal(jax.grad(f)(x, jnp.float32(0.0)), 0 * x)


def test_schedules_of_ganin():
    assert float(dann.ganin_lambda(0.0)) == 0.0
    assert float(dann.ganin_lambda(1.0)) == pytest.approx(1, abs=1e-4)
    assert float(dann.ganin_rate(0.0)) == pytest.approx(0.01)
    assert float(dann.ganin_rate(1.0)) == pytest.approx(0.01 / 11**0.75)


def moons(seed):
    """150 + 150 labelled points, and 300 turned by 35 degrees whose labels only judge."""
    x, y = make_moons(300, noise=0.05, random_state=seed)
    other, truth = make_moons(300, noise=0.05, random_state=seed + 100)
    turn = np.deg2rad(35)
    other = (other - x.mean(axis=0)) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return (x - x.mean(axis=0)).astype(np.float32), y, other.astype(np.float32), truth


def train_moons(scale, seeds, steps=2000):
    """Accuracy (seed,) on the turned moons, trained with the weight `scale` of the domain's gradient."""
    net = dann.DANN((15,), "sigmoid")
    data = [moons(seed) for seed in range(seeds)]
    own = tuple(jnp.asarray(np.stack(part)) for part in zip(*data, strict=True))

    def init(key):
        return net.init(key, jnp.zeros((1, 2)))["params"], {}

    def draw(shared, own, key):
        x, y, other, _ = own
        return jnp.concatenate([x, other]), jnp.concatenate([y, y]), jnp.arange(600) >= 300

    def loss(params, state, batch, key):
        x, y, target = batch
        named, domain, _ = net.apply({"params": params}, x, scale)
        of_class = optax.softmax_cross_entropy_with_integer_labels(named, y)
        source = (~target).astype(jnp.float32)
        of_domain = optax.softmax_cross_entropy_with_integer_labels(domain, target.astype(jnp.int32))
        return 2 * (of_class * source).mean() + of_domain.mean(), (state, {})

    problem = Problem(init, draw, loss, optax.sgd(0.1, 0.9))
    keys = jax.random.split(jax.random.key(0), seeds)
    state = fit(problem, keys, lambda step: ((), own), steps, member_mesh(seeds, 600), [str(s) for s in range(seeds)])
    found = []
    for k, (_, _, other, truth) in enumerate(data):
        mine = jax.tree.map(lambda a, k=k: a[k], state.variables)
        found.append((np.asarray(net.apply(mine, other)[0]).argmax(axis=1) == truth).mean())
    return np.array(found)


@pytest.mark.slow
def test_adversarial_training_follows_the_turned_moons():
    plain, adversarial = train_moons(0.0, 4), train_moons(6.0, 4)
    assert adversarial.mean() > plain.mean() + 0.05, (plain, adversarial)


def test_losses_count_each_half_by_its_weights():
    rng = np.random.default_rng(0)
    x, label = jnp.asarray(rng.normal(size=(8, 3)), jnp.float32), jnp.asarray(rng.integers(0, 2, 8))
    weight, named = jnp.asarray([2.0, 1, 1, 0, 1, 1, 1, 1]), jnp.asarray([2.0, 1, 1, 0, 0, 0, 0, 0])
    net = dann.DANN((5,), "relu")
    variables = net.init(jax.random.key(0), x)
    found = dann.losses(
        net, variables, dann.Batch(x, label, weight, named, jnp.ones(8)), jnp.array(1.0), jax.random.key(1)
    )
    logits, domain, _ = net.apply(variables, x)
    of_class = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    of_domain = optax.softmax_cross_entropy_with_integer_labels(domain, jnp.array([0] * 4 + [1] * 4))
    assert float(found.of_class) == pytest.approx(float((named * of_class).sum() / 4), rel=1e-5)
    assert float(found.of_domain) == pytest.approx(float((weight * of_domain).mean()), rel=1e-5)
    right = np.asarray(logits.argmax(axis=1) == label)
    assert float(found.accuracy) == pytest.approx((np.asarray(named) * right).sum() / 4)
    kernels = [np.asarray(layer["kernel"]) for layer in variables["params"].values()]
    assert float(dann.decay(variables["params"])) == pytest.approx(sum((k**2).sum() for k in kernels), rel=1e-5)
