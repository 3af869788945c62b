"""Deep embedded clustering against formulas written out, limits and invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import rel_entr

from spiketype.models import augment, autoencoder, dec

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(40, 3)).astype(np.float32)
CENTRE = RNG.normal(size=(4, 3)).astype(np.float32)
ALL = jnp.ones(4, bool)


def q_of(alive: jax.Array = ALL) -> np.ndarray:
    return np.exp(np.asarray(dec.log_assignment(jnp.asarray(Z), jnp.asarray(CENTRE), alive)))


def test_assignments_are_equation_1() -> None:
    kernel = 1 / (1 + ((Z[:, None] - CENTRE[None]) ** 2).sum(axis=2))
    np.testing.assert_allclose(q_of(), kernel / kernel.sum(axis=1, keepdims=True), rtol=1e-5)


def test_alpha_gives_other_degrees_of_freedom() -> None:
    square = ((Z[:, None] - CENTRE[None]) ** 2).sum(axis=2)
    kernel = (1 + square / 3) ** -2.0
    ours = np.exp(np.asarray(dec.log_assignment(jnp.asarray(Z), jnp.asarray(CENTRE), ALL, alpha=3.0)))
    np.testing.assert_allclose(ours, kernel / kernel.sum(axis=1, keepdims=True), rtol=1e-5)


def test_a_centre_that_is_not_alive_takes_no_part() -> None:
    q = q_of(jnp.array([True, True, False, True]))
    assert np.all(q[:, 2] == 0)
    np.testing.assert_allclose(q[:, [0, 1, 3]], q_of()[:, [0, 1, 3]] / (1 - q_of()[:, [2]]), rtol=1e-5)


def test_the_target_is_equation_3() -> None:
    q = q_of()
    p = q**2 / q.sum(axis=0)
    ours = dec.target(jnp.log(q), jnp.full(4, 0.25))
    np.testing.assert_allclose(ours, p / p.sum(axis=1, keepdims=True), rtol=1e-4)


def test_sizes_as_found_are_not_flattened() -> None:
    """Two groups of unlike sizes: the equal target moves units to the small one, the free one does not."""
    q = np.full((100, 2), 0.5, np.float32)
    q[:90, 0], q[90:, 0] = 0.8, 0.2
    q[:, 1] = 1 - q[:, 0]
    size = [np.asarray(dec.target(jnp.log(q), share)).sum(axis=0) for share in (jnp.full(2, 0.5), None)]
    assert size[0][1] > size[1][1]
    np.testing.assert_allclose(dec.target(jnp.log(q), None), q**2 / (q**2).sum(axis=1, keepdims=True), rtol=1e-4)


def test_known_sizes_go_to_clusters_by_rank() -> None:
    q = jnp.asarray(q_of())
    share = jnp.array([0.4, 0.3, 0.2, 0.1])
    order = jnp.array([2, 0, 3, 1])
    one, other = dec.target(jnp.log(q), share), dec.target(jnp.log(q[:, order]), share)
    np.testing.assert_allclose(one[:, order], other, rtol=1e-5)


def test_divergence_is_that_of_scipy() -> None:
    q = q_of()
    p = np.asarray(dec.target(jnp.log(q), jnp.full(4, 0.25)))
    expected = rel_entr(p, q).sum(axis=1).mean()
    np.testing.assert_allclose(dec.divergence(jnp.asarray(p), jnp.log(q)), expected, rtol=1e-4)


def test_far_and_dead_centres_leave_loss_and_gradient_finite() -> None:
    alive = jnp.array([True, True, True, False])

    def loss(z: jax.Array, centre: jax.Array) -> jax.Array:
        log_q = dec.log_assignment(z, centre, alive)
        return dec.divergence(jax.lax.stop_gradient(dec.target(log_q, jnp.full(4, 0.25))), log_q)

    value, slopes = jax.value_and_grad(loss, argnums=(0, 1))(jnp.asarray(Z), jnp.asarray(CENTRE) * 1e8)
    assert np.isfinite(value)
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_an_empty_cluster_moves_to_the_farthest_unit() -> None:
    z = jnp.array([[0.0, 0.0], [0.1, 0.0], [5.0, 0.0], [9.0, 0.0]])
    centre = jnp.array([[0.0, 0.0], [50.0, 0.0], [-50.0, 0.0]])
    label = jnp.zeros(4, jnp.int32)
    moved, count = dec.reseed(z, centre, label, jnp.array([True, True, False]))
    assert count == 1
    np.testing.assert_array_equal(moved, [[0, 0], [9, 0], [-50, 0]])


def test_contrast_is_least_for_pairs_that_are_apart_from_others() -> None:
    apart = jnp.asarray(10 * np.eye(6, dtype=np.float32))
    mixed = apart[jnp.arange(6)[::-1]]
    assert dec.contrast(apart, apart) < 0.05 < dec.contrast(apart, mixed)


def test_health_of_a_collapse() -> None:
    apart = jnp.asarray(CENTRE[RNG.integers(0, 4, 200)])
    good = dec.health(apart, dec.log_assignment(apart, jnp.asarray(CENTRE), ALL), ALL)
    same = jnp.zeros((200, 3)) + jnp.asarray(CENTRE[:1])
    bad = dec.health(same, dec.log_assignment(same, jnp.asarray(CENTRE) * jnp.float32(5), ALL), ALL)
    assert good["entropy"] > bad["entropy"]
    assert bad["variance"] < 1e-9


@pytest.mark.parametrize("kind", ["dense", "conv", "vae"])
def test_autoencoders_return_what_went_in_in_shape(kind: str) -> None:
    x = jnp.asarray(RNG.normal(size=(7, 2 * 21)).astype(np.float32))
    net = autoencoder.make(kind, 42, (2, 21), 5, (8, 16))
    params = net.init(jax.random.key(0), x)["params"]
    assert autoencoder.apply(net, params, "encode", x).shape == (7, 5)
    out = autoencoder.apply(net, params, "decode", jnp.zeros((7, 5)))
    assert out.shape == x.shape
    value, z = autoencoder.reconstruction(net, params, x, x, jax.random.key(1), 1.0)
    assert np.isfinite(value)
    assert z.shape == (7, 5)


def test_a_layer_leaves_the_layers_before_it_alone() -> None:
    x = jnp.asarray(RNG.normal(size=(7, 12)).astype(np.float32))
    net = autoencoder.Dense(12, 3, (6, 5))
    params = net.init(jax.random.key(0), x)["params"]
    slope = jax.grad(lambda p: autoencoder.layer_loss(net, p, x, 1, 0.2, jax.random.key(1)))(params)
    size = {name: float(jnp.abs(layer["kernel"]).max()) for name, layer in slope.items()}
    assert size["encoders_1"] > 0
    assert size["decoders_1"] > 0
    assert all(size[name] == 0 for name in ("encoders_0", "encoders_2", "decoders_0", "decoders_2"))


def test_moves_of_nothing_change_nothing() -> None:
    images = jnp.asarray(RNG.normal(size=(5, 8, 8)).astype(np.float32))
    np.testing.assert_allclose(augment.move_in_plane(jax.random.key(0), images, 0.0, 0.0), images, atol=1e-5)
    np.testing.assert_allclose(augment.shift_in_time(jax.random.key(0), images, 0.0), images, atol=1e-6)


def test_a_line_moved_in_time_is_a_line() -> None:
    line = jnp.broadcast_to(jnp.arange(20.0), (4, 1, 20))
    moved = np.asarray(augment.shift_in_time(jax.random.key(0), line, 2.0)) - np.asarray(line)
    inside = moved[:, 0, 3:-3]
    np.testing.assert_allclose(inside, np.broadcast_to(inside[:, :1], inside.shape), atol=1e-4)
    assert 0 < np.abs(inside).max() <= 2


def test_a_quarter_turn_is_that_of_numpy() -> None:
    image = RNG.normal(size=(1, 8, 8)).astype(np.float32)
    y, x = np.meshgrid(np.arange(8, dtype=np.float32), np.arange(8, dtype=np.float32), indexing="ij")
    turned = augment._bilinear(jnp.asarray(image), jnp.asarray(x[None]), jnp.asarray(7 - y[None]))
    np.testing.assert_allclose(turned[0], np.rot90(image[0]))
