"""Quarter turns: images and positions must turn together, or a network learns wrong positions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eap_store import contacts

from spiketype.models.augment import quarter_turns, turn, turn_position

CONTACT_UM = contacts((10, 10))
POSITION_UM = np.random.default_rng(0).uniform([10, -60, -60], [60, 60, 60], (12, 3)).astype(np.float32)


def footprint(position_um: np.ndarray) -> np.ndarray:
    """The potential 1/r of point sources (n, 3) at the contacts, as images (n, row along z, column along y, 1)."""
    r = np.linalg.norm(position_um[:, None] - CONTACT_UM, axis=2)
    return (1 / r).reshape(-1, 10, 10, 1)


def rotated(position_um: np.ndarray, k: int) -> np.ndarray:
    """Positions turned about x by k * 90 degrees from y towards z, with a rotation matrix."""
    cos, sin = round(np.cos(k * np.pi / 2)), round(np.sin(k * np.pi / 2))
    return position_um @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], np.float32).T


def test_rows_run_along_z_and_columns_along_y():
    image = footprint(np.array([[10.0, 60.0, -60.0]]))[0, :, :, 0]  # y large, z small
    row, column = np.unravel_index(image.argmax(), image.shape)
    assert row < 2
    assert column > 7


@pytest.mark.parametrize("k", range(4))
def test_the_turned_image_is_the_image_of_the_turned_position(k):
    times = jnp.full(len(POSITION_UM), k)
    turned = turn(jnp.asarray(footprint(POSITION_UM)), times.reshape(-1, 1, 1, 1))
    position = turn_position(jnp.asarray(POSITION_UM), times)
    np.testing.assert_array_equal(position, rotated(POSITION_UM, k))
    np.testing.assert_allclose(turned, footprint(rotated(POSITION_UM, k)), rtol=1e-5)


@pytest.mark.parametrize("k", range(4))
def test_turn_is_numpy_s_rot90(k):
    """With y along columns and z along rows, from y towards z is numpy's turn from the second axis to the first."""
    images = np.random.default_rng(1).normal(size=(3, 5, 5, 2)).astype(np.float32)
    turned = turn(jnp.asarray(images), jnp.full((3, 1, 1, 1), k))
    np.testing.assert_array_equal(turned, np.rot90(images, k, axes=(2, 1)))


def test_each_sample_turns_on_its_own_together_with_its_target():
    position = np.repeat(POSITION_UM[:1], 4000, axis=0)
    images = jnp.asarray(footprint(position))
    turned, target = jax.jit(quarter_turns)(jax.random.key(0), images, jnp.asarray(position))
    np.testing.assert_allclose(turned, footprint(np.asarray(target)), rtol=1e-5)
    share = [np.mean(np.all(np.isclose(target, rotated(position, k)), axis=1)) for k in range(4)]
    np.testing.assert_allclose(share, 0.25, atol=5 * np.sqrt(0.25 * 0.75 / 4000))


def test_classes_stay():
    label = jnp.arange(7)
    _, same = quarter_turns(jax.random.key(0), jnp.zeros((7, 3, 3, 1)), label)
    np.testing.assert_array_equal(same, label)
